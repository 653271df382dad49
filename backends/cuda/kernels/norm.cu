/* norm.cu - norms over groups of a row, and pooling over rows of a sequence. */
#include "backends/cuda/kernels/math.cuh"

/* What is left to do with a value once its group's mean and factor are known. */
LCU_DEV float finish(const lcu_norm_args &a, uint32_t column, float x, float mean, float factor)
{
    float v = (x - mean) * factor;
    if (a.weight != NULL)
        v = v * (a.weight[column % a.weight_period] + a.offset);
    if (a.bias != NULL)
        v = v + a.bias[column % a.bias_period];
    return v;
}

LCU_DEV float factor_of(const lcu_norm_args &a, float squares)
{
    if (a.kind == LM_NORM_L2)
        return 1.0f / fmaxf(sqrtf(squares), a.eps);
    return 1.0f / sqrtf(squares / (float)a.group + a.eps);
}

/* One group per block. */
LCU_BODY void norm_block(const lcu_norm_args &a)
{
    LCU_SHARED(float, parts, 32);
    uint32_t row = lcu_block_x(), first = lcu_block_y() * a.group;
    if (row >= lcu_rows(a.run, a.in.rows))
        return;
    const float *x = (const float *)a.in.data + (size_t)row * a.in.width + first;
    float *out = (float *)a.out.data + (size_t)row * a.out.width + first;
    float mean = 0, sum = 0;
    if (a.kind == LM_NORM_LAYER) {
        for (uint32_t i = lcu_thread(); i < a.group; i += lcu_threads())
            sum += x[i];
        mean = lcu_block_sum(sum, parts) / (float)a.group;
        sum = 0;
    }
    for (uint32_t i = lcu_thread(); i < a.group; i += lcu_threads())
        sum = fmaf(x[i] - mean, x[i] - mean, sum);
    float factor = factor_of(a, lcu_block_sum(sum, parts));
    for (uint32_t i = lcu_thread(); i < a.group; i += lcu_threads())
        out[i] = finish(a, first + i, x[i], mean, factor);
}

/* One group per warp. */
LCU_BODY void norm_warp(const lcu_norm_args &a)
{
    uint32_t row = lcu_block_x(), group = lcu_block_y() * (lcu_threads() / 32) + lcu_warp();
    if (row >= lcu_rows(a.run, a.in.rows) || (group + 1) * a.group > a.in.width)
        return;
    uint32_t first = group * a.group;
    const float *x = (const float *)a.in.data + (size_t)row * a.in.width + first;
    float *out = (float *)a.out.data + (size_t)row * a.out.width + first;
    float mean = 0, sum = 0;
    if (a.kind == LM_NORM_LAYER) {
        for (uint32_t i = lcu_lane(); i < a.group; i += 32)
            sum += x[i];
        mean = lcu_warp_sum(sum) / (float)a.group;
        sum = 0;
    }
    for (uint32_t i = lcu_lane(); i < a.group; i += 32)
        sum = fmaf(x[i] - mean, x[i] - mean, sum);
    float factor = factor_of(a, lcu_warp_sum(sum));
    for (uint32_t i = lcu_lane(); i < a.group; i += 32)
        out[i] = finish(a, first + i, x[i], mean, factor);
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
