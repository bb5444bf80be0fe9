/* calls_test.c: what clients and workers say and hear: good dialogues pass, and each check catches a bad one. */
#include "histories.h"

struct step {
    const char *method, *request, *reply; /* JSON without the outer braces, ' for " */
    const char *history;                  /* of the reply */
    enum status code;
};
struct dialogue {
    enum oracle_check check; /* ORACLE_CHECK_COUNT: none may report */
    struct step       steps[12];
};

static struct bytes encoded(const struct pb_message *message, const char *text)
{
    char          json[TEXT_MAX];
    struct buffer wire;
    struct error  error;
    snprintf(json, sizeof(json), "{%s}", text == NULL ? "" : text);
    for (char *at = json; *at != '\0'; at++)
        *at = *at == '\'' ? '"' : *at;
    buffer_init(&wire);
    if (json_parse(message, bytes_of_text(json), &arena, &wire, &error) != ST_OK)
        fail_msg("%s\n%s", error.message, json);
    struct bytes copy = arena_copy(&arena, buffer_bytes(&wire));
    buffer_release(&wire);
    return copy;
}

/* The reply with its history, in the two messages that have one. */
static struct bytes reply_of(const struct pb_method *method, const struct step *step)
{
    struct bytes           wire = encoded(method->response, step->reply);
    struct history_History history = { 0 };
    struct error           error;
    if (step->history == NULL)
        return wire;
    history.events = ARENA_NEW_ARRAY(&arena, struct bytes, 128);
    history.events_count = events_of(step->history, history.events);
    if (method->index == PB_METHOD_WorkflowService_PollWorkflowTaskQueue) {
        struct workflowservice_PollWorkflowTaskQueueResponse reply;
        CHECK_INT(pb_decode(method->response, wire, &arena, &reply, &error), ST_OK);
        reply.history = &history;
        return pb_encode_arena(method->response, &reply, &arena);
    }
    struct workflowservice_GetWorkflowExecutionHistoryResponse reply = { .history = &history };
    return pb_encode_arena(method->response, &reply, &arena);
}

static void talk(struct oracle *oracle, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count && steps[i].method != NULL; i++) {
        char path[256];
        snprintf(path, sizeof(path), "/temporal.api.workflowservice.v1.WorkflowService/%s", steps[i].method);
        const struct pb_method *method = pb_method_find(bytes_of_text(path));
        assert(method != NULL);
        uint64_t call = oracle_call(oracle, method->index, encoded(method->request, steps[i].request));
        if (steps[i].code == ST_OK)
            oracle_answer(oracle, call, ST_OK, reply_of(method, &steps[i]));
        else
            oracle_answer(oracle, call, steps[i].code, BYTES_EMPTY);
    }
    oracle_settle(oracle);
    oracle_audit(oracle);
}

#define TOLD(request_id, run)                                                                                \
    { "StartWorkflowExecution", "'workflowId':'w','requestId':'" request_id "'",                             \
      "'runId':'" run "','started':true" }
#define DOUBT(request_id)                                                                                    \
    { "StartWorkflowExecution", "'workflowId':'w','requestId':'" request_id "'", .code = ST_UNAVAILABLE }
#define READ_OF(workflow, run, text)                                                                         \
    { "GetWorkflowExecutionHistory", "'execution':{'workflowId':'" workflow "','runId':'" run "'}",          \
      .history = (text) }
#define READ(text) READ_OF("w", "r", text)
#define SIGNAL_STEP(key, ...)                                                                                \
    { "SignalWorkflowExecution",                                                                             \
      "'workflowExecution':{'workflowId':'w'},'signalName':'s','requestId':'" key "'", __VA_ARGS__ }
#define POLL_STEP(token, started, text)                                                                      \
    { "PollWorkflowTaskQueue", "",                                                                           \
      "'taskToken':'" token "','workflowExecution':{'workflowId':'w','runId':'r'},'attempt':1,"              \
      "'startedEventId':" #started,                                                                          \
      .history = (text) }
#define DESCRIBE(reply)                                                                                      \
    { "DescribeWorkflowExecution", "'execution':{'workflowId':'w','runId':'r'}",                             \
      "'workflowExecutionInfo':{'execution':{'workflowId':'w','runId':'r'},'type':{'name':'t'},"             \
      "'taskQueue':'q','firstRunId':'r','startTime':'2026-01-01T00:00:00Z',"                                 \
      "'executionTime':'2026-01-01T00:00:00Z'," reply }
#define LIST(row)                                                                                            \
    { "ListWorkflowExecutions", "", "'executions':[{'execution':{'workflowId':'w','runId':'r'}," row "}]" }
#define CLOSED       PROLOGUE END(20, 4)
#define FIRST_TASK   START SCHEDULED(0, 1) STARTED(10, 2)
#define TIMED_CLOSED PROLOGUE TIMER(20, "t", "1s", 4) FIRED(1020, "t", 5) SCHEDULED(1020, 1)
#define UPDATE_OF(run, id, reply)                                                                            \
    { "UpdateWorkflowExecution",                                                                             \
      "'workflowExecution':{'workflowId':'w'},'request':{'meta':{'updateId':'" id "'}}",                     \
      "'updateRef':{'workflowExecution':{'workflowId':'w','runId':'" run "'},'updateId':'" id "'}," reply }
#define UPDATE_STEP(reply) UPDATE_OF("r", "u", reply)
#define IS_ACCEPTED        "'stage':'UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED'"
#define RESET_STEP                                                                                           \
    { "ResetWorkflowExecution",                                                                              \
      "'workflowExecution':{'workflowId':'w','runId':'r'},'requestId':'x','workflowTaskFinishEventId':4",    \
      "'runId':'n'" }
#define RESET_FAILED                                                                                         \
    "WORKFLOW_TASK_FAILED 100 'scheduledEventId':2,'startedEventId':3,'baseRunId':'r','newRunId':'n',"       \
    "'cause':'WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW','identity':'history-service'\n"
#define TERMINATED(ms, who) "WORKFLOW_EXECUTION_TERMINATED " #ms " 'identity':'" who "'\n"
#define CONTINUED(ms, run)                                                                                   \
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW " #ms " 'newExecutionRunId':'" run                                  \
    "','workflowType':{'name':'t'},'taskQueue':{'name':'q'},'workflowTaskCompletedEventId':4\n"
#define START_NEXT(attempt)                                                                                  \
    "WORKFLOW_EXECUTION_STARTED 30 'workflowId':'w','workflowType':{'name':'t'},'taskQueue':{'name':'q'},"   \
    "'firstWorkflowTaskBackoff':'1s','workflowTaskTimeout':'10s','originalExecutionRunId':'n',"              \
    "'firstExecutionRunId':'r','continuedExecutionRunId':'r','attempt':" attempt "\n"
#define START_CHILD(type)                                                                                    \
    "WORKFLOW_EXECUTION_STARTED 30 'workflowId':'c','workflowType':{'name':'" type                           \
    "'},'taskQueue':{'name':'q'},'firstWorkflowTaskBackoff':'0s','workflowTaskTimeout':'10s',"               \
    "'originalExecutionRunId':'c1','firstExecutionRunId':'c1','attempt':1,"                                  \
    "'parentWorkflowExecution':{'workflowId':'w','runId':'r'},'parentInitiatedEventId':5\n"
#define START_OTHER                                                                                          \
    "WORKFLOW_EXECUTION_STARTED 0 'workflowId':'o','workflowType':{'name':'t'},'taskQueue':{'name':'q'},"    \
    "'firstWorkflowTaskBackoff':'0s','workflowTaskTimeout':'10s','originalExecutionRunId':'o1',"             \
    "'firstExecutionRunId':'o1','attempt':1\n"

static const struct dialogue dialogues[] = {
    { ORACLE_CHECK_COUNT,
      { TOLD("q", "r"),
        POLL_STEP("dA==", 3, FIRST_TASK),
        { "RespondWorkflowTaskCompleted",
          "'taskToken':'dA==','commands':[{'commandType':'COMMAND_TYPE_START_TIMER'}]" },
        SIGNAL_STEP("1", ""),
        DESCRIBE("'historyLength':'5','status':'WORKFLOW_EXECUTION_STATUS_RUNNING'}"),
        LIST("'status':'WORKFLOW_EXECUTION_STATUS_RUNNING'"),
        READ(PROLOGUE TIMER(20, "t", "1s", 4) SIGNALED(30, "1") SCHEDULED(30, 1) STARTED(40, 7)
                 COMPLETED(50, 7, 8) END(50, 9)) } },
    { ORACLE_TASK_TWICE,
      { TOLD("q", "r"), POLL_STEP("dA==", 3, FIRST_TASK), POLL_STEP("dA==", 3, FIRST_TASK) } },
    { ORACLE_TASK_EVENTS, { TOLD("q", "r"), POLL_STEP("dA==", 4, FIRST_TASK) } },
    { ORACLE_COMPLETION_TWICE,
      { TOLD("q", "r"),
        POLL_STEP("dA==", 3, FIRST_TASK),
        { "RespondWorkflowTaskCompleted", "'taskToken':'dA=='" },
        { "RespondWorkflowTaskCompleted", "'taskToken':'dA=='" } } },
    { ORACLE_COMPLETION_LOST,
      { TOLD("q", "r"),
        POLL_STEP("dA==", 3, FIRST_TASK),
        { "RespondWorkflowTaskCompleted",
          "'taskToken':'dA==','commands':[{'commandType':'COMMAND_TYPE_START_TIMER'}]" },
        READ(CLOSED) } },
    { ORACLE_COMPLETION_LOST,
      { TOLD("q", "r"),
        { "PollActivityTaskQueue", "",
          "'taskToken':'dA==','workflowExecution':{'workflowId':'w','runId':'r'},'attempt':1,'activityId':'"
          "a'" },
        { "RespondActivityTaskCompleted", "'taskToken':'dA==','result':{'payloads':[{'data':'eA=='}]}" },
        READ(PROLOGUE ACTIVITY(20, "a", 4) ACTIVITY_STARTED(30, 5, 1) ACTIVITY_COMPLETED(40, 5, 6)) } },
    { ORACLE_VIEW,
      { TOLD("q", "r"), READ(CLOSED),
        DESCRIBE("'historyLength':'5','status':'WORKFLOW_EXECUTION_STATUS_FAILED',"
                 "'closeTime':'2026-01-01T00:00:00.020Z'}") } },
    { ORACLE_VIEW,
      { TOLD("q", "r"), READ(PROLOGUE ACTIVITY(20, "a", 4)),
        DESCRIBE("'historyLength':'5','status':'WORKFLOW_EXECUTION_STATUS_RUNNING'}") } },
    { ORACLE_VIEW_TASK,
      { TOLD("q", "r"), SIGNAL_STEP("1", ""), READ(PROLOGUE SIGNALED(30, "1")),
        DESCRIBE("'historyLength':'5','status':'WORKFLOW_EXECUTION_STATUS_RUNNING'}") } },
    { ORACLE_STALE,
      { TOLD("q", "r"), READ(CLOSED),
        DESCRIBE("'historyLength':'4','status':'WORKFLOW_EXECUTION_STATUS_RUNNING'}") } },
    { ORACLE_ROW, { TOLD("q", "r"), READ(CLOSED), LIST("'status':'WORKFLOW_EXECUTION_STATUS_RUNNING'") } },
    { ORACLE_START_LOST,
      { TOLD("q", "r"),
        { "GetWorkflowExecutionHistory", "'execution':{'workflowId':'w','runId':'r'}",
          .code = ST_NOT_FOUND } } },
    { ORACLE_START_TWICE, { TOLD("q", "r"), TOLD("q", "n") } },
    { ORACLE_START_TWICE,
      { TOLD("q", "n"), READ_OF("w", "n", START TERMINATED(0, "i")), READ_OF("w", "r", CLOSED) } },
    { ORACLE_SIGNAL_LOST, { TOLD("q", "r"), SIGNAL_STEP("1", ""), READ(CLOSED) } },
    { ORACLE_SIGNAL_PHANTOM,
      { TOLD("q", "r"), SIGNAL_STEP("1", .code = ST_NOT_FOUND),
        READ(PROLOGUE SIGNALED(30, "1") SCHEDULED(30, 1)) } },
    { ORACLE_SIGNAL_PHANTOM, { TOLD("q", "r"), READ(PROLOGUE SIGNALED(30, "1") SCHEDULED(30, 1)) } },
    { ORACLE_CANCEL_LOST,
      { TOLD("q", "r"),
        { "RequestCancelWorkflowExecution", "'workflowExecution':{'workflowId':'w'}" },
        READ(PROLOGUE) } },
    { ORACLE_TERMINATE_LOST,
      { TOLD("q", "r"),
        { "TerminateWorkflowExecution", "'workflowExecution':{'workflowId':'w'}" },
        READ(CLOSED) } },
    { ORACLE_UPDATE_LOST, { TOLD("q", "r"), UPDATE_STEP(IS_ACCEPTED), READ(CLOSED) } },
    { ORACLE_UPDATE_LOST,
      { TOLD("q", "r"),
        UPDATE_STEP("'stage':'UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED',"
                    "'outcome':{'success':{'payloads':[{'data':'eA=='}]}}"),
        READ(PROLOGUE ACCEPTED(20, "u") UPDATE_COMPLETED(20, "u", 5)) } },
    { ORACLE_RESET_LOST,
      { TOLD("q", "r"),
        RESET_STEP,
        READ(CLOSED),
        { "GetWorkflowExecutionHistory", "'execution':{'workflowId':'w','runId':'n'}",
          .code = ST_NOT_FOUND } } },
    { ORACLE_ORDER,
      { TOLD("q", "r"), SIGNAL_STEP("1", ""), SIGNAL_STEP("2", ""),
        READ(PROLOGUE SIGNALED(30, "2") SCHEDULED(30, 1) SIGNALED(40, "1")) } },
    { ORACLE_ORDER,
      { TOLD("q", "r"), UPDATE_OF("r", "1", IS_ACCEPTED), UPDATE_OF("r", "2", IS_ACCEPTED),
        READ(PROLOGUE ACCEPTED(20, "2") ACCEPTED(20, "1")) } },
    /* One run took the first and continued; its client, in doubt, asked again after the second, of the next run. */
    { ORACLE_CHECK_COUNT,
      { TOLD("q", "r"), UPDATE_OF("r", "1", IS_ACCEPTED), UPDATE_OF("n", "2", IS_ACCEPTED),
        UPDATE_OF("n", "1", IS_ACCEPTED), READ(PROLOGUE ACCEPTED(20, "1") CONTINUED(30, "n")),
        READ_OF("w", "n",
                START_NEXT("1,'initiator':'CONTINUE_AS_NEW_INITIATOR_WORKFLOW'") SCHEDULED(1030, 1)
                    STARTED(1040, 2) COMPLETED(1050, 2, 3) ACCEPTED(1050, "2") ACCEPTED(1050, "1")) } },
    /* Of what that run was told, its order holds all the same. */
    { ORACLE_ORDER,
      { TOLD("q", "r"), UPDATE_OF("r", "1", IS_ACCEPTED), UPDATE_OF("n", "1", IS_ACCEPTED),
        UPDATE_OF("n", "2", IS_ACCEPTED), READ(PROLOGUE ACCEPTED(20, "1") CONTINUED(30, "n")),
        READ_OF("w", "n",
                START_NEXT("1,'initiator':'CONTINUE_AS_NEW_INITIATOR_WORKFLOW'") SCHEDULED(1030, 1)
                    STARTED(1040, 2) COMPLETED(1050, 2, 3) ACCEPTED(1050, "2") ACCEPTED(1050, "1")) } },
    { ORACLE_TWO_OPEN,
      { TOLD("q", "r"), TOLD("p", "n"), READ(START SCHEDULED(0, 1) TERMINATED(100, "i")),
        READ_OF("w", "n",
                "WORKFLOW_EXECUTION_STARTED 99 'workflowId':'w','workflowType':{'name':'t'},"
                "'taskQueue':{'name':'q'},'firstWorkflowTaskBackoff':'0s','workflowTaskTimeout':'10s',"
                "'originalExecutionRunId':'n','firstExecutionRunId':'n','attempt':1\n") } },
    { ORACLE_CHAIN,
      { TOLD("q", "r"), READ(PROLOGUE CONTINUED(30, "n")),
        READ_OF("w", "n", START_NEXT("1")) } }, /* no initiator */
    { ORACLE_CHECK_COUNT,
      { TOLD("q", "r"), READ(PROLOGUE CONTINUED(30, "n")),
        READ_OF("w", "n", START_NEXT("1,'initiator':'CONTINUE_AS_NEW_INITIATOR_WORKFLOW'")) } },
    { ORACLE_CHECK_COUNT,
      { TOLD("q", "r"), SIGNAL_STEP("1", ""), RESET_STEP,
        READ(PROLOGUE SIGNALED(30, "1") SCHEDULED(30, 1) TERMINATED(100, "history-resetter")),
        READ_OF("w", "n", FIRST_TASK RESET_FAILED SIGNALED(100, "1") SCHEDULED(100, 1)) } },
    { ORACLE_RESET,
      { TOLD("q", "r"), SIGNAL_STEP("1", ""), RESET_STEP,
        READ(PROLOGUE SIGNALED(30, "1") SCHEDULED(30, 1) TERMINATED(100, "history-resetter")),
        READ_OF("w", "n", FIRST_TASK RESET_FAILED SCHEDULED(100, 1)) } },
    { ORACLE_RESET,
      { TOLD("q", "r"), RESET_STEP, READ(PROLOGUE TERMINATED(100, "history-resetter")),
        READ_OF("w", "n", START SCHEDULED(0, 1) STARTED(11, 2) RESET_FAILED SCHEDULED(100, 1)) } },
    { ORACLE_PARENT,
      { TOLD("q", "r"), READ(PROLOGUE CHILD(20, "c", 4) CHILD_STARTED(30, "c", 5) SCHEDULED(30, 1)),
        READ_OF("c", "c1", START_CHILD("another")) } },
    { ORACLE_PARENT,
      { TOLD("q", "r"),
        READ(PROLOGUE CHILD(20, "c", 4) CHILD_STARTED(30, "c", 5) CHILD_COMPLETED(40, "c", 5, 6)
                 SCHEDULED(40, 1)),
        READ_OF("c", "c1", START_CHILD("c") SCHEDULED(30, 1) TERMINATED(35, "i")) } },
    { ORACLE_CLOSE_POLICY,
      { TOLD("q", "r"),
        READ(PROLOGUE CHILD(20, "c", 4) CHILD_STARTED(30, "c", 5) SCHEDULED(30, 1) TERMINATED(40, "i")),
        READ_OF("c", "c1", START_CHILD("c") SCHEDULED(30, 1)) } },
    { ORACLE_DELIVERY,
      { TOLD("q", "r"), READ(PROLOGUE CHILD(20, "c", 4) CHILD_STARTED(30, "c", 5) SCHEDULED(30, 1)),
        READ_OF("c", "c1", START_CHILD("c") SCHEDULED(30, 1) TERMINATED(35, "i")) } },
    { ORACLE_DELIVERY,
      { TOLD("q", "r"),
        { "StartWorkflowExecution", "'workflowId':'o','requestId':'q'", "'runId':'o1','started':true" },
        READ(PROLOGUE SIGNAL_OUT(20, "o", 4) SIGNAL_DONE(30, "o", 5) SCHEDULED(30, 1)),
        READ_OF("o", "o1", START_OTHER SCHEDULED(0, 1)) } },
};

TEST(every_dialogue_is_judged_as_it_should)
{
    for (size_t i = 0; i < ARRAY_COUNT(dialogues); i++) {
        struct oracle *oracle = new_oracle();
        talk(oracle, dialogues[i].steps, ARRAY_COUNT(dialogues[i].steps));
        unsigned expected = dialogues[i].check == ORACLE_CHECK_COUNT ? 0 : reports[dialogues[i].check];
        if (report_count != expected || (dialogues[i].check != ORACLE_CHECK_COUNT && expected == 0))
            fail_msg("dialogue %zu (%s): %u reports, %u of them by its check", i,
                     dialogues[i].check == ORACLE_CHECK_COUNT ? "good"
                                                              : oracle_check_name(dialogues[i].check),
                     report_count, expected);
        oracle_free(oracle);
    }
}

TEST(what_was_not_read_is_asked_for)
{
    static const struct step steps[] = { TOLD("q", "r"), READ(PROLOGUE CONTINUED(30, "n")) };
    struct bytes             workflow_id, run_id;
    struct oracle           *oracle = new_oracle();
    talk(oracle, steps, ARRAY_COUNT(steps)); /* settles at its end */
    CHECK(oracle_unread(oracle, &workflow_id, &run_id));
    talk(oracle, steps + 1, 1);
    static const struct step rest[] = {
        READ(PROLOGUE CONTINUED(30, "n")),
        READ_OF("w", "n", START_NEXT("1,'initiator':'CONTINUE_AS_NEW_INITIATOR_WORKFLOW'")),
    };
    uint64_t judged = oracle_judged(oracle);
    for (size_t i = 0; i < ARRAY_COUNT(rest); i++) {
        const struct pb_method *method = pb_method_find(
            BYTES("/temporal.api.workflowservice.v1.WorkflowService/GetWorkflowExecutionHistory"));
        uint64_t call = oracle_call(oracle, method->index, encoded(method->request, rest[i].request));
        oracle_answer(oracle, call, ST_OK, reply_of(method, &rest[i]));
    }
    CHECK(!oracle_unread(oracle, &workflow_id, &run_id));
    CHECK_INT(oracle_judged(oracle), judged + 1);
    CHECK_INT(report_count, 0);
    oracle_free(oracle);
}

TEST(every_check_of_calls_has_a_bad_dialogue)
{
    for (size_t check = ORACLE_FIRST_OF_CALLS; check < ORACLE_CHECK_COUNT; check++) {
        bool found = false;
        for (size_t i = 0; i < ARRAY_COUNT(dialogues); i++)
            found = found || dialogues[i].check == check;
        if (!found)
            fail_msg("nothing shows that %s can fail", oracle_check_name((enum oracle_check)check));
    }
    arena_release(&arena);
}
