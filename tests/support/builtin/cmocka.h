/* cmocka.h - the part of cmocka's interface that the tests here use, for machines without it: GPU
 * machines have a compiler and little else. */
#ifndef TEST_SUPPORT_BUILTIN_CMOCKA_H
#define TEST_SUPPORT_BUILTIN_CMOCKA_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

#define cmocka_unit_test(f)                                                                        \
    {                                                                                              \
#f, f, NULL, NULL, NULL                                                                    \
    }
#define cmocka_unit_test_teardown(f, t)                                                            \
    {                                                                                              \
#f, f, NULL, t, NULL                                                                       \
    }
#define cmocka_unit_test_setup_teardown(f, s, t)                                                   \
    {                                                                                              \
#f, f, s, t, NULL                                                                          \
    }
#define cmocka_unit_test_prestate(f, state)                                                        \
    {                                                                                              \
#f, f, NULL, NULL, state                                                                   \
    }
#define cmocka_run_group_tests(tests, s, t) cmocka_run_group_tests_name(#tests, tests, s, t)
#define cmocka_run_group_tests_name(name, tests, s, t)                                             \
    _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof((tests)[0]), s, t)

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown);

void builtin_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
void builtin_skip(void) __attribute__((noreturn));
void print_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
void builtin_memory(const void *a, const void *b, size_t size, int equal, const char *file,
                    int line);
void builtin_string(const char *a, const char *b, const char *file, int line);
void builtin_range(unsigned long long value, unsigned long long low, unsigned long long high,
                   const char *file, int line);

#define fail_msg(...) builtin_fail(__FILE__, __LINE__, __VA_ARGS__)
#define skip()        builtin_skip()

#define assert_true(c)                                                                             \
    do {                                                                                           \
        if (!(c))                                                                                  \
            builtin_fail(__FILE__, __LINE__, "%s", #c);                                            \
    } while (0)
#define assert_false(c)        assert_true(!(c))
#define assert_null(p)         assert_true((p) == NULL)
#define assert_non_null(p)     assert_true((p) != NULL)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_int_equal(a, b)                                                                     \
    do {                                                                                           \
        unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b);             \
        if (a_ != b_)                                                                              \
            builtin_fail(__FILE__, __LINE__, "%s is %#llx, not %#llx", #a, a_, b_);                \
    } while (0)
#define assert_int_not_equal(a, b)       assert_true((a) != (b))
#define assert_in_range(v, a, b)         builtin_range(v, a, b, __FILE__, __LINE__)
#define assert_memory_equal(a, b, n)     builtin_memory(a, b, n, 1, __FILE__, __LINE__)
#define assert_memory_not_equal(a, b, n) builtin_memory(a, b, n, 0, __FILE__, __LINE__)
#define assert_string_equal(a, b)        builtin_string(a, b, __FILE__, __LINE__)

#endif
