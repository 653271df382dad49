/* int8_avx512_panels.c - products of panels with AVX-512 VNNI: tiles of 48 weight rows by four
 * activation rows, twelve registers of whole numbers, twelve of floats. */
#include "backends/cpu/kernels/int8_avx512.h"

#define TILE_P 3u
#define TILE_X 4u
#include "backends/cpu/kernels/int8_x86_panels.h"

static const reader plain = {.kind = LCPU_PLAIN}, minima = {.kind = LCPU_MINIMA},
                    halves = {.kind = LCPU_HALVES}, half_minima = {.kind = LCPU_HALF_MINIMA};
MATMUL(plain, &plain)
MATMUL(minima, &minima)
MATMUL(halves, &halves)
MATMUL(half_minima, &half_minima)

const panels_fn lcpu_avx512_panels[4] = {
    [LCPU_PLAIN] = matmul_plain,
    [LCPU_MINIMA] = matmul_minima,
    [LCPU_HALVES] = matmul_halves,
    [LCPU_HALF_MINIMA] = matmul_half_minima,
};
