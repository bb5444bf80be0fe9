/* codec_tool.c: the codec behind a pipe, for the tests that compare it with the official implementation.
 *
 * A command is: one letter, the message's full name (u32 size, bytes), the input (u32 size, bytes). The answer: one byte of
 * status, then the output (u32 size, bytes), which is the error's message when the status is not 0. Integers are
 * little-endian. Ends at the end of its input.
 *   d  decode and encode again     v  check     j  to JSON     J  to JSON, indented     p  from JSON
 *   s  the schema: the serialized FileDescriptorSet     b  decode and encode again and again; the time of each, as text
 */
#include <stdio.h>

#include "base/clock.h"
#include "codec/pb.h"

#define BENCH_ROUNDS 200000

static bool read_exactly(void *to, size_t size)
{
    return fread(to, 1, size, stdin) == size;
}

static bool read_sized(struct buffer *to)
{
    uint32_t size;
    buffer_clear(to);
    if (!read_exactly(&size, sizeof size))
        return false;
    buffer_reserve(to, (size_t)size + 1);
    to->size = size;
    return read_exactly(to->base, size);
}

static void bench(const struct pb_message *message, struct bytes input, struct buffer *output)
{
    struct arena  arena;
    struct buffer wire;
    void         *record = xcalloc(1, message->size);
    int64_t       times[3];
    arena_init(&arena, SIZE_MAX);
    buffer_init(&wire);
    times[0] = clock_monotonic_ns(&clock_system);
    for (int i = 0; i < BENCH_ROUNDS; i++) {
        arena_reset(&arena);
        if (pb_decode(message, input, &arena, record, NULL) != ST_OK)
            panic("the input does not decode");
    }
    times[1] = clock_monotonic_ns(&clock_system);
    for (int i = 0; i < BENCH_ROUNDS; i++) {
        buffer_clear(&wire);
        pb_encode(message, record, &wire);
    }
    times[2] = clock_monotonic_ns(&clock_system);
    buffer_printf(output, "%zu bytes: decode %" PRId64 " ns, encode %" PRId64 " ns", input.size,
                  (times[1] - times[0]) / BENCH_ROUNDS, (times[2] - times[1]) / BENCH_ROUNDS);
    arena_release(&arena);
    buffer_release(&wire);
    free(record);
}

static enum status run(char command, const struct pb_message *message, struct bytes input,
                       struct buffer *output, struct error *error)
{
    struct arena arena;
    arena_init(&arena, 8 * input.size + 1024 * 1024);
    enum status status = ST_OK;
    void       *record = xcalloc(1, message->size);
    switch (command) {
    case 'd':
        status = pb_decode(message, input, &arena, record, error);
        if (status == ST_OK)
            pb_encode(message, record, output);
        break;
    case 'v':
        status = pb_validate(message, input, error);
        break;
    case 'j':
    case 'J':
        status = json_print(message, input, command == 'J' ? JSON_PRETTY : 0, output, error);
        break;
    case 'p':
        status = json_parse(message, input, &arena, output, error);
        break;
    case 'b':
        bench(message, input, output);
        break;
    default:
        status = error_set(error, ST_UNIMPLEMENTED, "no command '%c'", command);
    }
    free(record);
    arena_release(&arena);
    return status;
}

static void answer(enum status status, struct bytes output)
{
    uint32_t size = (uint32_t)output.size;
    putchar((int)status);
    fwrite(&size, sizeof size, 1, stdout);
    fwrite(output.base, 1, output.size, stdout);
    fflush(stdout);
}

int main(void)
{
    struct buffer name, input, output;
    buffer_init(&name);
    buffer_init(&input);
    buffer_init(&output);
    for (int command; (command = getchar()) != EOF && read_sized(&name) && read_sized(&input);) {
        struct error             error;
        const struct pb_message *message = pb_message_find(buffer_bytes(&name));
        error_clear(&error);
        buffer_clear(&output);
        if (command == 's')
            answer(ST_OK, bytes_of(pb_descriptors, pb_descriptors_size));
        else if (message == NULL)
            answer(ST_NOT_FOUND, BYTES("no such message"));
        else if (run((char)command, message, buffer_bytes(&input), &output, &error) == ST_OK)
            answer(ST_OK, buffer_bytes(&output));
        else
            answer(error.code, bytes_of_text(error.message));
    }
    buffer_release(&name);
    buffer_release(&input);
    buffer_release(&output);
    return 0;
}
