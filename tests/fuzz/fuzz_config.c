/* fuzz_config.c: what people write: flags, the environment, limits, addresses.
 *
 * Input: a byte says how many of the following lines are set in the environment; then lines, each an argument (or NAME=VALUE
 * of the environment, with PERDURE_ in front).
 * What must hold: what is accepted is within its bounds, every limit within those of its row; what is not is refused with
 * words; a number is never taken for another one.
 */
#include <stdio.h>

#include "fuzz.h"
#include "io/listener.h"
#include "server/options.h"

#define ARGUMENTS_MAX   16
#define ENVIRONMENT_MAX 4
#define LINE_MAX        128

static void check_options(const struct options *options)
{
    FUZZ_REQUIRE(options->lane_count <= 64, "%u lanes", options->lane_count);
    FUZZ_REQUIRE(options->memory_limit >= 1U << 20, "%zu bytes of memory", options->memory_limit);
    FUZZ_REQUIRE(options->namespace_count <= OPTIONS_NAMESPACES_MAX, "%zu namespaces",
                 options->namespace_count);
    FUZZ_REQUIRE(options->callback_count <= OPTIONS_CALLBACKS_MAX, "%zu callbacks", options->callback_count);
    for (size_t i = 0; i < options->callback_count; i++)
        FUZZ_REQUIRE(options->callbacks[i].size > 0 &&
                         options->callbacks[i].size <= strlen(options->callbacks[i].pattern),
                     "a pattern of %zu bytes", options->callbacks[i].size);
    for (size_t i = 0; i < limits_count(); i++) {
        struct limit limit = limits_row(i);
        int64_t      value, unit = limit.unit == LIMIT_SECONDS ? NS_PER_S : 1;
        memcpy(&value, (const char *)&options->limits + limit.offset, sizeof value);
        FUZZ_REQUIRE(value >= limit.value_min * unit && value <= limit.value_max * unit, "%s is %" PRId64,
                     limit.name, value);
    }
}

/* A number with a unit means what it says. */
static void check_limit(const char *argument)
{
    struct limits limits = limits_default;
    struct error  error;
    const char   *equals = strchr(argument, '=');
    double        number;
    char          unit = '\0';
    if (equals == NULL || sscanf(equals + 1, "%lf%c", &number, &unit) < 1)
        return;
    struct bytes name = bytes_of(argument, (size_t)(equals - argument));
    if (limits_set(&limits, name, bytes_of_text(equals + 1), &error) != ST_OK)
        return;
    number *= unit == 'K' || unit == 'k' ? 1024 : unit == 'M' || unit == 'm' ? 1024 * 1024 : 1;
    for (size_t i = 0; i < limits_count(); i++) {
        struct limit limit = limits_row(i);
        if (bytes_equal_text(name, limit.name))
            FUZZ_REQUIRE(number >= (double)limit.value_min && number <= (double)limit.value_max, "%s",
                         argument);
    }
}

static void check_address(const char *text)
{
    char     host[64];
    uint16_t port;
    if (address_parse(text, host, sizeof host, &port))
        FUZZ_REQUIRE(strlen(host) > 0 && strstr(text, host) != NULL, "%s is %s", text, host);
}

/* A line, NUL-terminated; false: there are no more. */
static bool take_line(struct fuzz_input *input, char line[LINE_MAX])
{
    size_t size = 0;
    if (input->left == 0)
        return false;
    for (uint8_t byte; input->left > 0 && (byte = fuzz_byte(input)) != '\n' && byte != '\0';)
        if (size < LINE_MAX - 1)
            line[size++] = (char)byte;
    line[size] = '\0';
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    char              variables[ENVIRONMENT_MAX][LINE_MAX + 8] = { 0 }, lines[ARGUMENTS_MAX][LINE_MAX];
    char             *arguments[ARGUMENTS_MAX];
    int               count = 0;
    struct options    options;
    struct error      error;
    for (unsigned i = 0, set = fuzz_below(&input, ENVIRONMENT_MAX + 1); i < set; i++) {
        char  line[LINE_MAX];
        char *equals;
        if (!take_line(&input, line) || (equals = strchr(line, '=')) == NULL)
            break;
        *equals = '\0';
        snprintf(variables[i], sizeof variables[i], "PERDURE_%s", line);
        setenv(variables[i], equals + 1, 1);
    }
    while (count < ARGUMENTS_MAX && take_line(&input, lines[count])) {
        check_address(lines[count]);
        check_limit(lines[count]);
        arguments[count] = lines[count];
        count++;
    }
    enum status status = options_parse(count, arguments, &options, &error);
    if (status == ST_OK)
        check_options(&options);
    else
        FUZZ_REQUIRE(status == ST_INVALID_ARGUMENT && error.message[0] != '\0', "refused without words");
    for (unsigned i = 0; i < ENVIRONMENT_MAX; i++)
        if (variables[i][0] != '\0')
            unsetenv(variables[i]);
    return 0;
}
