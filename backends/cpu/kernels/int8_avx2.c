/* int8_avx2.c - the int8 family with AVX2. vpmaddubsw multiplies unsigned by signed bytes and adds
 * two products in 16 bits: weights are taken without their offset, or those with signs as
 * magnitudes, whose signs the activations take over; activations are never -128, so no such sum
 * saturates. As many sums as sixteen bits hold are added before they become 32 bits wide. */
#include "backends/cpu/kernels/int8_vec256.h"

#define RAISED        false
#define SCALE_VECTORS 1u
#define TILE_P        2u
#define TILE_X        2u
#include "backends/cpu/kernels/int8_x86_panels.h"
#include "backends/cpu/kernels/int8_x86_tiles.h"

INLINE int32_t of_sum(int32_t sum)
{
    return sum;
}

INLINE vecf second_scale(vecf scale)
{
    return scale; /* there is none */
}

INLINE vecf scaled(vec sum, vecf scale, vecf second)
{
    (void)second;
    return f_mul(f_from(sum), scale);
}

/* Groups of columns that are added in sixteen bits. */
INLINE uint32_t depth_of(const reader *f)
{
    int most = 32767 / (2 * 127 * f->most);
    return most >= 4 ? 4 : most >= 2 ? 2 : 1;
}

INLINE vec products(const reader *f, vec w, vec magnitude, vec q)
{
    return f->offset >= 0 ? _mm256_maddubs_epi16(w, q)
                          : _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(q, w));
}

INLINE void sum_columns(const reader *f, const uint8_t *line, size_t stride,
                        const act_block *const *x, uint32_t b, uint32_t at, uint32_t count,
                        uint32_t P, uint32_t X, vec sum[MOST_P][MOST_X])
{
    uint32_t depth = depth_of(f);
    vec part[MOST_P][MOST_X];
    EACH (r, X) {
        int32_t all = count == 8 ? x[r][b].whole : x[r][b].half[at / 4];
        EACH (p, P)
            sum[p][r] = f->offset > 0 ? v_set32((uint32_t)(-f->offset * all)) : v_set32(0);
    }
    EACH (i, count) {
        vec w[MOST_P], magnitude[MOST_P];
        EACH (p, P) {
            w[p] = v_load(line + p * stride + (at + i) * LINE);
            magnitude[p] = f->offset >= 0 ? w[p] : _mm256_abs_epi8(w[p]);
        }
        EACH (r, X) {
            vec q = four_of(&x[r][b], at + i);
            EACH (p, P) {
                vec two = products(f, w[p], magnitude[p], q);
                part[p][r] = i % depth == 0 ? two : _mm256_add_epi16(part[p][r], two);
                if ((i + 1) % depth == 0)
                    sum[p][r] = v_add32(sum[p][r], _mm256_madd_epi16(part[p][r], v_set16(1)));
            }
        }
    }
}

/* See int8_x86_tiles.h; the bytes are below 8. */
INLINE vec half_sum(const vec z[4], const act_block *x, uint32_t at)
{
    vec sum = v_set32(0);
    EACH (i, 4)
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(z[i], four_of(x, at + i)));
    return _mm256_madd_epi16(sum, v_set16(1));
}

INLINE vec factored_sum(vec halves, vec factors)
{
    return _mm256_madd_epi16(halves, factors);
}

#define FORMAT(name, format, values, type, kind)                                                   \
    KERNELS(name, format, values, type, kind)                                                      \
    MATMUL(name, &reader_##name)

LCPU_INT8_FORMATS(FORMAT)

#define ADD(name, format, values, type, kind)                                                      \
    k->int8.formats[k->int8.n_formats++] = (lcpu_int8_format){                                     \
        format, LINES(kind) * LINE, unpack_##name, matmul_##name, direct_##name};

void lcpu_fill_avx2_int8(lcpu_kernels *k)
{
    k->int8 = (lcpu_int8){.panel_rows = ROWS,
                          .tile_rows = 4 * ROWS,
                          .act_bytes = sizeof(act_block),
                          .direct_max = DIRECT_MAX,
                          .row_bytes = act_row_bytes,
                          .quantise = quantise};
    LCPU_INT8_FORMATS(ADD)
}
