// format.glsl - the storage formats, decoded four values at a time. FORMAT is specialisation
// constant 1; what belongs to other formats is gone when the driver has compiled a pipeline.
//
//   vec4 weights4(uint64_t row, uint i)     values i to i + 3 of the row at that address; i is a
//                                           multiple of four
//   float weight_at(uint64_t row, uint i)   value i
//
// F8_E4M3 is bytes under a step. All but it and the float formats are integers under a step and an offset that 32 neighbours share, or 16
// with STEP_OF_16, which is what integer dot products want:
//
//   uint codes4(row, i)         four signed bytes
//   codes32(row, i, codes)      eight times four; i is a multiple of 32
//   vec2 step_of(row, i)        value = x * code + y; y is 0 unless HAS_OFFSET
//   vec4 decoded(codes, step)   those values
//
// The values equal those of lib/quant bit for bit.
#ifndef FORMAT_GLSL
#define FORMAT_GLSL

#include "bytes.glsl"

layout(constant_id = 1) const uint FORMAT = 0;
layout(constant_id = 2) const bool ALIGNED = false; // rows of floats are multiples of eight values

// The numbers of lib/quant/quant.h.
const uint F32 = 0, F16 = 1, BF16 = 30;
const uint Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8;
const uint Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13, Q6_K = 14;
const uint IQ4_NL = 20, IQ4_XS = 23, MXFP4 = 39, NVFP4 = 40;
const uint F8_E4M3 = 1000;
const uint TQ1_0 = 34, TQ2_0 = 35;
const uint IQ2_XXS = 16, IQ2_XS = 17, IQ3_XXS = 18, IQ1_S = 19, IQ3_S = 21, IQ2_S = 22, IQ1_M = 29;

const bool IS_FLOAT = FORMAT == F32 || FORMAT == F16 || FORMAT == BF16;
const bool IS_LEGACY = FORMAT >= Q4_0 && FORMAT <= Q8_0;
const bool IS_K = FORMAT >= Q2_K && FORMAT <= Q6_K;
const bool IS_LEVELS = FORMAT == IQ4_NL || FORMAT == IQ4_XS || FORMAT == MXFP4 || FORMAT == NVFP4;
const bool IS_TERNARY = FORMAT == TQ1_0 || FORMAT == TQ2_0;
const bool HAS_OFFSET = FORMAT == Q4_1 || FORMAT == Q5_1 || FORMAT == Q2_K || FORMAT == Q4_K ||
                        FORMAT == Q5_K;
const bool STEP_OF_16 = FORMAT == Q2_K || FORMAT == Q3_K || FORMAT == Q6_K || FORMAT == NVFP4 ||
                        FORMAT == IQ1_M || FORMAT == IQ2_XS || FORMAT == IQ2_S;

#include "format_float.glsl"
#include "format_iq.glsl"
#include "format_k.glsl"
#include "format_legacy.glsl"
#include "format_levels.glsl"
#include "format_ternary.glsl"

uint64_t f8_block(uint64_t row, uint i) { return row + uint64_t(i / 128) * 132; }

uint codes4(uint64_t row, uint i)
{
    if (FORMAT == F8_E4M3)
        return word_at(f8_block(row, i) + 4 + i % 128);
    return IS_LEGACY    ? legacy_codes(row, i)
           : IS_K       ? k_codes(row, i)
           : IS_LEVELS  ? levels_codes(row, i)
           : IS_TERNARY ? ternary_codes(row, i)
                        : iq_codes(row, i);
}

// Those of a block of 32, in as few loads as its alignment allows.
void codes32(uint64_t row, uint i, out uint codes[8])
{
    if (FORMAT == Q4_K || FORMAT == Q5_K) {
        q4_k_codes32(k_block(row, i), i % 256, codes);
        return;
    }
    [[unroll]] for (uint j = 0; j < 8; j++)
        codes[j] = codes4(row, i + 4 * j);
}

vec2 step_of(uint64_t row, uint i)
{
    if (FORMAT == F8_E4M3)
        return vec2(f32_at(f8_block(row, i)), 0);
    return IS_LEGACY    ? legacy_step(row, i)
           : IS_K       ? k_step(row, i)
           : IS_LEVELS  ? levels_step(row, i)
           : IS_TERNARY ? ternary_step(row, i)
                        : iq_step(row, i);
}

vec4 decoded(uint codes, vec2 step)
{
    precise vec4 w = step.x * (FORMAT == F8_E4M3 ? e4m3_bytes(codes) : signed_bytes(codes));
    if (HAS_OFFSET)
        w = w + step.y;
    return w;
}

vec4 weights4(uint64_t row, uint i)
{
    return IS_FLOAT ? float_weights4(row, i) : decoded(codes4(row, i), step_of(row, i));
}

float weight_at(uint64_t row, uint i)
{
    return IS_FLOAT ? float_weight(row, i) : weights4(row, i / 4 * 4)[i % 4];
}

#endif
