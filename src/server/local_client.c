/* local_client.c: the way of a local call to its lane and back.
 *
 * A transit belongs to the client's thread but for what stands under `call`, which is the lane's between the begin message and the
 * answer. It is freed on the client's thread when its answer has come and no word of a cancel is on its way:
 *
 *   send ── begin ──> lane: api_call ... call_reply ── answer ──> done, freed
 *   cancel or deadline ── gone ──> lane: on_gone, or nothing when it was answered ── back ──> freed once the answer is there, too
 */
#include "server/local_client.h"

#include <pthread.h>

struct local_server_client {
    struct loop      *loop;
    struct local_lane lanes[64];
    size_t            lane_count, next_lane, calls_max, count;
    const char       *name, *version;
    struct list       transits;
    struct mailbox    mailbox; /* its own: lanes answer into it also when the loop is gone */
    /* The two flags, for those who wake; a leaf: only the loop's mailbox is posted to under it. */
    pthread_mutex_t mutex;
    bool            open, drain_posted;
    struct message  drain; /* in the loop's mailbox while there is something in ours */
};
struct transit {
    struct list                 all;
    struct local_server_client *client;
    struct local_call          *owner; /* NULL: cancelled, or told */
    const struct local_lane    *lane;
    struct loop_timer           deadline;
    bool                        answered, gone_in_flight; /* as the client's thread knows */
    /* from begin to answer the lane's */
    struct call     call;
    struct arena    arena;
    struct metadata metadata[2];
    struct buffer   answer;
    struct error    error;
    bool            begun, ended;
    struct message  begin, answer_message, gone_message;
};

/* --- on the client's thread --- */

static void transit_free(struct transit *transit)
{
    list_remove(&transit->all);
    transit->client->count--;
    arena_release(&transit->arena);
    buffer_release(&transit->answer);
    free(transit);
}

static void maybe_free(struct transit *transit)
{
    if (transit->answered && !transit->gone_in_flight)
        transit_free(transit);
}

/* The owner's call leaves the transit; whether it is told is the caller's affair. */
static struct local_call *take_owner(struct transit *transit)
{
    struct local_call *owner = TAKE_PTR(transit->owner);
    if (owner != NULL) {
        owner->transit = NULL;
        loop_timer_clear(transit->client->loop, &transit->deadline);
    }
    return owner;
}

static void answer_arrived(struct message *message)
{
    struct transit    *transit = CONTAINER_OF(message, struct transit, answer_message);
    struct local_call *owner = take_owner(transit);
    transit->answered = true;
    if (owner != NULL) {
        owner->answer = buffer_bytes(&transit->answer);
        owner->error = transit->error;
        owner->done(owner);
    }
    maybe_free(transit);
}

static void gone_returned(struct message *message)
{
    struct transit *transit = CONTAINER_OF(message, struct transit, gone_message);
    transit->gone_in_flight = false;
    maybe_free(transit);
}

static void drain(struct message *message)
{
    struct local_server_client *client = CONTAINER_OF(message, struct local_server_client, drain);
    pthread_mutex_lock(&client->mutex);
    client->drain_posted = false; /* before the box is looked at: what comes later posts it again */
    pthread_mutex_unlock(&client->mutex);
    for (struct message *at = mailbox_take(&client->mailbox), *next; at != NULL; at = next) {
        next = at->next;
        at->run(at);
    }
}

static void wake(void *context)
{
    struct local_server_client *client = context;
    pthread_mutex_lock(&client->mutex);
    /* Who posted into an empty box may come here late, when another has done so since. */
    if (client->open && !client->drain_posted) {
        client->drain_posted = true;
        mailbox_post(loop_mailbox(client->loop), &client->drain);
    }
    pthread_mutex_unlock(&client->mutex);
}

/* --- on the lane's thread --- */

static void end(struct transit *transit)
{
    assert(!transit->ended);
    transit->ended = true;
    mailbox_post(&transit->client->mailbox, &transit->answer_message);
}

static void local_reply(struct call *call, struct bytes message)
{
    struct transit *transit = CONTAINER_OF(call, struct transit, call);
    buffer_append(&transit->answer, message);
    end(transit);
}

/* The detail lives in the call's arena or in that of whoever failed it, so it is kept here. */
static void local_fail(struct call *call, const struct error *error)
{
    struct transit *transit = CONTAINER_OF(call, struct transit, call);
    transit->error = *error;
    if (error->detail_type.size != 0) {
        buffer_append(&transit->answer, error->detail);
        buffer_append(&transit->answer, error->detail_type);
        transit->error.detail = bytes_of(transit->answer.base, error->detail.size);
        transit->error.detail_type = bytes_of(transit->answer.base + error->detail.size,
                                              error->detail_type.size);
    }
    end(transit);
}

static bool local_alive(const struct call *call)
{
    return !call->gone;
}

static const struct call_operations operations = { local_reply, local_fail, local_alive };

static void begin(struct message *message)
{
    struct transit *transit = CONTAINER_OF(message, struct transit, begin);
    transit->begun = true;
    transit->lane->call(transit->lane->context, &transit->call);
}

static void gone_arrived(struct message *message)
{
    struct transit *transit = CONTAINER_OF(message, struct transit, gone_message);
    message->run = gone_returned;
    if (!transit->ended) {
        transit->call.gone = true;
        if (transit->call.on_gone != NULL)
            transit->call.on_gone(&transit->call);
    }
    mailbox_post(&transit->client->mailbox, message);
}

/* --- the face --- */

static void tell_gone(struct transit *transit)
{
    if (transit->answered || transit->gone_in_flight)
        return;
    transit->gone_in_flight = true;
    transit->gone_message.run = gone_arrived;
    mailbox_post(transit->lane->mailbox, &transit->gone_message);
}

static void deadline_passed(struct loop_timer *timer)
{
    struct transit    *transit = CONTAINER_OF(timer, struct transit, deadline);
    struct local_call *owner = take_owner(transit);
    tell_gone(transit);
    error_set(&owner->error, ST_DEADLINE_EXCEEDED, "the server did not answer in time");
    owner->answer = BYTES_EMPTY;
    owner->done(owner);
}

static struct transit *transit_new(struct local_server_client *client, struct local_call *owner)
{
    struct transit *transit = xcalloc(1, sizeof *transit);
    transit->client = client;
    transit->owner = owner;
    owner->transit = transit;
    arena_init(&transit->arena, LOCAL_CALL_ARENA_MAX);
    loop_timer_init(&transit->deadline, deadline_passed);
    transit->answer_message.run = answer_arrived;
    transit->begin.run = begin;
    list_init(&transit->all);
    list_append(&client->transits, &transit->all);
    client->count++;
    return transit;
}

static void local_send(void *context, struct local_call *owner)
{
    struct local_server_client *client = context;
    bool                        full = client->count >= client->calls_max;
    struct transit             *transit = transit_new(client, owner);
    if (full || !client->open || owner->request.size > MESSAGE_SIZE_MAX) {
        if (!client->open)
            error_set(&transit->error, ST_UNAVAILABLE, "the server is shutting down");
        else
            error_set(&transit->error, ST_RESOURCE_EXHAUSTED,
                      full ? "too many calls of the gateway are under way" : "the request is too large");
        end(transit);
        return;
    }
    transit->lane = &client->lanes[client->next_lane++ % client->lane_count];
    transit->metadata[0] = (struct metadata){ BYTES("client-name"), bytes_of_text(client->name) };
    transit->metadata[1] = (struct metadata){ BYTES("client-version"), bytes_of_text(client->version) };
    transit->call = (struct call){ .path = arena_copy(&transit->arena, owner->path),
                                   .request = arena_copy(&transit->arena, owner->request),
                                   .arena = &transit->arena,
                                   .metadata = transit->metadata,
                                   .metadata_count = ARRAY_COUNT(transit->metadata),
                                   .deadline_ns = owner->deadline_ns,
                                   .home = transit->lane->home,
                                   .operations = &operations };
    if (owner->deadline_ns != TIME_NEVER)
        loop_timer_set(client->loop, &transit->deadline, owner->deadline_ns);
    mailbox_post(transit->lane->mailbox, &transit->begin);
}

static void local_cancel(void *context UNUSED, struct local_call *owner)
{
    struct transit *transit = owner->transit;
    if (transit == NULL)
        return;
    (void)take_owner(transit);
    if (transit->lane != NULL)
        tell_gone(transit);
}

struct local_server_client *local_client_new(const struct local_client_options *options)
{
    struct local_server_client *client = xcalloc(1, sizeof *client);
    assert(options->lane_count != 0);
    assert(options->lane_count <= ARRAY_COUNT(client->lanes));
    client->loop = options->loop;
    client->lane_count = options->lane_count;
    for (size_t i = 0; i < options->lane_count; i++)
        client->lanes[i] = options->lanes[i];
    client->calls_max = options->calls_max;
    client->name = options->client_name;
    client->version = options->client_version;
    client->open = true;
    client->drain.run = drain;
    list_init(&client->transits);
    pthread_mutex_init(&client->mutex, NULL);
    mailbox_init(&client->mailbox, wake, client);
    return client;
}

struct local_client local_client_face(struct local_server_client *client)
{
    return (struct local_client){ local_send, local_cancel, client };
}

size_t local_client_count(const struct local_server_client *client)
{
    return client->count;
}

/* What a `done` sends or cancels meanwhile is fine: the list is gone through anew after each. */
void local_client_close(struct local_server_client *client)
{
    pthread_mutex_lock(&client->mutex);
    client->open = false;
    pthread_mutex_unlock(&client->mutex);
    drain(&client->drain);
    for (bool found = true; found;) {
        found = false;
        LIST_FOR_EACH (transit, &client->transits, struct transit, all) {
            struct local_call *owner = take_owner(transit);
            if (owner == NULL)
                continue;
            if (transit->lane != NULL)
                tell_gone(transit);
            error_set(&owner->error, ST_UNAVAILABLE, "the server is shutting down");
            owner->answer = BYTES_EMPTY;
            owner->done(owner);
            found = true;
            break;
        }
    }
}

void local_client_free(struct local_server_client *client)
{
    if (client == NULL)
        return;
    assert(!client->open);
    LIST_FOR_EACH (transit, &client->transits, struct transit, all) {
        assert(!transit->begun || transit->ended || transit->lane == NULL);
        transit_free(transit);
    }
    pthread_mutex_destroy(&client->mutex);
    free(client);
}
