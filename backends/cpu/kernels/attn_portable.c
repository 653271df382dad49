/* attn_portable.c - attention for any processor: sixteen lanes are four vectors of four. */
#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/vec.h"

typedef lcpu_lanes lanes;

#define SCORE_Q 2
#define SCORE_V 1
#define MIX_Q   2
#define MIX_V   1

static inline lanes lanes_set(float x)
{
    lcpu_v4 v = {x, x, x, x};
    return (lanes){v, v, v, v};
}

static inline lanes lanes_zero(void)
{
    return lanes_set(0);
}

static inline lanes lanes_load(const float *x)
{
    return lcpu_load16(x);
}

static inline void lanes_store(float *to, lanes x)
{
    memcpy(to, &x, sizeof x);
}

static inline lanes lanes_add(lanes x, lanes y)
{
    return (lanes){x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
}

static inline lanes lanes_sub(lanes x, lanes y)
{
    return (lanes){x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d};
}

static inline lanes lanes_mul(lanes x, lanes y)
{
    return (lanes){x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d};
}

static inline lanes lanes_mac(lanes x, lanes y, lanes sum)
{
    return lcpu_mac16(sum, x, y);
}

static inline lcpu_v4 four_of(lcpu_u4 which, lcpu_v4 x, lcpu_v4 y)
{
    return (lcpu_v4)((which & (lcpu_u4)x) | (~which & (lcpu_u4)y));
}

static inline lcpu_v4 four_larger(lcpu_v4 x, lcpu_v4 y)
{
    return four_of((lcpu_u4)(x > y), x, y);
}

static inline lanes lanes_max(lanes x, lanes y)
{
    return (lanes){four_larger(x.a, y.a), four_larger(x.b, y.b), four_larger(x.c, y.c),
                   four_larger(x.d, y.d)};
}

static inline lcpu_v4 four_picked(uint32_t bits, lcpu_v4 x, lcpu_v4 y)
{
    lcpu_u4 each = {1, 2, 4, 8}, set = {bits, bits, bits, bits};
    return four_of((lcpu_u4)((set & each) == each), x, y);
}

static inline lanes lanes_pick(uint32_t bits, lanes x, lanes y)
{
    return (lanes){four_picked(bits, x.a, y.a), four_picked(bits >> 4, x.b, y.b),
                   four_picked(bits >> 8, x.c, y.c), four_picked(bits >> 12, x.d, y.d)};
}

static inline lanes lanes_load_f16(const uint8_t *from)
{
    float x[16];
    lcpu_portable_f16_decode(from, x, 16);
    return lanes_load(x);
}

static inline lanes lanes_gather_f16(const uint8_t *from, size_t stride)
{
    uint8_t halves[32];
    for (int i = 0; i < 16; i++)
        memcpy(halves + 2 * i, from + i * stride, 2);
    return lanes_load_f16(halves);
}

static inline float lanes_largest(lanes x)
{
    lcpu_v4 m = four_larger(four_larger(x.a, x.b), four_larger(x.c, x.d));
    float low = m[0] > m[1] ? m[0] : m[1], high = m[2] > m[3] ? m[2] : m[3];
    return low > high ? low : high;
}

static inline lcpu_v4 four_exponents(lcpu_v4 shifted)
{
    return (lcpu_v4)(((lcpu_u4)shifted - LCPU_EXP_ONE) << 23);
}

static inline lanes lanes_exponent(lanes shifted)
{
    return (lanes){four_exponents(shifted.a), four_exponents(shifted.b), four_exponents(shifted.c),
                   four_exponents(shifted.d)};
}

static inline lanes lanes_load_bf16(const uint8_t *from)
{
    float x[16];
    lcpu_portable_bf16_decode(from, x, 16);
    return lanes_load(x);
}

static inline lanes lanes_load_i8(const int8_t *from)
{
    float x[16];
    for (int i = 0; i < 16; i++)
        x[i] = from[i];
    return lanes_load(x);
}

static inline lanes lanes_load_e4m3(const uint8_t *from)
{
    float x[16];
    lcpu_portable_e4m3_decode(from, x, 16);
    return lanes_load(x);
}

static inline lanes lanes_set_f16(const void *from)
{
    uint16_t bits;
    memcpy(&bits, from, sizeof bits);
    return lanes_set(lm_f16_to_f32(bits));
}

static inline void lanes_transpose(lanes x[16])
{
    float from[16][16], to[16][16];
    memcpy(from, x, sizeof from);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            to[j][i] = from[i][j];
    memcpy(x, to, sizeof to);
}

#include "backends/cpu/kernels/attn_lanes.h"

void lcpu_fill_portable_attn(lcpu_kernels *k)
{
    attn_fill(k);
}
