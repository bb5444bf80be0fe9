/* template.c: strings to parts once, parts to texts and values for each call.
 *
 * A value's template is a tree like the value. Both walks over it call themselves; what json_read took is at most
 * JSON_DEPTH_MAX deep, and anything deeper is refused when it is compiled.
 */
#include "mcp/template.h"

#include <math.h>
#include <stdio.h>

#include "base/arena.h"

#define FILTERS_MAX 8
#define NAMES_MAX   16

enum part_kind { PART_LITERAL, PART_PATH, PART_CALLER, PART_TOOL, PART_HASH, PART_UUID };
enum filter_kind { FILTER_LOWER, FILTER_UPPER, FILTER_SLUG, FILTER_FIXED, FILTER_DEFAULT };

struct filter {
    enum filter_kind kind;
    struct bytes     text;   /* of default */
    enum part_kind   source; /* of default: PART_LITERAL is the text */
    int              digits;
};
struct part {
    enum part_kind kind;
    struct bytes   text;  /* a literal; else the placeholder as it is written */
    struct bytes  *names; /* of a path; none: all arguments */
    size_t         name_count;
    struct filter  filters[FILTERS_MAX];
    size_t         filter_count;
    uint8_t        before, after; /* of the caller in an id: its separators, 0 at an end */
};
struct value_node {
    const json_t      *constant; /* else a string of parts, or members */
    struct part       *parts;
    size_t             part_count;
    const char       **keys; /* of an object; NULL for an array */
    struct value_node *members;
    size_t             member_count;
};
struct template
{
    struct arena       arena;
    json_t            *source;
    enum template_kind kind;
    struct value_node  root;
    bool               names_caller;
};
struct template_compiler {
    struct template *template;
    const struct schema *input;
    struct error        *error;
};

/* --- compiling --- */

static const struct {
    const char    *name;
    enum part_kind kind;
} builtins[] = {
    { "caller", PART_CALLER }, { "tool", PART_TOOL }, { "hash", PART_HASH }, { "uuid", PART_UUID }
};

static enum part_kind builtin_named(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(builtins); i++)
        if (bytes_equal_text(name, builtins[i].name))
            return builtins[i].kind;
    return PART_PATH;
}

static enum status compile_filter(struct template_compiler *compiler, struct bytes text, struct part *part)
{
    static const char *const names[] = { "lower", "upper", "slug" };
    if (part->filter_count == FILTERS_MAX)
        return error_set(compiler->error, ST_INVALID_ARGUMENT, "more than %d filters in {%.*s}", FILTERS_MAX,
                         BYTES_FMT(part->text));
    struct filter *filter = &part->filters[part->filter_count++];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (bytes_equal_text(text, names[i])) {
            filter->kind = (enum filter_kind)(FILTER_LOWER + i);
            return ST_OK;
        }
    if (bytes_starts_with(text, BYTES("default:"))) {
        filter->kind = FILTER_DEFAULT;
        filter->text = bytes_of(text.base + 8, text.size - 8);
        filter->source = builtin_named(filter->text);
        if (filter->source == PART_PATH)
            filter->source = PART_LITERAL;
        return ST_OK;
    }
    if (bytes_starts_with(text, BYTES("fixed:")) && text.size == 7 && text.base[6] >= '0' &&
        text.base[6] <= '9') {
        filter->kind = FILTER_FIXED;
        filter->digits = text.base[6] - '0';
        return ST_OK;
    }
    return error_set(compiler->error, ST_INVALID_ARGUMENT,
                     "{%.*s}: the filters are lower, upper, slug, fixed:0 to fixed:9 and default:TEXT",
                     BYTES_FMT(part->text));
}

/* The path before the first filter: names with dots between them. */
static enum status compile_path(struct template_compiler *compiler, struct bytes path, struct part *part)
{
    struct bytes names[NAMES_MAX];
    size_t       count = 0, begin = 0;
    part->kind = builtin_named(path);
    if (part->kind != PART_PATH)
        return ST_OK;
    for (size_t i = 0; i <= path.size; i++) {
        if (i < path.size && path.base[i] != '.')
            continue;
        if (i == begin || count == NAMES_MAX)
            return error_set(compiler->error, ST_INVALID_ARGUMENT,
                             "{%.*s}: names with dots between them are wanted, %d at most",
                             BYTES_FMT(part->text), NAMES_MAX);
        names[count++] = bytes_of(path.base + begin, i - begin);
        begin = i + 1;
    }
    size_t skipped = bytes_equal_text(names[0], "@"); /* the arguments as a whole */
    part->name_count = count - skipped;
    part->names = ARENA_NEW_ARRAY(&compiler->template->arena, struct bytes, MAX(part->name_count, (size_t)1));
    memcpy(part->names, names + skipped, part->name_count * sizeof *names);
    if (compiler->input != NULL &&
        schema_has_path(compiler->input, part->names, part->name_count) == SCHEMA_NO)
        return error_set(compiler->error, ST_INVALID_ARGUMENT, "{%.*s}: the input has no such field",
                         BYTES_FMT(part->text));
    return ST_OK;
}

static enum status compile_placeholder(struct template_compiler *compiler, struct bytes text,
                                       struct part *part)
{
    size_t      begin = 0, index = 0;
    enum status status = ST_OK;
    *part = (struct part){ .text = text };
    for (size_t i = 0; i <= text.size && status == ST_OK; i++) {
        if (i < text.size && text.base[i] != '|')
            continue;
        struct bytes piece = bytes_of(text.base + begin, i - begin);
        status = index++ == 0 ? compile_path(compiler, piece, part) : compile_filter(compiler, piece, part);
        begin = i + 1;
    }
    compiler->template->names_caller |= part->kind == PART_CALLER;
    return status;
}

/* The literal from `at`, its doubled braces undone, up to a placeholder or the end. */
static enum status compile_literal(struct template_compiler *compiler, struct bytes text, size_t *at,
                                   struct part *part)
{
    uint8_t *to = arena_must(arena_alloc(&compiler->template->arena, text.size - *at + 1));
    size_t   size = 0;
    for (; *at < text.size; ++*at) {
        uint8_t byte = text.base[*at];
        bool    twice = *at + 1 < text.size && text.base[*at + 1] == byte;
        if ((byte == '{' || byte == '}') && !twice) {
            if (byte == '{')
                break;
            return error_set(compiler->error, ST_INVALID_ARGUMENT,
                             "a } without its { (a brace is written }})");
        }
        *at += byte == '{' || byte == '}';
        to[size++] = byte;
    }
    *part = (struct part){ .kind = PART_LITERAL, .text = bytes_of(to, size) };
    return ST_OK;
}

/* The caller's name must not run into what stands beside it. */
static enum status compile_separators(struct template_compiler *compiler, struct value_node *node)
{
    for (size_t i = 0; i < node->part_count; i++) {
        struct part *part = &node->parts[i];
        if (part->kind != PART_CALLER)
            continue;
        struct part *before = i == 0 ? NULL : part - 1, *after = i + 1 == node->part_count ? NULL : part + 1;
        if (part->filter_count > 0)
            return error_set(compiler->error, ST_INVALID_ARGUMENT,
                             "{caller} in an id takes no filters: two callers could become one");
        if ((before != NULL && before->kind != PART_LITERAL) ||
            (after != NULL && after->kind != PART_LITERAL))
            return error_set(
                compiler->error, ST_INVALID_ARGUMENT,
                "{caller} in an id needs a separator beside it, as in \"chat-{caller}-{topic}\"");
        part->before = before == NULL ? 0 : before->text.base[before->text.size - 1];
        part->after = after == NULL ? 0 : after->text.base[0];
        if (part->before >= 0x80 || part->after >= 0x80)
            return error_set(compiler->error, ST_INVALID_ARGUMENT,
                             "the separators of {caller} must be ASCII");
    }
    return ST_OK;
}

static enum status compile_string(struct template_compiler *compiler, const json_t *source,
                                  struct value_node *node)
{
    struct part  parts[TEMPLATE_PARTS_MAX];
    struct bytes text = json_text(source);
    enum status  status = ST_OK;
    size_t       count = 0;
    for (size_t at = 0; at < text.size && status == ST_OK; count++) {
        bool placeholder = text.base[at] == '{' && !(at + 1 < text.size && text.base[at + 1] == '{');
        if (count == TEMPLATE_PARTS_MAX)
            return error_set(compiler->error, ST_INVALID_ARGUMENT, "more than %d placeholders and texts",
                             TEMPLATE_PARTS_MAX);
        if (!placeholder) {
            status = compile_literal(compiler, text, &at, &parts[count]);
            continue;
        }
        const uint8_t *end = memchr(text.base + at, '}', text.size - at);
        if (end == NULL)
            return error_set(compiler->error, ST_INVALID_ARGUMENT,
                             "a { without its } (a brace is written {{)");
        size_t size = (size_t)(end - text.base) - at - 1;
        status = compile_placeholder(compiler, bytes_of(text.base + at + 1, size), &parts[count]);
        at += size + 2;
    }
    if (status != ST_OK)
        return status;
    node->parts = ARENA_NEW_ARRAY(&compiler->template->arena, struct part, MAX(count, (size_t)1));
    memcpy(node->parts, parts, count * sizeof *parts);
    node->part_count = count;
    return compiler->template->kind == TEMPLATE_ID ? compile_separators(compiler, node) : ST_OK;
}

static enum status compile_value(struct template_compiler *compiler, const json_t *source,
                                 struct value_node *node, size_t depth)
{
    struct arena *arena = &compiler->template->arena;
    size_t        index = 0;
    const char   *key;
    json_t       *member;
    enum status   status = ST_OK;
    *node = (struct value_node){ 0 };
    if (depth > JSON_DEPTH_MAX)
        return error_set(compiler->error, ST_INVALID_ARGUMENT, "a value that is too deep");
    if (json_is_string(source))
        return compile_string(compiler, source, node);
    if (!json_is_array(source) && !json_is_object(source)) {
        node->constant = source;
        return ST_OK;
    }
    node->member_count = json_is_array(source) ? json_array_size(source) : json_object_size(source);
    node->members = ARENA_NEW_ARRAY(arena, struct value_node, MAX(node->member_count, (size_t)1));
    for (; json_is_array(source) && index < node->member_count && status == ST_OK; index++)
        status = compile_value(compiler, json_array_get(source, index), &node->members[index], depth + 1);
    if (json_is_array(source))
        return status;
    node->keys = ARENA_NEW_ARRAY(arena, const char *, MAX(node->member_count, (size_t)1));
    json_object_foreach((json_t *)(uintptr_t)source, key, member)
    {
        node->keys[index] = key;
        status = compile_value(compiler, member, &node->members[index++], depth + 1);
        if (status != ST_OK)
            break;
    }
    return status;
}

enum status template_compile(const json_t *source, enum template_kind kind, const struct schema *input,
                             struct template **ret_template, struct error *error)
{
    struct template *template = xcalloc(1, sizeof *template);
    struct template_compiler compiler = { template, input, error };
    enum status              status;
    arena_init(&template->arena, SIZE_MAX);
    template->kind = kind;
    template->source = json_incref((json_t *)(uintptr_t)source);
    if (kind != TEMPLATE_VALUE && !json_is_string(source))
        status = error_set(error, ST_INVALID_ARGUMENT, "must be a string");
    else if (kind == TEMPLATE_ID && json_text(source).size == 0)
        status = error_set(error, ST_INVALID_ARGUMENT, "an id may not be empty");
    else
        status = compile_value(&compiler, source, &template->root, 1);
    if (status != ST_OK) {
        template_free(template);
        return status;
    }
    *ret_template = template;
    return ST_OK;
}

void template_free(struct template *template)
{
    if (template == NULL)
        return;
    json_decref(template->source);
    arena_release(&template->arena);
    free(template);
}

bool template_names_caller(const struct template *template)
{
    return template->names_caller;
}

/* --- for one call --- */

static const json_t *look_up(const struct part *part, const json_t *arguments)
{
    const json_t *at = arguments;
    for (size_t i = 0; i < part->name_count && at != NULL; i++) {
        struct bytes name = part->names[i];
        if (json_is_object(at)) {
            at = json_object_getn(at, (const char *)name.base, name.size);
            continue;
        }
        size_t index = name.size > 9 ? SIZE_MAX : 0;
        for (size_t k = 0; k < name.size && index != SIZE_MAX; k++)
            index = name.base[k] < '0' || name.base[k] > '9' ? SIZE_MAX : index * 10 + (name.base[k] - '0');
        at = json_is_array(at) && index != SIZE_MAX ? json_array_get(at, index) : NULL;
    }
    return json_is_null(at) ? NULL : at;
}

static struct bytes builtin_value(enum part_kind kind, const struct template_values *values)
{
    switch (kind) {
    case PART_CALLER:
        return values->caller;
    case PART_TOOL:
        return values->tool;
    case PART_HASH:
        return values->hash;
    default:
        assert(kind == PART_UUID);
        return values->uuid;
    }
}

static enum status fixed(const struct part *part, const json_t *value, int digits, struct buffer *text,
                         struct error *error)
{
    char number[400];
    if (!json_is_number(value))
        return error_set(error, ST_INVALID_ARGUMENT, "{%.*s}: must be a number", BYTES_FMT(part->text));
    snprintf(number, sizeof number, "%.*f", digits, json_number_value(value));
    /* Minus zero is zero: one place must not have two ids. */
    size_t sign = number[0] == '-' && strspn(number + 1, "0.") == strlen(number + 1);
    buffer_clear(text);
    buffer_append_text(text, number + sign);
    return ST_OK;
}

static void slug(struct buffer *text)
{
    size_t size = 0;
    for (size_t i = 0; i < text->size; i++) {
        uint8_t byte = text->base[i];
        if (byte >= 'A' && byte <= 'Z')
            byte = (uint8_t)(byte - 'A' + 'a');
        if ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9'))
            text->base[size++] = byte;
        else if (size > 0 && text->base[size - 1] != '-')
            text->base[size++] = '-';
    }
    text->size = size > 0 && text->base[size - 1] == '-' ? size - 1 : size;
}

static void change_case(struct buffer *text, bool upper)
{
    for (size_t i = 0; i < text->size; i++) {
        uint8_t byte = text->base[i];
        if (upper ? byte >= 'a' && byte <= 'z' : byte >= 'A' && byte <= 'Z')
            text->base[i] = byte ^ 0x20;
    }
}

/* `value` NULL: it is not there. `text` holds it, spelt, and becomes what the filters make of it. */
static enum status filtered(const struct part *part, const json_t *value,
                            const struct template_values *values, struct buffer *text, struct error *error)
{
    bool missing = value == NULL && part->kind == PART_PATH;
    for (size_t i = 0; i < part->filter_count; i++) {
        const struct filter *filter = &part->filters[i];
        enum status          status = ST_OK;
        if (filter->kind == FILTER_DEFAULT && (missing || text->size == 0)) {
            buffer_append(text, filter->source == PART_LITERAL ? filter->text
                                                               : builtin_value(filter->source, values));
            missing = false;
        } else if (missing || filter->kind == FILTER_DEFAULT) {
            continue;
        } else if (filter->kind == FILTER_FIXED) {
            status = fixed(part, value, filter->digits, text, error);
        } else if (filter->kind == FILTER_SLUG) {
            slug(text);
        } else {
            change_case(text, filter->kind == FILTER_UPPER);
        }
        if (status != ST_OK)
            return status;
    }
    if (missing)
        return error_set(error, ST_INVALID_ARGUMENT, "/%.*s: is needed for this call", BYTES_FMT(part->text));
    return ST_OK;
}

static void put_caller(const struct part *part, struct bytes caller, struct buffer *to)
{
    for (size_t i = 0; i < caller.size; i++) {
        uint8_t byte = caller.base[i];
        if (byte <= 0x20 || byte == 0x7f || byte == '%' || byte == part->before || byte == part->after)
            buffer_printf(to, "%%%02X", byte);
        else
            buffer_append_byte(to, byte);
    }
}

static enum status put_part(const struct template *template, const struct part *part,
                            const struct template_values *values, struct buffer *to, struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    const json_t                         *value = NULL;
    if (part->kind == PART_LITERAL) {
        buffer_append(to, part->text);
        return ST_OK;
    }
    if (part->kind == PART_CALLER && template->kind == TEMPLATE_ID) {
        put_caller(part, values->caller, to);
        return ST_OK;
    }
    if (part->kind != PART_PATH)
        buffer_append(&text, builtin_value(part->kind, values));
    else if ((value = look_up(part, values->arguments)) != NULL && json_is_string(value))
        buffer_append(&text, json_text(value));
    else if (value != NULL && !json_canonical(value, &text))
        return error_set(error, ST_INVALID_ARGUMENT, "a value that is too deep");
    enum status status = filtered(part, value, values, &text, error);
    if (status != ST_OK)
        return status;
    if (template->kind == TEMPLATE_ID && text.size == 0)
        return error_set(error, ST_INVALID_ARGUMENT, "/%.*s: must not be empty, an id is made of it",
                         BYTES_FMT(part->text));
    buffer_append(to, buffer_bytes(&text));
    return ST_OK;
}

static enum status put_parts(const struct template *template, const struct value_node *node,
                             const struct template_values *values, struct buffer *to, struct error *error)
{
    for (size_t i = 0; i < node->part_count; i++) {
        enum status status = put_part(template, &node->parts[i], values, to, error);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

enum status template_text(const struct template *template, const struct template_values *values,
                          struct buffer *to, struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    assert(template->kind != TEMPLATE_VALUE);
    enum status status = put_parts(template, &template->root, values, &text, error);
    if (status != ST_OK)
        return status;
    bool   id = template->kind == TEMPLATE_ID;
    size_t size_max = id ? ID_SIZE_MAX : TEMPLATE_TEXT_SIZE_MAX;
    if (text.size > size_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "the %s that these arguments make has %zu bytes, and %zu may be", id ? "id" : "text",
                         text.size, size_max);
    if (id && (text.size == 0 || !bytes_is_utf8(buffer_bytes(&text)) || bytes_has_nul(buffer_bytes(&text))))
        return error_set(error, ST_INVALID_ARGUMENT, "these arguments make no id that can be used");
    buffer_append(to, buffer_bytes(&text));
    return ST_OK;
}

/* One sole placeholder whose filters do not make a text of it. */
static bool keeps_type(const struct value_node *node)
{
    if (node->part_count != 1 || node->parts[0].kind != PART_PATH)
        return false;
    for (size_t i = 0; i < node->parts[0].filter_count; i++)
        if (node->parts[0].filters[i].kind != FILTER_DEFAULT)
            return false;
    return true;
}

static enum status make_string(const struct template *template, const struct value_node *node,
                               const struct template_values *values, json_t **ret_value, struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    if (keeps_type(node)) {
        const json_t *value = look_up(&node->parts[0], values->arguments);
        if (value != NULL || node->parts[0].filter_count == 0) {
            *ret_value = value == NULL ? json_null() : json_incref((json_t *)(uintptr_t)value);
            return ST_OK;
        }
    }
    enum status status = put_parts(template, node, values, &text, error);
    if (status != ST_OK)
        return status;
    *ret_value = json_stringn(text.base == NULL ? "" : (const char *)text.base, text.size);
    return *ret_value == NULL ? error_set(error, ST_INVALID_ARGUMENT, "a text that is not well-formed UTF-8")
                              : ST_OK;
}

static enum status make_value(const struct template *template, const struct value_node *node,
                              const struct template_values *values, json_t **ret_value, struct error *error)
{
    if (node->constant != NULL) {
        *ret_value = json_incref((json_t *)(uintptr_t)node->constant);
        return ST_OK;
    }
    if (node->members == NULL)
        return make_string(template, node, values, ret_value, error);
    json_t *container = node->keys == NULL ? json_array() : json_object();
    for (size_t i = 0; i < node->member_count; i++) {
        json_t     *member;
        enum status status = make_value(template, &node->members[i], values, &member, error);
        if (status != ST_OK) {
            json_decref(container);
            return status;
        }
        int failed = node->keys == NULL ? json_array_append_new(container, member)
                                        : json_object_set_new(container, node->keys[i], member);
        if (failed)
            panic("out of memory");
    }
    *ret_value = container;
    return ST_OK;
}

enum status template_value(const struct template *template, const struct template_values *values,
                           json_t **ret_value, struct error *error)
{
    assert(template->kind == TEMPLATE_VALUE);
    return make_value(template, &template->root, values, ret_value, error);
}
