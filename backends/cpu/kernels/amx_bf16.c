/* amx_bf16.c - the family of BF16 with matrix registers: its activations, and its table. */
#include "backends/cpu/kernels/amx_bf16.h"

#define TILE_ROWS 128u /* of weights at once */

/* An odd number of lines apart, sixteen rows do not share the sets of a cache. */
static size_t row_bytes(uint32_t k)
{
    return ((size_t)steps_of(k) | 1) * LINE;
}

/* What is missing of the last step is zero. */
static void round_row(const float *x, uint32_t k, void *row)
{
    uint8_t *to = row;
    for (uint32_t c = 0; c < k; c += STEP, to += LINE) {
        __mmask32 there = there_of(k - c);
        __m512 low = _mm512_maskz_loadu_ps((__mmask16)there, x + c);
        __m512 high = _mm512_maskz_loadu_ps((__mmask16)(there >> 16), x + c + 16);
        _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

void lcpu_fill_amx(lcpu_kernels *k)
{
    k->bf16 = (lcpu_int8){
        .panel_rows = SIDE,
        .tile_rows = TILE_ROWS,
        .direct_max = LCPU_AMX_FEW,
        .act_bytes = LINE,
        .row_bytes = row_bytes,
        .quantise = round_row,
        .formats = {{LM_BF16, TILE, lcpu_amx_bf16_unpack, lcpu_amx_bf16_many, lcpu_amx_bf16_few}},
        .n_formats = 1};
}
