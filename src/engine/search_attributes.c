/* search_attributes.c: names, types and values of search attributes. */
#include "engine/search_attributes.h"

#include "codec/pb.h"

struct predefined {
    struct bytes name;
    int32_t      type;
};
/* Those of the predefined ones that a client may set. */
static const struct predefined predefined[] = {
    { BYTES("TemporalChangeVersion"), enums_INDEXED_VALUE_TYPE_KEYWORD_LIST },
    { BYTES("BinaryChecksums"), enums_INDEXED_VALUE_TYPE_KEYWORD_LIST },
    { BYTES("BuildIds"), enums_INDEXED_VALUE_TYPE_KEYWORD_LIST },
    { BYTES("BatcherNamespace"), enums_INDEXED_VALUE_TYPE_KEYWORD },
    { BYTES("BatcherUser"), enums_INDEXED_VALUE_TYPE_KEYWORD },
    { BYTES("TemporalScheduledStartTime"), enums_INDEXED_VALUE_TYPE_DATETIME },
    { BYTES("TemporalScheduledById"), enums_INDEXED_VALUE_TYPE_KEYWORD },
    { BYTES("TemporalSchedulePaused"), enums_INDEXED_VALUE_TYPE_BOOL },
    { BYTES("TemporalNamespaceDivision"), enums_INDEXED_VALUE_TYPE_KEYWORD },
    { BYTES("TemporalPauseInfo"), enums_INDEXED_VALUE_TYPE_KEYWORD_LIST },
    { BYTES("TemporalReportedProblems"), enums_INDEXED_VALUE_TYPE_KEYWORD_LIST },
};

int32_t search_attribute_type(const struct namespace_config *namespace, struct bytes name,
                              struct arena *arena)
{
    for (size_t i = 0; i < ARRAY_COUNT(predefined); i++)
        if (bytes_equal(predefined[i].name, name))
            return predefined[i].type;
    struct state_Namespace record = { 0 };
    struct error           error;
    if (namespace == NULL ||
        pb_decode(&pb_state_Namespace, namespace->record, arena, &record, &error) != ST_OK)
        return 0;
    for (size_t i = 0; i < record.search_attributes_count; i++)
        if (bytes_equal(record.search_attributes[i].key, name))
            return record.search_attributes[i].value;
    return 0;
}

static struct bytes trimmed(struct bytes text)
{
    while (text.size != 0 && strchr(" \t\r\n", text.base[0]) != NULL)
        text = bytes_of(text.base + 1, text.size - 1);
    while (text.size != 0 && strchr(" \t\r\n", text.base[text.size - 1]) != NULL)
        text.size--;
    return text;
}

static bool is_number(struct bytes text, bool integer)
{
    size_t digits = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.base[i];
        if (c >= '0' && c <= '9')
            digits++;
        else if (!(i == 0 && c == '-') && (integer || strchr("+-.eE", c) == NULL))
            return false;
    }
    return digits != 0;
}

static bool is_string(struct bytes text)
{
    return text.size >= 2 && text.base[0] == '"' && text.base[text.size - 1] == '"';
}

static bool is_date(struct bytes text)
{
    /* "2006-01-02T15:04:05Z" at least */
    return is_string(text) && text.size >= 22 && text.base[5] == '-' && text.base[8] == '-' &&
           text.base[11] == 'T';
}

static bool scalar_fits(struct bytes text, int32_t type)
{
    switch (type) {
    case enums_INDEXED_VALUE_TYPE_INT:
        return is_number(text, true);
    case enums_INDEXED_VALUE_TYPE_DOUBLE:
        return is_number(text, false);
    case enums_INDEXED_VALUE_TYPE_BOOL:
        return bytes_equal_text(text, "true") || bytes_equal_text(text, "false");
    case enums_INDEXED_VALUE_TYPE_DATETIME:
        return is_date(text);
    default:
        return is_string(text);
    }
}

/* A scalar, or a list of them; the elements of a list of texts are not looked into. */
static bool value_fits(struct bytes json, int32_t type)
{
    struct bytes text = trimmed(json);
    if (bytes_equal_text(text, "null") || bytes_equal_text(text, "[]"))
        return true;
    if (text.size < 2 || text.base[0] != '[')
        return scalar_fits(text, type);
    if (text.base[text.size - 1] != ']')
        return false;
    struct bytes inner = trimmed(bytes_of(text.base + 1, text.size - 2));
    if (type == enums_INDEXED_VALUE_TYPE_KEYWORD_LIST || type == enums_INDEXED_VALUE_TYPE_KEYWORD ||
        type == enums_INDEXED_VALUE_TYPE_TEXT)
        return is_string(inner);
    const uint8_t *comma = memchr(inner.base, ',', inner.size);
    return scalar_fits(trimmed(comma == NULL ? inner : bytes_of(inner.base, (size_t)(comma - inner.base))),
                       type);
}

static struct bytes metadata_of(const struct common_Payload *payload, const char *key)
{
    for (size_t i = 0; i < payload->metadata_count; i++)
        if (bytes_equal_text(payload->metadata[i].key, key))
            return payload->metadata[i].value;
    return BYTES_EMPTY;
}

enum status search_attributes_check(const struct namespace_config *namespace, struct bytes encoded,
                                    struct arena *arena, struct error *error)
{
    struct common_SearchAttributes attributes = { 0 };
    if (encoded.size == 0)
        return ST_OK;
    enum status status = pb_decode(&pb_common_SearchAttributes, encoded, arena, &attributes, error);
    if (status != ST_OK)
        return status;
    if (attributes.indexed_fields_count > SEARCH_ATTRIBUTES_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "number of search attributes %zu exceeds limit %d",
                         attributes.indexed_fields_count, SEARCH_ATTRIBUTES_MAX);
    if (encoded.size > SEARCH_ATTRIBUTES_SIZE_MAX)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "total size %zu of search attributes exceeds size limit %d", encoded.size,
                         SEARCH_ATTRIBUTES_SIZE_MAX);
    for (size_t i = 0; i < attributes.indexed_fields_count; i++) {
        struct bytes          name = attributes.indexed_fields[i].key;
        struct common_Payload payload = { 0 };
        int32_t               type = search_attribute_type(namespace, name, arena);
        if (type == 0)
            return error_set(error, ST_INVALID_ARGUMENT, "search attribute %.*s is not defined",
                             BYTES_FMT(name));
        if (attributes.indexed_fields[i].value.size == 0)
            continue;
        status = pb_decode(&pb_common_Payload, attributes.indexed_fields[i].value, arena, &payload, error);
        if (status != ST_OK)
            return status;
        if (payload.data.size > SEARCH_ATTRIBUTE_SIZE_MAX)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "search attribute %.*s value size %zu exceeds size limit %d", BYTES_FMT(name),
                             payload.data.size, SEARCH_ATTRIBUTE_SIZE_MAX);
        if (!bytes_equal_text(metadata_of(&payload, "encoding"), "binary/null") &&
            !value_fits(payload.data, type))
            return error_set(error, ST_INVALID_ARGUMENT,
                             "invalid value for search attribute %.*s of type %s: %.*s", BYTES_FMT(name),
                             pb_enum_value_name(&pb_enum_enums_IndexedValueType, type),
                             BYTES_FMT(payload.data));
    }
    return ST_OK;
}

static struct bytes type_name(int32_t type)
{
    switch (type) {
    case enums_INDEXED_VALUE_TYPE_TEXT:
        return BYTES("Text");
    case enums_INDEXED_VALUE_TYPE_INT:
        return BYTES("Int");
    case enums_INDEXED_VALUE_TYPE_DOUBLE:
        return BYTES("Double");
    case enums_INDEXED_VALUE_TYPE_BOOL:
        return BYTES("Bool");
    case enums_INDEXED_VALUE_TYPE_DATETIME:
        return BYTES("Datetime");
    case enums_INDEXED_VALUE_TYPE_KEYWORD_LIST:
        return BYTES("KeywordList");
    default:
        return BYTES("Keyword");
    }
}

static struct bytes payload_typed(struct bytes encoded, int32_t type, struct arena *arena)
{
    struct common_Payload payload = { 0 };
    struct error          error;
    if (pb_decode(&pb_common_Payload, encoded, arena, &payload, &error) != ST_OK ||
        metadata_of(&payload, "type").size != 0)
        return encoded;
    struct common_Payload_MetadataEntry *metadata =
        ARENA_NEW_ARRAY(arena, struct common_Payload_MetadataEntry, payload.metadata_count + 1);
    for (size_t i = 0; i < payload.metadata_count; i++)
        metadata[i] = payload.metadata[i];
    metadata[payload.metadata_count].key = BYTES("type");
    metadata[payload.metadata_count++].value = type_name(type);
    payload.metadata = metadata;
    return pb_encode_arena(&pb_common_Payload, &payload, arena);
}

struct bytes search_attributes_typed(const struct namespace_config *namespace, struct bytes encoded,
                                     struct arena *arena)
{
    struct common_SearchAttributes attributes = { 0 };
    struct error                   error;
    if (encoded.size == 0 ||
        pb_decode(&pb_common_SearchAttributes, encoded, arena, &attributes, &error) != ST_OK)
        return encoded;
    for (size_t i = 0; i < attributes.indexed_fields_count; i++)
        attributes.indexed_fields[i].value =
            payload_typed(attributes.indexed_fields[i].value,
                          search_attribute_type(namespace, attributes.indexed_fields[i].key, arena), arena);
    return pb_encode_arena(&pb_common_SearchAttributes, &attributes, arena);
}
