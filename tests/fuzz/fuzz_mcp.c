/* fuzz_mcp.c: requests of MCP clients against the gateway, over socket pairs, with a scripted API below it.
 *
 * Input: a line of bytes that say how the API answers each of its calls (see answer_call), then a line per request: a letter for
 * its kind (see kinds; a capital: the peer leaves at once), then its body. In a body `@T` and `@S` stand for the last task id and the
 * last requestState that an answer had.
 * What must hold: no crash, no leak; whatever is answered as JSON is JSON; when the peers are gone nothing is left of
 * their requests, and when the gateway is freed none of its calls of the API.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/pb.h"
#include "codec/pb_schema.h"
#include "fuzz.h"
#include "mcp/gateway.h"
#include "mcp/json.h"
#include "mcp/payload.h"
#include "web/http_internal.h"

#define REQUESTS_MAX 8
#define INPUT_SIZE_MAX                                                                                       \
    ((size_t)32 << 10)            /* of a request: fits the socket's buffer, so that writing never waits */
#define WAIT_NS   (3 * NS_PER_MS) /* for an answer, before the next request goes */
#define CALLS_MAX 256             /* of the API; those that come later wait for ever */

static const char config_text[] =
    "{ \"defaults\": { \"sync_wait\": \"1ms\", \"hold\": \"1ms\", \"task_after\": \"1ms\" },\n"
    "  \"toolsets\": { \"a\": { \"namespace\": \"default\", \"task_queue\": \"q\", \"tools\": {\n"
    "    \"start\": { \"input\": { \"type\": \"object\", \"properties\": { \"x\": { \"type\": \"string\" },"
    " \"n\": { \"type\": \"number\" } }, \"required\": [\"x\"] },"
    " \"start\": { \"workflow\": \"W\", \"args\": [\"{@}\"], \"id\": \"w-{caller}-{x}\" } },\n"
    "    \"ask\": { \"input\": { \"type\": \"object\" },"
    " \"query\": { \"workflow_id\": \"w\", \"name\": \"q\", \"timeout\": \"100ms\", \"fallback\": "
    "\"describe\" "
    "} },\n"
    "    \"tell\": { \"input\": { \"type\": \"object\" }, \"signal\": { \"workflow_id\": \"w\", \"name\": "
    "\"s\" } },\n"
    "    \"change\": { \"input\": { \"type\": \"object\" }, \"update\": { \"workflow_id\": \"w\", \"name\": "
    "\"u\" } }\n"
    "  } } } }\n";

static struct loop        *loop;
static struct http_server *server;
static struct gateway     *gateway;
static struct seal        *seal;
static char                config_path[64]; /* of a file that goes with the process, however that ends */

/* --- the API --- */

struct pending {
    struct list        link;
    struct local_call *call;
};
static struct list          pending, held; /* to be answered in the next turn; for ever under way */
static struct loop_deferred api_turn;
static struct fuzz_input    script;
static size_t               call_count;
static struct arena         arena;
static bool                 exists, closed, asks;

static void api_send(void *context UNUSED, struct local_call *call)
{
    struct pending *self = xcalloc(1, sizeof *self);
    self->call = call;
    list_init(&self->link);
    list_append(&pending, &self->link);
    loop_defer(loop, &api_turn);
}

static void forget(struct list *from, const struct local_call *call)
{
    LIST_FOR_EACH (self, from, struct pending, link) {
        if (self->call == call) {
            list_remove(&self->link);
            free(self);
            return;
        }
    }
}

static void api_cancel(void *context UNUSED, struct local_call *call)
{
    forget(&pending, call);
    forget(&held, call);
}

static void respond(struct local_call *call, const struct pb_message *type, const void *response)
{
    call->answer = pb_encode_arena(type, response, &arena);
    error_clear(&call->error);
    call->done(call);
}

static void refuse(struct local_call *call, enum status code)
{
    call->answer = BYTES_EMPTY;
    error_set(&call->error, code, "refused");
    call->done(call);
}

static struct bytes json_payloads(const char *text)
{
    JSON_CLEANUP json_t *values = json_array();
    json_array_append_new(values, json_loads(text, JSON_DECODE_ANY, NULL));
    return payloads_of_array(values, &arena);
}

static void answer_describe(struct local_call *call)
{
    struct common_Payload question = { .data = BYTES("{\"message\":\"?\",\"schema\":{\"type\":\"object\"},"
                                                     "\"key\":\"k\",\"signal\":\"s\"}") };
    struct common_Payload_MetadataEntry   encoding = { BYTES("encoding"), BYTES("json/plain") };
    struct common_Memo_FieldsEntry        field = { .key = BYTES("mcp.input") };
    struct common_Memo                    memo = { .fields = &field, .fields_count = 1 };
    struct common_WorkflowExecution       execution = { BYTES("w"), BYTES("run") };
    struct workflow_WorkflowExecutionInfo info = {
        .execution = &execution, .first_run_id = BYTES("run"), .task_queue = BYTES("q"), .history_length = 5
    };
    struct workflowservice_DescribeWorkflowExecutionResponse response = { .workflow_execution_info = &info };
    question.metadata = &encoding;
    question.metadata_count = 1;
    field.value = pb_encode_arena(&pb_common_Payload, &question, &arena);
    info.status = closed ? enums_WORKFLOW_EXECUTION_STATUS_COMPLETED
                         : enums_WORKFLOW_EXECUTION_STATUS_RUNNING;
    if (asks)
        info.memo = pb_encode_arena(&pb_common_Memo, &memo, &arena);
    respond(call, &pb_workflowservice_DescribeWorkflowExecutionResponse, &response);
}

static void answer_history(struct pending *self)
{
    struct local_call                                       *call = self->call;
    struct history_WorkflowExecutionCompletedEventAttributes end = { .result = json_payloads("{\"r\":1}") };
    struct history_HistoryEvent                              event = { .event_id = 6,
                                                                       .event_type = enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
                                                                       .attributes_case = 7,
                                                                       .workflow_execution_completed_event_attributes = &end };
    struct bytes           encoded = pb_encode_arena(&pb_history_HistoryEvent, &event, &arena);
    struct history_History history = { .events = &encoded, .events_count = 1 };
    struct workflowservice_GetWorkflowExecutionHistoryResponse response = { .history = &history };
    if (!closed) {
        list_append(&held, &self->link);
        return;
    }
    free(self);
    respond(call, &pb_workflowservice_GetWorkflowExecutionHistoryResponse, &response);
}

static void answer_by_method(struct pending *self, uint16_t method)
{
    struct local_call                                    *call = self->call;
    struct workflowservice_StartWorkflowExecutionResponse started = { .run_id = BYTES("run"),
                                                                      .started = !exists };
    struct workflowservice_QueryWorkflowResponse answered = { .query_result = json_payloads("\"PAID\"") };
    struct workflowservice_SignalWorkflowExecutionResponse signalled;
    memset(&signalled, 0, sizeof signalled);
    if (method == PB_METHOD_WorkflowService_GetWorkflowExecutionHistory) {
        answer_history(self);
        return;
    }
    free(self);
    switch (method) {
    case PB_METHOD_WorkflowService_StartWorkflowExecution:
        exists = true;
        respond(call, &pb_workflowservice_StartWorkflowExecutionResponse, &started);
        break;
    case PB_METHOD_WorkflowService_DescribeWorkflowExecution:
        answer_describe(call);
        break;
    case PB_METHOD_WorkflowService_QueryWorkflow:
        respond(call, &pb_workflowservice_QueryWorkflowResponse, &answered);
        break;
    case PB_METHOD_WorkflowService_SignalWorkflowExecution:
        respond(call, &pb_workflowservice_SignalWorkflowExecutionResponse, &signalled);
        break;
    default:
        refuse(call, ST_UNIMPLEMENTED);
    }
}

/* A byte of the script for each call. */
static void answer_call(struct pending *self)
{
    static const enum status refusals[] = { ST_NOT_FOUND, ST_UNAVAILABLE, ST_ALREADY_EXISTS,
                                            ST_INVALID_ARGUMENT, ST_DEADLINE_EXCEEDED };
    struct local_call       *call = self->call;
    uint8_t                  byte = fuzz_byte(&script);
    closed = closed || (byte & 1) != 0;
    asks = (byte & 2) != 0;
    if ((byte & 4) != 0 || ++call_count > CALLS_MAX) {
        list_append(&held, &self->link);
    } else if ((byte & 8) != 0) {
        free(self);
        refuse(call, refusals[(byte >> 4) % ARRAY_COUNT(refusals)]);
    } else {
        answer_by_method(self, pb_method_find(call->path)->index);
    }
}

static void api_turns(struct loop_deferred *deferred UNUSED)
{
    struct list *first = list_take_first(&pending); /* one a turn: what is answered may cancel the others */
    if (first != NULL)
        answer_call(LIST_ENTRY(first, struct pending, link));
    if (!list_empty(&pending))
        loop_defer(loop, &api_turn);
}

/* --- the peers --- */

static struct peer {
    int           socket; /* -1: gone */
    struct buffer answer;
} peers[REQUESTS_MAX];
static size_t               peer_count;
static struct loop_deferred step;
static struct fuzz_input    requests;
static int64_t              next_due;
static struct buffer        task, state, session;

static const struct kind {
    char        letter;
    const char *method, *version;
    bool        mirrored; /* headers say again what the body says, as 2026-07-28 wants it */
} kinds[] = { { 'm', "POST", "2026-07-28", true },  { 'n', "POST", "2026-07-28", false },
              { 'l', "POST", "2025-11-25", false }, { 'k', "POST", "2025-06-18", false },
              { 'o', "POST", "2025-03-26", false }, { 'x', "POST", NULL, false },
              { 'g', "GET", "2025-11-25", false },  { 'd', "DELETE", "2025-11-25", false } };

static void remember(struct bytes text, const char *before, struct buffer *to)
{
    size_t      size = strlen(before);
    const void *found = text.size == 0 ? NULL : memmem(text.base, text.size, before, size);
    if (found == NULL)
        return;
    const uint8_t *at = (const uint8_t *)found + size, *end = text.base + text.size;
    buffer_clear(to);
    while (at < end && *at != '"' && *at != '\r')
        buffer_append_byte(to, *at++);
}

static void read_answer(struct peer *peer)
{
    char    part[16384];
    ssize_t got;
    while ((got = recv(peer->socket, part, sizeof part, MSG_DONTWAIT)) > 0)
        buffer_append(&peer->answer, bytes_of((uint8_t *)part, (size_t)got));
    struct bytes answer = buffer_bytes(&peer->answer);
    remember(answer, "\"taskId\":\"", &task);
    remember(answer, "\"requestState\":\"", &state);
    remember(answer, "Mcp-Session-Id: ", &session);
}

static void check_answer(const struct peer *peer)
{
    struct bytes answer = buffer_bytes(&peer->answer);
    const void  *head_end = answer.size == 0 ? NULL : memmem(answer.base, answer.size, "\r\n\r\n", 4);
    if (head_end == NULL || memmem(answer.base, answer.size, "Content-Type: application/json", 30) == NULL)
        return;
    const char *body = (const char *)head_end + 4;
    size_t      size = answer.size - (size_t)((const uint8_t *)body - answer.base);
    json_t     *value = json_loadb(body, size, JSON_DECODE_ANY, NULL);
    FUZZ_REQUIRE(size == 0 || value != NULL, "an answer that is no JSON: %.*s", (int)size, body);
    json_decref(value);
}

static void append_body(struct buffer *to, struct bytes line)
{
    for (size_t i = 0; i < line.size; i++) {
        bool known = line.base[i] == '@' && i + 1 < line.size;
        if (known && (line.base[i + 1] == 'T' || line.base[i + 1] == 'S'))
            buffer_append(to, buffer_bytes(line.base[++i] == 'T' ? &task : &state));
        else
            buffer_append_byte(to, line.base[i]);
    }
}

static void append_header(struct buffer *to, const char *name, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text != NULL && http_header_value_is_safe(bytes_of_text(text)))
        buffer_printf(to, "%s: %s\r\n", name, text);
}

static void append_mirrors(struct buffer *to, struct bytes body)
{
    json_t       *value = json_loadb((const char *)body.base, body.size, 0, NULL);
    const json_t *params = json_object_get(value, "params"), *name = json_object_get(params, "name");
    append_header(to, "Mcp-Method", json_object_get(value, "method"));
    if (name == NULL)
        name = json_object_get(params, "uri");
    append_header(to, "Mcp-Name", name != NULL ? name : json_object_get(params, "taskId"));
    json_decref(value);
}

static void send_request(struct bytes line)
{
    struct buffer      body = { 0 }, head = { 0 };
    int                ends[2];
    const struct kind *kind = &kinds[0];
    char               letter = (char)(line.base[0] | 0x20);
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        if (kinds[i].letter == letter)
            kind = &kinds[i];
    append_body(&body, bytes_of(line.base + 1, line.size - 1));
    buffer_printf(
        &head,
        "%s /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\nContent-Length: %zu\r\n",
        kind->method, body.size);
    if (kind->version != NULL)
        buffer_printf(&head, "MCP-Protocol-Version: %s\r\n", kind->version);
    if (!kind->mirrored && session.size != 0)
        buffer_printf(&head, "Mcp-Session-Id: %.*s\r\n", (int)session.size, (const char *)session.base);
    if (kind->mirrored)
        append_mirrors(&head, buffer_bytes(&body));
    buffer_append_text(&head, "\r\n");
    buffer_append(&head, buffer_bytes(&body));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        panic("no sockets: %s", strerror(errno));
    http_adopt(server, ends[0]);
    struct peer *peer = &peers[peer_count++];
    peer->socket = ends[1];
    if (send(peer->socket, head.base, head.size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        panic("cannot send: %s", strerror(errno));
    if (letter != (char)line.base[0]) {
        close(peer->socket);
        peer->socket = -1;
    }
    buffer_release(&body);
    buffer_release(&head);
}

static struct bytes take_line(struct fuzz_input *from)
{
    const uint8_t *end = from->left == 0 ? NULL : memchr(from->at, '\n', from->left);
    struct bytes   line = bytes_of(from->at, end == NULL ? from->left : (size_t)(end - from->at));
    from->at += line.size + (end != NULL);
    from->left -= line.size + (end != NULL);
    return line;
}

/* Once a turn. */
static void next_step(struct loop_deferred *deferred)
{
    bool quiet = loop_now(loop) >= next_due;
    for (size_t i = 0; i < peer_count; i++)
        if (peers[i].socket >= 0)
            read_answer(&peers[i]);
    if (quiet && requests.left > 0 && peer_count < REQUESTS_MAX) {
        struct bytes line = take_line(&requests);
        next_due = loop_now(loop) + WAIT_NS;
        if (line.size != 0 && line.size <= INPUT_SIZE_MAX)
            send_request(line);
    } else if (quiet) {
        for (size_t i = 0; i < peer_count; i++) {
            if (peers[i].socket >= 0)
                close(peers[i].socket);
            peers[i].socket = -1;
        }
        if (http_server_counters(server)->connections_open == 0) {
            loop_stop(loop);
            return;
        }
    }
    loop_defer(loop, deferred);
}

/* --- the whole --- */

static void setup(void)
{
    struct error    error;
    struct seal_key key = { .version = 1 };
    int             file = memfd_create("mcp.json", MFD_CLOEXEC);
    if (file < 0 || write(file, config_text, sizeof config_text - 1) != (ssize_t)(sizeof config_text - 1))
        panic("no file for the configuration: %s", strerror(errno));
    snprintf(config_path, sizeof config_path, "/proc/self/fd/%d", file);
    if (seal_new(&key, 1, &seal, &error) != ST_OK)
        panic("%s", error.message);
    loop = loop_new(&(struct loop_options){ .clock = &clock_system });
    list_init(&pending);
    list_init(&held);
    loop_deferred_init(&step, next_step);
    loop_deferred_init(&api_turn, api_turns);
    log_set_level(LOG_OFF);
}

static void begin(void)
{
    struct error error;
    arena_init(&arena, SIZE_MAX);
    exists = closed = asks = false;
    call_count = peer_count = 0;
    next_due = 0;
    struct gateway_options options = { .loop = loop,
                                       .client = { api_send, api_cancel, NULL },
                                       .seal = seal,
                                       .config_path = config_path,
                                       .version = "0" };
    if (gateway_new(&options, &gateway, &error) != ST_OK ||
        http_server_new(&(struct http_server_options){ .loop = loop, .host = "127.0.0.1" }, &server,
                        &error) != ST_OK ||
        gateway_serve(gateway, server, &error) != ST_OK)
        panic("%s", error.message);
}

static void end(void)
{
    FUZZ_REQUIRE(http_server_counters(server)->exchanges_open == 0, "an exchange was left");
    http_server_free(server);
    gateway_free(gateway);
    FUZZ_REQUIRE(list_empty(&pending) && list_empty(&held), "a call of the API was left");
    loop_defer_cancel(loop, &api_turn);
    for (size_t i = 0; i < peer_count; i++) {
        check_answer(&peers[i]);
        buffer_release(&peers[i].answer);
    }
    buffer_release(&task);
    buffer_release(&state);
    buffer_release(&session);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > REQUESTS_MAX * INPUT_SIZE_MAX)
        return -1;
    if (loop == NULL)
        setup();
    requests = (struct fuzz_input){ data, size };
    struct bytes first = take_line(&requests);
    script = (struct fuzz_input){ first.base, first.size };
    begin();
    loop_defer(loop, &step);
    loop_run(loop);
    end();
    return 0;
}
