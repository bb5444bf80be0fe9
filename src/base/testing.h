/* testing.h: unit tests on cmocka. Only *_test.c files include it; a test binary is one such file.
 *
 *   TEST(equal_due_times_fire_in_commit_order) { CHECK_EQ(2, 1 + 1); }
 */
#ifndef BASE_TESTING_H
#define BASE_TESTING_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/mutant.h"

#define CHECK(condition) assert_true(condition)
#define CHECK_EQ(a, b)   assert_true((a) == (b))
#define CHECK_INT(a, b)  assert_int_equal((a), (b))
#define CHECK_PTR(a, b)  assert_ptr_equal((a), (b))
#define CHECK_TEXT(a, b) assert_string_equal((a), (b))
#define CHECK_BYTES(a, b)                                                                                    \
    do {                                                                                                     \
        struct bytes check_a = (a), check_b = (b);                                                           \
        assert_int_equal(check_a.size, check_b.size);                                                        \
        if (check_a.size != 0)                                                                               \
            assert_memory_equal(check_a.base, check_b.base, check_a.size);                                   \
    } while (0)

/* A suite that is linked into several test binaries defines TESTING_CHECKS_ONLY and brings neither tests nor main. */
#ifndef TESTING_CHECKS_ONLY
#define TEST_COUNT_MAX 512
static struct CMUnitTest testing_tests[TEST_COUNT_MAX];
static size_t            testing_count;

#define TEST(name)                                                                                           \
    static void                              test_##name(void **state);                                      \
    __attribute__((constructor)) static void register_##name(void)                                           \
    {                                                                                                        \
        assert(testing_count < TEST_COUNT_MAX);                                                              \
        testing_tests[testing_count++] = (struct CMUnitTest){ #name, test_##name, NULL, NULL, NULL };        \
    }                                                                                                        \
    static void test_##name(void **state UNUSED)

int main(int argc, char **argv)
{
    mutant_plant();
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests(argv[0], testing_tests, testing_count, NULL, NULL);
}
#endif
#endif
