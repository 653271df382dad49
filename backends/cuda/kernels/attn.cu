/* attn.cu - attention of one row and head per block, over the pages of its sequence: slots in tiles
 * of 128, one per thread; then one value per thread. */
#include "backends/cuda/kernels/cached.cuh"
#include "backends/cuda/kernels/math.cuh"

LCU_DEV float alibi_slope(const lcu_attn_args &a, uint32_t h)
{
    uint32_t pow2 = 1;
    if (a.alibi <= 0)
        return 0;
    while (pow2 * 2 <= a.heads)
        pow2 *= 2;
    float exponent = h < pow2 ? (float)(h + 1) : (float)(2 * (h - pow2) + 1) / 2;
    return exp2f(-a.alibi / (float)pow2 * exponent);
}

/* The slot's score, or minus infinity when the row does not see it. */
LCU_DEV float score(const lcu_attn_args &a, uint32_t row, uint32_t head, uint32_t slot,
                    lcu_shared<float> query, float slope)
{
    const lcu_run *run = a.run;
    if (!lcu_sees(run, row, slot))
        return -INFINITY;
    const uint8_t *key =
        lcu_cache_at(run, a.cache, 0, run->row_seq[row], slot, head / (a.heads / a.kv_heads));
    float sum = 0;
    for (uint32_t i = 0; i < a.k_dim; i++)
        sum = fmaf(query[i], lcu_cached(a.cache.parts[0].format, key, i), sum);
    sum = sum * a.scale;
    if (a.softcap > 0)
        sum = a.softcap * tanhf(sum / a.softcap);
    return sum - slope * fabsf((float)run->slots[row] - (float)slot);
}

/* The largest of all threads' values; a NaN anywhere is the result. */
LCU_DEV float block_max(float v, lcu_shared<float> parts)
{
    bool odd = lcu_any(v != v);
    v = lcu_warp_max(v);
    if (odd)
        v = NAN;
    lcu_sync();
    if (lcu_lane() == 0)
        parts[lcu_warp()] = v;
    lcu_sync();
    float most = parts[0];
    for (uint32_t i = 1; i < lcu_threads() / 32; i++) {
        float part = parts[i];
        most = part <= most ? most : part;
    }
    return most;
}

LCU_BODY void attn_row(const lcu_attn_args &a)
{
    LCU_SHARED(float, parts, 32);
    LCU_SHARED(float, weights, 128);
    uint32_t i = lcu_block_x(), head = lcu_block_y();
    if (i >= lcu_rows(a.run, a.in.rows))
        return;
    uint32_t row = lcu_run_row(a.run, a.in.rows, i), seq = a.run->row_seq[row];
    uint32_t kv_head = head / (a.heads / a.kv_heads);
    lcu_shared<float> query = lcu_dynamic<float>(0), mixed = query + a.k_dim;
    const float *in = (const float *)a.in.data + ((size_t)i * a.heads + head) * a.k_dim;
    for (uint32_t c = lcu_thread(); c < a.k_dim; c += lcu_threads())
        query[c] = in[c];
    for (uint32_t c = lcu_thread(); c < a.v_dim; c += lcu_threads())
        mixed[c] = 0;
    lcu_sync();
    float slope = alibi_slope(a, head), most = -INFINITY, total = 0;
    uint32_t first = lcu_first_visible(a.run, row, a.window), end = a.run->visible_end[row];
    for (uint32_t tile = first / 128 * 128; tile < end; tile += 128) {
        uint32_t slot = tile + lcu_thread();
        bool there = slot >= first && slot < end;
        float s = there ? score(a, row, head, slot, query, slope) : -INFINITY;
        float next = block_max(s, parts);
        next = next <= most ? most : next;
        float base = next == -INFINITY ? 0 : next, keep = expf(most - base);
        float p = s == -INFINITY ? 0 : expf(s - base);
        total = total * keep + lcu_block_sum(p, parts);
        weights[lcu_thread()] = p;
        lcu_sync();
        for (uint32_t c = lcu_thread(); c < a.v_dim; c += lcu_threads()) {
            float sum = mixed[c];
            sum = sum * keep;
            for (uint32_t t = 0; t < 128; t++) {
                uint32_t at = tile + t;
                if (at < first || at >= end || !lcu_sees(a.run, row, at))
                    continue;
                const uint8_t *value = lcu_cache_at(a.run, a.cache, 1, seq, at, kv_head);
                sum = fmaf(weights[t], lcu_cached(a.cache.parts[1].format, value, c), sum);
            }
            mixed[c] = sum;
        }
        most = next;
    }
    float scale = 1;
    if (a.sinks != NULL) {
        float sink = a.sinks[head], next = sink <= most ? most : sink;
        scale = expf(most - next);
        total = total * scale + expf(sink - next);
    }
    float *out = (float *)a.out.data + ((size_t)i * a.heads + head) * a.v_dim;
    for (uint32_t c = lcu_thread(); c < a.v_dim; c += lcu_threads()) {
        float sum = mixed[c];
        out[c] = total == 0 ? 0 : sum * scale / total;
    }
}

LCU_DEFINE_ALL(LCU_TABLE_ATTN)
