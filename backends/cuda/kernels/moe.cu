/* moe.cu - choosing experts for each row and adding up what they answer. */
#include "backends/cuda/kernels/math.cuh"

/* Softmax of n values by one warp, in place. */
LCU_DEV void softmax(lcu_shared<float> x, uint32_t n)
{
    float most = -INFINITY, sum = 0;
    for (uint32_t i = lcu_lane(); i < n; i += 32) {
        float v = x[i];
        most = fmaxf(most, v);
    }
    most = lcu_warp_max(most);
    for (uint32_t i = lcu_lane(); i < n; i += 32) {
        float v = expf(x[i] - most);
        x[i] = v;
        sum += v;
    }
    sum = lcu_warp_sum(sum);
    for (uint32_t i = lcu_lane(); i < n; i += 32) {
        float v = x[i];
        x[i] = v / sum;
    }
    lcu_sync_warp();
}

/* A place among equals: larger first, then the lower number; a NaN is worse than all else. */
LCU_DEV bool better(float v, uint32_t at, float best, uint32_t best_at)
{
    if (best_at == LM_NONE || at == LM_NONE)
        return at != LM_NONE;
    if (v != v || best != best)
        return best != best && (v == v || at < best_at);
    return v > best || (v == best && at < best_at);
}

/* The best that was not taken yet: all lanes get its number. Taken ones are marked by bits, lane i has
 * those of experts i, i + 32, ... */
LCU_DEV uint32_t pick(lcu_shared<float> rank, uint32_t n, uint64_t *taken)
{
    float best = 0;
    uint32_t best_at = LM_NONE;
    for (uint32_t k = 0, i = lcu_lane(); i < n; k++, i += 32) {
        float v = rank[i];
        if ((*taken >> k & 1) == 0 && better(v, i, best, best_at)) {
            best = v;
            best_at = i;
        }
    }
    for (uint32_t mask = 16; mask > 0; mask >>= 1) {
        float v = lcu_shfl_xor(best, mask);
        uint32_t at = lcu_shfl_xor(best_at, mask);
        if (better(v, at, best, best_at)) {
            best = v;
            best_at = at;
        }
    }
    if (best_at % 32 == lcu_lane())
        *taken |= (uint64_t)1 << best_at / 32;
    return best_at;
}

/* One warp per row. */
LCU_BODY void route_row(const lcu_route_args &a)
{
    uint32_t row = lcu_block_x();
    if (row >= lcu_rows(a.run, a.in.rows))
        return;
    lcu_shared<float> value = lcu_dynamic<float>(0), rank = value + a.experts;
    const float *logits = (const float *)a.in.data + (size_t)row * a.experts;
    int32_t *ids = (int32_t *)a.ids.data + (size_t)row * a.used;
    float *weights = (float *)a.weights.data + (size_t)row * a.used;
    for (uint32_t e = lcu_lane(); e < a.experts; e += 32)
        value[e] = a.kind == LM_ROUTE_SIGMOID ? lcu_sigmoid(logits[e]) : logits[e];
    if (a.kind == LM_ROUTE_SOFTMAX)
        softmax(value, a.experts);
    for (uint32_t e = lcu_lane(); e < a.experts; e += 32) {
        float v = value[e];
        rank[e] = v + (a.bias == NULL ? 0 : a.bias[e]);
    }
    lcu_sync_warp();
    uint64_t taken = 0;
    for (uint32_t k = 0; k < a.used; k++) {
        uint32_t e = pick(rank, a.experts, &taken);
        if (lcu_lane() == 0)
            ids[k] = (int32_t)e;
    }
    lcu_sync_warp();
    for (uint32_t k = lcu_lane(); k < a.used; k += 32) {
        float v = value[(uint32_t)ids[k]];
        rank[k] = v;
    }
    lcu_sync_warp();
    if (a.kind == LM_ROUTE_SOFTMAX_PICKED)
        softmax(rank, a.used);
    float sum = 0, factor = a.scale;
    for (uint32_t k = 0; k < a.used; k++) {
        float v = rank[k];
        sum += v;
    }
    if (a.normalise && sum != 0)
        factor = factor / sum;
    for (uint32_t k = lcu_lane(); k < a.used; k += 32) {
        float v = rank[k];
        weights[k] = v * factor;
    }
}

/* One column per thread. */
LCU_BODY void combine_rows(const lcu_combine_args &a)
{
    uint32_t row = lcu_block_x(), c = lcu_block_y() * lcu_threads() + lcu_thread();
    if (row >= lcu_rows(a.run, a.out.rows) || c >= a.out.width)
        return;
    const float *weights = (const float *)a.weights.data + (size_t)row * a.used;
    const float *parts = (const float *)a.parts.data + (size_t)row * a.used * a.out.width + c;
    float sum = 0;
    for (uint32_t k = 0; k < a.used; k++)
        sum += weights[k] * parts[(size_t)k * a.out.width];
    ((float *)a.out.data)[(size_t)row * a.out.width + c] = sum;
}

LCU_DEFINE_ALL(LCU_TABLE_MOE)
