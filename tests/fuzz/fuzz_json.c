/* fuzz_json.c: proto3 JSON, both ways, on any message type.
 *
 * Input: two bytes choose the message, one the direction (even: wire bytes, odd: JSON), the rest is what is read.
 * What must hold: JSON becomes bytes that are valid; bytes that print are read again and print as before, plain and pretty
 * alike; what a refusal leaves behind is what there was; nothing takes more memory than its budget.
 */
#include "message.h"

static void require(bool condition, const struct pb_message *message, const char *what, const char *problem)
{
    FUZZ_REQUIRE(condition, "%s: %s (%s)", pb_message_name(message), what, problem);
}

/* Prints, reads and prints again; `flags` are those of the text that is read. */
static void check_print(const struct pb_message *message, struct bytes wire, unsigned flags)
{
    struct buffer first = { 0 }, second = { 0 }, parsed = { 0 };
    struct error  error;
    struct arena  arena;
    arena_init(&arena, SIZE_MAX);
    buffer_append_text(&first, "before");
    enum status status = json_print(message, wire, flags, &first, &error);
    require(bytes_starts_with(buffer_bytes(&first), BYTES("before")), message, "printing takes away", "");
    require(status == ST_OK || first.size == 6, message, "a refused print leaves something", error.message);
    buffer_consume(&first, 6);
    if (status == ST_OK) {
        require(bytes_is_utf8(buffer_bytes(&first)), message, "JSON that is no UTF-8", "");
        status = json_parse(message, buffer_bytes(&first), &arena, &parsed, &error);
        if (status == ST_OK) {
            status = json_print(message, buffer_bytes(&parsed), flags, &second, &error);
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

static void check_parse(const struct pb_message *message, struct bytes text)
{
    struct arena  arena;
    struct buffer wire = { 0 };
    struct error  error;
    arena_init(&arena, 8 * text.size + 1024 * 1024);
    buffer_append_text(&wire, "before");
    enum status status = json_parse(message, text, &arena, &wire, &error);
    require(arena.used_total <= arena.budget, message, "over budget", "");
    require(bytes_starts_with(buffer_bytes(&wire), BYTES("before")), message, "parsing takes away", "");
    require(status == ST_OK || wire.size == 6, message, "refused JSON leaves something", error.message);
    buffer_consume(&wire, 6);
    if (status == ST_OK) {
        status = pb_validate(message, buffer_bytes(&wire), &error);
        require(status == ST_OK, message, "JSON became bad bytes", error.message);
        check_print(message, buffer_bytes(&wire), 0);
        check_print(message, buffer_bytes(&wire), JSON_PRETTY);
    }
    buffer_release(&wire);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const struct pb_message *message = fuzz_message((uint16_t)(data[0] << 8 | data[1]));
    struct bytes             input = bytes_of(data + 3, size - 3);
    if (data[2] % 2 != 0)
        check_parse(message, input);
    else
        check_print(message, input, data[2] % 4 == 2 ? JSON_PRETTY : 0);
    return 0;
}
