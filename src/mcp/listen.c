/* listen.c: streams that tell of changes: subscriptions/listen, and the GET stream of the older revisions. */
#include "mcp/gateway_internal.h"

#define LISTEN_TASKS_MAX 100
#define LISTEN_ASKED_MAX                                                                                     \
    1000 /* questions that one stream keeps in mind; more are asked by tasks/result alone */

struct listen;
struct listen_task {
    struct listen     *listen;
    struct run_watcher watcher;
    struct run_ref     ref; /* a copy */
    char              *id;
    json_t            *last; /* what was told last */
};
struct listen {
    struct list     link;
    struct request *request;
    bool            tools, prompts, resources;
    json_t *asked; /* {run and key: where}, of a session's stream: true for here, false for in a call */
    size_t  task_count;
    struct listen_task tasks[];
};

static void listen_free(struct listen *listen)
{
    listen->request->gone = NULL;
    subscriptions_end(listen->request->gateway, listen, 0);
    for (size_t i = 0; i < listen->task_count; i++) {
        run_watch_end(&listen->tasks[i].watcher);
        free(listen->tasks[i].id);
        run_ref_release(&listen->tasks[i].ref);
        json_decref(listen->tasks[i].last);
    }
    list_remove(&listen->link);
    json_decref(listen->asked);
    free(listen);
}

static void listen_gone(struct request *request)
{
    listen_free(request->work);
}

static void tell(struct listen *listen, const char *method, json_t *params)
{
    struct request *request = listen->request;
    if (request->revision->modern)
        json_object_set_new(params, "_meta", json_pack("{s:O}", META_SUBSCRIBED, request->id));
    request_notify(request, method, params);
}

static struct listen *listen_new(struct request *request, size_t task_count)
{
    struct listen *listen = xcalloc(1, sizeof *listen + task_count * sizeof listen->tasks[0]);
    listen->request = request;
    listen->asked = json_object();
    list_init(&listen->link);
    list_append(&request->gateway->listeners, &listen->link);
    request->work = listen;
    request->gone = listen_gone;
    return listen;
}

/* --- tasks --- */

static void task_viewed(struct run_watcher *watcher, const struct run_view *view)
{
    struct listen_task *task = watcher->context;
    json_t             *now = task_json(task->listen->request, task->id, &task->ref, view);
    if (task->last != NULL && json_equal(task->last, now)) {
        json_decref(now);
        return;
    }
    json_decref(task->last);
    task->last = now;
    tell(task->listen, "notifications/tasks", json_copy(now));
}

static void task_closed(struct run_watcher *watcher, const struct outcome *outcome,
                        const struct error *error UNUSED)
{
    struct listen_task *task = watcher->context;
    struct request     *request = task->listen->request;
    if (outcome == NULL)
        return; /* it cannot be read any more; tasks/get says why */
    struct run_view view = { .state = outcome->kind == OUTCOME_RESULT      ? RUN_COMPLETED
                                      : outcome->kind == OUTCOME_CANCELLED ? RUN_CANCELLED
                                                                           : RUN_FAILED,
                             .created_ns = clock_wall_ns(&clock_system),
                             .updated_ns = clock_wall_ns(&clock_system) };
    json_t         *now = task_json(request, task->id, &task->ref, &view);
    if (task->last != NULL)
        json_object_set(now, "createdAt", json_object_get(task->last, "createdAt"));
    if (outcome->kind == OUTCOME_RESULT) {
        json_t *result = content_result(request, outcome);
        json_object_set_new(result, "resultType", json_string("complete"));
        json_object_set_new(now, "result", result);
    } else if (outcome->kind == OUTCOME_PROTOCOL) {
        json_object_set_new(now, "error",
                            json_pack("{s:i, s:s}", "code", outcome->code, "message", outcome->message));
    }
    tell(task->listen, "notifications/tasks", now);
}

/* A task that is none of this caller's is left out of what is acknowledged, and that is all that is said of it. */
static void add_task(struct listen *listen, const json_t *id, json_t *accepted)
{
    struct request      *request = listen->request;
    struct run_ref       ref;
    struct error         error;
    json_t JSON_CLEANUP *state = token_open(request->gateway, &request->caller, SEAL_TASK, json_text(id));
    const struct tool   *tool = ref_from_json(request, state, &ref);
    if (tool == NULL)
        return;
    struct listen_task *task = &listen->tasks[listen->task_count];
    *task = (struct listen_task){ .listen = listen, .id = strdup(json_string_value(id)) };
    task->watcher = (struct run_watcher){
        .viewed = task_viewed, .closed = task_closed, .wants_views = true, .context = task
    };
    list_init(&task->watcher.link);
    (void)run_ref_copy(&ref, &task->ref);
    listen->task_count++;
    if (run_watch_begin(request->gateway->runs, &ref, tool, &task->watcher, &error) == ST_OK)
        json_array_append(accepted, (json_t *)id);
}

/* Those that there are. Whether a run is this caller's is found out later: nothing is told of one that is not. */
static void add_subscriptions(struct listen *listen, const json_t *uris, json_t *accepted)
{
    json_t *taken = json_array();
    for (size_t i = 0; i < json_array_size(uris); i++) {
        json_t *uri = json_array_get(uris, i);
        if (json_is_string(uri) && subscribe(listen->request, listen, json_text(uri)))
            json_array_append(taken, uri);
    }
    if (json_array_size(taken) != 0)
        json_object_set(accepted, "resourceSubscriptions", taken);
    json_decref(taken);
}

static bool is_short_list(const json_t *list)
{
    return list == NULL || (json_is_array(list) && json_array_size(list) <= LISTEN_TASKS_MAX);
}

void handle_listen(struct request *request)
{
    const json_t *wanted = json_object_get(request->params, "notifications");
    const json_t *ids = json_object_get(wanted, "taskIds");
    const json_t *uris = json_object_get(wanted, "resourceSubscriptions");
    if (!json_is_object(wanted) || !is_short_list(ids) || !is_short_list(uris)) {
        request_error(request, RPC_INVALID_PARAMS, NULL,
                      "params.notifications must be an object, with at most %d taskIds and "
                      "resourceSubscriptions",
                      LISTEN_TASKS_MAX);
        return;
    }
    if (ids != NULL && !request_can_extension(request, TASKS_EXTENSION)) {
        request_missing_capability(request, TASKS_EXTENSION, true);
        return;
    }
    struct listen *listen = listen_new(request, json_array_size(ids));
    json_t        *accepted = json_object();
    json_t        *tasks = json_array();
    listen->tools = json_is_true(json_object_get(wanted, "toolsListChanged"));
    listen->prompts = json_is_true(json_object_get(wanted, "promptsListChanged"));
    listen->resources = json_is_true(json_object_get(wanted, "resourcesListChanged"));
    if (listen->tools)
        json_object_set_new(accepted, "toolsListChanged", json_true());
    if (listen->prompts)
        json_object_set_new(accepted, "promptsListChanged", json_true());
    if (listen->resources)
        json_object_set_new(accepted, "resourcesListChanged", json_true());
    for (size_t i = 0; i < json_array_size(ids); i++)
        add_task(listen, json_array_get(ids, i), tasks);
    if (json_array_size(tasks) != 0)
        json_object_set_new(accepted, "taskIds", tasks);
    else
        json_decref(tasks);
    add_subscriptions(listen, uris, accepted);
    tell(listen, "notifications/subscriptions/acknowledged", json_pack("{s:o}", "notifications", accepted));
}

void listen_legacy(struct request *request)
{
    struct listen *listen = listen_new(request, 0);
    listen->tools = listen->prompts = listen->resources = true;
    request_stream(request);
}

/* --- questions of tasks, on the stream of their session --- */

static struct listen *listen_of(struct gateway *gateway, uint64_t session_hash, const char *caller)
{
    LIST_FOR_EACH (listen, &gateway->listeners, struct listen, link) {
        if (session_hash != 0 && listen->request->session_hash == session_hash &&
            strcmp(listen->request->caller.name, caller) == 0)
            return listen;
    }
    return NULL;
}

static struct listen *listen_of_session(const struct request *request)
{
    return listen_of(request->gateway, request->session_hash, request->caller.name);
}

void listen_tell(struct gateway *gateway, struct listen *listen, uint64_t session_hash, const char *caller,
                 const char *method, json_t *params)
{
    if (listen == NULL)
        listen = listen_of(gateway, session_hash, caller);
    if (listen == NULL)
        json_decref(params);
    else
        tell(listen, method, params);
}

static void asked_name(const struct run_ref *ref, const char *key, struct buffer *ret_name)
{
    buffer_printf(ret_name, "%s/%s", ref->first_run_id, key);
    buffer_append_byte(ret_name, 0);
}

/* Whoever asks in a call says so by this: then it is not asked here as well. */
bool listen_has_asked(const struct request *request, const struct run_ref *ref, const char *key)
{
    struct buffer  CLEANUP(buffer_release) name = { 0 };
    struct listen *listen = listen_of_session(request);
    if (listen == NULL)
        return false;
    asked_name(ref, key, &name);
    if (json_is_true(json_object_get(listen->asked, (const char *)name.base)))
        return true;
    if (json_object_size(listen->asked) < LISTEN_ASKED_MAX)
        json_object_set_new(listen->asked, (const char *)name.base, json_false());
    return false;
}

void listen_ask(const struct request *request, const struct run_ref *ref, const struct tool *tool,
                const json_t *questions, const json_t *task_id)
{
    struct listen *listen = listen_of_session(request);
    const char    *key;
    json_t        *question;
    if (listen == NULL)
        return;
    json_object_foreach((json_t *)questions, key, question)
    {
        struct buffer CLEANUP(buffer_release) name = { 0 };
        asked_name(ref, key, &name);
        if (json_object_get(listen->asked, (const char *)name.base) != NULL ||
            json_object_size(listen->asked) >= LISTEN_ASKED_MAX)
            continue;
        json_t *message = question_message(request, ref, tool, key, question, task_id);
        if (message == NULL)
            continue;
        json_object_set_new(listen->asked, (const char *)name.base, json_true());
        request_send(listen->request, message);
        json_decref(message);
    }
}

/* --- changes --- */

/* What the lists of a path say, in one number: a sum, so that it does not matter in which order toolsets come. */
static void hash_lists(const struct catalog *catalog, const char *only, uint64_t ret_hash[3])
{
    ret_hash[0] = ret_hash[1] = ret_hash[2] = 0;
    for (size_t i = 0; i < catalog->toolset_count; i++) {
        const struct toolset *toolset = catalog->toolsets[i];
        if (only != NULL && strcmp(only, toolset->name) != 0)
            continue;
        ret_hash[0] += toolset->tools_hash * 31 + 1;
        ret_hash[1] += toolset->prompts_hash * 31 + 1;
        ret_hash[2] += toolset->resources_hash * 31 + 1;
    }
}

void listen_catalog_changed(struct gateway *gateway, const struct catalog *before,
                            const struct catalog *after)
{
    for (struct list *link = gateway->listeners.next, *next; link != &gateway->listeners; link = next) {
        struct listen *listen = CONTAINER_OF(link, struct listen, link);
        const char    *only = listen->request->toolset == NULL ? NULL : listen->request->toolset->name;
        uint64_t       old[3], new[3];
        next = link->next;
        hash_lists(before, only, old);
        hash_lists(after, only, new);
        if (listen->tools && old[0] != new[0])
            tell(listen, "notifications/tools/list_changed", json_object());
        if (listen->prompts && old[1] != new[1])
            tell(listen, "notifications/prompts/list_changed", json_object());
        if (listen->resources && old[2] != new[2])
            tell(listen, "notifications/resources/list_changed", json_object());
    }
}

/* The last word: a client that gets it comes again, rather than wait for a connection to time out. */
void listen_drain(struct gateway *gateway)
{
    while (!list_empty(&gateway->listeners)) {
        struct listen  *listen = CONTAINER_OF(gateway->listeners.next, struct listen, link);
        struct request *request = listen->request;
        listen_free(listen);
        if (request->revision->modern)
            request_result(request, json_pack("{s:{s:O}}", "_meta", META_SUBSCRIBED, request->id));
        else
            request_end(request);
    }
}
