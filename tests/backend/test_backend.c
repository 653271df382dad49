/* test_backend.c - the one suite for all backends: test_backend --backend=NAME [--fast]
 * [--only=PREFIX] [--without=PREFIX] [--part=I/N] [--modules=FOLDER] [--seed=N] [--measure]. */
#include "backend/suites.h"

#include <stdlib.h>
#include <string.h>

const char *suite_backend = "cpu";
bool suite_fast;

bool suite_computes(void)
{
    return strcmp(suite_backend, "null") != 0;
}

void suite_add(suite *s, CMUnitTestFunction fn, const void *state, const char *prefix,
               const char *name)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 64 : 2 * s->capacity;
        s->tests = realloc(s->tests, s->capacity * sizeof *s->tests);
    }
    size_t size = strlen(prefix) + strlen(name) + 3;
    char *full = malloc(size);
    snprintf(full, size, "%s%s%s", prefix, name[0] == '\0' ? "" : ": ", name);
    s->tests[s->count++] = (struct CMUnitTest){
        .name = full, .test_func = fn, .initial_state = (void *)(uintptr_t)state};
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static void keep_only(suite *s, const char *prefix, const char *without)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        const char *name = s->tests[i].name;
        if (begins(name, prefix) && (without == NULL || !begins(name, without)))
            s->tests[kept++] = s->tests[i];
        else
            free((void *)(uintptr_t)s->tests[i].name);
    }
    s->count = kept;
}

/* Every `of`th test, from number `part` on; false: there is no such part. */
static bool keep_part(suite *s, const char *text)
{
    char *end;
    unsigned long part = strtoul(text, &end, 10), of = *end == '/' ? strtoul(end + 1, &end, 10) : 0;
    if (*end != '\0' || part < 1 || part > of)
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (i % of == part - 1)
            s->tests[kept++] = s->tests[i];
        else
            free((void *)(uintptr_t)s->tests[i].name);
    }
    s->count = kept;
    return true;
}

int main(int argc, char **argv)
{
    const char *only = "", *without = NULL, *part = "1/1";
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--backend=", 10) == 0)
            suite_backend = argv[i] + 10;
        else if (strcmp(argv[i], "--fast") == 0)
            suite_fast = true;
        else if (strcmp(argv[i], "--measure") == 0)
            case_measuring = true;
        else if (strncmp(argv[i], "--only=", 7) == 0)
            only = argv[i] + 7;
        else if (strncmp(argv[i], "--without=", 10) == 0)
            without = argv[i] + 10;
        else if (strncmp(argv[i], "--part=", 7) == 0)
            part = argv[i] + 7;
        else if (strncmp(argv[i], "--modules=", 10) == 0)
            rig_modules = argv[i] + 10;
        else if (strncmp(argv[i], "--seed=", 7) == 0)
            rig_seed = strtoull(argv[i] + 7, NULL, 10);
        else
            return fprintf(stderr, "usage: test_backend [--backend=NAME] [--fast] [--only=PREFIX] "
                                   "[--without=PREFIX] [--part=I/N] [--modules=FOLDER] [--seed=N] "
                                   "[--measure]\n"),
                   2;
    }
    suite s = {0};
    if (suite_computes()) {
        suite_match(&s);
        suite_exact(&s);
        suite_fused(&s);
    }
    if (!suite_fast) {
        suite_cache(&s);
        suite_memory(&s);
        suite_refused(&s);
    }
    keep_only(&s, only, without);
    if (!keep_part(&s, part))
        return fprintf(stderr, "test_backend: there is no part %s\n", part), 2;
    int failed =
        s.count == 0 ? 1 : _cmocka_run_group_tests(suite_backend, s.tests, s.count, NULL, NULL);
    case_print_measured();
    for (size_t i = 0; i < s.count; i++)
        free((void *)(uintptr_t)s.tests[i].name);
    free(s.tests);
    return failed;
}
