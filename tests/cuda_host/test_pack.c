/* test_pack.c - weights as they are repacked for CUDA: every value is, bit for bit, what the format's
 * reference decoder gives; in whatever pieces they are packed; and nothing else is written. */
#include "support/support.h"

#include "backends/cuda/pack.h"

#include <stdlib.h>
#include <string.h>

float pack_value(const lcu_weight_view *v, uint32_t expert, uint32_t row, uint32_t col);

enum { ROWS = 5, EXPERTS = 3, FENCE = 64 };

typedef struct packed {
    lm_weight_desc desc;
    uint8_t *file;
    uint64_t row_bytes, bytes;
    lcu_weight_view view;
    uint8_t *image; /* between fences */
} packed;

static void build(packed *p, const lm_format *format, uint32_t cols, uint32_t uses)
{
    uint32_t support;
    uint64_t random = format->id + 1;
    *p = (packed){.desc = {.name = "w",
                           .format = format,
                           .rows = ROWS,
                           .cols = cols,
                           .experts = EXPERTS,
                           .uses = uses}};
    assert_true(lm_format_row_bytes(format, cols, &p->row_bytes));
    assert_true(lcu_pack_plan(&p->desc, &p->view, &p->bytes, &support));
    p->file = malloc((size_t)(p->row_bytes * ROWS * EXPERTS));
    for (uint64_t i = 0; i < p->row_bytes * ROWS * EXPERTS; i++)
        p->file[i] = (uint8_t)(test_random(&random) >> 24);
    p->image = malloc((size_t)p->bytes + 2 * FENCE);
    memset(p->image, 0xa5, (size_t)p->bytes + 2 * FENCE);
    p->view.data = p->image + FENCE;
}

static void drop(packed *p)
{
    free(p->file);
    free(p->image);
}

/* In pieces of one to `most` units. */
static void pack_all(packed *p, uint64_t most)
{
    uint64_t unit = lcu_pack_unit(&p->desc), random = most;
    for (uint64_t from = 0; from < p->bytes;) {
        uint64_t size = unit * (1 + test_random(&random) % most);
        size = size < p->bytes - from ? size : p->bytes - from;
        lcu_pack(&p->desc, p->file, from, size, p->image + FENCE + from);
        from += size;
    }
    for (int i = 0; i < FENCE; i++) {
        assert_int_equal(p->image[i], 0xa5);
        assert_int_equal(p->image[FENCE + p->bytes + (uint64_t)i], 0xa5);
    }
}

static void check_values(const packed *p)
{
    uint32_t cols = p->desc.cols;
    float *wanted = malloc(cols * sizeof *wanted);
    for (uint32_t e = 0; e < EXPERTS; e++) {
        for (uint32_t r = 0; r < ROWS; r++) {
            p->desc.format->decode(p->file + (e * ROWS + r) * p->row_bytes, wanted, cols);
            for (uint32_t c = 0; c < cols; c++) {
                float got = pack_value(&p->view, e, r, c);
                bool nan = wanted[c] != wanted[c] && got != got;
                if (!nan && memcmp(&got, &wanted[c], sizeof got) != 0)
                    fail_msg("%s, row %u, column %u: %g, not %g", p->desc.format->name, (unsigned)r,
                             (unsigned)c, (double)got, (double)wanted[c]);
            }
        }
    }
    free(wanted);
}

static void test_pack__values_are_the_decoders(void **state)
{
    static const uint64_t pieces[] = {1, 3, 1000};
    (void)state;
    for (size_t i = 0; lm_format_at(i) != NULL; i++) {
        const lm_format *f = lm_format_at(i);
        for (size_t k = 0; f->decode != NULL && k < 3; k++) {
            packed p;
            build(&p, f, f->block == 1 ? 83 : 2 * 256, LM_USE_MATMUL);
            pack_all(&p, pieces[k]);
            check_values(&p);
            drop(&p);
        }
    }
}

/* Vectors are floats one after the other. */
static void test_pack__vectors_have_no_gaps(void **state)
{
    (void)state;
    packed p;
    build(&p, lm_format_by_id(LM_F16), 7, LM_USE_VECTOR);
    assert_int_equal(p.bytes, ROWS * EXPERTS * 7 * sizeof(float));
    pack_all(&p, 2);
    check_values(&p);
    drop(&p);
}

/* Rows and planes begin where loads of sixteen bytes may. */
static void test_pack__planes_are_aligned(void **state)
{
    (void)state;
    for (uint32_t l = 0; l < LCU_LAYOUT_COUNT; l++) {
        packed p;
        build(&p, lm_format_by_id(lcu_layouts[l].format), 256, LM_USE_MATMUL);
        assert_int_equal(p.view.layout, l);
        for (uint32_t i = 0; i < LCU_PLANES; i++) {
            assert_int_equal(p.view.plane[i] % 256, 0);
            assert_int_equal(p.view.stride[i] % 16, 0);
        }
        assert_int_equal(p.view.matrix_bytes % 256, 0);
        drop(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack__values_are_the_decoders),
        cmocka_unit_test(test_pack__vectors_have_no_gaps),
        cmocka_unit_test(test_pack__planes_are_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
