/* trace.c: spans as bytes, and whose trace a run belongs to. Field numbers are those of opentelemetry.proto.trace.v1. */
#include "base/trace.h"

#include <pthread.h>

#include "base/metric.h"
#include "base/random.h"

#define REMEMBERED 4096

static struct {
    _Atomic(struct mailbox *) exporter; /* NULL: off */
    void (*taken)(struct message *message);
    double          ratio;
    atomic_size_t   waiting;
    pthread_mutex_t lock; /* a leaf; taken only while tracing is on */
    struct {
        int64_t      run;
        struct trace trace;
    } remembered[REMEMBERED];
} tracing = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local struct random dice;
static _Thread_local bool          dice_ready;

void trace_begin(struct mailbox *exporter, void (*taken)(struct message *message), double ratio)
{
    tracing.taken = taken;
    tracing.ratio = ratio;
    atomic_store(&tracing.exporter, exporter);
}

void trace_end(void)
{
    atomic_store(&tracing.exporter, NULL);
}

bool trace_is_on(void)
{
    return atomic_load_explicit(&tracing.exporter, memory_order_relaxed) != NULL;
}

static void random_bytes(uint8_t *to, size_t size)
{
    if (!dice_ready)
        random_seed_from_system(&dice);
    dice_ready = true;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t value = random_next(&dice) | 1; /* an id of zeros means none */
        memcpy(to + i, &value, MIN(size - i, sizeof value));
    }
}

/* --- traceparent --- */

static int digit_of(uint8_t byte)
{
    return byte >= '0' && byte <= '9' ? byte - '0' : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Lower-case hex that is not all zeros. */
static bool take_hex(const uint8_t *text, size_t size, uint8_t *to)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
        any |= to[i];
    }
    return any != 0;
}

/* Of a version that is not known yet, what this one says is read and the rest left alone, as the recommendation wants. */
static bool take_parent(struct bytes text, struct trace *trace, bool *ret_sampled)
{
    int version_high, version_low, flags_high, flags_low;
    if (text.size < TRACE_PARENT_SIZE || text.base[2] != '-' || text.base[35] != '-' || text.base[52] != '-')
        return false;
    version_high = digit_of(text.base[0]);
    version_low = digit_of(text.base[1]);
    flags_high = digit_of(text.base[53]);
    flags_low = digit_of(text.base[54]);
    if (version_high < 0 || version_low < 0 || flags_high < 0 || flags_low < 0)
        return false;
    int version = version_high << 4 | version_low;
    if (version == 255 || (version == 0 && text.size != TRACE_PARENT_SIZE) ||
        (text.size > TRACE_PARENT_SIZE && text.base[TRACE_PARENT_SIZE] != '-'))
        return false;
    *ret_sampled = (flags_low & 1) != 0;
    return take_hex(text.base + 3, sizeof trace->id, trace->id) &&
           take_hex(text.base + 36, sizeof trace->parent, trace->parent);
}

struct trace *trace_of_call(struct bytes traceparent, int64_t wall_ns, struct arena *arena)
{
    struct trace trace = { .start = wall_ns };
    bool         sampled;
    if (!trace_is_on())
        return NULL;
    trace.has_parent = take_parent(traceparent, &trace, &sampled);
    if (!trace.has_parent) {
        random_bytes(trace.id, sizeof trace.id);
        memset(trace.parent, 0, sizeof trace.parent);
        sampled = (double)(random_next(&dice) >> 11) * 0x1p-53 < tracing.ratio;
    }
    if (!sampled)
        return NULL;
    random_bytes(trace.span, sizeof trace.span);
    struct trace *copy = ARENA_NEW(arena, struct trace);
    *copy = trace;
    return copy;
}

static char *put_hex(char *at, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        *at++ = digits[bytes[i] >> 4];
        *at++ = digits[bytes[i] & 15];
    }
    return at;
}

void trace_print_parent(const struct trace *trace, char text[TRACE_PARENT_SIZE])
{
    char *at = text;
    *at++ = '0';
    *at++ = '0';
    *at++ = '-';
    at = put_hex(at, trace->id, sizeof trace->id);
    *at++ = '-';
    at = put_hex(at, trace->span, sizeof trace->span);
    *at++ = '-';
    *at++ = '0';
    *at = '1';
}

/* --- spans --- */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put_bytes(struct buffer *to, unsigned field, const void *bytes, size_t size)
{
    buffer_append_varint(to, field << 3 | WIRE_BYTES);
    buffer_append_varint(to, size);
    buffer_append(to, bytes_of(bytes, size));
}

static void put_number(struct buffer *to, unsigned field, uint64_t value)
{
    buffer_append_varint(to, field << 3 | WIRE_VARINT);
    buffer_append_varint(to, value);
}

static void put_fixed(struct buffer *to, unsigned field, int64_t value)
{
    uint8_t little[8];
    for (unsigned i = 0; i < 8; i++)
        little[i] = (uint8_t)((uint64_t)value >> (8 * i));
    buffer_append_varint(to, field << 3 | WIRE_FIXED64);
    buffer_append(to, bytes_of(little, sizeof little));
}

struct trace_span *trace_span_new(const struct trace *trace, bool own, enum trace_kind kind,
                                  struct bytes name, int64_t start, int64_t end)
{
    uint8_t id[8];
    if (!trace_is_on())
        return NULL;
    if (atomic_fetch_add_explicit(&tracing.waiting, 1, memory_order_relaxed) >= TRACE_SPANS_MAX) {
        atomic_fetch_sub_explicit(&tracing.waiting, 1, memory_order_relaxed);
        metric_add(METRIC_TRACES_DROPPED, 0, 0, 1);
        return NULL;
    }
    struct trace_span *span = xcalloc(1, sizeof *span);
    struct buffer     *to = &span->encoded;
    if (own)
        memcpy(id, trace->span, sizeof id);
    else
        random_bytes(id, sizeof id);
    put_bytes(to, 1, trace->id, sizeof trace->id);
    put_bytes(to, 2, id, sizeof id);
    if (!own || trace->has_parent)
        put_bytes(to, 4, own ? trace->parent : trace->span, sizeof trace->parent);
    put_bytes(to, 5, name.base, name.size);
    put_number(to, 6, kind);
    put_fixed(to, 7, start);
    put_fixed(to, 8, MAX(end, start));
    return span;
}

/* KeyValue { key = 1; value = 2: AnyValue { string_value = 1 | int_value = 3 } } */
static void put_attribute(struct trace_span *span, const char *key, struct bytes value)
{
    CLEANUP(buffer_release) struct buffer pair = { 0 };
    put_bytes(&pair, 1, key, strlen(key));
    put_bytes(&pair, 2, value.base, value.size);
    put_bytes(&span->encoded, 9, pair.base, pair.size);
}

void trace_text(struct trace_span *span, const char *key, struct bytes value)
{
    if (value.size == 0 || !bytes_is_utf8(value))
        return;
    size_t size = MIN(value.size, (size_t)TRACE_VALUE_MAX);
    while (size < value.size && size > 0 && (value.base[size] & 0xC0) == 0x80)
        size--; /* not within a character */
    CLEANUP(buffer_release) struct buffer any = { 0 };
    put_bytes(&any, 1, value.base, size);
    put_attribute(span, key, buffer_bytes(&any));
}

void trace_number(struct trace_span *span, const char *key, int64_t value)
{
    CLEANUP(buffer_release) struct buffer any = { 0 };
    put_number(&any, 3, (uint64_t)value);
    put_attribute(span, key, buffer_bytes(&any));
}

/* Status { message = 2; code = 3: ERROR is 2 } */
void trace_failed(struct trace_span *span, const char *message)
{
    CLEANUP(buffer_release) struct buffer status = { 0 };
    put_bytes(&status, 2, message, strlen(message));
    put_number(&status, 3, 2);
    put_bytes(&span->encoded, 15, status.base, status.size);
}

void trace_span_end(struct trace_span *span)
{
    struct mailbox *exporter = atomic_load(&tracing.exporter);
    if (exporter == NULL) {
        trace_span_free(span);
        return;
    }
    span->message.run = tracing.taken;
    mailbox_post(exporter, &span->message);
}

void trace_span_free(struct trace_span *span)
{
    atomic_fetch_sub_explicit(&tracing.waiting, 1, memory_order_relaxed);
    buffer_release(&span->encoded);
    free(span);
}

/* --- runs --- */

void trace_remember(int64_t run, const struct trace *trace)
{
    size_t at = (uint64_t)run * UINT64_C(0x9E3779B97F4A7C15) >> 52;
    static_assert(REMEMBERED == 1 << 12, "twelve bits of the hash");
    pthread_mutex_lock(&tracing.lock);
    tracing.remembered[at].run = run;
    tracing.remembered[at].trace = *trace;
    pthread_mutex_unlock(&tracing.lock);
}

bool trace_recall(int64_t run, struct trace *ret_trace)
{
    size_t at = (uint64_t)run * UINT64_C(0x9E3779B97F4A7C15) >> 52;
    pthread_mutex_lock(&tracing.lock);
    bool found = tracing.remembered[at].run == run;
    if (found)
        *ret_trace = tracing.remembered[at].trace;
    pthread_mutex_unlock(&tracing.lock);
    return found;
}
