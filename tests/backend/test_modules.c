/* test_modules.c - backends in modules: found where they should be, heard when they fail, refused
 * with the reason when they do not fit. */
#include "backend/registry.h"
#include "support/support.h"

#include <string.h>

static void init(lm_registry *r, const char *folder)
{
    static const lm_host host;
    assert_ok(lm_registry_init(r, NULL, &host, folder));
}

static void assert_refused(const char *folder, const char *name, int32_t code, const char *words)
{
    lm_registry r;
    const lm_backend *backend;
    init(&r, folder);
    assert_int_equal(lm_registry_find(&r, name, &backend), code);
    assert_non_null(strstr(llm_last_error(), words));
    assert_null(backend);
    lm_registry_finish(&r);
}

static void test_modules__message_crosses_over(void **state)
{
    (void)state;
    lm_registry r;
    const lm_backend *backend;
    uint32_t count = 1;
    init(&r, MODULES_DIR);
    assert_ok(lm_registry_find(&r, "probe", &backend));
    assert_string_equal(backend->name, "probe");
    assert_int_equal(backend->probe(&r.host, &count), LLM_E_DEVICE);
    assert_int_equal(count, 0);
    assert_string_equal(llm_last_error(), "no device speaks bf16");
    const lm_backend *again;
    assert_ok(lm_registry_find(&r, "probe", &again));
    assert_ptr_equal(again, backend);
    lm_registry_finish(&r);
}

static void test_modules__beside_the_code(void **state)
{
    (void)state;
    lm_registry r;
    const lm_backend *backend;
    init(&r, NULL); /* this program lies in the folder of the modules */
    assert_ok(lm_registry_find(&r, "probe", &backend));
    lm_registry_finish(&r);
}

static void test_modules__absent(void **state)
{
    (void)state;
    assert_refused(MODULES_DIR, "absent", LLM_E_NOT_FOUND, "no backend 'absent'");
    assert_refused(MODULES_DIR "/nowhere", "probe", LLM_E_NOT_FOUND, MODULES_DIR "/nowhere");
    assert_refused(MODULES_DIR, "../probe", LLM_E_NOT_FOUND, "no backend '../probe'");
    assert_refused(NULL, "Probe", LLM_E_NOT_FOUND, "no backend 'Probe'");
}

static void test_modules__unfit(void **state)
{
    (void)state;
    assert_refused(MODULES_DIR, "stranger", LLM_E_UNSUPPORTED, "got another name");
    assert_refused(MODULES_DIR, "stale", LLM_E_UNSUPPORTED, "made from other sources");
    assert_refused(MODULES_DIR, "unlinked", LLM_E_UNSUPPORTED, "llm_nobody_has_this");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modules__message_crosses_over),
        cmocka_unit_test(test_modules__beside_the_code),
        cmocka_unit_test(test_modules__absent),
        cmocka_unit_test(test_modules__unfit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
