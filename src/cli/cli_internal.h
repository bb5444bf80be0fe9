/* cli_internal.h: the tables and helpers that the commands share. */
#ifndef CLI_CLI_INTERNAL_H
#define CLI_CLI_INTERNAL_H
#include "base/arena.h"
#include "base/buffer.h"
#include "bridge/bridge.h" /* GATEWAY_URL */
#include "codec/pb.h"
#include "pb/all.pb.h"
#include "wire/client.h"

/* name, short, argument (NULL: a switch), repeatable, help */
#define CLI_FLAGS(X)                                                                                         \
    X(ADDRESS, "address", 0, "HOST:PORT", false, "server; default $TEMPORAL_ADDRESS or 127.0.0.1:7233")      \
    X(NAMESPACE, "namespace", 'n', "NAME", false, "namespace; default $TEMPORAL_NAMESPACE or default")       \
    X(OUTPUT, "output", 'o', "FORM", false, "text, json, jsonl (one object a line) or none; default text")   \
    X(IDENTITY, "identity", 0, "TEXT", false, "who asks, as events record it; default perdure-cli:PID@HOST") \
    X(COMMAND_TIMEOUT, "command-timeout", 0, "DURATION", false, "give up after this long; default: never")   \
    X(WORKFLOW_ID, "workflow-id", 'w', "ID", false, "workflow id")                                           \
    X(RUN_ID, "run-id", 'r', "ID", false, "run id; default: the current run")                                \
    X(TYPE, "type", 0, "NAME", false, "type of the workflow, of the search attribute, or of the reset")      \
    X(TASK_QUEUE, "task-queue", 't', "NAME", false, "task queue")                                            \
    X(TASK_QUEUE_TYPE, "task-queue-type", 0, "TYPE", false, "workflow, activity or nexus")                   \
    X(QUEUE_RPS_LIMIT, "queue-rps-limit", 0, "NUMBER", false,                                                \
      "tasks a second of the queue; default: none is set any more")                                          \
    X(QUEUE_RPS_REASON, "queue-rps-limit-reason", 0, "TEXT", false, "why that limit")                        \
    X(KEY_RPS_LIMIT, "fairness-key-rps-limit-default", 0, "NUMBER", false,                                   \
      "tasks a second of each fairness key, times its weight; default: none is set any more")                \
    X(KEY_RPS_REASON, "fairness-key-rps-limit-reason", 0, "TEXT", false, "why that limit")                   \
    X(FAIRNESS_WEIGHT, "fairness-key-weight", 0, "KEY=WEIGHT", true,                                         \
      "weight of a fairness key, or KEY=default; repeat for more")                                           \
    X(WORKER_INSTANCE_KEY, "worker-instance-key", 0, "KEY", false, "key of a worker, as worker list prints") \
    X(TOOL, "tool", 0, "TOOL", false, "name of the tool")                                                    \
    X(FILE, "file", 0, "FILE", false, "mcp.json, or with --name one toolset's object")                       \
    X(TOOLSET, "toolset", 0, "NAME", false, "only this toolset")                                             \
    X(URL, "url", 0, "URL", false, "where the server's tools are; default $PERDURE_MCP_URL or " GATEWAY_URL) \
    X(ARG, "arg", 0, "KEY=VALUE", true,                                                                      \
      "one argument of the tool: what is JSON is taken so, else as text; repeat for more")                   \
    X(INPUT, "input", 'i', "JSON", true, "one argument as JSON; repeat for more")                            \
    X(INPUT_FILE, "input-file", 0, "FILE", true, "one argument as JSON from a file; repeat for more")        \
    X(NAME, "name", 0, "NAME", false, "name of the signal, query or search attribute")                       \
    X(SIGNAL_NAME, "signal-name", 0, "NAME", false, "name of the signal")                                    \
    X(SIGNAL_INPUT, "signal-input", 0, "JSON", true, "one argument of the signal as JSON; repeat for more")  \
    X(SIGNAL_INPUT_FILE, "signal-input-file", 0, "FILE", true, "one argument of the signal from a file")     \
    X(UPDATE_ID, "update-id", 0, "ID", false, "id of the update; the same id is the same update")            \
    X(UPDATE_NAME, "update-name", 0, "NAME", false, "name of the update")                                    \
    X(UPDATE_INPUT, "update-input", 0, "JSON", true, "one argument of the update as JSON; repeat for more")  \
    X(UPDATE_INPUT_FILE, "update-input-file", 0, "FILE", true, "one argument of the update from a file")     \
    X(WAIT_FOR_STAGE, "wait-for-stage", 0, "STAGE", false, "accepted, which is so anyway")                   \
    X(UPDATE_WAIT_FOR_STAGE, "update-wait-for-stage", 0, "STAGE", false, "accepted, which is so anyway")     \
    X(FIRST_EXECUTION_RUN_ID, "first-execution-run-id", 0, "ID", false,                                      \
      "only if the chain of runs began with this one")                                                       \
    X(REASON, "reason", 0, "TEXT", false, "why; kept in the history")                                        \
    X(EVENT_ID, "event-id", 'e', "ID", false,                                                                \
      "event to reset to: the end of a workflow task, or what follows its start")                            \
    X(BUILD_ID, "build-id", 0, "ID", false, "reset to the first workflow task that it has completed")        \
    X(REAPPLY_EXCLUDE, "reapply-exclude", 0, "WHAT", true,                                                   \
      "do not apply again what came later: All, Signal or Update; repeat for more")                          \
    X(EXECUTION_TIMEOUT, "execution-timeout", 0, "DURATION", false, "limit over the whole chain of runs")    \
    X(RUN_TIMEOUT, "run-timeout", 0, "DURATION", false, "limit of one run")                                  \
    X(TASK_TIMEOUT, "task-timeout", 0, "DURATION", false, "limit of a workflow task; default 10s")           \
    X(START_DELAY, "start-delay", 0, "DURATION", false, "wait this long before the first workflow task")     \
    X(CRON, "cron", 0, "SPEC", true, "cron schedule; of schedules, repeat for more")                         \
    X(SCHEDULE_ID, "schedule-id", 's', "ID", false, "id of the schedule")                                    \
    X(CALENDAR, "calendar", 0, "JSON", true,                                                                 \
      "times, e.g. {\"dayOfWeek\":\"Fri\",\"hour\":\"17\"}; repeat for more")                                \
    X(INTERVAL, "interval", 0, "DURATION[/PHASE]", true, "every so often, e.g. 1h/5m; repeat for more")      \
    X(TIME_ZONE, "time-zone", 0, "ZONE", false, "of calendars, e.g. Europe/Berlin; default UTC")             \
    X(START_TIME, "start-time", 0, "TIME", false, "not before, e.g. 2026-01-31T12:00:00Z")                   \
    X(END_TIME, "end-time", 0, "TIME", false, "not after")                                                   \
    X(OVERLAP_POLICY, "overlap-policy", 0, "POLICY", false,                                                  \
      "while one runs: Skip, BufferOne, BufferAll, CancelOther, TerminateOther or AllowAll")                 \
    X(CATCHUP_WINDOW, "catchup-window", 0, "DURATION", false,                                                \
      "times are taken this late, when the server was away; default a year")                                 \
    X(PAUSE_ON_FAILURE, "pause-on-failure", 0, NULL, false, "pause when a workflow fails or times out")      \
    X(PAUSED, "paused", 0, NULL, false, "begin paused")                                                      \
    X(NOTES, "notes", 0, "TEXT", false, "about the schedule, for people")                                    \
    X(REMAINING_ACTIONS, "remaining-actions", 0, "COUNT", false, "end after so many; default: never")        \
    X(SCHEDULE_MEMO, "schedule-memo", 0, "KEY=JSON", true, "memo field of the schedule; repeat for more")    \
    X(SCHEDULE_SEARCH_ATTRIBUTE, "schedule-search-attribute", 0, "KEY=JSON", true,                           \
      "search attribute of the schedule; repeat for more")                                                   \
    X(PAUSE, "pause", 0, NULL, false, "no times are taken from now on")                                      \
    X(UNPAUSE, "unpause", 0, NULL, false, "times are taken again")                                           \
    X(ID_REUSE_POLICY, "id-reuse-policy", 0, "POLICY", false,                                                \
      "AllowDuplicate, AllowDuplicateFailedOnly, RejectDuplicate or TerminateIfRunning")                     \
    X(ID_CONFLICT_POLICY, "id-conflict-policy", 0, "POLICY", false,                                          \
      "Fail, UseExisting or TerminateExisting")                                                              \
    X(MEMO, "memo", 0, "KEY=JSON", true, "memo field; repeat for more")                                      \
    X(SEARCH_ATTRIBUTE, "search-attribute", 0, "KEY=JSON", true, "search attribute; repeat for more")        \
    X(HEADERS, "headers", 0, "KEY=JSON", true, "header field; repeat for more")                              \
    X(STATIC_SUMMARY, "static-summary", 0, "TEXT", false, "one line about this workflow, for people")        \
    X(STATIC_DETAILS, "static-details", 0, "TEXT", false, "more about this workflow, for people")            \
    X(FAIL_EXISTING, "fail-existing", 0, NULL, false, "fail if it runs already; that is so anyway")          \
    X(QUERY, "query", 'q', "FILTER", false, "list filter, e.g. 'ExecutionStatus=\"Running\"'")               \
    X(LIMIT, "limit", 0, "COUNT", false, "at most this many; default: all")                                  \
    X(PAGE_SIZE, "page-size", 0, "COUNT", false, "as many in each call; default: the server's most")         \
    X(REJECT_CONDITION, "reject-condition", 0, "CONDITION", false,                                           \
      "refuse the query then: not_open or not_completed_cleanly")                                            \
    X(FOLLOW, "follow", 'f', NULL, false, "wait for new events until the workflow ends")                     \
    X(REVERSE, "reverse", 0, NULL, false, "newest event first")                                              \
    X(DETAILED, "detailed", 0, NULL, false, "whole events instead of one line each")                         \
    X(ACTIVITY_ID, "activity-id", 'a', "ID", false, "activity id")                                           \
    X(JITTER, "jitter", 0, "DURATION", false, "start at a random time within this")                          \
    X(RESET_ATTEMPTS, "reset-attempts", 0, NULL, false, "count attempts from 1 again")                       \
    X(RESET_HEARTBEATS, "reset-heartbeats", 0, NULL, false, "forget the details of heartbeats")              \
    X(KEEP_PAUSED, "keep-paused", 0, NULL, false, "a paused activity stays paused")                          \
    X(RESTORE_ORIGINAL_OPTIONS, "restore-original-options", 0, NULL, false,                                  \
      "go back to the options that the workflow has scheduled it with")                                      \
    X(SCHEDULE_TO_CLOSE_TIMEOUT, "schedule-to-close-timeout", 0, "DURATION", false,                          \
      "limit over all attempts")                                                                             \
    X(SCHEDULE_TO_START_TIMEOUT, "schedule-to-start-timeout", 0, "DURATION", false,                          \
      "limit of the wait for a worker")                                                                      \
    X(START_TO_CLOSE_TIMEOUT, "start-to-close-timeout", 0, "DURATION", false, "limit of one attempt")        \
    X(HEARTBEAT_TIMEOUT, "heartbeat-timeout", 0, "DURATION", false, "limit between heartbeats")              \
    X(RETRY_INITIAL_INTERVAL, "retry-initial-interval", 0, "DURATION", false,                                \
      "wait before the second attempt")                                                                      \
    X(RETRY_MAXIMUM_INTERVAL, "retry-maximum-interval", 0, "DURATION", false,                                \
      "longest wait between attempts")                                                                       \
    X(RETRY_BACKOFF_COEFFICIENT, "retry-backoff-coefficient", 0, "NUMBER", false,                            \
      "each wait is so much longer")                                                                         \
    X(RETRY_MAXIMUM_ATTEMPTS, "retry-maximum-attempts", 0, "COUNT", false, "attempts; 0: without limit")     \
    X(OVERRIDE_BEHAVIOR, "versioning-override-behavior", 0, "BEHAVIOR", false,                               \
      "unspecified (no override), pinned or auto_upgrade")                                                   \
    X(OVERRIDE_DEPLOYMENT, "versioning-override-deployment-name", 0, "NAME", false,                          \
      "deployment to pin the workflow to")                                                                   \
    X(OVERRIDE_BUILD_ID, "versioning-override-build-id", 0, "ID", false, "build id to pin the workflow to")  \
    X(RETENTION, "retention", 0, "DURATION", false, "how long closed workflows are kept; default 72h")       \
    X(DESCRIPTION, "description", 0, "TEXT", false, "description of the namespace")                          \
    X(DATA, "data", 0, "KEY=TEXT", true, "data of the namespace; perdure.limit.NAME=VALUE sets a limit")     \
    X(EMAIL, "email", 0, "ADDRESS", false, "owner's e-mail address")                                         \
    X(YES, "yes", 'y', NULL, false, "do not ask; nothing here asks anyway")                                  \
    X(HELP, "help", 'h', NULL, false, "this text")

#define CLI_FLAG_ENUM(name, ...) FLAG_##name,
enum cli_flag { CLI_FLAGS(CLI_FLAG_ENUM) FLAG_COUNT };
#undef CLI_FLAG_ENUM
#define CLI_MASK(flag) ((unsigned __int128)1 << FLAG_##flag)
static_assert(FLAG_COUNT <= 128, "a command's flags are a 128-bit mask");
/* Every command has these. */
#define CLI_COMMON                                                                                           \
    (CLI_MASK(ADDRESS) | CLI_MASK(NAMESPACE) | CLI_MASK(OUTPUT) | CLI_MASK(COMMAND_TIMEOUT) |                \
     CLI_MASK(IDENTITY) | CLI_MASK(HELP))

#define CLI_REPEAT_MAX 64
struct cli_arguments {
    const char *values[FLAG_COUNT][CLI_REPEAT_MAX];
    size_t      counts[FLAG_COUNT];
};

/* One run of a command: arguments, connection and the memory of everything it prints. */
struct cli {
    struct cli_arguments arguments;
    struct arena         arena;
    struct wire_client  *client;
    struct error         error;
    bool        json, json_lines;        /* json_lines: one object a line, without brackets around the list */
    int64_t     deadline;                /* of the command, monotonic; TIME_NEVER: none */
    bool        called;                  /* before the first call an error is one of the command line */
    enum status refusal;                 /* how the last call ended: an error that is not it is our own */
    size_t      list_count, field_count; /* printed so far */
};

struct cli_command {
    const char       *noun, *verb; /* "operator namespace" is a noun of two words */
    const char       *summary;
    unsigned __int128 flags, required;
    enum status (*run)(struct cli *cli);
    unsigned __int128 operand; /* the flags that bare words stand for, in the table's order; 0: none */
};
extern const struct cli_command cli_workflow_commands[];
extern const size_t             cli_workflow_command_count;
/* Those that are not in workflow.c with the others. */
enum status                     cli_workflow_pause(struct cli *cli);
enum status                     cli_workflow_reset(struct cli *cli);
enum status                     cli_workflow_delete(struct cli *cli);
enum status                     cli_workflow_unpause(struct cli *cli);
enum status                     cli_workflow_update_options(struct cli *cli);
enum status                     cli_execute_update_with_start(struct cli *cli);
enum status                     cli_start_update_with_start(struct cli *cli);
extern const struct cli_command cli_update_commands[];
extern const size_t             cli_update_command_count;
extern const struct cli_command cli_activity_commands[];
extern const size_t             cli_activity_command_count;
extern const struct cli_command cli_task_queue_commands[];
extern const size_t             cli_task_queue_command_count;
extern const struct cli_command cli_worker_commands[];
extern const size_t             cli_worker_command_count;
extern const struct cli_command cli_tool_commands[];
extern const size_t             cli_tool_command_count;
/* What goes by HTTP, to the gateway. */
enum status                     cli_tools_list(struct cli *cli);
enum status                     cli_tool_call(struct cli *cli);
extern const struct cli_command cli_schedule_commands[];
extern const size_t             cli_schedule_command_count;
extern const struct cli_command cli_operator_commands[];
extern const size_t             cli_operator_command_count;

/* The (last) value of a flag as bytes; empty when not given. */
struct bytes       cli_value(const struct cli *cli, enum cli_flag flag);
static inline bool cli_given(const struct cli *cli, enum cli_flag flag)
{
    return cli->arguments.counts[flag] != 0;
}
struct bytes cli_namespace(const struct cli *cli);
/* --workflow-id and --run-id. */
struct common_WorkflowExecution *cli_execution(struct cli *cli);
/* 0 with ST_OK when the flag was not given. Go's form: 1h30m, 10s, 250ms; also "d" for days. */
enum status cli_duration(struct cli *cli, enum cli_flag flag, struct google_Duration **ret_duration) MUST_USE;
enum status cli_parse_duration(const char *text, int64_t *ret_ns) MUST_USE;
/* --input and --input-file as encoded Payloads; the empty slice (base NULL) when there are none. */
enum status cli_input(struct cli *cli, struct bytes *ret_payloads) MUST_USE;
/* A whole file, of at most 4 MiB. */
enum status cli_read_file(struct cli *cli, const char *path, struct bytes *ret_content) MUST_USE;
/* The same of --signal-input and --signal-input-file. */
enum status cli_signal_input(struct cli *cli, struct bytes *ret_payloads) MUST_USE;
/* The same of --update-input and --update-input-file. */
enum status cli_update_input(struct cli *cli, struct bytes *ret_payloads) MUST_USE;
/* All the flags of a start. */
enum status cli_start_request(struct cli                                           *cli,
                              struct workflowservice_StartWorkflowExecutionRequest *request) MUST_USE;
/* --static-summary and --static-details as encoded UserMetadata. */
enum status cli_user_metadata(struct cli *cli, struct bytes *ret_message) MUST_USE;
/* The value that a flag names; names end with a NULL. 0 when the flag was not given. */
struct cli_name {
    const char *text;
    int32_t     value;
};
enum status cli_named_value(struct cli *cli, enum cli_flag flag, const struct cli_name *names,
                            int32_t *ret_value) MUST_USE;
/* A positive number; *ret_count stays as it is when the flag was not given. */
enum status cli_count(struct cli *cli, enum cli_flag flag, size_t *ret_count) MUST_USE;
/* KEY=JSON pairs as an encoded map message (Memo, Header and SearchAttributes have the same shape). */
enum status cli_pairs(struct cli *cli, enum cli_flag flag, struct bytes *ret_message) MUST_USE;

/* Calls a method of WorkflowService (or OperatorService) and decodes its response into the arena. */
enum status cli_call(struct cli *cli, const char *path, const struct pb_message *request_type,
                     const void *request, const struct pb_message *response_type,
                     void *ret_response) MUST_USE;
/* One call of the WorkflowService; the request and response types follow from the method's name. */
#define CALL(cli, method, request, response)                                                                 \
    cli_call((cli), "/temporal.api.workflowservice.v1.WorkflowService/" #method,                             \
             &pb_workflowservice_##method##Request, (request), &pb_workflowservice_##method##Response,       \
             (response))
/* The message as proto3 JSON on standard output. */
enum status cli_print_json(struct cli *cli, const struct pb_message *type, const void *record) MUST_USE;
/* The answer of a command that has none: the text, or {}. */
void cli_print_done(const struct cli *cli, const char *text);

/* A JSON list of any length. Each item is announced; the end closes what was opened, so that a list cut short by an error is
 * JSON still; nothing is opened by an error alone. Neither prints anything as text. */
void        cli_list_item(struct cli *cli, const char *open);
enum status cli_list_end(struct cli *cli, enum status status, const char *open, const char *close);

/* A JSON object, field by field. */
void        cli_field(struct cli *cli, const char *name);
void        cli_text_field(struct cli *cli, const char *name, struct bytes text);
enum status cli_message_field(struct cli *cli, const char *name, const struct pb_message *type,
                              const void *record) MUST_USE;
/* Encoded Payloads as the values they stand for: one value, or an array when there are several. */
enum status cli_payloads_field(struct cli *cli, const char *name, struct bytes payloads) MUST_USE;
void        cli_fields_end(struct cli *cli);

/* Any JSON value, also with numbers that no C type holds. */
#define CLI_JSON_READ (JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL)
bool cli_is_json(struct bytes text);

/* One line for people: what a payload or payloads hold. */
void cli_print_payloads(struct cli *cli, struct bytes payloads);
void cli_print_failure(struct cli *cli, struct bytes failure, int indent);
/* "2026-11-23T12:00:00.000Z"; "-" for none. In the arena. */
const char *cli_time_text(struct cli *cli, const struct google_Timestamp *time);
const char *cli_duration_text(struct cli *cli, const struct google_Duration *duration);
/* RUNNING from WORKFLOW_EXECUTION_STATUS_RUNNING, by the enum's own table; "Running" as users write it. */
const char  *cli_status_text(int32_t status);
const char  *cli_event_text(int32_t event_type);
struct bytes cli_request_id(struct cli *cli);
struct bytes cli_identity(struct cli *cli);
#endif
