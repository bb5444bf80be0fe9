/* duration.c */
#include "base/duration.h"
#include "base/clock.h"

static bool take_digits(struct bytes *text, int64_t *ret_value, size_t *ret_count)
{
    int64_t value = 0;
    size_t  count = 0;
    for (; count < text->size && text->base[count] >= '0' && text->base[count] <= '9'; count++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text->base[count] - '0', &value))
            return false;
    }
    *text = bytes_of(text->base + count, text->size - count);
    *ret_value = value;
    *ret_count = count;
    return true;
}

/* Digits behind a point, in billionths. */
static size_t take_fraction(struct bytes *text, int64_t *ret_billionths)
{
    int64_t unit = NS_PER_S;
    size_t  count = 0;
    *ret_billionths = 0;
    if (text->size == 0 || text->base[0] != '.')
        return 0;
    *text = bytes_of(text->base + 1, text->size - 1);
    for (; count < text->size && text->base[count] >= '0' && text->base[count] <= '9'; count++) {
        unit /= 10;
        *ret_billionths += (text->base[count] - '0') * unit;
    }
    *text = bytes_of(text->base + count, text->size - count);
    return count;
}

static bool take_unit(struct bytes *text, int64_t *ret_ns)
{
    static const struct {
        const char *name;
        int64_t     ns;
    } units[] = {
        { "ns", 1 },       { "us", NS_PER_US },    { "\xC2\xB5s", NS_PER_US }, { "ms", NS_PER_MS },
        { "s", NS_PER_S }, { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },   { "d", 86400 * NS_PER_S }
    };
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        struct bytes name = bytes_of_text(units[i].name);
        if (!bytes_starts_with(*text, name))
            continue;
        *text = bytes_of(text->base + name.size, text->size - name.size);
        *ret_ns = units[i].ns;
        return true;
    }
    return false;
}

bool duration_parse(struct bytes text, int64_t *ret_ns)
{
    bool    is_negative = text.size != 0 && text.base[0] == '-';
    int64_t total = 0;
    if (is_negative)
        text = bytes_of(text.base + 1, text.size - 1);
    if (text.size == 0)
        return false;
    while (text.size != 0) {
        int64_t whole, unit, fraction, part;
        size_t  digits;
        if (!take_digits(&text, &whole, &digits))
            return false;
        digits += take_fraction(&text, &fraction);
        if (digits == 0 || !take_unit(&text, &unit) || __builtin_mul_overflow(whole, unit, &part) ||
            __builtin_add_overflow(part, (int64_t)((__int128)fraction * unit / NS_PER_S), &part) ||
            __builtin_add_overflow(total, part, &total))
            return false;
    }
    *ret_ns = is_negative ? -total : total;
    return true;
}
