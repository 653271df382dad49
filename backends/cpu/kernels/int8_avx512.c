/* int8_avx512.c - the int8 family with AVX-512 VNNI, but for the products of panels. */
#include "backends/cpu/kernels/int8_avx512.h"

#include "backends/cpu/kernels/int8_x86_tiles.h"

LCPU_INT8_FORMATS(KERNELS)

#define ADD(name, format, values, type, kind)                                                      \
    k->int8.formats[k->int8.n_formats++] = (lcpu_int8_format){                                     \
        format, LINES(kind) * LINE, unpack_##name, lcpu_avx512_panels[kind], direct_##name};

void lcpu_fill_avx512_vnni(lcpu_kernels *k)
{
    k->int8 = (lcpu_int8){.panel_rows = ROWS,
                          .tile_rows = 3 * ROWS,
                          .direct_max = DIRECT_MAX,
                          .act_bytes = sizeof(act_block),
                          .row_bytes = act_row_bytes,
                          .quantise = quantise};
    LCPU_INT8_FORMATS(ADD)
}
