/* support.c: values of flags, payloads of arguments, calls. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/random.h"
#include "cli/cli_internal.h"

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

struct common_WorkflowExecution *cli_execution(struct cli *cli)
{
    struct common_WorkflowExecution *execution = ARENA_NEW(&cli->arena, struct common_WorkflowExecution);
    execution->workflow_id = cli_value(cli, FLAG_WORKFLOW_ID);
    execution->run_id = cli_value(cli, FLAG_RUN_ID);
    return execution;
}

enum status cli_parse_duration(const char *text, int64_t *ret_ns)
{
    static const struct {
        const char *name;
        int64_t     ns;
    } units[] = { { "ns", 1 },
                  { "us", NS_PER_US },
                  { "ms", NS_PER_MS },
                  { "s", NS_PER_S },
                  { "m", 60 * NS_PER_S },
                  { "h", 3600 * NS_PER_S },
                  { "d", 86400 * NS_PER_S } };
    int64_t total = 0;
    if (*text == '\0')
        return ST_INVALID_ARGUMENT;
    while (*text != '\0') {
        char *end;
        errno = 0;
        double value = strtod(text, &end);
        size_t size = strspn(end, "nusmhd"), unit = 0;
        while (unit < ARRAY_COUNT(units) &&
               (strlen(units[unit].name) != size || strncmp(units[unit].name, end, size) != 0))
            unit++;
        if (end == text || errno != 0 || unit == ARRAY_COUNT(units) || value < 0 ||
            !(value * (double)units[unit].ns + (double)total <= 9e18)) /* also what is no number */
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
    json_t      *parsed = json_loadb((const char *)json.base, json.size, CLI_JSON_READ, &problem);
    if (parsed == NULL)
        return error_set(&cli->error, ST_INVALID_ARGUMENT,
                         "not JSON (text needs quotes of its own: '\"text\"'): %.*s: %s",
                         (int)MIN(json.size, (size_t)60), (const char *)json.base, problem.text);
    json_decref(parsed);
    struct common_Payload_MetadataEntry encoding = { BYTES("encoding"), BYTES("json/plain") };
    struct common_Payload payload = { .metadata = &encoding, .metadata_count = 1, .data = json };
    *ret_payload = pb_encode_arena(&pb_common_Payload, &payload, &cli->arena);
    return ST_OK;
}

enum status cli_read_file(struct cli *cli, const char *path, struct bytes *ret_content)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
    uint8_t *content = arena_must(arena_alloc(&cli->arena, INPUT_FILE_SIZE_MAX + 1));
    size_t   size = fread(content, 1, INPUT_FILE_SIZE_MAX + 1, file);
    bool     failed = ferror(file) != 0;
    fclose(file);
    if (failed || size > INPUT_FILE_SIZE_MAX)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "%s: %s", path,
                         failed ? "cannot be read" : "is over 4 MiB");
    *ret_content = bytes_of(content, size);
    return ST_OK;
}

static enum status read_input(struct cli *cli, enum cli_flag text_flag, enum cli_flag file_flag,
                              struct bytes *ret_payloads)
{
    size_t texts = cli->arguments.counts[text_flag], files = cli->arguments.counts[file_flag];
    if (texts + files == 0)
        return ST_OK;
    struct common_Payloads payloads = { .payloads = ARENA_NEW_ARRAY(&cli->arena, struct bytes, texts + files),
                                        .payloads_count = texts + files };
    for (size_t i = 0; i < texts + files; i++) {
        struct bytes json = i < texts ? bytes_of_text(cli->arguments.values[text_flag][i]) : BYTES_EMPTY;
        enum status  status = ST_OK;
        if (i >= texts)
            status = cli_read_file(cli, cli->arguments.values[file_flag][i - texts], &json);
        if (status == ST_OK)
            status = json_payload(cli, json, &payloads.payloads[i]);
        if (status != ST_OK)
            return status;
    }
    *ret_payloads = pb_encode_arena(&pb_common_Payloads, &payloads, &cli->arena);
    return ST_OK;
}

enum status cli_input(struct cli *cli, struct bytes *ret_payloads)
{
    return read_input(cli, FLAG_INPUT, FLAG_INPUT_FILE, ret_payloads);
}

enum status cli_signal_input(struct cli *cli, struct bytes *ret_payloads)
{
    return read_input(cli, FLAG_SIGNAL_INPUT, FLAG_SIGNAL_INPUT_FILE, ret_payloads);
}

enum status cli_update_input(struct cli *cli, struct bytes *ret_payloads)
{
    return read_input(cli, FLAG_UPDATE_INPUT, FLAG_UPDATE_INPUT_FILE, ret_payloads);
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
    static_assert(sizeof(struct common_Memo) == sizeof(struct common_SearchAttributes),
                  "each is one map of payloads");
    static_assert(sizeof(struct common_Memo) == sizeof(struct common_Header), "each is one map of payloads");
    const struct pb_message *type = flag == FLAG_MEMO      ? &pb_common_Memo
                                    : flag == FLAG_HEADERS ? &pb_common_Header
                                                           : &pb_common_SearchAttributes;
    *ret_message = pb_encode_arena(type, &memo, &cli->arena);
    return ST_OK;
}

/* A text of the user as the payload that user interfaces show. */
static struct bytes text_payload(struct cli *cli, struct bytes text)
{
    json_t      *string = json_stringn((const char *)text.base, text.size);
    char        *json = string == NULL ? NULL : json_dumps(string, JSON_ENCODE_ANY);
    struct bytes payload = BYTES_EMPTY;
    if (json == NULL || json_payload(cli, arena_copy(&cli->arena, bytes_of_text(json)), &payload) != ST_OK)
        payload = BYTES_EMPTY; /* not UTF-8 */
    free(json);
    json_decref(string);
    return payload;
}

enum status cli_user_metadata(struct cli *cli, struct bytes *ret_message)
{
    static const enum cli_flag flags[] = { FLAG_STATIC_SUMMARY, FLAG_STATIC_DETAILS };
    struct sdk_UserMetadata    metadata = { 0 };
    struct bytes              *fields[] = { &metadata.summary, &metadata.details };
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (!cli_given(cli, flags[i]))
            continue;
        *fields[i] = text_payload(cli, cli_value(cli, flags[i]));
        if (fields[i]->base == NULL)
            return error_set(&cli->error, ST_INVALID_ARGUMENT,
                             "--static-summary and --static-details are UTF-8 text");
        *ret_message = pb_encode_arena(&pb_sdk_UserMetadata, &metadata, &cli->arena);
    }
    return ST_OK;
}

enum status cli_named_value(struct cli *cli, enum cli_flag flag, const struct cli_name *names,
                            int32_t *ret_value)
{
    struct bytes given = cli_value(cli, flag);
    *ret_value = 0;
    if (given.size == 0)
        return ST_OK;
    for (; names->text != NULL; names++) {
        if (bytes_equal_text(given, names->text)) {
            *ret_value = names->value;
            return ST_OK;
        }
    }
    return error_set(&cli->error, ST_INVALID_ARGUMENT, "no such value: %.*s (see --help)", BYTES_FMT(given));
}

enum status cli_count(struct cli *cli, enum cli_flag flag, size_t *ret_count)
{
    const char *text = cli_given(cli, flag) ? cli->arguments.values[flag][0] : NULL;
    char       *end;
    if (text == NULL)
        return ST_OK;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number == 0)
        return error_set(&cli->error, ST_INVALID_ARGUMENT, "not a positive number: %s", text);
    *ret_count = number;
    return ST_OK;
}

enum status cli_call(struct cli *cli, const char *path, const struct pb_message *request_type,
                     const void *request, const struct pb_message *response_type, void *ret_response)
{
    struct bytes reply, encoded = pb_encode_arena(request_type, request, &cli->arena);
    int64_t      left = cli->deadline == TIME_NEVER ? TIME_NEVER
                                                    : cli->deadline - clock_monotonic_ns(&clock_system);
    cli->called = true;
    if (left <= 0)
        cli->refusal = error_set(&cli->error, ST_DEADLINE_EXCEEDED,
                                 "the command took longer than --command-timeout");
    else
        cli->refusal = wire_client_call(cli->client, bytes_of_text(path), encoded, NULL, 0, left, &cli->arena,
                                        &reply, &cli->error);
    if (cli->refusal == ST_OK)
        cli->refusal = pb_decode(response_type, reply, &cli->arena, ret_response, &cli->error);
    return cli->refusal;
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
    if (cli_given(cli, FLAG_IDENTITY))
        return cli_value(cli, FLAG_IDENTITY);
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return arena_printf(&cli->arena, "perdure-cli:%d@%s", (int)getpid(), host);
}
