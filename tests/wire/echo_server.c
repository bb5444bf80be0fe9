/* echo_server.c: the wire alone, with handlers that tests can steer. Prints "ready PORT" and serves until SIGTERM, which
 * drains. Methods of /perdure.test.Echo:
 *   Echo      the request, back              Big       "N": N bytes of 'x'
 *   Fail      "CODE TYPE DETAIL text"        Metadata  what came with the call, a line each
 *   Hold      waits until Release            Release   answers all that wait; says how many
 *   Stats     counters, a line each          Serving   "name 0|1": what health says
 *   Lane      the number of the lane         Random    "N": N bytes that do not compress
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/random.h"
#include "io/listener.h"
#include "wire/server.h"

#define LANES_MAX 8

struct lane {
    struct loop        *loop;
    struct wire_server *server;
    struct list         held; /* struct hold */
    uint64_t            held_gone;
    struct random       random;
    struct message      drain;
    pthread_t           thread;
    int                 number;
};
struct hold {
    struct list  link;
    struct call *call;
};

static struct lane      lanes[LANES_MAX];
static size_t           lane_count = 1;
static struct listener *listener;

static void reply_text(struct call *call, struct buffer *text)
{
    call_reply(call, buffer_bytes(text));
    buffer_release(text);
}

static void echo(struct lane *lane UNUSED, struct call *call)
{
    call_reply(call, call->request);
}

static size_t number_of(struct bytes text)
{
    size_t number = 0;
    for (size_t i = 0; i < text.size && text.base[i] >= '0' && text.base[i] <= '9'; i++)
        number = number * 10 + (size_t)(text.base[i] - '0');
    return number;
}

static void big(struct lane *lane UNUSED, struct call *call)
{
    struct buffer body = { 0 };
    size_t        size = number_of(call->request);
    memset(buffer_reserve(&body, size), 'x', size);
    body.size = size;
    reply_text(call, &body);
}

static void random_bytes(struct lane *lane, struct call *call)
{
    struct buffer body = { 0 };
    for (size_t size = number_of(call->request); body.size < size;) {
        uint64_t value = random_next(&lane->random);
        buffer_append(&body, bytes_of(&value, MIN(sizeof value, size - body.size)));
    }
    reply_text(call, &body);
}

static void fail(struct lane *lane UNUSED, struct call *call)
{
    struct error error;
    char         text[4096], type[256] = "", detail[256] = "";
    unsigned     code = 0;
    int          rest = 0;
    snprintf(text, sizeof text, "%.*s", (int)MIN(call->request.size, sizeof text - 1),
             (const char *)call->request.base);
    if (sscanf(text, "%u %255s %255s %n", &code, type, detail, &rest) < 3 || code == 0)
        code = ST_INTERNAL;
    (void)error_set(&error, (enum status)code, "%s", text + rest);
    if (strcmp(type, "-") != 0) {
        error.detail_type = bytes_of_text(type);
        error.detail = strcmp(detail, "-") == 0 ? BYTES_EMPTY : bytes_of_text(detail);
    }
    call_fail(call, &error);
}

static void metadata(struct lane *lane UNUSED, struct call *call)
{
    struct buffer text = { 0 };
    for (size_t i = 0; i < call->metadata_count; i++) {
        struct metadata *entry = &call->metadata[i];
        buffer_printf(&text, "%.*s=", BYTES_FMT(entry->name));
        for (size_t at = 0; at < entry->value.size; at++)
            buffer_printf(&text, "%02x", entry->value.base[at]);
        buffer_append_byte(&text, '\n');
    }
    reply_text(call, &text);
}

static void hold_gone(struct call *call)
{
    struct hold *hold = call->handler;
    struct lane *lane = call->home;
    struct error error;
    list_remove(&hold->link);
    lane->held_gone++;
    (void)error_set(&error, ST_CANCELLED, "nobody is there");
    call_fail(call, &error);
}

static void hold(struct lane *lane, struct call *call)
{
    struct hold *held = ARENA_NEW(call->arena, struct hold);
    held->call = call;
    call->handler = held;
    call->on_gone = hold_gone;
    list_append(&lane->held, &held->link);
}

static void release(struct lane *lane, struct call *call)
{
    struct buffer text = { 0 };
    struct list  *link;
    size_t        count = 0;
    for (; (link = list_take_first(&lane->held)) != NULL; count++) {
        struct hold *held = LIST_ENTRY(link, struct hold, link);
        call_reply(held->call, held->call->request);
    }
    buffer_printf(&text, "%zu", count);
    reply_text(call, &text);
}

static size_t resident_kib(void)
{
    FILE  *file = fopen("/proc/self/statm", "r");
    size_t total = 0, resident = 0;
    if (file == NULL || fscanf(file, "%zu %zu", &total, &resident) != 2)
        resident = 0;
    if (file != NULL)
        fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void stats(struct lane *lane, struct call *call)
{
    const struct wire_server_counters *counters = wire_server_counters(lane->server);
    struct buffer                      text = { 0 };
    size_t                             held = 0;
    LIST_FOR_EACH (one, &lane->held, struct hold, link)
        held++;
    buffer_printf(&text,
                  "connections_open %zu\nconnections_accepted %" PRIu64 "\nconnections_refused %" PRIu64 "\n",
                  counters->connections_open, counters->connections_accepted, counters->connections_refused);
    buffer_printf(&text,
                  "connections_calmed %" PRIu64 "\ncalls_started %" PRIu64 "\ncalls_gone %" PRIu64 "\n",
                  counters->connections_calmed, counters->calls_started, counters->calls_gone);
    buffer_printf(&text, "calls_open %zu\nwrites %" PRIu64 "\nheld %zu\nheld_gone %" PRIu64 "\nrss_kib %zu\n",
                  counters->calls_open, counters->writes, held, lane->held_gone, resident_kib());
    reply_text(call, &text);
}

static void serving(struct lane *lane, struct call *call)
{
    char     name[128] = "";
    unsigned yes = 0;
    char     text[160];
    snprintf(text, sizeof text, "%.*s", (int)MIN(call->request.size, sizeof text - 1),
             (const char *)call->request.base);
    if (sscanf(text, "%127s %u", name, &yes) == 2)
        wire_server_set_serving(lane->server, strcmp(name, "-") == 0 ? "" : name, yes != 0);
    call_reply(call, BYTES_EMPTY);
}

static void lane_number(struct lane *lane, struct call *call)
{
    struct buffer text = { 0 };
    buffer_printf(&text, "%d", lane->number);
    reply_text(call, &text);
}

/* --- grpc.testing.TestService, as far as it is unary: for the interoperability client of gRPC's own project --- */

static bool take_varint(struct bytes *rest, uint64_t *ret_value)
{
    *ret_value = 0;
    for (unsigned at = 0; at < rest->size && at < 10; at++) {
        *ret_value |= (uint64_t)(rest->base[at] & 0x7F) << (7 * at);
        if ((rest->base[at] & 0x80) == 0) {
            *rest = bytes_of(rest->base + at + 1, rest->size - at - 1);
            return true;
        }
    }
    return false;
}

/* The last field of this number: a number into *ret_number, bytes as the answer. */
static struct bytes field_of(struct bytes rest, uint64_t number, uint64_t *ret_number)
{
    struct bytes found = BYTES_EMPTY;
    uint64_t     tag, value;
    while (take_varint(&rest, &tag) && take_varint(&rest, &value)) {
        bool has_bytes = (tag & 7) == 2;
        if (has_bytes && value > rest.size)
            break;
        if (tag >> 3 == number && has_bytes)
            found = bytes_of(rest.base, value);
        else if (tag >> 3 == number)
            *ret_number = value;
        if (has_bytes)
            rest = bytes_of(rest.base + value, rest.size - value);
    }
    return found;
}

static void append_varint(struct buffer *to, uint64_t value)
{
    for (; value > 0x7F; value >>= 7)
        buffer_append_byte(to, (uint8_t)(value | 0x80));
    buffer_append_byte(to, (uint8_t)value);
}

/* SimpleRequest: response_size 2, response_status 7 { code 1, message 2 }; SimpleResponse: payload 1 { body 2 }. */
static void unary_call(struct lane *lane UNUSED, struct call *call)
{
    struct buffer body = { 0 };
    struct error  error;
    uint64_t      size = 0, code = 0;
    (void)field_of(call->request, 2, &size);
    struct bytes status = field_of(call->request, 7, &size), text = field_of(status, 2, &code);
    (void)field_of(status, 1, &code);
    if (code != 0) {
        (void)error_set(&error, (enum status)code, "%.*s", BYTES_FMT(text));
        call_fail(call, &error);
        return;
    }
    size = MIN(size, UINT64_C(4) << 20);
    buffer_append_byte(&body, 1 << 3 | 2);
    append_varint(&body, size + (size > 127 ? size > 16383 ? size > 2097151 ? 5 : 4 : 3 : 2));
    buffer_append_byte(&body, 2 << 3 | 2);
    append_varint(&body, size);
    memset(buffer_reserve(&body, size), 0, size);
    body.size += size;
    reply_text(call, &body);
}

static void empty_call(struct lane *lane UNUSED, struct call *call)
{
    call_reply(call, BYTES_EMPTY);
}

static const struct {
    const char *path;
    void (*handle)(struct lane *lane, struct call *call);
} methods[] = {
    { "/perdure.test.Echo/Echo", echo },
    { "/perdure.test.Echo/Big", big },
    { "/perdure.test.Echo/Random", random_bytes },
    { "/perdure.test.Echo/Fail", fail },
    { "/perdure.test.Echo/Metadata", metadata },
    { "/perdure.test.Echo/Hold", hold },
    { "/perdure.test.Echo/Release", release },
    { "/perdure.test.Echo/Stats", stats },
    { "/perdure.test.Echo/Serving", serving },
    { "/perdure.test.Echo/Lane", lane_number },
    { "/grpc.testing.TestService/EmptyCall", empty_call },
    { "/grpc.testing.TestService/UnaryCall", unary_call },
};

static size_t method_of(struct bytes path)
{
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        if (bytes_equal_text(path, methods[i].path))
            return i;
    }
    return ARRAY_COUNT(methods);
}

static bool is_method(void *context UNUSED, struct bytes path)
{
    return method_of(path) < ARRAY_COUNT(methods) ||
           bytes_starts_with(path, BYTES("/temporal.api.workflowservice."));
}

static void on_call(void *context, struct call *call)
{
    size_t method = method_of(call->path);
    if (method < ARRAY_COUNT(methods)) {
        methods[method].handle(context, call);
    } else {
        call_reply(call, BYTES_EMPTY);
    }
}

static void drained(void *context)
{
    struct lane *lane = context;
    loop_stop(lane->loop);
}

static void drain(struct message *message)
{
    struct lane *lane = CONTAINER_OF(message, struct lane, drain);
    if (lane->number == 0) {
        listener_free(listener);
        listener = NULL;
    }
    wire_server_drain(lane->server, drained, lane);
}

static void *lane_main(void *context)
{
    struct lane *lane = context;
    loop_run(lane->loop);
    return NULL;
}

/* "name=value" sets a limit. */
static bool limit_set(struct wire_server_limits *limits, const char *argument)
{
    const struct {
        const char *name;
        size_t     *size;
        int64_t    *ns; /* given in milliseconds */
    } names[] = {
        { "connections_max", &limits->connections_max, NULL },
        { "streams_per_connection_max", &limits->streams_per_connection_max, NULL },
        { "calls_max", &limits->calls_max, NULL },
        { "message_size_max", &limits->message_size_max, NULL },
        { "header_list_size_max", &limits->header_list_size_max, NULL },
        { "request_bytes_max", &limits->request_bytes_max, NULL },
        { "reply_bytes_soft_max", &limits->reply_bytes_soft_max, NULL },
        { "reply_bytes_max", &limits->reply_bytes_max, NULL },
        { "reply_bytes_total_max", &limits->reply_bytes_total_max, NULL },
        { "gzip_reply_size_min", &limits->gzip_reply_size_min, NULL },
        { "keepalive_ms", NULL, &limits->keepalive_ns },
        { "keepalive_timeout_ms", NULL, &limits->keepalive_timeout_ns },
        { "handshake_ms", NULL, &limits->handshake_ns },
        { "request_ms", NULL, &limits->request_ns },
        { "send_ms", NULL, &limits->send_ns },
        { "connection_age_ms", NULL, &limits->connection_age_ns },
    };
    const char *equals = strchr(argument, '=');
    for (size_t i = 0; equals != NULL && i < ARRAY_COUNT(names); i++) {
        if (strlen(names[i].name) != (size_t)(equals - argument) ||
            memcmp(names[i].name, argument, (size_t)(equals - argument)) != 0)
            continue;
        size_t value = number_of(bytes_of_text(equals + 1));
        if (names[i].size != NULL)
            *names[i].size = value;
        else
            *names[i].ns = (int64_t)value * NS_PER_MS;
        return true;
    }
    return false;
}

static void lane_init(struct lane *lane, int number, const struct wire_server_limits *limits)
{
    lane->number = number;
    lane->drain.run = drain;
    list_init(&lane->held);
    random_seed(&lane->random, (uint64_t)number + 1);
    lane->loop = loop_new(&(struct loop_options){ 0 });
    if (lane->loop == NULL)
        panic("no loop: %s", strerror(errno));
    lane->server = wire_server_new(&(struct wire_server_options){ .loop = lane->loop,
                                                                  .home = lane,
                                                                  .on_call = on_call,
                                                                  .is_method = is_method,
                                                                  .context = lane,
                                                                  .limits = *limits });
    wire_server_set_serving(lane->server, "", true);
    wire_server_set_serving(lane->server, "temporal.api.workflowservice.v1.WorkflowService", true);
}

int main(int argc, char **argv)
{
    struct wire_server_limits limits = { 0 };
    uint16_t                  port = 0;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "lanes=", 6) == 0)
            lane_count = MIN(MAX(number_of(bytes_of_text(argv[i] + 6)), (size_t)1), (size_t)LANES_MAX);
        else if (strncmp(argv[i], "port=", 5) == 0)
            port = (uint16_t)number_of(bytes_of_text(argv[i] + 5));
        else if (!limit_set(&limits, argv[i]))
            panic("what is \"%s\"?", argv[i]);
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);

    struct listener_target targets[LANES_MAX];
    for (size_t i = 0; i < lane_count; i++) {
        lane_init(&lanes[i], (int)i, &limits);
        targets[i] = (struct listener_target){ i == 0 ? NULL : loop_mailbox(lanes[i].loop), wire_server_adopt,
                                               lanes[i].server };
    }
    struct error            error;
    struct listener_options options = { lanes[0].loop, "127.0.0.1", port, targets, lane_count };
    if (listener_new(&options, &listener, &error) != ST_OK)
        panic("%s", error.message);
    printf("ready %u\n", listener_port(listener));
    fflush(stdout);
    for (size_t i = 0; i < lane_count; i++)
        pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]);
    int signal;
    sigwait(&ends, &signal);
    for (size_t i = 0; i < lane_count; i++)
        mailbox_post(loop_mailbox(lanes[i].loop), &lanes[i].drain);
    for (size_t i = 0; i < lane_count; i++)
        pthread_join(lanes[i].thread, NULL);
    for (size_t i = 0; i < lane_count; i++) {
        wire_server_free(lanes[i].server);
        loop_free(lanes[i].loop);
    }
    return 0;
}
