/* registry.c: lists the declared toolsets when they change. */
#include "mcp/registry.h"

#include "base/log.h"

struct registry {
    struct backend      *backend;
    struct config_watch *watch;
    struct backend_call *call;
    struct loop_timer    again;
    bool                 stale;   /* it changed while the answer was on its way */
    int64_t              version; /* of what the configuration has; -1: nothing yet */
};

static void ask(struct registry *registry);

static void hand_over(struct registry *registry, const struct api_ListToolsetsResponse *list,
                      struct arena *arena)
{
    struct config_source *sources = ARENA_NEW_ARRAY(arena, struct config_source, list->toolsets_count + 1);
    for (size_t i = 0; i < list->toolsets_count; i++) {
        const struct api_Toolset *from = &list->toolsets[i];
        const char *name = (const char *)arena_printf(arena, "%.*s", BYTES_FMT(from->name)).base;
        sources[i] = (struct config_source){
            .file = (const char *)arena_printf(arena, "registry:%s", name).base,
            .text = from->document,
            .toolset = name,
            .version = (uint64_t)from->version
        };
    }
    config_watch_registry(registry->watch, sources, list->toolsets_count);
    registry->version = list->version;
}

static void listed(void *context, const void *response, const struct error *error, struct arena *arena)
{
    struct registry                       *registry = context;
    const struct api_ListToolsetsResponse *list = response;
    struct loop                           *loop = registry->backend->loop;
    registry->call = NULL;
    if (list == NULL) {
        log_error("mcp.registry", "the declared toolsets cannot be read: %s", error->message);
        loop_timer_set(loop, &registry->again, loop_now(loop) + REGISTRY_AGAIN_NS);
    } else if (list->version != registry->version) {
        hand_over(registry, list, arena);
    }
    if (!registry->stale)
        return;
    registry->stale = false;
    ask(registry);
}

static void ask(struct registry *registry)
{
    struct api_ListToolsetsRequest request = { .with_documents = true };
    loop_timer_clear(registry->backend->loop, &registry->again);
    registry->call = backend_send(registry->backend, PB_METHOD_ToolService_ListToolsets, &request,
                                  BACKEND_TIMEOUT_NS, listed, registry);
}

static void ask_again(struct loop_timer *timer)
{
    ask(CONTAINER_OF(timer, struct registry, again));
}

struct registry *registry_new(struct backend *backend, struct config_watch *watch)
{
    struct registry *registry = xcalloc(1, sizeof *registry);
    registry->backend = backend;
    registry->watch = watch;
    registry->version = -1;
    loop_timer_init(&registry->again, ask_again);
    ask(registry);
    return registry;
}

void registry_changed(struct registry *registry)
{
    if (registry->call != NULL)
        registry->stale = true;
    else
        ask(registry);
}

void registry_free(struct registry *registry)
{
    if (registry == NULL)
        return;
    backend_cancel(registry->call);
    loop_timer_clear(registry->backend->loop, &registry->again);
    free(registry);
}
