/* fuzz_pb.c: the codec's wire side against itself, on any message type.
 *
 * Input: two bytes choose the message, a third is spare, the rest is what is read.
 * What must hold: decode and validate agree; fewer levels never accept more; what decodes encodes to as many bytes as was
 * said, which decode to the same bytes again; nothing takes more memory than its budget. Parts that are exchanged for
 * themselves leave a message that is as good as before.
 */
#include "message.h"
#include "pb/common.pb.h"

static void require(bool condition, const struct pb_message *message, const char *what, const char *problem)
{
    FUZZ_REQUIRE(condition, "%s: %s (%s)", pb_message_name(message), what, problem);
}

static void check_again(const struct pb_message *message, const void *record, struct arena *arena)
{
    struct error error;
    struct bytes once = pb_encode_arena(message, record, arena), twice;
    void        *again = arena_must(arena_alloc(arena, message->size));
    require(once.size == pb_encoded_size(message, record), message, "another size than was said", "");
    enum status status = pb_decode(message, once, arena, again, &error);
    require(status == ST_OK, message, "what was encoded does not decode", error.message);
    twice = pb_encode_arena(message, again, arena);
    require(bytes_equal(once, twice), message, "encodes differently", "");
}

static void keep(void *context UNUSED, const struct pb_message *parent UNUSED, struct bytes whole UNUSED,
                 struct bytes part, struct buffer *to)
{
    buffer_append(to, part);
}

static void check_replaced(const struct pb_message *message, struct bytes wire, bool valid)
{
    struct pb_replace rule = { .wanted = &pb_common_Payload, .replace = keep };
    struct buffer     to = { 0 };
    struct error      error;
    error_clear(&error);
    enum status status = pb_replace(message, wire, &rule, &to);
    require(status == ST_OK || !valid, message, "what is valid cannot be gone through", "");
    if (valid)
        require(pb_validate(message, buffer_bytes(&to), &error) == ST_OK, message, "spoilt by an exchange",
                error.message);
    require(to.size <= wire.size, message, "grows by being copied", "");
    buffer_release(&to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    const struct pb_message *message = fuzz_message((uint16_t)(data[0] << 8 | data[1]));
    struct bytes             wire = bytes_of(data + 3, size - 3);
    struct arena             arena;
    struct error             error;
    void                    *record = xmalloc(message->size);
    error_clear(&error);
    arena_init(&arena, 8 * wire.size + 1024 * 1024);
    enum status valid = pb_validate(message, wire, &error);
    enum status shallow = pb_decode_within(message, wire, REQUEST_DEPTH_MAX, &arena, record, &error);
    require(shallow != ST_OK || valid == ST_OK, message, "fewer levels accept more", "");
    check_replaced(message, wire, valid == ST_OK);
    arena_reset(&arena);
    enum status status = pb_decode(message, wire, &arena, record, &error);
    require(arena.used_total <= arena.budget, message, "over budget", "");
    require(status == valid || status == ST_RESOURCE_EXHAUSTED, message, "decode and validate disagree",
            error.message);
    if (status == ST_OK) {
        arena.budget = SIZE_MAX;
        check_again(message, record, &arena);
    }
    arena_release(&arena);
    free(record);
    return 0;
}
