/* json.c: what jansson does not look at (depth, comments), places in a text, and the canonical form. */
#include "mcp/json.h"

#include <math.h>
#include <stdio.h>

#include "mcp/crypto.h"

/* The end of the string that begins at `at` (which holds its quote): behind its closing quote, or the end of the text. */
static size_t string_end(struct bytes text, size_t at)
{
    for (at++; at < text.size && text.base[at] != '"'; at++)
        if (text.base[at] == '\\')
            at++;
    return MIN(at + 1, text.size);
}

static struct json_place place_of(struct bytes text, size_t at)
{
    struct json_place place = { 1, 1 };
    for (size_t i = 0; i < at && i < text.size; i++) {
        place.column++;
        if (text.base[i] == '\n')
            place = (struct json_place){ place.line + 1, 1 };
    }
    return place;
}

/* Behind the comment that begins at `at`; `at` itself when none does; SIZE_MAX for one without an end. */
static size_t comment_end(struct bytes text, size_t at)
{
    if (at + 1 >= text.size || text.base[at] != '/')
        return at;
    if (text.base[at + 1] == '/') {
        const uint8_t *newline = memchr(text.base + at, '\n', text.size - at);
        return newline == NULL ? text.size : (size_t)(newline - text.base);
    }
    if (text.base[at + 1] != '*')
        return at;
    const uint8_t *close = memmem(text.base + at + 2, text.size - at - 2, "*/", 2);
    return close == NULL ? SIZE_MAX : (size_t)(close - text.base) + 2;
}

/* Writes spaces over comments, so that everything else stays where it is. */
static bool blank_comments(uint8_t *base, size_t size, size_t *ret_at)
{
    struct bytes text = bytes_of(base, size);
    for (size_t at = 0; at < size;) {
        if (base[at] == '"') {
            at = string_end(text, at);
            continue;
        }
        size_t end = comment_end(text, at);
        if (end == SIZE_MAX) {
            *ret_at = at;
            return false;
        }
        for (size_t i = at; i < end; i++)
            if (base[i] != '\n')
                base[i] = ' ';
        at = MAX(end, at + 1);
    }
    return true;
}

/* False: more is open at `ret_at` than may be. What is no JSON at all is left to jansson. */
static bool depth_is_fine(struct bytes text, size_t *ret_at)
{
    size_t depth = 0;
    for (size_t at = 0; at < text.size;) {
        switch (text.base[at]) {
        case '"':
            at = string_end(text, at);
            continue;
        case '[':
        case '{':
            if (++depth > JSON_DEPTH_MAX) {
                *ret_at = at;
                return false;
            }
            break;
        case ']':
        case '}':
            depth -= depth > 0;
            break;
        default:
            break;
        }
        at++;
    }
    return true;
}

/* jansson's words, without what it quotes of the text: that may be secret, and is cut anywhere. */
static enum status explain(const json_error_t *problem, struct bytes text, struct json_place *ret_where,
                           struct error *error)
{
    const char *words = problem->text, *near = strstr(problem->text, " near ");
    size_t      size = near == NULL ? strlen(words) : (size_t)(near - words);
    if (ret_where != NULL)
        *ret_where = place_of(text, problem->position > 0 ? (size_t)problem->position - 1 : 0);
    switch (json_error_code(problem)) {
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return error_set(error, ST_INVALID_ARGUMENT, "a NUL character, which strings here may not have");
    case json_error_numeric_overflow:
        return error_set(error, ST_INVALID_ARGUMENT, "a number that is too large");
    case json_error_invalid_utf8:
        return error_set(error, ST_INVALID_ARGUMENT, "text that is not well-formed UTF-8");
    case json_error_premature_end_of_input:
        return error_set(error, ST_INVALID_ARGUMENT, "the text ends too early");
    default:
        return error_set(error, ST_INVALID_ARGUMENT, "%.*s", (int)size, words);
    }
}

enum status json_read(struct bytes text, size_t size_max, unsigned flags, json_t **ret_value,
                      struct json_place *ret_where, struct error *error)
{
    json_error_t                          problem;
    size_t                                at = 0;
    CLEANUP(buffer_release) struct buffer copy = { 0 };
    if (ret_where != NULL)
        *ret_where = (struct json_place){ 0 };
    if (text.size > size_max)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "%zu bytes, and %zu may be", text.size, size_max);
    if (flags & JSON_WITH_COMMENTS && text.size > 0) {
        buffer_append(&copy, text);
        text = buffer_bytes(&copy);
        if (!blank_comments(copy.base, copy.size, &at)) {
            if (ret_where != NULL)
                *ret_where = place_of(text, at);
            return error_set(error, ST_INVALID_ARGUMENT, "a comment without an end");
        }
    }
    if (!depth_is_fine(text, &at)) {
        if (ret_where != NULL)
            *ret_where = place_of(text, at);
        return error_set(error, ST_INVALID_ARGUMENT, "more than %d arrays and objects within one another",
                         JSON_DEPTH_MAX);
    }
    json_t *value = json_loadb(text.size == 0 ? "" : (const char *)text.base, text.size,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (value == NULL)
        return explain(&problem, text, ret_where, error);
    *ret_value = value;
    return ST_OK;
}

/* --- places --- */

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static size_t skip_space(struct bytes text, size_t at)
{
    while (at < text.size && is_space(text.base[at]))
        at++;
    return at;
}

/* Behind the value that begins at `at`. */
static size_t skip_value(struct bytes text, size_t at)
{
    size_t depth = 0;
    while (at < text.size) {
        uint8_t byte = text.base[at];
        if (byte == '"') {
            at = string_end(text, at);
        } else if (byte == '[' || byte == '{') {
            depth++;
            at++;
        } else if (byte == ']' || byte == '}') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (depth == 0 && (byte == ',' || is_space(byte))) {
            return at;
        } else {
            at++;
            continue;
        }
        if (depth == 0)
            return at;
    }
    return at;
}

/* The next token of a pointer, unescaped; false: there is none. */
static bool pointer_next(struct bytes *pointer, struct buffer *token)
{
    if (pointer->size == 0 || pointer->base[0] != '/')
        return false;
    size_t i = 1;
    buffer_clear(token);
    for (; i < pointer->size && pointer->base[i] != '/'; i++) {
        uint8_t byte = pointer->base[i];
        if (byte == '~' && i + 1 < pointer->size) {
            i++;
            byte = pointer->base[i] == '1' ? '/' : '~';
        }
        buffer_append_byte(token, byte);
    }
    *pointer = bytes_of(pointer->base + i, pointer->size - i);
    return true;
}

/* A token as an index; SIZE_MAX: it is none. */
static size_t token_index(struct bytes token)
{
    size_t index = 0;
    if (token.size == 0 || token.size > 9 || (token.size > 1 && token.base[0] == '0'))
        return SIZE_MAX;
    for (size_t i = 0; i < token.size; i++) {
        if (token.base[i] < '0' || token.base[i] > '9')
            return SIZE_MAX;
        index = index * 10 + (size_t)(token.base[i] - '0');
    }
    return index;
}

static bool key_is(struct bytes key, struct bytes name)
{
    /* With its quotes; most keys have no escapes. */
    if (memchr(key.base, '\\', key.size) == NULL)
        return bytes_equal(bytes_of(key.base + 1, key.size - 2), name);
    JSON_CLEANUP json_t *decoded = json_loadb((const char *)key.base, key.size, JSON_DECODE_ANY, NULL);
    return bytes_equal(json_text(decoded), name);
}

/* Where the member begins (an object's: at its key), and its value; false: it has none of this name. */
static bool find_member(struct bytes text, size_t container, struct bytes name, size_t *ret_begin,
                        size_t *ret_value)
{
    bool   object = text.base[container] == '{';
    size_t at = skip_space(text, container + 1), index = 0, wanted = token_index(name);
    if (!object && text.base[container] != '[')
        return false;
    while (at < text.size && text.base[at] != '}' && text.base[at] != ']') {
        size_t begin = at;
        bool   found = index++ == wanted;
        if (object) {
            size_t end = string_end(text, at);
            found = key_is(bytes_of(text.base + at, end - at), name);
            at = skip_space(text, skip_space(text, end) + 1); /* the colon */
        }
        if (found) {
            *ret_begin = begin;
            *ret_value = at;
            return true;
        }
        at = skip_space(text, skip_value(text, at));
        if (at < text.size && text.base[at] == ',')
            at = skip_space(text, at + 1);
    }
    return false;
}

struct json_place json_locate(struct bytes text, unsigned flags, const char *pointer)
{
    CLEANUP(buffer_release) struct buffer copy = { 0 }, token = { 0 };
    struct bytes                          path = bytes_of_text(pointer);
    size_t                                ignored;
    buffer_append(&copy, text);
    if (flags & JSON_WITH_COMMENTS && !blank_comments(copy.base, copy.size, &ignored))
        return (struct json_place){ 0 };
    text = buffer_bytes(&copy);
    size_t value = skip_space(text, 0), begin = value;
    while (value < text.size && pointer_next(&path, &token))
        if (!find_member(text, value, buffer_bytes(&token), &begin, &value))
            break;
    return place_of(text, begin);
}

/* --- pointers --- */

void json_pointer_append(struct buffer *pointer, struct bytes token)
{
    buffer_append_byte(pointer, '/');
    for (size_t i = 0; i < token.size; i++) {
        if (token.base[i] == '~' || token.base[i] == '/')
            buffer_append_text(pointer, token.base[i] == '~' ? "~0" : "~1");
        else
            buffer_append_byte(pointer, token.base[i]);
    }
}

void json_pointer_append_index(struct buffer *pointer, size_t index)
{
    buffer_printf(pointer, "/%zu", index);
}

json_t *json_pointer_get(json_t *root, struct bytes pointer)
{
    CLEANUP(buffer_release) struct buffer token = { 0 };
    while (root != NULL && pointer_next(&pointer, &token)) {
        if (json_is_array(root))
            root = json_array_get(root, token_index(buffer_bytes(&token)));
        else
            root = json_object_getn(root, token.base == NULL ? "" : (const char *)token.base, token.size);
    }
    return pointer.size == 0 ? root : NULL;
}

/* --- the canonical form --- */

struct canonical_key {
    struct bytes  name;
    const json_t *value;
};
/* An array or object whose members are being written. */
struct canonical_open {
    const json_t         *container;
    struct canonical_key *keys; /* of an object, sorted */
    size_t                next, count;
};

static int compare_keys(const void *a, const void *b)
{
    return bytes_compare(((const struct canonical_key *)a)->name, ((const struct canonical_key *)b)->name);
}

static void put_number(const json_t *value, struct buffer *to)
{
    if (json_is_integer(value)) {
        buffer_printf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return;
    }
    double number = json_real_value(value);
    char   text[40];
    if (number == 0)
        number = 0; /* without a sign */
    if (rint(number) == number && fabs(number) < 0x1p63) {
        buffer_printf(to, "%" PRId64, (int64_t)number);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    buffer_append_text(to, text);
}

static void put_text(struct bytes text, struct buffer *to)
{
    buffer_append_byte(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.base[i];
        if (byte < 0x20) {
            buffer_printf(to, "\\u%04x", byte);
            continue;
        }
        if (byte == '"' || byte == '\\')
            buffer_append_byte(to, '\\');
        buffer_append_byte(to, byte);
    }
    buffer_append_byte(to, '"');
}

static void open_container(struct canonical_open *open, const json_t *container)
{
    *open = (struct canonical_open){ .container = container };
    if (json_is_array(container)) {
        open->count = json_array_size(container);
        return;
    }
    open->count = json_object_size(container);
    open->keys = xcalloc(MAX(open->count, (size_t)1), sizeof *open->keys);
    size_t index = 0;
    /* jansson takes a pointer to what may change for iterators only. */
    json_t *object = (json_t *)(uintptr_t)container;
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at))
        open->keys[index++] = (struct canonical_key){
            bytes_of(json_object_iter_key(at), json_object_iter_key_len(at)), json_object_iter_value(at)
        };
    assert(index == open->count);
    qsort(open->keys, open->count, sizeof *open->keys, compare_keys);
}

/* Writes what stands before the next member, which is returned; NULL after the last. */
static const json_t *next_member(struct canonical_open *open, struct buffer *to)
{
    if (open->next == open->count)
        return NULL;
    if (open->next > 0)
        buffer_append_byte(to, ',');
    size_t index = open->next++;
    if (open->keys == NULL)
        return json_array_get(open->container, index);
    put_text(open->keys[index].name, to);
    buffer_append_byte(to, ':');
    return open->keys[index].value;
}

static void put_scalar(const json_t *value, struct buffer *to)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        put_text(json_text(value), to);
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        put_number(value, to);
        break;
    default:
        buffer_append_text(to, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
    }
}

bool json_canonical(const json_t *value, struct buffer *to)
{
    struct canonical_open stack[JSON_DEPTH_MAX];
    size_t                depth = 0;
    while (true) {
        if (json_is_array(value) || json_is_object(value)) {
            if (depth == JSON_DEPTH_MAX)
                break;
            open_container(&stack[depth++], value);
            buffer_append_byte(to, json_is_array(value) ? '[' : '{');
        } else {
            put_scalar(value, to);
        }
        while (depth > 0 && (value = next_member(&stack[depth - 1], to)) == NULL) {
            buffer_append_byte(to, json_is_array(stack[depth - 1].container) ? ']' : '}');
            free(stack[--depth].keys);
        }
        if (depth == 0)
            return true;
    }
    while (depth > 0)
        free(stack[--depth].keys);
    return false;
}

bool json_digest(const json_t *value, uint8_t ret_digest[JSON_DIGEST_SIZE])
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    if (!json_canonical(value, &text))
        return false;
    crypto_sha256(buffer_bytes(&text), ret_digest);
    return true;
}

bool json_same(const json_t *a, const json_t *b)
{
    bool numbers = json_is_number(a) && json_is_number(b);
    if (a == b)
        return true;
    if (json_typeof(a) != json_typeof(b) && !numbers)
        return false;
    if (json_is_string(a))
        return bytes_equal(json_text(a), json_text(b));
    CLEANUP(buffer_release) struct buffer text_a = { 0 }, text_b = { 0 };
    return json_canonical(a, &text_a) && json_canonical(b, &text_b) &&
           bytes_equal(buffer_bytes(&text_a), buffer_bytes(&text_b));
}
