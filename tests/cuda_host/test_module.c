/* test_module.c - the module that nvcc made: it loads, and on a machine without a GPU it says so. Without
 * an argument there is none to test. */
#include "support/support.h"

#include "backend/registry.h"

#include <stdio.h>
#include <string.h>

static const char *folder;

static void test_module__loads_and_answers(void **state)
{
    static const lm_host host = {.threads = 1};
    lm_allocator alloc;
    lm_registry registry;
    const lm_backend *backend = NULL;
    lm_device *device = NULL;
    uint32_t count = 7;
    (void)state;
    lm_allocator_init(&alloc, NULL);
    assert_ok(lm_registry_init(&registry, &alloc, &host, folder));
    assert_ok(lm_registry_find(&registry, "cuda", &backend));
    assert_ok(backend->probe(&host, &count));
    lm_device_name name = {.backend = "cuda", .index = count};
    assert_status(lm_registry_open(&registry, &name, &device), LLM_E_NOT_FOUND);
    assert_non_null(strstr(llm_last_error(), "there is no device cuda:"));
    print_message("%s\n", llm_last_error());
    assert_null(device);
    lm_registry_finish(&registry);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_module__loads_and_answers)};
    if (argc != 2) {
        printf("skipped: nvcc was not there, so kernels are not compiled for GPUs\n");
        return 77;
    }
    folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
