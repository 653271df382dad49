/* attn_latent.cu - attention over latent entries on the tensor cores, in `fast` numerics: one vector per
 * slot is the key of all heads, and its beginning their value, so that a tile is brought to shared
 * memory once and multiplied twice. Queries and weights of slots are rounded to the 16 bits of the cache
 * (f16 for caches of other types), sums are floats.
 *
 * A block takes M queries: heads of one token, or tokens of one sequence times heads. Few rows share
 * out their slots in as many parts as the planner says; attn_latent_join joins them. */
#include "backends/cuda/kernels/cached.cuh"
#include "backends/cuda/kernels/math.cuh"

constexpr uint32_t LATENT_SLOTS = LCU_LATENT_SLOTS, LATENT_COLUMNS = 512; /* v_dim at most */
constexpr uint32_t LATENT_PIECES = LATENT_SLOTS / LCU_RUN_SLOTS;
constexpr uint32_t WEIGHT_STRIDE = LATENT_SLOTS * 2 + 16;

/* How M queries are shared out: to multiply with keys a warp has sixteen of them and some slots, to mix
 * it has all of them and some columns. */
template <uint32_t M> struct latent_shape {
    static constexpr uint32_t WARPS = M == 64 ? 8 : 4, THREADS = WARPS * 32;
    static constexpr uint32_t ROW_TILES = M / 16, ACROSS = WARPS / ROW_TILES;
    static constexpr uint32_t SLOT_TILES = LATENT_SLOTS / 8 / ACROSS;
    static constexpr uint32_t COLUMNS = LATENT_COLUMNS / WARPS;
};

struct latent_block {
    const lcu_attn_args &a;
    uint32_t head, heads; /* `heads` of a.pack are there */
    uint32_t row, rows;   /* tokens: rows [row, row + rows) of one sequence */
    uint32_t first, end;  /* slots that any of them sees */
    uint32_t stride;      /* bytes of a query or key in shared memory */
    lcu_shared<uint8_t> queries, keys, weights;
    lcu_shared<float> most, total, keep;  /* [M] */
    lcu_shared<float> maxima, sums;       /* [ACROSS][M] of the tile */
    lcu_shared<uint64_t> bases;           /* of two tiles */
    lcu_shared<uint32_t> spoiled;         /* [LATENT_SLOTS] */
};

/* One query as the lane that weighs its slots knows it. */
struct latent_row {
    uint32_t row, first, end;
    float slope;
    bool there;
};

/* Sixteen bytes of a row lie where rows eight apart, and no nearer ones, share banks. */
LCU_DEV uint32_t unit_at(uint32_t stride, uint32_t row, uint32_t unit)
{
    return row * stride + ((unit ^ (row & 7)) << 4);
}

template <bool BF16> LCU_DEV void mma16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    if (BF16)
        lcu_mma_bf16(d, a, b);
    else
        lcu_mma_f16(d, a, b);
}

/* --- into shared memory ---------------------------------------------------------------------------- */

/* Columns behind k_dim are zeros, in queries and in both stages of keys. */
template <uint32_t M, bool BF16> LCU_DEV void load_queries(const latent_block &b)
{
    const lcu_attn_args &a = b.a;
    uint32_t per = b.stride / 16;
    for (uint32_t i = lcu_thread(); i < M * per; i += lcu_threads()) {
        uint32_t m = i / per, c = i % per, token = m / a.pack, g = m % a.pack;
        float v[8] = {};
        if (token < b.rows && g < b.heads && c * 8 < a.k_dim) {
            const float *in =
                (const float *)a.in.data + ((size_t)(b.row + token) * a.heads + b.head + g) * a.k_dim;
            for (uint32_t j = 0; j < 8; j++)
                v[j] = in[c * 8 + j];
        }
        lcu_recast<uint4>(b.queries + unit_at(b.stride, m, c))[0] = lcu_pack8(v, BF16);
    }
    for (uint32_t i = lcu_thread(); i < 2 * LATENT_SLOTS * per; i += lcu_threads())
        if (i % per * 8 >= a.k_dim)
            lcu_recast<uint4>(b.keys + unit_at(b.stride, i / per, i % per))[0] =
                make_uint4(0, 0, 0, 0);
}

/* Begins to bring a tile, as 16 bits; slots that nobody sees are zero. */
LCU_DEV void load_keys(const latent_block &b, uint32_t tile, uint32_t stage)
{
    const lcu_part &p = b.a.cache.parts[0];
    bool direct = p.format == LM_F16 || p.format == LM_BF16;
    uint32_t per = p.dim / 8;
    for (uint32_t i = lcu_thread(); i < LATENT_SLOTS * per; i += lcu_threads()) {
        uint32_t at = i / per, c = i % per, slot = tile + at;
        uint64_t base = b.bases[stage * 2 * LATENT_PIECES + at / LCU_RUN_SLOTS];
        bool seen = base != 0 && slot >= b.first && slot < b.end;
        const uint8_t *key = (const uint8_t *)(uintptr_t)base + at % LCU_RUN_SLOTS * p.token_stride;
        lcu_shared<uint8_t> to = b.keys + unit_at(b.stride, stage * LATENT_SLOTS + at, c);
        if (direct)
            lcu_copy_async16(to, seen ? (const void *)(key + c * 16) : b.a.in.data, seen);
        else
            lcu_recast<uint4>(to)[0] =
                seen ? lcu_convert8(p.format, key, c * 8) : make_uint4(0, 0, 0, 0);
    }
}

/* Values that are not finite would reach rows that do not see them: zero times a NaN. They are made
 * zero, and their slots marked, so that whoever sees one becomes a NaN. */
template <bool BF16> LCU_DEV void clean_values(const latent_block &b, uint32_t stage)
{
    uint32_t per = b.a.v_dim / 8;
    for (uint32_t i = lcu_thread(); i < LATENT_SLOTS * per; i += lcu_threads()) {
        uint32_t at = i / per;
        lcu_shared<uint4> place =
            lcu_recast<uint4>(b.keys + unit_at(b.stride, stage * LATENT_SLOTS + at, i % per));
        uint4 v = place[0];
        if (lcu_make_finite(BF16, v)) {
            place[0] = v;
            lcu_shared_add(b.spoiled + at, 1);
        }
    }
}

/* --- one tile ------------------------------------------------------------------------------------------ */

/* Sixteen queries times this warp's slots. */
template <uint32_t M, bool BF16>
LCU_DEV void score_keys(const latent_block &b, uint32_t stage, float s[latent_shape<M>::SLOT_TILES][4])
{
    using shape = latent_shape<M>;
    uint32_t lane = lcu_lane(), warp = lcu_warp();
    uint32_t query = warp / shape::ACROSS * 16 + lane % 16;
    uint32_t slot = stage * LATENT_SLOTS + warp % shape::ACROSS * shape::SLOT_TILES * 8 + lane % 8;
    for (uint32_t unit = 0; unit < b.stride / 16; unit += 4) {
        uint32_t q[2][4];
        lcu_ldmatrix(q[0], b.queries + unit_at(b.stride, query, unit + lane / 16));
        lcu_ldmatrix(q[1], b.queries + unit_at(b.stride, query, unit + 2 + lane / 16));
        LCU_UNROLL
        for (uint32_t n = 0; n < shape::SLOT_TILES; n++) {
            uint32_t k[4];
            lcu_ldmatrix(k, b.keys + unit_at(b.stride, slot + n * 8, unit + lane / 8));
            mma16<BF16>(s[n], q[0], k);
            mma16<BF16>(s[n], q[1], k + 2);
        }
    }
}

/* Scores as they are weighed; the largest of each query's in this warp goes to `maxima`. */
template <uint32_t M>
LCU_DEV void finish_scores(const latent_block &b, const latent_row r[2], uint32_t tile, bool whole,
                           float s[latent_shape<M>::SLOT_TILES][4])
{
    using shape = latent_shape<M>;
    const lcu_attn_args &a = b.a;
    uint32_t lane = lcu_lane(), across = lcu_warp() % shape::ACROSS;
    LCU_UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        float most = -INFINITY, position = (float)a.run->slots[r[half].row];
        LCU_UNROLL
        for (uint32_t i = 0; i < 2 * shape::SLOT_TILES; i++) {
            uint32_t at = (across * shape::SLOT_TILES + i / 2) * 8 + lane % 4 * 2 + i % 2;
            uint32_t slot = tile + at;
            float v = s[i / 2][half * 2 + i % 2] * a.scale;
            if (a.softcap > 0)
                v = a.softcap * tanhf(v / a.softcap);
            v = v - r[half].slope * fabsf(position - (float)slot);
            if (!whole && !(slot >= r[half].first && slot < r[half].end &&
                            lcu_sees(a.run, r[half].row, slot)))
                v = -INFINITY;
            s[i / 2][half * 2 + i % 2] = v;
            most = fmaxf(most, v);
        }
        most = fmaxf(most, lcu_shfl_xor(most, 1));
        most = fmaxf(most, lcu_shfl_xor(most, 2));
        if (lane % 4 == 0)
            b.maxima[across * M + lcu_warp() / shape::ACROSS * 16 + half * 8 + lane / 4] = most;
    }
}

template <uint32_t M> LCU_DEV float next_most(const latent_block &b, uint32_t m)
{
    float most = b.most[m];
    LCU_UNROLL
    for (uint32_t w = 0; w < latent_shape<M>::ACROSS; w++)
        most = fmaxf(most, b.maxima[w * M + m]);
    return most;
}

/* Scores become weights in shared memory; `keep` is what sums so far are to be multiplied by. */
template <uint32_t M, bool BF16>
LCU_DEV void weigh(const latent_block &b, bool whole,
                   const float s[latent_shape<M>::SLOT_TILES][4])
{
    using shape = latent_shape<M>;
    uint32_t lane = lcu_lane(), across = lcu_warp() % shape::ACROSS;
    LCU_UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        uint32_t m = lcu_warp() / shape::ACROSS * 16 + half * 8 + lane / 4;
        float most = next_most<M>(b, m), base = most == -INFINITY ? 0 : most, sum = 0;
        LCU_UNROLL
        for (uint32_t n = 0; n < shape::SLOT_TILES; n++) {
            uint32_t at = (across * shape::SLOT_TILES + n) * 8 + lane % 4 * 2;
            float p[2];
            LCU_UNROLL
            for (uint32_t j = 0; j < 2; j++) {
                float v = s[n][half * 2 + j];
                p[j] = expf(v - base);
                sum += !whole && v != -INFINITY && b.spoiled[at + j] != 0 ? NAN : p[j];
            }
            lcu_recast<uint32_t>(b.weights + m * WEIGHT_STRIDE + at * 2)[0] =
                BF16 ? lcu_pack_bf16(p[0], p[1]) : lcu_pack_f16(p[0], p[1]);
        }
        sum += lcu_shfl_xor(sum, 1);
        sum += lcu_shfl_xor(sum, 2);
        if (lane % 4 == 0) {
            b.sums[across * M + m] = sum;
            if (across == 0)
                b.keep[m] = expf(b.most[m] - base);
        }
    }
}

/* Weights times values: all queries, this warp's columns. */
template <uint32_t M, bool BF16>
LCU_DEV void mix_values(const latent_block &b, uint32_t stage,
                        float o[latent_shape<M>::ROW_TILES][latent_shape<M>::COLUMNS / 8][4])
{
    using shape = latent_shape<M>;
    uint32_t lane = lcu_lane(), first = lcu_warp() * shape::COLUMNS;
    LCU_UNROLL
    for (uint32_t t = 0; t < shape::ROW_TILES; t++) {
        float low = b.keep[t * 16 + lane / 4], high = b.keep[t * 16 + 8 + lane / 4];
        LCU_UNROLL
        for (uint32_t n = 0; n < shape::COLUMNS / 8; n++) {
            o[t][n][0] *= low;
            o[t][n][1] *= low;
            o[t][n][2] *= high;
            o[t][n][3] *= high;
        }
    }
    LCU_UNROLL
    for (uint32_t k = 0; k < LATENT_SLOTS; k += 16) {
        uint32_t p[shape::ROW_TILES][4];
        LCU_UNROLL
        for (uint32_t t = 0; t < shape::ROW_TILES; t++)
            lcu_ldmatrix(p[t], b.weights + (t * 16 + lane % 16) * WEIGHT_STRIDE + k * 2 +
                                   lane / 16 * 16);
        uint32_t slot = stage * LATENT_SLOTS + k + lane / 8 % 2 * 8 + lane % 8;
        LCU_UNROLL
        for (uint32_t n = 0; n < shape::COLUMNS / 8; n += 2) {
            if (first + n * 8 >= b.a.v_dim)
                continue;
            uint32_t v[4];
            lcu_ldmatrix_t(v, b.keys + unit_at(b.stride, slot, first / 8 + n + lane / 16));
            LCU_UNROLL
            for (uint32_t t = 0; t < shape::ROW_TILES; t++) {
                mma16<BF16>(o[t][n], p[t], v);
                mma16<BF16>(o[t][n + 1], p[t], v + 2);
            }
        }
    }
}

/* --- a block ---------------------------------------------------------------------------------------------- */

template <uint32_t M> LCU_DEV latent_row row_of(const latent_block &b, uint32_t half)
{
    const lcu_attn_args &a = b.a;
    uint32_t m = lcu_warp() / latent_shape<M>::ACROSS * 16 + half * 8 + lcu_lane() / 4;
    uint32_t token = m / a.pack, g = m % a.pack;
    bool there = token < b.rows && g < b.heads;
    uint32_t row = b.row + (there ? token : 0), head = b.head + (there ? g : 0);
    return {row, lcu_first_visible(a.run, row, a.window), there ? a.run->visible_end[row] : 0,
            lcu_alibi_slope(a.alibi, a.heads, head), there};
}

/* Tiles of one part when a row's slots are shared out, four at least; whole when there is one part. */
LCU_DEV uint32_t tiles_of_part(const lcu_attn_args &a, uint32_t first, uint32_t end)
{
    uint32_t begin = first / LATENT_SLOTS, last = (end + LATENT_SLOTS - 1) / LATENT_SLOTS;
    uint32_t tiles = last > begin ? last - begin : 1;
    uint32_t each = (tiles + a.max_splits - 1) / a.max_splits;
    return a.max_splits > 1 && each < 4 ? 4 : each;
}

/* One query's sums in a part: most, total, mixed values. */
LCU_DEV float *part_of(const lcu_attn_args &a, uint32_t row, uint32_t head, uint32_t part)
{
    return a.partial + (((size_t)row * a.heads + head) * a.max_splits + part) * (a.v_dim + 2);
}

/* The factor of a query's mixed values when no other part follows; a sink is the last. */
LCU_DEV float last_factor(const lcu_attn_args &a, uint32_t head, float most, float total)
{
    float factor = 1;
    if (a.sinks != NULL) {
        float sink = a.sinks[head], larger = fmaxf(most, sink);
        factor = expf(most - larger);
        total = total * factor + expf(sink - larger);
    }
    return total == 0 ? 0 : factor / total;
}

template <uint32_t M>
LCU_DEV void write_rows(const latent_block &b,
                        const float o[latent_shape<M>::ROW_TILES][latent_shape<M>::COLUMNS / 8][4])
{
    using shape = latent_shape<M>;
    const lcu_attn_args &a = b.a;
    bool parts = a.max_splits > 1;
    LCU_UNROLL
    for (uint32_t i = 0; i < 2 * shape::ROW_TILES; i++) {
        uint32_t m = i * 8 + lcu_lane() / 4, token = m / a.pack, g = m % a.pack;
        if (token >= b.rows || g >= b.heads)
            continue;
        uint32_t row = b.row + token, head = b.head + g;
        float most = b.most[m], total = b.total[m];
        float *part = parts ? part_of(a, row, head, lcu_block_z()) : NULL;
        float *out = parts ? part + 2 : (float *)a.out.data + ((size_t)row * a.heads + head) * a.v_dim;
        float factor = parts ? 1 : last_factor(a, head, most, total);
        LCU_UNROLL
        for (uint32_t n = 0; n < shape::COLUMNS / 8; n++) {
            uint32_t c = lcu_warp() * shape::COLUMNS + n * 8 + lcu_lane() % 4 * 2;
            if (c >= a.v_dim)
                continue;
            out[c] = o[i / 2][n][i % 2 * 2] * factor;
            out[c + 1] = o[i / 2][n][i % 2 * 2 + 1] * factor;
        }
        if (parts && lcu_warp() == 0 && lcu_lane() % 4 == 0) {
            part[0] = most;
            part[1] = total;
        }
    }
}

/* What all rows of the block see: whole tiles need no masks. */
struct latent_range {
    uint32_t most_first, least_end;
};

LCU_DEV latent_range find_range(latent_block &b)
{
    const lcu_attn_args &a = b.a;
    latent_range all = {0, ~0u};
    b.first = ~0u;
    b.end = 0;
    for (uint32_t i = b.row; i < b.row + b.rows; i++) {
        uint32_t first = lcu_first_visible(a.run, i, a.window), end = a.run->visible_end[i];
        b.first = first < b.first ? first : b.first;
        b.end = end > b.end ? end : b.end;
        all.most_first = first > all.most_first ? first : all.most_first;
        all.least_end = end < all.least_end ? end : all.least_end;
    }
    const lcu_seq &seq = a.run->seqs[a.run->row_seq[b.row]];
    if (a.run->ancestor_words != 0 && all.least_end > seq.length)
        all.least_end = seq.length;
    return all;
}

/* Finds a tile's slots; `lcu_sync` before they are read. */
LCU_DEV void find_keys(const latent_block &b, uint32_t seq, uint32_t tile, uint32_t stage)
{
    lcu_find_tile(b.a.run, b.a.cache, seq, 0, tile, LATENT_SLOTS, b.first, b.end,
                  b.bases + stage * 2 * LATENT_PIECES);
}

/* The tokens of one sequence, in the slots of this block's part. */
template <uint32_t M, bool BF16> LCU_DEV void attend(latent_block &b)
{
    using shape = latent_shape<M>;
    const lcu_attn_args &a = b.a;
    uint32_t seq = a.run->row_seq[b.row];
    latent_range all = find_range(b);
    uint32_t span = tiles_of_part(a, b.first, b.end) * LATENT_SLOTS;
    uint32_t tile = b.first / LATENT_SLOTS * LATENT_SLOTS + lcu_block_z() * span;
    uint32_t end = tile + span < b.end ? tile + span : b.end;
    if (lcu_block_z() > 0 && tile >= end)
        return;
    latent_row r[2] = {row_of<M>(b, 0), row_of<M>(b, 1)};
    float o[shape::ROW_TILES][shape::COLUMNS / 8][4] = {};
    lcu_sync();
    load_queries<M, BF16>(b);
    if (lcu_thread() < M) {
        b.most[lcu_thread()] = -INFINITY;
        b.total[lcu_thread()] = 0;
    }
    find_keys(b, seq, tile, 0);
    lcu_sync();
    load_keys(b, tile, 0);
    lcu_copy_commit();
    for (uint32_t stage = 0; tile < end; tile += LATENT_SLOTS, stage ^= 1) {
        bool whole = tile >= all.most_first && tile + LATENT_SLOTS <= all.least_end;
        if (tile + LATENT_SLOTS < end)
            find_keys(b, seq, tile + LATENT_SLOTS, stage ^ 1);
        if (lcu_thread() < LATENT_SLOTS)
            b.spoiled[lcu_thread()] = 0;
        lcu_sync();
        if (tile + LATENT_SLOTS < end)
            load_keys(b, tile + LATENT_SLOTS, stage ^ 1);
        lcu_copy_commit();
        lcu_copy_wait<1>();
        lcu_sync();
        float s[shape::SLOT_TILES][4] = {};
        score_keys<M, BF16>(b, stage, s);
        finish_scores<M>(b, r, tile, whole, s);
        lcu_sync();
        if (!whole) {
            clean_values<BF16>(b, stage);
            lcu_sync();
        }
        weigh<M, BF16>(b, whole, s);
        lcu_sync();
        mix_values<M, BF16>(b, stage, o);
        if (lcu_thread() < M) {
            float sum = 0, total = b.total[lcu_thread()], keep = b.keep[lcu_thread()];
            for (uint32_t w = 0; w < shape::ACROSS; w++)
                sum += b.sums[w * M + lcu_thread()];
            float most = next_most<M>(b, lcu_thread());
            b.total[lcu_thread()] = total * keep + sum;
            b.most[lcu_thread()] = most;
        }
    }
    lcu_copy_wait<0>();
    lcu_sync();
    write_rows<M>(b, o);
}

/* Grid: sets of a.pack heads, tiles of M / a.pack rows, parts. Dynamic shared memory: queries, two tiles of
 * keys. */
template <uint32_t M, bool BF16> LCU_BODY void attn_latent(const lcu_attn_args &a)
{
    LCU_SHARED(uint8_t, weights, M *WEIGHT_STRIDE);
    LCU_SHARED(float, numbers, (3 + 2 * latent_shape<M>::ACROSS) * M);
    LCU_SHARED(uint64_t, bases, 4 * LATENT_PIECES);
    LCU_SHARED(uint32_t, spoiled, LATENT_SLOTS);
    uint32_t tokens = M / a.pack, first = lcu_block_y() * tokens, stride = LCU_LATENT_STRIDE(a.k_dim);
    uint32_t end = first + tokens < a.run->n_rows ? first + tokens : a.run->n_rows;
    uint32_t head = lcu_block_x() * a.pack;
    latent_block b = {a,
                      head,
                      a.heads - head < a.pack ? a.heads - head : a.pack,
                      0,
                      0,
                      0,
                      0,
                      stride,
                      lcu_dynamic<uint8_t>(0),
                      lcu_dynamic<uint8_t>(M * stride),
                      weights,
                      numbers,
                      numbers + M,
                      numbers + 2 * M,
                      numbers + 3 * M,
                      numbers + (3 + latent_shape<M>::ACROSS) * M,
                      bases,
                      spoiled};
    while (first < end) {
        const lcu_seq &seq = a.run->seqs[a.run->row_seq[first]];
        uint32_t last = seq.first_row + seq.n_rows;
        b.row = first;
        b.rows = (last < end ? last : end) - first;
        attend<M, BF16>(b);
        first += b.rows;
    }
}

/* Grid: heads, rows. A thread has some columns of the parts of one query. */
LCU_BODY void attn_latent_join(const lcu_attn_args &a)
{
    uint32_t row = lcu_block_y(), head = lcu_block_x();
    if (row >= a.run->n_rows)
        return;
    uint32_t first = lcu_first_visible(a.run, row, a.window), end = a.run->visible_end[row];
    uint32_t begin = first / LATENT_SLOTS * LATENT_SLOTS;
    uint32_t span = tiles_of_part(a, first, end) * LATENT_SLOTS;
    uint32_t n = end > begin ? (end - begin + span - 1) / span : 1;
    float most = -INFINITY, total = 0;
    for (uint32_t i = 0; i < n; i++)
        most = fmaxf(most, part_of(a, row, head, i)[0]);
    float base = most == -INFINITY ? 0 : most;
    for (uint32_t i = 0; i < n; i++)
        total += part_of(a, row, head, i)[1] * expf(part_of(a, row, head, i)[0] - base);
    float factor = last_factor(a, head, most, total);
    for (uint32_t c = lcu_thread(); c < a.v_dim; c += lcu_threads()) {
        float sum = 0;
        for (uint32_t i = 0; i < n; i++)
            sum += part_of(a, row, head, i)[2 + c] * expf(part_of(a, row, head, i)[0] - base);
        ((float *)a.out.data)[((size_t)row * a.heads + head) * a.v_dim + c] = sum * factor;
    }
}

LCU_DEFINE_ALL(LCU_TABLE_ATTN_LATENT)
