/* options.c: the table of flags, and its three readers. */
#include "server/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

struct flag {
    const char *name, *argument, *fallback, *help;
    bool (*set)(struct options *options, const char *value); /* false: the value is none */
};

static bool set_grpc(struct options *options, const char *value)
{
    options->grpc_address = value;
    return strrchr(value, ':') != NULL;
}

static bool set_http(struct options *options, const char *value)
{
    options->http_address = value;
    return strrchr(value, ':') != NULL;
}

static bool set_store(struct options *options, const char *value)
{
    options->store_url = value;
    return strchr(value, ':') != NULL;
}

static bool set_namespace(struct options *options, const char *value)
{
    if (options->namespace_count == OPTIONS_NAMESPACES_MAX || *value == '\0' || strlen(value) > 1000)
        return false;
    options->namespaces[options->namespace_count++] = value;
    return true;
}

bool options_parse_size(const char *value, size_t *ret_size)
{
    char              *end;
    unsigned           shift = 0;
    unsigned long long number = strtoull(value, &end, 10);
    switch (toupper((unsigned char)*end)) {
    case 'K':
        shift = 10;
        break;
    case 'M':
        shift = 20;
        break;
    case 'G':
        shift = 30;
        break;
    default:
        break;
    }
    if (end == value || *value == '-' || (*end != '\0' && (shift == 0 || end[1] != '\0')) ||
        number > SIZE_MAX >> shift)
        return false;
    *ret_size = (size_t)number << shift;
    return true;
}

static bool set_memory(struct options *options, const char *value)
{
    return options_parse_size(value, &options->memory_limit) && options->memory_limit >= 1U << 20;
}

static bool set_lanes(struct options *options, const char *value)
{
    char *end;
    long  number = strtol(value, &end, 10);
    options->lane_count = (uint32_t)number;
    return *value != '\0' && *end == '\0' && number >= 0 && number <= 64;
}

static bool set_mcp_config(struct options *options, const char *value)
{
    options->mcp_config = value;
    return *value != '\0';
}

static bool set_log_form(struct options *options, const char *value)
{
    return log_form_parse(value, &options->log_form);
}

static bool set_otlp_endpoint(struct options *options, const char *value)
{
    options->otlp_endpoint = value;
    return (strncmp(value, "http://", 7) == 0 || strncmp(value, "https://", 8) == 0) && strlen(value) < 1000;
}

static bool set_otlp_sample(struct options *options, const char *value)
{
    char *end;
    options->otlp_sample = strtod(value, &end);
    return end != value && *end == '\0' && options->otlp_sample >= 0 && options->otlp_sample <= 1;
}

static bool set_time_skipping(struct options *options, const char *value)
{
    options->time_skipping = strcmp(value, "on") == 0;
    return options->time_skipping || strcmp(value, "off") == 0;
}

static bool set_log_level(struct options *options, const char *value)
{
    return log_level_parse(value, &options->log_level);
}

static bool set_limit(struct options *options, const char *value)
{
    const char  *equals = strchr(value, '=');
    struct error ignored;
    return equals != NULL && limits_set(&options->limits, bytes_of(value, (size_t)(equals - value)),
                                        bytes_of_text(equals + 1), &ignored) == ST_OK;
}

/* HOST:PORT with * for any text, and ",insecure" behind it. */
static bool set_callback(struct options *options, const char *value)
{
    static const char insecure[] = ",insecure";
    size_t            size = strcspn(value, ",");
    bool              is_insecure = strcmp(value + size, insecure) == 0;
    if (options->callback_count == OPTIONS_CALLBACKS_MAX || size == 0 ||
        (value[size] != '\0' && !is_insecure) || strstr(value, "://") != NULL)
        return false;
    options->callbacks[options->callback_count++] = (struct options_callback){ value, size, is_insecure };
    return true;
}

static const struct flag flags[] = {
    { "grpc", "HOST:PORT", "127.0.0.1:7233",
      "where SDKs and the command line connect; port 0 takes a free one", set_grpc },
    { "http", "HOST:PORT", "127.0.0.1:8233", "health checks and the landing page; port 0 takes a free one",
      set_http },
    { "store", "URL", "sqlite:perdure.db", "sqlite:FILE, or memory: for tests (loses everything at the end)",
      set_store },
    { "namespace", "NAME", NULL, "registers this namespace at start besides default; repeat for more",
      set_namespace },
    { "memory", "SIZE", "256M", "memory for cached workflow executions: bytes, or with K, M, G; at least 1M",
      set_memory },
    { "lanes", "COUNT", "0", "event-loop threads, at most 64; 0: one less than there are cores, at least one",
      set_lanes },
    { "limit", "NAME=VALUE", NULL,
      "a limit of all namespaces that do not set it themselves; repeat for more; names are in limits.md",
      set_limit },
    { "callback-url", "HOST[:PORT][,insecure]", NULL,
      "completion callbacks may go there, by https, or also by http; * stands for any text; repeat for more; "
      "none: nowhere",
      set_callback },
    { "mcp-config", "FILE", NULL,
      "workflows as tools of AI agents: declared in this file (docs/mcp.md), served at /mcp of the HTTP "
      "address",
      set_mcp_config },
    { "time-skipping", "on|off", "off",
      "for tests of workflows: time jumps to the next timer while nothing is under way and no client holds "
      "it "
      "(TestService); takes one lane",
      set_time_skipping },
    { "otlp-endpoint", "URL", NULL,
      "traces of calls, commits and dispatches go to this OpenTelemetry collector, by HTTP and protobuf: "
      "URL/v1/traces; none: no traces",
      set_otlp_endpoint },
    { "otlp-sample", "RATIO", "1",
      "of the calls that bring no traceparent, how many are traced: 0 to 1; the others do as it says",
      set_otlp_sample },
    { "log-level", "LEVEL", "info", "debug, info, warn, error or off", set_log_level },
    { "log-format", "FORMAT", "text", "text (key=value) or json: lines on standard error", set_log_form },
};

static void variable_name(const char *flag, char name[64])
{
    size_t size = (size_t)snprintf(name, 64, "PERDURE_%s", flag);
    for (size_t i = 0; i < size; i++)
        name[i] = (char)(name[i] == '-' ? '_' : toupper((unsigned char)name[i]));
}

static enum status set_flag(const struct flag *flag, struct options *options, const char *value,
                            struct error *error)
{
    if (flag->set(options, value))
        return ST_OK;
    return error_set(error, ST_INVALID_ARGUMENT, "--%s %s: expected %s (%s)", flag->name, value,
                     flag->argument, flag->help);
}

static enum status set_defaults(struct options *options, struct error *error)
{
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        char name[64];
        variable_name(flags[i].name, name);
        const char *value = getenv(name);
        if (value == NULL || *value == '\0')
            value = flags[i].fallback;
        if (value != NULL && set_flag(&flags[i], options, value, error) != ST_OK)
            return ST_INVALID_ARGUMENT;
    }
    return ST_OK;
}

enum status options_parse(int argc, char **argv, struct options *ret_options, struct error *error)
{
    struct options options = { .limits = limits_default };
    if (set_defaults(&options, error) != ST_OK)
        return ST_INVALID_ARGUMENT;
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i], *value = NULL;
        size_t      at = 0;
        if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
            options.help = true;
            continue;
        }
        for (; at < ARRAY_COUNT(flags); at++) {
            size_t size = strlen(flags[at].name);
            if (strncmp(text, "--", 2) == 0 && strncmp(text + 2, flags[at].name, size) == 0 &&
                (text[2 + size] == '\0' || text[2 + size] == '=')) {
                value = text[2 + size] == '=' ? text + 3 + size : NULL;
                break;
            }
        }
        if (at == ARRAY_COUNT(flags))
            return error_set(error, ST_INVALID_ARGUMENT, "unknown argument: %s", text);
        if (value == NULL && ++i == argc)
            return error_set(error, ST_INVALID_ARGUMENT, "a value is missing behind --%s", flags[at].name);
        if (set_flag(&flags[at], &options, value == NULL ? argv[i] : value, error) != ST_OK)
            return ST_INVALID_ARGUMENT;
    }
    *ret_options = options;
    return ST_OK;
}

void options_print_help(void)
{
    printf("perdure server: runs the server until SIGTERM or SIGINT\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        char left[48];
        snprintf(left, sizeof left, "--%s %s", flags[i].name, flags[i].argument);
        printf("  %-22s %s%s%s%s\n", left, flags[i].help, flags[i].fallback == NULL ? "" : " (default ",
               flags[i].fallback == NULL ? "" : flags[i].fallback, flags[i].fallback == NULL ? "" : ")");
    }
    printf("\nEach flag can also be given in the environment, e.g. PERDURE_STORE.\n");
}

void options_print_reference(void)
{
    printf("| flag | environment | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        char name[64];
        variable_name(flags[i].name, name);
        printf("| `--%s %s` | `%s` | %s%s%s | %s |\n", flags[i].name, flags[i].argument, name,
               flags[i].fallback == NULL ? "" : "`", flags[i].fallback == NULL ? "" : flags[i].fallback,
               flags[i].fallback == NULL ? "" : "`", flags[i].help);
    }
}

void options_print_limits(void)
{
    static const char *const units[] = { "bytes", "", "seconds" };
    printf("| limit | unit | default | smallest | largest | of |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < limits_count(); i++) {
        struct limit limit = limits_row(i);
        printf("| `%s` | %s | %" PRId64 " | %" PRId64 " | %" PRId64 " | %s |\n", limit.name,
               units[limit.unit], limit.value_default, limit.value_min, limit.value_max, limit.meaning);
    }
}
