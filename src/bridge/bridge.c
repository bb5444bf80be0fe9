/* bridge.c: lines in, lines out. */
#include "bridge/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "bridge/bridge_internal.h"

#define RECONNECT_DEFAULT 60
#define RECONNECT_MAX     86400
#define CODE_PARSE        (-32700)
#define CODE_INVALID      (-32600)
#define CODE_BUSY         (-32603)

/* --- to the host --- */

static void write_all(struct bridge *bridge, struct bytes text)
{
    while (text.size != 0 && !bridge->closed) {
        ssize_t count = write(STDOUT_FILENO, text.base, text.size);
        if (count > 0)
            text = bytes_of(text.base + count, text.size - (size_t)count);
        else if (count < 0 && errno == EAGAIN)
            (void)poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, -1);
        else if (count < 0 && errno != EINTR)
            bridge->closed = true;
    }
}

void bridge_say(struct bridge *bridge, struct bytes text)
{
    struct buffer line = { 0 };
    buffer_append(&line, text);
    for (size_t i = 0; i < line.size; i++)
        if (line.base[i] == '\n' || line.base[i] == '\r')
            line.base[i] = ' '; /* within a string they are escaped, so this is between tokens */
    buffer_append_byte(&line, '\n');
    write_all(bridge, buffer_bytes(&line));
    buffer_release(&line);
}

void bridge_say_error(struct bridge *bridge, const json_t *id, int code, const char *words)
{
    json_t *error = json_pack("{s:s, s:O?, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code", code,
                              "message", words);
    if (id == NULL)
        json_object_set_new(error, "id", json_null());
    char *text = json_dumps(error, JSON_COMPACT);
    bridge_say(bridge, bytes_of_text(text));
    free(text);
    json_decref(error);
}

/* --- from the host --- */

static void take_request(struct bridge *bridge, json_t *message)
{
    if (bridge->post_count >= BRIDGE_REQUESTS_MAX)
        bridge_say_error(bridge, json_object_get(message, "id"), CODE_BUSY,
                         "too many requests are under way");
    else
        post_new(bridge, POST_REQUEST, message);
}

static void take_notification(struct bridge *bridge, json_t *message, const char *method)
{
    if (strcmp(method, "notifications/cancelled") == 0 && bridge->version == NULL) {
        post_cancel(bridge, json_object_get(json_object_get(message, "params"), "requestId"));
        return;
    }
    if (bridge->post_count < BRIDGE_REQUESTS_MAX)
        post_new(bridge, POST_MESSAGE, message);
    if (strcmp(method, "notifications/initialized") == 0 && !bridge->listening) {
        bridge->listening = true;
        post_new(bridge, POST_LISTEN, NULL);
    }
}

static void take_line(struct bridge *bridge, struct bytes line)
{
    json_error_t problem;
    bool         blank = true;
    for (size_t i = 0; i < line.size; i++)
        blank = blank && (line.base[i] == ' ' || line.base[i] == '\t' || line.base[i] == '\r');
    if (blank)
        return;
    json_t *message = json_loadb((const char *)line.base, line.size, JSON_REJECT_DUPLICATES, &problem);
    if (message == NULL) {
        bridge_say_error(bridge, NULL, CODE_PARSE, problem.text);
        return;
    }
    const char *method = json_string_value(json_object_get(message, "method"));
    if (!json_is_object(message))
        bridge_say_error(bridge, NULL, CODE_INVALID, "a line is one JSON-RPC message, an object");
    else if (method != NULL && json_object_get(message, "id") != NULL)
        take_request(bridge, message);
    else if (method != NULL)
        take_notification(bridge, message, method);
    else if (bridge->post_count < BRIDGE_REQUESTS_MAX)
        post_new(bridge, POST_MESSAGE, message);
    json_decref(message);
}

static void take_input(struct bridge *bridge)
{
    size_t done = 0;
    for (;;) {
        const uint8_t *from = bridge->input.base + done;
        const uint8_t *end = bridge->input.size == done ? NULL
                                                        : memchr(from, '\n', bridge->input.size - done);
        if (end == NULL)
            break;
        size_t size = (size_t)(end - from);
        done += size + 1;
        if (!bridge->skipping)
            take_line(bridge, bytes_of(from, size));
        bridge->skipping = false;
    }
    buffer_consume(&bridge->input, done);
    if (bridge->input.size > BRIDGE_LINE_MAX) {
        if (!bridge->skipping)
            bridge_say_error(bridge, NULL, CODE_INVALID, "a message has at most 4 MiB");
        bridge->skipping = true;
        buffer_clear(&bridge->input);
    }
}

static void read_input(struct bridge *bridge)
{
    uint8_t *room = buffer_reserve(&bridge->input, 65536);
    ssize_t  count = read(STDIN_FILENO, room, 65536);
    if (count > 0) {
        bridge->input.size += (size_t)count;
        take_input(bridge);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        bridge->ended = true;
    }
}

/* --- the whole --- */

/* Asked by poll, which tells of a peer that hung up; libcurl does not. */
static bool has_input(void)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    return poll(&input, 1, 0) > 0;
}

static void run(struct bridge *bridge)
{
    while (!bridge->ended && !bridge->closed) {
        int64_t            wait = posts_turn(bridge) - clock_monotonic_ns(&clock_system);
        struct curl_waitfd input = { .fd = STDIN_FILENO, .events = CURL_WAIT_POLLIN };
        int                wait_ms = wait <= 0 ? 0 : (int)(wait / NS_PER_MS + 1), ready;
        if (curl.multi_poll(bridge->multi, &input, 1, wait_ms, &ready) != CURLM_OK)
            return;
        if (has_input())
            read_input(bridge);
    }
}

static void release(struct bridge *bridge)
{
    LIST_FOR_EACH (post, &bridge->posts, struct post, link)
        post_free(post);
    curl.multi_cleanup(bridge->multi);
    buffer_release(&bridge->input);
    json_decref(bridge->initialize);
    for (size_t i = 0; i < GREETING_COUNT; i++) {
        json_decref(bridge->greetings[i].params);
        json_decref(bridge->greetings[i].result);
    }
    free(bridge->session);
    free(bridge->version);
}

/* name, argument, help */
#define OPTIONS(X)                                                                                           \
    X(URL, "--url", "URL", "where the server's tools are; default $PERDURE_MCP_URL or " GATEWAY_URL)         \
    X(TOOLSET, "--toolset", "NAME", "only the tools of this toolset")                                        \
    X(RECONNECT, "--reconnect", "SECONDS", "how long a request waits for a server that is away; default 60")
#define OPTION_ENUM(name, ...) OPTION_##name,
enum option { OPTIONS(OPTION_ENUM) OPTION_COUNT };
#undef OPTION_ENUM
static const struct {
    const char *name, *argument, *help;
} options[OPTION_COUNT] = {
#define OPTION_ROW(name, ...) [OPTION_##name] = { __VA_ARGS__ },
    OPTIONS(OPTION_ROW)
#undef OPTION_ROW
};
static const char summary[] = "connects an MCP host that speaks by stdin and stdout to the server";
static const char details[] =
    "A restart of the server is only a pause to the host: what was asked is asked again, as the same "
    "attempt, and what the server said of itself is said again meanwhile. The end of "
    "stdin ends the bridge, and nothing in the server. A bearer token is taken from $PERDURE_MCP_TOKEN";

void bridge_print_summary(void)
{
    printf("  perdure %-33s %s\n", "mcp stdio", summary);
}

void bridge_print_reference(void)
{
    printf("## perdure mcp stdio\n\n%c%s. %s.\n\n| flag | | meaning |\n|---|---|---|\n",
           summary[0] - 'a' + 'A', summary + 1, details);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        printf("| `%s` | `%s` | %s |\n", options[i].name, options[i].argument, options[i].help);
    printf("\n");
}

static void print_help(void)
{
    printf("perdure mcp stdio: %s\n\n%s.\n\n", summary, details);
    for (size_t i = 0; i < OPTION_COUNT; i++)
        printf("  %-12s %-8s %s\n", options[i].name, options[i].argument, options[i].help);
}

/* "--name value" or "--name=value". -1: help is wanted; -2: something is wrong, and said. */
static int parse(int argc, char **argv, const char *values[OPTION_COUNT])
{
    for (int i = 0; i < argc; i++) {
        size_t found = OPTION_COUNT;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return -1;
        for (size_t j = 0; j < OPTION_COUNT; j++) {
            size_t size = strlen(options[j].name);
            if (strncmp(argv[i], options[j].name, size) != 0)
                continue;
            if (argv[i][size] == '=') {
                values[found = j] = argv[i] + size + 1;
            } else if (argv[i][size] == '\0' && i + 1 < argc) {
                values[found = j] = argv[++i];
            }
            break;
        }
        if (found == OPTION_COUNT) {
            fprintf(
                stderr,
                "perdure: %s is no flag of mcp stdio, or lacks its value; see: perdure mcp stdio --help\n",
                argv[i]);
            return -2;
        }
    }
    return 0;
}

static int64_t reconnect_of(const char *text)
{
    char *end = NULL;
    if (text == NULL)
        return RECONNECT_DEFAULT * NS_PER_S;
    long seconds = strtol(text, &end, 10);
    if (end != text && (strcmp(end, "s") == 0 || *end == '\0') && seconds >= 0 && seconds <= RECONNECT_MAX)
        return seconds * NS_PER_S;
    return -1;
}

int bridge_main(int argc, char **argv)
{
    const char   *values[OPTION_COUNT] = { NULL };
    struct error  error;
    struct bridge bridge = { 0 };
    int           parsed = parse(argc, argv, values);
    if (parsed != 0) {
        if (parsed == -1)
            print_help();
        return parsed == -1 ? 0 : 2;
    }
    bridge.reconnect_ns = reconnect_of(values[OPTION_RECONNECT]);
    if (bridge.reconnect_ns < 0) {
        fprintf(stderr, "perdure: --reconnect is 0 to %d seconds\n", RECONNECT_MAX);
        return 2;
    }
    if (curl_library_load(&error) != ST_OK) {
        fprintf(stderr, "perdure: %s\n", error.message);
        return 1;
    }
    const char   *url = values[OPTION_URL] != NULL ? values[OPTION_URL] : getenv("PERDURE_MCP_URL");
    struct buffer whole = { 0 };
    buffer_append_text(&whole, url == NULL || *url == '\0' ? GATEWAY_URL : url);
    if (values[OPTION_TOOLSET] != NULL)
        buffer_printf(&whole, "/%s", values[OPTION_TOOLSET]);
    buffer_append_byte(&whole, '\0');
    bridge.url = (const char *)whole.base;
    bridge.token = getenv("PERDURE_MCP_TOKEN");
    random_seed_from_system(&bridge.random);
    list_init(&bridge.posts);
    bridge.multi = curl.multi_init();
    signal(SIGPIPE, SIG_IGN);
    run(&bridge);
    release(&bridge);
    buffer_release(&whole);
    return 0;
}
