/* ask.c: a query of a workflow, which only a worker can answer, and perhaps there is none.
 *
 *   pollers of its queue ── none for long, or none since a query went unanswered ──> no answer, at once
 *        └─ else ──> query ── answered ──> done
 *                       └─ its time is over: that is kept in mind ──> no answer
 *
 * What is kept in mind is a guess: so whoever is told so without being heard leaves a probe behind, the query itself with more patience
 * (a worker that was killed keeps a query to itself for the sticky timeout), and an answer to it ends the silence.
 */
#include "mcp/run_internal.h"

#define PROBE_NS (20 * NS_PER_S)
#define YOUNG_NS (10 * NS_PER_S) /* a server that was just started has not heard of its workers yet */

struct ask {
    struct runs         *runs;
    struct ask_question  question; /* its texts are in the arena */
    struct silence      *silence;
    uint64_t             key;
    int64_t              sent_wall_ns;
    backend_done        *done;
    void                *context;
    struct backend_call *call;
    struct arena         arena;
};

static void ask_free(struct ask *ask)
{
    backend_cancel(ask->call);
    arena_release(&ask->arena);
    free(ask);
}

static void finish(struct ask *ask, const void *response, const struct error *error, struct arena *arena)
{
    ask->done(ask->context, response, error, arena);
    ask_free(ask);
}

bool ask_went_unheard(enum status code)
{
    return code == ST_DEADLINE_EXCEEDED || code == ST_FAILED_PRECONDITION || code == ST_UNAVAILABLE ||
           code == ST_RESOURCE_EXHAUSTED;
}

static void forget_silence(struct silence *silence)
{
    backend_cancel(silence->probe);
    *silence = (struct silence){ 0 };
}

void silences_forget(struct runs *runs)
{
    for (size_t i = 0; i < ARRAY_COUNT(runs->silences); i++)
        forget_silence(&runs->silences[i]);
}

static void answered(void *context, const void *response, const struct error *error, struct arena *arena)
{
    struct ask *ask = context;
    ask->call = NULL;
    if (error->code == ST_DEADLINE_EXCEEDED) {
        if (ask->silence->key != ask->key)
            forget_silence(ask->silence);
        ask->silence->key = ask->key;
        ask->silence->since_wall_ns = ask->sent_wall_ns;
    } else if (ask->silence->key == ask->key) {
        forget_silence(ask->silence);
    }
    finish(ask, response, error, arena);
}

static void probed(void *context, const void *response UNUSED, const struct error *error,
                   struct arena *arena UNUSED)
{
    struct silence *silence = context;
    silence->probe = NULL;
    if (!ask_went_unheard(error->code))
        forget_silence(silence);
}

static struct backend_call *send_query(struct ask *ask, int64_t timeout_ns, backend_done *done, void *context)
{
    const struct ask_question      *question = &ask->question;
    struct common_WorkflowExecution execution = { .workflow_id = question->workflow_id,
                                                  .run_id = question->run_id };
    struct query_WorkflowQuery      query = { question->query, question->input, question->header };
    struct workflowservice_QueryWorkflowRequest request = { .namespace = question->namespace_name,
                                                            .execution = &execution,
                                                            .query = &query };
    return backend_send(ask->runs->backend, PB_METHOD_WorkflowService_QueryWorkflow, &request, timeout_ns,
                        done, context);
}

/* Whether nobody would hear it, as far as one can know. */
static bool is_silent(const struct ask *ask, const struct workflowservice_DescribeTaskQueueResponse *queue)
{
    const struct silence *silence = ask->silence;
    int64_t               newest = INT64_MIN;
    for (size_t i = 0; i < queue->pollers_count; i++) {
        if (queue->pollers[i].last_access_time != NULL)
            newest = MAX(newest, timestamp_ns(queue->pollers[i].last_access_time));
    }
    if (silence->key == ask->key && newest < silence->since_wall_ns)
        return true;
    return queue->pollers_count == 0 && loop_now(ask->runs->backend->loop) - ask->runs->created_ns > YOUNG_NS;
}

static void pollers_seen(void *context, const void *response, const struct error *error UNUSED,
                         struct arena *arena)
{
    struct ask  *ask = context;
    struct error nobody;
    ask->call = NULL;
    if (response == NULL || !is_silent(ask, response)) {
        ask->sent_wall_ns = clock_wall_ns(&clock_system);
        ask->call = send_query(ask, ask->question.timeout_ns, answered, ask);
        return;
    }
    if (ask->silence->key == ask->key && ask->silence->probe == NULL)
        ask->silence->probe = send_query(ask, PROBE_NS, probed, ask->silence);
    error_set(&nobody, ST_DEADLINE_EXCEEDED, "no worker polls task queue %.*s",
              BYTES_FMT(ask->question.task_queue));
    finish(ask, NULL, &nobody, arena);
}

struct ask *ask_begin(struct runs *runs, const struct ask_question *question, backend_done *done,
                      void *context)
{
    struct ask *ask = xcalloc(1, sizeof *ask);
    ask->runs = runs;
    ask->done = done;
    ask->context = context;
    arena_init(&ask->arena, SIZE_MAX);
    ask->question = (struct ask_question){
        .namespace_name = arena_copy(&ask->arena, question->namespace_name),
        .workflow_id = arena_copy(&ask->arena, question->workflow_id),
        .run_id = arena_copy(&ask->arena, question->run_id),
        .task_queue = arena_copy(&ask->arena, question->task_queue),
        .query = arena_copy(&ask->arena, question->query),
        .input = arena_copy(&ask->arena, question->input),
        .header = arena_copy(&ask->arena, question->header),
        .timeout_ns = question->timeout_ns,
    };
    ask->key = hash_combine(hash_bytes(question->namespace_name), hash_bytes(question->task_queue)) | 1;
    ask->silence = &runs->silences[(ask->key >> 8) % ARRAY_COUNT(runs->silences)];
    struct taskqueue_TaskQueue queue = { .name = question->task_queue, .kind = enums_TASK_QUEUE_KIND_NORMAL };
    struct workflowservice_DescribeTaskQueueRequest request = {
        .namespace = question->namespace_name,
        .task_queue = &queue,
        .task_queue_type = enums_TASK_QUEUE_TYPE_WORKFLOW,
    };
    ask->call = backend_send(runs->backend, PB_METHOD_WorkflowService_DescribeTaskQueue, &request,
                             question->timeout_ns, pollers_seen, ask);
    return ask;
}

void ask_cancel(struct ask *ask)
{
    if (ask != NULL)
        ask_free(ask);
}
