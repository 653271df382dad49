/* pack_blocks.c - the blocks of the file's formats, taken apart into the planes of layouts.h. */
#include "backends/cuda/pack.h"

#include "quant/q_2k.h"
#include "quant/q_3k.h"
#include "quant/q_5k.h"
#include "quant/q_6k.h"
#include "quant/q_fp4.h"
#include "quant/q_fp8.h"
#include "quant/q_iq4.h"
#include "quant/q_legacy.h"

#include <stddef.h>
#include <string.h>

const lcu_layout lcu_layouts[LCU_LAYOUT_COUNT] = {
#define X(name, low, high, scale_bytes, head_bytes, head_values, ...)                              \
    {LM_##name, low, high, scale_bytes, head_bytes, head_values},
    LCU_LAYOUTS(X)
#undef X
};

/* --- codes: the 32 of a group, whole --------------------------------------------------------------- */

static void nibbles(const uint8_t *q, uint8_t *codes)
{
    for (int j = 0; j < 16; j++) {
        codes[j] = q[j] & 15;
        codes[j + 16] = q[j] >> 4;
    }
}

static void add_bits(const uint8_t *high, uint8_t *codes)
{
    uint32_t bits = lm_load_u32(high);
    for (int j = 0; j < 32; j++)
        codes[j] |= (uint8_t)((bits >> j & 1) << 4);
}

static void codes_q4_0(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    (void)group;
    nibbles(((const lm_block_q4_0 *)block)->q, codes);
}

static void codes_q4_1(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    (void)group;
    nibbles(((const lm_block_q4_1 *)block)->q, codes);
}

static void codes_q5_0(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    const lm_block_q5_0 *b = (const void *)block;
    (void)group;
    nibbles(b->q, codes);
    add_bits(b->high, codes);
}

static void codes_q5_1(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    const lm_block_q5_1 *b = (const void *)block;
    (void)group;
    nibbles(b->q, codes);
    add_bits(b->high, codes);
}

static void codes_q8_0(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    (void)group;
    memcpy(codes, ((const lm_block_q8_0 *)block)->q, 32);
}

static void codes_f8_e4m3(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    memcpy(codes, ((const lm_block_f8_e4m3 *)block)->q + 32 * group, 32);
}

static void codes_mxfp4(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    (void)group;
    nibbles(((const lm_block_mxfp4 *)block)->q, codes);
}

static void codes_iq4_xs(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    nibbles(((const lm_block_iq4_xs *)block)->q + 16 * group, codes);
}

static void codes_q4_k(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    const uint8_t *q = ((const lm_block_q4_k *)block)->q + group / 2 * 32;
    for (int l = 0; l < 32; l++)
        codes[l] = q[l] >> (group % 2 * 4) & 15;
}

static void codes_q5_k(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    const lm_block_q5_k *b = (const void *)block;
    const uint8_t *q = b->q + group / 2 * 32;
    for (int l = 0; l < 32; l++)
        codes[l] = (uint8_t)((q[l] >> (group % 2 * 4) & 15) | (b->high[l] >> group & 1) << 4);
}

static void codes_q6_k(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    const lm_block_q6_k *b = (const void *)block;
    uint32_t h = group / 4, j = group % 4;
    const uint8_t *low = b->low + 64 * h + 32 * (j % 2), *high = b->high + 32 * h;
    for (int l = 0; l < 32; l++)
        codes[l] = (uint8_t)((low[l] >> (j / 2 * 4) & 15) | (high[l] >> (2 * j) & 3) << 4);
}

static void codes_q3_k(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    const lm_block_q3_k *b = (const void *)block;
    const uint8_t *q = b->q + group / 4 * 32;
    for (int l = 0; l < 32; l++)
        codes[l] = (uint8_t)((q[l] >> (group % 4 * 2) & 3) | (b->high[l] >> group & 1) << 2);
}

static void codes_q2_k(const uint8_t *block, uint32_t group, uint8_t *codes)
{
    const uint8_t *q = ((const lm_block_q2_k *)block)->q + group / 4 * 32;
    for (int l = 0; l < 32; l++)
        codes[l] = q[l] >> (group % 4 * 2) & 3;
}

/* --- what a block has beside its codes -------------------------------------------------------------- */

static void scales_q6_k(const uint8_t *block, uint8_t *to)
{
    memcpy(to, ((const lm_block_q6_k *)block)->scale, 16);
}

static void scales_q3_k(const uint8_t *block, uint8_t *to)
{
    for (int g = 0; g < 16; g++)
        to[g] = (uint8_t)lm_q3_k_scale(((const lm_block_q3_k *)block)->scale, g);
}

static void scales_q2_k(const uint8_t *block, uint8_t *to)
{
    memcpy(to, ((const lm_block_q2_k *)block)->scale, 16);
}

static void scales_iq4_xs(const uint8_t *block, uint8_t *to)
{
    for (int g = 0; g < 8; g++)
        to[g] = (uint8_t)lm_iq4_xs_scale((const lm_block_iq4_xs *)block, g);
}

/* Q4_K and Q5_K begin alike. */
static void head_k(const uint8_t *block, uint8_t *to)
{
    const lm_block_q4_k *b = (const void *)block;
    uint32_t scales = 0, offsets = 0, tops = 0;
    for (int g = 0; g < 8; g++) {
        uint8_t scale, offset;
        lm_q4_k_scale(b->scale, g, &scale, &offset);
        scales |= (uint32_t)(scale & 15) << (4 * g);
        offsets |= (uint32_t)(offset & 15) << (4 * g);
        tops |= (uint32_t)(scale >> 4) << (2 * g) | (uint32_t)(offset >> 4) << (16 + 2 * g);
    }
    memcpy(to, block, 4);
    lm_store_u32(to + 4, scales);
    lm_store_u32(to + 8, offsets);
    lm_store_u32(to + 12, tops);
}

/* --- the table --------------------------------------------------------------------------------------- */

/* `head` NULL: the bytes from `head_at` on as they are. */
static const struct {
    void (*codes)(const uint8_t *block, uint32_t group, uint8_t *codes);
    void (*scales)(const uint8_t *block, uint8_t *to);
    void (*head)(const uint8_t *block, uint8_t *to);
    size_t head_at;
} blocks[LCU_LAYOUT_COUNT] = {
    [LCU_LAYOUT_F8_E4M3] = {codes_f8_e4m3, NULL, NULL, offsetof(lm_block_f8_e4m3, d)},
    [LCU_LAYOUT_Q8_0] = {codes_q8_0, NULL, NULL, offsetof(lm_block_q8_0, d)},
    [LCU_LAYOUT_Q4_0] = {codes_q4_0, NULL, NULL, offsetof(lm_block_q4_0, d)},
    [LCU_LAYOUT_Q5_0] = {codes_q5_0, NULL, NULL, offsetof(lm_block_q5_0, d)},
    [LCU_LAYOUT_Q4_1] = {codes_q4_1, NULL, NULL, offsetof(lm_block_q4_1, d)},
    [LCU_LAYOUT_Q5_1] = {codes_q5_1, NULL, NULL, offsetof(lm_block_q5_1, d)},
    [LCU_LAYOUT_IQ4_NL] = {codes_q4_0, NULL, NULL, offsetof(lm_block_iq4_nl, d)},
    [LCU_LAYOUT_MXFP4] = {codes_mxfp4, NULL, NULL, offsetof(lm_block_mxfp4, scale)},
    [LCU_LAYOUT_Q4_K] = {codes_q4_k, NULL, head_k, 0},
    [LCU_LAYOUT_Q5_K] = {codes_q5_k, NULL, head_k, 0},
    [LCU_LAYOUT_Q6_K] = {codes_q6_k, scales_q6_k, NULL, offsetof(lm_block_q6_k, d)},
    [LCU_LAYOUT_Q3_K] = {codes_q3_k, scales_q3_k, NULL, offsetof(lm_block_q3_k, d)},
    [LCU_LAYOUT_Q2_K] = {codes_q2_k, scales_q2_k, NULL, offsetof(lm_block_q2_k, d)},
    [LCU_LAYOUT_IQ4_XS] = {codes_iq4_xs, scales_iq4_xs, NULL, offsetof(lm_block_iq4_xs, d)},
};

void lcu_pack_low(uint32_t layout, const uint8_t *block, uint32_t group, uint8_t *to)
{
    uint8_t codes[32];
    blocks[layout].codes(block, group, codes);
    switch (lcu_layouts[layout].low) {
    case 8:
        memcpy(to, codes, 32);
        return;
    case 4:
        for (int j = 0; j < 16; j++)
            to[j] = (uint8_t)((codes[j] & 15) | codes[j + 16] << 4);
        return;
    default:
        for (int j = 0; j < 8; j++) {
            const uint8_t *c = codes + j / 4 * 16 + j % 4;
            to[j] = (uint8_t)((c[0] & 3) | (c[4] & 3) << 2 | (c[8] & 3) << 4 | (c[12] & 3) << 6);
        }
    }
}

void lcu_pack_high(uint32_t layout, const uint8_t *block, uint32_t group, uint8_t *to)
{
    uint8_t codes[32];
    uint32_t low = lcu_layouts[layout].low;
    blocks[layout].codes(block, group, codes);
    if (lcu_layouts[layout].high == 2) {
        for (int j = 0; j < 8; j++) {
            const uint8_t *c = codes + j / 4 * 16 + j % 4;
            to[j] =
                (uint8_t)(c[0] >> low | c[4] >> low << 2 | c[8] >> low << 4 | c[12] >> low << 6);
        }
        return;
    }
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (uint32_t)(codes[i] >> low & 1) << (i % 4 * 8 + i / 4);
    lm_store_u32(to, bits);
}

void lcu_pack_scales(uint32_t layout, const uint8_t *block, uint8_t *to)
{
    blocks[layout].scales(block, to);
}

void lcu_pack_head(uint32_t layout, const uint8_t *block, uint8_t *to)
{
    if (blocks[layout].head != NULL)
        blocks[layout].head(block, to);
    else
        memcpy(to, block + blocks[layout].head_at, lcu_layouts[layout].head_bytes);
}
