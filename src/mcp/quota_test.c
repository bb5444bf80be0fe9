/* quota_test.c: what is believed of open runs, between the counts. */
#include "mcp/quota.h"

#include <stdio.h>

#include "base/testing.h"

TEST(a_bound_is_never_passed_and_a_count_frees_what_has_ended)
{
    struct quota quota;
    quota_init(&quota);
    struct quota_entry *first = quota_hold(&quota, "default", BYTES("ann"));
    CHECK(!quota_surely_fits(first, 2)); /* nobody has counted yet */
    quota_counted(first, quota_starts(first), 0);
    CHECK(quota_surely_fits(first, 2));
    struct quota_entry *second = quota_hold(&quota, "default", BYTES("ann"));
    CHECK_PTR(second, first);
    CHECK(quota_surely_fits(second, 2));
    struct quota_entry *third = quota_hold(&quota, "default", BYTES("ann"));
    CHECK(!quota_surely_fits(third, 2)); /* two are under way, though neither has started */
    quota_drop(third, false);
    quota_drop(second, true);

    /* A count that was asked for before a start does not hide it. */
    uint64_t before = quota_starts(first);
    quota_drop(first, true);
    first = quota_hold(&quota, "default", BYTES("ann"));
    quota_counted(first, before, 1);
    CHECK(!quota_surely_fits(first, 2));
    quota_counted(first, quota_starts(first), 1);
    CHECK(quota_surely_fits(first, 2));
    quota_drop(first, false);
    quota_release(&quota);
}

TEST(callers_and_namespaces_are_told_apart)
{
    struct quota quota;
    quota_init(&quota);
    struct quota_entry *one = quota_hold(&quota, "a", BYTES("bc"));
    struct quota_entry *other = quota_hold(&quota, "ab", BYTES("c"));
    CHECK(one != other);
    quota_drop(one, false);
    quota_drop(other, false);
    CHECK_INT(quota_attributes(&quota, "a"), ATTRIBUTES_UNKNOWN);
    quota_set_attributes(&quota, "a", ATTRIBUTES_THERE);
    CHECK_INT(quota_attributes(&quota, "a"), ATTRIBUTES_THERE);
    CHECK_INT(quota_attributes(&quota, "ab"), ATTRIBUTES_UNKNOWN);
    quota_release(&quota);
}

TEST(the_table_of_callers_has_a_bound_and_who_starts_something_stays)
{
    struct quota quota;
    quota_init(&quota);
    struct quota_entry *busy = quota_hold(&quota, "default", BYTES("busy"));
    quota_counted(busy, 0, 7);
    for (int i = 0; i < QUOTA_CALLERS_MAX + 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        struct quota_entry *entry = quota_hold(&quota, "default", bytes_of_text(name));
        CHECK(entry != NULL);
        quota_drop(entry, false);
    }
    CHECK_INT(quota.callers.count, QUOTA_CALLERS_MAX);
    CHECK_PTR(quota_hold(&quota, "default", BYTES("busy")), busy);
    CHECK(quota_surely_fits(busy, 9) && !quota_surely_fits(busy, 8)); /* 7, and two under way */
    quota_drop(busy, false);
    quota_drop(busy, false);
    quota_release(&quota);
}
