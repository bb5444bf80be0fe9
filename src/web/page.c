/* page.c: the landing page, and whose requests may see it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

#include "web/http.h"
#include "web/web_internal.h"

const char *const page_style =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}\n"
    "code,pre{background:#8882;border-radius:4px;padding:.1em .3em}pre{padding:.8em;overflow-x:auto}\n"
    ":root{color-scheme:light dark}\n";

const char *const page_end = "</html>\n";

static void append_escaped(struct buffer *buffer, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            buffer_append_text(buffer, "&lt;");
            break;
        case '>':
            buffer_append_text(buffer, "&gt;");
            break;
        case '&':
            buffer_append_text(buffer, "&amp;");
            break;
        case '"':
            buffer_append_text(buffer, "&quot;");
            break;
        default:
            buffer_append_byte(buffer, (uint8_t)*text);
        }
    }
}

void page_print_landing(struct buffer *buffer, const char *version, const char *grpc_address)
{
    buffer_append_text(buffer,
                       "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Perdure</title>\n"
                       "<link rel=\"stylesheet\" href=\"/style.css\">\n<h1>Perdure</h1>\n<p>A durable "
                       "execution server, version ");
    append_escaped(buffer, version);
    buffer_append_text(
        buffer, ". It runs.</p>\n<p>Workers, clients, the command line and the web UI connect by gRPC to "
                "<code>");
    append_escaped(buffer, grpc_address);
    buffer_append_text(buffer, "</code>, not to this port:</p>\n<pre>perdure workflow list --address ");
    append_escaped(buffer, grpc_address);
    buffer_append_text(
        buffer, "</pre>\n<p>Here are <a href=\"/healthz\">/healthz</a>, which answers while the process "
                "lives, and <a href=\"/readyz\">/readyz</a>, which answers 200 while it accepts work and "
                "503 while it does not.</p>\n");
}

bool host_is_loopback(const char *host)
{
    struct in_addr  four;
    struct in6_addr six;
    char            text[INET6_ADDRSTRLEN + 1];
    size_t          size = strlen(host);
    if (strcasecmp(host, "localhost") == 0 || strcasecmp(host, "localhost.") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return (ntohl(four.s_addr) >> 24) == 127;
    if (size < 3 || size > INET6_ADDRSTRLEN || host[0] != '[' || host[size - 1] != ']')
        return false;
    memcpy(text, host + 1, size - 2);
    text[size - 2] = '\0';
    return inet_pton(AF_INET6, text, &six) == 1 && memcmp(&six, &in6addr_loopback, sizeof six) == 0;
}

bool http_host_is_loopback(struct bytes host)
{
    char   name[256];
    size_t size = host.size;
    while (size != 0 && host.base[size - 1] >= '0' && host.base[size - 1] <= '9')
        size--;
    if (size == 0 || host.base[size - 1] != ':')
        size = host.size; /* no port */
    else
        size--;
    if (size >= sizeof name || bytes_has_nul(host))
        return false;
    memcpy(name, host.base, size);
    name[size] = '\0';
    return host_is_loopback(name);
}
