/* f32_neon.c - the f32 kernels with NEON, which every 64-bit ARM processor has: sixteen lanes are
 * four registers. */
#define LCPU_FUSED
#include "backends/cpu/kernels/math.h"

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

typedef struct lanes {
    float32x4_t a, b, c, d;
} lanes;

/* 32 registers: of each tile, the sums, one row of weights, keys or values, and one factor. */
#define TILE_W  2
#define TILE_X  2
#define TURN_P  1
#define TURN_X  6
#define SCORE_Q 5
#define SCORE_V 1
#define MIX_Q   5
#define MIX_V   1

static inline lanes lanes_set(float x)
{
    float32x4_t v = vdupq_n_f32(x);
    return (lanes){v, v, v, v};
}

static inline lanes lanes_zero(void)
{
    return lanes_set(0);
}

static inline lanes lanes_load(const float *x)
{
    return (lanes){vld1q_f32(x), vld1q_f32(x + 4), vld1q_f32(x + 8), vld1q_f32(x + 12)};
}

static inline lanes lanes_load_some(const float *x, uint32_t count)
{
    float padded[16] = {0};
    memcpy(padded, x, count * sizeof *x);
    return lanes_load(padded);
}

static inline void lanes_store(float *to, lanes x)
{
    vst1q_f32(to, x.a);
    vst1q_f32(to + 4, x.b);
    vst1q_f32(to + 8, x.c);
    vst1q_f32(to + 12, x.d);
}

static inline lanes lanes_add(lanes x, lanes y)
{
    return (lanes){vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b), vaddq_f32(x.c, y.c),
                   vaddq_f32(x.d, y.d)};
}

static inline lanes lanes_sub(lanes x, lanes y)
{
    return (lanes){vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b), vsubq_f32(x.c, y.c),
                   vsubq_f32(x.d, y.d)};
}

static inline lanes lanes_mul(lanes x, lanes y)
{
    return (lanes){vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b), vmulq_f32(x.c, y.c),
                   vmulq_f32(x.d, y.d)};
}

static inline lanes lanes_mac(lanes x, lanes y, lanes sum)
{
    return (lanes){vfmaq_f32(sum.a, x.a, y.a), vfmaq_f32(sum.b, x.b, y.b),
                   vfmaq_f32(sum.c, x.c, y.c), vfmaq_f32(sum.d, x.d, y.d)};
}

/* x > y ? x : y, so y when x is NaN. */
static inline float32x4_t four_larger(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcgtq_f32(x, y), x, y);
}

static inline lanes lanes_max(lanes x, lanes y)
{
    return (lanes){four_larger(x.a, y.a), four_larger(x.b, y.b), four_larger(x.c, y.c),
                   four_larger(x.d, y.d)};
}

static inline float32x4_t four_picked(uint32_t bits, float32x4_t x, float32x4_t y)
{
    static const uint32_t each[4] = {1, 2, 4, 8};
    return vbslq_f32(vtstq_u32(vdupq_n_u32(bits), vld1q_u32(each)), x, y);
}

static inline lanes lanes_pick(uint32_t bits, lanes x, lanes y)
{
    return (lanes){four_picked(bits, x.a, y.a), four_picked(bits >> 4, x.b, y.b),
                   four_picked(bits >> 8, x.c, y.c), four_picked(bits >> 12, x.d, y.d)};
}

static inline float lanes_largest(lanes x)
{
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.b), vmaxq_f32(x.c, x.d)));
}

static inline float32x4_t four_exponents(float32x4_t shifted)
{
    uint32x4_t bits = vreinterpretq_u32_f32(shifted);
    return vreinterpretq_f32_u32(vshlq_n_u32(vsubq_u32(bits, vdupq_n_u32(LCPU_EXP_ONE)), 23));
}

static inline lanes lanes_exponent(lanes shifted)
{
    return (lanes){four_exponents(shifted.a), four_exponents(shifted.b), four_exponents(shifted.c),
                   four_exponents(shifted.d)};
}

static inline float lanes_reduce(lanes x)
{
    float32x4_t four = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(vpadd_f32(two, two), 0);
}

/* Bytes, for what is mapped has no alignment. */
static inline uint16x8_t eight_halves(const uint8_t *from)
{
    return vreinterpretq_u16_u8(vld1q_u8(from));
}

static inline float32x4_t four_f16(uint16x4_t x)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(x));
}

static inline lanes lanes_load_f16(const uint8_t *from)
{
    uint16x8_t x = eight_halves(from), y = eight_halves(from + 16);
    return (lanes){four_f16(vget_low_u16(x)), four_f16(vget_high_u16(x)), four_f16(vget_low_u16(y)),
                   four_f16(vget_high_u16(y))};
}

static inline float32x4_t four_bf16(uint16x4_t x)
{
    return vreinterpretq_f32_u32(vshll_n_u16(x, 16));
}

static inline lanes lanes_load_bf16(const uint8_t *from)
{
    uint16x8_t x = eight_halves(from), y = eight_halves(from + 16);
    return (lanes){four_bf16(vget_low_u16(x)), four_bf16(vget_high_u16(x)),
                   four_bf16(vget_low_u16(y)), four_bf16(vget_high_u16(y))};
}

static inline lanes lanes_load_i8(const int8_t *from)
{
    int8x16_t bytes = vld1q_s8(from);
    int16x8_t x = vmovl_s8(vget_low_s8(bytes)), y = vmovl_s8(vget_high_s8(bytes));
    return (lanes){
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(x))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(x))),
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(y))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(y)))};
}

/* As the halves that they are under a bias of 15: 2^-8 of their value. NaN gets the topmost bit. */
static inline uint16x8_t eight_e4m3(int8x8_t bytes)
{
    int16x8_t moved = vshll_n_s8(bytes, 7);
    uint16x8_t half = vandq_u16(vreinterpretq_u16_s16(moved), vdupq_n_u16(0xbf80));
    uint16x8_t carry = vaddq_u16(half, vdupq_n_u16(0x80));
    return vorrq_u16(half, vandq_u16(carry, vdupq_n_u16(0x4000)));
}

static inline lanes lanes_load_e4m3(const uint8_t *from)
{
    int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(from));
    uint16x8_t x = eight_e4m3(vget_low_s8(bytes)), y = eight_e4m3(vget_high_s8(bytes));
    lanes halves = {four_f16(vget_low_u16(x)), four_f16(vget_high_u16(x)),
                    four_f16(vget_low_u16(y)), four_f16(vget_high_u16(y))};
    return lanes_mul(halves, lanes_set(256.0f));
}

static inline lanes lanes_set_f16(const void *from)
{
    uint16_t bits;
    memcpy(&bits, from, sizeof bits);
    float32x4_t v = four_f16(vdup_n_u16(bits));
    return (lanes){v, v, v, v};
}

/* Sixteen halves `stride` bytes apart. */
static inline lanes lanes_gather_f16(const uint8_t *from, size_t stride)
{
    uint8_t halves[32];
    for (int i = 0; i < 16; i++)
        memcpy(halves + 2 * i, from + i * stride, 2);
    return lanes_load_f16(halves);
}

static inline float32x4_t joined(float32x4_t x, float32x4_t y, int high)
{
    return high != 0 ? vcombine_f32(vget_high_f32(x), vget_high_f32(y))
                     : vcombine_f32(vget_low_f32(x), vget_low_f32(y));
}

static inline void transpose_four(float32x4_t x[4])
{
    float32x4x2_t t = vtrnq_f32(x[0], x[1]), u = vtrnq_f32(x[2], x[3]);
    x[0] = joined(t.val[0], u.val[0], 0);
    x[1] = joined(t.val[1], u.val[1], 0);
    x[2] = joined(t.val[0], u.val[0], 1);
    x[3] = joined(t.val[1], u.val[1], 1);
}

/* Sixteenth by sixteenth, each to its mirrored place. */
static inline void lanes_transpose(lanes x[16])
{
    float32x4_t part[4][4][4]; /* [rows / 4][columns / 4] */
    for (int i = 0; i < 16; i++) {
        part[i / 4][0][i % 4] = x[i].a;
        part[i / 4][1][i % 4] = x[i].b;
        part[i / 4][2][i % 4] = x[i].c;
        part[i / 4][3][i % 4] = x[i].d;
    }
    for (int i = 0; i < 16; i++)
        transpose_four(part[i / 4][i % 4]);
    for (int i = 0; i < 16; i++)
        x[i] = (lanes){part[0][i / 4][i % 4], part[1][i / 4][i % 4], part[2][i / 4][i % 4],
                       part[3][i / 4][i % 4]};
}

#define SCAN_ALIGN 4u

static inline void lanes_reduce4(const lanes x[4], float *to)
{
    for (int i = 0; i < 4; i++)
        to[i] = lanes_reduce(x[i]);
}

static inline void lanes_stream(float *to, lanes x)
{
    lanes_store(to, x);
}

static inline void lanes_streamed(void) {}

#include "backends/cpu/kernels/state_lanes.h"

void lcpu_fill_neon(lcpu_kernels *k)
{
    fill_f32(k);
    k->scan = scan;
}
