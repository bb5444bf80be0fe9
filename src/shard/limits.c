/* limits.c: the table of limits, and the reading of values. */
#include "shard/limits.h"

#define LIMIT_SCALE_BYTES   1
#define LIMIT_SCALE_COUNT   1
#define LIMIT_SCALE_SECONDS NS_PER_S

const struct limits limits_default = {
#define LIMIT_DEFAULT(type, member, unit, value, ...) .member = (type)((value) * LIMIT_SCALE_##unit),
    LIMITS(LIMIT_DEFAULT)
#undef LIMIT_DEFAULT
};

static const struct row {
    const char     *member;
    enum limit_unit unit;
    int64_t         value_default, value_min, value_max;
    const char     *meaning;
    uint16_t        offset, size;
} rows[] = {
#define LIMIT_ROW(type, member, unit, value, smallest, largest, meaning)                                     \
    {                                                                                                        \
        #member,     LIMIT_##unit, value, smallest, largest, meaning, offsetof(struct limits, member),       \
        sizeof(type)                                                                                         \
    },
    LIMITS(LIMIT_ROW)
#undef LIMIT_ROW
};

size_t limits_count(void)
{
    return ARRAY_COUNT(rows);
}

/* The member's name as users write it: dashes, and no unit at the end, which stands beside it. */
static void name_of(const struct row *row, char name[48])
{
    size_t size = strlen(row->member);
    if (size > 3 && strcmp(row->member + size - 3, "_ns") == 0)
        size -= 3;
    assert(size < 48);
    for (size_t i = 0; i < size; i++)
        name[i] = row->member[i] == '_' ? '-' : row->member[i];
    name[size] = '\0';
}

struct limit limits_row(size_t index)
{
    assert(index < ARRAY_COUNT(rows));
    const struct row *row = &rows[index];
    struct limit      limit = { .unit = row->unit,
                                .value_default = row->value_default,
                                .value_min = row->value_min,
                                .value_max = row->value_max,
                                .meaning = row->meaning,
                                .offset = row->offset };
    name_of(row, limit.name);
    return limit;
}

/* -1: no number, or one that is too long to be a limit. */
static int64_t number_of(struct bytes text, enum limit_unit unit)
{
    int64_t number = 0;
    size_t  digits = text.size;
    if (unit == LIMIT_BYTES && digits > 1) {
        uint8_t last = text.base[digits - 1];
        if (last == 'K' || last == 'k' || last == 'M' || last == 'm')
            digits--;
    }
    if (digits == 0 || digits > 15)
        return -1;
    for (size_t i = 0; i < digits; i++) {
        if (text.base[i] < '0' || text.base[i] > '9')
            return -1;
        number = number * 10 + (text.base[i] - '0');
    }
    if (digits < text.size &&
        __builtin_mul_overflow(number,
                               text.base[digits] == 'K' || text.base[digits] == 'k' ? LIMIT_KIB(1)
                                                                                    : LIMIT_MIB(1),
                               &number))
        return -1;
    return number;
}

bool limits_known(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char known[48];
        name_of(&rows[i], known);
        if (bytes_equal_text(name, known))
            return true;
    }
    return false;
}

enum status limits_set(struct limits *limits, struct bytes name, struct bytes text, struct error *error)
{
    static const char *const units[] = { "bytes", "", "seconds" };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        char              known[48];
        name_of(row, known);
        if (!bytes_equal_text(name, known))
            continue;
        int64_t number = number_of(text, row->unit);
        if (number < row->value_min || number > row->value_max)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "Limit %s is a number from %" PRId64 " to %" PRId64 "%s%s, not %.*s.", known,
                             row->value_min, row->value_max, *units[row->unit] == '\0' ? "" : " ",
                             units[row->unit], BYTES_FMT(text));
        number *= row->unit == LIMIT_SECONDS ? NS_PER_S : 1;
        static_assert(sizeof(size_t) == sizeof(int64_t), "members are 8 bytes wide, whichever their type");
        memcpy((char *)limits + row->offset, &number, sizeof number);
        return ST_OK;
    }
    return error_set(error, ST_INVALID_ARGUMENT, "There is no limit called %.*s.", BYTES_FMT(name));
}
