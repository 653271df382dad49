/* suite_cache.c - pages: growth keeps contents, copies and moves carry them, and the exported
 * layout is the canonical one and comes back whole. */
#include "backend/suites.h"

#include <stdlib.h>
#include <string.h>

typedef struct pages {
    rig_model m;
    rig r;
    lm_cache *cache;
    uint32_t group;
    size_t token_bytes; /* over both members */
} pages;

enum { TOKENS = 16, MAX_PAGES = 40 };

static uint64_t row_bytes(uint32_t format, uint64_t values)
{
    uint64_t bytes = 0;
    assert_true(lm_format_row_bytes(lm_format_by_id(format), values, &bytes));
    return bytes;
}

/* The cache is made here, empty. */
static void open_cache(pages *p, uint32_t k_format, uint32_t v_format)
{
    rig_options o = {.backend = suite_backend,
                     .page_tokens = TOKENS,
                     .k_format = k_format,
                     .v_format = v_format};
    rig_prepare(&p->r, &p->m, &o);
    p->r.cache_desc[0].max_pages = MAX_PAGES;
    assert_ok(p->r.backend->open(&p->r.host, 0, &p->r.device));
    assert_ok(p->r.backend->cache_create(p->r.device, &p->r.cache_desc[0], &p->cache));
}

/* Two members of different shape in one group. */
static void setup(pages *p, uint32_t k_format, uint32_t v_format)
{
    memset(p, 0, sizeof *p);
    rig_model_init(&p->m, 31);
    p->group = lm_build_group(&p->m.b, LM_CACHE_FULL, 0);
    lm_build_kv(&p->m.b, p->group, 2, 32, 64);
    lm_build_kv(&p->m.b, p->group, 1, 64, 32);
    open_cache(p, k_format, v_format);
    p->token_bytes =
        (size_t)(2 * row_bytes(k_format, 64) + row_bytes(v_format, 128) + row_bytes(v_format, 32));
}

/* One vector per token: keys alone, whatever the type of values. */
static void setup_latent(pages *p, uint32_t k_format, uint32_t v_format)
{
    memset(p, 0, sizeof *p);
    rig_model_init(&p->m, 31);
    p->group = lm_build_group(&p->m.b, LM_CACHE_LATENT, 0);
    lm_build_kv(&p->m.b, p->group, 1, 64, 32);
    lm_build_kv(&p->m.b, p->group, 1, 96, 96);
    open_cache(p, k_format, v_format);
    p->token_bytes = (size_t)(row_bytes(k_format, 64) + row_bytes(k_format, 96));
}

static void finish(pages *p)
{
    p->r.backend->cache_destroy(p->r.device, p->cache);
    rig_close(&p->r);
    rig_model_finish(&p->m);
}

static unsigned char *content(const pages *p, uint32_t page)
{
    unsigned char *bytes = malloc(p->token_bytes * TOKENS);
    uint64_t random = page * 77 + 1;
    for (size_t i = 0; i < p->token_bytes * TOKENS; i++)
        bytes[i] = (unsigned char)test_random(&random);
    return bytes;
}

static void put(pages *p, uint32_t page)
{
    unsigned char *bytes = content(p, page);
    assert_ok(p->r.backend->page_import(p->r.device, p->cache, page, TOKENS, bytes,
                                        p->token_bytes * TOKENS));
    free(bytes);
}

/* What an export must give: of the null backend only the first eight bytes of the first member's
 * keys. */
static void expect(pages *p, uint32_t page, uint32_t like)
{
    unsigned char *wanted = content(p, like), *got = malloc(p->token_bytes * TOKENS);
    assert_ok(p->r.backend->page_export(p->r.device, p->cache, page, TOKENS, got,
                                        p->token_bytes * TOKENS));
    uint64_t row = row_bytes(p->r.cache_desc[0].k_format->id, 64);
    if (suite_computes())
        assert_memory_equal(got, wanted, p->token_bytes * TOKENS);
    else
        for (uint32_t t = 0; t < TOKENS; t++)
            assert_memory_equal(got + t * row, wanted + t * row, 8);
    free(wanted);
    free(got);
}

static const uint32_t types[][2] = {
    {LM_F32, LM_F32}, {LM_F16, LM_Q8_0}, {LM_BF16, LM_F16}, {LM_E4M3, LM_E4M3}};

static void round_trip_and_growth(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        pages p;
        setup(&p, types[i][0], types[i][1]);
        assert_ok(p.r.backend->cache_grow(p.r.device, p.cache, 3));
        for (uint32_t page = 0; page < 3; page++)
            put(&p, page);
        assert_ok(p.r.backend->cache_grow(p.r.device, p.cache, 2)); /* never shrinks */
        assert_ok(p.r.backend->cache_grow(p.r.device, p.cache, MAX_PAGES));
        put(&p, MAX_PAGES - 1);
        for (uint32_t page = 0; page < 3; page++)
            expect(&p, page, page);
        expect(&p, MAX_PAGES - 1, MAX_PAGES - 1);
        assert_status(p.r.backend->cache_grow(p.r.device, p.cache, MAX_PAGES + 1), LLM_E_LIMIT);
        finish(&p);
    }
}

static void latent(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        pages p;
        uint64_t page_bytes, fixed;
        setup_latent(&p, types[i][0], types[i][1]);
        assert_ok(p.r.backend->cache_query(p.r.device, &p.r.cache_desc[0], &page_bytes, &fixed));
        assert_true(page_bytes >= p.token_bytes * TOKENS);
        assert_true(page_bytes < (p.token_bytes + 32) * TOKENS);
        assert_ok(p.r.backend->cache_grow(p.r.device, p.cache, 3));
        put(&p, 0);
        assert_ok(p.r.backend->page_copy(p.r.device, p.cache, 0, 1));
        for (uint32_t t = 0; t < TOKENS; t++)
            assert_ok(p.r.backend->page_move(p.r.device, p.cache, 1, t, 2, t));
        for (uint32_t page = 0; page < 3; page++)
            expect(&p, page, 0);
        finish(&p);
    }
}

/* Values are the beginning of the only key. */
static void latent_shapes(void **state)
{
    static const uint32_t wrong[][3] = {{2, 64, 32}, {1, 64, 96}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        pages p;
        lm_cache *none = NULL;
        setup_latent(&p, LM_F16, LM_F16);
        lm_cache_entry entry = {
            .group = p.group, .kv_heads = wrong[i][0], .k_dim = wrong[i][1], .v_dim = wrong[i][2]};
        lm_cache_desc desc = p.r.cache_desc[0];
        desc.entries = &entry;
        desc.n_entries = desc.n_members = 1;
        assert_status(p.r.backend->cache_create(p.r.device, &desc, &none), LLM_E_UNSUPPORTED);
        finish(&p);
    }
}

static void copies(void **state)
{
    (void)state;
    pages p;
    setup(&p, LM_F16, LM_F16);
    assert_ok(p.r.backend->cache_grow(p.r.device, p.cache, 2));
    assert_ok(p.r.backend->cache_grow(p.r.device, p.cache, 5));
    put(&p, 1);
    assert_ok(p.r.backend->page_copy(p.r.device, p.cache, 1, 4));
    assert_ok(p.r.backend->page_copy(p.r.device, p.cache, 1, 1));
    expect(&p, 4, 1);
    expect(&p, 1, 1);
    finish(&p);
}

/* One token moved at a time, backwards into another page, is the page. */
static void moves(void **state)
{
    (void)state;
    pages p;
    setup(&p, LM_F32, LM_Q8_0);
    assert_ok(p.r.backend->cache_grow(p.r.device, p.cache, 3));
    put(&p, 0);
    for (uint32_t t = TOKENS; t > 0; t--)
        assert_ok(p.r.backend->page_move(p.r.device, p.cache, 0, t - 1, 2, TOKENS - t));
    for (uint32_t t = 0; t < TOKENS; t++)
        assert_ok(p.r.backend->page_move(p.r.device, p.cache, 2, t, 1, TOKENS - 1 - t));
    expect(&p, 1, 0);
    finish(&p);
}

static void refusals(void **state)
{
    (void)state;
    pages p;
    unsigned char bytes[4096];
    setup(&p, LM_F32, LM_F32);
    const lm_backend *b = p.r.backend;
    assert_ok(b->cache_grow(p.r.device, p.cache, 2));
    assert_status(b->page_copy(p.r.device, p.cache, 0, 2), LLM_E_INVALID);
    assert_status(b->page_copy(p.r.device, p.cache, LM_NONE, 0), LLM_E_INVALID);
    assert_status(b->page_move(p.r.device, p.cache, 0, TOKENS, 1, 0), LLM_E_INVALID);
    assert_status(b->page_move(p.r.device, p.cache, 0, 0, 1, LM_NONE), LLM_E_INVALID);
    assert_status(b->page_export(p.r.device, p.cache, 0, 1, bytes, p.token_bytes - 1),
                  LLM_E_MISMATCH);
    assert_status(b->page_import(p.r.device, p.cache, 0, 2, bytes, p.token_bytes), LLM_E_MISMATCH);
    assert_status(b->page_import(p.r.device, p.cache, 2, 1, bytes, p.token_bytes), LLM_E_INVALID);
    assert_status(b->page_export(p.r.device, p.cache, 0, TOKENS + 1, bytes, sizeof bytes),
                  LLM_E_INVALID);
    lm_cache_desc wrong = p.r.cache_desc[0];
    lm_cache *none = NULL;
    uint64_t page_bytes, fixed;
    wrong.page_tokens = 48;
    assert_status(b->cache_create(p.r.device, &wrong, &none), LLM_E_INVALID);
    wrong.page_tokens = 8;
    assert_status(b->cache_query(p.r.device, &wrong, &page_bytes, &fixed), LLM_E_INVALID);
    wrong.page_tokens = 32;
    wrong.k_format = lm_format_by_id(LM_Q4_K); /* heads of 32 and 64 make no blocks of 256 */
    assert_status(b->cache_create(p.r.device, &wrong, &none), LLM_E_UNSUPPORTED);
    wrong = p.r.cache_desc[0];
    wrong.max_pages = 0;
    assert_status(b->cache_create(p.r.device, &wrong, &none), LLM_E_INVALID);
    assert_null(none);
    finish(&p);
}

/* The exported order: for each member keys then values, row after row, whatever the page looks
 * like. */
static void canonical_layout(void **state)
{
    (void)state;
    pages p;
    setup(&p, LM_F32, LM_F32);
    assert_ok(p.r.backend->cache_grow(p.r.device, p.cache, 1));
    unsigned char *bytes = content(&p, 0), *one = malloc(p.token_bytes);
    put(&p, 0);
    assert_ok(p.r.backend->page_export(p.r.device, p.cache, 0, 1, one, p.token_bytes));
    static const size_t rows[] = {64 * 4, 128 * 4, 64 * 4, 32 * 4};
    size_t from = 0, at = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_memory_equal(one + at, bytes + from, rows[i]);
        from += rows[i] * TOKENS;
        at += rows[i];
    }
    assert_int_equal(at, p.token_bytes);
    free(bytes);
    free(one);
    finish(&p);
}

void suite_cache(suite *s)
{
    suite_add(s, round_trip_and_growth, NULL, "pages", "round trip and growth");
    suite_add(s, copies, NULL, "pages", "copies");
    suite_add(s, moves, NULL, "pages", "moves");
    suite_add(s, refusals, NULL, "pages", "refusals");
    suite_add(s, latent, NULL, "pages", "latent");
    suite_add(s, latent_shapes, NULL, "pages", "latent shapes");
    if (suite_computes())
        suite_add(s, canonical_layout, NULL, "pages", "canonical layout");
}
