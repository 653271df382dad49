/* test_saved_hostile.c - saved sessions that are cut, damaged, forged, of another model, or no
 * files at all: refused with a reason, and the session that refused them is as it was. */
#if !defined(_WIN32)
#define _XOPEN_SOURCE 700
#endif
#include "exec/saved.h"

#if !defined(_WIN32)
#include <sys/stat.h>
#include <unistd.h>
#endif

/* --- damage ----------------------------------------------------------------------------------- */

typedef struct pair {
    bench from, to;
    blob saved;
    witness w;
} pair;

static void open_pair(pair *p, setting o)
{
    open_bench(&p->from, o);
    open_bench(&p->to, o);
    feed(&p->from, 21, 3);
    feed(&p->to, 18, 11);
    p->saved = save(&p->from);
    remember(&p->to, &p->w);
}

static void close_pair(pair *p)
{
    free(p->w.logits);
    free(p->saved.data);
    close_bench(&p->from);
    close_bench(&p->to);
}

static void test_saved_hostile__truncated_anywhere(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, (setting){.devices = "null"});
    for (uint64_t size = 0; size < p.saved.size; size++) {
        blob cut = {malloc(size + 1), size}; /* so that reading behind it is seen */
        memcpy(cut.data, p.saved.data, size);
        assert_status(load(&p.to, &cut), LLM_E_FORMAT);
        free(cut.data);
    }
    blob longer = copy(&p.saved);
    longer.data[longer.size++] = 0;
    assert_status(load(&p.to, &longer), LLM_E_FORMAT);
    seal(&longer);
    assert_status(load(&p.to, &longer), LLM_E_FORMAT);
    free(longer.data);
    check_untouched(&p.to, &p.w);
    assert_int_equal(stats_of(&p.to).pages_free, p.w.pages_free);
    assert_ok(load(&p.to, &p.saved));
    close_pair(&p);
}

static void test_saved_hostile__each_byte_damaged(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, (setting){.devices = "null"});
    for (uint64_t i = 0; i < p.saved.size; i++) {
        p.saved.data[i] ^= (unsigned char)(1u << i % 8);
        int32_t rc = load(&p.to, &p.saved);
        assert_true(rc == LLM_E_FORMAT || (rc == LLM_E_UNSUPPORTED && i >= 8 && i < 16));
        p.saved.data[i] ^= (unsigned char)(1u << i % 8);
    }
    check_untouched(&p.to, &p.w);
    assert_int_equal(stats_of(&p.to).pages_free, p.w.pages_free);
    close_pair(&p);
}

/* With a sound checksum: refused with a reason, or loaded; alive in both cases. */
static void check_forgeries(setting o)
{
    pair p;
    uint64_t loaded = 0;
    open_pair(&p, o);
    uint64_t step = p.saved.size / 3000 + 1;
    for (uint64_t i = AT_FINGERPRINT; i < p.saved.size; i += i < 256 ? 1 : step) {
        blob forged = copy(&p.saved);
        forged.data[i] ^= (unsigned char)(1u << i % 8);
        seal(&forged);
        int32_t rc = load(&p.to, &forged);
        if (rc == LLM_OK) {
            llm_piece piece = LLM_PIECE_INIT;
            loaded++;
            rc = llm_session_next(p.to.s, &piece);
            assert_true(rc == LLM_OK || rc == LLM_E_NUMERIC || rc == LLM_E_INVALID);
            assert_ok(load(&p.to, &p.saved));
        } else {
            assert_true(rc == LLM_E_FORMAT || rc == LLM_E_MISMATCH || rc == LLM_E_LIMIT);
        }
        free(forged.data);
    }
    assert_true(loaded > 100);
    const float *got, *wanted;
    assert_ok(load(&p.to, &p.saved));
    assert_ok(llm_session_logits(p.from.s, &wanted, NULL));
    assert_ok(llm_session_logits(p.to.s, &got, NULL));
    assert_memory_equal(got, wanted, p.to.n_vocab * sizeof *got);
    close_pair(&p);
}

static void test_saved_hostile__each_byte_forged(void **state)
{
    (void)state;
    check_forgeries((setting){.devices = "null"});
    check_forgeries((setting){.devices = "cpu"});
    check_forgeries((setting){.devices = "cpu", .model = "mamba2"});
}

/* --- forged fields ---------------------------------------------------------------------------- */

typedef struct forgery {
    size_t at;
    uint32_t value;
    int32_t wanted;
} forgery;

static void test_saved_hostile__counts_that_disagree(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, (setting){.devices = "null"});
    uint32_t n = p.to.n_vocab;
    const forgery forgeries[] = {
        {AT_VERSION, 2, LLM_E_UNSUPPORTED},
        {AT_VERSION + 4, 80, LLM_E_UNSUPPORTED},
        {AT_FINGERPRINT, 1, LLM_E_MISMATCH},
        {AT_FINGERPRINT + 8, 1, LLM_E_MISMATCH},
        {AT_K_FORMAT, 0, LLM_E_MISMATCH},
        {AT_V_FORMAT, 0, LLM_E_MISMATCH},
        {AT_WIDTH, 1, LLM_E_MISMATCH},
        {AT_LENGTH, 20, LLM_E_FORMAT},
        {AT_LENGTH, 22, LLM_E_FORMAT},
        {AT_LENGTH, CONTEXT + 1, LLM_E_LIMIT},
        {AT_LENGTH, UINT32_MAX, LLM_E_LIMIT},
        {AT_COMPUTED, 20, LLM_E_FORMAT},
        {AT_COMPUTED, 22, LLM_E_FORMAT},
        {AT_COMPUTED, UINT32_MAX, LLM_E_FORMAT},
        {AT_ROWS, 1, LLM_E_FORMAT},
        {AT_ROWS, UINT32_MAX, LLM_E_FORMAT},
        {AT_KNOWN, 3, LLM_E_FORMAT},
        {AT_KNOWN, 1, LLM_E_FORMAT},
        {AT_KNOWN, UINT32_MAX, LLM_E_FORMAT},
        {AT_KNOWN, 0, LLM_E_FORMAT},
        {AT_CHAIN_BYTES, 32, LLM_E_FORMAT},
        {AT_CHAIN_BYTES + 4, UINT32_MAX, LLM_E_FORMAT},
        {AT_CACHE_BYTES, 0, LLM_E_FORMAT},
        {AT_CACHE_BYTES + 4, UINT32_MAX, LLM_E_FORMAT},
        {AT_IDS, n, LLM_E_FORMAT},
        {AT_IDS + 20 * 4, UINT32_MAX - 1, LLM_E_FORMAT}, /* -2 */
        {AT_IDS + 20 * 4, UINT32_MAX, LLM_E_FORMAT},     /* -1: a row that is not there */
        {AT_IDS + 21 * 4, 0x7fc00000, LLM_E_FORMAT},     /* a logit that is NaN */
    };
    for (size_t i = 0; i < sizeof forgeries / sizeof forgeries[0]; i++) {
        blob forged = copy(&p.saved);
        put_u32(&forged, forgeries[i].at, forgeries[i].value);
        seal(&forged);
        int32_t rc = load(&p.to, &forged);
        if (rc != forgeries[i].wanted)
            fail_msg("forgery %u: %s where %s was wanted (%s)", (unsigned)i, llm_status_name(rc),
                     llm_status_name(forgeries[i].wanted), llm_last_error());
        free(forged.data);
    }
    check_untouched(&p.to, &p.w);
    close_pair(&p);
}

/* Parts moved into each other, so that their sum is still the size of the file. */
static void test_saved_hostile__parts_that_add_up_falsely(void **state)
{
    (void)state;
    static const struct {
        size_t more, less;
        uint64_t bytes;
    } moves[] = {{AT_CHAIN_BYTES, AT_CACHE_BYTES, 8},
                 {AT_CHAIN_BYTES, AT_CACHE_BYTES, 64},
                 {AT_CACHE_BYTES, AT_CHAIN_BYTES, 64}, /* a sum that wraps around */
                 {AT_CACHE_BYTES, AT_CHAIN_BYTES, (uint64_t)1 << 63}};
    pair p;
    open_pair(&p, (setting){.devices = "null"});
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        blob forged = copy(&p.saved);
        add_u64(&forged, moves[i].more, moves[i].bytes);
        add_u64(&forged, moves[i].less, 0 - moves[i].bytes);
        seal(&forged);
        int32_t rc = load(&p.to, &forged);
        assert_true(rc == LLM_E_FORMAT || rc == LLM_E_MISMATCH);
        free(forged.data);
    }
    /* fewer tokens computed, with the bytes of all: the cache does not match them */
    blob forged = copy(&p.saved);
    uint32_t logits = p.to.n_vocab * 4;
    put_u32(&forged, AT_KNOWN, 0);
    put_u32(&forged, AT_COMPUTED, 5);
    add_u64(&forged, AT_CACHE_BYTES, logits);
    seal(&forged);
    assert_status(load(&p.to, &forged), LLM_E_MISMATCH);
    free(forged.data);
    check_untouched(&p.to, &p.w);
    assert_int_equal(stats_of(&p.to).pages_free, p.w.pages_free);
    close_pair(&p);
}

static void test_saved_hostile__of_something_else(void **state)
{
    (void)state;
    bench to, from;
    witness w;
    static const struct {
        setting from;
        int32_t wanted;
    } others[] = {
        {{.devices = "null", .model = "qwen2"}, LLM_E_MISMATCH},
        {{.devices = "null", .model = "llama-rope-linear"}, LLM_E_MISMATCH},
        {{.devices = "null", .cache = "f32"}, LLM_E_MISMATCH},
        {{.devices = "null", .context = 160}, LLM_OK},
    };
    open_bench(&to, (setting){.devices = "null"});
    feed(&to, 18, 11);
    remember(&to, &w);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        open_bench(&from, others[i].from);
        feed(&from, 21, 3);
        blob saved = save(&from);
        assert_status(load(&to, &saved), others[i].wanted);
        if (others[i].wanted < 0)
            check_untouched(&to, &w);
        free(saved.data);
        if (others[i].wanted == LLM_OK) { /* a larger context, and now one that needs it */
            feed(&from, CONTEXT - 20, 3);
            saved = save(&from);
            assert_status(load(&to, &saved), LLM_E_LIMIT);
            assert_int_equal(llm_session_length(to.s), 21);
            free(saved.data);
        }
        close_bench(&from);
    }
    free(w.logits);
    close_bench(&to);
}

/* --- files ------------------------------------------------------------------------------------ */

static void test_saved_hostile__files(void **state)
{
    (void)state;
    pair p;
    char path[4096];
    open_pair(&p, (setting){.devices = "null"});
    snprintf(path, sizeof path, "%s", test_scratch("session"));
    assert_ok(llm_session_save(p.from.s, path));
    size_t size;
    unsigned char *data = test_read(path, &size);
    assert_int_equal(size, p.saved.size);
    assert_memory_equal(data, p.saved.data, size);
    test_write(path, data, size - 1);
    assert_status(llm_session_load(p.to.s, path), LLM_E_FORMAT);
    test_write(path, data, 40);
    assert_status(llm_session_load(p.to.s, path), LLM_E_FORMAT);
    test_write(path, data, 0);
    assert_status(llm_session_load(p.to.s, path), LLM_E_FORMAT);
    check_untouched(&p.to, &p.w);
    assert_status(llm_session_load(p.to.s, test_file_path("model/data/llama.gguf")), LLM_E_FORMAT);
    assert_status(llm_session_load(p.to.s, test_file_path("model/data/nothing")), LLM_E_NOT_FOUND);
    assert_status(llm_session_load(p.to.s, test_file_path("model")), LLM_E_IO);
    assert_status(llm_session_load(p.to.s, ""), LLM_E_NOT_FOUND);
    check_untouched(&p.to, &p.w);
    assert_ok(llm_session_save(p.from.s, path)); /* over what is there */
    assert_ok(llm_session_load(p.to.s, path));
    check_same_logits(&p.from, &p.to);
    remove(path);
    free(data);
    close_pair(&p);
}

static void test_saved_hostile__where_nothing_can_be_written(void **state)
{
    (void)state;
    pair p;
    char path[4200];
    open_pair(&p, (setting){.devices = "null"});
    assert_status(llm_session_save(p.from.s, "/nowhere/at/all/session"), LLM_E_IO);
    assert_status(llm_session_save(p.from.s, test_file_path("model")), LLM_E_IO);
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_true(llm_session_save(p.from.s, path) < 0);
    check_untouched(&p.to, &p.w);
    assert_ok(llm_session_rewind(p.from.s, 20)); /* and it goes on */
    feed(&p.from, 3, 5);
    close_pair(&p);
}

#if !defined(_WIN32)
/* A pipe neither blocks a load nor is replaced by a save; a file of a terabyte is not read. */
static void test_saved_hostile__special_files(void **state)
{
    (void)state;
    pair p;
    char path[4096];
    struct stat info;
    open_pair(&p, (setting){.devices = "null"});
    assert_status(llm_session_load(p.to.s, "/dev/null"), LLM_E_IO);
    snprintf(path, sizeof path, "%s", test_scratch("pipe"));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_status(llm_session_load(p.to.s, path), LLM_E_IO);
    assert_status(llm_session_save(p.from.s, path), LLM_E_IO);
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    unlink(path);
    test_write(path, p.saved.data, p.saved.size);
    assert_int_equal(truncate(path, (off_t)1 << 38), 0);
    assert_status(llm_session_load(p.to.s, path), LLM_E_FORMAT);
    check_untouched(&p.to, &p.w);
    unlink(path);
    close_pair(&p);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saved_hostile__truncated_anywhere),
        cmocka_unit_test(test_saved_hostile__each_byte_damaged),
        cmocka_unit_test(test_saved_hostile__each_byte_forged),
        cmocka_unit_test(test_saved_hostile__counts_that_disagree),
        cmocka_unit_test(test_saved_hostile__parts_that_add_up_falsely),
        cmocka_unit_test(test_saved_hostile__of_something_else),
        cmocka_unit_test(test_saved_hostile__files),
        cmocka_unit_test(test_saved_hostile__where_nothing_can_be_written),
#if !defined(_WIN32)
        cmocka_unit_test(test_saved_hostile__special_files),
#endif
    };
    return cmocka_run_group_tests_name("saved hostile", tests, NULL, NULL);
}
