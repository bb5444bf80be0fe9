/* search_attributes.c: names, types and values of search attributes. */
#include "engine/search_attributes.h"

#include "codec/json_text.h"
#include "codec/json_token.h"
#include "codec/pb.h"

#define SYSTEM(name, type)     { BYTES(name), enums_INDEXED_VALUE_TYPE_##type, false }
#define PREDEFINED(name, type) { BYTES(name), enums_INDEXED_VALUE_TYPE_##type, true }
const struct search_attribute system_attributes[] = {
    SYSTEM("WorkflowId", KEYWORD),
    SYSTEM("RunId", KEYWORD),
    SYSTEM("WorkflowType", KEYWORD),
    SYSTEM("TaskQueue", KEYWORD),
    SYSTEM("ExecutionStatus", KEYWORD),
    SYSTEM("ParentWorkflowId", KEYWORD),
    SYSTEM("ParentRunId", KEYWORD),
    SYSTEM("RootWorkflowId", KEYWORD),
    SYSTEM("RootRunId", KEYWORD),
    SYSTEM("StartTime", DATETIME),
    SYSTEM("ExecutionTime", DATETIME),
    SYSTEM("CloseTime", DATETIME),
    SYSTEM("HistoryLength", INT),
    SYSTEM("ExecutionDuration", INT),
    SYSTEM("StateTransitionCount", INT),
    SYSTEM("HistorySizeBytes", INT),
    SYSTEM("TemporalUsedWorkerDeploymentVersions", KEYWORD_LIST),
    SYSTEM("TemporalWorkerDeployment", KEYWORD),
    SYSTEM("TemporalWorkerDeploymentVersion", KEYWORD),
    SYSTEM("TemporalWorkflowVersioningBehavior", KEYWORD),
    SYSTEM("TemporalSchedulePaused", BOOL),
    SYSTEM("TemporalExternalPayloadCount", INT),
    SYSTEM("TemporalExternalPayloadSizeBytes", INT),
    PREDEFINED("TemporalChangeVersion", KEYWORD_LIST),
    PREDEFINED("BinaryChecksums", KEYWORD_LIST),
    PREDEFINED("BuildIds", KEYWORD_LIST),
    PREDEFINED("BatcherNamespace", KEYWORD),
    PREDEFINED("BatcherUser", KEYWORD),
    PREDEFINED("TemporalScheduledById", KEYWORD),
    PREDEFINED("TemporalScheduledStartTime", DATETIME),
    PREDEFINED("TemporalNamespaceDivision", KEYWORD),
    PREDEFINED("TemporalPauseInfo", KEYWORD_LIST),
    PREDEFINED("TemporalReportedProblems", KEYWORD_LIST),
};
const size_t system_attribute_count = ARRAY_COUNT(system_attributes);

static const char *const type_names[] = { "",       "Text", "Keyword",  "Int",
                                          "Double", "Bool", "Datetime", "KeywordList" };

/* --- JSON values, as far as types need them: scalars, and flat arrays of them --- */

/* Where the values that are read go. */
struct value_list {
    struct arena                 *arena;
    struct store_attribute        attribute; /* of the values to come */
    struct store_attribute_value *values;
    size_t                        count, capacity;
};

static void list_add(struct value_list *list, struct store_value value)
{
    if (list->count == list->capacity) {
        size_t                        capacity = MAX(list->capacity * 2, (size_t)8);
        struct store_attribute_value *values = ARENA_NEW_ARRAY(list->arena, struct store_attribute_value,
                                                               capacity);
        for (size_t i = 0; i < list->count; i++)
            values[i] = list->values[i];
        list->values = values;
        list->capacity = capacity;
    }
    list->values[list->count++] = (struct store_attribute_value){ list->attribute, value };
}

static void list_add_number(struct value_list *list, int64_t number)
{
    if (list != NULL)
        list_add(list, (struct store_value){ .number = number });
}

/* What clients wrote with a bad escape is no value to find it by; nobody refused it when it was set. */
static void list_add_text(struct value_list *list, const struct json_token *token)
{
    struct bytes text, word;
    uint8_t      room[WORD_SIZE_MAX];
    if (list == NULL || !json_token_string(token, list->arena, &text))
        return;
    if (list->attribute.type != STORE_ATTRIBUTE_TEXT) {
        list_add(list, (struct store_value){ .is_text = true, .text = text });
        return;
    }
    while (store_words_next(&text, room, &word))
        list_add(list, (struct store_value){ .is_text = true, .text = arena_copy(list->arena, word) });
}

/* False: a fraction, or more than 64 bits hold. */
static bool take_integer(struct bytes text, int64_t *ret_value)
{
    bool   negative = text.size != 0 && text.base[0] == '-';
    size_t at = negative;
    *ret_value = 0;
    for (; at < text.size && text.base[at] >= '0' && text.base[at] <= '9'; at++) {
        int digit = text.base[at] - '0'; /* downwards: there is one more of them */
        if (__builtin_mul_overflow(*ret_value, 10, ret_value) ||
            __builtin_sub_overflow(*ret_value, digit, ret_value))
            return false;
    }
    return at == text.size && (negative || !__builtin_sub_overflow(0, *ret_value, ret_value));
}

static bool take_time(const struct json_token *token, int64_t *ret_ns)
{
    int64_t seconds;
    int32_t nanos;
    if (token->kind != JSON_STRING || !json_get_timestamp(token->text, &seconds, &nanos))
        return false;
    if (__builtin_mul_overflow(seconds, NS_PER_S, ret_ns) || __builtin_add_overflow(*ret_ns, nanos, ret_ns))
        *ret_ns = seconds < 0 ? INT64_MIN : INT64_MAX; /* years that 64 bits do not hold: at the ends */
    return true;
}

static bool take_scalar(const struct json_token *token, int32_t type, struct value_list *list)
{
    int64_t number;
    double  fraction;
    switch (type) {
    case enums_INDEXED_VALUE_TYPE_TEXT:
    case enums_INDEXED_VALUE_TYPE_KEYWORD:
    case enums_INDEXED_VALUE_TYPE_KEYWORD_LIST:
        if (token->kind != JSON_STRING)
            return false;
        list_add_text(list, token);
        return true;
    case enums_INDEXED_VALUE_TYPE_INT:
        if (token->kind != JSON_NUMBER || !take_integer(token->text, &number))
            return false;
        break;
    case enums_INDEXED_VALUE_TYPE_DOUBLE:
        if (token->kind != JSON_NUMBER || !json_get_double(token->text, &fraction))
            return false;
        number = store_number_of_double(fraction);
        break;
    case enums_INDEXED_VALUE_TYPE_BOOL:
        if (token->kind != JSON_TRUE && token->kind != JSON_FALSE)
            return false;
        number = token->kind == JSON_TRUE;
        break;
    case enums_INDEXED_VALUE_TYPE_DATETIME:
        if (!take_time(token, &number))
            return false;
        break;
    default:
        return false;
    }
    list_add_number(list, number);
    return true;
}

/* Whether it is a value of the type, or null, which unsets the attribute; what is read goes to the list, if there is one.
 * Clients write single values as lists of one, too; a KeywordList is always a list. */
static bool take_value(struct bytes json, int32_t type, struct value_list *list)
{
    struct json_reader reader = { json.base, json.base, json.base + json.size };
    struct json_token  token = json_next(&reader);
    bool               in_list = token.kind == JSON_ARRAY_OPEN;
    if (in_list)
        token = json_next(&reader);
    if (token.kind == (in_list ? JSON_ARRAY_CLOSE : JSON_NULL))
        return json_next(&reader).kind == JSON_END;
    if (!in_list && type == enums_INDEXED_VALUE_TYPE_KEYWORD_LIST)
        return false;
    for (;;) {
        if (!take_scalar(&token, type, list))
            return false;
        token = json_next(&reader);
        if (!in_list)
            return token.kind == JSON_END;
        if (token.kind == JSON_ARRAY_CLOSE)
            return json_next(&reader).kind == JSON_END;
        if (token.kind != JSON_COMMA || type != enums_INDEXED_VALUE_TYPE_KEYWORD_LIST)
            return false;
        token = json_next(&reader);
    }
}

/* --- names --- */

const struct search_attribute *search_attribute_system(struct bytes name)
{
    for (size_t i = 0; i < system_attribute_count; i++) {
        if (bytes_equal(system_attributes[i].name, name))
            return &system_attributes[i];
    }
    return NULL;
}

bool search_attributes_load(const struct namespace_config *namespace, struct arena *arena,
                            struct state_Namespace *ret_record)
{
    *ret_record = (struct state_Namespace){ 0 };
    return namespace != NULL && pb_decode(&pb_state_Namespace, arena_copy(arena, namespace->record), arena,
                                          ret_record, NULL) == ST_OK;
}

static int32_t type_find(const struct state_Namespace *record, struct bytes name, bool *ret_settable)
{
    const struct search_attribute *system = search_attribute_system(name);
    *ret_settable = system == NULL || system->settable;
    if (system != NULL)
        return system->type;
    for (size_t i = 0; i < record->search_attributes_count; i++) {
        if (bytes_equal(record->search_attributes[i].key, name))
            return record->search_attributes[i].value;
    }
    return 0;
}

int32_t search_attribute_type(const struct state_Namespace *record, struct bytes name)
{
    bool settable;
    return type_find(record, name, &settable);
}

static struct bytes metadata_find(const struct common_Payload *payload, const char *key)
{
    for (size_t i = 0; i < payload->metadata_count; i++) {
        if (bytes_equal_text(payload->metadata[i].key, key))
            return payload->metadata[i].value;
    }
    return BYTES_EMPTY;
}

static bool take_payload(const struct common_Payload *payload, int32_t type, struct value_list *list)
{
    struct bytes encoding = metadata_find(payload, "encoding");
    if (bytes_equal_text(encoding, "binary/null") || (payload->data.size == 0 && encoding.size == 0))
        return true;
    return bytes_equal_text(encoding, "json/plain") && take_value(payload->data, type, list);
}

static const struct limits *limits_of(const struct namespace_config *namespace)
{
    return namespace == NULL ? &limits_default : namespace->limits;
}

static enum status check_one(struct bytes name, struct bytes value, const struct state_Namespace *record,
                             struct arena *arena, struct error *error)
{
    bool    settable;
    int32_t type = type_find(record, name, &settable);
    if (type == 0)
        return error_set(error, ST_INVALID_ARGUMENT, "Search attribute %.*s is not defined.",
                         BYTES_FMT(name));
    if (!settable)
        return error_set(error, ST_INVALID_ARGUMENT, "Search attribute %.*s cannot be set by clients.",
                         BYTES_FMT(name));
    struct common_Payload payload = { 0 };
    enum status           status = pb_decode(&pb_common_Payload, value, arena, &payload, error);
    if (status != ST_OK)
        return status;
    if (!take_payload(&payload, type, NULL))
        return error_set(error, ST_INVALID_ARGUMENT, "Search attribute %.*s is no value of type %s.",
                         BYTES_FMT(name), type_names[type]);
    return ST_OK;
}

enum status search_attributes_check(const struct namespace_config *namespace, struct bytes encoded,
                                    struct arena *arena, struct error *error)
{
    struct common_SearchAttributes attributes = { 0 };
    struct state_Namespace         record;
    if (encoded.size == 0)
        return ST_OK;
    const struct limits *limits = limits_of(namespace);
    enum status          status = pb_decode(&pb_common_SearchAttributes, encoded, arena, &attributes, error);
    if (status != ST_OK)
        return status;
    if (attributes.indexed_fields_count > limits->search_attributes_max)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "Search attributes: %zu keys, more than the %zu allowed.",
                         attributes.indexed_fields_count, limits->search_attributes_max);
    if (!search_attributes_load(namespace, arena, &record))
        return error_set(error, ST_INTERNAL, "the record of the namespace does not decode");
    for (size_t i = 0; i < attributes.indexed_fields_count; i++) {
        status = check_one(attributes.indexed_fields[i].key, attributes.indexed_fields[i].value, &record,
                           arena, error);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

enum status search_attributes_fit(const struct namespace_config *namespace, struct bytes encoded,
                                  struct arena *arena, struct error *error)
{
    struct common_SearchAttributes attributes = { 0 };
    const struct limits           *limits = limits_of(namespace);
    if (encoded.size > limits->search_attributes_size_max)
        return error_set(error, ST_INVALID_ARGUMENT, "Search attributes exceed size limit of %zu bytes.",
                         limits->search_attributes_size_max);
    enum status status = pb_decode(&pb_common_SearchAttributes, encoded, arena, &attributes, error);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < attributes.indexed_fields_count; i++)
        if (attributes.indexed_fields[i].value.size > limits->search_attribute_size_max)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "Search attribute %.*s exceeds size limit of %zu bytes.",
                             BYTES_FMT(attributes.indexed_fields[i].key), limits->search_attribute_size_max);
    return ST_OK;
}

/* --- for readers --- */

static struct bytes payload_typed(struct bytes value, int32_t type, struct arena *arena)
{
    struct common_Payload payload = { 0 };
    if (pb_decode(&pb_common_Payload, value, arena, &payload, NULL) != ST_OK ||
        metadata_find(&payload, "type").size != 0)
        return value;
    struct common_Payload_MetadataEntry *metadata = ARENA_NEW_ARRAY(arena,
                                                                    struct common_Payload_MetadataEntry,
                                                                    payload.metadata_count + 1);
    for (size_t i = 0; i < payload.metadata_count; i++)
        metadata[i] = payload.metadata[i];
    metadata[payload.metadata_count].key = BYTES("type");
    metadata[payload.metadata_count].value = bytes_of_text(type_names[type]);
    payload.metadata = metadata;
    payload.metadata_count++;
    return pb_encode_arena(&pb_common_Payload, &payload, arena);
}

struct bytes search_attributes_typed(const struct namespace_config *namespace, struct bytes encoded,
                                     struct arena *arena)
{
    struct common_SearchAttributes attributes = { 0 };
    struct state_Namespace         record;
    if (encoded.size == 0 ||
        pb_decode(&pb_common_SearchAttributes, encoded, arena, &attributes, NULL) != ST_OK ||
        !search_attributes_load(namespace, arena, &record))
        return encoded;
    for (size_t i = 0; i < attributes.indexed_fields_count; i++) {
        bool    settable;
        int32_t type = type_find(&record, attributes.indexed_fields[i].key, &settable);
        if (type > 0 && (size_t)type < ARRAY_COUNT(type_names))
            attributes.indexed_fields[i].value = payload_typed(attributes.indexed_fields[i].value, type,
                                                               arena);
    }
    return pb_encode_arena(&pb_common_SearchAttributes, &attributes, arena);
}

/* --- for lists --- */

struct bytes search_attributes_values(const struct namespace_config *namespace, struct bytes encoded,
                                      struct arena *arena, bool *ret_apart)
{
    struct common_SearchAttributes attributes = { 0 };
    struct state_Namespace         record;
    struct value_list              list = { .arena = arena };
    *ret_apart = false;
    if (encoded.size == 0 ||
        pb_decode(&pb_common_SearchAttributes, encoded, arena, &attributes, NULL) != ST_OK)
        return BYTES_EMPTY;
    search_attributes_load(namespace, arena, &record); /* without it: those that every namespace has */
    for (size_t i = 0; i < attributes.indexed_fields_count; i++) {
        struct common_Payload payload = { 0 };
        size_t                before = list.count;
        int32_t               type = search_attribute_type(&record, attributes.indexed_fields[i].key);
        if (type == 0 || /* it was removed */
            pb_decode(&pb_common_Payload, attributes.indexed_fields[i].value, arena, &payload, NULL) != ST_OK)
            continue;
        list.attribute = (struct store_attribute){ attributes.indexed_fields[i].key,
                                                   (enum store_attribute_type)type };
        if (!take_payload(&payload, type, &list))
            list.count = before; /* of the type that an attribute of this name had before */
        if (list.count != before && bytes_equal_text(list.attribute.name, "TemporalNamespaceDivision"))
            *ret_apart = true;
    }
    return store_attributes_encode(list.values, list.count, arena);
}
