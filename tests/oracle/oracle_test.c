/* oracle_test.c: good histories pass, and for each check there is a bad history that it, and no other, catches. */
#include "base/testing.h"
#include "histories.h"

static const char *const good[] = {
    PROLOGUE END(20, 4),
    /* The big flush: ends come last. */
    PROLOGUE ACTIVITY(20, "a", 4) TIMER(20, "t", "1s", 4) CHILD(20, "c", 4) SIGNALED(500, "1")
        SCHEDULED(500, 1) STARTED(600, 9) COMPLETED(3000, 9, 10) CHILD_STARTED(700, "c", 7)
            ACTIVITY_STARTED(650, 5, 1) FIRED(1020, "t", 6) SIGNALED(2000, "2")
                CHILD_COMPLETED(900, "c", 7, 12) ACTIVITY_COMPLETED(950, 5, 13) SCHEDULED(3000, 1)
                    STARTED(3001, 18) COMPLETED(3002, 18, 19) END(3002, 20),
    /* A task fails, is transient for a while, and is written when it completes. */
    START SCHEDULED(0, 1) STARTED(10, 2) FAILED(20, 2, 3) SCHEDULED(20, 3) STARTED(30, 5) COMPLETED(40, 5, 6)
        END(40, 7),
    /* Something happened while a transient task waited: it is a first attempt again. */
    START SCHEDULED(0, 1) STARTED(10, 2) FAILED(20, 2, 3) SIGNALED(25, "1") SCHEDULED(30, 1) STARTED(30, 6),
    PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(4030, 5, 3)
        ACTIVITY_FAILED(4040, 5, 6, "MAXIMUM_ATTEMPTS_REACHED") SCHEDULED(4040, 1),
    PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(4030, 5, 3)
        ACTIVITY_TIMED_OUT(9030, 5, 6, "HEARTBEAT", "MAXIMUM_ATTEMPTS_REACHED") SCHEDULED(9030, 1),
    PROLOGUE ACCEPTED(20, "u") TIMER(20, "t", "1s", 4) UPDATE_COMPLETED(20, "u", 5) CANCEL_REQUESTED(
        30) SCHEDULED(30, 1) STARTED(31, 9)
        COMPLETED(32, 9,
                  10) "TIMER_CANCELED 32 'timerId':'t','startedEventId':6,'workflowTaskCompletedEventId':11\n"
                      "WORKFLOW_EXECUTION_CANCELED 32 'workflowTaskCompletedEventId':11\n",
    PROLOGUE PAUSED(30) SIGNALED(40, "1") UNPAUSED(50) SCHEDULED(50, 1),
    PROLOGUE SIGNAL_OUT(20, "o", 4) NEXUS(20, 4) SIGNAL_DONE(30, "o", 5) SCHEDULED(30, 1)
        NEXUS_COMPLETED(40, 6),
    START_OF(",'workflowRunTimeout':'1s'")
        SCHEDULED(0, 1) "WORKFLOW_EXECUTION_TIMED_OUT 1000 'retryState':'RETRY_STATE_RETRY_POLICY_NOT_SET'\n",
};

struct bad {
    enum oracle_check check;
    const char       *history;
};
static const struct bad bad[] = {
    { ORACLE_BACKWARDS, PROLOGUE SIGNALED(500, "1") SCHEDULED(499, 1) },
    { ORACLE_BACKWARDS, PROLOGUE SIGNALED(20, "1") SCHEDULED(20, 1) STARTED(5, 6) },
    { ORACLE_AFTER_CLOSE, PROLOGUE END(20, 4) SIGNALED(30, "1") },
    { ORACLE_START, START_OF("") START },
    { ORACLE_START, START_OF(",'continuedExecutionRunId':'r'") },
    { ORACLE_COMMAND, PROLOGUE TIMER(20, "t", "1s", 3) },
    { ORACLE_COMMAND, PROLOGUE SIGNALED(20, "1") TIMER(20, "t", "1s", 4) },
    { ORACLE_COMMAND, PROLOGUE SIGNALED(30, "1") SCHEDULED(30, 1) END(40, 4) },
    { ORACLE_TASK_SCHEDULED, START SCHEDULED(0, 1) SCHEDULED(1, 1) },
    { ORACLE_TASK_SCHEDULED, PROLOGUE PAUSED(30) SIGNALED(40, "1") SCHEDULED(40, 1) },
    { ORACLE_TASK_STARTED, START SCHEDULED(0, 1) STARTED(10, 1) },
    { ORACLE_TASK_STARTED, START SCHEDULED(0, 1) STARTED(10, 2) SIGNALED(11, "1") },
    { ORACLE_TASK_ENDED, START SCHEDULED(0, 1) STARTED(10, 2) COMPLETED(20, 2, 2) },
    { ORACLE_TASK_ENDED, PROLOGUE COMPLETED(20, 2, 3) },
    { ORACLE_TASK_ATTEMPT, START SCHEDULED(0, 2) },
    { ORACLE_TASK_ATTEMPT, START SCHEDULED(0, 1) STARTED(10, 2) FAILED(20, 2, 3) SCHEDULED(20, 1) },
    { ORACLE_TASK_ATTEMPT,
      START SCHEDULED(0, 1) STARTED(10, 2) FAILED(20, 2, 3) SIGNALED(20, "1") SCHEDULED(20, 2) },
    { ORACLE_TASK_CAUSE,
      START SCHEDULED(0, 1)
          STARTED(10, 2) "WORKFLOW_TASK_FAILED 20 'scheduledEventId':2,'startedEventId':3,'identity':'i',"
                         "'cause':'WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND'\n" SCHEDULED(20, 2) },
    { ORACLE_TASK_CAUSE,
      START SCHEDULED(0, 1)
          STARTED(10,
                  2) "WORKFLOW_TASK_FAILED 20 'scheduledEventId':2,'startedEventId':3,'identity':'worker',"
                     "'cause':'WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND'\n" },
    { ORACLE_FLUSH,
      PROLOGUE ACTIVITY(20, "a", 4) SIGNALED(25, "0") SCHEDULED(25, 1) STARTED(26, 7) COMPLETED(90, 7, 8)
          ACTIVITY_STARTED(30, 5, 1) ACTIVITY_COMPLETED(40, 5, 10) SIGNALED(50, "1") },
    { ORACLE_ACTIVITY, PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY(20, "a", 4) },
    { ORACLE_ACTIVITY, PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_COMPLETED(30, 5, 0) },
    { ORACLE_ACTIVITY, PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(30, 5, 1) ACTIVITY_COMPLETED(40, 5, 6)
                           SCHEDULED(40, 1) ACTIVITY_COMPLETED(50, 5, 6) },
    { ORACLE_ACTIVITY_ATTEMPT, PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(9000, 5, 4) },
    { ORACLE_ACTIVITY_ATTEMPT, PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(1000, 5, 2) },
    { ORACLE_RETRY_STATE, PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(1030, 5, 2)
                              ACTIVITY_FAILED(1040, 5, 6, "MAXIMUM_ATTEMPTS_REACHED") },
    { ORACLE_RETRY_STATE, PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(30, 5, 1)
                              ACTIVITY_FAILED(40, 5, 6, "CANCEL_REQUESTED") },
    { ORACLE_TIMEOUT_EARLY, PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(4030, 5, 3)
                                ACTIVITY_TIMED_OUT(9029, 5, 6, "HEARTBEAT", "MAXIMUM_ATTEMPTS_REACHED") },
    { ORACLE_TIMEOUT_EARLY,
      START_OF(",'workflowRunTimeout':'1s'")
          SCHEDULED(0,
                    1) "WORKFLOW_EXECUTION_TIMED_OUT 999 'retryState':'RETRY_STATE_RETRY_POLICY_NOT_SET'\n" },
    { ORACLE_TIMER, PROLOGUE TIMER(20, "t", "1s", 4) TIMER(20, "t", "1s", 4) },
    { ORACLE_TIMER, PROLOGUE TIMER(20, "t", "1s", 4) FIRED(1020, "t", 5) FIRED(1020, "t", 5) },
    { ORACLE_TIMER_EARLY, PROLOGUE TIMER(20, "t", "1s", 4) FIRED(1019, "t", 5) },
    { ORACLE_TIMER_LATE, PROLOGUE TIMER(20, "t", "1s", 4) FIRED(6021, "t", 5) },
    { ORACLE_TIMER_ORDER, PROLOGUE TIMER(20, "t", "1s", 4) TIMER(20, "u", "0.5s", 4) FIRED(1020, "t", 5) },
    { ORACLE_CHILD, PROLOGUE CHILD(20, "c", 4) CHILD_COMPLETED(30, "c", 5, 0) },
    { ORACLE_CHILD,
      PROLOGUE CHILD(20, "c", 4) CHILD_STARTED(30, "c", 5) SCHEDULED(30, 1) CHILD_STARTED(40, "c", 5) },
    { ORACLE_EXTERNAL, PROLOGUE SIGNAL_OUT(20, "o", 4) SIGNAL_DONE(30, "p", 5) },
    { ORACLE_EXTERNAL,
      PROLOGUE SIGNAL_OUT(20, "o", 4) SIGNAL_DONE(30, "o", 5) SCHEDULED(30, 1) SIGNAL_DONE(40, "o", 5) },
    { ORACLE_NEXUS, PROLOGUE NEXUS(20, 4) NEXUS_COMPLETED(40, 5) SCHEDULED(40, 1) NEXUS_COMPLETED(50, 5) },
    { ORACLE_UPDATE, PROLOGUE ACCEPTED(20, "u") ACCEPTED(20, "u") },
    { ORACLE_UPDATE, PROLOGUE ACCEPTED(20, "u") UPDATE_COMPLETED(20, "v", 5) },
    { ORACLE_UPDATE, PROLOGUE SIGNALED(20, "1") SCHEDULED(20, 1) ACCEPTED(20, "u") },
    { ORACLE_SIGNAL, PROLOGUE SIGNALED(30, "1") SCHEDULED(30, 1) SIGNALED(40, "1") },
    { ORACLE_CANCEL, PROLOGUE CANCEL_REQUESTED(30) SCHEDULED(30, 1) CANCEL_REQUESTED(40) },
    { ORACLE_PAUSE, PROLOGUE UNPAUSED(30) },
    { ORACLE_CLOSE, PROLOGUE "WORKFLOW_EXECUTION_COMPLETED 20 "
                             "'workflowTaskCompletedEventId':4,'newExecutionRunId':'s'\n" },
    { ORACLE_CLOSE, PROLOGUE "WORKFLOW_EXECUTION_FAILED 20 'workflowTaskCompletedEventId':4,"
                             "'retryState':'RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED'\n" },
    { ORACLE_MALFORMED, START "WORKFLOW_TASK_SCHEDULED 0 \n" },
};

TEST(good_histories_pass)
{
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        struct oracle *oracle = new_oracle();
        oracle_expect_timers_within(oracle, 5 * NS_PER_S);
        judge_text(oracle, "r", good[i]);
        if (report_count != 0)
            fail_msg("good history %zu is refused", i);
        oracle_free(oracle);
    }
}

TEST(every_bad_history_is_caught_by_its_check_and_no_other)
{
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct oracle *oracle = new_oracle();
        oracle_expect_timers_within(oracle, 5 * NS_PER_S);
        if (bad[i].check == ORACLE_MALFORMED) {
            struct bytes events[8];
            size_t       count = events_of(bad[i].history, events);
            /* An event whose attributes are of another type. */
            struct history_HistoryEvent event;
            struct error                error;
            CHECK_INT(pb_decode(&pb_history_HistoryEvent, events[1], &arena, &event, &error), ST_OK);
            event.event_type = enums_EVENT_TYPE_TIMER_FIRED;
            events[1] = pb_encode_arena(&pb_history_HistoryEvent, &event, &arena);
            oracle_events(oracle, BYTES("r"), events, count, INT64_MAX);
        } else {
            judge_text(oracle, "r", bad[i].history);
        }
        if (reports[bad[i].check] == 0 || reports[bad[i].check] != report_count)
            fail_msg("bad history %zu (%s): %u reports, %u of them by its check", i,
                     oracle_check_name(bad[i].check), report_count, reports[bad[i].check]);
        oracle_free(oracle);
    }
}

TEST(a_task_that_was_delivered_does_not_time_out_early)
{
    static const char history[] = START SCHEDULED(0, 1)
        STARTED(10, 2) "WORKFLOW_TASK_TIMED_OUT 500 'scheduledEventId':2,'startedEventId':3,"
                       "'timeoutType':'TIMEOUT_TYPE_START_TO_CLOSE'\n" SCHEDULED(500, 1);
    struct oracle *oracle = new_oracle();
    judge_text(oracle, "r", history);
    CHECK_INT(report_count, 0); /* its poller may have been gone */
    oracle_free(oracle);
    oracle = new_oracle();
    oracle_task_delivered(oracle, BYTES("r"), 3);
    judge_text(oracle, "r", history);
    CHECK_INT(reports[ORACLE_TIMEOUT_EARLY], 1);
    oracle_free(oracle);
}

TEST(what_one_reader_saw_all_others_see)
{
    struct bytes   events[8], others[8];
    struct oracle *oracle = new_oracle();
    size_t         count = events_of(PROLOGUE, events);
    (void)events_of(START SCHEDULED(0, 1) STARTED(11, 2) COMPLETED(20, 2, 3), others);
    /* Pieces in any order, the last event not as written. */
    oracle_events(oracle, BYTES("r"), events + 2, 2, 3);
    CHECK_INT(oracle_judged(oracle), 0);
    oracle_events(oracle, BYTES("r"), events, 2, ORACLE_SETTLED);
    CHECK_INT(oracle_judged(oracle), 3);
    CHECK_INT(oracle_last(oracle, BYTES("r")), 3);
    CHECK_INT(report_count, 0);
    oracle_events(oracle, BYTES("r"), others + 2, 2, ORACLE_SETTLED);
    CHECK_INT(reports[ORACLE_REWRITTEN], 1);
    oracle_history(oracle, BYTES("r"), events, 2);
    CHECK_INT(reports[ORACLE_SHORT], 1);
    events[1] = events[2];
    oracle_events(oracle, BYTES("s"), events, count, ORACLE_SETTLED);
    CHECK_INT(reports[ORACLE_GAP], 1);
    oracle_free(oracle);
}

TEST(a_task_at_the_end_of_what_a_reader_sees_has_no_place_yet)
{
    struct bytes   events[8];
    struct oracle *oracle = new_oracle();
    size_t         count = events_of(START SCHEDULED(0, 1) STARTED(10, 2) FAILED(20, 2, 3) SCHEDULED(20, 2)
                                         STARTED(30, 5),
                                     events);
    oracle_history(oracle, BYTES("r"), events, count);
    CHECK_INT(oracle_last(oracle, BYTES("r")), 4);
    count = events_of(START SCHEDULED(0, 1) STARTED(10, 2) FAILED(20, 2, 3) SIGNALED(25, "1") SCHEDULED(30, 1)
                          STARTED(40, 6),
                      events);
    oracle_history(oracle, BYTES("r"), events, count);
    CHECK_INT(oracle_last(oracle, BYTES("r")), 5);
    CHECK_INT(report_count, 0);
    oracle_free(oracle);
}

TEST(every_check_of_one_history_has_a_bad_one)
{
    static const enum oracle_check elsewhere[] = { ORACLE_GAP, ORACLE_REWRITTEN, ORACLE_SHORT };
    for (size_t check = 0; check < ORACLE_FIRST_OF_CALLS; check++) {
        bool found = false;
        for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
            found = found || bad[i].check == check;
        for (size_t i = 0; i < ARRAY_COUNT(elsewhere); i++)
            found = found || elsewhere[i] == check;
        if (!found)
            fail_msg("nothing shows that %s can fail", oracle_check_name((enum oracle_check)check));
    }
    arena_release(&arena);
}
