/* auth_internal.h: the parts of auth: the tokens file, JWTs and their keys, callers' rates. */
#ifndef MCP_AUTH_INTERNAL_H
#define MCP_AUTH_INTERNAL_H
#include <sys/stat.h>
#include <time.h>

#include "base/table.h"
#include "mcp/auth.h"
#include "mcp/json.h"

#define AUTH_FILE_SIZE_MAX ((size_t)4 << 20)

/* A file that is looked at once a second and read again when it has changed. */
struct watched_file {
    char       *path;
    struct stat seen;
    int64_t     look_due;
};
/* Whether it is to be read now: its time has come and it is another file than the one that was seen. */
bool watched_file_changed(struct watched_file *file, int64_t now_ns);
/* Reads it whole and notes which it was. */
enum status watched_file_read(struct watched_file *file, struct buffer *ret_text,
                              struct error *error) MUST_USE;

/* --- auth_tokens.c --- */
struct tokens; /* what a tokens file says */
enum status tokens_parse(struct bytes text, const char *path, struct tokens **ret_tokens,
                         struct error *error) MUST_USE;
void        tokens_free(struct tokens *tokens);
/* False: no such token. Takes as long for every token that is none. */
bool tokens_find(const struct tokens *tokens, struct bytes bearer, struct caller *ret_caller) MUST_USE;
/* Adds the scopes of a list with one of `separators` between them; false: too many, or one is too long or odd. */
bool caller_add_scopes(struct caller *caller, struct bytes list, const char *separators) MUST_USE;

/* --- auth_jwt.c --- */
struct jwt_rules {
    const char *issuer, *audience, *caller_claim, *scope_claim;
    int64_t     leeway_ns;
};
/* Loads the library of JOSE, which only this mode needs: UNAVAILABLE says what is missing. */
enum status jwt_prepare(struct error *error) MUST_USE;
/* OK; UNAUTHENTICATED with words for the client; NOT_FOUND: no key of the set is the token's, which a newer set may have. */
enum status jwt_check(struct bytes bearer, const struct jwt_rules *rules, const json_t *key_set,
                      int64_t now_ns, struct caller *ret_caller, struct error *error) MUST_USE;
/* A set with at least one key that could be used, as a new reference. */
enum status jwt_read_keys(struct bytes text, json_t **ret_key_set, struct error *error) MUST_USE;

/* --- auth_rate.c --- */
struct rates {
    struct table table;
    struct list  by_use; /* the one that was not seen for longest is first */
    uint32_t     rate, burst;
};
void rates_init(struct rates *rates, uint32_t rate, uint32_t burst);
void rates_release(struct rates *rates);
/* Takes one request of the caller's allowance. False: `ret_wait_s` says when to come again. */
bool rates_take(struct rates *rates, const char *name, int64_t now_ns, uint32_t *ret_wait_s) MUST_USE;
#endif
