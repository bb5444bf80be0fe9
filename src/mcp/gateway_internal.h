/* gateway_internal.h: what the files of the protocol share: a request, its answer, and the tables of methods. */
#ifndef MCP_GATEWAY_INTERNAL_H
#define MCP_GATEWAY_INTERNAL_H
#include "mcp/auth.h"
#include "mcp/gateway.h"
#include "mcp/registry.h"
#include "mcp/run.h"

enum rpc_code {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_INTERNAL_ERROR = -32603,
    RPC_RESOURCE_NOT_FOUND = -32002, /* until 2025-11-25; later it is RPC_INVALID_PARAMS */
    RPC_HEADER_MISMATCH = -32020,
    RPC_MISSING_CAPABILITY = -32021,
    RPC_UNSUPPORTED_VERSION = -32022,
};
#define TASKS_EXTENSION      "io.modelcontextprotocol/tasks"
#define META_VERSION         "io.modelcontextprotocol/protocolVersion"
#define META_CLIENT          "io.modelcontextprotocol/clientInfo"
#define META_CAPABILITY      "io.modelcontextprotocol/clientCapabilities"
#define META_SUBSCRIBED      "io.modelcontextprotocol/subscriptionId"
#define META_SERVER          "io.modelcontextprotocol/serverInfo"
#define META_RELATED         "io.modelcontextprotocol/related-task"
#define KEEP_ALIVE_NS        (15 * NS_PER_S)
#define POLL_INTERVAL_MS     1000
#define POLL_INTERVAL_MS_MAX 5000
#define LIST_TTL_MS          60000
#define REQUEST_STATE_NS     (600 * NS_PER_S)
#define SESSION_NS           (INT64_C(30) * 24 * 3600 * NS_PER_S)

/* What differs from one revision to the next. */
struct revision {
    const char *name;
    bool        modern;      /* each request stands alone */
    bool        structured;  /* structuredContent, outputSchema, titles, links to resources, elicitation */
    bool        input_tasks; /* the tasks of 2025-11-25, and icons */
};
extern const struct revision revisions[];
extern const size_t          revision_count;
const struct revision       *revision_find(struct bytes name);
#define REVISION_NEWEST        (&revisions[0])
#define REVISION_NEWEST_LEGACY (&revisions[1])
#define REVISION_OLDEST        (&revisions[revision_count - 1])

/* Hashes of what was seen lately; the oldest is forgotten. What it keeps is a courtesy, never what correctness rests on. */
#define RECENT_MAX 4096
struct recent {
    uint64_t hashes[RECENT_MAX];
    size_t   next;
};
void recent_add(struct recent *recent, uint64_t hash);
bool recent_has(const struct recent *recent, uint64_t hash);

struct gateway {
    struct loop         *loop;
    const struct seal   *seal;
    const char          *version;
    char                *listen; /* as it was declared when the server began; NULL: no address of its own */
    struct backend       backend;
    struct runs         *runs;
    struct config_watch *watch;
    struct registry     *registry; /* what was declared through the API, for the watch */
    struct catalog      *catalog;  /* with a reference */
    config_changed      *changed;  /* NULL: nobody else wants to know */
    void                *changed_context;
    struct auth         *auth; /* of the catalog's options, made with the first server */
    struct list          requests, listeners, subscriptions;
    size_t               request_count, subscription_count;
    struct recent        ended; /* sessions that their clients ended */
    struct recent
         answered; /* questions whose answers are on their way, though the workflow has not taken note yet */
    bool draining;
};

/* One JSON-RPC request, from the dispatch to its answer. */
struct request {
    struct list            link;
    struct gateway        *gateway;
    struct http_exchange  *exchange;
    struct catalog        *catalog; /* with a reference */
    const struct toolset  *toolset; /* NULL: every one */
    const struct revision *revision;
    struct caller          caller;
    json_t                *message, *session; /* session: what its token says; NULL without one */
    uint64_t               session_hash;      /* 0: none */
    const json_t          *id, *params, *meta;
    const json_t          *capabilities; /* of the client; NULL: unknown, so none */
    bool                   streaming;
    bool     needs_400; /* an error of this one is a status, too: set while headers and params are read */
    char    *event_id;  /* of the stream's events; NULL: they cannot be taken up again */
    uint64_t event_count;
    struct loop_timer  keep_alive;
    struct http_header cors[AUTH_CORS_HEADERS];
    /* Lets go of all it waits for, because the peer went or the gateway ends; the request is freed afterwards. May be NULL. */
    void (*gone)(struct request *request);
    /* The server stops: answers with what can be said now. NULL: it has an answer soon. */
    void (*drain)(struct request *request);
    void         *work;
    const json_t *related_task; /* of 2025-11-25: said in the answer's _meta; NULL: none */
    /* 2025-03-26: one request of a batch, whose answer goes into that of the whole; what would go on a stream before it is left out. */
    struct request *batch;   /* NULL: it is none */
    json_t         *answers; /* of the whole; NULL: this is no batch */
    size_t          answers_due;
};
struct method {
    const char *name;
    enum { IN_LEGACY = 1, IN_MODERN = 2 } generations;
    void (*handle)(struct request *request);
    const char *name_header; /* the field of params that Mcp-Name repeats; NULL: none */
};
const struct method *method_find(const char *name);

/* --- rpc.c: answers. Each of the two ends the request; `result` and `data` are taken. --- */
void request_result(struct request *request, json_t *result);
void request_error(struct request *request, int code, json_t *data, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void request_missing_capability(struct request *request, const char *name, bool is_extension);
/* A message before the answer, on the request's stream, which begins with the first one. `params` is taken. */
void request_notify(struct request *request, const char *method, json_t *params);
void request_send(struct request *request, json_t *message);
void request_stream(struct request *request);
/* An answer to a post that expects none, or one without JSON-RPC. Ends it. */
void request_status(struct request *request, int status);
/* Ends a stream without an answer. */
void request_end(struct request *request);
/* Whether the client has declared the capability, e.g. "elicitation", or the extension. */
bool request_can(const struct request *request, const char *capability);
bool request_can_extension(const struct request *request, const char *name);
/* A string parameter; false and answered when it is not there. */
/* The header is there once (or not at all, unless required) and says `expected`; false and answered otherwise. */
bool request_check_header(struct request *request, const char *header, struct bytes expected, bool required);
bool request_text_param(struct request *request, const char *name, struct bytes *ret_value);
void rpc_handle(struct gateway *gateway, struct http_exchange *exchange, const struct caller *caller);

/* --- token.c: JSON under seal --- */
char *token_make(const struct request *request, enum seal_purpose purpose, int64_t lifetime_ns,
                 const json_t *value);
/* NULL: not one of ours and this caller's, or expired. */
json_t *token_open(const struct gateway *gateway, const struct caller *caller, enum seal_purpose purpose,
                   struct bytes text);
/* What names a call that is waited for: its run and tool. */
json_t *ref_to_json(const struct run_ref *ref, const struct tool *tool);
/* The strings are borrowed from `value`. NULL: the tool is gone, or is not for this path. */
const struct tool *ref_from_json(const struct request *request, const json_t *value, struct run_ref *ret_ref);

/* A question was answered through this server. */
void question_answered(struct gateway *gateway, const struct run_ref *ref, const char *key);
bool question_is_answered(const struct gateway *gateway, const struct run_ref *ref, const char *key);

/* --- list.c --- */
/* Exposed tools by the name that this path gives them. */
const struct tool *tool_find(const struct request *request, struct bytes name);
/* Whether it is listed for this caller. */
bool    tool_is_for(const struct tool *tool, const struct caller *caller);
void    handle_tools_list(struct request *request);
void    handle_initialize(struct request *request);
void    handle_discover(struct request *request);
void    handle_empty(struct request *request);
json_t *server_info(const struct gateway *gateway);
/* A page of `items` (taken) under `name`, as the request's cursor says. */
void list_answer(struct request *request, const char *name, json_t *items);
/* ttlMs and cacheScope, on the wire that has them. */
void add_cache_hints(const struct request *request, json_t *result, int64_t ttl_ms);
/* Walks the toolsets of the request's path. */
size_t                request_toolset_count(const struct request *request);
const struct toolset *request_toolset(const struct request *request, size_t index);

/* --- call.c --- */
void handle_tools_call(struct request *request);
/* Waits for a run on behalf of the request: what task_result and a stream that is taken up again do. `state` is a ref's JSON. */
void call_wait(struct request *request, const json_t *state, bool to_the_end);
/* Calls a tool for something else than tools/call; `finish` ends the request. The catalog is the request's. */
void call_begin(struct request *request, const struct tool *tool, const json_t *arguments,
                void (*finish)(struct request *request, const struct outcome *outcome));
/* GET with Last-Event-ID: false when that is no id of ours. */
bool call_resume(struct request *request, struct bytes event_id);
/* A response of the client's to a question that was put on a stream. */
void call_take_response(struct request *request);
/* A question as a request of the server's, whose answer call_take_response takes. A new reference; NULL: not for this client. */
json_t *question_message(const struct request *request, const struct run_ref *ref, const struct tool *tool,
                         const char *key, const json_t *question, const json_t *task_id);
/* An outcome as the result of tools/call, of this revision. A new reference. */
json_t *content_result(const struct request *request, const struct outcome *outcome);
/* Ends the request with an outcome. */
void content_answer(struct request *request, const struct outcome *outcome);

/* --- task.c --- */
json_t *task_json(const struct request *request, const char *task_id, const struct run_ref *ref,
                  const struct run_view *view);
json_t *time_json(int64_t wall_ns);
char   *task_id_make(const struct request *request, const struct run_ref *ref, const struct tool *tool);
json_t *time_json(int64_t wall_ns); /* as RFC 3339 has it, to the millisecond */
void    handle_task_get(struct request *request);
void    handle_task_update(struct request *request);
void    handle_task_cancel(struct request *request);
void    handle_task_result(struct request *request);
/* The built-in tools task_result, task_status and task_cancel: false when the name is none of them. */
bool builtin_call(struct request *request, struct bytes name, const json_t *arguments);
void builtin_list(json_t *tools, const struct revision *revision);

/* --- listen.c --- */
struct listen;
void handle_listen(struct request *request);
void listen_legacy(struct request *request); /* a GET without Last-Event-ID */
void listen_catalog_changed(struct gateway *gateway, const struct catalog *before,
                            const struct catalog *after);
void listen_drain(struct gateway *gateway);
/* 2025-11-25: questions of a task go to the session's own stream, once each, since not every client waits in tasks/result. */
void listen_ask(const struct request *request, const struct run_ref *ref, const struct tool *tool,
                const json_t *questions, const json_t *task_id);
/* On this stream, or (`listen` NULL) on that of the session, if it has one. `params` is taken. */
void listen_tell(struct gateway *gateway, struct listen *listen, uint64_t session_hash, const char *caller,
                 const char *method, json_t *params);
bool listen_has_asked(const struct request *request, const struct run_ref *ref, const char *key);

/* --- declared.c: what is declared, for HTTP without MCP. The schema of mcp.json is there for everybody. --- */
#define DECLARED_PATH "/api/v1/mcp/toolsets"
#define SCHEMA_PATH   "/mcp.schema.json"
void declared_handle(void *context, struct http_exchange *exchange);
void declared_schema(void *context, struct http_exchange *exchange);

/* --- run_resource.c --- */
enum run_uri_kind { RUN_URI_RESULT, RUN_URI_STATUS, RUN_URI_HISTORY };
struct run_uri {
    char             *part[3]; /* namespace, workflow id, run id */
    enum run_uri_kind kind;
};
bool run_uri_parse(struct bytes text, struct run_uri *ret_uri); /* to be released in both cases */
void run_uri_release(struct run_uri *uri);
struct backend_call *run_uri_describe(struct gateway *gateway, const struct run_uri *uri, backend_done *done,
                                      void *context);
/* The tool that the described run is of, when it is this caller's and served there; else NULL. */
const struct tool *run_tool(const struct catalog *catalog, const struct toolset *only, const char *caller,
                            const char                                                     *namespace_name,
                            const struct workflowservice_DescribeWorkflowExecutionResponse *described,
                            struct arena                                                   *arena);
bool run_resource_read(struct request *request, struct bytes uri); /* false when the URI is no run's */
/* The address of the run's status as _meta has it; NULL when the run is not known by its id. */
json_t *run_meta(const struct run_ref *ref);
void    run_resource_templates(const struct request *request, json_t *items);

/* --- subscribe.c --- */
/* `listen` NULL: of the request's session. False: there is no such resource, or too many are subscribed to. */
bool subscribe(struct request *request, struct listen *listen, struct bytes uri);
void subscriptions_end(struct gateway *gateway, const struct listen *listen, uint64_t session_hash);
void subscriptions_forget(struct gateway *gateway);
void handle_resources_subscribe(struct request *request);
void handle_resources_unsubscribe(struct request *request);

/* --- resource.c, prompt.c. The two end the request; `content` is taken. --- */
void                   resource_answer(struct request *request, json_t *content);
void                   resource_not_found(struct request *request);
const struct resource *resource_find(const struct request *request, struct bytes uri, json_t **ret_names);
void                   handle_resources_list(struct request *request);
void                   handle_resource_templates_list(struct request *request);
void                   handle_resources_read(struct request *request);
void                   handle_prompts_list(struct request *request);
void                   handle_prompts_get(struct request *request);
void                   handle_complete(struct request *request);
#endif
