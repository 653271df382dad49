/* state.cu - steps with recurrent state: the short causal convolution and the Mamba-2 recurrence. */
#include "backends/cuda/kernels/math.cuh"

/* The state a sequence reads or writes; NULL to read: zeros. */
LCU_DEV float *state_at(const lcu_run *run, const lcu_cache_view &c, int part, uint32_t seq,
                        bool to_write)
{
    const lcu_seq_pages &g = run->seqs[seq].groups[c.group];
    uint32_t slot = to_write ? g.state_write : g.state_read;
    return slot == LM_NONE ? NULL : (float *)(c.pages[slot] + c.parts[part].offset);
}

/* The channel's input `back` rows before row i of its sequence: `rows` are the run's, the state holds
 * kernel - 1 older ones, oldest first. */
LCU_DEV float past(const lcu_conv_args &a, const float *rows, const float *state, uint32_t i,
                   uint32_t back, uint32_t channel)
{
    if (back <= i)
        return rows[(size_t)(i - back) * a.channels + channel];
    if (state == NULL)
        return 0;
    return state[(size_t)(a.kernel - 1 - (back - i)) * a.channels + channel];
}

/* Block x is a row; a channel per thread. */
LCU_BODY void conv_seq(const lcu_conv_args &a)
{
    uint32_t row = lcu_block_x(), c = lcu_block_y() * lcu_threads() + lcu_thread();
    if (row >= a.run->n_rows || c >= a.channels)
        return;
    uint32_t s = a.run->row_seq[row], first = a.run->seqs[s].first_row;
    const float *rows = (const float *)a.in.data + (size_t)first * a.channels;
    const float *state = state_at(a.run, a.cache, 0, s, false);
    float sum = a.bias == NULL ? 0 : a.bias[c];
    for (uint32_t k = 0; k < a.kernel; k++)
        sum = fmaf(a.weight[(size_t)c * a.kernel + k],
                   past(a, rows, state, row - first, a.kernel - 1 - k, c), sum);
    ((float *)a.out.data)[(size_t)row * a.channels + c] = lcu_act(a.act, sum);
}

/* Block x is a sequence: its last inputs become its state. In place the oldest goes first. */
LCU_BODY void conv_keep(const lcu_conv_args &a)
{
    uint32_t s = lcu_block_x(), c = lcu_block_y() * lcu_threads() + lcu_thread();
    if (s >= a.run->n_seqs || c >= a.channels)
        return;
    const lcu_seq &seq = a.run->seqs[s];
    const float *rows = (const float *)a.in.data + (size_t)seq.first_row * a.channels;
    const float *state = state_at(a.run, a.cache, 0, s, false);
    float *next = state_at(a.run, a.cache, 0, s, true);
    for (uint32_t k = 0; k + 1 < a.kernel; k++)
        next[(size_t)k * a.channels + c] =
            past(a, rows, state, seq.n_rows - 1, a.kernel - 2 - k, c);
}

/* Block x is a sequence, y a head, z four of its values, one per warp; lanes share the state. */
LCU_BODY void scan_seq(const lcu_scan_args &a)
{
    uint32_t s = lcu_block_x(), head = lcu_block_y(), p = lcu_block_z() * 4 + lcu_warp();
    if (s >= a.run->n_seqs || p >= a.head_dim)
        return;
    const lcu_seq &seq = a.run->seqs[s];
    uint32_t inner = a.heads * a.head_dim, group = head / (a.heads / a.groups);
    size_t at = ((size_t)head * a.head_dim + p) * a.state;
    const float *from = state_at(a.run, a.cache, 1, s, false);
    float *h = state_at(a.run, a.cache, 1, s, true) + at;
    for (uint32_t n = lcu_lane(); n < a.state; n += 32)
        h[n] = from == NULL ? 0 : from[at + n];
    for (uint32_t i = seq.first_row; i < seq.first_row + seq.n_rows; i++) {
        const float *row = (const float *)a.xbc.data + (size_t)i * a.xbc.width;
        const float *b = row + inner + (size_t)group * a.state, *c = b + (size_t)a.groups * a.state;
        float x = row[(size_t)head * a.head_dim + p];
        float dt = ((const float *)a.dt.data)[(size_t)i * a.heads + head];
        dt = lcu_softplus(a.dt_bias == NULL ? dt : dt + a.dt_bias[head]);
        float decay = expf(dt * a.a[head]), sum = 0;
        for (uint32_t n = lcu_lane(); n < a.state; n += 32) {
            h[n] = fmaf(dt * x, b[n], h[n] * decay);
            sum = fmaf(h[n], c[n], sum);
        }
        sum = lcu_warp_sum(sum);
        if (lcu_lane() == 0)
            ((float *)a.out.data)[(size_t)i * inner + (size_t)head * a.head_dim + p] =
                a.d == NULL ? sum : fmaf(a.d[head], x, sum);
    }
}

LCU_DEFINE_ALL(LCU_TABLE_STATE)
