/* fuzz_cron.c: cron expressions against a search by hand. Calendar specs of schedules will stand here when schedules do.
 *
 * Input: a byte says whether the rest is a text as it stands or the choices of a generated one (so that its meaning is known
 * without a parser), then a time, then the text or the choices.
 * What must hold: what is accepted has a next time that is later, in whole minutes, again and again; a generated one is
 * accepted, and its next time is the one that a walk over days finds (UTC); backoffs are whole seconds, never in the past.
 */
#include "engine/cron.h"

#include <stdio.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "fuzz.h"

#define MINUTE_NS    (60 * NS_PER_S)
#define DAY_S        INT64_C(86400)
#define YEARS        5                                       /* how far the search goes, see cron.h */
#define TIME_SPAN_NS (INT64_C(150) * 366 * DAY_S * NS_PER_S) /* of times that a server sees: up to 2120 */

enum { FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY, FIELDS };

static const struct range {
    unsigned low, high;
} ranges[FIELDS] = { { 0, 59 }, { 0, 23 }, { 1, 31 }, { 1, 12 }, { 0, 6 } };

struct generated {
    struct buffer text;
    uint64_t      bits[FIELDS];
    bool          starred[FIELDS]; /* it began with a star, without a step: any value */
};

static unsigned value_in(struct fuzz_input *input, struct range range)
{
    return range.low + fuzz_below(input, range.high - range.low + 1);
}

static void generate_item(struct fuzz_input *input, struct generated *spec, unsigned field)
{
    struct range range = ranges[field], taken = range;
    unsigned     step = 1, form = fuzz_below(input, 6);
    if (form == 0 || form == 1) {
        buffer_append_text(&spec->text, form == 0 ? "*" : "?");
    } else {
        taken.low = taken.high = value_in(input, range);
        buffer_printf(&spec->text, "%u", taken.low);
        if (form == 2 || form == 3) {
            taken.high = taken.low + fuzz_below(input, range.high - taken.low + 1);
            buffer_printf(&spec->text, "-%u", taken.high);
        }
    }
    if (form == 1 || form == 3 || form == 4) {
        step = 1 + fuzz_below(input, 70);
        buffer_printf(&spec->text, "/%u", step);
        if (form == 4) /* "a/step" runs to the end */
            taken.high = range.high;
    }
    spec->starred[field] = spec->starred[field] || (form <= 1 && step == 1);
    for (unsigned value = taken.low; value <= taken.high; value += step)
        spec->bits[field] |= UINT64_C(1) << value;
}

static void generate(struct fuzz_input *input, struct generated *spec)
{
    for (unsigned field = 0; field < FIELDS; field++) {
        if (field > 0)
            buffer_append_byte(&spec->text, ' ');
        for (unsigned items = 1 + fuzz_below(input, 4) / 2, i = 0; i < items; i++) {
            if (i > 0)
                buffer_append_byte(&spec->text, ',');
            generate_item(input, spec, field);
        }
    }
}

/* Howard Hinnant's civil_from_days, for days since 1970. */
static void civil(int64_t days, unsigned *ret_month, unsigned *ret_day)
{
    int64_t  z = days + 719468, era = z / 146097;
    unsigned of_era = (unsigned)(z - era * 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100), shifted = (5 * of_year + 2) / 153;
    *ret_day = of_year - (153 * shifted + 2) / 5 + 1;
    *ret_month = shifted < 10 ? shifted + 3 : shifted - 9;
}

static bool day_fits(const struct generated *spec, int64_t days)
{
    unsigned month, day;
    civil(days, &month, &day);
    bool by_day = spec->bits[FIELD_DAY] >> day & 1;
    bool by_weekday = spec->bits[FIELD_WEEKDAY] >> ((days + 4) % 7) & 1; /* 1970 began on a Thursday */
    bool either = !spec->starred[FIELD_DAY] && !spec->starred[FIELD_WEEKDAY];
    return (spec->bits[FIELD_MONTH] >> month & 1) && (either ? by_day || by_weekday : by_day && by_weekday);
}

/* The first minute after `after` whose every field fits; -1: none within `days`. */
static int64_t search(const struct generated *spec, int64_t after, int64_t days)
{
    int64_t first = after / MINUTE_NS + 1; /* in minutes */
    for (int64_t day = first / 1440; day <= first / 1440 + days; day++) {
        if (!day_fits(spec, day))
            continue;
        for (int64_t minute = MAX(first, day * 1440); minute < (day + 1) * 1440; minute++) {
            if ((spec->bits[FIELD_HOUR] >> (minute % 1440 / 60) & 1) &&
                (spec->bits[FIELD_MINUTE] >> (minute % 60) & 1))
                return minute * MINUTE_NS;
        }
    }
    return -1;
}

static void check_backoff(struct bytes text, int64_t from, int64_t now)
{
    int64_t backoff = cron_backoff(text, from, now), due = now + backoff;
    FUZZ_REQUIRE(backoff >= -1 && (backoff == -1 || (backoff % NS_PER_S == 0 && due >= MIN(now, from))),
                 "%.*s: backoff %" PRId64, BYTES_FMT(text), backoff);
}

static void check_text(struct bytes text, int64_t after, int64_t later)
{
    struct error error;
    bool         is_good = cron_check(text, &error) == ST_OK, has_grid = true;
    for (size_t i = 0; i + 6 < text.size; i++)
        has_grid = has_grid && memcmp(text.base + i, "@every ", 7) != 0;
    int64_t at = after;
    for (unsigned i = 0; i < 4; i++) {
        int64_t next = cron_next(text, at);
        FUZZ_REQUIRE(next == -1 || (is_good && next > at), "%.*s: %" PRId64 " after %" PRId64,
                     BYTES_FMT(text), next, at);
        FUZZ_REQUIRE(next == -1 || !has_grid || next % NS_PER_S == 0, "%.*s: %" PRId64, BYTES_FMT(text),
                     next);
        if (next == -1)
            break;
        at = next;
    }
    check_backoff(text, after, later);
}

static void check_generated(struct fuzz_input *input, int64_t after)
{
    struct generated spec = { 0 };
    struct error     error;
    generate(input, &spec);
    struct bytes text = buffer_bytes(&spec.text);
    FUZZ_REQUIRE(cron_check(text, &error) == ST_OK, "%.*s: %s", BYTES_FMT(text), error.message);
    for (unsigned i = 0; i < 3 && after >= 0; i++) {
        int64_t next = cron_next(text, after), near = search(&spec, after, YEARS * 365);
        /* Ours looks to the end of the fifth year. */
        int64_t wanted = near != -1 || next == -1 ? near : search(&spec, after, (YEARS + 1) * 366);
        FUZZ_REQUIRE(next == wanted, "%.*s after %" PRId64 ": %" PRId64 " instead of %" PRId64,
                     BYTES_FMT(text), after, next, wanted);
        check_backoff(text, after, after + (int64_t)fuzz_number(input, 4) * NS_PER_MS);
        after = next;
    }
    buffer_release(&spec.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    bool              generated = fuzz_byte(&input) % 2 == 0;
    int64_t           after = (int64_t)(fuzz_number(&input, 8) % (uint64_t)TIME_SPAN_NS);
    if (generated)
        check_generated(&input, after);
    else
        check_text(fuzz_rest(&input), after,
                   after + (int64_t)fuzz_number(&(struct fuzz_input){ data, size }, 4) * NS_PER_MS);
    return 0;
}
