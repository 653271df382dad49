/* int8_avx512_panels.c - products of panels with AVX-512 VNNI: tiles of 48 weight rows by four
 * activation rows, twelve registers of whole numbers, twelve of floats. */
#include "backends/cpu/kernels/int8_avx512.h"

#define TILE_P 3u
#define TILE_X 4u
#include "backends/cpu/kernels/int8_x86_panels.h"

LCPU_INT8_KINDS(MATMUL_OF_KIND)

const lcpu_panels_fn lcpu_avx512_panels[4] = {LCPU_INT8_KINDS(LCPU_INT8_MATMUL)};
