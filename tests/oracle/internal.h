/* internal.h: what the oracle's files share: runs as they were seen, and the judge of one history. */
#ifndef ORACLE_INTERNAL_H
#define ORACLE_INTERNAL_H
#include "base/list.h"
#include "base/table.h"
#include "codec/pb_time.h"
#include "oracle.h"

/* --- oracle.c --- */

struct seen {
    struct bytes                raw;
    uint64_t                    known; /* since this moment: see oracle->now */
    struct history_HistoryEvent event;
};
struct run {
    struct table_link link;
    struct oracle    *oracle;
    struct bytes      id;
    struct seen     **events; /* by event id */
    int64_t           capacity, last;
    struct bytes      workflow_id; /* empty: not known yet */
    uint64_t          known, read; /* when somebody heard of it; when its whole history was asked for last */
    int64_t           read_last;   /* the last event of that */
    bool              deleted, missing; /* somebody asked to delete it; it was not there */
    struct judge     *judge;            /* of all events that are known without a gap */
};
struct oracle {
    struct arena   arena;
    oracle_report *report;
    void          *context;
    struct table   runs, operated, delivered, deliveries, attempts, pages;
    struct list    calls, operations, views;
    uint64_t       now, settled; /* moments: calls and answers, counted */
    uint64_t       call_count;
    int64_t        timer_late_max; /* 0: not judged */
    uint64_t       judged;
    bool           mute; /* a judge that is only wanted for its result */
};
struct run *oracle_run(const struct oracle *oracle, struct bytes run_id); /* NULL when unknown */
void        oracle_fail(struct oracle *oracle, enum oracle_check check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether somebody was handed the task that this event started. */
bool oracle_was_delivered(const struct oracle *oracle, struct bytes run_id, int64_t started_event_id);
bool oracle_has_operated(const struct oracle *oracle, struct bytes workflow_id);

struct run *oracle_run_of(struct oracle *oracle, struct bytes run_id); /* makes it known */
/* The run is of this workflow. */
void oracle_run_belongs(struct oracle *oracle, struct run *run, struct bytes workflow_id);
/* The last event that somebody knew at that moment; 0: none. */
int64_t oracle_last_known(const struct run *run, uint64_t moment);
/* Walks all runs; the iterator begins as { 0 }. */
struct run *oracle_next_run(const struct oracle *oracle, struct table_iterator *iterator);
static inline const struct history_HistoryEvent *run_event(const struct run *run, int64_t id)
{
    return id >= 1 && id < run->capacity && run->events[id] != NULL ? &run->events[id]->event : NULL;
}
/* Whether all of its history has been read. */
bool run_is_complete(const struct run *run);

/* --- calls.c --- */

struct call {
    struct list             link;
    uint64_t                number, at;
    const struct pb_method *method;
    void                   *request;            /* decoded; NULL: it does not */
    struct operation       *operation, *update; /* NULL: none */
};
/* A task that somebody got, by its token. */
struct delivery {
    struct table_link link;
    struct bytes      token, run_id, activity_id;
    int64_t           started;
    int32_t           attempt;
    bool              of_activity;
    /* The completion that was accepted. */
    unsigned     accepted;
    uint64_t     accepted_at;
    const void  *request;
    unsigned     method;
    bool         left_no_trace;
    struct bytes tail[2]; /* the Scheduled and Started that had no place yet */
    size_t       tail_count;
};

/* --- operations.c: what clients asked for --- */

enum operation_kind {
    OPERATION_START,
    OPERATION_SIGNAL,
    OPERATION_CANCEL,
    OPERATION_TERMINATE,
    OPERATION_UPDATE,
    OPERATION_RESET,
};
/* One request with all its repetitions. */
struct operation {
    struct list         link;
    enum operation_kind kind;
    struct bytes        workflow_id, run_id, key;
    struct bytes        name, input; /* of signals */
    uint64_t            called, acknowledged;
    bool                may_start; /* a signal with start */
    bool                again;     /* a signal sent again after its acknowledgement: two runs may have it */
    bool                doubtful;  /* a repetition ended in doubt, or not at all */
    unsigned            doubts;    /* how many did */
    unsigned            open;      /* repetitions without an answer */
    unsigned            calls;
    struct bytes        ret_run_id;
    bool                ret_started;
    int32_t             ret_stage;
    bool                without_signals; /* a reset that leaves them behind */
    const struct update_Outcome *ret_outcome;
    /* Where it took effect; NULL: nowhere. */
    const struct run *effect_run;
    int64_t           effect_event;
};
void operations_called(struct oracle *oracle, struct call *call);
void operations_answered(struct oracle *oracle, struct call *call, enum status code, const void *response);
void operations_audit(struct oracle *oracle);
void deliveries_audit(struct oracle *oracle);

/* --- view.c: Describe and lists --- */

void view_described(struct oracle *oracle, const struct call *call,
                    const struct workflowservice_DescribeWorkflowExecutionResponse *response);
void view_row(struct oracle *oracle, const struct call *call,
              const struct workflow_WorkflowExecutionInfo *row);
void views_audit(struct oracle *oracle);

/* --- chain.c: several runs --- */

struct bytes run_next(const struct run *run); /* the run that its closing event names; empty: none */
void         chain_audit(struct oracle *oracle);

/* --- judge.c: one history, event by event --- */

enum thing_kind {
    THING_ACTIVITY,
    THING_TIMER,
    THING_CHILD,
    THING_SIGNAL_OUT,
    THING_CANCEL_OUT,
    THING_NEXUS,
    THING_UPDATE,
    THING_KIND_COUNT
};
/* What one event began and a later one ends. */
struct thing {
    struct list                        link; /* in judge->open[kind] while it is open */
    enum thing_kind                    kind;
    const struct history_HistoryEvent *event;  /* that began it */
    struct bytes                       name;   /* activity id, timer id, child's workflow id, update id */
    struct bytes                       run_id; /* a child's first run */
    int64_t                            started, started_time, canceling; /* event ids; 0: not */
    const struct history_HistoryEvent *started_event;
    int64_t                            due; /* of timers */
    int64_t                            ended;
};
enum task_state { TASK_NONE, TASK_SCHEDULED, TASK_STARTED };
struct task_judge {
    enum task_state state;
    int64_t         scheduled, started, scheduled_time, started_time, timeout;
    int32_t         attempt;
    bool            sticky;
    int64_t         last_started_time; /* of any task: what workflow code knows as now */
    int64_t         heartbeat_since;   /* the first task of an unbroken row of completions that did nothing */
    int64_t         completed, completed_started,
        completed_time;    /* the last WorkflowTaskCompleted, and its Started */
    bool in_commands;      /* the commands of `completed` may still come */
    bool after_completion; /* what it left may be flushed; nothing was scheduled since */
    bool flush_has_ends;
    /* How the last task ended, when not by completion; 0 otherwise. */
    int64_t failed;
    int32_t failed_attempt, failed_cause;
    enum { COUNTS_NOT, COUNTS, COUNTS_PERHAPS } failed_counts; /* the next attempt is one more */
    bool needed; /* something happened that workflow code has to see */
};
/* A key of memo or search attributes, and its payload's data. */
struct field {
    struct list  link;
    struct bytes key, data;
};
struct judge {
    struct run                        *run;
    struct arena                       arena;
    int64_t                            last;
    int64_t                            time_max;
    const struct history_HistoryEvent *first, *close, *reset;
    struct thing                     **things; /* by the event id that began them */
    int64_t                            thing_capacity;
    struct list                        open[THING_KIND_COUNT];
    size_t                             open_count[THING_KIND_COUNT];
    struct task_judge                  task;
    struct list                        updates; /* struct thing: all that were accepted */
    struct list                        signals; /* struct request: their request ids */
    int64_t                            cancel_requested, signal_count;
    bool                               paused;
    int32_t                            status;
    struct list                        memo, attributes; /* struct field */
};
struct judge *judge_new(struct run *run);
void          judge_free(struct judge *judge);
/* The next event. Reports what is wrong with it and goes on as well as it can. */
void judge_event(struct judge *judge, const struct history_HistoryEvent *event);

void judge_fail(struct judge *judge, enum oracle_check check, const struct history_HistoryEvent *event,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
struct thing *judge_begin(struct judge *judge, enum thing_kind kind, const struct history_HistoryEvent *event,
                          struct bytes name);
/* The open thing that this event id began; otherwise reports under `check` and returns NULL. */
struct thing *judge_open(struct judge *judge, enum thing_kind kind, enum oracle_check check,
                         const struct history_HistoryEvent *event, int64_t begun_by);
void          judge_end(struct judge *judge, struct thing *thing, const struct history_HistoryEvent *event);
/* That a command's event is where it may be. */
void judge_command(struct judge *judge, const struct history_HistoryEvent *event, int64_t completed);
static inline int64_t event_time(const struct history_HistoryEvent *event)
{
    return timestamp_ns(event->event_time);
}

/* One function per event type, in the file of its subject. */
typedef void  judge_handler(struct judge *judge, const struct history_HistoryEvent *event);
judge_handler judge_task_scheduled, judge_task_started, judge_task_completed, judge_task_failed,
    judge_task_timed_out;
judge_handler judge_activity_scheduled, judge_activity_started, judge_activity_completed,
    judge_activity_failed, judge_activity_timed_out, judge_activity_cancel_requested, judge_activity_canceled;
judge_handler judge_timer_started, judge_timer_fired, judge_timer_canceled;
judge_handler judge_child_initiated, judge_child_start_failed, judge_child_started, judge_child_completed,
    judge_child_failed, judge_child_canceled, judge_child_timed_out, judge_child_terminated;
judge_handler judge_signal_initiated, judge_signal_failed, judge_signal_done, judge_cancel_initiated,
    judge_cancel_failed, judge_cancel_done;
judge_handler judge_nexus_scheduled, judge_nexus_started, judge_nexus_completed, judge_nexus_failed,
    judge_nexus_canceled, judge_nexus_timed_out, judge_nexus_cancel_requested, judge_nexus_cancel_completed,
    judge_nexus_cancel_failed;
judge_handler judge_update_admitted, judge_update_accepted, judge_update_completed;
judge_handler judge_run_started, judge_run_completed, judge_run_failed, judge_run_timed_out,
    judge_run_canceled, judge_run_terminated, judge_run_continued, judge_run_signaled,
    judge_run_cancel_requested, judge_run_paused, judge_run_unpaused, judge_options_updated, judge_marker,
    judge_upsert, judge_properties;
/* What an activity or a workflow answered to whether a failure may be tried again. */
bool failure_is_retryable(struct arena *arena, struct bytes failure, const struct common_RetryPolicy *policy);
/* The delay that a failure asks for; -1: none. */
int64_t failure_delay(struct arena *arena, struct bytes failure);
#endif
