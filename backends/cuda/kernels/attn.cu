/* attn.cu - attention of one row over the pages of its sequence, up to eight heads that share keys
 * and values at once.
 *
 * Slots are taken in tiles and tiles in splits of absolute slots, both fixed for a program, so that
 * neither the batch nor the pages change the arithmetic. A split is one sum; splits are joined in
 * rising order by the block that walks them all, or by the last block of those that share a row. */
#include "backends/cuda/kernels/cached.cuh"
#include "backends/cuda/kernels/math.cuh"

constexpr uint32_t ATTN_THREADS = 128, ATTN_WARPS = ATTN_THREADS / 32;
constexpr uint32_t ATTN_HEADS = 8, ATTN_TILE = 64; /* at most */
constexpr uint32_t ATTN_WIDE = 4; /* columns of a thread: v_dim is at most 512 */

/* What a block works on. */
template <uint32_t G> struct attn_block {
    const lcu_attn_args &a;
    uint32_t i, row, seq, kv_head, head, heads; /* `heads` of the G are there, from `head` on */
    uint32_t first, end;                        /* slots */
    lcu_shared<float> query, mixed, live, scores, weights, most, total, keep;
    lcu_shared<uint8_t> keys, values;
    lcu_shared<uint64_t> bases;
};

/* --- one tile --------------------------------------------------------------------------------------- */

/* Some threads per slot, two for tiles of 64: scores [head][ATTN_TILE], minus infinity for what the row
 * does not see. */
template <uint32_t G> LCU_DEV void score_tile(const attn_block<G> &b, uint32_t tile)
{
    const lcu_attn_args &a = b.a;
    uint32_t parts = ATTN_THREADS / a.tile, at = lcu_thread() / parts, part = lcu_thread() % parts;
    uint32_t slot = tile + at;
    bool seen = slot >= b.first && slot < b.end && lcu_sees(a.run, b.row, slot);
    lcu_shared<uint8_t> key = b.keys + at * LCU_TILE_STRIDE(a.cache.parts[0].head_bytes);
    float sum[G] = {};
    for (uint32_t i = part * 8; seen && i < a.k_dim; i += parts * 8) {
        float k[8];
        lcu_cached8(a.cache.parts[0], key, i, k);
        for (uint32_t g = 0; g < G; g++) {
            lcu_shared<float4> q = lcu_recast<float4>(b.query + g * LCU_WHOLE_8(a.k_dim) + i);
            float4 low = q[0], high = q[1];
            sum[g] = fmaf(k[0], low.x, sum[g]);
            sum[g] = fmaf(k[1], low.y, sum[g]);
            sum[g] = fmaf(k[2], low.z, sum[g]);
            sum[g] = fmaf(k[3], low.w, sum[g]);
            sum[g] = fmaf(k[4], high.x, sum[g]);
            sum[g] = fmaf(k[5], high.y, sum[g]);
            sum[g] = fmaf(k[6], high.z, sum[g]);
            sum[g] = fmaf(k[7], high.w, sum[g]);
        }
    }
    if (part == 0)
        b.live[at] = seen;
    float distance = fabsf((float)a.run->slots[b.row] - (float)slot);
    for (uint32_t g = 0; g < G; g++) {
        float s = sum[g];
        for (uint32_t apart = 1; apart < parts; apart *= 2)
            s += lcu_shfl_xor(s, apart);
        s = s * a.scale;
        if (a.softcap > 0)
            s = a.softcap * tanhf(s / a.softcap);
        s = s - lcu_alibi_slope(a.alibi, a.heads, b.head + g) * distance;
        if (part == 0)
            b.scores[g * ATTN_TILE + at] = seen ? s : -INFINITY;
    }
}

/* A warp per head: weights [slot][G], and how much of the sums so far is kept. */
template <uint32_t G> LCU_DEV void weigh_tile(const attn_block<G> &b)
{
    for (uint32_t g = lcu_warp(); g < G; g += ATTN_WARPS) {
        uint32_t lane = lcu_lane();
        float s[2] = {b.scores[g * ATTN_TILE + lane], b.scores[g * ATTN_TILE + 32 + lane]};
        float before = b.most[g], next = fmaxf(before, lcu_warp_max(fmaxf(s[0], s[1])));
        float base = next == -INFINITY ? 0 : next, keep = expf(before - base);
        float p[2] = {s[0] == -INFINITY ? 0 : expf(s[0] - base),
                      s[1] == -INFINITY ? 0 : expf(s[1] - base)};
        float sum = lcu_warp_sum(p[0] + p[1]), total = b.total[g];
        b.weights[lane * G + g] = p[0];
        b.weights[(lane + 32) * G + g] = p[1];
        lcu_sync_warp();
        if (lane == 0) {
            b.most[g] = next;
            b.total[g] = total * keep + sum;
            b.keep[g] = keep;
        }
    }
}

/* A thread has eight columns of every `parts`th slot. */
template <uint32_t G>
LCU_DEV void mix_tile(const attn_block<G> &b, uint32_t column, uint32_t part, uint32_t parts,
                      float sum[G][8])
{
    const lcu_attn_args &a = b.a;
    bool latent = a.cache.latent;
    uint32_t stride = LCU_TILE_STRIDE(a.cache.parts[latent ? 0 : 1].head_bytes);
    lcu_shared<uint8_t> values = latent ? b.keys : b.values;
    for (uint32_t g = 0; g < G; g++) {
        float keep = b.keep[g];
        for (uint32_t j = 0; j < 8; j++)
            sum[g][j] = sum[g][j] * keep;
    }
    for (uint32_t at = part; at < a.tile; at += parts) {
        if (b.live[at] == 0)
            continue;
        float v[8];
        lcu_cached8(a.cache.parts[1], values + at * stride, column, v);
        for (uint32_t g = 0; g < G; g++) {
            float p = b.weights[at * G + g];
            for (uint32_t j = 0; j < 8; j++)
                sum[g][j] = fmaf(p, v[j], sum[g][j]);
        }
    }
}

/* --- one split ---------------------------------------------------------------------------------------- */

/* Sums of the slots [from, to) that are visible: most and total per head, and the mixed values
 * [G][v_dim] in `result` (over the keys' memory). All threads see them afterwards. */
template <uint32_t G> LCU_DEV void sum_split(const attn_block<G> &b, uint32_t from, uint32_t to)
{
    const lcu_attn_args &a = b.a;
    uint32_t wide = LCU_WHOLE_8(a.v_dim), columns = wide / 8, parts = ATTN_THREADS / columns;
    uint32_t column = lcu_thread() % columns * 8, part = lcu_thread() / columns;
    float sum[G][8] = {};
    lcu_sync();
    if (lcu_thread() < G) {
        b.most[lcu_thread()] = -INFINITY;
        b.total[lcu_thread()] = 0;
    }
    for (uint32_t i = lcu_thread(); i < G * ATTN_TILE; i += ATTN_THREADS)
        b.scores[i] = -INFINITY; /* also of slots behind a tile */
    for (uint32_t tile = from / a.tile * a.tile; tile < to; tile += a.tile) {
        if (tile + a.tile <= b.first)
            continue;
        lcu_find_tile(a.run, a.cache, b.seq, b.kv_head, tile, a.tile, b.first, b.end, b.bases);
        lcu_sync();
        lcu_copy_tile(a.cache.parts[0], tile, a.tile, b.first, b.end, b.bases, b.keys);
        lcu_copy_commit();
        if (!a.cache.latent)
            lcu_copy_tile(a.cache.parts[1], tile, a.tile, b.first, b.end,
                      b.bases + a.tile / LCU_RUN_SLOTS, b.values);
        lcu_copy_commit();
        lcu_copy_wait<1>();
        lcu_sync();
        score_tile(b, tile);
        lcu_sync();
        weigh_tile(b);
        lcu_copy_wait<0>();
        lcu_sync();
        if (part < parts)
            mix_tile<G>(b, column, part, parts, sum);
        lcu_sync();
    }
    /* the parts of each column, in rising order */
    lcu_shared<float> shared = lcu_recast<float>(b.keys);
    for (uint32_t g = 0; g < G; g++) {
        for (uint32_t j = 0; part < parts && j < 8; j++)
            shared[part * wide + column + j] = sum[g][j];
        lcu_sync();
        for (uint32_t c = lcu_thread(); c < a.v_dim; c += ATTN_THREADS) {
            float all = shared[c];
            for (uint32_t i = 1; i < parts; i++)
                all += shared[i * wide + c];
            b.mixed[g * a.v_dim + c] = all;
        }
        lcu_sync();
    }
}

/* --- joining splits -------------------------------------------------------------------------------------- */

/* What the splits so far came to, in W columns of one head. */
template <uint32_t W> struct joined {
    float most, total;
    float value[W];
};

/* One more part. Those in which nothing was visible change nothing. */
template <uint32_t W>
LCU_DEV void join(joined<W> &to, float most, float total, const float value[W])
{
    if (total == 0 && most == -INFINITY)
        return;
    bool none = to.total == 0 && to.most == -INFINITY;
    float next = fmaxf(to.most, most), a = none ? 0 : expf(to.most - next);
    float b = none ? 1 : expf(most - next);
    to.total = none ? total : to.total * a + total * b;
    for (uint32_t i = 0; i < W; i++)
        to.value[i] = none ? value[i] : to.value[i] * a + value[i] * b;
    to.most = next;
}

template <uint32_t W>
LCU_DEV void write_joined(const lcu_attn_args &a, uint32_t i, uint32_t head, uint32_t column,
                          joined<W> &sum)
{
    const float none[W] = {};
    if (a.sinks != NULL)
        join(sum, a.sinks[head], 1, none);
    float *out = (float *)a.out.data + ((size_t)i * a.heads + head) * a.v_dim;
    for (uint32_t k = 0; k < W; k++, column += ATTN_THREADS)
        if (column < a.v_dim)
            out[column] = sum.total == 0 ? 0 : sum.value[k] * (1.0f / sum.total);
}

/* --- blocks ---------------------------------------------------------------------------------------------------- */

/* Dynamic shared memory: queries, mixed values, keys, values. */
template <uint32_t G>
LCU_DEV attn_block<G> begin_block(const lcu_attn_args &a, lcu_shared<float> numbers,
                                  lcu_shared<uint64_t> bases)
{
    uint32_t group = a.heads / a.kv_heads, sets = (group + G - 1) / G;
    uint32_t kv_head = lcu_block_x() / sets, set = lcu_block_x() % sets;
    uint32_t i = lcu_block_y(), row = lcu_run_row(a.run, a.in.rows, i);
    uint32_t heads = group - set * G < G ? group - set * G : G;
    uint32_t wide = LCU_WHOLE_8(a.k_dim);
    lcu_shared<float> query = lcu_dynamic<float>(0), mixed = query + G * wide;
    uint32_t keys = (G * (wide + a.v_dim) * 4 + 127) / 128 * 128;
    attn_block<G> b = {a,
                       i,
                       row,
                       a.run->row_seq[row],
                       kv_head,
                       kv_head * group + set * G,
                       heads,
                       lcu_first_visible(a.run, row, a.window),
                       a.run->visible_end[row],
                       query,
                       mixed,
                       numbers,
                       numbers + ATTN_TILE,
                       numbers + (1 + ATTN_HEADS) * ATTN_TILE,
                       numbers + (1 + 2 * ATTN_HEADS) * ATTN_TILE,
                       numbers + (1 + 2 * ATTN_HEADS) * ATTN_TILE + ATTN_HEADS,
                       numbers + (1 + 2 * ATTN_HEADS) * ATTN_TILE + 2 * ATTN_HEADS,
                       lcu_dynamic<uint8_t>(keys),
                       lcu_dynamic<uint8_t>(keys + a.key_bytes),
                       bases};
    const float *in = (const float *)a.in.data + ((size_t)i * a.heads + b.head) * a.k_dim;
    for (uint32_t at = lcu_thread(); at < G * wide; at += ATTN_THREADS) {
        uint32_t g = at / wide, c = at % wide;
        query[at] = g < heads && c < a.k_dim ? in[g * a.k_dim + c] : 0;
    }
    return b;
}

#define ATTN_SHARED()                                                                              \
    LCU_SHARED(float, numbers, (1 + 2 * ATTN_HEADS) * ATTN_TILE + 3 * ATTN_HEADS);                                   \
    LCU_SHARED(uint64_t, bases, 2 * ATTN_TILE / LCU_RUN_SLOTS)

/* Adds the split that sum_split left in shared memory. */
template <uint32_t G> LCU_DEV void join_split(const attn_block<G> &b, joined<ATTN_WIDE> sum[G])
{
    for (uint32_t g = 0; g < G; g++) {
        float value[ATTN_WIDE] = {};
        for (uint32_t k = 0; k < ATTN_WIDE; k++) {
            uint32_t c = lcu_thread() + k * ATTN_THREADS;
            if (c < b.a.v_dim)
                value[k] = b.mixed[g * b.a.v_dim + c];
        }
        join<ATTN_WIDE>(sum[g], b.most[g], b.total[g], value);
    }
}

template <uint32_t G> LCU_DEV void begin_joining(joined<ATTN_WIDE> sum[G])
{
    for (uint32_t g = 0; g < G; g++)
        sum[g] = {-INFINITY, 0, {}};
}

template <uint32_t G> LCU_DEV void end_joining(const attn_block<G> &b, joined<ATTN_WIDE> sum[G])
{
    for (uint32_t g = 0; g < G; g++)
        if (g < b.heads)
            write_joined<ATTN_WIDE>(b.a, b.i, b.head + g, lcu_thread(), sum[g]);
}

/* Whether this block has a row, and it is not one for attn_prompt. */
LCU_DEV bool has_row(const lcu_attn_args &a)
{
    uint32_t i = lcu_block_y();
    if (i >= lcu_rows(a.run, a.in.rows))
        return false;
    uint32_t row = lcu_run_row(a.run, a.in.rows, i);
    return a.prompt_rows == 0 || a.run->seqs[a.run->row_seq[row]].n_rows < a.prompt_rows;
}

/* Grid: sets of heads, rows. One block walks all splits of its row. */
template <uint32_t G> LCU_BODY void attn_walk(const lcu_attn_args &a)
{
    ATTN_SHARED();
    if (!has_row(a))
        return;
    attn_block<G> b = begin_block<G>(a, numbers, bases);
    joined<ATTN_WIDE> sum[G];
    begin_joining<G>(sum);
    for (uint32_t from = b.first / LCU_ATTN_SPLIT * LCU_ATTN_SPLIT; from < b.end;
         from += LCU_ATTN_SPLIT) {
        sum_split<G>(b, from, from + LCU_ATTN_SPLIT < b.end ? from + LCU_ATTN_SPLIT : b.end);
        join_split<G>(b, sum);
    }
    end_joining<G>(b, sum);
}

/* Of the splits [0, n) of this block's row, from the partial sums. */
template <uint32_t G> LCU_DEV void join_partials(const attn_block<G> &b, uint32_t n)
{
    const lcu_attn_args &a = b.a;
    uint32_t width = a.v_dim + 2;
    for (uint32_t at = lcu_thread(); at < b.heads * a.v_dim; at += ATTN_THREADS) {
        uint32_t g = at / a.v_dim, c = at % a.v_dim;
        const float *from = a.partial + ((size_t)b.i * a.heads + b.head + g) * a.max_splits * width;
        joined<1> sum = {-INFINITY, 0, {}};
        for (uint32_t s = 0; s < n; s++, from += width) {
            const float value[1] = {lcu_load_fresh(from + 2 + c)};
            join<1>(sum, lcu_load_fresh(from), lcu_load_fresh(from + 1), value);
        }
        write_joined<1>(a, b.i, b.head + g, c, sum);
    }
}

template <uint32_t G> LCU_DEV void write_partial(const attn_block<G> &b)
{
    const lcu_attn_args &a = b.a;
    uint32_t width = a.v_dim + 2;
    for (uint32_t at = lcu_thread(); at < b.heads * width; at += ATTN_THREADS) {
        uint32_t g = at / width, c = at % width;
        size_t part = ((size_t)b.i * a.heads + b.head + g) * a.max_splits + lcu_block_z();
        float v;
        if (c == 0)
            v = b.most[g];
        else if (c == 1)
            v = b.total[g];
        else
            v = b.mixed[g * a.v_dim + c - 2];
        a.partial[part * width + c] = v;
    }
}

/* Grid: sets of heads, rows, splits that a row may need. The last block of a row joins them. */
template <uint32_t G> LCU_BODY void attn_split(const lcu_attn_args &a)
{
    ATTN_SHARED();
    LCU_SHARED(uint32_t, last, 1);
    if (!has_row(a))
        return;
    attn_block<G> b = begin_block<G>(a, numbers, bases);
    uint32_t skipped = b.first / LCU_ATTN_SPLIT;
    uint32_t n = b.end > b.first ? (b.end + LCU_ATTN_SPLIT - 1) / LCU_ATTN_SPLIT - skipped : 1;
    if (lcu_block_z() >= n)
        return;
    uint32_t from = (skipped + lcu_block_z()) * LCU_ATTN_SPLIT, to = from + LCU_ATTN_SPLIT;
    sum_split<G>(b, from, to < b.end ? to : b.end);
    if (n == 1) {
        joined<ATTN_WIDE> sum[G];
        begin_joining<G>(sum);
        join_split<G>(b, sum);
        end_joining<G>(b, sum);
        return;
    }
    write_partial<G>(b);
    lcu_fence();
    lcu_sync();
    uint32_t *counter = a.counters + b.i * lcu_grid_x() + lcu_block_x();
    if (lcu_thread() == 0)
        last[0] = lcu_atomic_add(counter, 1) == n - 1;
    lcu_sync();
    if (last[0] == 0)
        return;
    lcu_fence();
    join_partials<G>(b, n);
    if (lcu_thread() == 0)
        *counter = 0;
}

LCU_DEFINE_ALL(LCU_TABLE_ATTN)
