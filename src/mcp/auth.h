/* auth.h: who calls the gateway, and whether they may: Host and Origin, bearer tokens, JWTs, scopes, rates.
 *
 * auth_check is the first thing done with every request to the gateway. It may have to wait (a key set that is fetched), so it
 * answers by a callback; it answers refusals itself, with the status and headers that RFC 6750 and RFC 9728 ask for.
 *
 * Owns:    the list of tokens and the key set, reloaded when their files change; the table of callers' rates.
 * Thread:  the web's, all of it.
 * Durable: nothing.
 * Limits:  AUTH_* below. A token in the query is refused, so that it does not end in logs.
 * Secret:  tokens are kept as SHA-256 and compared in constant time; no token is ever logged.
 */
#ifndef MCP_AUTH_H
#define MCP_AUTH_H
#include "base/base.h"
#include "mcp/config.h" /* enum auth_mode */
#include "web/http.h"

#define AUTH_NAME_MAX    256   /* of a caller, in bytes */
#define AUTH_SCOPES_MAX  32    /* of a caller */
#define AUTH_SCOPE_MAX   64    /* bytes of one */
#define AUTH_TOKENS_MAX  10000 /* in a tokens file */
#define AUTH_BEARER_MAX  8192  /* bytes of what a client may send as its token */
#define AUTH_ORIGINS_MAX 64
#define AUTH_CALLERS_MAX 16384 /* whose rate is remembered; the one that was seen longest ago is forgotten */
#define AUTH_ANONYMOUS   "anonymous" /* the caller of mode none */

struct auth_rules {
    enum auth_mode     mode;
    const char        *tokens_file;              /* AUTH_TOKENS */
    const char        *issuer, *audience, *jwks; /* AUTH_JWT; jwks is a file's path or an http(s) URL */
    const char        *caller_claim;             /* NULL: "sub" */
    const char        *scope_claim;              /* NULL: "scope"; of that, "scp" when it is missing */
    const char *const *authorization_servers;    /* of the metadata; none: the issuer */
    size_t             authorization_server_count;
    const char *const *scopes; /* that every caller must have */
    size_t             scope_count;
    const char *const *
        origins; /* "https://host", "http://localhost:*"; none: those of the loopback, on a loopback listener */
    size_t origin_count;
    const char *const *
        hosts; /* names allowed in Host besides those of the loopback; "*": any. None: any, unless `loopback` */
    size_t      host_count;
    const char *resource;        /* the URL of /mcp as clients know it; NULL: from the Host header */
    uint32_t    rate;            /* requests per second and caller; 0: no bound */
    uint32_t    burst;           /* 0: twice the rate */
    int64_t     leeway_ns;       /* of exp and nbf; 0: 60 s */
    int64_t     jwks_refresh_ns; /* 0: 10 min */
    bool        loopback;        /* the listener's: mode none is refused without it, Host checked with it */
};

/* Who calls. A copy may be kept. */
struct caller {
    char   name[AUTH_NAME_MAX + 1]; /* the token's name, or the JWT's sub; unique within its mode */
    size_t scope_count;
    char   scopes[AUTH_SCOPES_MAX][AUTH_SCOPE_MAX + 1];
    bool   everything; /* mode none, or a token with the scope "*" */
};
bool caller_has_scope(const struct caller *caller, const char *scope);

struct auth;
/* Everything is copied. INVALID_ARGUMENT, with words for the operator: mode none without loopback, a file that cannot be read or has a
 * wrong line (which is named), an origin that is none. */
enum status auth_new(const struct auth_rules *rules, struct loop *loop, struct auth **ret_auth,
                     struct error *error) MUST_USE;
/* Nothing may wait any more: exchanges are closed first (web_stop). NULL is fine. */
void auth_free(struct auth *auth);

/* Checks Host, Origin, the bearer token and the caller's rate. When all is well `allowed` is called, at once or later, on the same
 * thread; `caller` lives during the call. Otherwise the exchange is answered here (400, 401, 403, 429, 503) and `allowed` is not
 * called. Until then the exchange is auth's (it uses on_close and user).
 * `scope` (may be NULL; lives until then) is what the caller must have: 401 and 403 name it. */
void auth_check(struct auth *auth, struct http_exchange *exchange, const char *scope,
                void (*allowed)(void *context, struct http_exchange *exchange, const struct caller *caller),
                void *context);
/* One more request of the caller's allowance, where one exchange brings several; false: there is none left now. */
bool auth_take(struct auth *auth, const struct caller *caller) MUST_USE;
/* A scope that turned out to be needed later (of the tool that is called): true, or the exchange was answered with 403. */
bool auth_demand(struct auth *auth, struct http_exchange *exchange, const struct caller *caller,
                 const char *scope) MUST_USE;
/* The headers that let a page of an allowed origin read the answer (Access-Control-*, Vary), for an exchange that auth_check let
 * through: how many were written to `ret_headers`. Their values live as long as the exchange's request. */
#define AUTH_CORS_HEADERS 3
size_t auth_cors_headers(struct auth *auth, const struct http_exchange *exchange,
                         struct http_header ret_headers[AUTH_CORS_HEADERS]);
/* Answers OPTIONS, the question browsers ask first. */
void auth_answer_preflight(struct auth *auth, struct http_exchange *exchange);
/* GET /.well-known/oauth-protected-resource and what is below it (RFC 9728); 404 unless the mode is jwt. `scopes` are all that tools ask for. */
void auth_answer_metadata(struct auth *auth, struct http_exchange *exchange, const char *const *scopes,
                          size_t scope_count);

/* `perdure mcp token NAME`: a new token of 256 bits, and the line for the tokens file, "NAME SHA256-HEX SCOPE,…". */
#define AUTH_TOKEN_SIZE 64
enum status auth_token_make(const char *name, const char *scopes, char ret_token[AUTH_TOKEN_SIZE],
                            struct buffer *ret_line, struct error *error) MUST_USE;
#endif
