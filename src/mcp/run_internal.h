/* run_internal.h: what the files behind run.h share. */
#ifndef MCP_RUN_INTERNAL_H
#define MCP_RUN_INTERNAL_H
#include "base/hash.h"
#include "base/table.h"
#include "codec/pb.h"
#include "codec/pb_time.h"
#include "mcp/quota.h"
#include "mcp/run.h"

struct runs {
    struct backend *backend;
    struct table    watches; /* by ref */
    size_t          watch_count, watcher_count;
    struct quota    quota;
    struct list     actions; /* under way, also those that nobody listens to */
    /* The newest answer of an approval's query for a run, so that it is asked once per workflow task. A ring: an old one is asked again. */
    struct approval_memo {
        uint64_t key; /* of run and query; 0: none */
        int64_t  history_length;
        bool     holds;
    } approvals[1024];
    /* The soonest open timer of a run, which is the same until its history grows. */
    struct timer_memo {
        uint64_t key; /* of the run; 0: none */
        int64_t  history_length, due_ns;
    } timers[1024];
    /* Queues whose workers did not answer a query. A ring: where one is forgotten, the next query waits its time. */
    struct silence {
        uint64_t             key;           /* of namespace and queue; 0: none */
        int64_t              since_wall_ns; /* when the query was sent: who polls later may be asked again */
        struct backend_call *probe;         /* NULL: none is under way */
    } silences[256];
    int64_t created_ns;
};

/* What a view is made of. */
struct run_facts {
    const struct workflowservice_DescribeWorkflowExecutionResponse *description;
    bool                                                            asks; /* the approval's condition holds */
    int64_t timer_due_ns; /* of the soonest open timer; 0: none known */
};

/* --- view.c: pure --- */
void        view_of_facts(const struct run_facts *facts, const struct tool *tool, struct run_view *ret_view);
bool        view_same(const struct run_view *a, const struct run_view *b); /* but for its times */
bool        status_is_open(int32_t status);
const char *status_words(int32_t status); /* "running", "completed", ... */
/* The key under which the approval of this run is asked: one per run of a chain. */
void approval_key(struct bytes run_id, char ret_key[32]);

/* --- ask.c: queries; answered at once, without an answer, where no worker seems to be --- */
struct ask_question {
    struct bytes namespace_name, workflow_id, run_id, task_queue, query, input, header;
    int64_t      timeout_ns;
};
struct ask;
/* `done` has a QueryWorkflowResponse, or an error. The question is copied. */
struct ask *ask_begin(struct runs *runs, const struct ask_question *question, backend_done *done,
                      void *context);
void        ask_cancel(struct ask *ask);        /* NULL is fine */
bool        ask_went_unheard(enum status code); /* no worker had a word in it */
void        silences_forget(struct runs *runs);

/* --- look.c --- */
/* Describes the newest run of the ref's chain, and finds out what else its view needs. `facts` NULL: with an error. */
struct look;
typedef void look_done(void *context, const struct run_facts *facts, const struct error *error,
                       struct arena *arena);
struct look *look_begin(struct runs *runs, const struct run_ref *ref, const struct tool *tool,
                        look_done *done, void *context);
void         look_cancel(struct look *look); /* NULL is fine */
/* The run that follows the one that ended with this event; empty: none. */
struct bytes close_successor(const struct history_HistoryEvent *event);
/* The first event of a page, decoded into the arena; NULL: there is none, or it does not decode. */
struct history_HistoryEvent *page_event(
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page, size_t index,
    struct arena *arena);

void actions_forget(struct runs *runs);

char *text_copy(struct bytes text); /* NUL-terminated; the caller frees */
#endif
