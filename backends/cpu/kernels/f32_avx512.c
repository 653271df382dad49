/* f32_avx512.c - the f32 kernels with AVX-512: sixteen lanes are one register. */
#include "backends/cpu/kernels/lanes_avx512.h"

#define TILE_W  4
#define TILE_X  6
#define TURN_P  2
#define TURN_X  12
#define SCORE_Q 6
#define SCORE_V 4
#define MIX_Q   6
#define MIX_V   4

#define SCAN_ALIGN 64u

static inline void lanes_reduce4(const lanes x[4], float *to)
{
    lanes ab = _mm512_add_ps(_mm512_shuffle_f32x4(x[0], x[1], 0x44),
                             _mm512_shuffle_f32x4(x[0], x[1], 0xee));
    lanes cd = _mm512_add_ps(_mm512_shuffle_f32x4(x[2], x[3], 0x44),
                             _mm512_shuffle_f32x4(x[2], x[3], 0xee));
    lanes all =
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0x4e));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0xb1));
    _mm_storeu_ps(to, _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, all)));
}

static inline void lanes_stream(float *to, lanes x)
{
    _mm512_stream_ps(to, x);
}

static inline void lanes_streamed(void)
{
    _mm_sfence();
}

#include "backends/cpu/kernels/state_lanes.h"

void lcpu_fill_avx512(lcpu_kernels *k)
{
    fill_f32(k);
    k->scan = scan;
}
