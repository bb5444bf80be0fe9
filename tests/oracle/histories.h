/* histories.h: histories and answers as text, for the oracle's own tests. Only *_test.c files include it. */
#ifndef ORACLE_HISTORIES_H
#define ORACLE_HISTORIES_H
#include "base/testing.h"
#include "oracle.h"

/* A history is lines "TYPE milliseconds attributes": ids follow from the order, and attributes are JSON with ' for ". */
#define TEXT_MAX 4096
static unsigned     reports[ORACLE_CHECK_COUNT], report_count;
static struct arena arena;

static void report(void *context UNUSED, enum oracle_check check, const char *text)
{
    if (getenv("ORACLE_TEST_PRINT") != NULL)
        print_message("  %s: %s\n", oracle_check_name(check), text);
    reports[check]++;
    report_count++;
}

static struct oracle *new_oracle(void)
{
    memset(reports, 0, sizeof(reports));
    report_count = 0;
    arena_release(&arena);
    arena_init(&arena, SIZE_MAX);
    return oracle_new(report, NULL);
}

/* WORKFLOW_TASK_SCHEDULED -> workflowTaskScheduled */
static void camel(const char *type, size_t size, char *to)
{
    for (size_t i = 0; i < size; i++) {
        bool upper = i > 0 && type[i - 1] == '_';
        if (type[i] != '_')
            *to++ = (char)(upper                              ? type[i]
                           : type[i] >= 'A' && type[i] <= 'Z' ? type[i] - 'A' + 'a'
                                                              : type[i]);
    }
    *to = '\0';
}

static struct bytes event_of(const char *line, size_t size, int64_t id)
{
    char          attributes[TEXT_MAX], name[128], json[TEXT_MAX + 512];
    const char   *space = memchr(line, ' ', size);
    size_t        type_size = (size_t)(space - line);
    char         *end;
    long          ms = strtol(space, &end, 10);
    size_t        rest = size - (size_t)(end - line);
    struct buffer wire;
    struct error  error;
    assert(rest < sizeof(attributes));
    for (size_t i = 0; i < rest; i++)
        attributes[i] = end[i] == '\'' ? '"' : end[i];
    attributes[rest] = '\0';
    camel(line, type_size, name);
    snprintf(json, sizeof(json),
             "{\"eventId\":%" PRId64 ",\"eventTime\":\"2026-01-01T00:%02ld:%02ld.%03ldZ\",\"eventType\":"
             "\"EVENT_TYPE_%.*s\",\"taskId\":%" PRId64 ",\"%sEventAttributes\":{%s}}",
             id, ms / 60000, ms / 1000 % 60, ms % 1000, (int)type_size, line, id, name, attributes);
    buffer_init(&wire);
    if (json_parse(&pb_history_HistoryEvent, bytes_of_text(json), &arena, &wire, &error) != ST_OK)
        fail_msg("%s\n%s", error.message, json);
    struct bytes copy = arena_copy(&arena, buffer_bytes(&wire));
    buffer_release(&wire);
    return copy;
}

static size_t events_of(const char *history, struct bytes *ret_events)
{
    size_t count = 0;
    for (const char *at = history; *at != '\0';) {
        const char *end = strchr(at, '\n');
        ret_events[count] = event_of(at, (size_t)(end - at), (int64_t)count + 1);
        count++;
        at = end + 1;
    }
    return count;
}

static inline void judge_text(struct oracle *oracle, const char *run_id, const char *history)
{
    struct bytes events[128];
    size_t       count = events_of(history, events);
    oracle_events(oracle, bytes_of_text(run_id), events, count, INT64_MAX);
}

#define START_OF(more)                                                                                       \
    "WORKFLOW_EXECUTION_STARTED 0 "                                                                          \
    "'workflowId':'w','workflowType':{'name':'t'},'taskQueue':{'name':'q'},'firstWorkflowTaskBackoff':'0s'," \
    "'workflowTaskTimeout':'10s','originalExecutionRunId':'r','firstExecutionRunId':'r','attempt':1" more    \
    "\n"
#define START START_OF("")
#define SCHEDULED(ms, attempt)                                                                               \
    "WORKFLOW_TASK_SCHEDULED " #ms " 'taskQueue':{'name':'q','kind':'TASK_QUEUE_KIND_NORMAL'},'"             \
    "startToCloseTimeout':'10s','attempt':" #attempt "\n"
#define STARTED(ms, scheduled) "WORKFLOW_TASK_STARTED " #ms " 'scheduledEventId':" #scheduled "\n"
#define COMPLETED(ms, scheduled, started)                                                                    \
    "WORKFLOW_TASK_COMPLETED " #ms " 'scheduledEventId':" #scheduled ",'startedEventId':" #started "\n"
#define FAILED(ms, scheduled, started)                                                                       \
    "WORKFLOW_TASK_FAILED " #ms " 'scheduledEventId':" #scheduled ",'startedEventId':" #started              \
    ",'cause':'WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE','identity':'i'\n"
/* Events 1 to 4. */
#define PROLOGUE START SCHEDULED(0, 1) STARTED(10, 2) COMPLETED(20, 2, 3)
#define END(ms, completed)                                                                                   \
    "WORKFLOW_EXECUTION_COMPLETED " #ms " 'workflowTaskCompletedEventId':" #completed "\n"
#define SIGNALED(ms, request)                                                                                \
    "WORKFLOW_EXECUTION_SIGNALED " #ms " 'signalName':'s','requestId':'" request "'\n"
#define TIMER(ms, id, takes, completed)                                                                      \
    "TIMER_STARTED " #ms " 'timerId':'" id "','startToFireTimeout':'" takes                                  \
    "','workflowTaskCompletedEventId':" #completed "\n"
#define FIRED(ms, id, started) "TIMER_FIRED " #ms " 'timerId':'" id "','startedEventId':" #started "\n"
#define POLICY                                                                                               \
    ",'retryPolicy':{'initialInterval':'1s','backoffCoefficient':2,'maximumInterval':'100s','"               \
    "maximumAttempts':3}"
#define ACTIVITY(ms, id, completed)                                                                          \
    "ACTIVITY_TASK_SCHEDULED " #ms " 'activityId':'" id                                                      \
    "','activityType':{'name':'a'},'taskQueue':{'name':'q'},'scheduleToCloseTimeout':'0s',"                  \
    "'scheduleToStartTimeout':'0s','startToCloseTimeout':'10s','heartbeatTimeout':'5s',"                     \
    "'workflowTaskCompletedEventId':" #completed POLICY "\n"
#define ACTIVITY_STARTED(ms, scheduled, attempt)                                                             \
    "ACTIVITY_TASK_STARTED " #ms " 'scheduledEventId':" #scheduled ",'attempt':" #attempt "\n"
#define ACTIVITY_COMPLETED(ms, scheduled, started)                                                           \
    "ACTIVITY_TASK_COMPLETED " #ms " 'scheduledEventId':" #scheduled ",'startedEventId':" #started "\n"
#define ACTIVITY_FAILED(ms, scheduled, started, state)                                                       \
    "ACTIVITY_TASK_FAILED " #ms " 'scheduledEventId':" #scheduled ",'startedEventId':" #started              \
    ",'retryState':'RETRY_STATE_" state "','failure':{'applicationFailureInfo':{'type':'x'}}\n"
#define ACTIVITY_TIMED_OUT(ms, scheduled, started, type, state)                                              \
    "ACTIVITY_TASK_TIMED_OUT " #ms " 'scheduledEventId':" #scheduled ",'startedEventId':" #started           \
    ",'retryState':'RETRY_STATE_" state                                                                      \
    "','failure':{'timeoutFailureInfo':{'timeoutType':'TIMEOUT_TYPE_" type "'}}\n"
#define CHILD(ms, id, completed)                                                                             \
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED " #ms " 'workflowId':'" id                                     \
    "','workflowType':{'name':'c'},'taskQueue':{'name':'q'},'parentClosePolicy':"                            \
    "'PARENT_CLOSE_POLICY_TERMINATE','workflowTaskCompletedEventId':" #completed "\n"
#define CHILD_STARTED(ms, id, initiated)                                                                     \
    "CHILD_WORKFLOW_EXECUTION_STARTED " #ms " 'workflowExecution':{'workflowId':'" id                        \
    "','runId':'c1'},'initiatedEventId':" #initiated "\n"
#define CHILD_COMPLETED(ms, id, initiated, started)                                                          \
    "CHILD_WORKFLOW_EXECUTION_COMPLETED " #ms " 'workflowExecution':{'workflowId':'" id                      \
    "','runId':'c1'},'initiatedEventId':" #initiated ",'startedEventId':" #started "\n"
#define SIGNAL_OUT(ms, id, completed)                                                                        \
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED " #ms " 'workflowExecution':{'workflowId':'" id            \
    "'},'signalName':'s','workflowTaskCompletedEventId':" #completed "\n"
#define SIGNAL_DONE(ms, id, initiated)                                                                       \
    "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED " #ms " 'workflowExecution':{'workflowId':'" id                    \
    "'},'initiatedEventId':" #initiated "\n"
#define NEXUS(ms, completed)                                                                                 \
    "NEXUS_OPERATION_SCHEDULED " #ms " 'requestId':'n','workflowTaskCompletedEventId':" #completed "\n"
#define NEXUS_COMPLETED(ms, scheduled) "NEXUS_OPERATION_COMPLETED " #ms " 'scheduledEventId':" #scheduled "\n"
#define ACCEPTED(ms, id)                                                                                     \
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED " #ms " 'protocolInstanceId':'" id                                   \
    "','acceptedRequestMessageId':'" id "/request','acceptedRequestSequencingEventId':2\n"
#define UPDATE_COMPLETED(ms, id, accepted)                                                                   \
    "WORKFLOW_EXECUTION_UPDATE_COMPLETED " #ms " 'meta':{'updateId':'" id                                    \
    "'},'outcome':{'success':{}},'acceptedEventId':" #accepted "\n"
#define CANCEL_REQUESTED(ms) "WORKFLOW_EXECUTION_CANCEL_REQUESTED " #ms " 'cause':'c'\n"
#define PAUSED(ms)           "WORKFLOW_EXECUTION_PAUSED " #ms " 'identity':'i'\n"
#define UNPAUSED(ms)         "WORKFLOW_EXECUTION_UNPAUSED " #ms " 'identity':'i'\n"

#endif
