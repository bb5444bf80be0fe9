/* backend.c: encode, send, decode; and send again what may be sent again. */
#include "mcp/backend.h"

#include "codec/pb.h"
#include "mcp/payload_codec.h"

#define BACKOFF_FIRST_NS (20 * NS_PER_MS)
#define BACKOFF_MAX_NS   (2 * NS_PER_S)

struct backend_call {
    struct backend         *backend;
    const struct pb_method *method;
    struct local_call       call;
    struct buffer           request;
    struct loop_timer       again;
    unsigned                tries;
    bool                    under_way;
    struct codec_job       *job;            /* the request or the answer is with the codec server */
    struct buffer           namespace_name; /* only with a codec */
    backend_done           *done;
    void                   *context;
};

void backend_init(struct backend *backend, struct local_client client, struct loop *loop)
{
    *backend = (struct backend){ .client = client, .loop = loop };
    random_seed_from_system(&backend->random);
}

static void call_free(struct backend_call *call)
{
    loop_timer_clear(call->backend->loop, &call->again);
    codec_cancel(call->job);
    buffer_release(&call->namespace_name);
    buffer_release(&call->request);
    free(call);
}

static void send_now(struct backend_call *call)
{
    call->tries++;
    call->under_way = true;
    error_clear(&call->call.error);
    call->call.request = buffer_bytes(&call->request);
    call->backend->client.send(call->backend->client.context, &call->call);
}

static void send_again(struct loop_timer *timer)
{
    send_now(CONTAINER_OF(timer, struct backend_call, again));
}

/* Whether the call is to be tried again, and the timer set. */
static bool tried_again(struct backend_call *call)
{
    struct loop *loop = call->backend->loop;
    if (call->call.error.code != ST_UNAVAILABLE || call->tries >= BACKEND_TRIES_MAX)
        return false;
    int64_t wait = BACKOFF_FIRST_NS << call->tries;
    wait = MIN(wait, BACKOFF_MAX_NS);
    wait = wait / 2 + (int64_t)random_below(&call->backend->random, (uint64_t)wait / 2 + 1);
    if (time_add(loop_now(loop), wait) >= call->call.deadline_ns)
        return false;
    loop_timer_set(loop, &call->again, loop_now(loop) + wait);
    return true;
}

/* `answer` when error says OK. Ends the call. */
static void finish(struct backend_call *call, struct bytes answer, struct error error)
{
    struct arena arena;
    void        *response = NULL;
    arena_init(&arena, SIZE_MAX);
    if (error.code == ST_OK) {
        void *decoded = arena_must(arena_zalloc(&arena, 1, call->method->response->size + 1U));
        if (pb_decode(call->method->response, answer, &arena, decoded, &error) == ST_OK) {
            error_clear(&error);
            response = decoded;
        } else {
            error.code = ST_INTERNAL;
        }
    }
    call->done(call->context, response, &error, &arena);
    arena_release(&arena);
    call_free(call);
}

static void decoded(void *context, struct bytes answer, const struct error *error)
{
    struct backend_call *call = context;
    call->job = NULL;
    finish(call, answer, *error);
}

static void answered(struct local_call *local)
{
    struct backend_call  *call = CONTAINER_OF(local, struct backend_call, call);
    struct payload_codec *codec = call->backend->codec;
    call->under_way = false;
    if (tried_again(call))
        return;
    if (codec != NULL && local->error.code == ST_OK)
        call->job = codec_apply(codec, CODEC_DECODE, buffer_bytes(&call->namespace_name),
                                call->method->response, local->answer, decoded, call);
    if (call->job == NULL)
        finish(call, local->answer, local->error);
}

static void encoded(void *context, struct bytes request, const struct error *error)
{
    struct backend_call *call = context;
    call->job = NULL;
    if (error->code != ST_OK) {
        finish(call, BYTES_EMPTY, *error);
        return;
    }
    buffer_clear(&call->request);
    buffer_append(&call->request, request);
    send_now(call);
}

/* Which namespace the request is for, by its field of that name; empty: for none. */
static struct bytes namespace_of(const struct pb_message *type, const void *request)
{
    const struct pb_field *fields = pb_message_fields(type);
    struct bytes           name = BYTES_EMPTY;
    for (size_t i = 0; i < type->field_count; i++)
        if (fields[i].kind == PB_STRING && (fields[i].flags | PB_IDENTIFIER) == PB_IDENTIFIER &&
            strcmp(pb_field_name(&fields[i]), "namespace") == 0)
            memcpy(&name, (const char *)request + fields[i].offset, sizeof name);
    return name;
}

struct backend_call *backend_send(struct backend *backend, uint16_t method, const void *request,
                                  int64_t timeout_ns, backend_done *done, void *context)
{
    struct backend_call *call = xcalloc(1, sizeof *call);
    call->backend = backend;
    call->method = &pb_methods[method];
    call->done = done;
    call->context = context;
    call->call.path = call->method->path;
    call->call.done = answered;
    call->call.deadline_ns = time_add(loop_now(backend->loop), timeout_ns);
    loop_timer_init(&call->again, send_again);
    pb_encode(call->method->request, request, &call->request);
    if (backend->codec != NULL) {
        struct bytes name = namespace_of(call->method->request, request);
        buffer_append(&call->namespace_name, name);
        call->job = codec_apply(backend->codec, CODEC_ENCODE, name, call->method->request,
                                buffer_bytes(&call->request), encoded, call);
    }
    if (call->job == NULL)
        send_now(call);
    return call;
}

void backend_cancel(struct backend_call *call)
{
    if (call == NULL)
        return;
    if (call->under_way)
        call->backend->client.cancel(call->backend->client.context, &call->call);
    call_free(call);
}

struct bytes backend_new_id(struct backend *backend, struct arena *arena)
{
    char        text[UUID_TEXT_SIZE];
    struct uuid id = uuid_random(&backend->random);
    uuid_print(&id, text);
    return arena_copy(arena, bytes_of(text, sizeof text));
}
