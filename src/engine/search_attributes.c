/* search_attributes.c: names, types and values of search attributes. */
#include "engine/search_attributes.h"

#include "codec/json_text.h"
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

enum json_kind { JSON_BAD, JSON_NULL, JSON_TRUE_FALSE, JSON_INTEGER, JSON_FRACTION, JSON_STRING };

struct scanner {
    const uint8_t *at, *end;
};

static void skip_blanks(struct scanner *scanner)
{
    while (scanner->at < scanner->end &&
           (*scanner->at == ' ' || *scanner->at == '\t' || *scanner->at == '\n' || *scanner->at == '\r'))
        scanner->at++;
}

static bool take_text(struct scanner *scanner, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(scanner->end - scanner->at) < size || memcmp(scanner->at, text, size) != 0)
        return false;
    scanner->at += size;
    return true;
}

static enum json_kind take_string(struct scanner *scanner, struct bytes *ret_text)
{
    const uint8_t *begin = ++scanner->at;
    while (scanner->at < scanner->end && *scanner->at != '"') {
        if (*scanner->at == '\\')
            scanner->at++;
        scanner->at++;
    }
    if (scanner->at >= scanner->end)
        return JSON_BAD;
    *ret_text = bytes_of(begin, (size_t)(scanner->at - begin));
    scanner->at++;
    return JSON_STRING;
}

/* An integer is one that 64 bits hold; what is written as a fraction or does not fit is a fraction. */
static enum json_kind take_number(struct scanner *scanner)
{
    static const char characters[] = "0123456789+-.eE";
    const uint8_t    *begin = scanner->at;
    bool              fraction = false;
    int64_t           value = 0;
    for (; scanner->at < scanner->end && memchr(characters, *scanner->at, sizeof characters - 1) != NULL;
         scanner->at++) {
        int digit = *scanner->at - '0';
        if (*scanner->at != '-' || scanner->at != begin)
            fraction = fraction || digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
                       __builtin_sub_overflow(value, digit,
                                              &value); /* downwards: there is one more of them */
    }
    if (!json_is_number(bytes_of(begin, (size_t)(scanner->at - begin))))
        return JSON_BAD;
    return fraction || (*begin != '-' && value == INT64_MIN) ? JSON_FRACTION : JSON_INTEGER;
}

static enum json_kind take_scalar(struct scanner *scanner, struct bytes *ret_text)
{
    skip_blanks(scanner);
    enum json_kind kind = JSON_BAD;
    if (scanner->at >= scanner->end)
        return JSON_BAD;
    if (*scanner->at == '"')
        kind = take_string(scanner, ret_text);
    else if (take_text(scanner, "null"))
        kind = JSON_NULL;
    else if (take_text(scanner, "true") || take_text(scanner, "false"))
        kind = JSON_TRUE_FALSE;
    else
        kind = take_number(scanner);
    skip_blanks(scanner);
    return kind;
}

static bool scalar_fits(enum json_kind kind, struct bytes text, int32_t type)
{
    int64_t seconds;
    int32_t nanos;
    switch (type) {
    case enums_INDEXED_VALUE_TYPE_TEXT:
    case enums_INDEXED_VALUE_TYPE_KEYWORD:
    case enums_INDEXED_VALUE_TYPE_KEYWORD_LIST:
        return kind == JSON_STRING;
    case enums_INDEXED_VALUE_TYPE_INT:
        return kind == JSON_INTEGER;
    case enums_INDEXED_VALUE_TYPE_DOUBLE:
        return kind == JSON_INTEGER || kind == JSON_FRACTION;
    case enums_INDEXED_VALUE_TYPE_BOOL:
        return kind == JSON_TRUE_FALSE;
    case enums_INDEXED_VALUE_TYPE_DATETIME:
        return kind == JSON_STRING && json_get_timestamp(text, &seconds, &nanos);
    default:
        return false;
    }
}

/* A value of the type, or null, which unsets the attribute. Clients write single values as lists of one, too; a KeywordList
 * is always a list. */
static bool value_fits(struct bytes json, int32_t type)
{
    struct scanner scanner = { json.base, json.base + json.size };
    struct bytes   text = BYTES_EMPTY;
    skip_blanks(&scanner);
    if (scanner.at < scanner.end && *scanner.at == '[') {
        scanner.at++;
        skip_blanks(&scanner);
        if (take_text(&scanner, "]")) {
            skip_blanks(&scanner);
            return scanner.at == scanner.end;
        }
        for (;;) {
            if (!scalar_fits(take_scalar(&scanner, &text), text, type))
                return false;
            if (take_text(&scanner, "]"))
                break;
            if (type != enums_INDEXED_VALUE_TYPE_KEYWORD_LIST || !take_text(&scanner, ","))
                return false;
        }
        skip_blanks(&scanner);
        return scanner.at == scanner.end;
    }
    enum json_kind kind = take_scalar(&scanner, &text);
    return scanner.at == scanner.end &&
           (kind == JSON_NULL ||
            (type != enums_INDEXED_VALUE_TYPE_KEYWORD_LIST && scalar_fits(kind, text, type)));
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

/* The namespace's own attributes, decoded once per use. */
static bool custom_load(const struct namespace_config *namespace, struct arena *arena,
                        struct state_Namespace *ret_record)
{
    *ret_record = (struct state_Namespace){ 0 };
    return namespace != NULL && pb_decode(&pb_state_Namespace, arena_copy(arena, namespace->record), arena,
                                          ret_record, NULL) == ST_OK;
}

/* 0: there is none of this name. */
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

static struct bytes metadata_find(const struct common_Payload *payload, const char *key)
{
    for (size_t i = 0; i < payload->metadata_count; i++) {
        if (bytes_equal_text(payload->metadata[i].key, key))
            return payload->metadata[i].value;
    }
    return BYTES_EMPTY;
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
    struct bytes encoding = metadata_find(&payload, "encoding");
    if (bytes_equal_text(encoding, "binary/null") || (payload.data.size == 0 && encoding.size == 0))
        return ST_OK;
    if (!bytes_equal_text(encoding, "json/plain") || !value_fits(payload.data, type))
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
    if (!custom_load(namespace, arena, &record))
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
        !custom_load(namespace, arena, &record))
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
