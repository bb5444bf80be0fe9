/* schema.c: a document to nodes. One loop over what is still to be compiled; a keyword is a row of a table. */
#include "mcp/schema.h"

#include "base/hash.h"
#include "base/table.h"
#include "mcp/schema_internal.h"

#define PATTERN_SIZE_MAX    1000
#define PATTERN_NESTING_MAX 50

/* A subschema that has a node, which is compiled when its turn comes. */
struct subschema {
    struct table_link link;
    const json_t     *value;
    const char       *pointer;
    uint32_t          node;
};
/* One that must hold for the same value as another: they may not form a circle. */
struct in_place {
    uint32_t from, to;
};
struct compiler {
    struct schema                *schema;
    const struct schema_warnings *warnings;
    struct table                  known;      /* of subschemas, by the value's address */
    struct subschema            **subschemas; /* beside schema->nodes */
    size_t                        capacity;
    struct in_place              *edges;
    size_t                        edge_count, edge_capacity;
    uint32_t                      at; /* the node that is being compiled */
    const char                   *keyword;
    struct error                 *error;
    struct buffer                *pointer; /* of the error; may be NULL */
};

static struct schema_node *node_of(struct compiler *compiler)
{
    return &compiler->schema->nodes[compiler->at];
}

static enum status refuse(struct compiler *compiler, const char *words)
{
    const char *at = compiler->subschemas[compiler->at]->pointer;
    if (compiler->pointer != NULL) {
        buffer_append_text(compiler->pointer, at);
        if (compiler->keyword != NULL)
            json_pointer_append(compiler->pointer, bytes_of_text(compiler->keyword));
    }
    return error_set(compiler->error, ST_INVALID_ARGUMENT, "%s%s%s: %s", at,
                     compiler->keyword == NULL ? "" : "/",
                     compiler->keyword == NULL ? (*at == '\0' ? "(root)" : "") : compiler->keyword, words);
}

static void warn(struct compiler *compiler, const char *keyword, const char *words)
{
    CLEANUP(buffer_release) struct buffer pointer = { 0 };
    if (compiler->warnings == NULL || compiler->warnings->warn == NULL)
        return;
    buffer_append_text(&pointer, compiler->subschemas[compiler->at]->pointer);
    json_pointer_append(&pointer, bytes_of_text(keyword));
    buffer_append_byte(&pointer, 0);
    compiler->warnings->warn(compiler->warnings->context, (const char *)pointer.base, words);
}

/* The node of a subschema, made if it is new. `pointer` is copied then. */
static enum status node_for(struct compiler *compiler, const json_t *value, const char *pointer,
                            uint32_t *ret_node)
{
    struct schema *schema = compiler->schema;
    uint64_t       hash = hash_u64((uintptr_t)value);
    if (!json_is_object(value) && !json_is_boolean(value))
        return refuse(compiler, "must be a schema: an object, true or false");
    for (struct table_link *link = table_first(&compiler->known, hash); link != NULL;
         link = table_next(link)) {
        struct subschema *known = CONTAINER_OF(link, struct subschema, link);
        if (known->value == value) {
            *ret_node = known->node;
            return ST_OK;
        }
    }
    if (schema->node_count == SCHEMA_NODES_MAX)
        return refuse(compiler, "a schema with too many parts");
    if (schema->node_count == compiler->capacity) {
        compiler->capacity = MAX((size_t)16, compiler->capacity * 2);
        schema->nodes = xrealloc(schema->nodes, compiler->capacity * sizeof *schema->nodes);
        compiler->subschemas = xrealloc(compiler->subschemas,
                                        compiler->capacity * sizeof(struct subschema *));
    }
    struct subschema *subschema = ARENA_NEW(&schema->arena, struct subschema);
    subschema->value = value;
    subschema->pointer = (const char *)arena_printf(&schema->arena, "%s%c", pointer, 0).base;
    subschema->node = *ret_node = (uint32_t)schema->node_count;
    table_insert(&compiler->known, &subschema->link, hash);
    compiler->subschemas[schema->node_count++] = subschema;
    return ST_OK;
}

/* A subschema under the keyword at hand, or under a member of it (`name` or `index`). */
static enum status child(struct compiler *compiler, const json_t *value, const char *name, size_t index,
                         uint32_t *ret_node)
{
    CLEANUP(buffer_release) struct buffer pointer = { 0 };
    buffer_append_text(&pointer, compiler->subschemas[compiler->at]->pointer);
    json_pointer_append(&pointer, bytes_of_text(compiler->keyword));
    if (name != NULL)
        json_pointer_append(&pointer, bytes_of_text(name));
    else if (index != SIZE_MAX)
        json_pointer_append_index(&pointer, index);
    buffer_append_byte(&pointer, 0);
    return node_for(compiler, value, (const char *)pointer.base, ret_node);
}

static void add_edge(struct compiler *compiler, uint32_t to)
{
    if (compiler->edge_count == compiler->edge_capacity) {
        compiler->edge_capacity = MAX((size_t)16, compiler->edge_capacity * 2);
        compiler->edges = xrealloc(compiler->edges, compiler->edge_capacity * sizeof *compiler->edges);
    }
    compiler->edges[compiler->edge_count++] = (struct in_place){ compiler->at, to };
}

/* --- keywords. Each gets its value, and what its row says: an offset or a number. --- */

/* The nodes' array may move while a child is made: a field is addressed by its offset, and only afterwards. */
static void *field_of(struct compiler *compiler, size_t offset)
{
    return (char *)node_of(compiler) + offset;
}

static enum status keyword_schema(struct compiler *compiler, const json_t *value, size_t offset)
{
    uint32_t    node;
    enum status status = child(compiler, value, NULL, SIZE_MAX, &node);
    if (status == ST_OK)
        *(uint32_t *)field_of(compiler, offset) = node;
    return status;
}

static enum status keyword_in_place(struct compiler *compiler, const json_t *value, size_t offset)
{
    enum status status = keyword_schema(compiler, value, offset);
    if (status == ST_OK)
        add_edge(compiler, *(uint32_t *)field_of(compiler, offset));
    return status;
}

static enum status schema_list(struct compiler *compiler, const json_t *value, size_t offset, bool in_place)
{
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count == 0)
        return refuse(compiler, "must be an array of schemas, not empty");
    struct node_list list = { ARENA_NEW_ARRAY(&compiler->schema->arena, uint32_t, count), count };
    for (size_t i = 0; i < count; i++) {
        enum status status = child(compiler, json_array_get(value, i), NULL, i, &list.nodes[i]);
        if (status != ST_OK)
            return status;
        if (in_place)
            add_edge(compiler, list.nodes[i]);
    }
    *(struct node_list *)field_of(compiler, offset) = list;
    return ST_OK;
}

static enum status keyword_list(struct compiler *compiler, const json_t *value, size_t offset)
{
    return schema_list(compiler, value, offset, false);
}

static enum status keyword_combine(struct compiler *compiler, const json_t *value, size_t offset)
{
    return schema_list(compiler, value, offset, true);
}

static int compare_members(const void *a, const void *b)
{
    return bytes_compare(((const struct node_member *)a)->name, ((const struct node_member *)b)->name);
}

/* An object of schemas to members, sorted by name. */
static enum status members(struct compiler *compiler, const json_t *value, bool in_place,
                           struct node_member **ret_members, size_t *ret_count)
{
    const char *name;
    json_t     *member;
    size_t      name_size, index = 0, count = json_object_size(value);
    if (!json_is_object(value))
        return refuse(compiler, "must be an object of schemas");
    struct node_member *list = ARENA_NEW_ARRAY(&compiler->schema->arena, struct node_member,
                                               MAX(count, (size_t)1));
    json_object_keylen_foreach((json_t *)(uintptr_t)value, name, name_size, member)
    {
        uint32_t    node;
        enum status status = child(compiler, member, name, 0, &node);
        if (status != ST_OK)
            return status;
        if (in_place)
            add_edge(compiler, node);
        list[index++] = (struct node_member){ bytes_of(name, name_size), node };
    }
    assert(index == count);
    qsort(list, count, sizeof *list, compare_members);
    *ret_members = list;
    *ret_count = count;
    return ST_OK;
}

static enum status keyword_properties(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    struct node_member *list = NULL;
    size_t              count = 0;
    enum status         status = members(compiler, value, false, &list, &count);
    if (status == ST_OK) {
        node_of(compiler)->properties = list;
        node_of(compiler)->property_count = count;
    }
    return status;
}

static enum status keyword_dependent_schemas(struct compiler *compiler, const json_t *value,
                                             size_t offset UNUSED)
{
    struct node_member *list = NULL;
    size_t              count = 0;
    enum status         status = members(compiler, value, true, &list, &count);
    if (status == ST_OK) {
        node_of(compiler)->dependent_schemas = list;
        node_of(compiler)->dependent_count = count;
    }
    return status;
}

/* Compiled whether somebody refers to them or not, so that a mistake in them is seen. */
static enum status keyword_definitions(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    struct node_member *list = NULL;
    size_t              count = 0;
    return members(compiler, value, false, &list, &count);
}

static enum status compile_pattern(struct compiler *compiler, const char *source,
                                   struct pattern **ret_pattern)
{
    struct schema         *schema = compiler->schema;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    int                    problem;
    PCRE2_SIZE             at;
    char                   words[200], reason[120];
    if (context == NULL)
        panic("out of memory");
    pcre2_set_max_pattern_length(context, PATTERN_SIZE_MAX);
    pcre2_set_parens_nest_limit(context, PATTERN_NESTING_MAX);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)source, PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX |
                                         PCRE2_NEVER_BACKSLASH_C | PCRE2_MATCH_UNSET_BACKREF,
                                     &problem, &at, context);
    pcre2_compile_context_free(context);
    if (code == NULL) {
        pcre2_get_error_message(problem, (PCRE2_UCHAR *)reason, sizeof reason);
        snprintf(words, sizeof words, "no pattern that can be used (at %zu: %s)", at, reason);
        return refuse(compiler, words);
    }
    struct pattern *pattern = ARENA_NEW(&schema->arena, struct pattern);
    *pattern = (struct pattern){ source, code, NODE_NONE };
    schema->patterns = xrealloc(schema->patterns, (schema->pattern_count + 1) * sizeof *schema->patterns);
    schema->patterns[schema->pattern_count++] = pattern;
    *ret_pattern = pattern;
    return ST_OK;
}

static enum status keyword_pattern(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    if (!json_is_string(value))
        return refuse(compiler, "must be a string");
    return compile_pattern(compiler, json_string_value(value), &node_of(compiler)->pattern);
}

static enum status keyword_pattern_properties(struct compiler *compiler, const json_t *value,
                                              size_t offset UNUSED)
{
    struct node_member *list = NULL;
    size_t              count = 0;
    enum status         status = members(compiler, value, false, &list, &count);
    if (status != ST_OK)
        return status;
    struct pattern *patterns = ARENA_NEW_ARRAY(&compiler->schema->arena, struct pattern,
                                               MAX(count, (size_t)1));
    for (size_t i = 0; i < count; i++) {
        struct pattern *pattern;
        status = compile_pattern(compiler, (const char *)list[i].name.base, &pattern);
        if (status != ST_OK)
            return status;
        patterns[i] = (struct pattern){ pattern->source, pattern->code, list[i].node };
    }
    node_of(compiler)->pattern_properties = patterns;
    node_of(compiler)->pattern_property_count = count;
    return ST_OK;
}

static unsigned type_named(const char *name)
{
    static const char *const names[] = {
        "null", "boolean", "integer", "number", "string", "array", "object"
    };
    for (unsigned i = 0; name != NULL && i < ARRAY_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return 1U << i;
    return 0;
}

static enum status keyword_type(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    unsigned types = type_named(json_string_value(value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        unsigned type = type_named(json_string_value(json_array_get(value, i)));
        types |= type;
        if (type == 0)
            return refuse(compiler, "must name types: null, boolean, integer, number, string, array, object");
    }
    if (types == 0)
        return refuse(compiler, "must be one of null, boolean, integer, number, string, array, object");
    node_of(compiler)->types = types;
    return ST_OK;
}

static enum status keyword_enum(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    if (!json_is_array(value))
        return refuse(compiler, "must be an array");
    node_of(compiler)->enumeration = value;
    return ST_OK;
}

static enum status keyword_const(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    node_of(compiler)->constant = value;
    return ST_OK;
}

static bool is_names(const json_t *value)
{
    bool fine = json_is_array(value);
    for (size_t i = 0; i < json_array_size(value); i++)
        fine = fine && json_is_string(json_array_get(value, i));
    return fine;
}

static enum status keyword_required(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    if (!is_names(value))
        return refuse(compiler, "must be an array of names");
    node_of(compiler)->required = value;
    return ST_OK;
}

static enum status keyword_dependent_required(struct compiler *compiler, const json_t *value,
                                              size_t offset UNUSED)
{
    const char *name;
    json_t     *names;
    bool        fine = json_is_object(value);
    json_object_foreach((json_t *)(uintptr_t)value, name, names) fine = fine && is_names(names);
    if (!fine)
        return refuse(compiler, "must be an object of arrays of names");
    node_of(compiler)->dependent_required = value;
    return ST_OK;
}

static enum status keyword_number(struct compiler *compiler, const json_t *value, size_t offset)
{
    bool divisor = offset == offsetof(struct schema_node, multiple_of);
    if (!json_is_number(value) || (divisor && json_number_value(value) <= 0))
        return refuse(compiler, divisor ? "must be a number above 0" : "must be a number");
    *(const json_t **)field_of(compiler, offset) = value;
    return ST_OK;
}

static enum status keyword_size(struct compiler *compiler, const json_t *value, size_t offset)
{
    double size = json_number_value(value);
    if (!json_is_number(value) || size < 0 || size > 1e15 || (double)(int64_t)size != size)
        return refuse(compiler, "must be a whole number, 0 or more");
    *(int64_t *)field_of(compiler, offset) = (int64_t)size;
    return ST_OK;
}

static enum status keyword_unique(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    if (!json_is_boolean(value))
        return refuse(compiler, "must be true or false");
    node_of(compiler)->unique_items = json_is_true(value);
    return ST_OK;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void percent_decode(const char *text, struct buffer *to)
{
    for (; *text != '\0'; text++) {
        int high = text[0] == '%' ? hex_digit(text[1]) : -1, low = high < 0 ? -1 : hex_digit(text[2]);
        buffer_append_byte(to, low < 0 ? (uint8_t)*text : (uint8_t)(high * 16 + low));
        text += low < 0 ? 0 : 2;
    }
}

/* The subschema with this $anchor; a bounded walk over what a document has, without a stack: nodes are made on the way. */
static const json_t *find_anchor(struct compiler *compiler, struct bytes name)
{
    for (size_t i = 0; i < compiler->schema->node_count; i++) {
        const json_t *value = compiler->subschemas[i]->value;
        if (bytes_equal(json_text(json_object_get(value, "$anchor")), name))
            return value;
    }
    return NULL;
}

static enum status keyword_reference(struct compiler *compiler, const json_t *value, size_t offset UNUSED)
{
    CLEANUP(buffer_release) struct buffer path = { 0 };
    const char                           *text = json_string_value(value);
    uint32_t                              node;
    if (text == NULL || text[0] != '#')
        return refuse(compiler, "must begin with #: references do not leave the document");
    percent_decode(text + 1, &path);
    buffer_append_byte(&path, 0);
    struct bytes  pointer = bytes_of(path.base, path.size - 1);
    const json_t *target = pointer.size == 0 || pointer.base[0] == '/'
                               ? json_pointer_get(compiler->schema->document, pointer)
                               : find_anchor(compiler, pointer);
    if (target == NULL)
        return refuse(compiler, "refers to nothing in this document");
    enum status status = node_for(compiler, target, (const char *)path.base, &node);
    if (status == ST_OK) {
        node_of(compiler)->reference = node;
        add_edge(compiler, node);
    }
    return status;
}

static enum status keyword_id(struct compiler *compiler, const json_t *value UNUSED, size_t offset UNUSED)
{
    if (compiler->at != 0)
        warn(compiler, "$id",
             "an identity of a part has no meaning here: references are of the whole document");
    return ST_OK;
}

static const struct keyword {
    const char *name;
    enum status (*compile)(struct compiler *compiler, const json_t *value,
                           size_t offset); /* NULL: an annotation */
    size_t offset;
} keywords[] = {
    { "type", keyword_type, 0 },
    { "enum", keyword_enum, 0 },
    { "const", keyword_const, 0 },
    { "required", keyword_required, 0 },
    { "properties", keyword_properties, 0 },
    { "patternProperties", keyword_pattern_properties, 0 },
    { "additionalProperties", keyword_schema, offsetof(struct schema_node, additional) },
    { "propertyNames", keyword_schema, offsetof(struct schema_node, property_names) },
    { "items", keyword_schema, offsetof(struct schema_node, items) },
    { "prefixItems", keyword_list, offsetof(struct schema_node, prefix_items) },
    { "contains", keyword_schema, offsetof(struct schema_node, contains) },
    { "minContains", keyword_size, offsetof(struct schema_node, size_min[SIZE_CONTAINS]) },
    { "maxContains", keyword_size, offsetof(struct schema_node, size_max[SIZE_CONTAINS]) },
    { "minItems", keyword_size, offsetof(struct schema_node, size_min[SIZE_ITEMS]) },
    { "maxItems", keyword_size, offsetof(struct schema_node, size_max[SIZE_ITEMS]) },
    { "minLength", keyword_size, offsetof(struct schema_node, size_min[SIZE_LENGTH]) },
    { "maxLength", keyword_size, offsetof(struct schema_node, size_max[SIZE_LENGTH]) },
    { "minProperties", keyword_size, offsetof(struct schema_node, size_min[SIZE_PROPERTIES]) },
    { "maxProperties", keyword_size, offsetof(struct schema_node, size_max[SIZE_PROPERTIES]) },
    { "uniqueItems", keyword_unique, 0 },
    { "minimum", keyword_number, offsetof(struct schema_node, bounds[BOUND_MINIMUM]) },
    { "maximum", keyword_number, offsetof(struct schema_node, bounds[BOUND_MAXIMUM]) },
    { "exclusiveMinimum", keyword_number, offsetof(struct schema_node, bounds[BOUND_ABOVE]) },
    { "exclusiveMaximum", keyword_number, offsetof(struct schema_node, bounds[BOUND_BELOW]) },
    { "multipleOf", keyword_number, offsetof(struct schema_node, multiple_of) },
    { "pattern", keyword_pattern, 0 },
    { "allOf", keyword_combine, offsetof(struct schema_node, combine[COMBINE_ALL]) },
    { "anyOf", keyword_combine, offsetof(struct schema_node, combine[COMBINE_ANY]) },
    { "oneOf", keyword_combine, offsetof(struct schema_node, combine[COMBINE_ONE]) },
    { "not", keyword_in_place, offsetof(struct schema_node, not) },
    { "if", keyword_in_place, offsetof(struct schema_node, condition) },
    { "then", keyword_in_place, offsetof(struct schema_node, then) },
    { "else", keyword_in_place, offsetof(struct schema_node, otherwise) },
    { "dependentRequired", keyword_dependent_required, 0 },
    { "dependentSchemas", keyword_dependent_schemas, 0 },
    { "$defs", keyword_definitions, 0 },
    { "definitions", keyword_definitions, 0 },
    { "$id", keyword_id, 0 },
    { "$ref", NULL, 0 }, /* when everything else is known: it may name an anchor */
    { "$anchor", NULL, 0 },
    { "$schema", NULL, 0 },
    { "$comment", NULL, 0 },
    { "$vocabulary", NULL, 0 },
    { "title", NULL, 0 },
    { "description", NULL, 0 },
    { "default", NULL, 0 },
    { "examples", NULL, 0 },
    { "format", NULL, 0 },
    { "deprecated", NULL, 0 },
    { "readOnly", NULL, 0 },
    { "writeOnly", NULL, 0 },
    { "contentEncoding", NULL, 0 },
    { "contentMediaType", NULL, 0 },
    { "contentSchema", NULL, 0 },
};

static const struct keyword *keyword_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(keywords); i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

static enum status compile_node(struct compiler *compiler)
{
    struct schema_node *node = node_of(compiler);
    const json_t       *source = compiler->subschemas[compiler->at]->value;
    const char         *name;
    json_t             *value;
    *node = (struct schema_node){ .never = json_is_false(source) };
    for (int i = 0; i < SIZE_COUNT; i++)
        node->size_min[i] = node->size_max[i] = -1;
    node->additional = node->property_names = node->items = node->contains = node->not = NODE_NONE;
    node->condition = node->then = node->otherwise = node->reference = NODE_NONE;
    json_object_foreach((json_t *)(uintptr_t)source, name, value)
    {
        const struct keyword *keyword = keyword_named(name);
        compiler->keyword = name;
        if (keyword == NULL && strncmp(name, "x-", 2) != 0)
            warn(compiler, name, "is not known here and checks nothing");
        if (keyword == NULL || keyword->compile == NULL)
            continue;
        enum status status = keyword->compile(compiler, value, keyword->offset);
        if (status != ST_OK)
            return status;
    }
    compiler->keyword = NULL;
    return ST_OK;
}

/* What a reference names may be new; what is compiled for it may have references too. */
static enum status compile_all(struct compiler *compiler)
{
    size_t compiled = 0, referred = 0;
    while (referred < compiler->schema->node_count) {
        bool          compiling = compiled < compiler->schema->node_count;
        enum status   status = ST_OK;
        const json_t *reference;
        compiler->at = (uint32_t)(compiling ? compiled++ : referred++);
        reference = json_object_get(compiler->subschemas[compiler->at]->value, "$ref");
        if (compiling) {
            status = compile_node(compiler);
        } else if (reference != NULL) {
            compiler->keyword = "$ref";
            status = keyword_reference(compiler, reference, 0);
        }
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

/* Takes away, again and again, what nothing is in place of; what is left stands in a circle, or behind one. */
static enum status refuse_circles(struct compiler *compiler)
{
    size_t node_count = compiler->schema->node_count, left = node_count, at = 0, end = 0;
    CLEANUP(free_pointer) uint32_t *incoming = xcalloc(node_count, sizeof *incoming);
    CLEANUP(free_pointer) uint32_t *queue = xcalloc(node_count, sizeof *queue);
    CLEANUP(free_pointer) size_t   *first = xcalloc(node_count + 1, sizeof *first);
    CLEANUP(free_pointer) uint32_t *targets = xcalloc(MAX(compiler->edge_count, (size_t)1), sizeof *targets);
    CLEANUP(free_pointer) size_t   *filled = xcalloc(node_count, sizeof *filled);
    for (size_t i = 0; i < compiler->edge_count; i++) {
        incoming[compiler->edges[i].to]++;
        first[compiler->edges[i].from + 1]++;
    }
    for (size_t i = 0; i < node_count; i++)
        first[i + 1] += first[i];
    for (size_t i = 0; i < compiler->edge_count; i++) {
        uint32_t from = compiler->edges[i].from;
        targets[first[from] + filled[from]++] = compiler->edges[i].to;
    }
    for (uint32_t i = 0; i < node_count; i++)
        if (incoming[i] == 0)
            queue[end++] = i;
    for (; at < end; at++, left--)
        for (size_t i = first[queue[at]]; i < first[queue[at] + 1]; i++)
            if (--incoming[targets[i]] == 0)
                queue[end++] = targets[i];
    for (uint32_t i = 0; left > 0 && i < node_count; i++) {
        if (incoming[i] == 0)
            continue;
        compiler->at = i;
        compiler->keyword = NULL;
        return refuse(compiler, "refers to itself without end");
    }
    return ST_OK;
}

enum status schema_compile(json_t *document, const struct schema_warnings *warnings,
                           struct schema **ret_schema, struct buffer *ret_pointer, struct error *error)
{
    struct schema  *schema = xcalloc(1, sizeof *schema);
    struct compiler compiler = {
        .schema = schema, .warnings = warnings, .error = error, .pointer = ret_pointer
    };
    struct subschema  root = { .pointer = "" };
    struct subschema *roots[] = { &root };
    uint32_t          first;
    arena_init(&schema->arena, SIZE_MAX);
    table_init(&compiler.known);
    schema->document = json_incref(document);
    compiler.subschemas = roots; /* whoever refuses the root itself names it */
    compiler.capacity = 0;
    enum status status;
    if (!json_is_object(document) && !json_is_boolean(document)) {
        status = refuse(&compiler, "must be a schema: an object, true or false");
        compiler.subschemas = NULL;
    } else {
        compiler.subschemas = NULL;
        status = node_for(&compiler, document, "", &first);
        if (status == ST_OK)
            status = compile_all(&compiler);
        if (status == ST_OK)
            status = refuse_circles(&compiler);
    }
    table_release(&compiler.known);
    free(compiler.subschemas);
    free(compiler.edges);
    if (status != ST_OK) {
        schema_free(schema);
        return status;
    }
    *ret_schema = schema;
    return ST_OK;
}

void schema_free(struct schema *schema)
{
    if (schema == NULL)
        return;
    for (size_t i = 0; i < schema->pattern_count; i++)
        pcre2_code_free(schema->patterns[i]->code);
    free(schema->patterns);
    free(schema->nodes);
    arena_release(&schema->arena);
    json_decref(schema->document);
    free(schema);
}

const json_t *schema_document(const struct schema *schema)
{
    return schema->document;
}

uint32_t schema_property(const struct schema_node *node, struct bytes name)
{
    size_t low = 0, high = node->property_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int    order = bytes_compare(node->properties[middle].name, name);
        if (order == 0)
            return node->properties[middle].node;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NODE_NONE;
}

bool schema_is_of_objects(const struct schema *schema)
{
    return schema->nodes[0].types == TYPE_OBJECT;
}

/* Where a name leads from a node; NODE_NONE with SCHEMA_NO or SCHEMA_MAYBE. */
static enum schema_answer follow(const struct schema *schema, uint32_t from, struct bytes name,
                                 uint32_t *ret_node)
{
    const struct schema_node *node = &schema->nodes[from];
    bool                      digits = name.size > 0;
    for (size_t i = 0; i < name.size; i++)
        digits = digits && name.base[i] >= '0' && name.base[i] <= '9';
    *ret_node = schema_property(node, name);
    if (*ret_node != NODE_NONE)
        return SCHEMA_YES;
    if (digits && node->items != NODE_NONE && node->prefix_items.count == 0) {
        *ret_node = node->items;
        return SCHEMA_YES;
    }
    if (node->types != 0 && (node->types & (TYPE_OBJECT | TYPE_ARRAY)) == 0)
        return SCHEMA_NO;
    bool combined = node->combine[COMBINE_ALL].count + node->combine[COMBINE_ANY].count +
                            node->combine[COMBINE_ONE].count + node->dependent_count +
                            node->pattern_property_count >
                        0 ||
                    node->condition != NODE_NONE || node->reference != NODE_NONE;
    bool closed = node->additional == NODE_NONE ? node->property_count > 0
                                                : schema->nodes[node->additional].never;
    return node->never || (closed && !combined && node->types == TYPE_OBJECT) ? SCHEMA_NO : SCHEMA_MAYBE;
}

enum schema_answer schema_has_path(const struct schema *schema, const struct bytes *names, size_t count)
{
    uint32_t at = 0;
    for (size_t i = 0; i < count; i++) {
        /* No circle: such a schema is not compiled. */
        while (schema->nodes[at].reference != NODE_NONE && schema->nodes[at].property_count == 0)
            at = schema->nodes[at].reference;
        uint32_t           next;
        enum schema_answer answer = follow(schema, at, names[i], &next);
        if (answer != SCHEMA_YES)
            return answer;
        at = next;
    }
    return SCHEMA_YES;
}
