/* q_float.c - formats without blocks: the floats, and the integer types that files may carry but
 * that no computation uses. Their layout is that of the C type, unaligned. */
#include "quant/families.h"

#include "base/bytes.h"
#include "base/half.h"

static void f32_decode(const void *blocks, float *values, size_t count)
{
    memcpy(values, blocks, count * sizeof *values);
}

static void f32_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    memcpy(blocks, values, count * sizeof *values);
}

static void f16_decode(const void *blocks, float *values, size_t count)
{
    const uint8_t *at = blocks;
    for (size_t i = 0; i < count; i++)
        values[i] = lm_f16_to_f32(lm_load_u16(at + 2 * i));
}

static void f16_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    uint8_t *at = blocks;
    for (size_t i = 0; i < count; i++)
        lm_store_u16(at + 2 * i, lm_f32_to_f16(values[i]));
}

static void bf16_decode(const void *blocks, float *values, size_t count)
{
    const uint8_t *at = blocks;
    for (size_t i = 0; i < count; i++)
        values[i] = lm_bf16_to_f32(lm_load_u16(at + 2 * i));
}

static void bf16_encode(const float *values, const float *importance, void *blocks, size_t count)
{
    (void)importance;
    uint8_t *at = blocks;
    for (size_t i = 0; i < count; i++)
        lm_store_u16(at + 2 * i, lm_f32_to_bf16(values[i]));
}

const lm_format lm_formats_float[] = {
    {LM_F32, "f32", 1, 4, f32_decode, f32_encode},
    {LM_F16, "f16", 1, 2, f16_decode, f16_encode},
    {LM_BF16, "bf16", 1, 2, bf16_decode, bf16_encode},
    {LM_I8, "i8", 1, 1, NULL, NULL},
    {LM_I16, "i16", 1, 2, NULL, NULL},
    {LM_I32, "i32", 1, 4, NULL, NULL},
    {LM_I64, "i64", 1, 8, NULL, NULL},
    {LM_F64, "f64", 1, 8, NULL, NULL},
    {0},
};
