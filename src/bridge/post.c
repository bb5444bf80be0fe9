/* post.c: one message to the server, again and again until it is answered. */
#include <stdio.h>

#include "base/clock.h"
#include "bridge/bridge_internal.h"

#define PAUSE_FIRST_NS  (50 * NS_PER_MS)
#define PAUSE_MAX_NS    NS_PER_S
#define CONNECT_SECONDS 5L
#define TURN_NS         NS_PER_S
#define CODE_INTERNAL   (-32603)

static int64_t now_ns(void)
{
    return clock_monotonic_ns(&clock_system);
}

/* --- what is said of a message in headers --- */

static void add_header(struct post *post, const char *name, const char *value)
{
    post->headers = message_header(post->headers, name, value);
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void add_headers(struct post *post)
{
    const struct bridge *bridge = post->bridge;
    const json_t        *params = json_object_get(post->message, "params");
    const char          *method = text_of(post->message, "method");
    const char          *modern = text_of(json_object_get(params, "_meta"), META_VERSION);
    add_header(post, "Accept",
               post->kind == POST_LISTEN ? "text/event-stream" : "application/json, text/event-stream");
    add_header(post, "Expect", ""); /* a body that waits to be asked for is a round trip more */
    add_header(post, HEADER_ATTEMPT, post->attempt);
    if (post->message != NULL)
        add_header(post, "Content-Type", "application/json");
    post->headers = message_bearer_header(post->headers, bridge->token);
    if (modern != NULL) {
        static const char *const names[] = { "name", "uri", "taskId" };
        add_header(post, "MCP-Protocol-Version", modern);
        if (method != NULL)
            add_header(post, "Mcp-Method", method);
        for (size_t i = 0; i < ARRAY_COUNT(names); i++)
            if (text_of(params, names[i]) != NULL) {
                post->headers = message_name_header(post->headers, text_of(params, names[i]));
                break;
            }
    } else if (post->kind != POST_INITIALIZE && bridge->version != NULL &&
               (method == NULL || strcmp(method, "initialize") != 0)) {
        add_header(post, "MCP-Protocol-Version", bridge->version);
        if (bridge->session != NULL)
            add_header(post, "Mcp-Session-Id", bridge->session);
    }
}

/* --- what comes back --- */

static bool is_answer(const struct post *post, const json_t *message)
{
    const json_t *id = json_object_get(message, "id");
    return json_object_get(message, "method") == NULL && id != NULL && post->message != NULL &&
           json_equal(id, json_object_get(post->message, "id"));
}

static void set_text(char **to, const char *text)
{
    free(*to);
    *to = text == NULL ? NULL : strdup(text);
}

/* The answer to initialize says which revision this session speaks, and its headers which session it is. */
static void note_session(struct post *post, const json_t *answer)
{
    struct bridge      *bridge = post->bridge;
    const char         *method = text_of(post->message, "method");
    const json_t       *result = json_object_get(answer, "result");
    struct curl_header *header = NULL;
    if (method == NULL || strcmp(method, "initialize") != 0 || result == NULL)
        return;
    set_text(&bridge->version, text_of(result, "protocolVersion"));
    if (curl.easy_header(post->easy, "Mcp-Session-Id", 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
        set_text(&bridge->session, header->value);
    if (bridge->initialize != post->message) {
        json_decref(bridge->initialize);
        bridge->initialize = json_incref(post->message);
    }
}

/* NULL: the message is none of these. */
static struct greeting *greeting_of(const struct post *post)
{
    const char *method = text_of(post->message, "method");
    if (method == NULL || post->kind != POST_REQUEST)
        return NULL;
    return strcmp(method, "initialize") == 0        ? &post->bridge->greetings[0]
           : strcmp(method, "server/discover") == 0 ? &post->bridge->greetings[1]
                                                    : NULL;
}

static void note_greeting(const struct post *post, const json_t *answer)
{
    struct greeting *greeting = greeting_of(post);
    json_t          *result = json_object_get(answer, "result");
    if (greeting == NULL || result == NULL)
        return;
    json_decref(greeting->params);
    json_decref(greeting->result);
    greeting->params = json_incref(json_object_get(post->message, "params"));
    greeting->result = json_incref(result);
}

/* The server is away; false: only it can answer. */
static bool greet_instead(struct post *post)
{
    const struct greeting *greeting = greeting_of(post);
    if (greeting == NULL || greeting->result == NULL || post->gone ||
        !json_equal(greeting->params, json_object_get(post->message, "params")))
        return false;
    json_t *answer = json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0", "id",
                               json_object_get(post->message, "id"), "result", greeting->result);
    char   *text = json_dumps(answer, JSON_COMPACT);
    bridge_say(post->bridge, bytes_of_text(text));
    free(text);
    json_decref(answer);
    post_free(post);
    return true;
}

/* One JSON-RPC message of the server's. */
static void take(void *context, struct bytes text)
{
    struct post *post = context;
    json_t      *message = json_loadb((const char *)text.base, text.size, 0, NULL);
    if (message == NULL)
        return; /* a comment's event without data, or nothing that a host could read */
    bool answer = is_answer(post, message);
    if (answer) {
        note_session(post, message);
        note_greeting(post, message);
        post->answered = true;
    }
    if (!post->gone && !(answer && post->kind == POST_INITIALIZE))
        bridge_say(post->bridge, text);
    json_decref(message);
}

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    struct post *post = context;
    bool         taken = message_stream_take(&post->answer, post->easy, bytes_of(data, size * count));
    return taken ? size * count : 0; /* 0 ends the transfer with an error */
}

/* --- its way --- */

static void send_post(struct post *post)
{
    struct bridge *bridge = post->bridge;
    post->easy = curl.easy_init();
    if (post->easy == NULL)
        panic("libcurl has no memory");
    message_stream_clear(&post->answer);
    post->again_at = 0;
    add_headers(post);
    curl.easy_setopt(post->easy, CURLOPT_URL, bridge->url);
    curl.easy_setopt(post->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.easy_setopt(post->easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(post->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl.easy_setopt(post->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl.easy_setopt(post->easy, CURLOPT_USERAGENT, "perdure/" PERDURE_VERSION);
    curl.easy_setopt(post->easy, CURLOPT_HTTPHEADER, post->headers);
    curl.easy_setopt(post->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl.easy_setopt(post->easy, CURLOPT_WRITEDATA, post);
    curl.easy_setopt(post->easy, CURLOPT_PRIVATE, post);
    if (post->body != NULL) {
        curl.easy_setopt(post->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(post->body));
        curl.easy_setopt(post->easy, CURLOPT_POSTFIELDS, post->body);
    }
    curl.multi_add_handle(bridge->multi, post->easy);
}

static void end_transfer(struct post *post)
{
    if (post->easy == NULL)
        return;
    curl.multi_remove_handle(post->bridge->multi, post->easy);
    curl.easy_cleanup(post->easy);
    curl.slist_free_all(post->headers);
    post->easy = NULL;
    post->headers = NULL;
}

void post_new(struct bridge *bridge, enum post_kind kind, json_t *message)
{
    struct post *post = xcalloc(1, sizeof *post);
    struct uuid  attempt = uuid_random(&bridge->random);
    list_append(&bridge->posts, &post->link);
    bridge->post_count++;
    post->bridge = bridge;
    post->kind = kind;
    post->answer = (struct message_stream){ .message = take, .context = post };
    post->message = json_incref(message);
    post->body = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);
    uuid_print(&attempt, post->attempt);
    send_post(post);
}

void post_free(struct post *post)
{
    end_transfer(post);
    list_remove(&post->link);
    post->bridge->post_count--;
    json_decref(post->message);
    free(post->body);
    message_stream_release(&post->answer);
    free(post);
}

void post_cancel(struct bridge *bridge, const json_t *id)
{
    LIST_FOR_EACH (post, &bridge->posts, struct post, link)
        if (post->kind == POST_REQUEST && json_equal(id, json_object_get(post->message, "id"))) {
            post_free(post); /* the stream's end is how the server hears of it */
            return;
        }
}

/* Later once more; false: it has been tried for long enough. */
static bool try_again(struct post *post)
{
    int64_t now = now_ns();
    if (post->failing_since == 0) {
        post->failing_since = now;
        post->pause_ns = PAUSE_FIRST_NS;
    }
    if (post->kind != POST_LISTEN && now - post->failing_since >= post->bridge->reconnect_ns)
        return false;
    end_transfer(post);
    post->again_at = now + post->pause_ns;
    post->pause_ns = MIN(2 * post->pause_ns, PAUSE_MAX_NS);
    return true;
}

/* The server does not know the session: it begins anew, and what was asked is asked again in the new one. */
static bool begin_again(struct post *post)
{
    struct bridge *bridge = post->bridge;
    if (bridge->session == NULL || bridge->initialize == NULL || post->kind == POST_INITIALIZE)
        return false;
    LIST_FOR_EACH (other, &bridge->posts, struct post, link)
        if (other->kind == POST_INITIALIZE)
            return try_again(post);
    post_new(bridge, POST_INITIALIZE, bridge->initialize);
    return try_again(post);
}

static void give_up(struct post *post, const char *why)
{
    struct buffer words = { 0 };
    if (post->kind == POST_REQUEST && !post->gone) {
        buffer_printf(&words, "%s: %s", post->bridge->url, why);
        buffer_append_byte(&words, '\0');
        bridge_say_error(post->bridge, json_object_get(post->message, "id"), CODE_INTERNAL,
                         (const char *)words.base);
        buffer_release(&words);
    }
    post_free(post);
}

static bool is_passing(CURLcode code)
{
    return code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_WRITE_ERROR &&
           code != CURLE_PEER_FAILED_VERIFICATION;
}

/* A transfer has ended, one way or the other. */
static void ended(struct post *post, CURLcode code)
{
    long status = 0;
    char why[64];
    curl.easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        message_stream_end(&post->answer);
    if (post->answered || (code == CURLE_OK && post->kind == POST_MESSAGE && status < 500 && status != 404)) {
        post_free(post);
        return;
    }
    if (code == CURLE_OK && status == 404 && begin_again(post))
        return;
    bool refused = code == CURLE_OK && status >= 400 && status != 502 && status != 503 && status != 504;
    if (post->kind == POST_LISTEN && refused) {
        post->bridge->listening = false; /* this server has nothing to say unasked */
        post_free(post);
        return;
    }
    snprintf(why, sizeof why, "HTTP status %ld", status);
    const char *words = code != CURLE_OK ? curl.easy_strerror(code)
                        : refused        ? why
                                         : "the answer did not come";
    if (!refused && is_passing(code) && greet_instead(post))
        return;
    if (refused || !is_passing(code) || !try_again(post))
        give_up(post, words);
}

int64_t posts_turn(struct bridge *bridge)
{
    int     running, left;
    int64_t now = now_ns(), due = now + TURN_NS;
    LIST_FOR_EACH (post, &bridge->posts, struct post, link)
        if (post->again_at != 0 && post->again_at <= now)
            send_post(post);
    curl.multi_perform(bridge->multi, &running);
    for (CURLMsg *told; (told = curl.multi_info_read(bridge->multi, &left)) != NULL;) {
        struct post *post = NULL;
        if (told->msg == CURLMSG_DONE &&
            curl.easy_getinfo(told->easy_handle, CURLINFO_PRIVATE, &post) == CURLE_OK && post != NULL)
            ended(post, told->data.result);
    }
    LIST_FOR_EACH (post, &bridge->posts, struct post, link)
        if (post->again_at != 0)
            due = MIN(due, post->again_at);
    return due;
}
