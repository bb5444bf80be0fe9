/* oracle.h: judges, from outside, whether a server keeps its promises: histories, views and acknowledged operations.
 *
 * It was written from the documents (the behavioural contract and the promises D1-T2), not from the server, and knows
 * only what a client can see: public messages. It is slow and obvious on purpose. Whatever is wrong is reported under
 * the name of a check (see oracle_check_name), once per place, and never ends the program by itself.
 *
 * Owns:    copies of all it was shown, until oracle_free.
 * Thread:  one.
 * Limits:  none; it is for tests, whose runs end.
 */
#ifndef ORACLE_ORACLE_H
#define ORACLE_ORACLE_H
#include <stdio.h>

#include "codec/pb.h"
#include "pb/all.pb.h"

/* Every check: its identifier, the promise it belongs to with its name, and what must hold. */
#define ORACLE_CHECKS(X)                                                                                     \
    X(MALFORMED, "L2 event-malformed", "an event decodes, and its attributes are those of its type")         \
    X(GAP, "L2 history-gap", "event ids follow each other from 1")                                           \
    X(REWRITTEN, "L2 history-rewritten", "one event id has the same bytes for every reader, for ever")       \
    X(SHORT, "L2 history-short", "a complete history holds every event that anybody saw")                    \
    X(BACKWARDS, "L2 time-backwards", "what a commit writes is not older than what came before it")          \
    X(AFTER_CLOSE, "L2 event-after-close", "a closing event is the last one")                                \
    X(START, "L2 start-wrong", "event 1, and only it, is a Started that names its own run and chain")        \
    X(COMMAND, "L2 command-foreign", "a command's event follows the completion that it names, in its turn")  \
    X(TASK_SCHEDULED, "W task-scheduled", "at most one workflow task is outstanding, none while paused")     \
    X(TASK_STARTED, "W task-started", "a workflow task starts once, and then nothing comes before its end")  \
    X(TASK_ENDED, "W task-ended", "a workflow task ends once, and names its Scheduled and Started")          \
    X(TASK_ATTEMPT, "W task-attempt", "attempts count the failures that leave no events")                    \
    X(TASK_CAUSE, "W task-cause", "a task that the server failed says why, and what follows fits")           \
    X(FLUSH, "W flush-order", "what was buffered comes in order, ends of activities and children last")      \
    X(ACTIVITY, "L2 activity-unknown", "an activity is scheduled, started and ended once each, in order")    \
    X(ACTIVITY_ATTEMPT, "E2 activity-attempt", "an attempt is within the policy, and its back-off was kept") \
    X(RETRY_STATE, "E2 retry-state", "an activity that is not retried says the true reason")                 \
    X(TIMEOUT_EARLY, "T1 timeout-early", "no timeout before its time")                                       \
    X(TIMER, "T2 timer-twice", "a timer is started once, and then fires or is canceled once")                \
    X(TIMER_EARLY, "T1 timer-early", "no timer fires before its time")                                       \
    X(TIMER_LATE, "T1 timer-late", "where nothing fails, a timer is not late")                               \
    X(TIMER_ORDER, "T2 timer-order", "timers of a run fire in the order of their due times")                 \
    X(CHILD, "L2 child-unknown", "a child is initiated, started and ended once each, in order")              \
    X(EXTERNAL, "L2 external-unknown", "a signal or cancel request to another run has one result")           \
    X(NEXUS, "L2 nexus-unknown", "a Nexus operation is scheduled, started and ended once each, in order")    \
    X(UPDATE, "E1 update-twice", "an update is accepted once and completed once, within a task")             \
    X(SIGNAL, "E1 signal-twice", "one request id is one signal")                                             \
    X(CANCEL, "E1 cancel-twice", "a run is asked to cancel at most once")                                    \
    X(PAUSE, "L2 pause-order", "pauses and their ends alternate")                                            \
    X(CLOSE, "L2 close-wrong", "a closing event says the true retry state and next run")                     \
    X(TASK_TWICE, "E2 task-twice", "a task, and an attempt of an activity, is handed out once")              \
    X(TASK_EVENTS, "L2 task-events", "a task ends with its Started, and begins where its worker stood")      \
    X(COMPLETION_TWICE, "E2 completion-twice", "one completion of a task is accepted")                       \
    X(COMPLETION_LOST, "E2 completion-lost",                                                                 \
      "history has the completion that was accepted, and its content")                                       \
    X(VIEW, "L1 view-wrong", "Describe shows what the history up to its length says")                        \
    X(VIEW_TASK, "W task-missing", "a run that has something to tell has a workflow task")                   \
    X(STALE, "L1 read-stale", "a read shows all that anybody knew before it was asked")                      \
    X(ROW, "L4 row-wrong", "a list shows runs as their histories say")                                       \
    X(START_LOST, "D1 start-lost", "a start that was acknowledged made the run that it named")               \
    X(START_TWICE, "D3 start-twice", "one request id starts one run; nothing starts unasked")                \
    X(SIGNAL_LOST, "E1 signal-lost", "a signal that was acknowledged is in history")                         \
    X(SIGNAL_PHANTOM, "E1 signal-phantom",                                                                   \
      "a signal in history was sent, and not refused, and is there once")                                    \
    X(CANCEL_LOST, "E1 cancel-lost",                                                                         \
      "a cancel request that was acknowledged is in history before what came after")                         \
    X(TERMINATE_LOST, "E1 terminate-lost", "a run whose termination was acknowledged is closed")             \
    X(UPDATE_LOST, "E1 update-lost", "what an update's caller was told is in history")                       \
    X(RESET_LOST, "D1 reset-lost", "a reset that was acknowledged made the run that it named")               \
    X(ORDER, "L1 order", "what was acknowledged before another call was made comes before it")               \
    X(TWO_OPEN, "L3 two-open-runs", "of the runs of one workflow id at most one is open at a time")          \
    X(CHAIN, "L2 chain-broken",                                                                              \
      "a run and the one that it continues name each other and hand on what they must")                      \
    X(RESET, "L2 reset-wrong", "a reset run begins with its base's events, and has its signals")             \
    X(PARENT, "L2 parent-wrong", "parent and child say the same of each other")                              \
    X(CLOSE_POLICY, "L2 close-policy", "children of a run that closed get what their policy says")           \
    X(DELIVERY, "E1 delivery-wrong", "what a run sent to another arrives once, and what it is told is true")

enum oracle_check {
#define X(id, name, text) ORACLE_##id,
    ORACLE_CHECKS(X)
#undef X
        ORACLE_CHECK_COUNT,
    ORACLE_FIRST_OF_CALLS = ORACLE_TASK_TWICE, /* those before concern one history */
};
const char *oracle_check_name(enum oracle_check check);
const char *oracle_check_text(enum oracle_check check);

struct oracle;
typedef void   oracle_report(void *context, enum oracle_check check, const char *text);
struct oracle *oracle_new(oracle_report *report, void *context);
void           oracle_free(struct oracle *oracle);
/* Where nothing holds the server up, a timer fires at most so long after its time. Without it lateness is not judged. */
void oracle_expect_timers_within(struct oracle *oracle, int64_t late_max);
/* A worker was handed the workflow task that this event started. Of others nobody can tell whether they timed out or came
 * back early because their poller was gone; so their timeouts are not judged. */
void oracle_task_delivered(struct oracle *oracle, struct bytes run_id, int64_t started_event_id);
/* Operators changed activities of this workflow id (options, pauses, resets): their policies in events are no longer what
 * rules them. */
void oracle_activities_changed(struct oracle *oracle, struct bytes workflow_id);

/* Events of a run, encoded, as somebody was shown them in one answer. Only those up to `up_to` have their place for good:
 * a transient or speculative workflow task is shown, and has none yet. With ORACLE_SETTLED the last Scheduled and Started
 * are left out, which is what a reader of histories knows. Each event is judged as soon as all before it are known. */
#define ORACLE_SETTLED INT64_C(-1)
void oracle_events(struct oracle *oracle, struct bytes run_id, const struct bytes *events, size_t count,
                   int64_t up_to);
/* The same, of a whole history from event 1: nothing that anybody saw may be missing. */
void oracle_history(struct oracle *oracle, struct bytes run_id, const struct bytes *events, size_t count);
/* The event as decoded; NULL when nobody has seen it. It lives as long as the oracle. */
const struct history_HistoryEvent *oracle_event(const struct oracle *oracle, struct bytes run_id,
                                                int64_t event_id);
int64_t                            oracle_last(const struct oracle *oracle, struct bytes run_id);
/* --- calls.c: what clients and workers say and hear --- */

/* One call, as its client makes it; the request is encoded. Of one namespace: others' are not shown. Returns its number. */
uint64_t oracle_call(struct oracle *oracle, unsigned method, struct bytes request);
/* What the client was told in the end; a reply with ST_OK only. Unless the code is the server's refusal, it may have happened
 * all the same. A call that is never answered may have happened too. */
void oracle_answer(struct oracle *oracle, uint64_t call, enum status code, struct bytes reply);

/* --- the end --- */

/* A run whose whole history has not been read since oracle_settle; false when there is none. Who audits reads it (forward,
 * by its run id, all pages) until there is none; what was deleted may be missing. */
bool oracle_unread(struct oracle *oracle, struct bytes *ret_workflow_id, struct bytes *ret_run_id);
/* From now on nothing happens any more but reads. */
void oracle_settle(struct oracle *oracle);
/* All runs have been read: judges what one history cannot show. Without oracle_settle runs may have gone on between the
 * readings; then nothing follows from what an open one lacks. */
void oracle_audit(struct oracle *oracle);

/* How many events have been judged so far. */
uint64_t oracle_judged(const struct oracle *oracle);
/* All that was seen of every run: its events as JSON, one a line. */
void oracle_print(const struct oracle *oracle, FILE *to);
#endif
