/* generate.c: messages out of fuzz bytes. */
#include "generate.h"

#include "base/clock.h"
#include "codec/pb_internal.h"

void pools_release(struct pools *pools)
{
    struct pool *all[] = { &pools->run_ids, &pools->task_tokens, &pools->page_tokens };
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        for (size_t j = 0; j < POOL_MAX; j++)
            buffer_release(&all[i]->values[j]);
}

void pool_add(struct pool *pool, struct bytes value)
{
    for (size_t i = 0; i < POOL_MAX; i++)
        if (bytes_equal(buffer_bytes(&pool->values[i]), value))
            return;
    struct buffer *place = &pool->values[pool->taken++ % POOL_MAX];
    buffer_clear(place);
    buffer_append(place, value);
}

/* The newest for 0. */
static struct bytes pool_pick(const struct pool *pool, unsigned back)
{
    if (pool->taken == 0)
        return BYTES_EMPTY;
    size_t held = MIN(pool->taken, (size_t)POOL_MAX);
    return buffer_bytes(&pool->values[(pool->taken - 1 - back % held) % POOL_MAX]);
}

/* --- values --- */

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static struct bytes pick_text(struct fuzz_input *input, const char *const *texts, size_t count)
{
    return bytes_of_text(texts[fuzz_below(input, (unsigned)count)]);
}

#define PICK(input, ...)                                                                                     \
    pick_text((input), (const char *const[]){ __VA_ARGS__ },                                                 \
              sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* `name`: of the field. Empty when it says nothing about the value. */
static struct bytes named_text(struct fuzz_input *input, struct pools *pools, const char *name)
{
    if (strcmp(name, "namespace") == 0)
        return fuzz_byte(input) < 240 ? BYTES("default") : PICK(input, "other", "second", "");
    if (strstr(name, "workflow_id") != NULL)
        return PICK(input, "w0", "w0", "w0", "w0", "w0", "w1", "w1", "w2", "w3");
    if (strstr(name, "run_id") != NULL)
        return pool_pick(&pools->run_ids, fuzz_byte(input));
    if (strcmp(name, "activity_id") == 0 || strcmp(name, "timer_id") == 0)
        return PICK(input, "0", "1", "2", "3");
    if (strstr(name, "request_id") != NULL)
        return PICK(input, "r0", "r1", "r2");
    if (strcmp(name, "update_id") == 0 || strcmp(name, "protocol_instance_id") == 0)
        return PICK(input, "u0", "u1", "u2");
    if (strcmp(name, "message_id") == 0)
        return PICK(input, "m0", "m1", "m2");
    if (strcmp(name, "cron_schedule") == 0)
        return PICK(input, "@every 3s", "* * * * *", "0 5 31 2 *", "CRON_TZ=America/New_York 30 1 * * 0",
                    "@every 2400000h");
    if (strcmp(name, "query") == 0)
        return PICK(input, "", "WorkflowId = 'w0'", "ExecutionStatus = 'Running' OR CloseTime IS NULL",
                    "WorkflowType STARTS_WITH 't'", "GROUP BY ExecutionStatus");
    if (strcmp(name, "identity") == 0 || strstr(name, "worker") != NULL)
        return PICK(input, "worker", "another");
    if (strcmp(name, "url") == 0)
        return PICK(input, "http://127.0.0.1:1/callback", "temporal://system", "https://example.com/");
    if (strcmp(name, "type") == 0 || strcmp(name, "query_type") == 0)
        return PICK(input, "type", "__temporal_workflow_metadata");
    if (strcmp(name, "paths") == 0)
        return PICK(input, "versioning_override", "priority", "task_queue.name", "schedule_to_close_timeout",
                    "retry_policy.maximum_attempts", "start_to_close_timeout", "heartbeat_timeout",
                    "retry_policy", "versioning_override.pinned");
    if (strcmp(name, "name") == 0 || strstr(name, "queue") != NULL)
        return PICK(input, "q", "q", "q", "q", "q", "q", "q1", "sticky");
    return BYTES_EMPTY;
}

static struct bytes any_text(struct fuzz_input *input)
{
    static const uint8_t odd[] = { 'a', 0, 'b' };
    switch (fuzz_below(input, 8)) {
    case 0:
        return BYTES_EMPTY;
    case 1:
        return bytes_of(odd, sizeof odd);
    case 2:
    case 3:
        return fuzz_text(input);
    default:
        return PICK(input, "a", "b", "key", "default", "encoding", "json/plain", "type");
    }
}

static struct bytes token_of(struct fuzz_input *input, const struct pool *pool, struct buffer *scratch)
{
    unsigned     choice = fuzz_byte(input);
    struct bytes token = pool_pick(pool, choice < 192 ? 0 : choice & 7);
    if (choice < 224 || token.size == 0)
        return choice == 255 ? fuzz_text(input) : token;
    buffer_clear(scratch); /* somebody has meddled with it */
    buffer_append(scratch, token);
    scratch->base[fuzz_byte(input) % token.size] ^= (uint8_t)(1 + fuzz_byte(input));
    return buffer_bytes(scratch);
}

static int64_t any_number(struct fuzz_input *input)
{
    static const int64_t numbers[] = { 0,  1,         2,         3,         5,         10,
                                       -1, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1000000 };
    unsigned             choice = fuzz_byte(input);
    if (choice < 128)
        return choice % 32;
    return choice < 240 ? numbers[choice % ARRAY_COUNT(numbers)] : (int64_t)fuzz_number(input, 8);
}

static void append_tag(struct buffer *to, uint32_t number, enum wire_type type)
{
    buffer_append_varint(to, (uint64_t)number << 3 | type);
}

static void append_bytes(struct buffer *to, uint32_t number, struct bytes value)
{
    append_tag(to, number, WIRE_BYTES);
    buffer_append_varint(to, value.size);
    buffer_append(to, value);
}

static void append_number(struct buffer *to, uint32_t number, int64_t value)
{
    append_tag(to, number, WIRE_VARINT);
    buffer_append_varint(to, (uint64_t)value);
}

static void append_scalar(struct fuzz_input *input, const struct pb_field *field, struct buffer *to)
{
    int64_t value = any_number(input);
    if (field->kind == PB_BOOL) {
        value = value % 2 == 0;
    } else if (field->kind == PB_ENUM) {
        const struct pb_enum *type = &pb_enums[field->type];
        if (value >= 0 && value < 32)
            value = pb_enum_values[type->first_value + (size_t)value % type->value_count].number;
    } else if (field->kind == PB_INT32) {
        value = (int32_t)value;
    }
    enum wire_type type = wire_type_of(field->kind);
    append_tag(to, field->number, type);
    if (type == WIRE_VARINT) {
        buffer_append_varint(to, (uint64_t)value);
    } else {
        double   fraction = (double)value / 4;
        float    small = (float)fraction;
        uint64_t bits = (uint64_t)value;
        size_t   size = type == WIRE_FIXED64 ? 8 : 4;
        if (field->kind == PB_DOUBLE)
            memcpy(&bits, &fraction, 8);
        else if (field->kind == PB_FLOAT)
            memcpy(&bits, &small, 4);
        memcpy(buffer_reserve(to, size), &bits, size);
        to->size += size;
    }
}

/* --- messages --- */

static void generate_at(struct fuzz_input *input, struct pools *pools, const struct pb_message *message,
                        struct buffer *to, unsigned depth);
static void append_field(struct fuzz_input *input, struct pools *pools, const struct pb_field *field,
                         struct buffer *to, unsigned depth);

static void append_duration(struct fuzz_input *input, struct buffer *to)
{
    static const int64_t seconds[] = { 1, 10, 0, 60, 3600, 86400, 315576000000, -1, INT64_MAX };
    unsigned             choice = fuzz_byte(input);
    append_number(to, 1, seconds[choice % 64 % ARRAY_COUNT(seconds)]);
    if (choice >= 192)
        append_number(to, 2, choice >= 240 ? any_number(input) : 500000000);
}

static void append_timestamp(struct fuzz_input *input, const struct pools *pools, struct buffer *to)
{
    unsigned choice = fuzz_byte(input);
    append_number(to, 1, choice >= 240 ? any_number(input) : pools->now / NS_PER_S + (int64_t)choice - 64);
}

/* What rides in messages of the update protocol, and something that is none. */
static void append_any(struct fuzz_input *input, struct pools *pools, struct buffer *to, unsigned depth)
{
    static const char *const names[] = { "temporal.api.update.v1.Acceptance",
                                         "temporal.api.update.v1.Response",
                                         "temporal.api.update.v1.Rejection", "temporal.api.update.v1.Request",
                                         "temporal.api.common.v1.Payload" };
    struct bytes             name = pick_text(input, names, ARRAY_COUNT(names));
    struct buffer            url = { 0 }, value = { 0 };
    const struct pb_message *message = pb_message_find(name);
    buffer_append_text(&url, "type.googleapis.com/");
    buffer_append(&url, name);
    append_bytes(to, 1, buffer_bytes(&url));
    if (message != NULL && depth < GENERATE_DEPTH_MAX) {
        generate_at(input, pools, message, &value, depth + 1);
        append_bytes(to, 2, buffer_bytes(&value));
    }
    buffer_release(&url);
    buffer_release(&value);
}

/* The type that the command's attributes belong to, unless the input wants it otherwise. */
static void append_command(struct fuzz_input *input, struct pools *pools, const struct pb_message *message,
                           struct buffer *to, unsigned depth)
{
    static const char      ending[] = "_command_attributes";
    const struct pb_field *chosen = NULL, *fields = pb_message_fields(message);
    const struct pb_field *type = pb_field_find(message, 1);
    char                   name[96] = "COMMAND_TYPE_";
    int32_t                number;
    size_t                 size = strlen(name);
    for (unsigned skip = fuzz_byte(input) % 32; chosen == NULL;) {
        for (size_t i = 0; i < message->field_count && chosen == NULL; i++)
            if ((fields[i].flags & PB_ONEOF) && skip-- == 0)
                chosen = &fields[i];
    }
    for (const char *at = pb_field_name(chosen); *at != '\0' && size < sizeof name - 1; at++)
        name[size++] = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    size -= MIN(size, sizeof ending - 1);
    if (pb_enum_value_find(&pb_enums[type->type], bytes_of(name, size), &number))
        append_number(to, 1, number);
    append_field(input, pools, chosen, to, depth);
}

/* What calls cannot do without. */
static const char *const essential[] = {
    "namespace",
    "workflow_id",
    "workflow_type",
    "activity_type",
    "task_queue",
    "workflow_execution",
    "execution",
    "signal_name",
    "query",
    "query_type",
    "task_token",
    "name",
    "activity_id",
    "timer_id",
    "start_to_fire_timeout",
    "start_to_close_timeout",
    "meta",
    "update_id",
    "update_ref",
    "request",
    "commands",
    "workflow_task_finish_event_id",
    "protocol_instance_id",
    "id",
    "body",
    "input",
    "update_execution",
    "operations",
    "accepted_request_sequencing_event_id",
    "outcome",
    "retry_policy",
};

static bool is_essential(const struct pb_message *message, const struct pb_field *field)
{
    static const struct bytes visibility[] = { BYTES("ListWorkflow"), BYTES("CountWorkflow") };
    const char               *name = pb_field_name(field), *of = strrchr(pb_message_name(message), '.') + 1;
    if (field->flags & PB_ONEOF)
        return false;
    /* Where these names mean something that may be left out. */
    if (strcmp(name, "input") == 0 || strcmp(name, "retry_policy") == 0)
        return strcmp(of, "Request") == 0;
    if (strcmp(name, "query") == 0)
        return !bytes_starts_with(bytes_of_text(of), visibility[0]) &&
               !bytes_starts_with(bytes_of_text(of), visibility[1]);
    return is_one_of(name, essential, ARRAY_COUNT(essential));
}

/* One of what a request may be about, or nothing. */
static void append_choice(struct fuzz_input *input, struct pools *pools, const struct pb_message *message,
                          struct buffer *to, unsigned depth)
{
    const struct pb_field *fields = pb_message_fields(message), *choices[PB_FIELDS_MAX];
    unsigned               count = 0;
    if (strstr(pb_message_name(message), "Request") == NULL)
        return;
    for (size_t i = 0; i < message->field_count; i++)
        if (fields[i].flags & PB_ONEOF)
            choices[count++] = &fields[i];
    unsigned chosen = count == 0 ? 0 : fuzz_byte(input) % (2 * count + 1) / 2;
    if (chosen < count)
        append_field(input, pools, choices[chosen], to, depth);
}

static void generate_at(struct fuzz_input *input, struct pools *pools, const struct pb_message *message,
                        struct buffer *to, unsigned depth)
{
    const struct pb_field *fields = pb_message_fields(message);
    if (message->shape == PB_SHAPE_DURATION) {
        append_duration(input, to);
        return;
    }
    if (message->shape == PB_SHAPE_TIMESTAMP) {
        append_timestamp(input, pools, to);
        return;
    }
    if (message->shape == PB_SHAPE_ANY) {
        append_any(input, pools, to, depth);
        return;
    }
    if (strcmp(pb_message_name(message), "temporal.api.command.v1.Command") == 0) {
        append_command(input, pools, message, to, depth);
    } else {
        for (size_t i = 0; i < message->field_count; i++)
            if (is_essential(message, &fields[i]) || message->shape == PB_SHAPE_MAP_ENTRY)
                append_field(input, pools, &fields[i], to, depth);
        append_choice(input, pools, message, to, depth);
    }
    unsigned edits = fuzz_byte(input);
    edits = edits < 128 ? 0 : edits % 8;
    for (unsigned i = 0; i < edits && message->field_count > 0; i++)
        append_field(input, pools, &fields[fuzz_below(input, message->field_count)], to, depth);
}

static void append_field(struct fuzz_input *input, struct pools *pools, const struct pb_field *field,
                         struct buffer *to, unsigned depth)
{
    struct buffer inner = { 0 };
    struct bytes  value;
    const char   *name = pb_field_name(field);
    unsigned      count = 1;
    if (field->flags & PB_REPEATED)
        count = fuzz_below(input, 4);
    for (; count > 0 && to->size < pools->bytes; count--) {
        switch (field->kind) {
        case PB_MESSAGE:
            if (depth >= GENERATE_DEPTH_MAX)
                break;
            buffer_clear(&inner);
            generate_at(input, pools, pb_field_message(field), &inner, depth + 1);
            append_bytes(to, field->number, buffer_bytes(&inner));
            break;
        case PB_STRING:
            value = named_text(input, pools, name);
            append_bytes(to, field->number,
                         value.size != 0 || strstr(name, "run_id") != NULL ? value : any_text(input));
            break;
        case PB_BYTES:
            value = strstr(name, "page_token") != NULL ? token_of(input, &pools->page_tokens, &inner)
                    : strcmp(name, "task_token") == 0  ? token_of(input, &pools->task_tokens, &inner)
                                                       : fuzz_text(input);
            append_bytes(to, field->number, value);
            break;
        default:
            append_scalar(input, field, to);
            break;
        }
    }
    buffer_release(&inner);
}

void generate(struct fuzz_input *input, struct pools *pools, const struct pb_message *message,
              struct buffer *to)
{
    generate_at(input, pools, message, to, 0);
}

/* --- answers --- */

static void harvest_at(struct pools *pools, const struct pb_message *message, struct bytes wire,
                       unsigned depth)
{
    const uint8_t *at = wire.base, *end = wire.base + wire.size;
    const char    *problem;
    while (at != end) {
        struct wire_value value;
        at = wire_read(at, end, &value, &problem);
        FUZZ_REQUIRE(at != NULL, "an answer that is not well-formed: %s", problem);
        const struct pb_field *field = pb_field_find(message, value.number);
        if (field == NULL || value.type != WIRE_BYTES)
            continue;
        const char *name = pb_field_name(field);
        if (field->kind == PB_MESSAGE && depth < GENERATE_DEPTH_MAX)
            harvest_at(pools, pb_field_message(field), value.bytes, depth + 1);
        else if (field->kind == PB_BYTES && value.bytes.size != 0 && strcmp(name, "task_token") == 0)
            pool_add(&pools->task_tokens, value.bytes);
        else if (field->kind == PB_BYTES && value.bytes.size != 0 && strstr(name, "page_token") != NULL)
            pool_add(&pools->page_tokens, value.bytes);
        else if (field->kind == PB_STRING && value.bytes.size == 36 && strstr(name, "run_id") != NULL)
            pool_add(&pools->run_ids, value.bytes);
    }
}

void harvest(struct pools *pools, const struct pb_message *message, struct bytes wire)
{
    harvest_at(pools, message, wire, 0);
}
