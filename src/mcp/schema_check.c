/* schema_check.c: a value against the nodes of a schema, with a bound on every kind of effort.
 *
 * The walk calls itself, once per level of schema and value; SCHEMA_DEPTH_MAX levels at most, whatever both are, and a
 * circle that does not go deeper into the value is not compiled.
 */
#include <math.h>
#include <stdio.h>

#include "base/hash.h"
#include "mcp/schema_internal.h"

#define SHOWN_SIZE_MAX  120 /* of a value or a list in the words */
#define POINTER_MAX     1000
#define PATTERN_STEPS   100 /* what one match costs, and a byte of its subject one more */
#define PATTERN_HEAP_KB 1024

struct check {
    const struct schema *schema;
    size_t               steps, depth;
    bool                 exhausted;
    struct buffer        pointer;
    struct buffer       *words; /* NULL: only the outcome counts */
    size_t               findings, findings_max;
};

static bool check_node(struct check *check, uint32_t node, const json_t *instance);

static bool spend(struct check *check, size_t steps)
{
    check->steps += steps;
    if (check->steps > SCHEMA_STEPS_MAX)
        check->exhausted = true;
    return !check->exhausted;
}

/* A finding at the place of the walk; always false. */
static bool wrong(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct check *check, const char *format, ...)
{
    va_list arguments;
    char    text[400];
    if (check->words == NULL || check->exhausted || check->findings++ >= check->findings_max)
        return false;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t size = strlen(text);
    while (size > 0 && !bytes_is_utf8(bytes_of(text, size)))
        size--; /* cut within a character */
    if (check->words->size > 0)
        buffer_append_byte(check->words, '\n');
    if (check->pointer.size == 0)
        buffer_append_text(check->words, "(root)");
    buffer_append(check->words, bytes_of(check->pointer.base, MIN(check->pointer.size, (size_t)POINTER_MAX)));
    buffer_append_text(check->words, ": ");
    buffer_append(check->words, bytes_of(text, size));
    return false;
}

/* Whether more findings are wanted: else the first one ends the walk. */
static bool curious(const struct check *check)
{
    return check->words != NULL && check->findings < check->findings_max && !check->exhausted;
}

static void show(const json_t *value, struct buffer *to)
{
    size_t before = to->size;
    if (!json_canonical(value, to) || to->size - before <= SHOWN_SIZE_MAX)
        return;
    to->size = before + SHOWN_SIZE_MAX;
    while (!bytes_is_utf8(bytes_of(to->base + before, to->size - before)))
        to->size--;
    buffer_append_text(to, "...");
}

/* A list of values or names, cut where it gets long. */
static void show_list(const json_t *array, struct buffer *to)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        buffer_append_text(to, i == 0 ? "" : ", ");
        if (to->size > SHOWN_SIZE_MAX) {
            buffer_append_text(to, "...");
            return;
        }
        show(json_array_get(array, i), to);
    }
}

/* --- one keyword after the other --- */

static unsigned types_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return TYPE_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return TYPE_BOOLEAN;
    case JSON_INTEGER:
        return TYPE_INTEGER | TYPE_NUMBER;
    case JSON_REAL:
        return rint(json_real_value(value)) == json_real_value(value) ? TYPE_INTEGER | TYPE_NUMBER
                                                                      : TYPE_NUMBER;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    default:
        return TYPE_OBJECT;
    }
}

static bool check_type(struct check *check, const struct schema_node *node, const json_t *instance)
{
    static const char *const names[] = { "null",     "true or false", "a whole number", "a number",
                                         "a string", "an array",      "an object" };
    if (node->types == 0 || node->types & types_of(instance))
        return true;
    char   text[120] = "";
    size_t size = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (node->types & 1U << i)
            size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", size == 0 ? "" : " or ",
                                     names[i]);
    return wrong(check, "must be %s", text);
}

/* Large values are spelt once, and that is paid for. */
static bool same_values(struct check *check, const json_t *wanted, const json_t *instance,
                        struct buffer *spelt)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    if (!spend(check, 2) || json_typeof(wanted) != json_typeof(instance) ||
        !(json_is_object(instance) || json_is_array(instance)))
        return !check->exhausted && json_same(wanted, instance);
    if (spelt->size == 0 && (!json_canonical(instance, spelt) || !spend(check, spelt->size / 4)))
        check->exhausted = true;
    return !check->exhausted && json_canonical(wanted, &text) && spend(check, text.size / 4) &&
           bytes_equal(buffer_bytes(&text), buffer_bytes(spelt));
}

static bool check_values(struct check *check, const struct schema_node *node, const json_t *instance)
{
    CLEANUP(buffer_release) struct buffer list = { 0 }, spelt = { 0 };
    bool                                  found = node->enumeration == NULL;
    if (node->constant != NULL && !same_values(check, node->constant, instance, &spelt)) {
        show(node->constant, &list);
        return wrong(check, "must be %.*s", BYTES_FMT(buffer_bytes(&list)));
    }
    for (size_t i = 0; !found && i < json_array_size(node->enumeration) && !check->exhausted; i++)
        found = same_values(check, json_array_get(node->enumeration, i), instance, &spelt);
    if (found)
        return true;
    show_list(node->enumeration, &list);
    return wrong(check, "must be one of %.*s", BYTES_FMT(buffer_bytes(&list)));
}

static long double number_of(const json_t *value)
{
    return json_is_integer(value) ? (long double)json_integer_value(value)
                                  : (long double)json_real_value(value);
}

/* Doubles are no decimals: 0.0075 is a multiple of 0.0001 although its nearest double is not. Where the quotient is so large
 * that nearness says nothing, the remainder must be exact. */
static bool is_multiple(const json_t *value, const json_t *divisor)
{
    if (json_is_integer(value) && json_is_integer(divisor))
        return json_integer_value(value) % json_integer_value(divisor) == 0;
    long double number = fabsl(number_of(value)), step = number_of(divisor);
    long double rest = fmodl(number, step), quotient = number / step;
    long double slack = quotient > 1e12L ? 0 : step * fmaxl(1e-9L, quotient * 4e-16L);
    return rest <= slack || step - rest <= slack;
}

static bool check_number(struct check *check, const struct schema_node *node, const json_t *instance)
{
    static const char *const words[BOUND_COUNT] = { "at least", "at most", "more than", "less than" };
    bool                     fine = true;
    for (int i = 0; i < BOUND_COUNT; i++) {
        if (node->bounds[i] == NULL)
            continue;
        long double bound = number_of(node->bounds[i]), number = number_of(instance);
        bool        holds = i == BOUND_MINIMUM   ? number >= bound
                            : i == BOUND_MAXIMUM ? number <= bound
                            : i == BOUND_ABOVE   ? number > bound
                                                 : number < bound;
        if (!holds)
            fine = wrong(check, "must be %s %.15Lg", words[i], bound);
    }
    if (node->multiple_of != NULL && !is_multiple(instance, node->multiple_of))
        fine = wrong(check, "must be a multiple of %.15Lg", number_of(node->multiple_of));
    return fine;
}

static bool check_size(struct check *check, const struct schema_node *node, int which, size_t size,
                       const char *things)
{
    int64_t least = node->size_min[which], most = node->size_max[which];
    if (least >= 0 && size < (uint64_t)least)
        return wrong(check, "must have at least %" PRId64 " %s, and has %zu", least, things, size);
    if (most >= 0 && size > (uint64_t)most)
        return wrong(check, "must have at most %" PRId64 " %s, and has %zu", most, things, size);
    return true;
}

/* Whether the pattern occurs. Its effort is bounded by the size of the subject: what backtracks more than that ends the
 * check, with words. */
static bool matches(struct check *check, const struct pattern *pattern, struct bytes subject)
{
    if (!spend(check, PATTERN_STEPS + subject.size))
        return false;
    pcre2_match_data    *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    if (data == NULL || context == NULL)
        panic("out of memory");
    pcre2_set_match_limit(context, (uint32_t)MIN(10000 + 100 * subject.size, (size_t)1 << 30));
    pcre2_set_depth_limit(context, (uint32_t)MIN(10000 + 100 * subject.size, (size_t)1 << 30));
    pcre2_set_heap_limit(context, PATTERN_HEAP_KB);
    int found = pcre2_match(pattern->code, subject.base == NULL ? (PCRE2_SPTR) "" : subject.base,
                            subject.size, 0, 0, data, context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH)
        check->exhausted = true;
    return found >= 0;
}

static size_t code_points(struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += (text.base[i] & 0xc0) != 0x80;
    return count;
}

static bool check_string(struct check *check, const struct schema_node *node, const json_t *instance)
{
    struct bytes text = json_text(instance);
    bool         fine = true;
    if (node->size_min[SIZE_LENGTH] >= 0 || node->size_max[SIZE_LENGTH] >= 0)
        fine = spend(check, text.size / 64) &&
               check_size(check, node, SIZE_LENGTH, code_points(text), "characters");
    if (node->pattern != NULL && !matches(check, node->pattern, text))
        fine = wrong(check, "must match %s", node->pattern->source);
    return fine;
}

/* A part of the instance, under a name or an index. */
static bool check_part(struct check *check, uint32_t node, const json_t *part, const struct bytes *name,
                       size_t index)
{
    size_t before = check->pointer.size;
    if (name != NULL)
        json_pointer_append(&check->pointer, *name);
    else
        json_pointer_append_index(&check->pointer, index);
    bool fine = check_node(check, node, part);
    check->pointer.size = before;
    return fine;
}

/* Whether it holds, whatever it would say. */
static bool check_quietly(struct check *check, uint32_t node, const json_t *instance)
{
    struct buffer *words = TAKE_PTR(check->words);
    bool           fine = check_node(check, node, instance);
    check->words = words;
    return fine;
}

struct unique_item {
    struct bytes text;
    size_t       offset, index;
};

static int compare_items(const void *a, const void *b)
{
    return bytes_compare(((const struct unique_item *)a)->text, ((const struct unique_item *)b)->text);
}

static bool check_unique(struct check *check, const json_t *instance)
{
    size_t                                count = json_array_size(instance), twin = SIZE_MAX;
    CLEANUP(buffer_release) struct buffer texts = { 0 };
    if (count < 2 || !spend(check, 10 * count))
        return !check->exhausted;
    struct unique_item *items = xcalloc(count, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        size_t before = texts.size;
        items[i] = (struct unique_item){ .offset = before, .index = i };
        if (!json_canonical(json_array_get(instance, i), &texts))
            check->exhausted = true;
        items[i].text.size = texts.size - before;
    }
    (void)spend(check, texts.size / 8);
    for (size_t i = 0; i < count; i++)
        items[i].text.base = texts.base + items[i].offset;
    qsort(items, count, sizeof *items, compare_items);
    for (size_t i = 1; i < count && twin == SIZE_MAX; i++)
        if (bytes_equal(items[i - 1].text, items[i].text))
            twin = MAX(items[i - 1].index, items[i].index);
    free(items);
    return twin == SIZE_MAX ||
           wrong(check, "must have no two equal items, and item %zu is there twice", twin);
}

static bool check_contains(struct check *check, const struct schema_node *node, const json_t *instance)
{
    size_t  found = 0;
    int64_t least = node->size_min[SIZE_CONTAINS] < 0 ? 1 : node->size_min[SIZE_CONTAINS];
    int64_t most = node->size_max[SIZE_CONTAINS];
    for (size_t i = 0; i < json_array_size(instance); i++)
        found += check_quietly(check, node->contains, json_array_get(instance, i));
    if (found < (uint64_t)least)
        return wrong(check,
                     "must have at least %" PRId64 " of the items that \"contains\" asks for, and has %zu",
                     least, found);
    return most < 0 || found <= (uint64_t)most ||
           wrong(check, "must have at most %" PRId64 " of the items that \"contains\" asks for, and has %zu",
                 most, found);
}

static bool check_array(struct check *check, const struct schema_node *node, const json_t *instance)
{
    size_t count = json_array_size(instance), fixed = node->prefix_items.count;
    bool   fine = check_size(check, node, SIZE_ITEMS, count, "items");
    for (size_t i = 0; i < count && (fine || curious(check)); i++) {
        uint32_t item = i < fixed ? node->prefix_items.nodes[i] : node->items;
        if (item != NODE_NONE)
            fine = check_part(check, item, json_array_get(instance, i), NULL, i) && fine;
    }
    if (node->unique_items && (fine || curious(check)))
        fine = check_unique(check, instance) && fine;
    if (node->contains != NODE_NONE && (fine || curious(check)))
        fine = check_contains(check, node, instance) && fine;
    return fine;
}

static bool check_required(struct check *check, const json_t *names, const json_t *instance,
                           const char *because)
{
    bool fine = true;
    for (size_t i = 0; i < json_array_size(names) && (fine || curious(check)) && spend(check, 1); i++) {
        const json_t *name = json_array_get(names, i);
        if (json_object_getn(instance, json_string_value(name), json_string_length(name)) == NULL)
            fine = wrong(check, "\"%.100s\" is missing%s%.100s%s", json_string_value(name),
                         because == NULL ? "" : ", which must be there because \"",
                         because == NULL ? "" : because, because == NULL ? "" : "\" is");
    }
    return fine;
}

/* "name is not known here" is more use to a model than "must not be". */
static bool unknown_property(struct check *check, const struct schema_node *node)
{
    char   known[SHOWN_SIZE_MAX + 100];
    size_t size = 0;
    for (size_t i = 0; i < node->property_count && size < SHOWN_SIZE_MAX; i++)
        size += (size_t)snprintf(known + size, sizeof known - size, "%s%.60s", i == 0 ? "" : ", ",
                                 (const char *)node->properties[i].name.base);
    return size == 0 ? wrong(check, "must not be there: no such property is known")
                     : wrong(check, "must not be there: the known properties are %s%s", known,
                             size >= SHOWN_SIZE_MAX ? ", ..." : "");
}

static bool check_member(struct check *check, const struct schema_node *node, struct bytes name,
                         const json_t *member)
{
    uint32_t property = schema_property(node, name);
    bool     fine = true, known = property != NODE_NONE;
    if (known)
        fine = check_part(check, property, member, &name, 0);
    for (size_t i = 0; i < node->pattern_property_count && (fine || curious(check)); i++) {
        if (!matches(check, &node->pattern_properties[i], name))
            continue;
        known = true;
        fine = check_part(check, node->pattern_properties[i].node, member, &name, 0) && fine;
    }
    if (!known && node->additional != NODE_NONE && check->schema->nodes[node->additional].never) {
        size_t before = check->pointer.size;
        json_pointer_append(&check->pointer, name);
        fine = unknown_property(check, node);
        check->pointer.size = before;
    } else if (!known && node->additional != NODE_NONE) {
        fine = check_part(check, node->additional, member, &name, 0);
    }
    if (node->property_names != NODE_NONE && (fine || curious(check))) {
        JSON_CLEANUP json_t *text = json_stringn((const char *)name.base, name.size);
        fine = check_part(check, node->property_names, text, &name, 0) && fine;
    }
    return fine;
}

static bool check_object(struct check *check, const struct schema_node *node, const json_t *instance)
{
    json_t     *object = (json_t *)(uintptr_t)instance, *value;
    const char *name;
    size_t      name_size;
    bool        fine = check_required(check, node->required, instance, NULL);
    fine = check_size(check, node, SIZE_PROPERTIES, json_object_size(instance), "properties") && fine;
    json_object_foreach((json_t *)(uintptr_t)node->dependent_required, name, value)
    {
        if (json_object_get(instance, name) != NULL && (fine || curious(check)))
            fine = check_required(check, value, instance, name) && fine;
    }
    json_object_keylen_foreach(object, name, name_size, value)
    {
        if (!spend(check, 1) || !(fine || curious(check)))
            break;
        fine = check_member(check, node, bytes_of(name, name_size), value) && fine;
    }
    for (size_t i = 0; i < node->dependent_count && (fine || curious(check)); i++) {
        struct node_member *member = &node->dependent_schemas[i];
        if (json_object_getn(instance, (const char *)member->name.base, member->name.size) != NULL)
            fine = check_node(check, member->node, instance) && fine;
    }
    return fine;
}

/* --- combinations --- */

static size_t slashes(struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size && text.base[i] != ':'; i++)
        count += text.base[i] == '/';
    return count;
}

/* How many of the alternatives hold, up to `enough`. Of those that do not, `nearest` gets the finding of the one that
 * came furthest into the value: that is what its author meant. */
static size_t count_holding(struct check *check, const struct node_list *list, const json_t *instance,
                            size_t enough, struct buffer *nearest)
{
    size_t         holding = 0, deepest = 0, findings = check->findings, findings_max = check->findings_max;
    struct buffer *words = check->words;
    for (size_t i = 0; i < list->count && holding < enough && !check->exhausted; i++) {
        CLEANUP(buffer_release) struct buffer branch = { 0 };
        if (words != NULL) {
            check->words = &branch;
            check->findings = 0;
            check->findings_max = 1;
        }
        if (check_node(check, list->nodes[i], instance)) {
            holding++;
        } else if (branch.size > 0 && (nearest->size == 0 || slashes(buffer_bytes(&branch)) > deepest)) {
            deepest = slashes(buffer_bytes(&branch));
            buffer_clear(nearest);
            buffer_append(nearest, buffer_bytes(&branch));
        }
    }
    check->words = words;
    check->findings = findings;
    check->findings_max = findings_max;
    return holding;
}

static bool check_alternatives(struct check *check, const struct schema_node *node, const json_t *instance)
{
    CLEANUP(buffer_release) struct buffer nearest = { 0 };
    const struct node_list *any = &node->combine[COMBINE_ANY], *one = &node->combine[COMBINE_ONE];
    bool                    fine = true;
    if (any->count > 0 && count_holding(check, any, instance, 1, &nearest) == 0)
        fine = wrong(check, "must be one of %zu forms; the nearest is missed at %.*s", any->count,
                     BYTES_FMT(buffer_bytes(&nearest)));
    if (one->count == 0 || !(fine || curious(check)))
        return fine;
    buffer_clear(&nearest);
    size_t holding = count_holding(check, one, instance, 2, &nearest);
    if (holding == 1)
        return fine;
    return holding == 0
               ? wrong(check, "must be one of %zu forms; the nearest is missed at %.*s", one->count,
                       BYTES_FMT(buffer_bytes(&nearest)))
               : wrong(check, "must be exactly one of %zu forms, and is more than one of them", one->count);
}

static bool check_combinations(struct check *check, const struct schema_node *node, const json_t *instance)
{
    const struct node_list *all = &node->combine[COMBINE_ALL];
    bool                    fine = true;
    for (size_t i = 0; i < all->count && (fine || curious(check)); i++)
        fine = check_node(check, all->nodes[i], instance) && fine;
    if (fine || curious(check))
        fine = check_alternatives(check, node, instance) && fine;
    if (node->not!= NODE_NONE && (fine || curious(check)) && check_quietly(check, node->not, instance))
        fine = wrong(check, "must not be what \"not\" describes");
    if (node->condition != NODE_NONE && (fine || curious(check))) {
        uint32_t then = check_quietly(check, node->condition, instance) ? node->then : node->otherwise;
        if (then != NODE_NONE)
            fine = check_node(check, then, instance) && fine;
    }
    return fine;
}

static bool check_keywords(struct check *check, const struct schema_node *node, const json_t *instance)
{
    bool fine = true;
    if (node->never)
        return wrong(check, "must not be there");
    if (node->reference != NODE_NONE)
        fine = check_node(check, node->reference, instance);
    if (!check_type(check, node, instance))
        return false; /* nothing else that could be said would help */
    if (node->enumeration != NULL || node->constant != NULL)
        fine = check_values(check, node, instance) && fine;
    if (json_is_number(instance))
        fine = check_number(check, node, instance) && fine;
    else if (json_is_string(instance))
        fine = check_string(check, node, instance) && fine;
    else if (json_is_array(instance))
        fine = check_array(check, node, instance) && fine;
    else if (json_is_object(instance))
        fine = check_object(check, node, instance) && fine;
    if (fine || curious(check))
        fine = check_combinations(check, node, instance) && fine;
    return fine;
}

static bool check_node(struct check *check, uint32_t node, const json_t *instance)
{
    assert(node < check->schema->node_count);
    if (check->depth == SCHEMA_DEPTH_MAX)
        check->exhausted = true;
    if (!spend(check, 1))
        return false;
    check->depth++;
    bool fine = check_keywords(check, &check->schema->nodes[node], instance);
    check->depth--;
    /* What holds because the effort ran out within a `not` does not hold. */
    return fine && !check->exhausted;
}

enum status schema_check(const struct schema *schema, const json_t *instance, struct buffer *words)
{
    struct check check = { .schema = schema, .words = words, .findings_max = SCHEMA_ERRORS_MAX };
    bool         fine = check_node(&check, 0, instance);
    buffer_release(&check.pointer);
    if (check.exhausted) {
        buffer_clear(words);
        buffer_append_text(words,
                           "(root): cannot be checked against its schema within the effort that is allowed");
        return ST_RESOURCE_EXHAUSTED;
    }
    if (!fine && words->size == 0)
        buffer_append_text(words, "(root): does not conform");
    return fine ? ST_OK : ST_INVALID_ARGUMENT;
}
