/* auth.c: the order of the checks, refusals, and the key set that is fetched. */
#include "mcp/auth.h"

#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "mcp/auth_internal.h"
#include "mcp/crypto.h"
#include "outbound/outbound.h"

#define WELL_KNOWN       "/.well-known/oauth-protected-resource"
#define WAITING_MAX      1024 /* checks that wait for keys */
#define FETCH_TIMEOUT_NS (10 * NS_PER_S)
#define FETCH_AGAIN_NS   (10 * NS_PER_S) /* at the earliest, whatever tokens are shown */
#define REFRESH_NS       (10 * 60 * NS_PER_S)
#define LEEWAY_NS        (60 * NS_PER_S)
#define ORIGIN_SIZE_MAX  512

struct texts {
    char **text;
    size_t count;
};
struct auth {
    struct loop            *loop;
    struct outbound_client *client; /* of a key set by URL */
    enum auth_mode          mode;
    bool                    loopback;
    struct texts            origins, hosts, servers, scopes;
    char                   *resource, *issuer, *audience, *caller_claim, *scope_claim, *jwks_url;
    struct jwt_rules        jwt;
    struct watched_file     file; /* of tokens, or of keys */
    struct tokens          *tokens;
    json_t                 *keys; /* NULL: not fetched yet */
    struct rates            rates;
    struct outbound         fetch;
    bool                    fetching;
    int64_t                 fetch_earliest, refresh_due, refresh_ns; /* monotonic */
    struct list             waiting;
    size_t                  waiting_count;
};
/* One check. */
struct check {
    struct list           link; /* in auth->waiting */
    struct auth          *auth;
    struct http_exchange *exchange;
    const char           *scope;
    void (*allowed)(void *context, struct http_exchange *exchange, const struct caller *caller);
    void *context;
};

bool caller_has_scope(const struct caller *caller, const char *scope)
{
    for (size_t i = 0; i < caller->scope_count && !caller->everything; i++) {
        if (strcmp(caller->scopes[i], scope) == 0)
            return true;
    }
    return caller->everything;
}

/* --- Host and Origin --- */

static bool same_text(struct bytes a, const char *b)
{
    return a.size == strlen(b) && strncasecmp((const char *)a.base, b, a.size) == 0;
}

/* A Host without its port. */
static struct bytes host_name(struct bytes host)
{
    size_t size = host.size;
    while (size != 0 && host.base[size - 1] >= '0' && host.base[size - 1] <= '9')
        size--;
    return size != 0 && host.base[size - 1] == ':' ? bytes_of(host.base, size - 1) : host;
}

/* Whether a Host is one of ours by name, not because any is. */
static bool is_host_listed(const struct auth *auth, struct bytes host)
{
    for (size_t i = 0; i < auth->hosts.count; i++) {
        if (same_text(host, auth->hosts.text[i]) || same_text(host_name(host), auth->hosts.text[i]))
            return true;
    }
    return http_host_is_loopback(host);
}

static bool is_host_allowed(const struct auth *auth, const struct http_exchange *exchange)
{
    if (auth->hosts.count == 0 && !auth->loopback)
        return true;
    for (size_t i = 0; i < auth->hosts.count; i++) {
        if (strcmp(auth->hosts.text[i], "*") == 0)
            return true;
    }
    /* No page can make a browser leave it out. */
    return exchange->host.size == 0 || is_host_listed(auth, exchange->host);
}

/* "http://localhost:*" fits that scheme and name with any port, and without one. */
static bool fits_pattern(struct bytes origin, const char *pattern)
{
    size_t size = strlen(pattern);
    if (size < 2 || strcmp(pattern + size - 2, ":*") != 0)
        return same_text(origin, pattern);
    size_t fixed = size - 2;
    if (origin.size < fixed || strncasecmp((const char *)origin.base, pattern, fixed) != 0)
        return false;
    if (origin.size == fixed)
        return true;
    if (origin.base[fixed] != ':' || origin.size == fixed + 1 || origin.size > fixed + 6)
        return false;
    for (size_t i = fixed + 1; i < origin.size; i++) {
        if (origin.base[i] < '0' || origin.base[i] > '9')
            return false;
    }
    return true;
}

/* A page that this port itself served, under a name that is known to be ours. */
static bool is_own(const struct auth *auth, struct bytes origin, struct bytes host)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < ARRAY_COUNT(schemes) && is_host_listed(auth, host); i++) {
        size_t size = strlen(schemes[i]);
        if (origin.size == size + host.size &&
            strncasecmp((const char *)origin.base, schemes[i], size) == 0 &&
            strncasecmp((const char *)origin.base + size, (const char *)host.base, host.size) == 0)
            return true;
    }
    return false;
}

/* A page that this machine serves to itself, from whatever port. */
static bool is_of_loopback(struct bytes origin)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t size = strlen(schemes[i]);
        if (origin.size > size && strncasecmp((const char *)origin.base, schemes[i], size) == 0)
            return http_host_is_loopback(bytes_of(origin.base + size, origin.size - size));
    }
    return false;
}

static bool is_origin_allowed(const struct auth *auth, const struct http_exchange *exchange)
{
    struct bytes origin;
    if (!http_header_single(exchange, "Origin", &origin))
        return false;
    if (http_header_count(exchange, "Origin") == 0)
        return true; /* no browser */
    bool allowed = is_own(auth, origin, exchange->host) ||
                   (auth->origins.count == 0 && auth->loopback && is_of_loopback(origin));
    for (size_t i = 0; i < auth->origins.count; i++)
        allowed |= fits_pattern(origin, auth->origins.text[i]);
    return allowed && origin.size <= ORIGIN_SIZE_MAX;
}

size_t auth_cors_headers(struct auth *auth, const struct http_exchange *exchange,
                         struct http_header ret_headers[AUTH_CORS_HEADERS])
{
    struct bytes origin = http_header_first(exchange, "Origin");
    if (origin.size == 0 || !is_origin_allowed(auth, exchange))
        return 0;
    ret_headers[0] = (struct http_header){ BYTES("Access-Control-Allow-Origin"), origin };
    ret_headers[1] = (struct http_header){ BYTES("Access-Control-Expose-Headers"),
                                           BYTES("Mcp-Session-Id, WWW-Authenticate, Retry-After") };
    ret_headers[2] = (struct http_header){ BYTES("Vary"), BYTES("Origin") };
    return AUTH_CORS_HEADERS;
}

/* --- refusals --- */

static void refuse(struct auth *auth, struct http_exchange *exchange, int status, const char *challenge,
                   const char *retry_after, const char *words)
{
    struct http_header headers[AUTH_CORS_HEADERS + 4] = {
        { BYTES("Content-Type"), BYTES("application/json") }, { BYTES("Cache-Control"), BYTES("no-store") }
    };
    size_t               count = 2 + auth_cors_headers(auth, exchange, headers + 2);
    JSON_CLEANUP json_t *body = json_pack("{s:s}", "error", words);
    char                *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    if (challenge != NULL)
        headers[count++] = (struct http_header){ BYTES("WWW-Authenticate"), bytes_of_text(challenge) };
    if (retry_after != NULL)
        headers[count++] = (struct http_header){ BYTES("Retry-After"), bytes_of_text(retry_after) };
    http_answer(exchange, status, headers, count, bytes_of_text(text));
    free(text);
}

/* Where the resource's path begins: after "scheme://host". */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = host == NULL ? NULL : strchr(host + 3, '/');
    return path == NULL ? url + strlen(url) : path;
}

/* The URL of a resource, whose path here is `path` ("/mcp…"), or of its metadata. */
static void append_url(const struct auth *auth, const struct http_exchange *exchange, struct bytes path,
                       bool metadata, struct buffer *to)
{
    if (auth->resource == NULL) {
        buffer_append_text(to, "http://");
        buffer_append(to, exchange->host);
        buffer_append_text(to, metadata ? WELL_KNOWN : "");
        buffer_append(to, path);
        return;
    }
    const char *own = path_of(auth->resource);
    buffer_append(to, bytes_of(auth->resource, (size_t)(own - auth->resource)));
    buffer_append_text(to, metadata ? WELL_KNOWN : "");
    buffer_append_text(to, own);
    if (bytes_starts_with(path, BYTES("/mcp/")))
        buffer_append(to, bytes_of(path.base + 4, path.size - 4));
}

/* `failure` is of RFC 6750; NULL: no token was shown. */
static void challenge(struct auth *auth, struct http_exchange *exchange, int status, const char *failure,
                      const char *scope, const char *words)
{
    struct buffer text = { 0 };
    buffer_append_text(&text, "Bearer ");
    if (auth->mode == AUTH_JWT) {
        buffer_append_text(&text, "resource_metadata=\"");
        append_url(auth, exchange, exchange->path, true, &text);
        buffer_append_text(&text, "\"");
    } else {
        buffer_append_text(&text, "realm=\"perdure\"");
    }
    if (failure != NULL)
        buffer_printf(&text, ", error=\"%s\", error_description=\"%s\"", failure, words);
    if (scope != NULL)
        buffer_printf(&text, ", scope=\"%s\"", scope);
    buffer_append_byte(&text, '\0');
    bool safe = memchr(exchange->path.base, '"', exchange->path.size) == NULL;
    refuse(auth, exchange, status, safe ? (const char *)text.base : "Bearer realm=\"perdure\"", NULL, words);
    buffer_release(&text);
}

/* --- a caller is known --- */

static void settle(struct check *check, const struct caller *caller)
{
    struct auth          *auth = check->auth;
    struct http_exchange *exchange = check->exchange;
    uint32_t              wait_s = 1;
    char                  retry_after[16];
    exchange->on_close = NULL;
    exchange->user = NULL;
    if (!rates_take(&auth->rates, caller->name, loop_now(auth->loop), &wait_s)) {
        snprintf(retry_after, sizeof retry_after, "%u", wait_s);
        refuse(auth, exchange, 429, NULL, retry_after, "too many requests");
        return;
    }
    for (size_t i = 0; i < auth->scopes.count; i++) {
        if (!auth_demand(auth, exchange, caller, auth->scopes.text[i]))
            return;
    }
    if (check->scope == NULL || auth_demand(auth, exchange, caller, check->scope))
        check->allowed(check->context, exchange, caller);
}

bool auth_take(struct auth *auth, const struct caller *caller)
{
    uint32_t wait_s;
    return rates_take(&auth->rates, caller->name, loop_now(auth->loop), &wait_s);
}

bool auth_demand(struct auth *auth, struct http_exchange *exchange, const struct caller *caller,
                 const char *scope)
{
    if (caller_has_scope(caller, scope))
        return true;
    challenge(auth, exchange, 403, "insufficient_scope", scope, "the token lacks a scope");
    return false;
}

/* --- keys --- */

static void decide_waiting(struct auth *auth);

static void take_keys(struct auth *auth, json_t *keys)
{
    json_decref(auth->keys);
    auth->keys = keys;
    auth->refresh_due = time_add(loop_now(auth->loop), auth->refresh_ns);
}

static void fetched(struct outbound *outbound)
{
    struct auth *auth = CONTAINER_OF(outbound, struct auth, fetch);
    struct error error;
    json_t      *keys = NULL;
    auth->fetching = false;
    if (outbound->status == 0)
        log_warn("mcp.keys", "%s: %s", auth->jwks_url, outbound->error.message);
    else if (outbound->status != 200)
        log_warn("mcp.keys", "%s: answered %d", auth->jwks_url, outbound->status);
    else if (jwt_read_keys(outbound->answer, &keys, &error) != ST_OK)
        log_warn("mcp.keys", "%s: %s", auth->jwks_url, error.message);
    else
        take_keys(auth, keys);
    decide_waiting(auth);
}

/* Whether keys are on their way, or are now. They are asked for at most once in FETCH_AGAIN_NS, so that made-up key ids cost
 * the issuer nothing. */
static bool fetch_keys(struct auth *auth)
{
    int64_t now = loop_now(auth->loop);
    if (auth->jwks_url == NULL || auth->fetching || now < auth->fetch_earliest)
        return auth->fetching;
    auth->fetching = true;
    auth->fetch_earliest = time_add(now, FETCH_AGAIN_NS);
    auth->fetch = (struct outbound){
        .url = bytes_of_text(auth->jwks_url), .is_get = true, .timeout_ns = FETCH_TIMEOUT_NS, .done = fetched
    };
    outbound_client_send(auth->client, &auth->fetch);
    return true;
}

static enum status read_file(struct auth *auth, struct error *error)
{
    struct buffer  text = { 0 };
    struct tokens *tokens = NULL;
    json_t        *keys = NULL;
    enum status    status = watched_file_read(&auth->file, &text, error);
    if (status == ST_OK && auth->mode == AUTH_TOKENS) {
        status = tokens_parse(buffer_bytes(&text), auth->file.path, &tokens, error);
        if (status == ST_OK) {
            tokens_free(auth->tokens);
            auth->tokens = tokens;
        }
    } else if (status == ST_OK) {
        status = jwt_read_keys(buffer_bytes(&text), &keys, error);
        if (status == ST_OK)
            take_keys(auth, keys);
    }
    buffer_release(&text);
    return status;
}

static void refresh(struct auth *auth)
{
    struct error error;
    if (auth->file.path != NULL && watched_file_changed(&auth->file, loop_now(auth->loop))) {
        if (read_file(auth, &error) == ST_OK)
            log_info("mcp.auth", "%s was read again", auth->file.path);
        else
            log_error("mcp.auth", "what was read before stays: %s", error.message);
    }
    if (auth->jwks_url != NULL && auth->keys != NULL && loop_now(auth->loop) >= auth->refresh_due)
        (void)fetch_keys(auth); /* the old ones serve meanwhile */
}

/* --- checks --- */

static void dropped(struct http_exchange *exchange)
{
    struct check *check = exchange->user;
    list_remove(&check->link);
    check->auth->waiting_count--;
    free(check);
}

static void wait_for_keys(const struct check *check)
{
    struct auth  *auth = check->auth;
    struct check *waiting = xmalloc(sizeof *waiting);
    *waiting = *check;
    list_init(&waiting->link);
    list_append(&auth->waiting, &waiting->link);
    auth->waiting_count++;
    check->exchange->user = waiting;
    check->exchange->on_close = dropped;
}

/* The token in the Authorization header; empty when there is none. False: refused. */
static bool find_bearer(struct auth *auth, struct http_exchange *exchange, struct bytes *ret_bearer)
{
    struct bytes value;
    if (!http_header_single(exchange, "Authorization", &value) || value.size > AUTH_BEARER_MAX + 7) {
        refuse(auth, exchange, 400, NULL, NULL, "one Authorization header of moderate size is expected");
        return false;
    }
    *ret_bearer = BYTES_EMPTY;
    if (value.size > 7 && strncasecmp((const char *)value.base, "Bearer ", 7) == 0)
        *ret_bearer = bytes_of(value.base + 7, value.size - 7);
    return true;
}

/* `last`: keys were just asked for, so what is not known now is not known. */
static void decide(struct check *check, bool last)
{
    struct auth          *auth = check->auth;
    struct http_exchange *exchange = check->exchange;
    struct caller         caller = { .name = AUTH_ANONYMOUS, .everything = true };
    struct bytes          bearer;
    struct error          error;
    enum status           status = ST_OK;
    const char           *wanted = check->scope != NULL      ? check->scope
                                   : auth->scopes.count != 0 ? auth->scopes.text[0]
                                                             : NULL;
    if (auth->mode == AUTH_NONE) {
        settle(check, &caller);
        return;
    }
    if (!find_bearer(auth, exchange, &bearer))
        return;
    if (bearer.size == 0) {
        challenge(auth, exchange, 401, NULL, wanted, "a bearer token is needed");
        return;
    }
    if (auth->mode == AUTH_TOKENS) {
        if (!tokens_find(auth->tokens, bearer, &caller))
            status = error_set(&error, ST_UNAUTHENTICATED, "the token is not known");
    } else if (auth->keys == NULL) {
        status = error_set(&error, ST_NOT_FOUND, "the issuer's keys could not be had");
    } else {
        status = jwt_check(bearer, &auth->jwt, auth->keys, clock_wall_ns(&clock_system), &caller, &error);
    }
    if (status == ST_OK)
        settle(check, &caller);
    else if (status == ST_NOT_FOUND && !last && auth->waiting_count < WAITING_MAX && fetch_keys(auth))
        wait_for_keys(check);
    else if (status == ST_NOT_FOUND && auth->keys == NULL)
        refuse(auth, exchange, 503, NULL, "10", error.message);
    else
        challenge(auth, exchange, 401, "invalid_token", wanted, error.message);
}

static void decide_waiting(struct auth *auth)
{
    struct list now, *link;
    list_init(&now);
    list_splice(&now, &auth->waiting);
    while ((link = list_take_first(&now)) != NULL) {
        struct check *check = CONTAINER_OF(link, struct check, link);
        auth->waiting_count--;
        check->exchange->on_close = NULL;
        check->exchange->user = NULL;
        decide(check, true);
        free(check);
    }
}

/* False: it was refused. */
static bool check_place(struct auth *auth, struct http_exchange *exchange)
{
    if (!is_host_allowed(auth, exchange))
        refuse(auth, exchange, 403, NULL, NULL, "this Host is not one that is answered to");
    else if (!is_origin_allowed(auth, exchange))
        refuse(auth, exchange, 403, NULL, NULL, "this Origin is not allowed");
    else
        return true;
    return false;
}

static bool has_token_in_query(struct bytes query)
{
    return query.size >= 13 && memmem(query.base, query.size, "access_token=", 13) != NULL;
}

void auth_check(struct auth *auth, struct http_exchange *exchange, const char *scope,
                void (*allowed)(void *context, struct http_exchange *exchange, const struct caller *caller),
                void *context)
{
    struct check check = {
        .auth = auth, .exchange = exchange, .scope = scope, .allowed = allowed, .context = context
    };
    refresh(auth);
    if (!check_place(auth, exchange))
        return;
    if (has_token_in_query(exchange->query))
        refuse(auth, exchange, 400, NULL, NULL,
               "a token belongs in the Authorization header, not in the URL");
    else
        decide(&check, false);
}

void auth_answer_preflight(struct auth *auth, struct http_exchange *exchange)
{
    struct http_header headers[AUTH_CORS_HEADERS + 3];
    struct bytes       asked = http_header_first(exchange, "Access-Control-Request-Headers");
    if (!check_place(auth, exchange))
        return;
    size_t count = auth_cors_headers(auth, exchange, headers);
    headers[count++] = (struct http_header){ BYTES("Access-Control-Allow-Methods"),
                                             BYTES("GET, POST, PUT, DELETE, OPTIONS") };
    headers[count++] = (struct http_header){ BYTES("Access-Control-Max-Age"), BYTES("600") };
    if (asked.size != 0) /* whom we trust with answers may say what it likes in questions */
        headers[count++] = (struct http_header){ BYTES("Access-Control-Allow-Headers"), asked };
    http_answer(exchange, 204, headers, count, BYTES_EMPTY);
}

static json_t *texts_to_json(const char *const *text, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(text[i]));
    return array;
}

void auth_answer_metadata(struct auth *auth, struct http_exchange *exchange, const char *const *scopes,
                          size_t scope_count)
{
    static const struct http_header headers[] = { { BYTES("Content-Type"), BYTES("application/json") },
                                                  { BYTES("Cache-Control"), BYTES("no-store") },
                                                  { BYTES("Access-Control-Allow-Origin"), BYTES("*") } };
    struct buffer                   url = { 0 };
    struct bytes                    path = exchange->path;
    if (!is_host_allowed(auth, exchange)) {
        refuse(auth, exchange, 403, NULL, NULL, "this Host is not one that is answered to");
        return;
    }
    if (auth->mode != AUTH_JWT || !bytes_starts_with(path, BYTES(WELL_KNOWN))) {
        refuse(auth, exchange, 404, NULL, NULL, "there is no authorization server");
        return;
    }
    path = bytes_of(path.base + sizeof WELL_KNOWN - 1, path.size - (sizeof WELL_KNOWN - 1));
    append_url(auth, exchange, path.size == 0 ? BYTES("/mcp") : path, false, &url);
    JSON_CLEANUP json_t *body = json_object();
    json_object_set_new(body, "resource", json_stringn((const char *)url.base, url.size));
    json_object_set_new(body, "authorization_servers",
                        auth->servers.count == 0
                            ? texts_to_json((const char *const[]){ auth->issuer }, 1)
                            : texts_to_json((const char *const *)auth->servers.text, auth->servers.count));
    json_object_set_new(body, "bearer_methods_supported",
                        texts_to_json((const char *const[]){ "header" }, 1));
    if (scope_count != 0)
        json_object_set_new(body, "scopes_supported", texts_to_json(scopes, scope_count));
    char *text = json_dumps(body, JSON_COMPACT);
    http_answer(exchange, 200, headers, ARRAY_COUNT(headers), bytes_of_text(text));
    free(text);
    buffer_release(&url);
}

/* --- life --- */

static char *copy_text(const char *text)
{
    char *copy = text == NULL ? NULL : strdup(text);
    if (text != NULL && copy == NULL)
        panic("out of memory");
    return copy;
}

static void copy_texts(struct texts *to, const char *const *from, size_t count)
{
    to->text = xcalloc(count + 1, sizeof *to->text);
    to->count = count;
    for (size_t i = 0; i < count; i++)
        to->text[i] = copy_text(from[i]);
}

static void release_texts(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->text[i]);
    free(texts->text);
}

/* "scheme://host", "scheme://host:port" or "scheme://host:*". */
static bool is_origin_pattern(const char *text)
{
    const char *host = strstr(text, "://");
    size_t      size = strlen(text);
    if (host == NULL || host == text || host[3] == '\0' || host[3] == ':' || size > ORIGIN_SIZE_MAX)
        return false;
    if (strcmp(text + size - 2, ":*") == 0)
        size -= 2;
    return strcspn(host + 3, "/?#@* ") >= size - (size_t)(host + 3 - text);
}

static bool is_url(const char *text)
{
    return strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0;
}

static enum status start_jwt(struct auth *auth, const struct auth_rules *rules, struct error *error)
{
    if (rules->issuer == NULL || rules->audience == NULL || rules->jwks == NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "auth by jwt needs an issuer, an audience and jwks");
    auth->issuer = copy_text(rules->issuer);
    auth->audience = copy_text(rules->audience);
    auth->caller_claim = copy_text(rules->caller_claim == NULL ? "sub" : rules->caller_claim);
    auth->scope_claim = copy_text(rules->scope_claim);
    auth->jwt = (struct jwt_rules){ auth->issuer, auth->audience, auth->caller_claim, auth->scope_claim,
                                    rules->leeway_ns == 0 ? LEEWAY_NS : rules->leeway_ns };
    auth->refresh_ns = rules->jwks_refresh_ns == 0 ? REFRESH_NS : rules->jwks_refresh_ns;
    enum status status = jwt_prepare(error);
    if (status != ST_OK)
        return status;
    if (!is_url(rules->jwks)) {
        auth->file.path = copy_text(rules->jwks);
        return read_file(auth, error);
    }
    if (strlen(rules->jwks) > OUTBOUND_URL_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "the URL of jwks is too long");
    status = outbound_prepare(error);
    if (status != ST_OK)
        return status;
    auth->jwks_url = copy_text(rules->jwks);
    auth->client = outbound_client_new(auth->loop);
    return ST_OK;
}

static enum status start(struct auth *auth, const struct auth_rules *rules, struct error *error)
{
    for (size_t i = 0; i < rules->origin_count; i++) {
        if (!is_origin_pattern(rules->origins[i]))
            return error_set(error, ST_INVALID_ARGUMENT,
                             "%s is no origin: scheme://host, with a port or :* for any", rules->origins[i]);
    }
    if (rules->origin_count > AUTH_ORIGINS_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "there are more than %d origins", AUTH_ORIGINS_MAX);
    if (auth->mode == AUTH_JWT)
        return start_jwt(auth, rules, error);
    if (auth->mode == AUTH_TOKENS) {
        if (rules->tokens_file == NULL)
            return error_set(error, ST_INVALID_ARGUMENT, "auth by tokens needs a tokens_file");
        auth->file.path = copy_text(rules->tokens_file);
        enum status status = crypto_prepare(error);
        return status == ST_OK ? read_file(auth, error) : status;
    }
    if (!rules->loopback)
        return error_set(
            error, ST_INVALID_ARGUMENT,
            "tools are open to everybody who reaches this address: auth by tokens or jwt is needed "
            "where the HTTP port is not bound to the loopback");
    return ST_OK;
}

enum status auth_new(const struct auth_rules *rules, struct loop *loop, struct auth **ret_auth,
                     struct error *error)
{
    struct auth *auth = xcalloc(1, sizeof *auth);
    auth->loop = loop;
    auth->mode = rules->mode;
    auth->loopback = rules->loopback;
    list_init(&auth->waiting);
    rates_init(&auth->rates, rules->rate, rules->burst);
    copy_texts(&auth->origins, rules->origins, rules->origin_count);
    copy_texts(&auth->hosts, rules->hosts, rules->host_count);
    copy_texts(&auth->scopes, rules->scopes, rules->scope_count);
    copy_texts(&auth->servers, rules->authorization_servers, rules->authorization_server_count);
    auth->resource = copy_text(rules->resource);
    enum status status = start(auth, rules, error);
    if (status != ST_OK) {
        auth_free(auth);
        return status;
    }
    *ret_auth = auth;
    return ST_OK;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    assert(list_empty(&auth->waiting)); /* their exchanges were closed before */
    outbound_client_free(auth->client);
    json_decref(auth->keys);
    tokens_free(auth->tokens);
    rates_release(&auth->rates);
    release_texts(&auth->origins);
    release_texts(&auth->hosts);
    release_texts(&auth->servers);
    release_texts(&auth->scopes);
    free(auth->file.path);
    free(auth->resource);
    free(auth->issuer);
    free(auth->audience);
    free(auth->caller_claim);
    free(auth->scope_claim);
    free(auth->jwks_url);
    free(auth);
}
