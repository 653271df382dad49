/* rope.cu - rotary positions, and keys and values into the cache. */
#include "backends/cuda/kernels/heads.cuh"

/* The position axis pair `pair` reads: sections are dealt out in order, again and again. */
LCU_DEV uint32_t axis_of(const uint32_t *sections, uint32_t pair)
{
    uint32_t total = sections[0] + sections[1] + sections[2] + sections[3], axis = 0;
    if (total == 0)
        return 0;
    uint32_t at = pair % total;
    while (at >= sections[axis])
        at -= sections[axis++];
    return axis;
}

/* A block per row, a thread per pair. */
LCU_BODY void rope_table(const lcu_rope_table_args &a)
{
    uint32_t row = lcu_block_x();
    if (row >= a.run->n_rows)
        return;
    float *c = a.table + (size_t)row * a.half * 2;
    for (uint32_t i = lcu_thread(); i < a.half; i += lcu_threads()) {
        double angle = a.run->positions[(size_t)row * 4 + axis_of(a.sections, i)] * a.speeds[i];
        c[i] = (float)(cos(angle) * a.magnitude);
        c[a.half + i] = (float)(sin(angle) * a.magnitude);
    }
}

/* 1024 values of one row per block. Each thread takes pairs, or single values behind them. */
LCU_BODY void rope_rows(const lcu_rope_args &a)
{
    uint32_t i = lcu_block_x();
    if (i >= lcu_rows(a.run, a.in.rows))
        return;
    uint32_t row = lcu_run_row(a.run, a.in.rows, i), half = a.dims / 2;
    const float *in = (const float *)a.in.data + (size_t)i * a.in.width;
    float *out = (float *)a.out.data + (size_t)i * a.out.width;
    const float *c = a.table + (size_t)row * a.dims;
    uint32_t first = lcu_block_y() * 1024, end = first + 1024;
    end = end < a.in.width ? end : a.in.width;
    for (uint32_t at = first + lcu_thread(); at < end; at += lcu_threads()) {
        uint32_t head = at / a.head_dim * a.head_dim, d = at - head;
        if (d >= a.dims) {
            out[at] = in[at];
        } else if (d < half) { /* the thread at the first half's value does the pair */
            uint32_t x = head + pair_first(a.style, d), y = head + pair_second(a.style, d, half);
            float p = in[x], q = in[y], cosine = c[d], sine = c[half + d];
            out[x] = p * cosine - q * sine;
            out[y] = p * sine + q * cosine;
        }
    }
}

/* --- the cache ------------------------------------------------------------------------------------- */

/* Block x is a row, y a head, z keys or values. */
LCU_BODY void append_rows(const lcu_append_args &a)
{
    uint32_t row = lcu_block_x(), head = lcu_block_y(), part = lcu_block_z();
    if (row >= a.run->n_rows)
        return;
    const lcu_part &p = a.cache.parts[part];
    const float *x = (const float *)a.in[part].data + (size_t)row * a.in[part].width + head * p.dim;
    uint8_t *to =
        lcu_cache_at(a.run, a.cache, (int)part, a.run->row_seq[row], a.run->slots[row], head);
    store_head(p, x, to, lcu_thread(), lcu_threads());
}

/* All that is done with queries, keys and values of a row, a warp for each head. Dynamic shared memory: a
 * head for each warp. */
LCU_BODY void heads_rows(const lcu_heads_args &a)
{
    uint32_t row = lcu_block_x(), part = 0;
    uint32_t head = lcu_block_y() * (lcu_threads() / 32) + lcu_warp();
    if (row >= a.run->n_rows)
        return;
    while (part < 3 && head >= a.heads[part])
        head -= a.heads[part++];
    if (part < 3)
        finish_head(a, row, part, head, lcu_dynamic<float>(lcu_warp() * a.room * 4));
}

LCU_DEFINE_ALL(LCU_TABLE_ROPE)
