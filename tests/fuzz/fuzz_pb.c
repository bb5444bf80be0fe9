/* fuzz_pb.c: the codec against itself, on any message type.
 *
 * Input: two bytes choose the message, one the direction (even: wire bytes, odd: JSON), the rest is what is read.
 * What must hold: decode and validate agree; what decodes encodes to something that decodes to the same bytes again; JSON
 * that was printed is read again, and prints as before; nothing takes more memory than its budget.
 */
#include <stdio.h>

#include "codec/pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const struct pb_message *message, const char *what, const char *problem)
{
    if (!condition)
        panic("%s: %s (%s)", pb_message_name(message), what, problem);
}

/* Checks wire bytes that are known to be good. */
static void check_json(const struct pb_message *message, struct bytes wire)
{
    struct buffer first, second, parsed;
    struct error  error;
    struct arena  arena;
    error_clear(&error);
    arena_init(&arena, SIZE_MAX);
    buffer_init(&first);
    buffer_init(&second);
    buffer_init(&parsed);
    if (json_print(message, wire, 0, &first, &error) == ST_OK) {
        enum status status = json_parse(message, buffer_bytes(&first), &arena, &parsed, &error);
        if (status == ST_OK) {
            status = json_print(message, buffer_bytes(&parsed), 0, &second, &error);
            require(status == ST_OK, message, "JSON that was read does not print", error.message);
            require(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)), message,
                    "JSON prints differently", "");
        } else { /* what is wire in a few levels may be more in JSON */
            require(strstr(error.message, "nested") != NULL, message, "printed JSON is not read",
                    error.message);
        }
    }
    buffer_release(&first);
    buffer_release(&second);
    buffer_release(&parsed);
    arena_release(&arena);
}

static void check_wire(const struct pb_message *message, struct bytes wire)
{
    struct arena arena;
    struct error error;
    void        *record = xmalloc(message->size);
    error_clear(&error);
    arena_init(&arena, 8 * wire.size + 1024 * 1024);
    enum status valid = pb_validate(message, wire, &error);
    enum status status = pb_decode(message, wire, &arena, record, &error);
    require(arena.used_total <= arena.budget, message, "over budget", "");
    require(status == valid || status == ST_RESOURCE_EXHAUSTED, message, "decode and validate disagree",
            error.message);
    if (status == ST_OK) {
        struct bytes once, twice;
        arena.budget = SIZE_MAX;
        once = pb_encode_arena(message, record, &arena);
        status = pb_decode(message, once, &arena, record, &error);
        require(status == ST_OK, message, "what was encoded does not decode", error.message);
        twice = pb_encode_arena(message, record, &arena);
        require(bytes_equal(once, twice), message, "encodes differently", "");
        check_json(message, wire);
    }
    arena_release(&arena);
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const struct pb_message *message = &pb_messages[((size_t)data[0] << 8 | data[1]) % pb_message_count];
    struct bytes             input = bytes_of(data + 3, size - 3);
    if (message->shape == PB_SHAPE_MAP_ENTRY)
        return 0;
    if (data[2] % 2 == 0) {
        check_wire(message, input);
        return 0;
    }
    struct arena  arena;
    struct buffer wire;
    struct error  error;
    arena_init(&arena, 8 * size + 1024 * 1024);
    buffer_init(&wire);
    if (json_parse(message, input, &arena, &wire, &error) == ST_OK) {
        enum status status = pb_validate(message, buffer_bytes(&wire), &error);
        require(status == ST_OK, message, "JSON became bad bytes", error.message);
        check_wire(message, buffer_bytes(&wire));
    }
    buffer_release(&wire);
    arena_release(&arena);
    return 0;
}
