/* outcome.h: what a call came to, in the words of MCP. Pure.
 *
 * A workflow's result: a string is a text; other JSON is structuredContent and the same as text; with "result": "raw" an object in the
 * form of a CallToolResult goes through as it is; bytes are a blob; more than OUTCOME_INLINE_MAX is a resource_link. A failure is a result
 * with isError whose text is the whole chain. Only a terminated run and a failure of type McpProtocolError are errors of the protocol.
 *
 * Owns: an outcome owns its JSON. Thread: any.
 */
#ifndef MCP_OUTCOME_H
#define MCP_OUTCOME_H
#include "mcp/config.h"
#include "mcp/payload.h"

#define OUTCOME_INLINE_MAX      (256U << 10)
#define OUTCOME_TEXT_MAX        (32U << 10) /* of a failure's words */
#define FAILURE_CHAIN_MAX       20
#define PROTOCOL_ERROR_TYPE     "McpProtocolError"
#define RPC_CODE_INTERNAL       (-32603)
#define RPC_CODE_INVALID_PARAMS (-32602)

enum outcome_kind {
    OUTCOME_RESULT,    /* `result`, also when it says isError */
    OUTCOME_CANCELLED, /* `result` (isError) for who waits; a task is "cancelled" */
    OUTCOME_PROTOCOL,  /* a JSON-RPC error: code, message, data; a task is "failed" */
};
struct outcome {
    enum outcome_kind kind;
    json_t *
        result; /* {content: [...], structuredContent?, isError?}; no resultType, no _meta. structuredContent may be any JSON */
    int     code;
    char   *message;
    json_t *data; /* NULL: none */
};
void outcome_release(struct outcome *outcome);
void outcome_copy(const struct outcome *from,
                  struct outcome       *ret_outcome); /* shares the JSON, which must not change */

/* Which run the outcome is of, for the link to a large result. */
struct run_name {
    const char *namespace_name, *workflow_id, *run_id;
};
/* Appends "temporal://NAMESPACE/WORKFLOW_ID/RUN_ID/WHAT", the parts percent-encoded. */
void outcome_uri(const struct run_name *run, const char *what, struct buffer *to);

struct outcome outcome_text(bool is_error, struct bytes text);
struct outcome outcome_words(bool is_error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of a JSON value that takes the place of a result (the reference is taken). */
struct outcome outcome_value(const struct tool *tool, json_t *value);
/* Of an encoded common.Payloads (not present: no result). `run` NULL: never a link. */
struct outcome outcome_payloads(const struct tool *tool, struct bytes payloads, const struct run_name *run);
/* Of an encoded failure.Failure. `what`: "InvoiceWorkflow failed". `attempts`: of the activity the failure came from; 0: unknown. */
struct outcome outcome_failure(const char *what, struct bytes failure, int32_t attempts);
/* Of a run's last event. `pending` (NULL is fine): what was waited for when the run was seen last; said of timeouts. `continued`: the
 * event is not an end (another run follows); there is no outcome then. */
struct outcome outcome_close_event(const struct tool *tool, const struct history_HistoryEvent *event,
                                   const struct run_name *run, const char *pending, int32_t attempts);
/* Of a call of the API that failed. */
struct outcome outcome_error(const struct error *error);
/* The readable chain: "type: message" and "caused by" lines; appended. */
void outcome_print_failure(struct bytes failure, int32_t attempts, struct buffer *to);
#endif
