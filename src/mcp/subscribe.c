/* subscribe.c: who wants to know when a resource changes: notifications/resources/updated.
 *
 * A run's resources change with the run; those that a query reads, with the workflow that it asks. What stands in the file changes with the
 * file, which is list_changed's matter. Of 2026-07-28 a subscription belongs to its listen stream; before, to a session, and is told on
 * the stream that the session has by then. It ends with the run, the stream, the session's word, or the server: nothing of it is kept.
 */
#include "mcp/gateway_internal.h"
#include "mcp/run_internal.h"

#define SUBSCRIPTIONS_MAX     10000
#define SUBSCRIPTIONS_OF_LIST 100

struct subscription {
    struct list           link; /* in gateway->subscriptions */
    struct gateway       *gateway;
    struct listen        *listen;       /* NULL: a session's */
    uint64_t              session_hash; /* 0: a listen stream's */
    char                 *caller, *uri;
    struct catalog       *catalog; /* with a reference: the watch's tool lives in it */
    const struct toolset *toolset; /* NULL: every one */
    struct run_uri        address; /* of a run's resource */
    struct backend_call  *call;
    struct run_watcher    watcher;
    bool                  seen; /* what it is: changes are told from now on */
};

static void subscription_free(struct subscription *self)
{
    list_remove(&self->link);
    self->gateway->subscription_count--;
    backend_cancel(self->call);
    run_watch_end(&self->watcher);
    run_uri_release(&self->address);
    catalog_unref(self->catalog);
    free(self->caller);
    free(self->uri);
    free(self);
}

static void tell_updated(const struct subscription *self)
{
    listen_tell(self->gateway, self->listen, self->session_hash, self->caller,
                "notifications/resources/updated", json_pack("{s:s}", "uri", self->uri));
}

static void viewed(struct run_watcher *watcher, const struct run_view *view UNUSED)
{
    struct subscription *self = watcher->context;
    if (self->seen && self->address.kind != RUN_URI_RESULT)
        tell_updated(self);
    self->seen = true;
}

static void closed(struct run_watcher *watcher, const struct outcome *outcome,
                   const struct error *error UNUSED)
{
    struct subscription *self = watcher->context;
    if (outcome != NULL)
        tell_updated(self);
    subscription_free(self);
}

static void watch(struct subscription *self, const struct run_ref *ref, const struct tool *tool)
{
    struct error error;
    self->watcher = (struct run_watcher){
        .viewed = viewed, .closed = closed, .wants_views = true, .context = self
    };
    list_init(&self->watcher.link);
    if (run_watch_begin(self->gateway->runs, ref, tool, &self->watcher, &error) != ST_OK)
        subscription_free(self);
}

static void described(void *context, const void *response, const struct error *error UNUSED,
                      struct arena *arena)
{
    struct subscription                                            *self = context;
    const struct workflowservice_DescribeWorkflowExecutionResponse *it = response;
    self->call = NULL;
    const struct tool *tool = it == NULL ? NULL
                                         : run_tool(self->catalog, self->toolset, self->caller,
                                                    self->address.part[0], it, arena);
    if (tool == NULL) { /* it is not there, or somebody else's, and that is not told */
        subscription_free(self);
        return;
    }
    char          *first = text_copy(it->workflow_execution_info->first_run_id);
    struct run_ref ref = { self->address.part[0], self->address.part[1], first, NULL };
    watch(self, &ref, tool);
    free(first);
}

/* The workflow that a query's resource shows: its id is derived as the query's is. */
static void watch_query(struct subscription *self, const struct tool *tool, const json_t *arguments)
{
    struct buffer          CLEANUP(buffer_release) id = { 0 };
    struct error           error;
    struct template_values values = { .arguments = arguments,
                                      .caller = bytes_of_text(self->caller),
                                      .tool = bytes_of_text(tool->name) };
    if (template_text(tool->id, &values, &id, &error) != ST_OK) {
        subscription_free(self);
        return;
    }
    buffer_append_byte(&id, 0);
    struct run_ref ref = { tool->namespace_name, (const char *)id.base, "", NULL };
    watch(self, &ref, tool);
}

static struct subscription *find(const struct request *request, const struct listen *listen, struct bytes uri,
                                 size_t *ret_count)
{
    *ret_count = 0;
    LIST_FOR_EACH (self, &request->gateway->subscriptions, struct subscription, link) {
        if (self->listen != listen || self->session_hash != (listen == NULL ? request->session_hash : 0))
            continue;
        ++*ret_count;
        if (bytes_equal_text(uri, self->uri))
            return self;
    }
    return NULL;
}

static struct subscription *subscription_new(struct request *request, struct listen *listen, struct bytes uri)
{
    struct gateway      *gateway = request->gateway;
    struct subscription *self = xcalloc(1, sizeof *self);
    self->gateway = gateway;
    self->listen = listen;
    self->session_hash = listen == NULL ? request->session_hash : 0;
    self->caller = text_copy(bytes_of_text(request->caller.name));
    self->uri = text_copy(uri);
    self->catalog = catalog_ref(request->catalog);
    self->toolset = request->toolset;
    list_init(&self->watcher.link);
    list_init(&self->link);
    list_append(&gateway->subscriptions, &self->link);
    gateway->subscription_count++;
    return self;
}

bool subscribe(struct request *request, struct listen *listen, struct bytes uri)
{
    struct gateway        *gateway = request->gateway;
    json_t JSON_CLEANUP   *names = NULL;
    struct run_uri         address = { 0 };
    const struct resource *resource = resource_find(request, uri, &names);
    size_t                 count;
    if (resource == NULL && !run_uri_parse(uri, &address)) {
        run_uri_release(&address);
        return false;
    }
    bool fixed = resource != NULL && (resource->tool == NULL || resource->tool->kind != TOOL_QUERY);
    bool there = find(request, listen, uri, &count) != NULL;
    if (fixed || there || (listen == NULL && request->session_hash == 0)) {
        run_uri_release(&address);
        return true; /* nothing will be told, or it is told already */
    }
    if (count >= SUBSCRIPTIONS_OF_LIST || gateway->subscription_count >= SUBSCRIPTIONS_MAX) {
        run_uri_release(&address);
        return false;
    }
    struct subscription *self = subscription_new(request, listen, uri);
    if (resource != NULL) {
        json_t JSON_CLEANUP *none = json_object();
        watch_query(self, resource->tool, names == NULL ? none : names);
        return true;
    }
    self->address = address;
    self->call = run_uri_describe(gateway, &self->address, described, self);
    return true;
}

void subscriptions_end(struct gateway *gateway, const struct listen *listen, uint64_t session_hash)
{
    LIST_FOR_EACH (self, &gateway->subscriptions, struct subscription, link) {
        if (self->listen == listen && self->session_hash == session_hash)
            subscription_free(self);
    }
}

void subscriptions_forget(struct gateway *gateway)
{
    while (!list_empty(&gateway->subscriptions))
        subscription_free(LIST_ENTRY(gateway->subscriptions.next, struct subscription, link));
}

void handle_resources_subscribe(struct request *request)
{
    struct bytes uri;
    if (!request_text_param(request, "uri", &uri))
        return;
    if (subscribe(request, NULL, uri))
        request_result(request, json_object());
    else
        resource_not_found(request);
}

void handle_resources_unsubscribe(struct request *request)
{
    struct bytes uri;
    size_t       count;
    if (!request_text_param(request, "uri", &uri))
        return;
    struct subscription *self = find(request, NULL, uri, &count);
    if (self != NULL && request->session_hash != 0)
        subscription_free(self);
    request_result(request, json_object());
}
