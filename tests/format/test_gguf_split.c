/* test_gguf_split.c - models split over files: the set is opened whole, and files that disagree are
 * refused. */
#include "support/support.h"

#include "format/gguf_bytes.h"
#include "format/gguf_walk.h"

#include <stdio.h>

#define PARTS 3u

/* What one file says; the table of each test changes one thing in it. */
typedef struct part {
    uint32_t number, count, tensors;
    const char *name; /* of its tensor */
    const char *key, *value;
} part;

typedef struct set {
    char prefix[3000];
    part parts[PARTS];
} set;

static void set_init(set *s, const char *name)
{
    *s = (set){.parts = {{0, 3, 3, "a", "general.name", "n"},
                         {1, 3, 3, "b", NULL, NULL},
                         {2, 3, 3, "c", NULL, NULL}}};
    snprintf(s->prefix, sizeof s->prefix, "%s", test_scratch(name));
}

static const char *part_path(const set *s, uint32_t index)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s-%05u-of-%05u.gguf", s->prefix, index + 1, PARTS);
    return path;
}

static void set_write(const set *s)
{
    static gguf_bytes b;
    for (uint32_t i = 0; i < PARTS; i++) {
        const part *p = &s->parts[i];
        gb_head(&b, 3, 1, p->key == NULL ? 3 : 4);
        gb_key(&b, "split.no", LM_GGUF_U16);
        gb_raw(&b, &(uint16_t){(uint16_t)p->number}, 2);
        gb_key(&b, "split.count", LM_GGUF_U16);
        gb_raw(&b, &(uint16_t){(uint16_t)p->count}, 2);
        gb_key(&b, "split.tensors.count", LM_GGUF_I32);
        gb_u32(&b, p->tensors);
        if (p->key != NULL)
            gb_pair_string(&b, p->key, p->value);
        gb_vector(&b, p->name, 8 + i, 0);
        gb_blob(&b, 32, 4 * (8 + i));
        test_write(part_path(s, i), b.data, b.size);
    }
}

static void set_remove(const set *s)
{
    for (uint32_t i = 0; i < PARTS; i++)
        remove(part_path(s, i));
}

static int32_t try_open(const set *s, uint32_t index, const lm_limits *limits)
{
    test_memory m;
    lm_gguf *g;
    test_memory_init(&m);
    int32_t rc = lm_gguf_open_path(&m.alloc, NULL, limits, part_path(s, index), LM_SOURCE_MAP, &g);
    if (rc == LLM_OK)
        lm_gguf_close(g);
    test_memory_check(&m);
    return rc;
}

static void test_gguf_split__opens_the_whole_set(void **state)
{
    (void)state;
    set s;
    set_init(&s, "whole");
    set_write(&s);
    for (uint32_t named = 0; named < PARTS; named++)
        for (uint32_t mode = LM_SOURCE_MAP; mode <= LM_SOURCE_READ; mode++) {
            test_memory m;
            lm_gguf *g;
            lm_gguf_string name;
            test_memory_init(&m);
            assert_ok(lm_gguf_open_path(&m.alloc, NULL, NULL, part_path(&s, named), mode, &g));
            assert_int_equal(g->n_parts, PARTS);
            assert_int_equal(g->n_tensors, PARTS);
            assert_ok(lm_gguf_get_string(g, "general.name", &name));
            assert_string_equal(name.data, "n");
            for (uint32_t i = 0; i < PARTS; i++) {
                const lm_gguf_tensor *t = lm_gguf_find_tensor(g, s.parts[i].name);
                unsigned char last;
                assert_ptr_equal(t, &g->tensors[i]);
                assert_int_equal(t->part, i);
                assert_int_equal(t->bytes, 4 * (8 + i));
                assert_ok(lm_gguf_read(g, t, t->bytes - 1, &last, 1));
                assert_int_equal(last, t->bytes - 1);
            }
            (void)gguf_walk(g);
            lm_gguf_close(g);
            test_memory_check(&m);
        }
    set_remove(&s);
}

static void test_gguf_split__files_that_disagree(void **state)
{
    (void)state;
    static const struct {
        uint32_t index;
        part part;
        int32_t status;
    } cases[] = {
        {1, {1, 4, 3, "b", NULL, NULL}, LLM_E_FORMAT}, /* another count */
        {1, {1, 0, 3, "b", NULL, NULL}, LLM_E_FORMAT},
        {1, {2, 3, 3, "b", NULL, NULL}, LLM_E_FORMAT}, /* another number */
        {0, {1, 3, 3, "a", NULL, NULL}, LLM_E_FORMAT},
        {0, {3, 3, 3, "a", NULL, NULL}, LLM_E_FORMAT},
        {0, {65535, 3, 3, "a", NULL, NULL}, LLM_E_FORMAT},
        {2, {2, 3, 4, "c", NULL, NULL}, LLM_E_FORMAT}, /* another count of tensors */
        {0, {0, 3, 4, "a", NULL, NULL}, LLM_E_FORMAT},
        {0, {0, 3, 0, "a", NULL, NULL}, LLM_E_FORMAT},
        {0, {0, 3, UINT32_MAX, "a", NULL, NULL}, LLM_E_FORMAT},
        {2, {2, 3, 3, "a", NULL, NULL}, LLM_E_FORMAT}, /* a tensor that is in another file */
        {2, {2, 3, 3, "c", "general.name", "other"}, LLM_E_FORMAT}, /* another value */
        {2, {2, 3, 3, "c", "general.name", "n"}, LLM_OK},
        {2, {2, 3, 3, "c", "general.author", "x"}, LLM_OK}, /* logged and left out */
        {0, {0, 2, 3, "a", NULL, NULL}, LLM_E_FORMAT},      /* not the file's name */
        {0, {0, 60000, 3, "a", NULL, NULL}, LLM_E_LIMIT},
    };
    set s;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_init(&s, "disagree");
        s.parts[cases[i].index] = cases[i].part;
        set_write(&s);
        int32_t rc = try_open(&s, 0, NULL);
        if (rc != cases[i].status)
            fail_msg("case %d: %s (%s)", (int)i, llm_status_name(rc), llm_last_error());
    }
    set_remove(&s);
}

static void test_gguf_split__incomplete_set(void **state)
{
    (void)state;
    set s;
    char missing[8192];
    set_init(&s, "incomplete");
    set_write(&s);
    for (uint32_t i = 0; i < PARTS; i++) {
        set_write(&s);
        remove(part_path(&s, i));
        assert_status(try_open(&s, (i + 1) % PARTS, NULL), LLM_E_NOT_FOUND);
        snprintf(missing, sizeof missing, "cannot open '%s': ", part_path(&s, i));
        assert_memory_equal(llm_last_error(), missing,
                            strlen(missing) < 200 ? strlen(missing) : 200);
    }
    set_write(&s);
    test_write(part_path(&s, 2), "GGUF", 4);
    assert_status(try_open(&s, 0, NULL), LLM_E_FORMAT);
    set_remove(&s);
}

static void test_gguf_split__limits_and_sources(void **state)
{
    (void)state;
    set s;
    lm_limits limits;
    size_t size;
    test_memory m;
    lm_source source;
    lm_gguf *g;
    set_init(&s, "limits");
    set_write(&s);
    lm_limits_default(&limits);
    limits.parts = 2;
    assert_status(try_open(&s, 0, &limits), LLM_E_LIMIT);
    limits.parts = 3;
    limits.tensors = 2;
    assert_status(try_open(&s, 0, &limits), LLM_E_LIMIT);
    limits.tensors = 3;
    assert_ok(try_open(&s, 0, &limits));
    unsigned char *data = test_read(part_path(&s, 0), &size);
    test_memory_init(&m);
    assert_ok(lm_source_open_memory(&m.alloc, data, size, &source));
    assert_status(lm_gguf_open_source(&m.alloc, NULL, NULL, &source, &g), LLM_E_UNSUPPORTED);
    test_memory_check(&m);
    free(data);
    set_remove(&s);
}

static void test_gguf_split__every_allocation_refused(void **state)
{
    (void)state;
    set s;
    set_init(&s, "refused");
    set_write(&s);
    for (uint32_t mode = LM_SOURCE_MAP; mode <= LM_SOURCE_READ; mode++) {
        uint64_t refused = 0;
        for (int32_t rc = LLM_E_MEMORY; rc != LLM_OK; refused++) {
            test_memory m;
            lm_gguf *g;
            test_memory_init(&m);
            m.fail_at = refused + 1;
            rc = lm_gguf_open_path(&m.alloc, NULL, NULL, part_path(&s, 1), mode, &g);
            if (rc == LLM_OK)
                lm_gguf_close(g);
            else
                assert_int_equal(rc, LLM_E_MEMORY);
            test_memory_check(&m);
        }
        assert_true(refused > 20);
    }
    set_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_split__opens_the_whole_set),
        cmocka_unit_test(test_gguf_split__files_that_disagree),
        cmocka_unit_test(test_gguf_split__incomplete_set),
        cmocka_unit_test(test_gguf_split__limits_and_sources),
        cmocka_unit_test(test_gguf_split__every_allocation_refused),
    };
    return cmocka_run_group_tests_name("gguf_split", tests, NULL, NULL);
}
