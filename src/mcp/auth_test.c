/* auth_test.c: who gets in, by sockets: Host, Origin, tokens, JWTs with keys by file and by URL, scopes, rates, metadata. */
#include "mcp/auth.h"

#include <cjose/cjose.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/testing.h"
#include "mcp/auth_internal.h"
#include "web/web.h"

#define ISSUER   "https://issuer.example"
#define AUDIENCE "https://tools.example/mcp"

static struct auth          *auth;
static struct web           *web;
static _Atomic int           key_requests;
static _Atomic(const char *) key_set; /* what GET /keys answers */

static void allowed(void *context UNUSED, struct http_exchange *exchange, const struct caller *caller)
{
    struct http_header headers[AUTH_CORS_HEADERS];
    size_t             count = auth_cors_headers(auth, exchange, headers);
    if (bytes_equal_text(exchange->path, "/mcp/write") && !auth_demand(auth, exchange, caller, "write"))
        return;
    http_answer(exchange, 200, headers, count, bytes_of_text(caller->name));
}
static void handle(void *context UNUSED, struct http_exchange *exchange)
{
    if (exchange->method == HTTP_OPTIONS)
        auth_answer_preflight(auth, exchange);
    else
        auth_check(auth, exchange, NULL, allowed, NULL);
}
static void metadata(void *context UNUSED, struct http_exchange *exchange)
{
    auth_answer_metadata(auth, exchange, (const char *const[]){ "write" }, 1);
}
static void keys(void *context UNUSED, struct http_exchange *exchange)
{
    key_requests++;
    http_answer(exchange, 200, NULL, 0, bytes_of_text(key_set));
}

/* With the keys' URL of this very server, when none is said. */
static enum status start(struct auth_rules rules, struct error *error)
{
    struct web_options options = { .address = "127.0.0.1:0", .grpc_address = "", .version = "" };
    char               url[64];
    CHECK_EQ(web_new(&options, &web, error), ST_OK);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/keys", web_port(web));
    if (rules.mode == AUTH_JWT && rules.jwks == NULL)
        rules.jwks = url;
    enum status status = auth_new(&rules, http_server_loop(web_http(web)), &auth, error);
    if (status != ST_OK) {
        web_free(web);
        return status;
    }
    http_server_route(web_http(web), &(struct http_route){ .path = "/mcp",
                                                           .below = true,
                                                           .methods = HTTP_GET | HTTP_OPTIONS,
                                                           .checks_host = true,
                                                           .handle = handle });
    http_server_route(web_http(web), &(struct http_route){ .path = "/.well-known/oauth-protected-resource",
                                                           .below = true,
                                                           .methods = HTTP_GET,
                                                           .checks_host = true,
                                                           .handle = metadata });
    http_server_route(web_http(web),
                      &(struct http_route){ .path = "/keys", .methods = HTTP_GET, .handle = keys });
    CHECK_EQ(web_start(web, error), ST_OK);
    return ST_OK;
}

static void started(struct auth_rules rules)
{
    struct error error;
    if (start(rules, &error) != ST_OK)
        fail_msg("%s", error.message);
}

static void stop(void)
{
    web_stop(web);
    auth_free(auth);
    web_free(web);
}

static const char *ask_as(const char *method, const char *path, const char *headers)
{
    static char        in[16384];
    char               out[12000];
    size_t             size = 0;
    struct timeval     bound = { .tv_sec = 20 };
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(web_port(web)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    int length = snprintf(out, sizeof out, "%s %s HTTP/1.1\r\nConnection: close\r\n%s%s\r\n", method, path,
                          strstr(headers, "Host: ") == NULL ? "Host: localhost\r\n" : "", headers);
    CHECK_EQ(send(fd, out, (size_t)length, MSG_NOSIGNAL), length);
    ssize_t got;
    while ((got = recv(fd, in + size, sizeof in - 1 - size, 0)) > 0)
        size += (size_t)got;
    close(fd);
    in[size] = '\0';
    return in;
}

static void expect_from(const char *method, const char *path, const char *headers, int status,
                        const char *part)
{
    const char *answer = ask_as(method, path, headers);
    if (atoi(answer + 9) != status || strstr(answer, part) == NULL)
        fail_msg("%s %s %s: expected %d and %s in: %s", method, path, headers, status, part, answer);
}

static void expect(const char *path, const char *headers, int status, const char *part)
{
    expect_from("GET", path, headers, status, part);
}

static void write_file(char *path, const char *text)
{
    /* Replaced as an editor does, so that it is another file. */
    char other[64];
    snprintf(other, sizeof other, "%s.new", path);
    FILE *file = fopen(other, "w");
    CHECK(file != NULL);
    fputs(text, file);
    fclose(file);
    CHECK_EQ(rename(other, path), 0);
}

TEST(without_tokens_only_the_loopback_is_served)
{
    struct error error;
    CHECK_EQ(start((struct auth_rules){ .mode = AUTH_NONE }, &error), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "loopback") != NULL);
    started((struct auth_rules){ .mode = AUTH_NONE, .loopback = true });
    expect("/mcp", "", 200, AUTH_ANONYMOUS);
    expect("/mcp/write", "", 200, AUTH_ANONYMOUS);
    expect("/mcp", "Host: 127.0.0.1:80\r\n", 200, AUTH_ANONYMOUS);
    expect("/mcp", "Origin: http://localhost:6274\r\n", 200, AUTH_ANONYMOUS);
    expect("/mcp", "Origin: https://[::1]\r\n", 200, AUTH_ANONYMOUS);
    expect("/mcp", "Origin: https://evil.example\r\n", 403, "Origin");
    expect("/mcp", "Origin: http://localhost.evil.example\r\n", 403, "Origin");
    expect("/mcp", "Origin: null\r\n", 403, "Origin");
    expect("/mcp", "Host: evil.example\r\n", 403, "Host");
    expect("/mcp", "Host: localhost.evil.example\r\n", 403, "Host");
    expect("/mcp?a=b&access_token=x", "", 400, "URL");
    expect("/.well-known/oauth-protected-resource", "", 404, "");
    stop();
}

TEST(pages_of_others_are_kept_out)
{
    static const char *const origins[] = { "http://localhost:*", "https://chat.example" };
    static const char *const hosts[] = { "tools.example" };
    static const char *const good[] = { "http://localhost", "http://localhost:6274", "HTTP://LocalHost:1",
                                        "https://chat.example" };
    static const char *const bad[] = { "null",
                                       "http://evil.example",
                                       "https://localhost:1",
                                       "http://127.0.0.1:5",
                                       "http://localhost:",
                                       "http://localhost:1x",
                                       "http://localhost.evil.example",
                                       "http://localhost:123456",
                                       "https://chat.example:444",
                                       "https://chat.example.evil" };
    char                     line[128];
    started((struct auth_rules){ .mode = AUTH_NONE,
                                 .loopback = true,
                                 .origins = origins,
                                 .origin_count = 2,
                                 .hosts = hosts,
                                 .host_count = 1 });
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        snprintf(line, sizeof line, "Origin: %s\r\n", good[i]);
        expect("/mcp", line, 200, "Access-Control-Allow-Origin: ");
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        snprintf(line, sizeof line, "Origin: %s\r\n", bad[i]);
        expect("/mcp", line, 403, "Origin");
        expect_from("OPTIONS", "/mcp", line, 403, "Origin");
    }
    expect("/mcp", "Origin: http://localhost\r\nOrigin: http://evil.example\r\n", 403, "Origin");
    expect("/mcp", "Host: 127.0.0.1:99\r\nOrigin: http://127.0.0.1:99\r\n", 200,
           AUTH_ANONYMOUS); /* its own page */
    expect("/mcp", "Host: tools.example\r\nOrigin: https://tools.example\r\n", 200, AUTH_ANONYMOUS);
    expect("/mcp", "Host: tools.example:8443\r\n", 200, AUTH_ANONYMOUS);
    expect("/mcp", "Host: evil.example\r\nOrigin: http://evil.example\r\n", 403, "Host");
    expect_from("OPTIONS", "/mcp", "Origin: http://localhost:5\r\nAccess-Control-Request-Headers: mcp-x\r\n",
                204, "Access-Control-Allow-Headers: mcp-x");
    stop();
}

TEST(tokens_are_known_by_their_hash)
{
    char          path[] = "/tmp/perdure_tokens_XXXXXX", token[AUTH_TOKEN_SIZE], other[AUTH_TOKEN_SIZE];
    char          header[128];
    struct buffer line = { 0 };
    struct error  error;
    int           fd = mkstemp(path);
    close(fd);
    CHECK_EQ(auth_token_make("ann", "read,write", token, &line, &error), ST_OK);
    CHECK_EQ(auth_token_make("a b", NULL, other, &line, &error), ST_INVALID_ARGUMENT);
    CHECK(strlen(token) == 47 && strstr((const char *)line.base, token) == NULL);
    buffer_append_text(&line, "\n# somebody\n\nbob ");
    CHECK_EQ(auth_token_make("bob", "read", other, &line, &error), ST_OK);
    buffer_append_byte(&line, 0);
    char *text = (char *)line.base, *twice = strstr(text, "bob bob");
    memmove(twice, twice + 4, strlen(twice + 4) + 1);
    write_file(path, text);
    started((struct auth_rules){ .mode = AUTH_TOKENS, .tokens_file = path });
    expect("/mcp", "Host: any.example\r\n", 401, "WWW-Authenticate: Bearer realm=\"perdure\"\r\n");
    expect("/mcp", "Authorization: Bearer wrong\r\n", 401, "error=\"invalid_token\"");
    expect("/mcp", "Authorization: Basic YTpi\r\n", 401, "");
    snprintf(header, sizeof header, "Authorization: bearer %s\r\n", token);
    expect("/mcp", header, 200, "\r\n\r\nann");
    expect("/mcp/write", header, 200, "ann");
    snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", other);
    expect("/mcp", header, 200, "bob");
    expect("/mcp/write", header, 403,
           "error=\"insufficient_scope\", error_description=\"the token lacks a scope\", scope=\"write\"");
    stop();
    /* A scope that everybody needs. */
    started((struct auth_rules){ .mode = AUTH_TOKENS,
                                 .tokens_file = path,
                                 .scopes = (const char *const[]){ "write" },
                                 .scope_count = 1 });
    expect("/mcp", header, 403, "scope=\"write\"");
    expect("/mcp", "", 401, "scope=\"write\"");
    snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", token);
    expect("/mcp", header, 200, "ann");
    stop();
    unlink(path);
    buffer_release(&line);
}

TEST(a_changed_file_is_noticed_at_the_next_look)
{
    char                path[] = "/tmp/perdure_file_XXXXXX";
    struct watched_file file = { .path = path };
    struct buffer       text = { 0 };
    struct error        error;
    close(mkstemp(path));
    CHECK_EQ(watched_file_read(&file, &text, &error), ST_OK);
    CHECK(!watched_file_changed(&file, 0));
    write_file(path, "other");
    CHECK(!watched_file_changed(&file, 1)); /* once a second is enough */
    CHECK(watched_file_changed(&file, NS_PER_S));
    CHECK_EQ(watched_file_read(&file, &text, &error), ST_OK);
    CHECK_BYTES(buffer_bytes(&text), BYTES("other"));
    CHECK(!watched_file_changed(&file, 2 * NS_PER_S));
    unlink(path);
    CHECK(!watched_file_changed(&file, 3 * NS_PER_S)); /* what was read stays */
    CHECK_EQ(watched_file_read(&file, &text, &error), ST_INVALID_ARGUMENT);
    buffer_release(&text);
}

TEST(wrong_lines_are_named)
{
    static const char *const wrong[] = {
        "ann\n", "ann 12\n", "ann zz23456789012345678901234567890123456789012345678901234567890123\n"
    };
    struct tokens *tokens = NULL;
    struct error   error;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        char text[256];
        snprintf(text, sizeof text, "# a comment\n%s", wrong[i]);
        CHECK_EQ(tokens_parse(bytes_of_text(text), "t", &tokens, &error), ST_INVALID_ARGUMENT);
        CHECK(strncmp(error.message, "t:2: ", 5) == 0);
    }
    static const char twice[] = "ann 0123456789012345678901234567890123456789012345678901234567890123 read\n"
                                "bob 0123456789012345678901234567890123456789012345678901234567890123\n";
    CHECK_EQ(tokens_parse(bytes_of_text(twice), "t", &tokens, &error), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "t:2: ") != NULL);
}

TEST(callers_have_a_rate_and_the_table_of_them_a_bound)
{
    struct rates rates;
    uint32_t     wait_s = 0;
    rates_init(&rates, 10, 20);
    for (int i = 0; i < 20; i++)
        CHECK(rates_take(&rates, "ann", 0, &wait_s));
    CHECK(!rates_take(&rates, "ann", 0, &wait_s));
    CHECK_INT(wait_s, 1);
    CHECK(rates_take(&rates, "bob", 0, &wait_s));
    CHECK(!rates_take(&rates, "ann", NS_PER_S / 10 - 1, &wait_s));
    CHECK(rates_take(&rates, "ann", NS_PER_S / 10, &wait_s));
    for (int i = 0; i < AUTH_CALLERS_MAX + 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        CHECK(rates_take(&rates, name, 0, &wait_s));
    }
    CHECK_INT(rates.table.count, AUTH_CALLERS_MAX);
    rates_release(&rates);
}

/* --- JWTs --- */

static cjose_jwk_t *rsa, *ec, *stranger, *shared;

static void make_keys(void)
{
    cjose_err error;
    if (rsa != NULL)
        return;
    rsa = cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &error);
    ec = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error);
    stranger = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error);
    CHECK(rsa != NULL && ec != NULL && stranger != NULL);
    CHECK(cjose_jwk_set_kid(rsa, "r1", 2, &error) && cjose_jwk_set_kid(ec, "e1", 2, &error) &&
          cjose_jwk_set_kid(stranger, "s1", 2, &error));
}

static char *print_keys(const cjose_jwk_t *first, const cjose_jwk_t *second)
{
    cjose_err     error;
    struct buffer text = { 0 };
    char         *one = cjose_jwk_to_json(first, false, &error);
    char         *two = second == NULL ? NULL : cjose_jwk_to_json(second, false, &error);
    buffer_printf(&text, "{\"keys\":[%s%s%s]}", one, two == NULL ? "" : ",", two == NULL ? "" : two);
    buffer_append_byte(&text, 0);
    free(one);
    free(two);
    return (char *)text.base;
}

static char *sign(cjose_jwk_t *key, const char *algorithm, const char *id, const char *claims)
{
    cjose_err       error;
    const char     *compact = NULL;
    cjose_header_t *header = cjose_header_new(&error);
    CHECK(cjose_header_set(header, CJOSE_HDR_ALG, algorithm, &error));
    if (id != NULL)
        CHECK(cjose_header_set(header, CJOSE_HDR_KID, id, &error));
    cjose_jws_t *jws = cjose_jws_sign(key, header, (const uint8_t *)claims, strlen(claims), &error);
    CHECK(jws != NULL && cjose_jws_export(jws, &compact, &error));
    char *text = strdup(compact);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return text;
}

static const char *claims(const char *format, long offset_s)
{
    static char text[1024];
    snprintf(text, sizeof text, format, (long)time(NULL) + offset_s);
    return text;
}

static void expect_jwt(char *token, int status, const char *part)
{
    char header[9000];
    snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", token);
    expect("/mcp", header, status, part);
    free(token);
}

#define GOOD                                                                                                 \
    "{\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"" AUDIENCE                                                     \
    "\"],\"sub\":\"ann\",\"scope\":\"read write\",\"exp\":%ld}"

static struct auth_rules jwt_rules_of(const char *jwks)
{
    return (struct auth_rules){
        .mode = AUTH_JWT, .issuer = ISSUER, .audience = AUDIENCE, .jwks = jwks, .resource = AUDIENCE
    };
}

TEST(signed_tokens_are_believed_only_as_they_should_be)
{
    cjose_err error;
    char      path[] = "/tmp/perdure_keys_XXXXXX";
    close(mkstemp(path));
    make_keys();
    char *set = print_keys(rsa, ec);
    write_file(path, set);
    started(jwt_rules_of(path));
    expect_jwt(sign(rsa, "RS256", "r1", claims(GOOD, 60)), 200, "\r\n\r\nann");
    expect_jwt(sign(ec, "ES256", "e1", claims(GOOD, 60)), 200, "ann");
    expect_jwt(sign(ec, "ES256", NULL, claims(GOOD, 60)), 200, "ann");
    expect_jwt(sign(ec, "ES256", "e1", claims(GOOD, -30)), 200, "ann"); /* within the leeway */
    expect_jwt(sign(ec, "ES256", "e1", claims(GOOD, -61)), 401, "has expired");
    expect_jwt(sign(stranger, "ES256", "e1", claims(GOOD, 60)), 401, "signature is wrong");
    expect_jwt(sign(stranger, "ES256", "s1", claims(GOOD, 60)), 401, "no key of the issuer");
    expect_jwt(sign(rsa, "RS384", "r1", claims(GOOD, 60)), 401, "neither RS256 nor ES256");
    expect_jwt(sign(rsa, "PS256", "r1", claims(GOOD, 60)), 401, "neither RS256 nor ES256");
    expect_jwt(sign(rsa, "RS256", "e1", claims(GOOD, 60)), 401, "no key of the issuer");
    /* The public key taken for a shared secret, and no signature at all. */
    shared = cjose_jwk_create_oct_spec((const uint8_t *)set, strlen(set), &error);
    expect_jwt(sign(shared, "HS256", "r1", claims(GOOD, 60)), 401, "neither RS256 nor ES256");
    cjose_jwk_release(shared);
    expect_jwt(strdup("eyJhbGciOiJub25lIn0.e30."), 401, "neither RS256 nor ES256");
    expect_jwt(strdup("a.b"), 401, "no JWT");
    expect_jwt(strdup("a.b.c.d"), 401, "no JWT");
    char *whole = sign(ec, "ES256", "e1", claims(GOOD, 60));
    whole[strlen(whole) - 10] ^= 1;
    expect_jwt(whole, 401, "signature is wrong");
    expect_jwt(sign(ec, "ES256", "e1",
                    claims("{\"iss\":\"" ISSUER "/\",\"aud\":\"" AUDIENCE "\",\"sub\":\"a\",\"exp\":%ld}",
                           60)),
               401, "another issuer");
    expect_jwt(sign(ec, "ES256", "e1",
                    claims("{\"iss\":\"" ISSUER "\",\"aud\":\"x\",\"sub\":\"a\",\"exp\":%ld}", 60)),
               401, "another audience");
    expect_jwt(sign(ec, "ES256", "e1",
                    claims("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"exp\":%ld}", 60)),
               401, "name its caller");
    expect_jwt(sign(ec, "ES256", "e1", "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"sub\":\"a\"}"),
               401, "when it expires");
    expect_jwt(sign(ec, "ES256", "e1",
                    claims("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
                           "\",\"sub\":\"a\",\"exp\":9999999999,\"nbf\":%ld}",
                           90)),
               401, "not valid yet");
    expect("/mcp/weather", "", 401,
           "resource_metadata=\"https://tools.example/.well-known/oauth-protected-resource/mcp/weather\"");
    expect("/.well-known/oauth-protected-resource/mcp/weather", "", 200,
           "{\"resource\":\"https://tools.example/mcp/weather\",\"authorization_servers\":[\"" ISSUER
           "\"],\"bearer_methods_supported\":[\"header\"],\"scopes_supported\":[\"write\"]}");
    stop();
    free(set);
    unlink(path);
}

TEST(keys_by_url_are_fetched_once_and_kept)
{
    make_keys();
    char *first = print_keys(rsa, ec);
    key_set = first;
    key_requests = 0;
    started(jwt_rules_of(NULL));
    expect_jwt(sign(rsa, "RS256", "r1", claims(GOOD, 60)), 200, "ann");
    expect_jwt(sign(rsa, "RS256", "r1", claims(GOOD, 60)), 200, "ann");
    CHECK_INT(key_requests, 1);
    /* Made-up key ids do not make us ask again and again. */
    for (int i = 0; i < 5; i++)
        expect_jwt(sign(stranger, "ES256", "made-up", claims(GOOD, 60)), 401, "no key of the issuer");
    CHECK_INT(key_requests, 1);
    stop();
    key_set = "no keys";
    started(jwt_rules_of(NULL));
    expect_jwt(sign(rsa, "RS256", "r1", claims(GOOD, 60)), 503, "Retry-After: 10");
    CHECK_INT(key_requests, 2);
    stop();
    free(first);
}

TEST(key_sets_without_a_usable_key_are_refused)
{
    static const char *const bad[] = { "{}",
                                       "[]",
                                       "{\"keys\":[]}",
                                       "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
                                       "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
                                       "{\"keys\":{\"kty\":\"EC\"}}" };
    json_t                  *set = NULL;
    struct error             error;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK_EQ(jwt_read_keys(bytes_of_text(bad[i]), &set, &error), ST_INVALID_ARGUMENT);
    cjose_jwk_release(rsa);
    cjose_jwk_release(ec);
    cjose_jwk_release(stranger);
}
