/* payload.c: JSON to payloads and back. */
#include "mcp/payload.h"

#include "codec/pb.h"

static struct bytes payload_make(const char *encoding, struct bytes data, struct arena *arena)
{
    struct common_Payload_MetadataEntry entry = { BYTES("encoding"), bytes_of_text(encoding) };
    struct common_Payload               payload = { .metadata = &entry, .metadata_count = 1, .data = data };
    return pb_encode_arena(&pb_common_Payload, &payload, arena);
}

struct bytes payload_of_json(const json_t *value, struct arena *arena)
{
    if (value == NULL || json_is_null(value))
        return payload_make("binary/null", BYTES_EMPTY, arena);
    char        *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    struct bytes payload = payload_make("json/plain", bytes_of_text(text), arena);
    free(text);
    return payload;
}

struct bytes payload_of_text(struct bytes text, struct arena *arena)
{
    JSON_CLEANUP json_t *value = json_stringn((const char *)text.base, text.size);
    return payload_of_json(value, arena);
}

struct bytes payloads_of_array(const json_t *array, struct arena *arena)
{
    size_t count = json_array_size(array);
    if (count == 0)
        return BYTES_EMPTY;
    struct common_Payloads payloads = { .payloads = ARENA_NEW_ARRAY(arena, struct bytes, count),
                                        .payloads_count = count };
    for (size_t i = 0; i < count; i++)
        payloads.payloads[i] = payload_of_json(json_array_get(array, i), arena);
    return pb_encode_arena(&pb_common_Payloads, &payloads, arena);
}

static struct payload_view read_json(struct bytes data, struct arena *arena)
{
    struct payload_view view = { .form = PAYLOAD_JSON, .data = data, .size = data.size };
    struct error        error;
    if (json_read(data, JSON_TEXT_SIZE_MAX, 0, &view.value, NULL, &error) != ST_OK) {
        view.form = PAYLOAD_OTHER;
        view.words = (const char *)arena_printf(arena, "its JSON cannot be read: %s", error.message).base;
    }
    return view;
}

struct payload_view payload_read(struct bytes encoded, struct arena *arena)
{
    struct common_Payload payload;
    struct bytes          encoding = BYTES_EMPTY;
    if (encoded.base == NULL)
        return (struct payload_view){ .form = PAYLOAD_NONE };
    if (pb_decode(&pb_common_Payload, encoded, arena, &payload, NULL) != ST_OK)
        return (struct payload_view){ .form = PAYLOAD_OTHER, .words = "it does not decode" };
    for (size_t i = 0; i < payload.metadata_count; i++) {
        if (bytes_equal_text(payload.metadata[i].key, "encoding"))
            encoding = payload.metadata[i].value;
    }
    if (bytes_equal_text(encoding, "binary/null"))
        return (struct payload_view){ .form = PAYLOAD_NONE };
    if (bytes_equal_text(encoding, "json/plain") || bytes_equal_text(encoding, "json/protobuf"))
        return read_json(payload.data, arena);
    if (bytes_equal_text(encoding, "binary/plain"))
        return (
            struct payload_view){ .form = PAYLOAD_BINARY, .data = payload.data, .size = payload.data.size };
    struct bytes words = arena_printf(arena, "it is encoded as \"%.*s\", which this server cannot read",
                                      BYTES_FMT(encoding));
    return (struct payload_view){ .form = PAYLOAD_OTHER,
                                  .data = payload.data,
                                  .size = payload.data.size,
                                  .words = (const char *)words.base };
}

struct payload_view payloads_read_first(struct bytes encoded, struct arena *arena)
{
    struct common_Payloads payloads;
    if (encoded.base == NULL)
        return (struct payload_view){ .form = PAYLOAD_NONE };
    if (pb_decode(&pb_common_Payloads, encoded, arena, &payloads, NULL) != ST_OK)
        return (struct payload_view){ .form = PAYLOAD_OTHER, .words = "it does not decode" };
    if (payloads.payloads_count == 0)
        return (struct payload_view){ .form = PAYLOAD_NONE };
    return payload_read(payloads.payloads[0], arena);
}

json_t *memo_json(struct bytes encoded, const char *name, struct arena *arena)
{
    struct common_Memo memo;
    if (encoded.base == NULL || pb_decode(&pb_common_Memo, encoded, arena, &memo, NULL) != ST_OK)
        return NULL;
    for (size_t i = 0; i < memo.fields_count; i++) {
        if (bytes_equal_text(memo.fields[i].key, name)) {
            struct payload_view view = payload_read(memo.fields[i].value, arena);
            return view.form == PAYLOAD_JSON ? view.value : NULL;
        }
    }
    return NULL;
}
