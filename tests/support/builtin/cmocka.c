/* cmocka.c - runs tests one after the other; a failed one is left by a jump. */
#include "cmocka.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PASSED, FAILED, SKIPPED };

static jmp_buf way_out;

void builtin_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    longjmp(way_out, FAILED);
}

void builtin_skip(void)
{
    longjmp(way_out, SKIPPED);
}

void print_message(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

void builtin_memory(const void *a, const void *b, size_t size, int equal, const char *file,
                    int line)
{
    if ((memcmp(a, b, size) == 0) != equal)
        builtin_fail(file, line, "%zu bytes are %s", size, equal ? "different" : "the same");
}

void builtin_string(const char *a, const char *b, const char *file, int line)
{
    if (strcmp(a, b) != 0)
        builtin_fail(file, line, "\"%s\" is not \"%s\"", a, b);
}

void builtin_range(unsigned long long value, unsigned long long low, unsigned long long high,
                   const char *file, int line)
{
    if (value < low || value > high)
        builtin_fail(file, line, "%llu is not in %llu..%llu", value, low, high);
}

static int run(const struct CMUnitTest *test)
{
    void *state = test->initial_state;
    int how = setjmp(way_out);
    if (how == 0) {
        if (test->setup_func != NULL && test->setup_func(&state) != 0)
            return FAILED;
        test->test_func(&state);
    }
    if (test->teardown_func != NULL && test->teardown_func(&state) != 0)
        return FAILED;
    return how;
}

int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown)
{
    static const char *const words[] = {"       OK", "  FAILED ", "  SKIPPED"};
    void *shared = NULL;
    size_t ended[3] = {0, 0, 0};
    if (setup != NULL && setup(&shared) != 0)
        return 1;
    for (size_t i = 0; i < count; i++) {
        struct CMUnitTest test = tests[i];
        if (test.initial_state == NULL)
            test.initial_state = shared;
        printf("[ RUN      ] %s\n", test.name);
        fflush(stdout); /* a test that never ends is known by name */
        int how = run(&test);
        ended[how]++;
        printf("[ %s ] %s\n", words[how], test.name);
        fflush(stdout);
    }
    int torn = teardown == NULL ? 0 : teardown(&shared);
    printf("%s: %zu passed, %zu failed, %zu skipped\n", name, ended[PASSED], ended[FAILED],
           ended[SKIPPED]);
    return torn != 0 ? 1 : (int)ended[FAILED];
}
