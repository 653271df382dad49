/* linear.cu - multiplications of one row by one row of the weight, a warp each. */
#include "backends/cuda/kernels/layouts.cuh"

/* The weight's row `o` of matrix `m` times `in`; all lanes have the result. */
LCU_DEV float product(const lcu_linear &l, uint32_t m, uint32_t o, const float *in)
{
    float sum = 0;
    for (uint32_t i = lcu_lane(); i < l.w.cols; i += 32)
        sum = fmaf(lcu_weight_at(l.w, m, o, i), in[i], sum);
    sum = lcu_warp_sum(sum) * l.scale;
    return l.bias == NULL ? sum : sum + l.bias[(size_t)m * l.w.rows + o];
}

/* Block x: four rows of the weight; y: the row; z: the head. */
LCU_BODY void linear_rows(const lcu_linear_args &a)
{
    uint32_t o = lcu_block_x() * 4 + lcu_warp(), row = lcu_block_y(), head = lcu_block_z();
    if (row >= lcu_rows(a.run, a.in.rows) || o >= a.linear.w.rows)
        return;
    size_t place = (size_t)row * a.heads + head;
    float v = product(a.linear, head, o, (const float *)a.in.data + place * a.linear.w.cols);
    if (lcu_lane() == 0)
        ((float *)a.out.data)[place * a.linear.w.rows + o] = v;
}

/* Block z: the place among the experts picked. No expert: zeros. */
LCU_BODY void expert_rows(const lcu_expert_args &a)
{
    uint32_t o = lcu_block_x() * 4 + lcu_warp(), row = lcu_block_y(), k = lcu_block_z();
    if (row >= lcu_rows(a.run, a.in.rows) || o >= a.linear.w.rows)
        return;
    size_t place = (size_t)row * a.used + k, from = a.per_expert_input ? place : row;
    uint32_t expert = ((const uint32_t *)a.ids.data)[place];
    float v = 0;
    if (expert < a.linear.w.experts)
        v = product(a.linear, expert, o, (const float *)a.in.data + from * a.linear.w.cols);
    if (lcu_lane() == 0)
        ((float *)a.out.data)[place * a.linear.w.rows + o] = v;
}

LCU_DEFINE_ALL(LCU_TABLE_LINEAR)
