/* outbound.c: libcurl's multi interface on a loop: it tells which sockets and which timer it waits for, and is told of both. */
#include "outbound/outbound.h"

#include <stdio.h>

#include "base/buffer.h"
#include "outbound/curl_library.h"

#define USER_AGENT "perdure/" PERDURE_VERSION
/* Idle connections that are kept for the next request. */
#define CONNECTIONS_IDLE_MAX 16L

struct outbound_client {
    struct loop         *loop;
    CURLM               *multi; /* NULL before the first request */
    struct loop_timer    timer;
    struct loop_deferred finish; /* tells who waits, outside of libcurl */
    struct list          transfers, sockets;
    struct list          refused; /* transfers that end without having begun, since libcurl is not there */
};
struct transfer {
    struct list        link; /* in the client's transfers or refused */
    struct outbound   *outbound;
    CURL              *easy; /* NULL when refused */
    struct curl_slist *headers;
    struct buffer      answer;
    char               url[OUTBOUND_URL_MAX + 1];
    char               reason[CURL_ERROR_SIZE];
};
struct socket {
    struct list             link;
    struct outbound_client *client;
    struct loop_watch      *watch;
    curl_socket_t           fd;
};

enum status outbound_prepare(struct error *error)
{
    return curl_library_load(error);
}

/* --- what libcurl waits for --- */

static void act(struct outbound_client *client, curl_socket_t fd, int what)
{
    int running;
    curl.multi_socket_action(client->multi, fd, what, &running);
    loop_defer(client->loop, &client->finish);
}

static void socket_ready(void *context, unsigned what)
{
    struct socket *socket = context;
    act(socket->client, socket->fd,
        ((what & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) | ((what & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void socket_free(struct socket *socket)
{
    loop_watch_free(socket->watch);
    list_remove(&socket->link);
    free(socket);
}

static int on_socket(CURL *easy UNUSED, curl_socket_t fd, int what, void *context, void *known)
{
    struct outbound_client *client = context;
    struct socket          *socket = known;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL)
            socket_free(socket);
        curl.multi_assign(client->multi, fd, NULL);
        return 0;
    }
    if (socket == NULL) {
        socket = xcalloc(1, sizeof *socket);
        socket->client = client;
        socket->fd = fd;
        socket->watch = loop_watch_new(client->loop, fd, socket_ready, socket);
        list_append(&client->sockets, &socket->link);
        curl.multi_assign(client->multi, fd, socket);
    }
    loop_watch_set(socket->watch, ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0u) |
                                      ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0u));
    return 0;
}

static int on_timer(CURLM *multi UNUSED, long wait_ms, void *context)
{
    struct outbound_client *client = context;
    if (wait_ms < 0)
        loop_timer_clear(client->loop, &client->timer);
    else
        loop_timer_set(client->loop, &client->timer, loop_now(client->loop) + wait_ms * NS_PER_MS);
    return 0;
}

static void timer_fired(struct loop_timer *timer)
{
    act(CONTAINER_OF(timer, struct outbound_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

/* --- transfers --- */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t           most = transfer->outbound->answer_max;
    size_t           room = (most != 0 ? most : OUTBOUND_ANSWER_MAX) - transfer->answer.size;
    buffer_append(&transfer->answer, bytes_of(data, MIN(size * count, room)));
    return size * count;
}

static void transfer_free(struct outbound_client *client, struct transfer *transfer)
{
    if (transfer->easy != NULL) {
        curl.multi_remove_handle(client->multi, transfer->easy);
        curl.easy_cleanup(transfer->easy);
        curl.slist_free_all(transfer->headers);
    }
    buffer_release(&transfer->answer);
    list_remove(&transfer->link);
    if (transfer->outbound != NULL)
        transfer->outbound->transfer = NULL;
    free(transfer);
}

static void read_answer(struct transfer *transfer, CURLcode result)
{
    struct outbound    *outbound = transfer->outbound;
    struct curl_header *retryable;
    long                status = 0;
    outbound->retryable = -1;
    outbound->status = 0;
    if (result != CURLE_OK) {
        error_set(&outbound->error, ST_UNAVAILABLE, "%s",
                  transfer->reason[0] != '\0' ? transfer->reason : curl.easy_strerror(result));
        return;
    }
    curl.easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    outbound->status = (int)status;
    outbound->answer = buffer_bytes(&transfer->answer);
    if (curl.easy_header(transfer->easy, "nexus-request-retryable", 0, CURLH_HEADER, -1, &retryable) ==
        CURLHE_OK)
        outbound->retryable = strcmp(retryable->value, "true") == 0    ? 1
                              : strcmp(retryable->value, "false") == 0 ? 0
                                                                       : -1;
}

/* Its owner may free the outbound in `done`, and may send another one, not this one. */
static void end_transfer(struct outbound_client *client, struct transfer *transfer)
{
    struct outbound *outbound = TAKE_PTR(transfer->outbound);
    outbound->transfer = NULL;
    outbound->done(outbound);
    transfer_free(client, transfer);
}

static void finish(struct loop_deferred *deferred)
{
    struct outbound_client *client = CONTAINER_OF(deferred, struct outbound_client, finish);
    CURLMsg                *message;
    int                     left;
    LIST_FOR_EACH (transfer, &client->refused, struct transfer, link)
        end_transfer(client, transfer);
    while (client->multi != NULL && (message = curl.multi_info_read(client->multi, &left)) != NULL) {
        struct transfer *transfer;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode result = message->data.result;
        curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        read_answer(transfer, result);
        end_transfer(client, transfer);
    }
    loop_again(client->loop); /* what was done here brings work to the host, whose turn is over */
}

/* False: libcurl has no memory. What libcurl would say by itself is left out unless the caller says it. */
static bool add_headers(struct transfer *transfer, const struct outbound *outbound)
{
    struct curl_slist *list = curl.slist_append(NULL, "Expect:");
    struct buffer      line = { 0 };
    bool               typed = false;
    for (size_t i = 0; i < outbound->header_count && list != NULL; i++) {
        const struct outbound_header *header = &outbound->headers[i];
        buffer_clear(&line);
        buffer_append(&line, header->name);
        buffer_append_text(&line,
                           header->value.size == 0 ? ";" : ": "); /* an empty value is sent by a semicolon */
        buffer_append(&line, header->value);
        buffer_append_byte(&line, '\0');
        list = curl.slist_append(list, (const char *)line.base);
        typed |= bytes_equal_text(header->name, "content-type");
    }
    if (!typed && list != NULL)
        list = curl.slist_append(list, "Content-Type:");
    buffer_release(&line);
    transfer->headers = list;
    return list != NULL;
}

static enum status begin(struct outbound_client *client, struct error *error)
{
    enum status status = outbound_prepare(error);
    if (status != ST_OK || client->multi != NULL)
        return status;
    client->multi = curl.multi_init();
    if (client->multi == NULL)
        panic("out of memory");
    curl.multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl.multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl.multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl.multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl.multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_IDLE_MAX);
    return ST_OK;
}

static void transfer_begin(struct outbound_client *client, struct transfer *transfer)
{
    struct outbound *outbound = transfer->outbound;
    CURL            *easy = curl.easy_init();
    if (easy == NULL)
        panic("out of memory");
    transfer->easy = easy;
    list_append(&client->transfers, &transfer->link);
    memcpy(transfer->url, outbound->url.base, outbound->url.size);
    if (!add_headers(transfer, outbound))
        panic("out of memory");
    curl.easy_setopt(easy, CURLOPT_URL, transfer->url);
    curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
    if (outbound->is_get) {
        curl.easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    } else {
        curl.easy_setopt(easy, CURLOPT_POST, 1L);
        curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)outbound->body.size);
        curl.easy_setopt(easy, CURLOPT_POSTFIELDS,
                         outbound->body.size == 0 ? "" : (const char *)outbound->body.base);
    }
    curl.easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(outbound->timeout_ns / NS_PER_MS));
    curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl.easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->reason);
    curl.easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    if (curl.multi_add_handle(client->multi, easy) != CURLM_OK)
        panic("libcurl takes no transfer");
}

void outbound_client_send(struct outbound_client *client, struct outbound *outbound)
{
    struct transfer *transfer = xcalloc(1, sizeof *transfer);
    assert(outbound->transfer == NULL);
    assert(outbound->url.size <= OUTBOUND_URL_MAX);
    transfer->outbound = outbound;
    outbound->transfer = transfer;
    if (begin(client, &outbound->error) == ST_OK) {
        transfer_begin(client, transfer);
        return;
    }
    outbound->status = 0;
    outbound->retryable = -1;
    list_append(&client->refused, &transfer->link);
    loop_defer(client->loop, &client->finish);
}

void outbound_client_cancel(struct outbound_client *client, struct outbound *outbound)
{
    if (outbound->transfer != NULL)
        transfer_free(client, outbound->transfer);
}

/* --- life --- */

struct outbound_client *outbound_client_new(struct loop *loop)
{
    struct outbound_client *client = xcalloc(1, sizeof *client);
    client->loop = loop;
    loop_timer_init(&client->timer, timer_fired);
    loop_deferred_init(&client->finish, finish);
    list_init(&client->transfers);
    list_init(&client->sockets);
    list_init(&client->refused);
    return client;
}

void outbound_client_free(struct outbound_client *client)
{
    if (client == NULL)
        return;
    LIST_FOR_EACH (transfer, &client->transfers, struct transfer, link)
        transfer_free(client, transfer);
    LIST_FOR_EACH (refused, &client->refused, struct transfer, link)
        transfer_free(client, refused);
    if (client->multi != NULL)
        curl.multi_cleanup(client->multi);
    LIST_FOR_EACH (socket, &client->sockets, struct socket, link)
        socket_free(socket);
    loop_timer_clear(client->loop, &client->timer);
    loop_defer_cancel(client->loop, &client->finish);
    free(client);
}
