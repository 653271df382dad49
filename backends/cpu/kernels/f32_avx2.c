/* f32_avx2.c - the f32 kernels with AVX2 and FMA: sixteen lanes are two registers. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef struct lanes {
    __m256 low, high;
} lanes;

#define TILE_W 2
#define TILE_X 2
#define TILE_O 4
#define TILE_Q 1

static inline lanes lanes_zero(void)
{
    return (lanes){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

static inline lanes lanes_set(float x)
{
    return (lanes){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

static inline lanes lanes_load(const float *x)
{
    return (lanes){_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
}

static inline lanes lanes_load_some(const float *x, uint32_t count)
{
    float padded[16] = {0};
    memcpy(padded, x, count * sizeof *x);
    return lanes_load(padded);
}

static inline void lanes_store(float *to, lanes x)
{
    _mm256_storeu_ps(to, x.low);
    _mm256_storeu_ps(to + 8, x.high);
}

static inline lanes lanes_add(lanes a, lanes b)
{
    return (lanes){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

static inline lanes lanes_sub(lanes a, lanes b)
{
    return (lanes){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

static inline lanes lanes_mul(lanes a, lanes b)
{
    return (lanes){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

static inline lanes lanes_mac(lanes x, lanes y, lanes sum)
{
    return (lanes){_mm256_fmadd_ps(x.low, y.low, sum.low),
                   _mm256_fmadd_ps(x.high, y.high, sum.high)};
}

static inline float lanes_reduce(lanes x)
{
    __m256 eight = _mm256_add_ps(x.low, x.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline __m128i eight_halves(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline lanes lanes_load_f16(const uint8_t *from)
{
    return (lanes){_mm256_cvtph_ps(eight_halves(from)), _mm256_cvtph_ps(eight_halves(from + 16))};
}

static inline __m256 eight_bf16(const uint8_t *from)
{
    __m256i wide = _mm256_cvtepu16_epi32(eight_halves(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline lanes lanes_load_bf16(const uint8_t *from)
{
    return (lanes){eight_bf16(from), eight_bf16(from + 16)};
}

#include "backends/cpu/kernels/f32_lanes.h"

void lcpu_fill_avx2(lcpu_kernels *k)
{
    fill_f32(k);
    lcpu_fill_avx2_int8(k);
}
