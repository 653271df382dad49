/* test_staging.c - transfers in many pieces: what goes through the two halves of the staging buffer comes
 * back whole, however small the halves are. For a device whose memory the host does not see. */
#include "backend/rig.h"
#include "backends/vulkan/vulkan.h"

#include <stdlib.h>

enum { TOKENS = 16, PAGES = 3, VALUES = 2 * 32 + 2 * 64 };

static const size_t page_bytes = sizeof(float) * TOKENS * VALUES;

static unsigned char *content(uint32_t page)
{
    unsigned char *bytes = malloc(page_bytes);
    uint64_t random = page + 1;
    for (size_t i = 0; i < page_bytes; i++)
        bytes[i] = (unsigned char)test_random(&random);
    return bytes;
}

static void put(const rig *r, lm_cache *cache, uint32_t page)
{
    unsigned char *bytes = content(page);
    assert_ok(r->backend->page_import(r->device, cache, page, TOKENS, bytes, page_bytes));
    free(bytes);
}

static void expect(const rig *r, lm_cache *cache, uint32_t page)
{
    unsigned char *wanted = content(page), *got = malloc(page_bytes);
    assert_ok(r->backend->page_export(r->device, cache, page, TOKENS, got, page_bytes));
    assert_memory_equal(got, wanted, page_bytes);
    free(wanted);
    free(got);
}

static void test_staging__pieces(void **state)
{
    const size_t halves[] = {page_bytes, page_bytes - 1, page_bytes / 2, 1000, 97};
    rig_model m;
    rig r;
    lm_cache *cache;
    (void)state;
    rig_model_init(&m, 31);
    lm_build_kv(&m.b, lm_build_group(&m.b, LM_CACHE_FULL, 0), 2, 32, 64);
    rig_options o = {
        .backend = "vulkan", .page_tokens = TOKENS, .k_format = LM_F32, .v_format = LM_F32};
    rig_prepare(&r, &m, &o);
    assert_ok(r.backend->open(&r.host, 0, &r.device));
    assert_ok(r.backend->cache_create(r.device, &r.cache_desc[0], &cache));
    assert_ok(r.backend->cache_grow(r.device, cache, PAGES));
    lvk_transfer *t = &((lvk_device *)r.device)->transfer;
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
        uint64_t before = t->value;
        t->half = halves[i];
        for (uint32_t page = 0; page < PAGES; page++)
            put(&r, cache, page);
        for (uint32_t page = PAGES; page-- > 0;)
            expect(&r, cache, page);
        assert_true(t->value - before >= 2 * PAGES * ((page_bytes + halves[i] - 1) / halves[i]));
    }
    r.backend->cache_destroy(r.device, cache);
    rig_close(&r);
    rig_model_finish(&m);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_staging__pieces),
    };
    if (argc != 2)
        return 2;
    rig_modules = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
