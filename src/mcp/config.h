/* config.h: what is declared: mcp.json and documents of the registry, as one immutable `struct catalog`.
 *
 * A document is read whole or refused whole; each finding names file, line, column and field. Every option, its default and
 * its bounds stand in one table (config_fields.c), from which come the parser, docs/mcp.schema.json and the reference.
 *
 * Owns:    a catalog owns all that it points to; it is reference-counted, so a call goes on with what it began with.
 * Thread:  a catalog is immutable and may be used by any; the watch belongs to the thread of its loop.
 * Limits:  CONFIG_SIZE_MAX per file, and the *_MAX below.
 */
#ifndef MCP_CONFIG_H
#define MCP_CONFIG_H
#include "base/arena.h"
#include "mcp/schema.h"
#include "mcp/template.h"

#define CONFIG_SIZE_MAX      ((size_t)1024 * 1024) /* of mcp.json, and of each file it names */
#define CONFIG_TOOLSETS_MAX  1000
#define CONFIG_TOOLS_MAX     1000 /* of one toolset; as many prompts, resources, resource templates */
#define CONFIG_FINDINGS_MAX  50   /* that one reading speaks of */
#define CONFIG_FILES_MAX     100  /* that one document names */
#define RESOURCE_CONTENT_MAX ((size_t)1024 * 1024)

enum tool_kind {
    TOOL_START,             /* start a workflow (or attach), answer with its result */
    TOOL_UPDATE_WITH_START, /* start it if it does not run, answer with the update's result */
    TOOL_SIGNAL_WITH_START, /* start it if it does not run; the answer is that the signal is durable */
    TOOL_SIGNAL,
    TOOL_UPDATE,
    TOOL_QUERY,
};
enum running_policy { RUNNING_ATTACH, RUNNING_REJECT, RUNNING_NEW };
enum closed_policy { CLOSED_RERUN, CLOSED_RERUN_IF_FAILED, CLOSED_RETURN };
enum other_args_policy { OTHER_ARGS_REJECT, OTHER_ARGS_IGNORE };
enum task_mode { TASK_AUTO, TASK_ALWAYS, TASK_NEVER };
enum disconnect_policy { DISCONNECT_DETACH, DISCONNECT_CANCEL };
enum result_form { RESULT_PLAIN, RESULT_RAW };
enum query_fallback { FALLBACK_NONE, FALLBACK_DESCRIBE };
enum auth_mode { AUTH_NONE, AUTH_TOKENS, AUTH_JWT };

/* A workflow's state as a query says it: the workflow is in it when the query's result is the same as `equals`. */
struct query_condition {
    const char   *query;
    const json_t *equals;
};
/* How an answer reaches the workflow: the first rule whose `condition` (a field of the form; NULL: always) is true. Exactly
 * one of signal and update is set. */
struct answer_rule {
    const char *condition, *signal, *update;
    const struct template
        *args; /* a JSON array; its paths are the form's answers and the tool's arguments; NULL: none */
};
/* The answers' values beside the arguments': {answer.NAME}. */
#define TEMPLATE_ANSWER_NAME "answer"
struct approval {
    struct query_condition when;
    const struct template *message; /* TEMPLATE_TEXT */
    const json_t        *form; /* a requestedSchema: {"type": "object", "properties": ..., "required": ...} */
    const struct schema *form_schema;
    const struct answer_rule *accept, *decline; /* decline serves "cancel" too */
    size_t                    accept_count, decline_count;
};

struct toolset;
struct tool {
    const struct toolset *toolset;
    const char           *name;                /* unique in its toolset */
    const char           *title, *description; /* NULL: none */
    const json_t         *input, *output;      /* as published; output NULL: none declared */
    const struct schema  *input_schema, *output_schema;
    const json_t         *annotations, *icons, *meta; /* objects/array as published; NULL: none */
    bool                  shared;    /* its runs are those of all callers on purpose: no lint */
    bool                  read_only; /* annotations.readOnlyHint, and every query */
    bool exposed; /* false: not listed and not callable from outside (a prompt or resource may use it) */
    const char *const *scopes; /* which the caller must all have; the toolset's own added */
    size_t             scope_count;
    const char *version; /* 16 hex digits of the hash of what declares it: mcp.tool is "name@version" */

    enum tool_kind         kind;
    const char            *namespace_name, *task_queue; /* the queue is NULL only where nothing is started */
    const char            *workflow;                    /* the type that is started, else NULL */
    const struct template *id; /* of the workflow; never NULL (the default id has its template too) */
    bool                   id_is_default;
    const struct template
               *args;      /* what the workflow is started with: a JSON array; NULL: nothing is started */
    const char *operation; /* the signal's, update's or query's name, else NULL */
    const struct template *operation_args; /* a JSON array, else NULL */
    const struct template *update_id;      /* NULL: a fresh one per call */
    struct query_condition require_query;  /* query NULL: none */
    int64_t                query_timeout_ns;
    enum query_fallback    fallback;

    enum running_policy running;
    enum closed_policy  closed;
    int64_t window_ns; /* how long after its close a run counts as the answer; 0: as long as it is retained */
    enum other_args_policy same_id_other_args;
    int64_t execution_timeout_ns, run_timeout_ns, workflow_task_timeout_ns; /* 0: the server's */
    int64_t start_delay_ns;

    enum task_mode task;
    int64_t        sync_wait_ns, task_after_ns, max_stream_ns, hold_ns;
    uint32_t       legs; /* how often a client without tasks is asked to come again; 0: hand-off at once */
    enum disconnect_policy on_disconnect;
    bool                   hand_off; /* whether task_result and its like are offered for it */
    const struct template
               *running_text; /* TEMPLATE_TEXT: what a hand-off says first; NULL: nothing of its own */
    const char *resource;     /* a URI, perhaps with the names of arguments: it can be read, too; NULL: no */
    const struct approval *approval; /* NULL: none */
    enum result_form       result;
};

/* Static text of a server's own, not from a workflow. */
struct prompt {
    const struct toolset *toolset;
    const char           *name, *title, *description;
    const json_t         *arguments; /* as published: [{name, description, required}] */
    const struct template
        *messages; /* a JSON array of {role, content}; paths are the arguments' names; NULL: see tool */
    const struct tool *tool;        /* whose answer (raw) the prompt is; NULL: see messages */
    const json_t      *completions; /* {argument: [value...]}; NULL: none */
};
/* One with "{name}" in its URI is a template: it answers for every URI of that form. */
struct resource {
    const struct toolset  *toolset;
    const char            *uri, *name, *title, *description, *mime_type;
    const json_t          *annotations;
    bool                   is_template;
    struct bytes           text, blob; /* of a static one: exactly one is not NULL; blob is base64, as sent */
    const struct template *text_template; /* of a template: paths are the names in the URI; NULL: see tool */
    const struct tool     *tool; /* called with the names in the URI as arguments; its text is the content */
    const json_t          *completions; /* {name: [value...]}; NULL: none */
};

struct toolset {
    const char        *name, *title, *instructions, *namespace_name;
    bool               from_registry;
    uint64_t           version; /* of the registry's document, as the source said; 0 for a file */
    struct tool       *tools;   /* in the order of the document; looked up by name with catalog_tool */
    size_t             tool_count;
    struct prompt     *prompts;
    size_t             prompt_count;
    struct resource   *resources;
    size_t             resource_count;
    const char *const *scopes;
    size_t             scope_count;
    /* Stable hashes of what the lists say: a listener is told when one changes. */
    uint64_t tools_hash, prompts_hash, resources_hash;
};

struct auth_options {
    enum auth_mode     mode;
    const char        *tokens_file;              /* absolute or relative to the working directory */
    const char        *issuer, *audience, *jwks; /* jwks: a path or an http(s) URL */
    const char        *resource;                 /* the URL by which this server is known; NULL: from Host */
    const char        *caller_claim, *scope_claim; /* "sub", "scope" */
    int64_t            leeway_ns, jwks_refresh_ns;
    const char *const *authorization_servers; /* NULL: the issuer */
    size_t             authorization_server_count;
    const char *const *scopes; /* that any use of the gateway needs */
    size_t             scope_count;
};
/* A codec server of Temporal's form, for workers that encrypt what they are given. */
struct codec_options {
    const char *endpoint; /* NULL: none */
    int64_t     timeout_ns;
};
struct catalog {
    uint32_t             references; /* atomic; by catalog_ref and catalog_unref only */
    uint64_t             version;    /* 1, 2, ... as the watch made them */
    struct auth_options  auth;
    struct codec_options codec;
    const char          *listen;  /* HOST:PORT of the tools alone; NULL: the server's HTTP address */
    const char *const   *origins; /* patterns; "http://localhost:*" */
    size_t               origin_count;
    const char *const   *hosts; /* names in Host besides the loopback ones; "*" for any */
    size_t               host_count;
    uint32_t             open_tasks_per_caller;
    uint32_t             calls_per_second, calls_burst; /* of one caller; 0: no bound, and twice as many */
    struct toolset     **toolsets;                      /* in the order of the documents, files first */
    size_t               toolset_count;
    struct catalog_private *private;
};

/* Where a document comes from. The first must be the file (or be absent: everything has its default); others are single
 * toolsets. Of two toolsets with one name the first wins, with a warning. */
struct config_source {
    const char  *file; /* the name that findings carry; other files are looked for beside it */
    struct bytes text;
    const char *
        toolset; /* NULL: a whole mcp.json. Else the text is this toolset's object, from the registry: no files */
    uint64_t version;
};
enum config_finding_kind { CONFIG_ERROR, CONFIG_WARNING };
struct config_finding {
    enum config_finding_kind kind;
    const char              *file, *pointer, *words; /* live as long as the report */
    struct json_place        place;
};
struct config_report {
    struct arena          arena;
    struct config_finding findings[CONFIG_FINDINGS_MAX];
    size_t                count, error_count;
    const char *files[CONFIG_FILES_MAX]; /* that were looked for besides the sources, found or not */
    size_t      file_count;
    size_t      left_out; /* findings that did not fit */
};
void config_report_init(struct config_report *report);
void config_report_release(struct config_report *report);
/* "FILE:LINE:COLUMN: /pointer: words", a line without its end. */
void config_finding_print(const struct config_finding *finding, struct buffer *to);

/* ST_OK: `ret_catalog` has one reference. ST_INVALID_ARGUMENT: the report says why. Warnings come in either case. */
enum status config_build(const struct config_source *sources, size_t count, struct catalog **ret_catalog,
                         struct config_report *report) MUST_USE;
/* Whether a document could become a toolset of the registry beside what `base` (NULL: nothing) has: INVALID_ARGUMENT says what is
 * wrong with it, FAILED_PRECONDITION that base's file has one of this name. `warnings` gets a line each. */
enum status config_check_toolset(const struct catalog *base, struct bytes name, struct bytes document,
                                 struct buffer *warnings, struct error *error) MUST_USE;
/* The toolset of an mcp.json as a document for the registry: its defaults and the files it names are in it. A new reference; NULL: the
 * error says what cannot be there. `toolset` is what was made of `document`. */
json_t         *config_export(const json_t *document, const struct toolset *toolset, struct error *error);
struct catalog *catalog_ref(struct catalog *catalog);
void            catalog_unref(struct catalog *catalog); /* NULL is fine */
const struct toolset *catalog_toolset(const struct catalog *catalog, struct bytes name);
const struct tool    *toolset_tool(const struct toolset *toolset, struct bytes name); /* exposed or not */
const char           *tool_kind_name(enum tool_kind kind); /* of the field that declares it: "start", ... */
const struct prompt  *toolset_prompt(const struct toolset *toolset, struct bytes name);
/* The static resource of this URI, else the first template that fits; `ret_names` gets an object with what the URI's names
 * stand for (a new reference; NULL for a static one). */
const struct resource *toolset_resource(const struct toolset *toolset, struct bytes uri, json_t **ret_names);

/* --- the published form and the reference, from the tables --- */
json_t *config_json_schema(void);                  /* of mcp.json; a new reference */
void    config_print_reference(struct buffer *to); /* Markdown, for docs/reference/mcp.md */

/* --- watching --- */
struct loop;
struct config_watch;
/* Called on the loop's thread with the catalog in force (take a reference to keep it), first from within config_watch_new. */
typedef void config_changed(void *context, struct catalog *catalog);
/* Reads the file (NULL: none; only the registry speaks), and again when it or a file it names changes (looked at each second).
 * The first reading must succeed; a later one that fails changes nothing and is logged, with line and column. */
enum status config_watch_new(struct loop *loop, const char *path, config_changed *changed, void *context,
                             struct config_watch **ret_watch, struct error *error) MUST_USE;
void        config_watch_free(struct config_watch *watch);
/* Now, changed or not: for SIGHUP. */
void config_watch_reload(struct config_watch *watch);
/* What the registry holds now (copied). A document with an error is left out, and logged. */
void config_watch_registry(struct config_watch *watch, const struct config_source *documents, size_t count);
struct catalog *config_watch_catalog(const struct config_watch *watch); /* borrowed */
#endif
