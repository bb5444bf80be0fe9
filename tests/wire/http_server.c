/* http_server.c: the HTTP/1.1 server alone, for tests/wire and for measuring it.
 *
 * /echo answers what it was sent, /hold answers nothing, /stream is an event stream that says one thing and stays. /stats says what is
 * counted. Prints "ready PORT"; ends at the end of its input. Arguments are limits: connections_max=N stream_bytes_max=N head_ms=N …
 */
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "web/web.h"

static size_t holds, gone;

static void echo(void *context, struct http_exchange *exchange)
{
    (void)context;
    http_answer(exchange, 200, &(struct http_header){ BYTES("Content-Type"), BYTES("application/json") }, 1,
                exchange->body);
}

static void on_close(struct http_exchange *exchange)
{
    (void)exchange;
    gone++;
}

static void hold(void *context, struct http_exchange *exchange)
{
    (void)context;
    exchange->on_close = on_close;
    holds++;
}

static void stream(void *context, struct http_exchange *exchange)
{
    static const struct http_header type = { BYTES("Content-Type"), BYTES("text/event-stream") };
    (void)context;
    exchange->on_close = on_close;
    http_stream_begin(exchange, 200, &type, 1);
    http_stream_write(exchange, BYTES("data: 1\n\n"));
}

static long resident_kib(void)
{
    long  pages = 0, ignored;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &ignored, &pages) != 2)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void stats(void *context, struct http_exchange *exchange)
{
    const struct http_counters *counters = http_server_counters(web_http(context));
    struct rusage               usage;
    struct buffer               text = { 0 };
    getrusage(RUSAGE_SELF, &usage);
    buffer_printf(&text,
                  "{\"connections\":%zu,\"streams\":%zu,\"held\":%zu,\"bytes\":%zu,\"cut\":%ju,\"gone\":%zu,"
                  "\"holds\":%zu,\"rss_kib\":%ld,\"cpu_us\":%ld}\n",
                  counters->connections_open, counters->streams_open, counters->exchanges_open,
                  counters->bytes_held, (uintmax_t)counters->cut, gone, holds, resident_kib(),
                  (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L + usage.ru_utime.tv_usec +
                      usage.ru_stime.tv_usec);
    http_answer(exchange, 200, NULL, 0, buffer_bytes(&text));
    buffer_release(&text);
}

static bool set_limit(struct http_limits *limits, const char *argument)
{
    const char *is = strchr(argument, '=');
    size_t      size = is == NULL ? 0 : (size_t)(is - argument);
    size_t      value = is == NULL ? 0 : strtoul(is + 1, NULL, 10);
#define LIMIT(name, field, factor)                                                                           \
    if (bytes_equal_text(bytes_of(argument, size), name)) {                                                  \
        limits->field = (__typeof__(limits->field))(value * (factor));                                       \
        return true;                                                                                         \
    }
    LIMIT("connections_max", connections_max, 1)
    LIMIT("stream_bytes_max", stream_bytes_max, 1)
    LIMIT("head_ms", head_ns, 1000000)
    LIMIT("body_ms", body_ns, 1000000)
    LIMIT("idle_ms", idle_ns, 1000000)
    return false;
}

int main(int argc, char **argv)
{
    struct web_options options = { .address = "127.0.0.1:0", .grpc_address = "", .version = "" };
    struct rlimit      files;
    struct error       error;
    struct web        *web = NULL;
    char               ignored[64];
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    for (int i = 1; i < argc; i++) {
        if (!set_limit(&options.limits, argv[i]))
            return 2;
    }
    if (web_new(&options, &web, &error) != ST_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    struct http_route routes[] = {
        { .path = "/echo", .methods = HTTP_GET | HTTP_POST, .body_size_max = 4 << 20, .handle = echo },
        { .path = "/hold", .methods = HTTP_GET | HTTP_POST, .body_size_max = 4096, .handle = hold },
        { .path = "/stream", .methods = HTTP_GET | HTTP_POST, .body_size_max = 4096, .handle = stream },
        { .path = "/stats", .methods = HTTP_GET, .handle = stats, .context = web },
    };
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++)
        http_server_route(web_http(web), &routes[i]);
    if (web_start(web, &error) != ST_OK)
        return 1;
    printf("ready %u\n", web_port(web));
    fflush(stdout);
    while (read(STDIN_FILENO, ignored, sizeof ignored) > 0)
        continue;
    web_free(web);
    return 0;
}
