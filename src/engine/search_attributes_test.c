/* search_attributes_test.c: which values which types take, and what readers are given. */
#include "engine/search_attributes.h"

#include "base/testing.h"
#include "codec/pb.h"
#include "shard/limits.h"

/* A namespace with one attribute of each type, named as the type. */
struct fixture {
    struct arena  arena;
    struct limits limits;
    struct namespace_config namespace;
    struct error error;
};
static const char *const types[] = {
    "", "Text", "Keyword", "Int", "Double", "Bool", "Datetime", "KeywordList"
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){ .limits = limits_default };
    arena_init(&f->arena, SIZE_MAX);
    struct state_Namespace                       record = { 0 };
    struct state_Namespace_SearchAttributesEntry entries[ARRAY_COUNT(types)] = { 0 };
    for (size_t i = 1; i < ARRAY_COUNT(types); i++)
        entries[i - 1] = (struct state_Namespace_SearchAttributesEntry){ .key = bytes_of_text(types[i]),
                                                                         .value = (int32_t)i };
    record.search_attributes = entries;
    record.search_attributes_count = ARRAY_COUNT(types) - 1;
    f->namespace.record = pb_encode_arena(&pb_state_Namespace, &record, &f->arena);
    f->namespace.limits = &f->limits;
}

static struct bytes payload(struct fixture *f, const char *encoding, const char *data)
{
    struct common_Payload_MetadataEntry entry = { .key = BYTES("encoding"),
                                                  .value = bytes_of_text(encoding) };
    struct common_Payload               value = { .data = bytes_of_text(data) };
    value.metadata = &entry;
    value.metadata_count = encoding[0] != '\0';
    return pb_encode_arena(&pb_common_Payload, &value, &f->arena);
}

static struct bytes attributes(struct fixture *f, const char *name, struct bytes value)
{
    struct common_SearchAttributes_IndexedFieldsEntry entry = { .key = bytes_of_text(name), .value = value };
    struct common_SearchAttributes                    all = { 0 };
    all.indexed_fields = &entry;
    all.indexed_fields_count = 1;
    return pb_encode_arena(&pb_common_SearchAttributes, &all, &f->arena);
}

static enum status check(struct fixture *f, const char *name, const char *json)
{
    struct bytes encoded = attributes(f, name, payload(f, "json/plain", json));
    return search_attributes_check(&f->namespace, encoded, &f->arena, &f->error);
}

struct row {
    const char *name, *json;
};

TEST(values_of_their_type_are_taken)
{
    static const struct row rows[] = {
        { "Text", "\"a b\"" },
        { "Text", "[\"one\"]" },
        { "Text", "\"a \\\"quoted\\\" word\"" },
        { "Keyword", "\"\"" },
        { "Keyword", " \t\r\n\"x\"\n " },
        { "Int", "0" },
        { "Int", "-12" },
        { "Int", "9223372036854775807" },
        { "Int", "-9223372036854775808" },
        { "Int", "[ 7 ]" },
        { "Double", "1" },
        { "Double", "-1.25e-3" },
        { "Double", "2E+10" },
        { "Double", "9223372036854775808" },
        { "Bool", "true" },
        { "Bool", "false" },
        { "Bool", "[true]" },
        { "Datetime", "\"2026-07-01T10:00:00Z\"" },
        { "Datetime", "\"2026-07-01T10:00:00.123456789-05:30\"" },
        { "KeywordList", "[\"a\", \"b\",\"c\" ] " },
        { "KeywordList", "[ ] " },
        { "KeywordList", "null" },
        { "Int", "null" },
        { "Int", "[]" },
        { "BuildIds", "[\"v1\"]" },
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (check(&f, rows[i].name, rows[i].json) != ST_OK)
            fail_msg("%s refused %s: %s", rows[i].name, rows[i].json, f.error.message);
    }
    arena_release(&f.arena);
}

TEST(values_of_other_types_are_refused_by_name)
{
    static const struct row rows[] = {
        { "Text", "1" },
        { "Text", "true" },
        { "Keyword", "\"open" },
        { "Keyword", "\"open\\" },
        { "Keyword", "[\"a\",\"b\"]" },
        { "Keyword", "\"a\" x" },
        { "Keyword", "[\"a\"] x" },
        { "Int", "1.0" },
        { "Int", "1e3" },
        { "Int", "-" },
        { "Int", "01" },
        { "Int", "1-2" },
        { "Int", "9223372036854775808" },
        { "Int", "-9223372036854775809" },
        { "Int", "\"1\"" },
        { "Int", "" },
        { "Int", "[" },
        { "Int", "[1" },
        { "Int", "[] 1" },
        { "Double", "1-2" },
        { "Double", "1e" },
        { "Double", "." },
        { "Double", "NaN" },
        { "Bool", "1" },
        { "Bool", "True" },
        { "Datetime", "\"2026-07-01\"" },
        { "Datetime", "\"2026-13-01T10:00:00Z\"" },
        { "Datetime", "\"2026-07-01T10:00:00\"" },
        { "Datetime", "\"2026-07-01T10:00:00+ab:cd\"" },
        { "Datetime", "\"2026-07-01T10:00:00.Z\"" },
        { "Datetime", "1" },
        { "KeywordList", "\"a\"" },
        { "KeywordList", "[\"a\" \"b\"]" },
        { "KeywordList", "[\"a\",]" },
        { "KeywordList", "[1]" },
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (check(&f, rows[i].name, rows[i].json) != ST_INVALID_ARGUMENT)
            fail_msg("%s took %s", rows[i].name, rows[i].json);
        CHECK(strstr(f.error.message, rows[i].name) != NULL);
    }
    arena_release(&f.arena);
}

TEST(names_that_are_none_or_not_the_clients_are_refused)
{
    struct fixture f;
    fixture_init(&f);
    CHECK_INT(check(&f, "Nobody", "1"), ST_INVALID_ARGUMENT);
    CHECK_TEXT(f.error.message, "Search attribute Nobody is not defined.");
    CHECK_INT(check(&f, "WorkflowId", "\"w\""), ST_INVALID_ARGUMENT);
    CHECK_TEXT(f.error.message, "Search attribute WorkflowId cannot be set by clients.");
    arena_release(&f.arena);
}

TEST(only_json_and_null_are_encodings)
{
    struct fixture f;
    fixture_init(&f);
    struct bytes null = attributes(&f, "Int", payload(&f, "binary/null", ""));
    struct bytes none = attributes(&f, "Int", payload(&f, "", ""));
    struct bytes plain = attributes(&f, "Int", payload(&f, "binary/plain", "1"));
    struct bytes bare = attributes(&f, "Int", payload(&f, "", "1"));
    CHECK_INT(search_attributes_check(&f.namespace, null, &f.arena, &f.error), ST_OK);
    CHECK_INT(search_attributes_check(&f.namespace, none, &f.arena, &f.error), ST_OK);
    CHECK_INT(search_attributes_check(&f.namespace, BYTES_EMPTY, &f.arena, &f.error), ST_OK);
    CHECK_INT(search_attributes_check(&f.namespace, plain, &f.arena, &f.error), ST_INVALID_ARGUMENT);
    CHECK_INT(search_attributes_check(&f.namespace, bare, &f.arena, &f.error), ST_INVALID_ARGUMENT);
    arena_release(&f.arena);
}

TEST(counts_and_sizes_have_limits)
{
    struct fixture f;
    fixture_init(&f);
    struct bytes encoded = attributes(&f, "Int", payload(&f, "json/plain", "1"));
    struct bytes value = payload(&f, "json/plain", "1");
    f.limits.search_attributes_size_max = encoded.size;
    f.limits.search_attribute_size_max = value.size;
    CHECK_INT(search_attributes_fit(&f.namespace, encoded, &f.arena, &f.error), ST_OK);
    f.limits.search_attribute_size_max = value.size - 1;
    CHECK_INT(search_attributes_fit(&f.namespace, encoded, &f.arena, &f.error), ST_INVALID_ARGUMENT);
    CHECK(strstr(f.error.message, "Int exceeds size limit") != NULL);
    f.limits.search_attributes_size_max = encoded.size - 1;
    CHECK_INT(search_attributes_fit(&f.namespace, encoded, &f.arena, &f.error), ST_INVALID_ARGUMENT);
    f.limits.search_attributes_max = 0;
    CHECK_INT(search_attributes_check(&f.namespace, encoded, &f.arena, &f.error), ST_INVALID_ARGUMENT);
    CHECK_TEXT(f.error.message, "Search attributes: 1 keys, more than the 0 allowed.");
    arena_release(&f.arena);
}

/* A namespace need not be known where only system attributes can be meant, and bytes that do not decode are no attributes. */
TEST(damage_is_an_error_and_never_more)
{
    struct fixture f;
    fixture_init(&f);
    struct bytes bad = BYTES("\x0a\x7f");
    struct bytes bad_value = attributes(&f, "Int", bad);
    CHECK(search_attributes_check(&f.namespace, bad, &f.arena, &f.error) != ST_OK);
    CHECK(search_attributes_check(&f.namespace, bad_value, &f.arena, &f.error) != ST_OK);
    CHECK(search_attributes_fit(&f.namespace, bad, &f.arena, &f.error) != ST_OK);
    CHECK_BYTES(search_attributes_typed(&f.namespace, bad, &f.arena), bad);
    CHECK_BYTES(search_attributes_typed(&f.namespace, bad_value, &f.arena), bad_value);
    struct bytes good = attributes(&f, "Int", payload(&f, "json/plain", "1"));
    CHECK_INT(search_attributes_check(NULL, good, &f.arena, &f.error), ST_INTERNAL);
    CHECK_INT(search_attributes_fit(NULL, good, &f.arena, &f.error), ST_OK);
    CHECK_BYTES(search_attributes_typed(NULL, good, &f.arena), good);
    f.namespace.record = bad;
    CHECK_INT(search_attributes_check(&f.namespace, good, &f.arena, &f.error), ST_INTERNAL);
    arena_release(&f.arena);
}

TEST(readers_are_told_the_type_once)
{
    struct fixture f;
    fixture_init(&f);
    struct bytes                   encoded = attributes(&f, "Int", payload(&f, "json/plain", "1"));
    struct bytes                   typed = search_attributes_typed(&f.namespace, encoded, &f.arena);
    struct common_SearchAttributes all = { 0 };
    struct common_Payload          value = { 0 };
    CHECK_INT(pb_decode(&pb_common_SearchAttributes, typed, &f.arena, &all, &f.error), ST_OK);
    CHECK_INT(pb_decode(&pb_common_Payload, all.indexed_fields[0].value, &f.arena, &value, &f.error), ST_OK);
    CHECK_INT(value.metadata_count, 2);
    CHECK_BYTES(value.metadata[1].key, BYTES("type"));
    CHECK_BYTES(value.metadata[1].value, BYTES("Int"));
    CHECK_BYTES(search_attributes_typed(&f.namespace, typed, &f.arena), typed);
    struct bytes stranger = attributes(&f, "Nobody", payload(&f, "json/plain", "1"));
    CHECK_BYTES(search_attributes_typed(&f.namespace, stranger, &f.arena), stranger);
    CHECK_INT(search_attributes_typed(&f.namespace, BYTES_EMPTY, &f.arena).size, 0);
    arena_release(&f.arena);
}
