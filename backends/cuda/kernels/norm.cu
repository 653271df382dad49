/* norm.cu - norms over groups of a row, and pooling over rows of a sequence. */
#include "backends/cuda/kernels/norm.cuh"

/* Groups by warps, or one by a block. */
template <bool WARP> LCU_BODY void norm_groups(const lcu_norm_args &a)
{
    LCU_SHARED(float, parts, 32);
    uint32_t row = lcu_block_x();
    uint32_t group = WARP ? lcu_block_y() * (lcu_threads() / 32) + lcu_warp() : lcu_block_y();
    if (row >= lcu_rows(a.run, a.in.rows) || (group + 1) * a.group > a.in.width)
        return;
    uint32_t first = group * a.group, step = WARP ? 32 : lcu_threads();
    const float *x = (const float *)a.in.data + (size_t)row * a.in.width + first;
    size_t to = (size_t)row * a.out.width + first;
    float *out = (float *)a.out.data + to;
    uint32_t weight = first % a.weight_period, bias = first % a.bias_period;
    lcu_norm_numbers n = lcu_measure<WARP>(a, x, parts);
    for (uint32_t i = WARP ? lcu_lane() : lcu_thread(); i < a.group; i += step) {
        float v = lcu_normed(a, weight + i, bias + i, x[i], n);
        out[i] = a.residual == NULL ? v : v + a.residual[to + i];
    }
}

/* One column per thread. */
LCU_BODY void pool_rows(const lcu_pool_args &a)
{
    uint32_t s = lcu_block_x(), c = lcu_block_y() * lcu_threads() + lcu_thread();
    if (s >= a.run->n_seqs || c >= a.out.width)
        return;
    const lcu_seq &seq = a.run->seqs[s];
    const float *in = (const float *)a.in.data + (size_t)seq.first_row * a.in.width + c;
    float v = 0;
    if (a.kind == LM_POOL_MEAN) {
        for (uint32_t i = 0; i < seq.n_rows; i++)
            v += in[(size_t)i * a.in.width];
        v = v / (float)seq.n_rows;
    } else {
        v = in[a.kind == LM_POOL_CLS ? 0 : (size_t)(seq.n_rows - 1) * a.in.width];
    }
    ((float *)a.out.data)[(size_t)s * a.out.width + c] = v;
}

LCU_DEFINE_ALL(LCU_TABLE_NORM)
