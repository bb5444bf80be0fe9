/* list_value.c: columns of list queries, and what literals mean for them. */
#include "api/list_filter.h"
#include "base/civil.h"
#include "base/duration.h"
#include "base/random.h"
#include "codec/json_text.h"
#include "pb/enums.pb.h"
#include "schedule/schedule.h"

static const struct list_column columns[] = {
    { "WorkflowId", STORE_COLUMN_WORKFLOW_ID, LIST_KEYWORD, NULL },
    { "WorkflowType", STORE_COLUMN_WORKFLOW_TYPE, LIST_KEYWORD, NULL },
    { "TaskQueue", STORE_COLUMN_TASK_QUEUE, LIST_KEYWORD, NULL },
    { "ParentWorkflowId", STORE_COLUMN_PARENT_WORKFLOW_ID, LIST_KEYWORD, NULL },
    { "RootWorkflowId", STORE_COLUMN_ROOT_WORKFLOW_ID, LIST_KEYWORD, NULL },
    { "RunId", STORE_COLUMN_RUN_ID, LIST_UUID, NULL },
    { "ParentRunId", STORE_COLUMN_PARENT_RUN_ID, LIST_UUID, NULL },
    { "RootRunId", STORE_COLUMN_ROOT_RUN_ID, LIST_UUID, NULL },
    { "ExecutionStatus", STORE_COLUMN_STATUS, LIST_STATUS, NULL },
    { "StartTime", STORE_COLUMN_START_TIME, LIST_TIME, NULL },
    { "ExecutionTime", STORE_COLUMN_EXECUTION_TIME, LIST_TIME, NULL },
    { "CloseTime", STORE_COLUMN_CLOSE_TIME, LIST_TIME, NULL },
    { "HistoryLength", STORE_COLUMN_HISTORY_LENGTH, LIST_INT, NULL },
    { "HistorySizeBytes", STORE_COLUMN_HISTORY_SIZE, LIST_INT, NULL },
    { "StateTransitionCount", STORE_COLUMN_STATE_TRANSITIONS, LIST_INT, NULL },
    { "ExecutionDuration", STORE_COLUMN_EXECUTION_DURATION, LIST_DURATION, NULL },
    { "ScheduleId", STORE_COLUMN_WORKFLOW_ID, LIST_SCHEDULE, NULL },
};
static const struct list_column worker_columns[] = {
    { "WorkerInstanceKey", WORKER_INSTANCE_KEY, LIST_KEYWORD, NULL },
    { "WorkerIdentity", WORKER_IDENTITY, LIST_KEYWORD, NULL },
    { "TaskQueue", WORKER_TASK_QUEUE, LIST_KEYWORD, NULL },
    { "HostName", WORKER_HOST_NAME, LIST_KEYWORD, NULL },
    { "DeploymentName", WORKER_DEPLOYMENT_NAME, LIST_KEYWORD, NULL },
    { "BuildId", WORKER_BUILD_ID, LIST_KEYWORD, NULL },
    { "SdkName", WORKER_SDK_NAME, LIST_KEYWORD, NULL },
    { "SdkVersion", WORKER_SDK_VERSION, LIST_KEYWORD, NULL },
    { "Status", WORKER_STATUS, LIST_WORKER_STATUS, NULL },
    { "WorkerStatus", WORKER_STATUS, LIST_WORKER_STATUS, NULL },
    { "StartTime", WORKER_START_TIME, LIST_TIME, NULL },
    { "HeartbeatTime", WORKER_HEARTBEAT_TIME, LIST_TIME, NULL },
};
struct status_name {
    const char *name;
    int32_t     status;
};
static const struct status_name worker_statuses[] = {
    { "Running", enums_WORKER_STATUS_RUNNING },
    { "ShuttingDown", enums_WORKER_STATUS_SHUTTING_DOWN },
    { "Shutdown", enums_WORKER_STATUS_SHUTDOWN },
};
static const struct status_name statuses[] = {
    { "Running", enums_WORKFLOW_EXECUTION_STATUS_RUNNING },
    { "Completed", enums_WORKFLOW_EXECUTION_STATUS_COMPLETED },
    { "Failed", enums_WORKFLOW_EXECUTION_STATUS_FAILED },
    { "Canceled", enums_WORKFLOW_EXECUTION_STATUS_CANCELED },
    { "Terminated", enums_WORKFLOW_EXECUTION_STATUS_TERMINATED },
    { "ContinuedAsNew", enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW },
    { "TimedOut", enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT },
    { "Paused", enums_WORKFLOW_EXECUTION_STATUS_PAUSED },
};

bool list_column_find(struct bytes name, bool of_workers, struct list_column *ret_column)
{
    const struct list_column *first = of_workers ? worker_columns : columns;
    size_t                    count = of_workers ? ARRAY_COUNT(worker_columns) : ARRAY_COUNT(columns);
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal_text(name, first[i].name)) {
            *ret_column = first[i];
            return true;
        }
    }
    return false;
}

struct list_column list_column_of_attribute(struct bytes name, int32_t type, struct arena *arena)
{
    static const enum list_type types[] = {
        [STORE_ATTRIBUTE_TEXT] = LIST_TEXT,    [STORE_ATTRIBUTE_KEYWORD] = LIST_KEYWORD,
        [STORE_ATTRIBUTE_INT] = LIST_INT,      [STORE_ATTRIBUTE_DOUBLE] = LIST_DOUBLE,
        [STORE_ATTRIBUTE_BOOL] = LIST_BOOL,    [STORE_ATTRIBUTE_TIME] = LIST_TIME,
        [STORE_ATTRIBUTE_LIST] = LIST_KEYWORDS
    };
    assert(type > 0 && (size_t)type < ARRAY_COUNT(types));
    struct store_attribute *attribute = ARENA_NEW(arena, struct store_attribute);
    struct bytes            text = arena_printf(arena, "%.*s", BYTES_FMT(name)); /* ends with a 0 */
    *attribute = (struct store_attribute){ text, (enum store_attribute_type)type };
    return (struct list_column){ .name = (const char *)text.base,
                                 .column = STORE_COLUMN_ATTRIBUTE,
                                 .type = types[type],
                                 .attribute = attribute };
}

const char *list_type_name(enum list_type type)
{
    static const char *const names[] = {
        [LIST_KEYWORD] = "Keyword",
        [LIST_UUID] = "Keyword",
        [LIST_STATUS] = "a status",
        [LIST_TIME] = "Datetime",
        [LIST_INT] = "Int",
        [LIST_DURATION] = "a duration",
        [LIST_DOUBLE] = "Double",
        [LIST_WORKER_STATUS] = "a worker's status",
        [LIST_BOOL] = "Bool",
        [LIST_TEXT] = "Text",
        [LIST_KEYWORDS] = "KeywordList",
        [LIST_SCHEDULE] = "Keyword",
    };
    return names[type];
}

const char *list_status_name(int64_t status)
{
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
        if (statuses[i].status == status)
            return statuses[i].name;
    }
    return NULL;
}

/* --- numbers --- */

static bool take_digits(struct bytes *text, size_t least, size_t most, int64_t *ret_value)
{
    int64_t value = 0;
    size_t  count = 0;
    for (; count < most && count < text->size && text->base[count] >= '0' && text->base[count] <= '9';
         count++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text->base[count] - '0', &value))
            return false;
    }
    if (count < least)
        return false;
    *text = bytes_of(text->base + count, text->size - count);
    *ret_value = value;
    return true;
}

static bool take_character(struct bytes *text, char character)
{
    if (text->size == 0 || text->base[0] != (uint8_t)character)
        return false;
    *text = bytes_of(text->base + 1, text->size - 1);
    return true;
}

static bool parse_integer(struct bytes text, int64_t *ret_value)
{
    bool    negative = take_character(&text, '-');
    int64_t value = 0;
    if (!negative)
        take_character(&text, '+');
    for (size_t i = 0; i < text.size; i++) { /* below zero there is room for one more */
        int64_t digit = text.base[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    *ret_value = value;
    return text.size != 0 && (negative || !__builtin_sub_overflow(0, value, ret_value));
}

/* Digits after a point, as parts of `unit`; further digits than the unit holds are dropped. */
static bool take_fraction(struct bytes *text, int64_t unit, int64_t *ret_value)
{
    *ret_value = 0;
    if (!take_character(text, '.'))
        return true;
    size_t count = 0;
    for (; count < text->size && text->base[count] >= '0' && text->base[count] <= '9'; count++) {
        unit /= 10;
        *ret_value += (text->base[count] - '0') * unit;
    }
    *text = bytes_of(text->base + count, text->size - count);
    return count != 0;
}

/* --- times --- */

static bool take_zone(struct bytes *text, int64_t *ret_seconds)
{
    int64_t hours, minutes;
    *ret_seconds = 0;
    if (take_character(text, 'Z') || take_character(text, 'z'))
        return true;
    bool west = take_character(text, '-');
    if (!west && !take_character(text, '+'))
        return false;
    if (!take_digits(text, 2, 2, &hours) || !take_character(text, ':') ||
        !take_digits(text, 2, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    return civil_days(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) -
           civil_days(year, month, 1);
}

/* RFC 3339, as nanoseconds; years that 64 bits do not hold stop at the ends. */
static bool parse_time(struct bytes text, int64_t *ret_ns)
{
    int64_t year, month, day, hour, minute, second, fraction, zone;
    if (!take_digits(&text, 4, 4, &year) || !take_character(&text, '-') ||
        !take_digits(&text, 2, 2, &month) || !take_character(&text, '-') || !take_digits(&text, 2, 2, &day) ||
        (!take_character(&text, 'T') && !take_character(&text, 't') && !take_character(&text, ' ')) ||
        !take_digits(&text, 2, 2, &hour) || !take_character(&text, ':') ||
        !take_digits(&text, 2, 2, &minute) || !take_character(&text, ':') ||
        !take_digits(&text, 2, 2, &second) || !take_fraction(&text, NS_PER_S, &fraction) ||
        !take_zone(&text, &zone) || text.size != 0)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    int64_t seconds = civil_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
    if (__builtin_mul_overflow(seconds, NS_PER_S, ret_ns) ||
        __builtin_add_overflow(*ret_ns, fraction, ret_ns))
        *ret_ns = seconds < 0 ? INT64_MIN : INT64_MAX;
    return true;
}

/* --- durations: "1h30m", "HH:MM:SS" --- */

static bool parse_clock(struct bytes text, int64_t *ret_ns)
{
    int64_t hours, minutes, seconds;
    if (!take_digits(&text, 1, 6, &hours) || !take_character(&text, ':') ||
        !take_digits(&text, 2, 2, &minutes) || !take_character(&text, ':') ||
        !take_digits(&text, 2, 2, &seconds) || text.size != 0 || minutes > 59 || seconds > 59)
        return false;
    *ret_ns = (hours * 3600 + minutes * 60 + seconds) * NS_PER_S;
    return true;
}

static bool parse_duration(struct bytes text, int64_t *ret_ns)
{
    return parse_clock(text, ret_ns) || duration_parse(text, ret_ns);
}

/* --- values --- */

static bool number_value(int64_t number, struct store_value *ret_value)
{
    *ret_value = (struct store_value){ .number = number };
    return true;
}

static bool convert_worker_status(enum list_literal literal, struct bytes text, struct store_value *ret_value)
{
    for (size_t i = 0; literal == LITERAL_STRING && i < ARRAY_COUNT(worker_statuses); i++) {
        if (bytes_equal_text(text, worker_statuses[i].name))
            return number_value(worker_statuses[i].status, ret_value);
    }
    return false;
}

static bool convert_status(enum list_literal literal, struct bytes text, struct store_value *ret_value)
{
    int64_t number;
    if (literal == LITERAL_INTEGER)
        return parse_integer(text, &number) && number >= 0 && number <= INT32_MAX &&
               number_value(number, ret_value);
    for (size_t i = 0; literal == LITERAL_STRING && i < ARRAY_COUNT(statuses); i++) {
        if (bytes_equal_text(text, statuses[i].name))
            return number_value(statuses[i].status, ret_value);
    }
    return false;
}

static bool convert_text(const struct list_column *column, enum list_literal literal, struct bytes text,
                         struct arena *arena, struct store_value *ret_value)
{
    struct uuid id;
    if (literal != LITERAL_STRING)
        return false;
    *ret_value = (struct store_value){ .is_text = true, .text = text };
    if (column->type == LIST_SCHEDULE)
        ret_value->text = schedule_business_id(text, arena);
    /* What is no UUID equals none: it stays as it is, and no id of 16 bytes has 36. */
    if (column->type == LIST_UUID && uuid_parse(text, &id))
        ret_value->text = arena_copy(arena, bytes_of(id.byte, sizeof id.byte));
    return true;
}

static bool convert_double(enum list_literal literal, struct bytes text, struct store_value *ret_value)
{
    double value;
    return (literal == LITERAL_INTEGER || literal == LITERAL_FRACTION) && json_get_double(text, &value) &&
           number_value(store_number_of_double(value), ret_value);
}

static bool convert_bool(enum list_literal literal, struct bytes text, struct store_value *ret_value)
{
    if (literal != LITERAL_BOOL && !bytes_equal_text(text, "true") && !bytes_equal_text(text, "false"))
        return false;
    return number_value(text.base[0] == 't' || text.base[0] == 'T', ret_value);
}

bool list_value_convert(const struct list_column *column, enum list_literal literal, struct bytes text,
                        struct arena *arena, struct store_value *ret_value)
{
    int64_t number;
    switch (column->type) {
    case LIST_KEYWORD:
    case LIST_KEYWORDS:
    case LIST_SCHEDULE:
    case LIST_TEXT:
    case LIST_UUID:
        return convert_text(column, literal, text, arena, ret_value);
    case LIST_WORKER_STATUS:
        return convert_worker_status(literal, text, ret_value);
    case LIST_STATUS:
        return convert_status(literal, text, ret_value);
    case LIST_TIME:
        if (literal == LITERAL_STRING)
            return parse_time(text, &number) && number_value(number, ret_value);
        return literal == LITERAL_INTEGER && parse_integer(text, &number) && number_value(number, ret_value);
    case LIST_DURATION:
        if (literal == LITERAL_STRING)
            return parse_duration(text, &number) && number_value(number, ret_value);
        return literal == LITERAL_INTEGER && parse_integer(text, &number) && number_value(number, ret_value);
    case LIST_DOUBLE:
        return convert_double(literal, text, ret_value);
    case LIST_BOOL:
        return convert_bool(literal, text, ret_value);
    case LIST_INT:
        return literal == LITERAL_INTEGER && parse_integer(text, &number) && number_value(number, ret_value);
    }
    return false;
}
