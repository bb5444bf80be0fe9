/* auth_tokens.c: the file of hashed tokens, and how one is made. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "mcp/auth_internal.h"
#include "mcp/crypto.h"
#include "mcp/seal.h"

#define DIGEST_SIZE  CRYPTO_DIGEST_SIZE
#define TOKEN_PREFIX "pdt_"
#define LOOK_NS      NS_PER_S

/* --- files --- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool watched_file_changed(struct watched_file *file, int64_t now_ns)
{
    struct stat now;
    if (now_ns < file->look_due)
        return false;
    file->look_due = now_ns + LOOK_NS;
    return stat(file->path, &now) == 0 && !is_same(&now, &file->seen);
}

enum status watched_file_read(struct watched_file *file, struct buffer *ret_text, struct error *error)
{
    int     fd = open(file->path, O_RDONLY | O_CLOEXEC);
    ssize_t size = -1;
    if (fd >= 0 && fstat(fd, &file->seen) == 0) {
        do {
            size = read(fd, buffer_reserve(ret_text, 65536), 65536);
            ret_text->size += size > 0 ? (size_t)size : 0;
        } while (size > 0 && ret_text->size <= AUTH_FILE_SIZE_MAX);
    }
    int reason = errno;
    if (fd >= 0)
        close(fd);
    if (size < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "%s: %s", file->path, strerror(reason));
    if (ret_text->size > AUTH_FILE_SIZE_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "%s is larger than 4 MiB", file->path);
    return ST_OK;
}

/* --- the tokens file --- */

struct token {
    uint8_t digest[DIGEST_SIZE];
    char   *name, *scopes;
};
struct tokens {
    size_t       count;
    struct token token[];
};

static bool is_scope_byte(uint8_t byte)
{
    return byte > ' ' && byte < 0x7F && byte != '"' && byte != '\\' && byte != ',';
}

bool caller_add_scopes(struct caller *caller, struct bytes list, const char *separators)
{
    size_t at = 0;
    while (at < list.size) {
        size_t begin = at;
        while (at < list.size && (list.base[at] == 0 || strchr(separators, list.base[at]) == NULL))
            at++;
        struct bytes scope = bytes_of(list.base + begin, at - begin);
        at++;
        if (scope.size == 0)
            continue;
        if (caller->scope_count == AUTH_SCOPES_MAX || scope.size > AUTH_SCOPE_MAX)
            return false;
        for (size_t i = 0; i < scope.size; i++) {
            if (!is_scope_byte(scope.base[i]))
                return false;
        }
        memcpy(caller->scopes[caller->scope_count], scope.base, scope.size);
        caller->scopes[caller->scope_count++][scope.size] = '\0';
    }
    return true;
}

static bool read_hex(struct bytes text, uint8_t ret_digest[DIGEST_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    if (text.size != 2 * (size_t)DIGEST_SIZE)
        return false;
    memset(ret_digest, 0, DIGEST_SIZE);
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = text.base[i] == 0 ? NULL : strchr(digits, text.base[i]);
        if (digit == NULL)
            return false;
        ret_digest[i / 2] = (uint8_t)(ret_digest[i / 2] << 4 | (digit - digits));
    }
    return true;
}

static bool is_name(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.base[i] <= ' ' || name.base[i] == 0x7F)
            return false;
    }
    return name.size != 0 && name.size <= AUTH_NAME_MAX && bytes_is_utf8(name);
}

static struct bytes next_word(struct bytes *line)
{
    size_t begin = 0;
    while (begin < line->size && (line->base[begin] == ' ' || line->base[begin] == '\t'))
        begin++;
    size_t end = begin;
    while (end < line->size && line->base[end] != ' ' && line->base[end] != '\t')
        end++;
    struct bytes word = bytes_of(line->base + begin, end - begin);
    *line = bytes_of(line->base + end, line->size - end);
    return word;
}

static char *text_of(struct bytes bytes)
{
    char *text = xmalloc(bytes.size + 1);
    if (bytes.size != 0)
        memcpy(text, bytes.base, bytes.size);
    text[bytes.size] = '\0';
    return text;
}

/* NULL when the line is one; otherwise what is wrong with it. */
static const char *parse_line(struct bytes line, struct token *token)
{
    struct bytes  name = next_word(&line), digest = next_word(&line), scopes = next_word(&line);
    struct caller trial = { 0 };
    if (!is_name(name))
        return "a name (printable, at most 256 bytes) is expected first";
    if (!read_hex(digest, token->digest))
        return "64 hexadecimal digits in lower case are expected after the name";
    if (!caller_add_scopes(&trial, scopes, ",") || next_word(&line).size != 0)
        return "at most one list of scopes with commas, and nothing else, may follow the digest";
    token->name = text_of(name);
    token->scopes = text_of(scopes);
    return NULL;
}

static bool is_taken(const struct tokens *tokens, const struct token *token)
{
    for (size_t i = 0; i < tokens->count; i++) {
        if (memcmp(tokens->token[i].digest, token->digest, DIGEST_SIZE) == 0)
            return true;
    }
    return false;
}

enum status tokens_parse(struct bytes text, const char *path, struct tokens **ret_tokens, struct error *error)
{
    size_t line_count = 1;
    for (size_t i = 0; i < text.size; i++)
        line_count += text.base[i] == '\n';
    if (line_count > 2 * (size_t)AUTH_TOKENS_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "%s has more than %d lines", path, 2 * AUTH_TOKENS_MAX);
    struct tokens *tokens = xcalloc(1, sizeof *tokens + line_count * sizeof tokens->token[0]);
    for (size_t at = 0, number = 1; at < text.size; number++) {
        size_t end = at;
        while (end < text.size && text.base[end] != '\n')
            end++;
        struct bytes line = bytes_of(text.base + at, end - at), look = line;
        at = end + 1;
        if (line.size != 0 && line.base[line.size - 1] == '\r')
            line.size--;
        struct bytes first = next_word(&look);
        if (first.size == 0 || first.base[0] == '#' || (first.size == 1 && first.base[0] == '\r'))
            continue;
        const char *wrong = tokens->count == AUTH_TOKENS_MAX
                                ? "there are too many tokens"
                                : parse_line(line, &tokens->token[tokens->count]);
        if (wrong == NULL && is_taken(tokens, &tokens->token[tokens->count])) {
            tokens->count++;
            wrong = "this token is there already";
        }
        if (wrong != NULL) {
            tokens_free(tokens);
            return error_set(error, ST_INVALID_ARGUMENT, "%s:%zu: %s", path, number, wrong);
        }
        tokens->count++;
    }
    *ret_tokens = tokens;
    return ST_OK;
}

void tokens_free(struct tokens *tokens)
{
    if (tokens == NULL)
        return;
    for (size_t i = 0; i < tokens->count; i++) {
        free(tokens->token[i].name);
        free(tokens->token[i].scopes);
    }
    free(tokens);
}

bool tokens_find(const struct tokens *tokens, struct bytes bearer, struct caller *ret_caller)
{
    uint8_t digest[DIGEST_SIZE];
    size_t  found = SIZE_MAX;
    crypto_sha256(bearer, digest);
    /* All are compared, whatever the first ones say. */
    for (size_t i = 0; i < tokens->count; i++) {
        if (crypto_equal(tokens->token[i].digest, digest, DIGEST_SIZE))
            found = i;
    }
    if (found == SIZE_MAX)
        return false;
    const struct token *token = &tokens->token[found];
    memcpy(ret_caller->name, token->name, strlen(token->name) + 1);
    ret_caller->scope_count = 0;
    ret_caller->everything = false;
    bool fits = caller_add_scopes(ret_caller, bytes_of_text(token->scopes), ",");
    assert(fits); /* it was tried when the file was read */
    for (size_t i = 0; i < ret_caller->scope_count; i++)
        ret_caller->everything |= strcmp(ret_caller->scopes[i], "*") == 0;
    return fits;
}

enum status auth_token_make(const char *name, const char *scopes, char ret_token[AUTH_TOKEN_SIZE],
                            struct buffer *ret_line, struct error *error)
{
    uint8_t       raw[SEAL_KEY_SIZE], digest[DIGEST_SIZE];
    struct caller trial = { 0 };
    struct buffer text = { 0 };
    if (!is_name(bytes_of_text(name)) || name[0] == '#')
        return error_set(error, ST_INVALID_ARGUMENT, "a token's name is printable text without spaces");
    if (scopes != NULL &&
        (strchr(scopes, ' ') != NULL || !caller_add_scopes(&trial, bytes_of_text(scopes), ",")))
        return error_set(error, ST_INVALID_ARGUMENT, "scopes are words with commas between them");
    enum status status = crypto_prepare(error);
    if (status != ST_OK)
        return status;
    seal_key_make(raw);
    buffer_append_text(&text, TOKEN_PREFIX);
    base64url_encode(bytes_of(raw, sizeof raw), &text);
    crypto_sha256(buffer_bytes(&text), digest);
    buffer_append_byte(&text, '\0');
    static_assert(sizeof TOKEN_PREFIX + (SEAL_KEY_SIZE + 2) / 3 * 4 <= AUTH_TOKEN_SIZE, "a token fits");
    memcpy(ret_token, text.base, text.size);
    explicit_bzero(text.base, text.size);
    explicit_bzero(raw, sizeof raw);
    buffer_release(&text);
    buffer_printf(ret_line, "%s ", name);
    for (size_t i = 0; i < DIGEST_SIZE; i++)
        buffer_printf(ret_line, "%02x", digest[i]);
    if (scopes != NULL && scopes[0] != '\0')
        buffer_printf(ret_line, " %s", scopes);
    return ST_OK;
}
