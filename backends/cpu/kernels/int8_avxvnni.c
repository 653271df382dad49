/* int8_avxvnni.c - the int8 family with AVX-VNNI: that of AVX-512 in registers of half the size. */
#include "backends/cpu/kernels/int8_vec256.h"

INLINE vec v_dot(vec sum, vec w, vec q)
{
    return _mm256_dpbusd_avx_epi32(sum, w, q);
}

#include "backends/cpu/kernels/int8_x86_vnni.h"

#define TILE_P 2u
#define TILE_X 3u
#include "backends/cpu/kernels/int8_x86_panels.h"
#include "backends/cpu/kernels/int8_x86_tiles.h"

static const reader plain = {.kind = LCPU_PLAIN}, minima = {.kind = LCPU_MINIMA},
                    halves = {.kind = LCPU_HALVES}, half_minima = {.kind = LCPU_HALF_MINIMA};
MATMUL(plain, &plain)
MATMUL(minima, &minima)
MATMUL(halves, &halves)
MATMUL(half_minima, &half_minima)
LCPU_INT8_FORMATS(KERNELS)

static void (*const matmul_of[])(const void *panels, uint32_t n_w, const void *const *x,
                                 uint32_t n_x, uint32_t k, float *const *out, size_t at) = {
    [LCPU_PLAIN] = matmul_plain,
    [LCPU_MINIMA] = matmul_minima,
    [LCPU_HALVES] = matmul_halves,
    [LCPU_HALF_MINIMA] = matmul_half_minima,
};

#define ADD(name, format, values, type, kind)                                                      \
    k->int8.formats[k->int8.n_formats++] = (lcpu_int8_format){                                     \
        format, LINES(kind) * LINE, unpack_##name, matmul_of[kind], direct_##name};

void lcpu_fill_avx_vnni(lcpu_kernels *k)
{
    k->int8 = (lcpu_int8){.panel_rows = ROWS,
                          .tile_rows = 4 * ROWS,
                          .direct_max = DIRECT_MAX,
                          .act_bytes = sizeof(act_block),
                          .row_bytes = act_row_bytes,
                          .quantise = quantise};
    LCPU_INT8_FORMATS(ADD)
}
