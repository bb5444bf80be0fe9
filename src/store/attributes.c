/* attributes.c: search attributes as rows carry them, and the keys of orders and groupings.
 *
 *   value := type (1 byte), size of the name (4), name, then a number (8), or size of the text (4) and the text
 *
 * All numbers little-endian. The same values always give the same bytes, so a store may compare digests of them.
 */
#include "store/store_internal.h"

#define NAME_SIZE_MAX (1U << 16)

/* --- numbers and words --- */

int64_t store_number_of_double(double value)
{
    int64_t bits;
    if (!(value < 0 || value > 0))
        return 0; /* both zeroes; and what is no number, which callers refuse */
    memcpy(&bits, &value, sizeof bits);
    return bits >= 0 ? bits : INT64_MIN - bits; /* negative ones grow downwards */
}

double store_double_of_number(int64_t number)
{
    int64_t bits = number >= 0 ? number : INT64_MIN - number;
    double  value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool is_of_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 0x80;
}

bool store_words_next(struct bytes *text, uint8_t *room, struct bytes *ret_word)
{
    size_t at = 0, size = 0;
    while (at < text->size && !is_of_word(text->base[at]))
        at++;
    for (; at < text->size && is_of_word(text->base[at]); at++) {
        uint8_t c = text->base[at];
        if (size < WORD_SIZE_MAX)
            room[size++] = c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
    }
    *text = bytes_of(text->base + at, text->size - at);
    *ret_word = bytes_of(room, size);
    return size != 0;
}

/* --- encoding --- */

static int compare_attributes(const struct store_attribute *a, const struct store_attribute *b)
{
    int order = bytes_compare(a->name, b->name);
    return order != 0 ? order : (a->type > b->type) - (a->type < b->type);
}

int store_value_compare(const struct store_value *a, const struct store_value *b)
{
    return a->is_text ? bytes_compare(a->text, b->text) : (a->number > b->number) - (a->number < b->number);
}

static int compare_values(const void *left, const void *right)
{
    const struct store_attribute_value *a = left, *b = right;
    int                                 order = compare_attributes(&a->attribute, &b->attribute);
    return order != 0 ? order : store_value_compare(&a->value, &b->value);
}

static uint8_t *put(uint8_t *at, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *at++ = (uint8_t)(number >> (8 * i));
    return at;
}

static uint8_t *put_bytes(uint8_t *at, struct bytes bytes)
{
    at = put(at, bytes.size, 4);
    if (bytes.size != 0)
        memcpy(at, bytes.base, bytes.size);
    return at + bytes.size;
}

static bool is_repeated(const struct store_attribute_value *values, size_t i)
{
    if (i == 0 || compare_attributes(&values[i - 1].attribute, &values[i].attribute) != 0)
        return false;
    return !store_attribute_is_many(values[i].attribute.type) ||
           store_value_compare(&values[i - 1].value, &values[i].value) == 0;
}

struct bytes store_attributes_encode(struct store_attribute_value *values, size_t count, struct arena *arena)
{
    size_t size = 0;
    if (count == 0)
        return BYTES_EMPTY;
    qsort(values, count, sizeof *values, compare_values);
    for (size_t i = 0; i < count; i++) {
        assert(values[i].attribute.name.size <= NAME_SIZE_MAX);
        assert(values[i].value.is_text == store_attribute_is_text(values[i].attribute.type));
        size += 5 + values[i].attribute.name.size + 8 + values[i].value.text.size;
    }
    uint8_t *base = arena_must(arena_alloc(arena, size)), *at = base;
    for (size_t i = 0; i < count; i++) {
        if (is_repeated(values, i))
            continue;
        *at++ = (uint8_t)values[i].attribute.type;
        at = put_bytes(at, values[i].attribute.name);
        at = values[i].value.is_text ? put_bytes(at, values[i].value.text)
                                     : put(at, (uint64_t)values[i].value.number, 8);
    }
    return bytes_of(base, (size_t)(at - base));
}

static bool take(struct bytes *from, size_t size, uint64_t *ret_number)
{
    if (from->size < size)
        return false;
    *ret_number = 0;
    for (size_t i = 0; i < size; i++)
        *ret_number |= (uint64_t)from->base[i] << (8 * i);
    *from = bytes_of(from->base + size, from->size - size);
    return true;
}

static bool take_bytes(struct bytes *from, struct bytes *ret_bytes)
{
    uint64_t size;
    if (!take(from, 4, &size) || from->size < size)
        return false;
    *ret_bytes = bytes_of(from->base, size);
    *from = bytes_of(from->base + size, from->size - size);
    return true;
}

bool store_attributes_next(struct bytes *attributes, struct store_attribute_value *ret_value)
{
    struct bytes rest = *attributes;
    uint64_t     type, number = 0;
    *ret_value = (struct store_attribute_value){ .value.number = 0 };
    if (!take(&rest, 1, &type) || type < STORE_ATTRIBUTE_TEXT || type > STORE_ATTRIBUTE_LIST ||
        !take_bytes(&rest, &ret_value->attribute.name))
        return false;
    ret_value->attribute.type = (enum store_attribute_type)type;
    ret_value->value.is_text = store_attribute_is_text(ret_value->attribute.type);
    if (ret_value->value.is_text ? !take_bytes(&rest, &ret_value->value.text) : !take(&rest, 8, &number))
        return false;
    ret_value->value.number = (int64_t)number;
    *attributes = rest;
    return true;
}

bool store_attributes_find(struct bytes *attributes, const struct store_attribute *attribute,
                           struct store_value *ret_value)
{
    struct store_attribute_value value;
    while (store_attributes_next(attributes, &value)) {
        if (compare_attributes(&value.attribute, attribute) == 0) {
            *ret_value = value.value;
            return true;
        }
    }
    return false;
}

/* --- keys --- */

struct store_column_value store_key_of(const struct store_run *run, const struct store_key *key)
{
    if (key->column != STORE_COLUMN_ATTRIBUTE)
        return store_run_column(run, key->column);
    struct store_column_value column = { .is_null = false };
    struct bytes              attributes = run->attributes;
    column.is_null = !store_attributes_find(&attributes, key->attribute, &column.value);
    return column;
}

enum status store_keys_check(const struct store_read *read, struct error *error)
{
    if (read->key_count > STORE_KEYS_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "more than %d attributes to order or group by",
                         STORE_KEYS_MAX);
    if (read->run_kind < STORE_RUN_ANY_KIND || read->run_kind >= STORE_RUN_KIND_COUNT)
        return error_set(error, ST_INVALID_ARGUMENT, "unknown kind of runs %d", read->run_kind);
    size_t lists = 0;
    for (size_t i = 0; i < read->key_count; i++) {
        const struct store_key *key = &read->keys[i];
        if (key->column > STORE_COLUMN_ATTRIBUTE ||
            (key->column == STORE_COLUMN_ATTRIBUTE) != (key->attribute != NULL))
            return error_set(error, ST_INVALID_ARGUMENT, "unknown column %d", (int)key->column);
        if (key->attribute == NULL || !store_attribute_is_many(key->attribute->type))
            continue;
        lists++;
        if (read->kind == STORE_READ_LIST || key->attribute->type == STORE_ATTRIBUTE_TEXT || lists > 1)
            return error_set(error, ST_INVALID_ARGUMENT, "%.*s has several values, which have no order",
                             BYTES_FMT(key->attribute->name));
    }
    return ST_OK;
}

int store_keys_compare(const struct store_key *keys, size_t count, const struct store_column_value *a,
                       store_number a_number, const struct store_column_value *b, store_number b_number)
{
    for (size_t i = 0; i < count; i++) {
        int order;
        if (a[i].is_null || b[i].is_null)
            order = a[i].is_null == b[i].is_null ? 0 : a[i].is_null == keys[i].nulls_first ? -1 : 1;
        else
            order = store_value_compare(&a[i].value, &b[i].value) * (keys[i].descending ? -1 : 1);
        if (order != 0)
            return order;
    }
    int newest_first = (a_number < b_number) - (a_number > b_number);
    return keys[count - 1].descending ? newest_first : -newest_first;
}
