/* heads.cuh - what is done with one head of one row once it is multiplied: norm, rotation, storing. */
#ifndef LM_BACKENDS_CUDA_HEADS_CUH
#define LM_BACKENDS_CUDA_HEADS_CUH

#include "backends/cuda/kernels/norm.cuh"

/* --- rotation ---------------------------------------------------------------------------------------- */

/* Where pair d of a head lies. */
LCU_DEV uint32_t pair_first(uint32_t style, uint32_t d)
{
    return style == LM_ROPE_PAIRS ? 2 * d : d;
}
LCU_DEV uint32_t pair_second(uint32_t style, uint32_t d, uint32_t half)
{
    return style == LM_ROPE_PAIRS ? 2 * d + 1 : d + half;
}

/* --- the cache ------------------------------------------------------------------------------------- */

/* One block of 32 values as Q8_0, a warp together: a scale in F16, then bytes. */
template <class X>
LCU_DEV void store_q8_0(X x, uint8_t *to, uint32_t dim, uint32_t warp, uint32_t warps)
{
    for (uint32_t b = warp; b < dim / 32; b += warps) {
        float v = x[b * 32 + lcu_lane()];
        float most = lcu_warp_max(fabsf(v)), d = most / 127.0f;
        float inverse = d != 0 ? 1.0f / d : 0;
        uint8_t *block = to + b * 34;
        if (lcu_lane() == 0) {
            uint16_t bits = lcu_to_f16(d);
            block[0] = (uint8_t)bits;
            block[1] = (uint8_t)(bits >> 8);
        }
        block[2 + lcu_lane()] = (uint8_t)(int8_t)roundf(v * inverse);
    }
}

/* Values x of a head to the cache, by threads of whole warps. */
template <class X>
LCU_DEV void store_head(const lcu_part &p, X x, uint8_t *to, uint32_t thread, uint32_t threads)
{
    if (p.format == LM_Q8_0) {
        store_q8_0(x, to, p.dim, thread / 32, threads / 32);
        return;
    }
    for (uint32_t i = thread; i < p.dim; i += threads) {
        float v = x[i];
        if (p.format == LM_F32)
            ((float *)to)[i] = v;
        else if (p.format == LM_E4M3)
            to[i] = lcu_to_e4m3(v);
        else
            ((uint16_t *)to)[i] = p.format == LM_F16 ? lcu_to_f16(v) : lcu_to_bf16(v);
    }
}

/* --- all of it --------------------------------------------------------------------------------------- */

/* Head h of part `part` of a row, by a warp; `v` has room for it. */
LCU_DEV void finish_head(const lcu_heads_args &a, uint32_t row, uint32_t part, uint32_t h,
                         lcu_shared<float> v)
{
    uint32_t dim = a.dim[part], half = a.dims / 2;
    float *x = (float *)a.in[part].data + (size_t)row * a.in[part].width + h * dim;
    for (uint32_t i = lcu_lane(); i < dim; i += 32)
        v[i] = lcu_load_fresh(x + i);
    if (part < 2 && a.norm[part].group != 0) {
        const lcu_norm_args &norm = a.norm[part];
        uint32_t weight = h * dim % norm.weight_period, bias = h * dim % norm.bias_period;
        lcu_norm_numbers n = lcu_measure<true>(norm, v, v);
        for (uint32_t i = lcu_lane(); i < dim; i += 32)
            v[i] = lcu_normed(norm, weight + i, bias + i, v[i], n);
    }
    lcu_sync_warp();
    const float *c = a.table + (size_t)row * a.dims;
    for (uint32_t d = lcu_lane(); part < 2 && d < half; d += 32) {
        uint32_t first = pair_first(a.style, d), second = pair_second(a.style, d, half);
        float p = v[first], q = v[second], cosine = c[d], sine = c[half + d];
        v[first] = p * cosine - q * sine;
        v[second] = p * sine + q * cosine;
    }
    lcu_sync_warp();
    if (part == 0) {
        for (uint32_t i = lcu_lane(); i < dim; i += 32)
            x[i] = v[i];
        return;
    }
    uint8_t *to =
        lcu_cache_at(a.run, a.cache, (int)part - 1, a.run->row_seq[row], a.run->slots[row], h);
    store_head(a.cache.parts[part - 1], v, to, lcu_lane(), 32);
}

#endif
