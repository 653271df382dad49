/* cached.cuh - keys and values of the cache in shared memory: copying a tile of slots there, and
 * reading eight values at once. */
#ifndef LM_BACKENDS_CUDA_CACHED_CUH
#define LM_BACKENDS_CUDA_CACHED_CUH

#include "backends/cuda/kernels/math.cuh"

/* Slots of one piece: never across a page, whose tokens are 16 or more. */
#define LCU_RUN_SLOTS 16u

/* Where the pieces of a tile begin, by the first threads. Those with nothing visible: 0. */
LCU_DEV void lcu_find_tile(const lcu_run *run, const lcu_cache_view &c, uint32_t seq, uint32_t head,
                           uint32_t tile, uint32_t slots, uint32_t first, uint32_t end,
                           lcu_shared<uint64_t> bases)
{
    uint32_t pieces = slots / LCU_RUN_SLOTS, i = lcu_thread();
    if (i >= 2 * pieces)
        return;
    uint32_t at = tile + i % pieces * LCU_RUN_SLOTS;
    bool seen = at < end && at + LCU_RUN_SLOTS > first;
    bases[i] = seen ? (uint64_t)(uintptr_t)lcu_cache_at(run, c, i / pieces, seq, at, head) : 0;
}

/* Begins to copy one part of the tile; the caller commits and waits. Slots outside [first, end) are
 * left alone. */
LCU_DEV void lcu_copy_tile(const lcu_part &p, uint32_t tile, uint32_t slots, uint32_t first,
                           uint32_t end, lcu_shared<uint64_t> bases, lcu_shared<uint8_t> to)
{
    uint32_t stride = LCU_TILE_STRIDE(p.head_bytes);
    bool apart = p.head_bytes % 16 == 0;
    uint32_t unit = apart ? p.head_bytes / 16 : p.head_bytes; /* a slot's, or a whole piece's */
    uint32_t units = apart ? slots : slots / LCU_RUN_SLOTS;
    for (uint32_t i = lcu_thread(); i < units * unit; i += lcu_threads()) {
        uint32_t at = i / unit, chunk = i % unit * 16;
        uint32_t piece = apart ? at / LCU_RUN_SLOTS : at, in = apart ? at % LCU_RUN_SLOTS : 0;
        uint64_t base = bases[piece];
        if (base != 0 && (!apart || (tile + at >= first && tile + at < end)))
            lcu_copy_async16(to + (apart ? at : piece * LCU_RUN_SLOTS) * stride + chunk,
                             (const uint8_t *)(uintptr_t)base + in * p.token_stride + chunk, true);
    }
}

LCU_DEV void lcu_two_halves(uint32_t format, uint32_t word, float *v)
{
    if (format == LM_F16) {
        v[0] = lcu_from_f16((uint16_t)word);
        v[1] = lcu_from_f16((uint16_t)(word >> 16));
    } else {
        v[0] = lcu_float_of(word << 16);
        v[1] = lcu_float_of(word & 0xffff0000u);
    }
}

/* Values i to i + 7 of a head that is no whole number of eights: zeros behind its end. */
LCU_DEV void lcu_cached_tail(const lcu_part &p, lcu_shared<uint8_t> head, uint32_t i, float v[8])
{
    for (uint32_t j = 0; j < 8; j++) {
        v[j] = 0;
        if (i + j >= p.dim)
            continue;
        if (p.format == LM_F32) {
            v[j] = lcu_recast<float>(head)[i + j];
        } else if (p.format == LM_E4M3) {
            v[j] = lcu_from_e4m3(head[i + j]);
        } else {
            uint16_t bits = lcu_recast<uint16_t>(head)[i + j];
            v[j] = p.format == LM_F16 ? lcu_from_f16(bits) : lcu_from_bf16(bits);
        }
    }
}

/* Values i to i + 7 of a head, i a multiple of 8. */
LCU_DEV void lcu_cached8(const lcu_part &p, lcu_shared<uint8_t> head, uint32_t i, float v[8])
{
    uint32_t format = p.format;
    if (p.dim % 8 != 0) {
        lcu_cached_tail(p, head, i, v);
        return;
    }
    if (format == LM_F32) {
        lcu_shared<float4> fours = lcu_recast<float4>(head + i * 4);
        lcu_eight(fours[0], fours[1], v);
    } else if (format == LM_Q8_0) {
        lcu_shared<uint16_t> block = lcu_recast<uint16_t>(head + i / 32 * 34);
        float d = lcu_from_f16(block[0]);
        for (uint32_t j = 0; j < 4; j++) {
            uint16_t pair = block[1 + i % 32 / 2 + j];
            v[2 * j] = d * (float)(int8_t)pair;
            v[2 * j + 1] = d * (float)(int8_t)(pair >> 8);
        }
    } else if (format == LM_E4M3) {
        uint2 words = lcu_recast<uint2>(head + i)[0];
        lcu_two_halves(LM_F16, lcu_halves_of_e4m3(words.x), v);
        lcu_two_halves(LM_F16, lcu_halves_of_e4m3(words.x >> 16), v + 2);
        lcu_two_halves(LM_F16, lcu_halves_of_e4m3(words.y), v + 4);
        lcu_two_halves(LM_F16, lcu_halves_of_e4m3(words.y >> 16), v + 6);
    } else {
        uint4 words = lcu_recast<uint4>(head + i * 2)[0];
        lcu_two_halves(format, words.x, v);
        lcu_two_halves(format, words.y, v + 2);
        lcu_two_halves(format, words.z, v + 4);
        lcu_two_halves(format, words.w, v + 6);
    }
}

/* As 16 bits each. */
LCU_DEV uint4 lcu_pack8(const float v[8], bool bf16)
{
    uint32_t w[4];
    for (uint32_t i = 0; i < 4; i++)
        w[i] = bf16 ? lcu_pack_bf16(v[2 * i], v[2 * i + 1]) : lcu_pack_f16(v[2 * i], v[2 * i + 1]);
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* Eight values of a head that is not of 16 bits. */
LCU_DEV uint4 lcu_convert8(uint32_t format, const uint8_t *head, uint32_t i)
{
    float v[8];
    if (format == LM_E4M3) {
        uint2 w = *(const uint2 *)(head + i);
        return make_uint4(lcu_halves_of_e4m3(w.x), lcu_halves_of_e4m3(w.x >> 16),
                          lcu_halves_of_e4m3(w.y), lcu_halves_of_e4m3(w.y >> 16));
    }
    if (format == LM_F32) {
        for (uint32_t j = 0; j < 8; j++)
            v[j] = ((const float *)head)[i + j];
    } else { /* Q8_0 */
        const uint16_t *block = (const uint16_t *)(head + i / 32 * 34);
        float d = lcu_from_f16(block[0]);
        for (uint32_t j = 0; j < 8; j++)
            v[j] = d * (float)(int8_t)(block[1 + (i % 32 + j) / 2] >> (j % 2 * 8));
    }
    return lcu_pack8(v, false);
}

#endif
