/* test_gguf_hostile.c - files that lie: each has one status that it must be answered with, the same
 * whether the file is in memory or read through callbacks. */
#include "support/support.h"

#include "format/gguf_bytes.h"

#define HUGE_COUNT UINT64_MAX

typedef struct hostile {
    const char *name;
    void (*build)(gguf_bytes *b);
    int32_t status;
} hostile;

static int32_t bytes_read(void *user, uint64_t offset, void *into, uint64_t size)
{
    const gguf_bytes *b = user;
    if (size > b->size || offset > b->size - size)
        return -1;
    memcpy(into, b->data + offset, (size_t)size);
    return 0;
}

static int32_t try_open(const gguf_bytes *b, bool in_memory, const lm_limits *limits)
{
    test_memory m;
    lm_source source;
    lm_gguf *g = NULL;
    test_memory_init(&m);
    /* an exact copy, so that a sanitizer sees a read behind the end */
    gguf_bytes copy = *b;
    unsigned char *exact = malloc(b->size + 1);
    assert_non_null(exact);
    unsigned char *start = exact + 1; /* and nothing is aligned */
    memcpy(start, b->data, b->size);
    if (in_memory)
        assert_ok(lm_source_open_memory(&m.alloc, start, b->size, &source));
    else
        assert_ok(lm_source_open_callback(&m.alloc, bytes_read, &copy, b->size, &source));
    int32_t rc = lm_gguf_open_source(&m.alloc, NULL, limits, &source, &g);
    lm_gguf_close(g);
    free(exact);
    test_memory_check(&m);
    return rc;
}

static void check_status(const char *name, const gguf_bytes *b, const lm_limits *limits,
                         int32_t wanted)
{
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        int32_t rc = try_open(b, in_memory, limits);
        if (rc != wanted)
            fail_msg("%s (%s): %s where %s was wanted (%s)", name,
                     in_memory ? "memory" : "callback", llm_status_name(rc),
                     llm_status_name(wanted), llm_last_error());
    }
}

static void run(const hostile *cases, size_t count)
{
    static gguf_bytes b;
    for (size_t i = 0; i < count; i++) {
        memset(&b, 0, sizeof b);
        cases[i].build(&b);
        check_status(cases[i].name, &b, NULL, cases[i].status);
    }
}

#define RUN(cases) run(cases, sizeof(cases) / sizeof(cases)[0])
/* One case: its name is its builder's. */
#define CASE(fn, status)                                                                           \
    {                                                                                              \
#fn, fn, status                                                                            \
    }
/* A builder. */
#define BUILD(fn, ...)                                                                             \
    static void fn(gguf_bytes *b)                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* --- the head --------------------------------------------------------------------------------- */

BUILD(empty_file, b->size = 0;)
BUILD(cut_mark, gb_raw(b, "GGU", 3);)
BUILD(mark_only, gb_raw(b, "GGUF", 4);)
BUILD(another_mark, gb_head(b, 3, 0, 0); b->data[0] = 'L';)
BUILD(version_0, gb_head(b, 0, 0, 0);)
BUILD(version_4, gb_head(b, 4, 0, 0);)
BUILD(big_endian, gb_head(b, 0x03000000, 0, 0);)
BUILD(cut_counts, gb_head(b, 3, 0, 0); b->size -= 1;)
BUILD(huge_pairs, gb_head(b, 3, 0, HUGE_COUNT);)
BUILD(huge_tensors, gb_head(b, 3, HUGE_COUNT, 0);)
/* times 13, the least bytes of a pair, this is 13 more than 2^64 */
BUILD(wrapping_pairs, gb_head(b, 3, 0, UINT64_MAX / 13 + 2); gb_blob(b, 32, 256);)
/* times 24, the least bytes of a tensor, this is 8 more than 2^64 */
BUILD(wrapping_tensors, gb_head(b, 3, UINT64_MAX / 24 + 1, 0); gb_blob(b, 32, 256);)
BUILD(huge_tensors_v1, gb_head(b, 1, UINT32_MAX, 0); gb_blob(b, 32, 256);)
BUILD(one_pair_too_many, gb_head(b, 3, 0, 2); gb_pair_u32(b, "a", 1);)
BUILD(nothing_in_it, gb_head(b, 3, 0, 0);)
BUILD(nothing_in_v1, gb_head(b, 1, 0, 0);)

static void test_gguf_hostile__head(void **state)
{
    (void)state;
    static const hostile cases[] = {
        CASE(empty_file, LLM_E_FORMAT),      CASE(cut_mark, LLM_E_FORMAT),
        CASE(mark_only, LLM_E_FORMAT),       CASE(another_mark, LLM_E_FORMAT),
        CASE(version_0, LLM_E_FORMAT),       CASE(version_4, LLM_E_UNSUPPORTED),
        CASE(big_endian, LLM_E_UNSUPPORTED), CASE(cut_counts, LLM_E_FORMAT),
        CASE(huge_pairs, LLM_E_FORMAT),      CASE(huge_tensors, LLM_E_FORMAT),
        CASE(wrapping_pairs, LLM_E_FORMAT),  CASE(wrapping_tensors, LLM_E_FORMAT),
        CASE(huge_tensors_v1, LLM_E_FORMAT), CASE(one_pair_too_many, LLM_E_FORMAT),
        CASE(nothing_in_it, LLM_OK),         CASE(nothing_in_v1, LLM_OK),
    };
    RUN(cases);
}

/* --- metadata --------------------------------------------------------------------------------- */

#define PAIR(fn, ...) BUILD(fn, gb_head(b, 3, 0, 1); __VA_ARGS__)

PAIR(huge_key, gb_u64(b, HUGE_COUNT); gb_blob(b, 32, 256);)
PAIR(half_key, gb_u64(b, (uint64_t)1 << 63); gb_blob(b, 32, 256);)
PAIR(key_past_end, gb_u64(b, 257); gb_blob(b, 1, 256);)
PAIR(empty_key, gb_pair_u32(b, "", 1);)
PAIR(zero_in_key, gb_u64(b, 3); gb_raw(b, "k\0k", 3); gb_u32(b, LM_GGUF_U32); gb_u32(b, 1);)
PAIR(huge_string, gb_key(b, "k", LM_GGUF_STRING); gb_u64(b, HUGE_COUNT); gb_blob(b, 32, 256);)
PAIR(type_13, gb_key(b, "k", 13); gb_blob(b, 32, 256);)
PAIR(type_minus_1, gb_key(b, "k", UINT32_MAX); gb_blob(b, 32, 256);)
PAIR(bool_of_2, gb_key(b, "k", LM_GGUF_BOOL); gb_raw(b, "\2", 1); gb_blob(b, 32, 8);)
PAIR(cut_f64, gb_key(b, "k", LM_GGUF_F64); gb_u32(b, 0);)
PAIR(array_type_13, gb_array(b, "k", 13, 1); gb_blob(b, 32, 256);)
PAIR(array_of_arrays, gb_array(b, "k", LM_GGUF_ARRAY, 1); gb_u32(b, 0); gb_u64(b, 1); gb_u32(b, 1);)
PAIR(huge_u8s, gb_array(b, "k", LM_GGUF_U8, HUGE_COUNT); gb_blob(b, 32, 256);)
PAIR(wrapping_u64s, gb_array(b, "k", LM_GGUF_U64, (uint64_t)1 << 61); gb_blob(b, 32, 256);)
PAIR(wrapping_strings, gb_array(b, "k", LM_GGUF_STRING, ((uint64_t)1 << 61) + 1);
     gb_blob(b, 32, 256);)
PAIR(bools_of_7, gb_array(b, "k", LM_GGUF_BOOL, 3); gb_raw(b, "\0\1\7", 3); gb_blob(b, 32, 8);)
PAIR(huge_string_in_array, gb_array(b, "k", LM_GGUF_STRING, 2); gb_string(b, "one");
     gb_u64(b, HUGE_COUNT - 7); gb_blob(b, 32, 256);)
PAIR(empty_array, gb_array(b, "k", LM_GGUF_U64, 0);)
PAIR(empty_strings, gb_array(b, "k", LM_GGUF_STRING, 0); gb_raw(b, "", 1);)
BUILD(same_key_twice, gb_head(b, 3, 0, 3); gb_pair_u32(b, "k", 1); gb_pair_u32(b, "l", 1);
      gb_pair_string(b, "k", "v");)
BUILD(huge_array_v1, gb_head(b, 1, 0, 1); gb_array(b, "k", LM_GGUF_F32, UINT32_MAX);
      gb_blob(b, 32, 256);)

static void test_gguf_hostile__metadata(void **state)
{
    (void)state;
    static const hostile cases[] = {
        CASE(huge_key, LLM_E_FORMAT),
        CASE(half_key, LLM_E_FORMAT),
        CASE(key_past_end, LLM_E_FORMAT),
        CASE(empty_key, LLM_E_FORMAT),
        CASE(zero_in_key, LLM_E_FORMAT),
        CASE(huge_string, LLM_E_FORMAT),
        CASE(type_13, LLM_E_FORMAT),
        CASE(type_minus_1, LLM_E_FORMAT),
        CASE(bool_of_2, LLM_E_FORMAT),
        CASE(cut_f64, LLM_E_FORMAT),
        CASE(array_type_13, LLM_E_FORMAT),
        CASE(array_of_arrays, LLM_E_UNSUPPORTED),
        CASE(huge_u8s, LLM_E_FORMAT),
        CASE(wrapping_u64s, LLM_E_FORMAT),
        CASE(wrapping_strings, LLM_E_FORMAT),
        CASE(bools_of_7, LLM_E_FORMAT),
        CASE(huge_string_in_array, LLM_E_FORMAT),
        CASE(empty_array, LLM_OK),
        CASE(empty_strings, LLM_OK),
        CASE(same_key_twice, LLM_E_FORMAT),
        CASE(huge_array_v1, LLM_E_FORMAT),
    };
    RUN(cases);
}

/* --- alignment -------------------------------------------------------------------------------- */

#define ALIGN(fn, n) BUILD(fn, gb_head(b, 3, 0, 1); gb_pair_u32(b, "general.alignment", n);)

ALIGN(alignment_0, 0)
ALIGN(alignment_1, 1)
ALIGN(alignment_13, 13)
ALIGN(alignment_1m, 1u << 20)
ALIGN(alignment_2m, 1u << 21)
ALIGN(alignment_2g, 0x80000000u)
PAIR(alignment_u64, gb_key(b, "general.alignment", LM_GGUF_U64); gb_u64(b, 32);)
PAIR(alignment_string, gb_pair_string(b, "general.alignment", "32");)
PAIR(alignment_array, gb_array(b, "general.alignment", LM_GGUF_U32, 1); gb_u32(b, 32);)
PAIR(alignment_no_items, gb_array(b, "general.alignment", LM_GGUF_U32, 0);)

static void test_gguf_hostile__alignment(void **state)
{
    (void)state;
    static const hostile cases[] = {
        CASE(alignment_0, LLM_E_FORMAT),     CASE(alignment_1, LLM_OK),
        CASE(alignment_13, LLM_E_FORMAT),    CASE(alignment_1m, LLM_OK),
        CASE(alignment_2m, LLM_E_FORMAT),    CASE(alignment_2g, LLM_E_FORMAT),
        CASE(alignment_u64, LLM_E_FORMAT),   CASE(alignment_string, LLM_E_FORMAT),
        CASE(alignment_array, LLM_E_FORMAT), CASE(alignment_no_items, LLM_E_FORMAT),
    };
    RUN(cases);
}

/* --- tensors ---------------------------------------------------------------------------------- */

#define DIMS(...) ((const uint64_t[]){__VA_ARGS__})
#define TENSOR(fn, n_dims, dims, type, offset)                                                     \
    BUILD(fn, gb_head(b, 3, 1, 0); gb_tensor(b, "t", n_dims, dims, type, offset);                  \
          gb_blob(b, 32, 1024);)
#define P(n) ((uint64_t)1 << (n))

TENSOR(no_dims, 0, NULL, LM_F32, 0)
TENSOR(four_dims, 4, DIMS(2, 2, 2, 2), LM_F32, 0)
TENSOR(five_dims, 5, DIMS(1, 1, 1, 1, 1), LM_F32, 0)
BUILD(huge_dims, gb_head(b, 3, 1, 0); gb_string(b, "t"); gb_u32(b, UINT32_MAX);
      gb_blob(b, 32, 512);)
TENSOR(dim_0, 2, DIMS(32, 0), LM_F32, 0)
TENSOR(dim_0_first, 1, DIMS(0), LM_F32, 0)
TENSOR(dim_0_hides_wrap, 3, DIMS(P(40), P(40), 0), LM_F32, 0)
TENSOR(dim_2_42, 1, DIMS(P(42) + 1), LM_F32, 0)
TENSOR(product_wraps, 2, DIMS(P(33), P(33)), LM_F32, 0)
TENSOR(product_wraps_to_0, 2, DIMS(P(32), P(32)), LM_F32, 0)
TENSOR(product_wraps_to_1, 2, DIMS(3, 0xaaaaaaaaaaaaaaabu), LM_F32, 0)
TENSOR(product_negative, 2, DIMS(P(32), P(31)), LM_F32, 0)
TENSOR(bytes_wrap_to_0, 2, DIMS(P(31), P(31)), LM_F32, 0)
TENSOR(bytes_wrap_f64, 2, DIMS(P(31), P(30)), LM_F64, 0)
TENSOR(type_unknown, 1, DIMS(32), 41, 0)
TENSOR(type_negative, 1, DIMS(32), UINT32_MAX, 0)
TENSOR(type_removed, 1, DIMS(32), 4, 0)
TENSOR(type_removed_5, 1, DIMS(32), 5, 0)
TENSOR(type_removed_31, 1, DIMS(32), 31, 0)
TENSOR(type_removed_36, 1, DIMS(32), 36, 0)
TENSOR(type_unknown_999, 1, DIMS(32), 999, 0)
TENSOR(half_a_block, 1, DIMS(48), LM_Q8_0, 0)
TENSOR(blocks_over_rows, 2, DIMS(16, 2), LM_Q4_0, 0)
TENSOR(offset_2_40, 1, DIMS(8), LM_F32, P(40))
TENSOR(offset_wraps, 1, DIMS(8), LM_F32, UINT64_MAX - 31)
TENSOR(offset_at_end, 1, DIMS(8), LM_F32, 1024)
TENSOR(size_past_end, 1, DIMS(257), LM_F32, 0)
TENSOR(size_to_end, 1, DIMS(256), LM_F32, 0)
TENSOR(last_place, 1, DIMS(8), LM_F32, 992)
TENSOR(last_place_past_end, 1, DIMS(9), LM_F32, 992)
TENSOR(offset_not_aligned, 1, DIMS(8), LM_F32, 8)
BUILD(no_data, gb_head(b, 3, 1, 0); gb_vector(b, "t", 8, 0);)
BUILD(huge_name, gb_head(b, 3, 1, 0); gb_u64(b, HUGE_COUNT); gb_blob(b, 32, 256);)
BUILD(empty_name, gb_head(b, 3, 1, 0); gb_vector(b, "", 8, 0); gb_blob(b, 32, 32);)
BUILD(zero_in_name, gb_head(b, 3, 1, 0); gb_vector(b, "t_t", 8, 0); b->data[33] = 0;
      gb_blob(b, 32, 32);)
BUILD(one_tensor_too_many, gb_head(b, 3, 2, 0); gb_vector(b, "t", 1, 0);)
BUILD(wrap_v1, gb_head(b, 1, 1, 0);
      gb_tensor(b, "t", 4, DIMS(UINT32_MAX, UINT32_MAX, UINT32_MAX, 1), LM_F32, 0);
      gb_blob(b, 32, 256);)

static void test_gguf_hostile__tensors(void **state)
{
    (void)state;
    static const hostile cases[] = {
        CASE(no_dims, LLM_OK),
        CASE(four_dims, LLM_OK),
        CASE(five_dims, LLM_E_FORMAT),
        CASE(huge_dims, LLM_E_FORMAT),
        CASE(dim_0, LLM_E_FORMAT),
        CASE(dim_0_first, LLM_E_FORMAT),
        CASE(dim_0_hides_wrap, LLM_E_FORMAT),
        CASE(dim_2_42, LLM_E_FORMAT),
        CASE(product_wraps, LLM_E_FORMAT),
        CASE(product_wraps_to_0, LLM_E_FORMAT),
        CASE(product_wraps_to_1, LLM_E_FORMAT),
        CASE(product_negative, LLM_E_FORMAT),
        CASE(bytes_wrap_to_0, LLM_E_FORMAT),
        CASE(bytes_wrap_f64, LLM_E_FORMAT),
        CASE(type_unknown, LLM_E_UNSUPPORTED),
        CASE(type_negative, LLM_E_UNSUPPORTED),
        CASE(type_removed, LLM_E_UNSUPPORTED),
        CASE(type_removed_5, LLM_E_UNSUPPORTED),
        CASE(type_removed_31, LLM_E_UNSUPPORTED),
        CASE(type_removed_36, LLM_E_UNSUPPORTED),
        CASE(type_unknown_999, LLM_E_UNSUPPORTED),
        CASE(half_a_block, LLM_E_FORMAT),
        CASE(blocks_over_rows, LLM_E_FORMAT),
        CASE(offset_2_40, LLM_E_FORMAT),
        CASE(offset_wraps, LLM_E_FORMAT),
        CASE(offset_at_end, LLM_E_FORMAT),
        CASE(size_past_end, LLM_E_FORMAT),
        CASE(size_to_end, LLM_OK),
        CASE(last_place, LLM_OK),
        CASE(last_place_past_end, LLM_E_FORMAT),
        CASE(offset_not_aligned, LLM_E_FORMAT),
        CASE(no_data, LLM_E_FORMAT),
        CASE(huge_name, LLM_E_FORMAT),
        CASE(empty_name, LLM_E_FORMAT),
        CASE(zero_in_name, LLM_E_FORMAT),
        CASE(one_tensor_too_many, LLM_E_FORMAT),
        CASE(wrap_v1, LLM_E_FORMAT),
    };
    RUN(cases);
}

/* --- tensors among each other ----------------------------------------------------------------- */

#define THREE(fn, a, at_a, size_b, at_b, c, at_c)                                                  \
    BUILD(fn, gb_head(b, 3, 3, 0); gb_vector(b, a, 8, at_a); gb_vector(b, "b", size_b, at_b);      \
          gb_vector(b, c, 8, at_c); gb_blob(b, 32, 256);)

THREE(in_order, "a", 0, 8, 32, "c", 64)
THREE(any_order, "a", 64, 8, 0, "c", 32)
THREE(with_holes, "a", 192, 8, 64, "c", 0)
THREE(same_place, "a", 0, 8, 32, "c", 0)
THREE(partly_over, "a", 0, 9, 32, "c", 64)
THREE(one_inside, "a", 32, 64, 0, "c", 224)
THREE(same_name, "a", 0, 8, 32, "a", 64)

static void test_gguf_hostile__overlap(void **state)
{
    (void)state;
    static const hostile cases[] = {
        CASE(in_order, LLM_OK),          CASE(any_order, LLM_OK),
        CASE(with_holes, LLM_OK),        CASE(same_place, LLM_E_FORMAT),
        CASE(partly_over, LLM_E_FORMAT), CASE(one_inside, LLM_E_FORMAT),
        CASE(same_name, LLM_E_FORMAT),
    };
    RUN(cases);
}

/* Many tensors in a scrambled order, with and without two that overlap: the sort is a real one. */
static void test_gguf_hostile__overlap_among_many(void **state)
{
    (void)state;
    static gguf_bytes b;
    uint64_t seed = 1;
    for (int overlap = 0; overlap < 2; overlap++) {
        uint64_t places[64];
        for (uint64_t i = 0; i < 64; i++) { /* shuffled from inside out */
            uint64_t at = test_random(&seed) % (i + 1);
            places[i] = places[at];
            places[at] = i * 32;
        }
        gb_head(&b, 3, 64, 0);
        for (uint32_t i = 0; i < 64; i++) {
            char name[] = {'t', (char)('0' + i), '\0'};
            gb_vector(&b, name, overlap && places[i] == 17 * 32 ? 9 : 8, places[i]);
        }
        gb_blob(&b, 32, 64 * 32);
        check_status("among many", &b, NULL, overlap ? LLM_E_FORMAT : LLM_OK);
    }
}

/* --- limits and messages ---------------------------------------------------------------------- */

static void test_gguf_hostile__limits(void **state)
{
    (void)state;
    static gguf_bytes b;
    lm_limits limits;
    gb_sound(&b, 3);
    check_status("no limit", &b, NULL, LLM_OK);
#define LIMIT(field, largest, least)                                                               \
    lm_limits_default(&limits);                                                                    \
    limits.field = least;                                                                          \
    check_status(#field " is enough", &b, &limits, LLM_OK);                                        \
    limits.field = largest;                                                                        \
    check_status(#field " is too small", &b, &limits, LLM_E_LIMIT)
    LIMIT(file_bytes, b.size - 1, b.size);
    LIMIT(header_bytes, 500, 1000);
    LIMIT(string_bytes, 19, 20); /* general.architecture */
    LIMIT(array_items, 2, 3);
    LIMIT(pairs, 24, 25);
    LIMIT(tensors, 2, 3);
#undef LIMIT
    lm_limits_default(&limits);
    limits.header_bytes = limits.pairs = limits.tensors = limits.string_bytes = UINT64_MAX;
    check_status("limits of 2^64 - 1", &b, &limits, LLM_OK);
}

static void test_gguf_hostile__messages(void **state)
{
    (void)state;
    static gguf_bytes b;
    gb_head(&b, 3, 0, 1);
    gb_pair_string(&b, "evil\x1b[2J\x07key", "v");
    b.size -= 1;
    assert_status(try_open(&b, true, NULL), LLM_E_FORMAT);
    assert_string_equal(
        llm_last_error(),
        "key 'evil?[2J?key': a string at byte 56 needs 1 bytes, but the file ends at "
        "byte 56; it is incomplete or damaged");
    gb_head(&b, 3, 1, 0);
    gb_vector(&b, "a.name.that.is.longer.than.any.message.should.have.to.quote.in.full", 0, 0);
    assert_status(try_open(&b, true, NULL), LLM_E_FORMAT);
    assert_string_equal(
        llm_last_error(),
        "tensor 'a.name.that.is.longer.than.any.message.should.have.to.quote....' at "
        "byte 24: dimension 0 is 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_hostile__head),
        cmocka_unit_test(test_gguf_hostile__metadata),
        cmocka_unit_test(test_gguf_hostile__alignment),
        cmocka_unit_test(test_gguf_hostile__tensors),
        cmocka_unit_test(test_gguf_hostile__overlap),
        cmocka_unit_test(test_gguf_hostile__overlap_among_many),
        cmocka_unit_test(test_gguf_hostile__limits),
        cmocka_unit_test(test_gguf_hostile__messages),
    };
    return cmocka_run_group_tests_name("gguf_hostile", tests, NULL, NULL);
}
