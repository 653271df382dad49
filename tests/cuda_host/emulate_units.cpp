/* emulate_units.cpp - number formats, asynchronous copies and tensor cores of the emulation. */
#include "emulate.h"

#include <vector>

/* --- number formats --------------------------------------------------------------------------------- */

static float from_small(uint32_t bits, int exponent_bits, int mantissa_bits, bool infinities)
{
    uint32_t sign = bits >> (exponent_bits + mantissa_bits) & 1;
    uint32_t exponent = bits >> mantissa_bits & ((1u << exponent_bits) - 1);
    uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    int bias = (1 << (exponent_bits - 1)) - 1;
    float v;
    if (infinities && exponent == (1u << exponent_bits) - 1)
        v = mantissa == 0 ? INFINITY : NAN;
    else if (!infinities && exponent == (1u << exponent_bits) - 1 &&
             mantissa == (1u << mantissa_bits) - 1)
        v = NAN; /* E4M3 has one */
    else if (exponent == 0)
        v = std::ldexp((float)mantissa, 1 - bias - mantissa_bits);
    else
        v = std::ldexp((float)(mantissa | 1u << mantissa_bits), (int)exponent - bias - mantissa_bits);
    return sign ? -v : v;
}

/* Round to nearest even into a format with `mantissa_bits`; `largest` is where it ends. */
static float rounded(float v, int bias, int mantissa_bits)
{
    int exponent;
    if (v == 0 || !std::isfinite(v))
        return v;
    std::frexp(v, &exponent);
    exponent = exponent - 1 < 1 - bias ? 1 - bias : exponent - 1;
    return (float)std::ldexp(std::nearbyint(std::ldexp((double)v, mantissa_bits - exponent)),
                             exponent - mantissa_bits);
}

static uint32_t to_small(float v, int exponent_bits, int mantissa_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, exponent;
    uint32_t sign = std::signbit(v) ? 1u << (exponent_bits + mantissa_bits) : 0;
    v = std::fabs(v);
    if (v == 0)
        return sign;
    std::frexp(v, &exponent);
    exponent--;
    if (exponent < 1 - bias)
        return sign | (uint32_t)std::ldexp(v, bias - 1 + mantissa_bits);
    uint32_t mantissa = (uint32_t)std::ldexp(v, mantissa_bits - exponent) & ((1u << mantissa_bits) - 1);
    return sign | (uint32_t)(exponent + bias) << mantissa_bits | mantissa;
}

float lcu_from_f16(uint16_t bits) { return from_small(bits, 5, 10, true); }

uint16_t lcu_to_f16(float v)
{
    if (std::isnan(v))
        return 0x7fff;
    float r = rounded(v, 15, 10);
    if (std::fabs(r) > 65504.0f)
        return std::signbit(v) ? 0xfc00 : 0x7c00;
    return (uint16_t)to_small(r, 5, 10);
}

uint16_t lcu_to_bf16(float v)
{
    if (std::isnan(v))
        return 0x7fff;
    uint32_t bits = lcu_bits_of(v);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float lcu_from_e4m3(uint8_t bits) { return from_small(bits, 4, 3, false); }

uint8_t lcu_to_e4m3(float v)
{
    if (std::isnan(v))
        return 0x7f;
    float r = rounded(v, 7, 3);
    if (std::fabs(r) > 448)
        r = std::copysign(448.0f, v);
    return (uint8_t)to_small(r, 4, 3);
}

/* --- asynchronous copies ----------------------------------------------------------------------------- */

struct copy {
    uint32_t group, offset;
    const void *from;
    bool there;
};
static std::vector<copy> copies[EMU_THREADS]; /* of each thread */

void emu_copy_async(uint32_t offset, const void *from, bool there)
{
    if (there)
        emu_check_aligned(from, 16);
    copies[emu.self->index].push_back({emu.self->groups, offset, from, there});
    emu.self->copies++;
}

void emu_copy_commit()
{
    emu.self->groups++;
}

void emu_copy_wait(uint32_t left)
{
    emu_thread *me = emu.self;
    std::vector<copy> &own = copies[me->index];
    size_t done = 0;
    for (; done < own.size() && own[done].group + left < me->groups; done++) {
        copy c = own[done];
        uint4 v = {0, 0, 0, 0};
        if (c.there)
            std::memcpy(&v, c.from, sizeof v);
        emu_cell<uint4>(c.offset).put(v);
        me->copies--;
    }
    own.erase(own.begin(), own.begin() + (std::ptrdiff_t)done);
}

void emu_forget_copies()
{
    for (std::vector<copy> &own : copies)
        own.clear();
}

/* --- tensor cores --------------------------------------------------------------------------------------- */

/* What each lane brings: its registers of a and b. */
struct fragment {
    uint32_t a[4], b[2];
};

static void exchange(const uint32_t a[4], const uint32_t b[2])
{
    fragment mine;
    std::memcpy(mine.a, a, sizeof mine.a);
    std::memcpy(mine.b, b, sizeof mine.b);
    emu_exchange(EMU_MMA, &mine, sizeof mine);
}

static const fragment &of(uint32_t lane)
{
    return *(const fragment *)emu_peer(lane);
}

/* a is 16 x 16 halves: lane 4 * (row % 8) + k % 8 / 2 holds the pair, in register
 * row / 8 + 2 * (k / 8). b is 16 x 8: lane 4 * column + k % 8 / 2, register k / 8. */
static uint16_t half_a(uint32_t row, uint32_t k)
{
    uint32_t word = of(row % 8 * 4 + k % 8 / 2).a[row / 8 + k / 8 * 2];
    return (uint16_t)(word >> k % 2 * 16);
}

static uint16_t half_b(uint32_t k, uint32_t column)
{
    uint32_t word = of(column * 4 + k % 8 / 2).b[k / 8];
    return (uint16_t)(word >> k % 2 * 16);
}

/* Row and column of this lane's result i. */
static uint32_t row_of(int i) { return lcu_lane() / 4 + (uint32_t)(i / 2) * 8; }
static uint32_t column_of(int i) { return lcu_lane() % 4 * 2 + (uint32_t)(i % 2); }

template <class F>
static void mma_half(float d[4], const uint32_t a[4], const uint32_t b[2], F to_float)
{
    exchange(a, b);
    for (int i = 0; i < 4; i++) {
        float sum = 0;
        for (uint32_t k = 0; k < 16; k++)
            sum = std::fmaf(to_float(half_a(row_of(i), k)), to_float(half_b(k, column_of(i))), sum);
        d[i] += sum;
    }
}

void lcu_mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    mma_half(d, a, b, lcu_from_bf16);
}

void lcu_mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    mma_half(d, a, b, lcu_from_f16);
}

/* a is 16 x 32 bytes: lane 4 * (row % 8) + k % 16 / 4 holds four, in register
 * row / 8 + 2 * (k / 16). b is 32 x 8: lane 4 * column + k % 16 / 4, register k / 16. */
void lcu_mma_s8(int32_t d[4], const uint32_t a[4], const uint32_t b[2])
{
    exchange(a, b);
    for (int i = 0; i < 4; i++) {
        for (uint32_t k = 0; k < 32; k++) {
            uint32_t wa = of(row_of(i) % 8 * 4 + k % 16 / 4).a[row_of(i) / 8 + k / 16 * 2];
            uint32_t wb = of(column_of(i) * 4 + k % 16 / 4).b[k / 16];
            d[i] += (int8_t)(wa >> k % 4 * 8) * (int8_t)(wb >> k % 4 * 8);
        }
    }
}

void emu_ldmatrix(uint32_t d[4], uint32_t offset, bool transposed)
{
    if (offset % 16 != 0)
        emu_fail("a row of ldmatrix is not aligned to 16 bytes");
    emu_exchange(EMU_MATRIX, &offset, sizeof offset);
    uint32_t lane = lcu_lane();
    for (uint32_t m = 0; m < 4; m++) {
        uint16_t pair[2];
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t row = transposed ? lane % 4 * 2 + i : lane / 4;
            uint32_t column = transposed ? lane / 4 : lane % 4 * 2 + i;
            uint32_t at;
            std::memcpy(&at, emu_peer(m * 8 + row), sizeof at);
            pair[i] = emu_cell<uint16_t>(at + column * 2);
        }
        d[m] = pair[0] | (uint32_t)pair[1] << 16;
    }
}
