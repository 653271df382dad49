/* int8_avxvnni.c - the int8 family with AVX-VNNI: that of AVX-512 in registers of half the size. */
#include "backends/cpu/kernels/int8_vec256.h"

INLINE vec v_dot(vec sum, vec w, vec q)
{
    return _mm256_dpbusd_avx_epi32(sum, w, q);
}

INLINE vec v_dot16(vec sum, vec a, vec b)
{
    return _mm256_dpwssd_avx_epi32(sum, a, b);
}

#include "backends/cpu/kernels/int8_x86_vnni.h"

#define TILE_P 2u
#define TILE_X 3u
#include "backends/cpu/kernels/int8_x86_panels.h"
#include "backends/cpu/kernels/int8_x86_tiles.h"

LCPU_INT8_KINDS(MATMUL_OF_KIND)
LCPU_INT8_FORMATS(KERNELS)

static const lcpu_panels_fn matmul_of[] = {LCPU_INT8_KINDS(LCPU_INT8_MATMUL)};

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
