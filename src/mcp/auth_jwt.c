/* auth_jwt.c: signed tokens of somebody else's authorization server. The signature is cjose's work; which key and which algorithm may be
 * used, and what the claims mean, is decided here.
 *
 * cjose is loaded when this mode is asked for: most servers never need it.
 */
#include <cjose/cjose.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "mcp/auth_internal.h"
#include "mcp/seal.h"

#define LIBRARY     "libcjose.so.0"
#define KEYS_MAX    64 /* of a set that are looked at */
#define PART_MAX    AUTH_BEARER_MAX
#define MODULUS_MIN 256 /* bytes: RSA of 2048 bits */
#define FUNCTIONS(X)                                                                                         \
    X(jwk_import)                                                                                            \
    X(jwk_release)                                                                                           \
    X(jws_import)                                                                                            \
    X(jws_verify)                                                                                            \
    X(jws_release)
#define MEMBER(name) __typeof__(cjose_##name) *name;
static struct {
    FUNCTIONS(MEMBER)
} cjose;
static pthread_once_t loading = PTHREAD_ONCE_INIT;
static bool           loaded;
static char           problem[256];

static bool find_function(void *library, const char *name, void *ret_function)
{
    void *symbol = dlsym(library, name);
    memcpy(ret_function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    loaded = library != NULL;
#define FIND(name) loaded = loaded && find_function(library, "cjose_" #name, &cjose.name);
    FUNCTIONS(FIND)
    if (!loaded) {
        const char *why = dlerror();
        snprintf(problem, sizeof problem, LIBRARY " cannot be loaded: %s", why == NULL ? "?" : why);
    }
}

enum status jwt_prepare(struct error *error)
{
    pthread_once(&loading, load);
    return loaded ? ST_OK : error_set(error, ST_UNAVAILABLE, "%s", problem);
}

/* --- keys --- */

static bool is_text(const json_t *object, const char *field, const char *text)
{
    return bytes_equal_text(json_text(json_object_get(object, field)), text);
}

static bool is_of(const json_t *key, const char *algorithm)
{
    struct buffer modulus = { 0 };
    bool          fits;
    if ((json_object_get(key, "use") != NULL && !is_text(key, "use", "sig")) ||
        (json_object_get(key, "alg") != NULL && !is_text(key, "alg", algorithm)))
        return false;
    if (strcmp(algorithm, "ES256") == 0)
        return is_text(key, "kty", "EC") && is_text(key, "crv", "P-256");
    fits = is_text(key, "kty", "RSA") && base64url_decode(json_text(json_object_get(key, "n")), &modulus) &&
           modulus.size >= MODULUS_MIN;
    buffer_release(&modulus);
    return fits;
}

enum status jwt_read_keys(struct bytes text, json_t **ret_key_set, struct error *error)
{
    struct error         why;
    JSON_CLEANUP json_t *set = NULL;
    size_t               usable = 0, index;
    json_t              *key;
    if (json_read(text, AUTH_FILE_SIZE_MAX, 0, &set, NULL, &why) != ST_OK)
        return error_set(error, ST_INVALID_ARGUMENT, "the key set is not JSON: %s", why.message);
    json_array_foreach(json_object_get(set, "keys"), index, key)
        usable += is_of(key, "RS256") || is_of(key, "ES256");
    if (usable == 0)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "the key set has no key for RS256 (2048 bits or more) or ES256");
    if (json_array_size(json_object_get(set, "keys")) > KEYS_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "the key set has more than %d keys", KEYS_MAX);
    *ret_key_set = TAKE_PTR(set);
    return ST_OK;
}

/* Only what is public and needed goes to the library: no secrets, no keys of other kinds. */
static char *print_key(const json_t *key)
{
    static const char *const fields[] = { "kty", "n", "e", "crv", "x", "y" };
    JSON_CLEANUP json_t     *copy = json_object();
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        json_t *value = json_object_get(key, fields[i]);
        if (json_is_string(value))
            json_object_set(copy, fields[i], value);
    }
    return json_dumps(copy, JSON_COMPACT);
}

static bool is_signed_by(struct bytes bearer, const json_t *key)
{
    cjose_err    error;
    char        *text = print_key(key);
    cjose_jwk_t *jwk = text == NULL ? NULL : cjose.jwk_import(text, strlen(text), &error);
    cjose_jws_t *jws = jwk == NULL ? NULL : cjose.jws_import((const char *)bearer.base, bearer.size, &error);
    bool         verified = jws != NULL && cjose.jws_verify(jws, jwk, &error);
    if (jws != NULL)
        cjose.jws_release(jws);
    if (jwk != NULL)
        cjose.jwk_release(jwk);
    free(text);
    return verified;
}

/* OK, UNAUTHENTICATED, or NOT_FOUND when no key could have been the one. */
static enum status check_signature(struct bytes bearer, const json_t *header, const json_t *key_set,
                                   struct error *error)
{
    const char  *algorithm = is_text(header, "alg", "RS256")   ? "RS256"
                             : is_text(header, "alg", "ES256") ? "ES256"
                                                               : NULL;
    struct bytes id = json_text(json_object_get(header, "kid"));
    size_t       index, tried = 0;
    json_t      *key;
    if (algorithm == NULL)
        return error_set(error, ST_UNAUTHENTICATED, "the token's algorithm is neither RS256 nor ES256");
    if (json_object_get(header, "crit") != NULL)
        return error_set(error, ST_UNAUTHENTICATED, "the token asks for extensions");
    json_array_foreach(json_object_get(key_set, "keys"), index, key)
    {
        if (!is_of(key, algorithm) ||
            (id.size != 0 && !bytes_equal(id, json_text(json_object_get(key, "kid")))))
            continue;
        tried++;
        if (is_signed_by(bearer, key))
            return ST_OK;
    }
    return tried == 0 ? error_set(error, ST_NOT_FOUND, "no key of the issuer is the token's")
                      : error_set(error, ST_UNAUTHENTICATED, "the token's signature is wrong");
}

/* --- claims --- */

static bool is_for(const json_t *audience, const char *own)
{
    size_t  index;
    json_t *one;
    if (bytes_equal_text(json_text(audience), own))
        return true;
    json_array_foreach(audience, index, one)
    {
        if (bytes_equal_text(json_text(one), own))
            return true;
    }
    return false;
}

static enum status check_times(const json_t *claims, int64_t now_ns, int64_t leeway_ns, struct error *error)
{
    const json_t *expires = json_object_get(claims, "exp"), *from = json_object_get(claims, "nbf");
    double        now_s = (double)now_ns / (double)NS_PER_S, leeway_s = (double)leeway_ns / (double)NS_PER_S;
    if (!json_is_number(expires) || (from != NULL && !json_is_number(from)))
        return error_set(error, ST_UNAUTHENTICATED, "the token does not say when it expires");
    if (json_number_value(expires) <= now_s - leeway_s)
        return error_set(error, ST_UNAUTHENTICATED, "the token has expired");
    if (from != NULL && json_number_value(from) > now_s + leeway_s)
        return error_set(error, ST_UNAUTHENTICATED, "the token is not valid yet");
    return ST_OK;
}

static bool read_scopes(const json_t *claims, const char *claim, struct caller *caller)
{
    const json_t *scope = json_object_get(claims, claim == NULL ? "scope" : claim);
    size_t        index;
    json_t       *one;
    if (scope == NULL && (claim == NULL || strcmp(claim, "scope") == 0))
        scope = json_object_get(claims, "scp");
    if (json_is_string(scope))
        return caller_add_scopes(caller, json_text(scope), " ");
    json_array_foreach(scope, index, one)
    {
        if (!json_is_string(one) || !caller_add_scopes(caller, json_text(one), " "))
            return false;
    }
    return true;
}

static enum status check_claims(const json_t *claims, const struct jwt_rules *rules, int64_t now_ns,
                                struct caller *caller, struct error *error)
{
    struct bytes name = json_text(json_object_get(claims, rules->caller_claim));
    if (!is_text(claims, "iss", rules->issuer))
        return error_set(error, ST_UNAUTHENTICATED, "the token is of another issuer");
    if (!is_for(json_object_get(claims, "aud"), rules->audience))
        return error_set(error, ST_UNAUTHENTICATED, "the token is for another audience");
    enum status status = check_times(claims, now_ns, rules->leeway_ns, error);
    if (status != ST_OK)
        return status;
    if (name.size == 0 || name.size > AUTH_NAME_MAX || bytes_has_nul(name))
        return error_set(error, ST_UNAUTHENTICATED, "the token does not name its caller");
    memset(caller, 0, sizeof *caller);
    memcpy(caller->name, name.base, name.size);
    if (!read_scopes(claims, rules->scope_claim, caller))
        return error_set(error, ST_UNAUTHENTICATED, "the token's scopes are too many or odd");
    return ST_OK;
}

static bool read_part(struct bytes text, json_t **ret_object)
{
    struct buffer raw = { 0 };
    struct error  ignored;
    bool          good = base64url_decode(text, &raw) &&
                json_read(buffer_bytes(&raw), PART_MAX, 0, ret_object, NULL, &ignored) == ST_OK;
    buffer_release(&raw);
    return good && json_is_object(*ret_object);
}

enum status jwt_check(struct bytes bearer, const struct jwt_rules *rules, const json_t *key_set,
                      int64_t now_ns, struct caller *ret_caller, struct error *error)
{
    JSON_CLEANUP json_t *header = NULL;
    JSON_CLEANUP json_t *second = NULL;
    const uint8_t       *dot = memchr(bearer.base, '.', bearer.size);
    const uint8_t       *end = bearer.base + bearer.size;
    const uint8_t       *last = dot == NULL ? NULL : memchr(dot + 1, '.', (size_t)(end - dot - 1));
    assert(loaded);
    if (last == NULL || memchr(last + 1, '.', (size_t)(end - last - 1)) != NULL ||
        !read_part(bytes_of(bearer.base, (size_t)(dot - bearer.base)), &header) ||
        !read_part(bytes_of(dot + 1, (size_t)(last - dot - 1)), &second))
        return error_set(error, ST_UNAUTHENTICATED, "the token is no JWT");
    enum status status = check_signature(bearer, header, key_set, error);
    return status != ST_OK ? status : check_claims(second, rules, now_ns, ret_caller, error);
}
