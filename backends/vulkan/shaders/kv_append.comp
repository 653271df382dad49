// kv_append.comp - keys or values of each row into its place in the cache, in the cache's format: as the
// reference encoders of lib/quant write it, bit for bit. Keys may be turned on the way, as by rope.comp.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint FORMAT = 0; // numbers of lib/quant/quant.h

layout(constant_id = 2) const uint STYLE = 0;  // LM_ROPE_...

const uint NO_ROPE = 0, NEIGHBOURS = 1, HALVES = 2;
const uint F32 = 0, F16 = 1, Q8_0 = 8, BF16 = 30, E4M3 = 1001;

layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer Args {
    F32s from;
    uint heads, dim, group, page_tokens;
    uint offset, head_stride, token_stride;
    uint dims, sections[4]; // see rope.glsl
    float magnitude;
    uint padding;
    uint64_t turns[];
};
PUSH(Args);

#include "rope.glsl"

// Value d of a row's head.
float value_of(uint row, uint head, uint d)
{
    uint base = (row * push.args.heads + head) * push.args.dim, pairs = push.args.dims / 2;
    if (STYLE == NO_ROPE || d >= push.args.dims)
        return push.args.from.v[base + d];
    uint pair = STYLE == HALVES ? d % pairs : d / 2, apart = STYLE == HALVES ? pairs : 1;
    uint first = base + (STYLE == HALVES ? pair : 2 * pair);
    vec2 xy = turned(row, pair, push.args.from.v[first], push.args.from.v[first + apart]);
    return base + d == first ? xy.x : xy.y;
}

uint to_f16(float v)
{
    uint bits = floatBitsToUint(v), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return sign | 0x7e00u | (magnitude >> 13 & 0x3ffu);
    if (magnitude >= 0x477ff000u)
        return sign | 0x7c00u;
    if (magnitude < 0x38800000u) {
        // in units of 2^-24, rounded to even by hand: the device may not keep what is this small
        uint exponent = magnitude >> 23, mantissa = (magnitude & 0x7fffffu) | 0x800000u;
        uint shift = 126u - exponent;
        if (exponent == 0 || shift > 24u)
            return sign;
        uint whole = mantissa >> shift, rest = mantissa & ((1u << shift) - 1u), middle = 1u << (shift - 1u);
        return sign | (whole + (rest > middle || (rest == middle && (whole & 1u) != 0) ? 1u : 0u));
    }
    return sign | ((magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13);
}

uint to_bf16(float v)
{
    uint bits = floatBitsToUint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return bits >> 16 | 64u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

uint to_e4m3(float v)
{
    uint bits = floatBitsToUint(v), sign = bits >> 24 & 0x80u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return sign | 0x7fu;
    if (magnitude >= 0x43e00000u)
        return sign | 0x7eu;
    if (magnitude < 0x3c800000u) {
        // in units of 2^-9, rounded to even
        precise float shifted = uintBitsToFloat(magnitude) + 16384.0;
        return sign | (floatBitsToUint(shifted) - 0x46800000u);
    }
    return sign | min(0x7eu, (magnitude + 0x7ffffu + (magnitude >> 20 & 1u) - 0x3c000000u) >> 20);
}

// x cut into two numbers of half its digits.
vec2 halves(float x)
{
    precise float shifted = 4097.0 * x;
    precise float high = shifted - (shifted - x);
    precise float low = x - high;
    return vec2(high, low);
}

// a / b rounded as the processor does, whatever the device's own division is worth; nor need its
// fma be one, so that what q * b leaves of a is worked out in halves.
float divided(float a, float b)
{
    precise float q = a / b;
    vec2 x = halves(q), y = halves(b);
    precise float product = q * b;
    precise float lost = ((x.x * y.x - product) + x.x * y.y + x.y * y.x) + x.y * y.y;
    precise float rest = (a - product) - lost;
    precise float better = q + rest / b;
    return isinf(q) || isnan(better) ? q : better;
}

int round_code(float v)
{
    precise float safe = v > -65536.0 && v < 65536.0 ? v : 0.0;
    int whole = int(safe);
    precise float rest = safe - float(whole);
    return whole + int(rest >= 0.5) - int(rest <= -0.5);
}

// 32 values as a scale and signed bytes.
void put_q8_0(uint64_t at, uint row, uint head, uint first)
{
    float x[32];
    uint peak = 0;
    for (uint i = 0; i < 32; i++) {
        x[i] = value_of(row, head, first + i);
        peak = max(peak, floatBitsToUint(x[i]) & 0x7fffffffu);
    }
    float d = divided(uintBitsToFloat(peak), 127.0), inverse = d == 0 ? 0.0 : divided(1.0, d);
    U16s(at).v[0] = uint16_t(to_f16(d));
    for (uint i = 0; i < 32; i++) {
        precise float scaled = x[i] * inverse;
        U8s(at + 2).v[i] = uint8_t(round_code(scaled) & 255);
    }
}

// One value per invocation, or one block of them.
void main()
{
    uint block = FORMAT == Q8_0 ? 32 : 1, per_head = push.args.dim / block;
    uint row = gl_WorkGroupID.y, item = gl_WorkGroupID.x * LOCAL + gl_LocalInvocationID.x;
    if (row >= push.run.count[ROWS_ALL] || item >= per_head * push.args.heads)
        return;
    uint head = item / per_head, i = item % per_head;
    uint slot = push.run.slots.v[row], seq = push.run.row_seq.v[row];
    uint64_t pages = push.run.seqs.v[seq].groups[push.args.group].pages;
    uint first = push.run.seqs.v[seq].groups[push.args.group].first_page;
    uint64_t at = U64s(pages).v[slot / push.args.page_tokens - first] + push.args.offset +
                  uint64_t(slot % push.args.page_tokens) * push.args.token_stride +
                  uint64_t(head) * push.args.head_stride;
    if (FORMAT == F32)
        F32s(at).v[i] = value_of(row, head, i);
    else if (FORMAT == F16)
        U16s(at).v[i] = uint16_t(to_f16(value_of(row, head, i)));
    else if (FORMAT == BF16)
        U16s(at).v[i] = uint16_t(to_bf16(value_of(row, head, i)));
    else if (FORMAT == E4M3)
        U8s(at).v[i] = uint8_t(to_e4m3(value_of(row, head, i)));
    else
        put_q8_0(at + i * 34, row, head, i * 32);
}
