/* support.c: values of flags, payloads in and out, calls. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "cli/cli_internal.h"
#include "codec/pb_time.h"

#define INPUT_FILE_SIZE_MAX (4U << 20)

struct bytes cli_value(const struct cli *cli, enum cli_flag flag)
{
    size_t count = cli->arguments.counts[flag];
    return count == 0 ? BYTES_EMPTY : bytes_of_text(cli->arguments.values[flag][count - 1]);
}

struct bytes cli_namespace(const struct cli *cli)
{
    struct bytes given = cli_value(cli, FLAG_NAMESPACE);
    if (given.size == 0)
        given = bytes_of_text(getenv("TEMPORAL_NAMESPACE"));
    return given.size == 0 ? BYTES("default") : given;
}

enum status cli_parse_duration(const char *text, int64_t *ret_ns)
{
    static const struct {
        const char *name;
        int64_t     ns;
    } units[] = { { "ns", 1 },        { "us", NS_PER_US },      { "ms", NS_PER_MS },         { "s", NS_PER_S },
                  { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S }, { "d", 86400 * NS_PER_S } };
    int64_t total = 0;
    if (*text == '\0')
        return ST_INVALID_ARGUMENT;
    while (*text != '\0') {
        char *end;
        errno = 0;
        double value = strtod(text, &end);
        size_t size = strspn(end, "nusmhd"), unit = 0;
        while (unit < ARRAY_COUNT(units) && (strlen(units[unit].name) != size || strncmp(units[unit].name, end, size) != 0))
            unit++;
        if (end == text || errno != 0 || unit == ARRAY_COUNT(units) || value < 0 ||
            value * (double)units[unit].ns + (double)total > 9e18)
            return ST_INVALID_ARGUMENT;
        total += (int64_t)(value * (double)units[unit].ns);
        text = end + size;
    }
    *ret_ns = total;
    return ST_OK;
}

enum status cli_duration(struct cli *cli, enum cli_flag flag, struct google_Duration **ret_duration)
{
    int64_t ns;
    if (!cli_given(cli, flag))
        return ST_OK;
    const char *text = cli->arguments.values[flag][0];
    if (cli_parse_duration(text, &ns) != ST_OK)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "not a duration (10s, 1h30m): %s", text);
    *ret_duration = ARENA_NEW(&cli->arena, struct google_Duration);
    (*ret_duration)->seconds = ns / NS_PER_S;
    (*ret_duration)->nanos = (int32_t)(ns % NS_PER_S);
    return ST_OK;
}

/* The text must be JSON: a worker would fail on anything else, long after the user could have mended it. */
static enum status json_payload(struct cli *cli, struct bytes json, struct bytes *ret_payload)
{
    json_error_t problem;
    json_t      *parsed = json_loadb((const char *)json.base, json.size, JSON_DECODE_ANY, &problem);
    if (parsed == NULL)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "not JSON (text needs quotes of its own: '\"text\"'): %s",
                         problem.text);
    json_decref(parsed);
    struct common_Payload_MetadataEntry encoding = { BYTES("encoding"), BYTES("json/plain") };
    struct common_Payload               payload = { .metadata = &encoding, .metadata_count = 1, .data = json };
    *ret_payload = pb_encode_arena(&pb_common_Payload, &payload, &cli->arena);
    return ST_OK;
}

static enum status read_file(struct cli *cli, const char *path, struct bytes *ret_content)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    uint8_t *content = arena_must(arena_alloc(&cli->arena, INPUT_FILE_SIZE_MAX + 1));
    size_t   size = fread(content, 1, INPUT_FILE_SIZE_MAX + 1, file);
    bool     failed = ferror(file) != 0;
    fclose(file);
    if (failed || size > INPUT_FILE_SIZE_MAX)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "%s: %s", path, failed ? "cannot be read" : "is over 4 MiB");
    *ret_content = bytes_of(content, size);
    return ST_OK;
}

enum status cli_input(struct cli *cli, struct bytes *ret_payloads)
{
    size_t texts = cli->arguments.counts[FLAG_INPUT], files = cli->arguments.counts[FLAG_INPUT_FILE];
    if (texts + files == 0)
        return ST_OK;
    struct common_Payloads payloads = { .payloads = ARENA_NEW_ARRAY(&cli->arena, struct bytes, texts + files),
                                        .payloads_count = texts + files };
    for (size_t i = 0; i < texts + files; i++) {
        struct bytes json = i < texts ? bytes_of_text(cli->arguments.values[FLAG_INPUT][i]) : BYTES_EMPTY;
        enum status  status = ST_OK;
        if (i >= texts)
            status = read_file(cli, cli->arguments.values[FLAG_INPUT_FILE][i - texts], &json);
        if (status == ST_OK)
            status = json_payload(cli, json, &payloads.payloads[i]);
        if (status != ST_OK)
            return status;
    }
    *ret_payloads = pb_encode_arena(&pb_common_Payloads, &payloads, &cli->arena);
    return ST_OK;
}

enum status cli_pairs(struct cli *cli, enum cli_flag flag, struct bytes *ret_message)
{
    size_t count = cli->arguments.counts[flag];
    if (count == 0)
        return ST_OK;
    struct common_Memo memo = { .fields = ARENA_NEW_ARRAY(&cli->arena, struct common_Memo_FieldsEntry, count),
                                .fields_count = count };
    for (size_t i = 0; i < count; i++) {
        const char *text = cli->arguments.values[flag][i], *equals = strchr(text, '=');
        if (equals == NULL || equals == text)
            return error_set(&cli->error, ST_INVALID_ARGUMENT, "not KEY=JSON: %s", text);
        memo.fields[i].key = bytes_of(text, (size_t)(equals - text));
        enum status status = json_payload(cli, bytes_of_text(equals + 1), &memo.fields[i].value);
        if (status != ST_OK)
            return status;
    }
    static_assert(sizeof(struct common_Memo) == sizeof(struct common_SearchAttributes), "both are one map of payloads");
    const struct pb_message *type = flag == FLAG_MEMO ? &pb_common_Memo : &pb_common_SearchAttributes;
    *ret_message = pb_encode_arena(type, &memo, &cli->arena);
    return ST_OK;
}

enum status cli_call(struct cli *cli, const char *path, const struct pb_message *request_type, const void *request,
                     const struct pb_message *response_type, void *ret_response)
{
    struct bytes reply, encoded = pb_encode_arena(request_type, request, &cli->arena);
    enum status  status = wire_client_call(cli->client, bytes_of_text(path), encoded, NULL, 0, cli->timeout_ns,
                                           &cli->arena, &reply, &cli->error);
    return status == ST_OK ? pb_decode(response_type, reply, &cli->arena, ret_response, &cli->error) : status;
}

enum status cli_print_json(struct cli *cli, const struct pb_message *type, const void *record)
{
    struct buffer text CLEANUP(buffer_release) = { 0 };
    enum status   status = json_print(type, pb_encode_arena(type, record, &cli->arena), JSON_PRETTY, &text, &cli->error);
    if (status == ST_OK) {
        fwrite(text.base, 1, text.size, stdout);
        putchar('\n');
    }
    return status;
}

static void print_payload(struct cli *cli, struct bytes wire)
{
    struct common_Payload payload = { 0 };
    struct bytes          encoding = BYTES_EMPTY;
    if (pb_decode(&pb_common_Payload, wire, &cli->arena, &payload, &cli->error) != ST_OK)
        return;
    for (size_t i = 0; i < payload.metadata_count; i++) {
        if (bytes_equal_text(payload.metadata[i].key, "encoding"))
            encoding = payload.metadata[i].value;
    }
    if (bytes_starts_with(encoding, BYTES("json/")))
        fwrite(payload.data.base, 1, payload.data.size, stdout);
    else if (bytes_equal_text(encoding, "binary/null"))
        fputs("null", stdout);
    else
        printf("<%zu bytes, encoding %.*s>", payload.data.size, BYTES_FMT(encoding));
    putchar('\n');
}

void cli_print_payloads(struct cli *cli, struct bytes wire)
{
    struct common_Payloads payloads = { 0 };
    if (wire.base == NULL || pb_decode(&pb_common_Payloads, wire, &cli->arena, &payloads, &cli->error) != ST_OK) {
        puts("(no result)");
        return;
    }
    for (size_t i = 0; i < payloads.payloads_count; i++)
        print_payload(cli, payloads.payloads[i]);
}

void cli_print_failure(struct cli *cli, struct bytes wire, int indent)
{
    while (wire.base != NULL) { /* the chain of causes, outermost first */
        struct failure_Failure failure = { 0 };
        if (pb_decode(&pb_failure_Failure, wire, &cli->arena, &failure, &cli->error) != ST_OK)
            return;
        fprintf(stdout, "%*sfailure: %.*s\n", indent, "", BYTES_FMT(failure.message));
        wire = failure.cause;
        indent += 2;
    }
}

const char *cli_time_text(struct cli *cli, const struct google_Timestamp *time)
{
    struct tm parts;
    time_t    seconds = time == NULL ? 0 : (time_t)time->seconds;
    char     *text = arena_must(arena_zalloc(&cli->arena, 40, 1));
    if (time == NULL || gmtime_r(&seconds, &parts) == NULL)
        return "-";
    size_t size = strftime(text, 30, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + size, 40 - size, ".%03dZ", time->nanos / 1000000);
    return text;
}

const char *cli_duration_text(struct cli *cli, const struct google_Duration *duration)
{
    if (duration == NULL)
        return "-";
    return (const char *)arena_printf(&cli->arena, "%" PRId64 "h%02" PRId64 "m%02" PRId64 "s%c", duration->seconds / 3600,
                                      duration->seconds / 60 % 60, duration->seconds % 60, '\0')
        .base;
}

const char *cli_status_text(int32_t status)
{
    static const char *const names[] = { "-",          "Running",        "Completed", "Failed", "Canceled",
                                         "Terminated", "ContinuedAsNew", "TimedOut",  "Paused" };
    return (size_t)status < ARRAY_COUNT(names) ? names[status] : "?";
}

struct bytes cli_request_id(struct cli *cli)
{
    struct random random;
    random_seed_from_system(&random);
    struct uuid uuid = uuid_random(&random);
    uint8_t    *text = arena_must(arena_alloc(&cli->arena, UUID_TEXT_SIZE));
    uuid_print(&uuid, (char *)text);
    return bytes_of(text, UUID_TEXT_SIZE);
}

struct bytes cli_identity(struct cli *cli)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return arena_printf(&cli->arena, "perdure-cli:%d@%s", (int)getpid(), host);
}

const char *cli_event_text(int32_t event_type)
{
    static char           text[64]; /* printed before the next call; the command line has one thread */
    const struct pb_enum *type = pb_enum_find(BYTES("temporal.api.enums.v1.EventType"));
    const char           *name = type == NULL ? NULL : pb_enum_value_name(type, event_type);
    size_t                size = 0;
    if (name == NULL || strncmp(name, "EVENT_TYPE_", 11) != 0)
        return "an unknown event";
    bool upper = true;
    for (name += 11; *name != '\0' && size + 1 < sizeof text; name++) {
        if (*name != '_')
            text[size++] = (char)(upper ? *name : tolower(*name));
        upper = *name == '_';
    }
    text[size] = '\0';
    return text;
}
