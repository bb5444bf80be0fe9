/* tool_call.c: perdure mcp tools, call: a client of the gateway, by HTTP, as any other.
 *
 * A call is made as of 2026-07-28, without tasks: an answer that is not there yet is asked for again with what the gateway gave
 * (requestState, then a handle). When the server goes away in between, the same attempt is made again: it happens once. */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/random.h"
#include "bridge/message.h"
#include "cli/cli_internal.h"
#include "mcp/json.h"

#define REVISION      "2026-07-28"
#define TOOLSETS_PATH "/api/v1/mcp/toolsets"
#define AWAY_NS       (60 * NS_PER_S) /* how long a server may be away that was there */
#define PAUSE_NS      (200 * NS_PER_MS)
#define LEG_SECONDS   600L /* of one request, whatever happens */

struct talk {
    struct cli           *cli;
    CURL                 *easy;
    struct buffer         url; /* of the tools, with its NUL */
    const char           *token;
    char                  attempt[UUID_TEXT_SIZE + 1];
    struct message_stream answer;
    json_t               *message;       /* the last that was an answer */
    bool                  shows, showed; /* progress, on a terminal */
    bool                  was_there;     /* the server has been reached */
};

/* --- one exchange --- */

static void clear_progress(struct talk *talk)
{
    if (talk->showed)
        fputs("\r\033[K", stderr);
    talk->showed = false;
}

/* Of what a worker says only what a terminal shows as text. */
static void show_progress(struct talk *talk, const json_t *params)
{
    struct bytes words = json_text(json_object_get(params, "message"));
    if (!talk->shows || words.size == 0)
        return;
    fputs("\r\033[K", stderr);
    for (size_t i = 0; i < MIN(words.size, (size_t)200); i++)
        putc(words.base[i] < ' ' || words.base[i] == 0x7F ? ' ' : words.base[i], stderr);
    fflush(stderr);
    talk->showed = true;
}

static void take(void *context, struct bytes text)
{
    struct talk *talk = context;
    struct error ignored;
    json_t      *message = NULL;
    if (json_read(text, MESSAGE_ANSWER_MAX, 0, &message, NULL, &ignored) != ST_OK)
        return;
    if (json_object_get(message, "method") != NULL) {
        show_progress(talk, json_object_get(message, "params"));
        json_decref(message);
        return;
    }
    json_decref(talk->message);
    talk->message = message;
}

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    struct talk *talk = context;
    bool         taken = message_stream_take(&talk->answer, talk->easy, bytes_of(data, size * count));
    return taken ? size * count : 0;
}

static enum status talk_begin(struct talk *talk, struct cli *cli)
{
    const char   *url = cli_given(cli, FLAG_URL) ? cli->arguments.values[FLAG_URL][0]
                                                 : getenv("PERDURE_MCP_URL");
    struct random random;
    struct uuid   attempt;
    random_seed_from_system(&random);
    attempt = uuid_random(&random);
    *talk = (struct talk){ .cli = cli,
                           .token = getenv("PERDURE_MCP_TOKEN"),
                           .shows = !cli->json && isatty(STDERR_FILENO) };
    talk->answer = (struct message_stream){ .message = take, .context = talk };
    uuid_print(&attempt, talk->attempt);
    buffer_append_text(&talk->url, url == NULL || *url == '\0' ? GATEWAY_URL : url);
    return curl_library_load(&cli->error);
}

static void talk_end(struct talk *talk)
{
    clear_progress(talk);
    json_decref(talk->message);
    message_stream_release(&talk->answer);
    buffer_release(&talk->url);
}

/* Milliseconds that one request may take; 0: --command-timeout is over. */
static long time_left_ms(const struct cli *cli)
{
    int64_t left = cli->deadline == TIME_NEVER ? TIME_NEVER
                                               : cli->deadline - clock_monotonic_ns(&clock_system);
    return left <= 0 ? 0 : (long)MIN(left / NS_PER_MS + 1, (int64_t)LEG_SECONDS * 1000);
}

/* `body` NULL: a GET. The headers are taken. */
static CURLcode exchange_once(struct talk *talk, const char *url, const char *body,
                              struct curl_slist *headers, long *ret_status)
{
    talk->easy = curl.easy_init();
    if (talk->easy == NULL)
        panic("libcurl has no memory");
    json_decref(talk->message);
    talk->message = NULL;
    message_stream_clear(&talk->answer);
    headers = message_bearer_header(headers, talk->token);
    curl.easy_setopt(talk->easy, CURLOPT_URL, url);
    curl.easy_setopt(talk->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.easy_setopt(talk->easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(talk->easy, CURLOPT_CONNECTTIMEOUT, 5L);
    curl.easy_setopt(talk->easy, CURLOPT_TIMEOUT_MS, time_left_ms(talk->cli));
    curl.easy_setopt(talk->easy, CURLOPT_USERAGENT, "perdure/" PERDURE_VERSION);
    curl.easy_setopt(talk->easy, CURLOPT_HTTPHEADER, headers);
    curl.easy_setopt(talk->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl.easy_setopt(talk->easy, CURLOPT_WRITEDATA, talk);
    if (body != NULL)
        curl.easy_setopt(talk->easy, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl.easy_perform(talk->easy);
    if (code == CURLE_OK)
        message_stream_end(&talk->answer);
    curl.easy_getinfo(talk->easy, CURLINFO_RESPONSE_CODE, ret_status);
    curl.easy_cleanup(talk->easy);
    curl.slist_free_all(headers);
    talk->easy = NULL;
    talk->cli->called = true;
    return code;
}

static enum status refused(struct talk *talk, long status)
{
    const json_t *error = json_object_get(talk->message, "error");
    const char *words = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    if (words == NULL && status == 404)
        words = "no tools are served there; the server needs --mcp-config";
    return error_set(&talk->cli->error, ST_FAILED_PRECONDITION, "%.200s: HTTP status %ld%s%.200s",
                     (const char *)talk->url.base, status, words == NULL ? "" : ": ",
                     words == NULL ? "" : words);
}

/* --- tools --- */

static void print_tools(const json_t *toolset)
{
    const char *name = json_string_value(json_object_get(toolset, "name"));
    const char *source = json_string_value(json_object_get(toolset, "source"));
    const char *hosted = json_string_value(json_object_get(toolset, "namespace"));
    size_t      i;
    json_t     *tool;
    json_array_foreach(json_object_get(toolset, "tools"), i, tool)
    {
        const char *kind = json_string_value(json_object_get(tool, "kind"));
        const char *words = json_string_value(json_object_get(tool, "description"));
        words = words == NULL ? "" : words;
        printf("%-16s %-24s %-18s %-9s %-12s %.*s\n", name, json_string_value(json_object_get(tool, "name")),
               kind, source, hosted, (int)strcspn(words, "\n"), words);
    }
}

static enum status print_toolsets(struct cli *cli, json_t *answer)
{
    struct bytes only = cli_value(cli, FLAG_TOOLSET);
    json_t      *list = json_object_get(answer, "toolsets");
    size_t       found = 0;
    if (!json_is_array(list))
        return error_set(&cli->error, ST_FAILED_PRECONDITION, "that is no list of toolsets");
    for (size_t i = json_array_size(list);
         i-- > 0 && only.size != 0;) /* from behind: what goes moves the rest */
        if (!bytes_equal(json_text(json_object_get(json_array_get(list, i), "name")), only))
            json_array_remove(list, i);
    found = json_array_size(list);
    if (only.size != 0 && found == 0)
        return error_set(&cli->error, ST_NOT_FOUND, "there is no toolset \"%.*s\"", BYTES_FMT(only));
    if (cli->json) {
        json_dumpf(list, stdout, cli->json_lines ? JSON_COMPACT : JSON_INDENT(2));
        putchar('\n');
        return ST_OK;
    }
    printf("%-16s %-24s %-18s %-9s %-12s %s\n", "TOOLSET", "TOOL", "KIND", "SOURCE", "NAMESPACE",
           "DESCRIPTION");
    for (size_t i = 0; i < found; i++)
        print_tools(json_array_get(list, i));
    return ST_OK;
}

enum status cli_tools_list(struct cli *cli)
{
    struct talk talk;
    long        http = 0;
    enum status status = talk_begin(&talk, cli);
    if (status == ST_OK) {
        buffer_append_byte(&talk.url, '\0');
        char *begin = strstr((char *)talk.url.base, "://"),
             *path = begin == NULL ? NULL : strchr(begin + 3, '/');
        talk.url.size = path == NULL ? talk.url.size - 1 : (size_t)(path - (char *)talk.url.base);
        buffer_append_text(&talk.url, TOOLSETS_PATH);
        buffer_append_byte(&talk.url, '\0');
        CURLcode code = exchange_once(&talk, (const char *)talk.url.base, NULL, NULL, &http);
        if (code != CURLE_OK)
            status = error_set(&cli->error, ST_UNAVAILABLE, "%.200s: %s", (const char *)talk.url.base,
                               curl.easy_strerror(code));
        else if (http != 200)
            status = refused(&talk, http);
        else
            status = print_toolsets(cli, talk.message);
    }
    talk_end(&talk);
    return status;
}

/* --- call --- */

/* The second operand, or what --arg says; the whole is an object. */
static enum status read_arguments(struct cli *cli, json_t **ret_arguments)
{
    json_t *arguments = json_object();
    if (cli_given(cli, FLAG_INPUT)) {
        struct bytes text = cli_value(cli, FLAG_INPUT);
        json_decref(arguments);
        arguments = json_loadb((const char *)text.base, text.size, JSON_REJECT_DUPLICATES, NULL);
    }
    *ret_arguments = arguments;
    if (!json_is_object(arguments) || cli->arguments.counts[FLAG_INPUT] > 1)
        return error_set(&cli->error, ST_INVALID_ARGUMENT,
                         "the arguments are one JSON object: '{\"state\": \"CA\"}'");
    for (size_t i = 0; i < cli->arguments.counts[FLAG_ARG]; i++) {
        const char *text = cli->arguments.values[FLAG_ARG][i], *equals = strchr(text, '=');
        if (equals == NULL || equals == text)
            return error_set(&cli->error, ST_INVALID_ARGUMENT, "--arg %s is not KEY=VALUE", text);
        json_t *value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        if (value == NULL)
            value = json_string(equals + 1);
        if (value == NULL || json_object_setn_new(arguments, text, (size_t)(equals - text), value) != 0)
            return error_set(&cli->error, ST_INVALID_ARGUMENT, "--arg %s is not UTF-8", text);
    }
    return ST_OK;
}

static struct curl_slist *call_headers(const struct talk *talk, const char *tool)
{
    struct curl_slist *headers = message_header(NULL, "Accept", "application/json, text/event-stream");
    headers = message_header(headers, "Content-Type", "application/json");
    headers = message_header(headers, "Expect", "");
    headers = message_header(headers, HEADER_ATTEMPT, talk->attempt);
    headers = message_header(headers, "MCP-Protocol-Version", REVISION);
    headers = message_header(headers, "Mcp-Method", "tools/call");
    return message_name_header(headers, tool);
}

static bool is_passing(CURLcode code)
{
    return code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_WRITE_ERROR &&
           code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_COULDNT_RESOLVE_HOST;
}

/* One leg, again while the server is away that was there. */
static enum status exchange(struct talk *talk, const char *tool, const char *body)
{
    struct cli *cli = talk->cli;
    int64_t     failing_since = 0;
    for (;;) {
        long     http = 0;
        CURLcode code = exchange_once(talk, (const char *)talk->url.base, body, call_headers(talk, tool),
                                      &http);
        int64_t  now = clock_monotonic_ns(&clock_system);
        bool     away = code != CURLE_OK || http == 502 || http == 503 || http == 504;
        if (!away && (talk->message == NULL || http == 401 || http == 403 || http == 404))
            return refused(talk, http);
        if (!away)
            break;
        talk->was_there = talk->was_there || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
                          code == CURLE_PARTIAL_FILE;
        failing_since = failing_since == 0 ? now : failing_since;
        if (time_left_ms(cli) == 0)
            return error_set(&cli->error, ST_DEADLINE_EXCEEDED,
                             "the command took longer than --command-timeout; the run goes on");
        if (code != CURLE_OK && (!talk->was_there || !is_passing(code) || now - failing_since > AWAY_NS))
            return error_set(&cli->error, ST_UNAVAILABLE, "%.200s: %s", (const char *)talk->url.base,
                             curl.easy_strerror(code));
        if (code == CURLE_OK && now - failing_since > AWAY_NS)
            return refused(talk, http);
        (void)nanosleep(&(struct timespec){ .tv_nsec = (long)PAUSE_NS }, NULL);
    }
    talk->was_there = true;
    return ST_OK;
}

/* The next leg's tool and arguments: what the answer says to come again with. False: it is the answer. */
static bool next_leg(const json_t *result, json_t **params)
{
    json_t     *state = json_object_get(result, "requestState");
    json_t     *structured = json_object_get(result, "structuredContent");
    json_t     *handle = json_object_get(structured, "handle");
    const char *type = json_string_value(json_object_get(result, "resultType"));
    const char *said = json_string_value(json_object_get(structured, "status"));
    if (type != NULL && strcmp(type, "input_required") == 0 && json_is_string(state)) {
        json_object_set(*params, "requestState", state);
        return true;
    }
    if (said == NULL || strcmp(said, "working") != 0 || !json_is_string(handle) ||
        json_object_get(structured, "poll_after_ms") == NULL)
        return false;
    json_t *meta = json_incref(json_object_get(*params, "_meta"));
    json_decref(*params);
    *params = json_pack("{s:s, s:{s:O}, s:o}", "name", "task_result", "arguments", "handle", handle, "_meta",
                        meta);
    return true;
}

static void print_content(const json_t *item)
{
    const char *type = json_string_value(json_object_get(item, "type"));
    const char *text = json_string_value(json_object_get(item, "text"));
    const char *uri = json_string_value(json_object_get(item, "uri"));
    const char *mime = json_string_value(json_object_get(item, "mimeType"));
    if (text != NULL)
        puts(text);
    else
        printf("[%s%s%s%s%s]\n", type == NULL ? "?" : type, mime == NULL ? "" : " ", mime == NULL ? "" : mime,
               uri == NULL ? "" : " ", uri == NULL ? "" : uri);
}

static enum status print_result(struct talk *talk, json_t *result)
{
    struct cli *cli = talk->cli;
    json_t     *content = json_object_get(result, "content"), *item;
    size_t      i;
    clear_progress(talk);
    if (cli->json) {
        json_dumpf(result, stdout, cli->json_lines ? JSON_COMPACT : JSON_INDENT(2));
        putchar('\n');
    } else {
        json_array_foreach(content, i, item) print_content(item);
    }
    if (json_is_true(json_object_get(result, "isError")))
        return error_set(&cli->error, ST_UNKNOWN, "the tool has failed");
    return ST_OK;
}

static enum status call(struct talk *talk, json_t **params)
{
    for (;;) {
        const char *tool = json_string_value(json_object_get(*params, "name"));
        json_t *message = json_pack("{s:s, s:i, s:s, s:O}", "jsonrpc", "2.0", "id", 1, "method", "tools/call",
                                    "params", *params);
        char   *body = json_dumps(message, JSON_COMPACT);
        enum status status = exchange(talk, tool, body);
        free(body);
        json_decref(message);
        if (status != ST_OK)
            return status;
        json_t *result = json_object_get(talk->message, "result");
        if (result == NULL) {
            const json_t *error = json_object_get(talk->message, "error");
            const char   *words = json_string_value(json_object_get(error, "message"));
            return error_set(&talk->cli->error, ST_FAILED_PRECONDITION, "%.400s",
                             words == NULL ? "the answer is none" : words);
        }
        if (!next_leg(result, params))
            return print_result(talk, result);
    }
}

enum status cli_tool_call(struct cli *cli)
{
    struct talk talk;
    json_t     *params = NULL, *arguments = NULL;
    enum status status = talk_begin(&talk, cli);
    if (status == ST_OK)
        status = read_arguments(cli, &arguments);
    if (status == ST_OK) {
        if (cli_given(cli, FLAG_TOOLSET))
            buffer_printf(&talk.url, "/%.*s", BYTES_FMT(cli_value(cli, FLAG_TOOLSET)));
        buffer_append_byte(&talk.url, '\0');
        params = json_pack("{s:s, s:O, s:{s:s, s:{s:s, s:s}, s:{}, s:i}}", "name",
                           cli->arguments.values[FLAG_TOOL][0], "arguments", arguments, "_meta", META_VERSION,
                           REVISION, "io.modelcontextprotocol/clientInfo", "name", "perdure", "version",
                           PERDURE_VERSION, "io.modelcontextprotocol/clientCapabilities", "progressToken", 1);
        status = params == NULL ? error_set(&cli->error, ST_INVALID_ARGUMENT, "the tool's name is not UTF-8")
                                : call(&talk, &params);
    }
    json_decref(params);
    json_decref(arguments);
    talk_end(&talk);
    return status;
}
