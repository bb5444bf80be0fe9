/* output.c: what commands print, as JSON for programs and as lines for people. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "cli/cli_internal.h"

/* Of failure_Failure's failure_info_case: the field's number. */
#define FAILURE_IS_APPLICATION 5

bool cli_is_json(struct bytes text)
{
    json_t *parsed = json_loadb((const char *)text.base, text.size, CLI_JSON_READ, NULL);
    bool    valid = parsed != NULL;
    json_decref(parsed);
    return valid;
}

enum status cli_print_json(struct cli *cli, const struct pb_message *type, const void *record)
{
    struct buffer text CLEANUP(buffer_release) = { 0 };
    unsigned           flags = cli->json_lines ? 0 : JSON_PRETTY;
    enum status        status = json_print(type, pb_encode_arena(type, record, &cli->arena), flags, &text,
                                           &cli->error);
    if (status == ST_OK) {
        fwrite(text.base, 1, text.size, stdout);
        putchar('\n');
    }
    return status;
}

void cli_print_done(const struct cli *cli, const char *text)
{
    puts(cli->json ? "{}" : text);
}

void cli_list_item(struct cli *cli, const char *open)
{
    if (cli->json && !cli->json_lines)
        fputs(cli->list_count == 0 ? open : ",", stdout);
    cli->list_count++;
}

enum status cli_list_end(struct cli *cli, enum status status, const char *open, const char *close)
{
    if (cli->json && !cli->json_lines && (status == ST_OK || cli->list_count != 0))
        printf("%s%s\n", cli->list_count == 0 ? open : "", close);
    return status;
}

static void print_string(struct bytes text)
{
    json_t *string = json_stringn(text.size == 0 ? "" : (const char *)text.base, text.size);
    if (string == NULL || json_dumpf(string, stdout, JSON_ENCODE_ANY) != 0)
        fputs("null", stdout);
    json_decref(string);
}

void cli_field(struct cli *cli, const char *name)
{
    bool pretty = !cli->json_lines;
    printf("%s%s\"%s\":%s", cli->field_count == 0 ? "{" : ",", pretty ? "\n  " : "", name, pretty ? " " : "");
    cli->field_count++;
}

void cli_text_field(struct cli *cli, const char *name, struct bytes text)
{
    cli_field(cli, name);
    print_string(text);
}

void cli_fields_end(struct cli *cli)
{
    puts(cli->json_lines ? "}" : "\n}");
    cli->field_count = 0;
}

enum status cli_message_field(struct cli *cli, const char *name, const struct pb_message *type,
                              const void *record)
{
    struct buffer text CLEANUP(buffer_release) = { 0 };
    enum status status = json_print(type, pb_encode_arena(type, record, &cli->arena), 0, &text, &cli->error);
    if (status == ST_OK) {
        cli_field(cli, name);
        fwrite(text.base, 1, text.size, stdout);
    }
    return status;
}

static struct bytes payload_encoding(const struct common_Payload *payload)
{
    for (size_t i = 0; i < payload->metadata_count; i++) {
        if (bytes_equal_text(payload->metadata[i].key, "encoding"))
            return payload->metadata[i].value;
    }
    return BYTES_EMPTY;
}

/* As the value it stands for, if that is JSON indeed; else as the message that carries it. */
static enum status print_payload_json(struct cli *cli, struct bytes wire)
{
    struct common_Payload payload = { 0 };
    enum status           status = pb_decode(&pb_common_Payload, wire, &cli->arena, &payload, &cli->error);
    struct bytes          encoding = payload_encoding(&payload);
    struct buffer text    CLEANUP(buffer_release) = { 0 };
    if (status == ST_OK && bytes_equal_text(encoding, "binary/null"))
        fputs("null", stdout);
    else if (status == ST_OK && bytes_starts_with(encoding, BYTES("json/")) && cli_is_json(payload.data))
        fwrite(payload.data.base, 1, payload.data.size, stdout);
    else if (status == ST_OK &&
             (status = json_print(&pb_common_Payload, wire, 0, &text, &cli->error)) == ST_OK)
        fwrite(text.base, 1, text.size, stdout);
    return status;
}

enum status cli_payloads_field(struct cli *cli, const char *name, struct bytes wire)
{
    struct common_Payloads payloads = { 0 };
    enum status            status = ST_OK;
    if (wire.base != NULL)
        status = pb_decode(&pb_common_Payloads, wire, &cli->arena, &payloads, &cli->error);
    if (status != ST_OK)
        return status;
    cli_field(cli, name);
    if (payloads.payloads_count == 0)
        fputs("null", stdout);
    if (payloads.payloads_count > 1)
        putchar('[');
    for (size_t i = 0; i < payloads.payloads_count && status == ST_OK; i++) {
        if (i != 0)
            putchar(',');
        status = print_payload_json(cli, payloads.payloads[i]);
    }
    if (payloads.payloads_count > 1)
        putchar(']');
    return status;
}

static void print_payload(struct cli *cli, struct bytes wire)
{
    struct common_Payload payload = { 0 };
    if (pb_decode(&pb_common_Payload, wire, &cli->arena, &payload, &cli->error) != ST_OK)
        return;
    struct bytes encoding = payload_encoding(&payload);
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
    if (wire.base == NULL ||
        pb_decode(&pb_common_Payloads, wire, &cli->arena, &payloads, &cli->error) != ST_OK) {
        puts("(no result)");
        return;
    }
    for (size_t i = 0; i < payloads.payloads_count; i++)
        print_payload(cli, payloads.payloads[i]);
}

void cli_print_failure(struct cli *cli, struct bytes wire, int indent)
{
    int first_indent = indent;
    while (wire.base != NULL) { /* the chain of causes, outermost first */
        struct failure_Failure failure = { 0 };
        if (pb_decode(&pb_failure_Failure, wire, &cli->arena, &failure, &cli->error) != ST_OK)
            return;
        struct bytes type = BYTES_EMPTY;
        if (failure.failure_info_case == FAILURE_IS_APPLICATION)
            type = failure.application_failure_info->type;
        printf("%*s%s: %.*s%s%.*s%s\n", indent, "", indent == first_indent ? "failure" : "cause",
               BYTES_FMT(failure.message), type.size == 0 ? "" : " (", BYTES_FMT(type),
               type.size == 0 ? "" : ")");
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
    return (const char *)arena_printf(&cli->arena, "%" PRId64 "h%02" PRId64 "m%02" PRId64 "s%c",
                                      duration->seconds / 3600, duration->seconds / 60 % 60,
                                      duration->seconds % 60, '\0')
        .base;
}

const char *cli_status_text(int32_t status)
{
    static const char *const names[] = { "-",          "Running",        "Completed", "Failed", "Canceled",
                                         "Terminated", "ContinuedAsNew", "TimedOut",  "Paused" };
    return (size_t)status < ARRAY_COUNT(names) ? names[status] : "?";
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
