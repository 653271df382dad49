/* f32_avx2.c - the f32 kernels with AVX2 and FMA: sixteen lanes are two registers. */
#include "backends/cpu/kernels/math.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

typedef struct lanes {
    __m256 low, high;
} lanes;

#define TILE_W  2
#define TILE_X  2
#define TURN_P  1
#define TURN_X  6
#define SCORE_Q 3
#define SCORE_V 2
#define MIX_Q   3
#define MIX_V   2

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

/* x > y ? x : y, so y when x is NaN. */
static inline lanes lanes_max(lanes x, lanes y)
{
    return (lanes){_mm256_max_ps(x.low, y.low), _mm256_max_ps(x.high, y.high)};
}

static inline __m256 eight_picked(uint32_t bits, __m256 x, __m256 y)
{
    __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)bits), each);
    return _mm256_blendv_ps(y, x, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, each)));
}

static inline lanes lanes_pick(uint32_t bits, lanes x, lanes y)
{
    return (lanes){eight_picked(bits, x.low, y.low), eight_picked(bits >> 8, x.high, y.high)};
}

static inline float lanes_largest(lanes x)
{
    __m256 eight = _mm256_max_ps(x.low, x.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline __m256 eight_exponents(__m256 shifted)
{
    __m256i one = _mm256_set1_epi32(LCPU_EXP_ONE);
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_sub_epi32(_mm256_castps_si256(shifted), one), 23));
}

static inline lanes lanes_exponent(lanes shifted)
{
    return (lanes){eight_exponents(shifted.low), eight_exponents(shifted.high)};
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

static inline __m256 eight_i8(const int8_t *from)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)from);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

static inline lanes lanes_load_i8(const int8_t *from)
{
    return (lanes){eight_i8(from), eight_i8(from + 8)};
}

/* As the halves that they are under a bias of 15: 2^-8 of their value. NaN gets the topmost bit. */
static inline __m256 eight_e4m3(__m128i bytes)
{
    __m128i half = _mm_slli_epi16(_mm_cvtepi8_epi16(bytes), 7);
    half = _mm_and_si128(half, _mm_set1_epi16((int16_t)0xbf80));
    __m128i carry = _mm_add_epi16(half, _mm_set1_epi16(0x80));
    half = _mm_or_si128(half, _mm_and_si128(carry, _mm_set1_epi16(0x4000)));
    return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0f));
}

static inline lanes lanes_load_e4m3(const uint8_t *from)
{
    return (lanes){eight_e4m3(_mm_loadl_epi64((const __m128i *)(const void *)from)),
                   eight_e4m3(_mm_loadl_epi64((const __m128i *)(const void *)(from + 8)))};
}

static inline lanes lanes_set_f16(const void *from)
{
    int16_t bits;
    memcpy(&bits, from, sizeof bits);
    __m256 eight = _mm256_cvtph_ps(_mm_set1_epi16(bits));
    return (lanes){eight, eight};
}

/* Sixteen halves `stride` bytes apart. */
static inline lanes lanes_gather_f16(const uint8_t *from, size_t stride)
{
    uint8_t halves[32];
    for (int i = 0; i < 16; i++)
        memcpy(halves + 2 * i, from + i * stride, 2);
    return lanes_load_f16(halves);
}

static inline void transpose_eight(__m256 x[8])
{
    __m256 y[8];
    for (int i = 0; i < 8; i += 4) {
        __m256 ab = _mm256_unpacklo_ps(x[i], x[i + 1]), cd = _mm256_unpacklo_ps(x[i + 2], x[i + 3]);
        __m256 ef = _mm256_unpackhi_ps(x[i], x[i + 1]), gh = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i] = _mm256_shuffle_ps(ab, cd, 0x44);
        y[i + 1] = _mm256_shuffle_ps(ab, cd, 0xee);
        y[i + 2] = _mm256_shuffle_ps(ef, gh, 0x44);
        y[i + 3] = _mm256_shuffle_ps(ef, gh, 0xee);
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x31);
    }
}

/* Quarter by quarter: the two beside the diagonal change places. */
static inline void lanes_transpose(lanes x[16])
{
    __m256 part[4][8];
    for (int i = 0; i < 8; i++) {
        part[0][i] = x[i].low;
        part[1][i] = x[i + 8].low;
        part[2][i] = x[i].high;
        part[3][i] = x[i + 8].high;
    }
    for (int p = 0; p < 4; p++)
        transpose_eight(part[p]);
    for (int i = 0; i < 8; i++) {
        x[i] = (lanes){part[0][i], part[1][i]};
        x[i + 8] = (lanes){part[2][i], part[3][i]};
    }
}

#define SCAN_ALIGN 32u

static inline void lanes_reduce4(const lanes x[4], float *to)
{
    for (int i = 0; i < 4; i++)
        to[i] = lanes_reduce(x[i]);
}

static inline void lanes_stream(float *to, lanes x)
{
    _mm256_stream_ps(to, x.low);
    _mm256_stream_ps(to + 8, x.high);
}

static inline void lanes_streamed(void)
{
    _mm_sfence();
}

#include "backends/cpu/kernels/state_lanes.h"

void lcpu_fill_avx2(lcpu_kernels *k)
{
    fill_f32(k);
    k->scan = scan;
    lcpu_fill_avx2_int8(k);
}
