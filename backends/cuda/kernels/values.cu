/* values.cu - steps that treat every value alone, and those that only move them. A block has up to 1024
 * columns of one row: block x is the row, y the piece of it. */
#include "backends/cuda/kernels/layouts.cuh"
#include "backends/cuda/kernels/math.cuh"

/* This thread's columns of the block's row, `width` wide. */
#define LCU_EACH_COLUMN(c, width)                                                                  \
    for (uint32_t c = lcu_block_y() * 1024 + lcu_thread(), end_ = lcu_block_y() * 1024 + 1024;     \
         c < end_ && c < (width); c += lcu_threads())

LCU_DEV float *row_of(const lcu_slot &slot, uint32_t row)
{
    return (float *)slot.data + (size_t)row * slot.width;
}

LCU_BODY void add_values(const lcu_values_args &a)
{
    uint32_t row = lcu_block_x();
    if (row >= lcu_rows(a.run, a.out.rows))
        return;
    const float *x = row_of(a.in[0], row), *y = row_of(a.in[1], row);
    float *out = row_of(a.out, row);
    LCU_EACH_COLUMN(c, a.out.width)
        out[c] = x[c] + y[c];
}

LCU_BODY void row_add(const lcu_values_args &a)
{
    uint32_t row = lcu_block_x();
    if (row >= lcu_rows(a.run, a.out.rows))
        return;
    const float *x = row_of(a.in[0], row);
    float *out = row_of(a.out, row);
    LCU_EACH_COLUMN(c, a.out.width)
        out[c] = x[c] + (a.vector == NULL ? 0 : a.vector[c]);
}

LCU_BODY void scale_values(const lcu_values_args &a)
{
    uint32_t row = lcu_block_x();
    if (row >= lcu_rows(a.run, a.out.rows))
        return;
    const float *x = row_of(a.in[0], row);
    float *out = row_of(a.out, row);
    LCU_EACH_COLUMN(c, a.out.width)
    {
        float v = x[c] * a.scale;
        out[c] = a.cap > 0 ? a.cap * tanhf(v / a.cap) : v;
    }
}

LCU_BODY void act_mul(const lcu_values_args &a)
{
    uint32_t row = lcu_block_x();
    if (row >= lcu_rows(a.run, a.out.rows))
        return;
    const float *x = row_of(a.in[0], row), *y = row_of(a.in[1], a.one_input ? 0 : row);
    float *out = row_of(a.out, row);
    LCU_EACH_COLUMN(c, a.out.width)
    {
        float v = lcu_act(a.act, x[c]);
        out[c] = a.one_input ? v : v * y[c];
    }
}

LCU_BODY void move_columns(const lcu_move_args &a)
{
    uint32_t row = lcu_block_x();
    if (row >= lcu_rows(a.run, a.out.rows))
        return;
    uint32_t from = a.gather ? a.run->wanted[row] : row;
    const uint32_t *x = (const uint32_t *)row_of(a.in, from) + a.in_column;
    uint32_t *out = (uint32_t *)row_of(a.out, row) + a.out_column;
    if (a.heads == 1) {
        LCU_EACH_COLUMN(c, a.width)
            out[c] = x[c];
        return;
    }
    LCU_EACH_COLUMN(c, a.width * a.heads)
        out[c / a.width * a.out_head + c % a.width] = x[c / a.width * a.in_head + c % a.width];
}

/* What lies between the columns and the stride is never read. */
LCU_BODY void round_rows(const lcu_round_args &a)
{
    uint32_t row = lcu_block_x();
    if (row >= lcu_rows(a.run, a.in.rows))
        return;
    const float *x = row_of(a.in, row);
    uint16_t *out = a.out + (size_t)row * a.stride;
    LCU_EACH_COLUMN(c, a.in.width)
        out[c] = lcu_to_bf16(x[c]);
}

LCU_BODY void embed_rows(const lcu_embed_args &a)
{
    uint32_t i = lcu_block_x();
    if (i >= lcu_rows(a.run, a.out.rows))
        return;
    uint32_t row = lcu_run_row(a.run, a.out.rows, i), at = 0;
    float *out = row_of(a.out, i);
    if (a.source == LM_EMBED_TOKENS && a.run->tokens[row] < 0) { /* the host's own, as they are */
        const float *own = a.run->embeddings + (size_t)row * a.out.width;
        LCU_EACH_COLUMN(c, a.out.width)
            out[c] = own[c];
        return;
    }
    if (a.source == LM_EMBED_TOKENS)
        at = (uint32_t)a.run->tokens[row];
    else if (a.source == LM_EMBED_POSITIONS)
        at = a.run->positions[(size_t)row * 4];
    LCU_EACH_COLUMN(c, a.out.width)
        out[c] = lcu_weight_at(a.table, 0, at, c) * a.scale;
}

LCU_DEFINE_ALL(LCU_TABLE_VALUES)
