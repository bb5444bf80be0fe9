/* run.h: a tool call from arguments to outcome, and what is known of the runs behind calls.
 *
 * An invocation (invoke.c) checks, derives the id, starts or attaches, and gives a `run_ref`: from then on the run is what counts; the
 * request may die. A watch (watch.c) waits for a run's end by the long poll that every SDK uses, over continue-as-new, retries, cron and
 * resets; all who wait for one run share one poll. A view (view.c) is the state in words, from the server alone: no worker is asked, but
 * for the query of an approval. An answer (answer.c) brings what a person said to the workflow, once.
 *
 * Owns:    invocations and watches under way. Survives: nothing here; everything is found again from a run_ref.
 * Thread:  the loop's. Callbacks come from the loop, never from inside the function that was asked, and not after the matching _cancel.
 * Limits:  RUN_WATCHES_MAX runs watched at once, RUN_WATCHERS_MAX who wait.
 */
#ifndef MCP_RUN_H
#define MCP_RUN_H
#include "base/list.h"
#include "mcp/backend.h"
#include "mcp/config.h"
#include "mcp/outcome.h"

#define RUN_WATCHES_MAX  10000
#define RUN_WATCHERS_MAX 20000
#define RUN_LOOK_NS                                                                                          \
    (2 * NS_PER_S)             /* how often what writes no event is looked up for those who show progress */
#define MEMO_TOOL   "mcp.tool" /* NAME@VERSION */
#define MEMO_CALLER "mcp.caller"
#define MEMO_ARGS   "mcp.args" /* SHA-256 of the canonical arguments, hexadecimal */
#define MEMO_ARGUMENTS                                                                                       \
    "mcp.arguments" /* the arguments themselves, of tools with an approval: its texts name them */
#define MEMO_TRACE    "mcp.trace"
#define MEMO_PROGRESS "mcp.progress" /* {progress, total?, message?}, by the workflow */
#define MEMO_INPUT    "mcp.input"    /* {key: {method, params}}, by the workflow */
#define INPUT_SIGNAL  "mcp.input"    /* (key, response) */

struct runs;
struct runs *runs_new(struct backend *backend);
/* No invocation, look or watch may be under way; actions are forgotten. NULL is fine. */
void runs_free(struct runs *runs);

/* What a call is waited for by; all that a task id has to name besides tool and caller. Strings are the struct's owner's. */
struct run_ref {
    const char *namespace_name, *workflow_id, *first_run_id;
    const char *update_id; /* NULL: the run's result; else this update's */
};
bool run_ref_copy(const struct run_ref *from,
                  struct run_ref       *ret_ref); /* always true; run_ref_release frees */
void run_ref_release(struct run_ref *ref);

/* --- invocation --- */
struct invoke_request {
    const struct tool *tool; /* its catalog must live until `done` (catalog_ref) */
    struct bytes       caller;
    const json_t      *arguments; /* an object; NULL is {} */
    struct bytes       traceparent, tracestate;
    /* A UUID that a repetition of the same call carries again: it starts, signals and updates nothing a second time, also
     * where ids are made of {uuid}. Empty: the call is one of its own. */
    struct bytes attempt;
    uint32_t
        open_max; /* of the caller's runs in the tool's namespace; past it nothing is started. 0: no bound */
};
struct invoke_answer {
    bool           has_ref;  /* there is something to wait for: `ref`; else `outcome` is the answer */
    bool           attached; /* it ran already, or had run: nothing was started */
    struct run_ref ref;      /* borrowed; copy it */
    struct outcome outcome;  /* borrowed */
};
struct invocation;
typedef void       invoke_done(void *context, const struct invoke_answer *answer);
struct invocation *run_invoke(struct runs *runs, const struct invoke_request *request, invoke_done *done,
                              void *context);
/* Nobody waits for it any more; what was sent may still take effect. */
void run_invoke_cancel(struct invocation *invocation);

/* --- views --- */
enum run_state { RUN_WORKING, RUN_INPUT_REQUIRED, RUN_COMPLETED, RUN_FAILED, RUN_CANCELLED };
struct run_view {
    enum run_state
        state; /* completed also when the result says isError; failed only for errors of the protocol (terminated) */
    char    message[1024];
    json_t *progress;               /* {progress, total?, message?} or NULL */
    json_t *questions;              /* {key: {method, params}}; NULL when there are none */
    int64_t created_ns, updated_ns; /* wall; updated: the newest change that the description tells */
    int64_t history_length;
};
void run_view_release(struct run_view *view);
/* Once, now. error ST_OK: `view` is borrowed. NOT_FOUND: there is no such run (any more). */
typedef void     run_looked(void *context, const struct run_view *view, const struct error *error);
struct run_look *run_look(struct runs *runs, const struct run_ref *ref, const struct tool *tool,
                          run_looked *looked, void *context);
void             run_look_cancel(struct run_look *look); /* NULL is fine */

/* --- watching --- */
struct run_watch;
struct run_watcher {
    /* The first view, and each change of it; only when wants_views. May end the watch. */
    void (*viewed)(struct run_watcher *watcher, const struct run_view *view);
    /* The end, once; the watch is over by then. NULL outcome: there is no such run, or it cannot be read: `error`. */
    void (*closed)(struct run_watcher *watcher, const struct outcome *outcome, const struct error *error);
    bool              wants_views; /* not to be changed while it watches */
    void             *context;
    struct list       link;  /* private */
    struct run_watch *watch; /* private; NULL: not watching */
    uint64_t          seen;  /* private: which view it has */
};
/* `tool` (its catalog lives on) says what the result becomes and whether there is an approval. RESOURCE_EXHAUSTED: too many. */
enum status run_watch_begin(struct runs *runs, const struct run_ref *ref, const struct tool *tool,
                            struct run_watcher *watcher, struct error *error) MUST_USE;
void        run_watch_end(struct run_watcher *watcher); /* harmless when it does not watch */

/* --- acting on a run --- */
/* ST_OK also for what has no effect any more (a closed run, an unknown key, an answer that was there): then `words` say so. */
typedef void run_acted(void *context, const struct error *error, const char *words);
struct run_action;
/* The cooperative one; asked twice it is one request. */
struct run_action *run_cancel(struct runs *runs, const struct run_ref *ref, run_acted *acted, void *context);
/* `response` is {action: "accept"|"decline"|"cancel", content?} as elicitation has it. */
struct run_action *run_answer(struct runs *runs, const struct run_ref *ref, const struct tool *tool,
                              struct bytes caller, const char *key, const json_t *response, run_acted *acted,
                              void *context);
void               run_action_cancel(struct run_action *action); /* forgets it; NULL is fine */
#endif
