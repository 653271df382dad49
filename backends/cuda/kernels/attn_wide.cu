/* attn_wide.cu - attn_prompt.cu for compute capability 9.0: attention of many rows over caches of 16 bits,
 * in `fast` numerics. Two warpgroups have 64 queries each, a third brings keys and values page by page. A
 * warpgroup weighs the scores of a tile while the values of the tile before are mixed. */
#include "backends/cuda/kernels/math.cuh"
#include "backends/cuda/kernels/wrap_hopper.cuh"

#ifdef LCU_HOPPER

constexpr uint32_t WIDE_WARPS = 8, WIDE_QUERIES = 128, WIDE_STAGES = 2;
constexpr uint32_t PIECE = 16; /* slots, never across a page */
constexpr float LOG2E = 1.44269504f;

/* A row of queries, keys or values is cut into pieces of 64 values, 128 bytes, each a matrix of its own. */
template <uint32_t D> struct wide_block {
    static constexpr uint32_t slots = D == 256 ? 64 : 128; /* of a tile */
    static constexpr uint32_t units = D / 8;               /* of 16 bytes, of a row */
    static constexpr uint32_t part_bytes = slots * D * 2;
    const lcu_attn_args &a;
    uint32_t kv_head, head, heads; /* `heads` of a.pack are there */
    uint32_t row, rows, seq;       /* tokens: rows [row, row + rows) of one sequence */
    uint32_t first, end;           /* slots that any of them sees */
    uint32_t most_first, least_end;
    lcu_shared<uint8_t> queries, parts[2]; /* keys, values: [WIDE_STAGES] */
    lcu_shared<uint32_t> spoiled;          /* [WIDE_STAGES][slots] */
    lcu_barrier full[2], empty[2];         /* [WIDE_STAGES] of keys and values */
};

/* Where 16 bytes of a row lie among `rows` rows. */
LCU_DEV uint32_t unit_at(uint32_t rows, uint32_t row, uint32_t unit)
{
    return unit / 8 * rows * 128 + row * 128 + (unit % 8 ^ row % 8) * 16;
}

/* Whether every query sees all of a tile. */
template <uint32_t D> LCU_DEV bool all_see(const wide_block<D> &b, uint32_t tile)
{
    const lcu_run *run = b.a.run;
    uint32_t end = tile + b.slots;
    return tile >= b.most_first && end <= b.least_end &&
           (run->ancestor_words == 0 || end <= run->seqs[b.seq].length);
}

/* --- bringing keys and values ---------------------------------------------------------------------------- */

/* Begins to copy one part of a tile; slots that nobody sees and columns that are not there are zero. */
template <uint32_t D>
LCU_DEV void copy_part(const wide_block<D> &b, uint32_t part, uint32_t tile, uint32_t stage)
{
    const lcu_part &p = b.a.cache.parts[part];
    lcu_shared<uint8_t> to = b.parts[part] + stage * b.part_bytes;
    uint32_t at = tile + lcu_lane() * PIECE, thread = lcu_thread() - WIDE_WARPS * 32;
    uint64_t base = 0; /* of this lane's piece */
    if (lcu_lane() < b.slots / PIECE && at < b.end && at + PIECE > b.first)
        base = (uint64_t)(uintptr_t)lcu_cache_at(b.a.run, b.a.cache, (int)part, b.seq, at, b.kv_head);
    for (uint32_t i = thread; i < b.slots * b.units; i += 128) {
        uint32_t row = i / b.units, unit = i % b.units, slot = tile + row;
        uint64_t piece = lcu_shfl(base, row / PIECE);
        bool seen = slot >= b.first && slot < b.end && unit * 8 < p.dim;
        const uint8_t *from =
            (const uint8_t *)(uintptr_t)piece + row % PIECE * p.token_stride + unit * 16;
        lcu_copy_async16(to + unit_at(b.slots, row, unit), seen ? (const void *)from : b.a.in.data,
                         seen);
    }
}

/* Values that are not finite would reach rows that do not see them: zero times a NaN. They are made
 * zero, and their slots marked, so that whoever sees one becomes a NaN. */
template <uint32_t D, bool BF16> LCU_DEV void clean_values(const wide_block<D> &b, uint32_t stage)
{
    uint32_t thread = lcu_thread() - WIDE_WARPS * 32;
    for (uint32_t i = thread; i < b.slots * b.units; i += 128) {
        uint32_t row = i / b.units, first_lane = lcu_lane() / b.units * b.units;
        lcu_shared<uint4> at = lcu_recast<uint4>(b.parts[1] + stage * b.part_bytes +
                                                 unit_at(b.slots, row, i % b.units));
        uint4 v = at[0];
        bool odd = lcu_make_finite(BF16, v);
        if (odd)
            at[0] = v;
        uint32_t found = lcu_ballot(odd) >> first_lane;
        if (lcu_lane() == first_lane)
            b.spoiled[stage * b.slots + row] = (uint32_t)((found & (~0u >> (32 - b.units))) != 0);
    }
}

/* What this thread copied is there, for warpgroups too. */
template <uint32_t D, bool BF16>
LCU_DEV void hand_over(const wide_block<D> &b, uint32_t part, uint32_t tile, uint32_t n)
{
    if (part == 1 && !all_see(b, tile))
        clean_values<D, BF16>(b, n % WIDE_STAGES);
    lcu_fence_async();
    lcu_barrier_arrive(b.full[part] + n % WIDE_STAGES);
}

/* By the third warpgroup. One part is on its way while the next is begun; `n` counts tiles of all sequences. */
template <uint32_t D, bool BF16> LCU_DEV void bring(const wide_block<D> &b, uint32_t n)
{
    uint32_t begin = b.first / b.slots * b.slots;
    for (uint32_t tile = begin; tile < b.end; tile += b.slots, n++) {
        uint32_t stage = n % WIDE_STAGES;
        LCU_UNROLL
        for (uint32_t part = 0; part < 2; part++) {
            if (n >= WIDE_STAGES)
                lcu_barrier_wait(b.empty[part] + stage, n / WIDE_STAGES - 1);
            copy_part<D>(b, part, tile, stage);
            lcu_copy_commit();
            lcu_copy_wait<1>();
            if (part == 1)
                hand_over<D, BF16>(b, 0, tile, n);
            else if (tile > begin)
                hand_over<D, BF16>(b, 1, tile - b.slots, n - 1);
        }
        if (tile + b.slots >= b.end) {
            lcu_copy_wait<0>();
            hand_over<D, BF16>(b, 1, tile, n);
        }
    }
}

/* --- queries ------------------------------------------------------------------------------------------------ */

/* One query as the lane that sums it knows it. Scores count in powers of two. */
struct wide_row {
    uint32_t row, head, first, end;
    float slope, most, total;
    bool there;
};

/* By the warpgroups that have them. */
template <uint32_t D, bool BF16> LCU_DEV void load_queries(const wide_block<D> &b)
{
    const lcu_attn_args &a = b.a;
    for (uint32_t i = lcu_thread(); i < WIDE_QUERIES * b.units; i += WIDE_WARPS * 32) {
        uint32_t m = i / b.units, unit = i % b.units, token = m / a.pack, g = m % a.pack, w[4] = {};
        if (token < b.rows && g < b.heads && unit * 8 < a.k_dim) {
            const float *in = (const float *)a.in.data +
                              ((size_t)(b.row + token) * a.heads + b.head + g) * a.k_dim + unit * 8;
            LCU_UNROLL
            for (uint32_t k = 0; k < 4; k++)
                w[k] = BF16 ? lcu_pack_bf16(in[2 * k], in[2 * k + 1])
                            : lcu_pack_f16(in[2 * k], in[2 * k + 1]);
        }
        lcu_recast<uint4>(b.queries + unit_at(WIDE_QUERIES, m, unit))[0] =
            make_uint4(w[0], w[1], w[2], w[3]);
    }
    lcu_fence_async();
}

template <uint32_t D> LCU_DEV wide_row row_of(const wide_block<D> &b, uint32_t m)
{
    const lcu_attn_args &a = b.a;
    uint32_t token = m / a.pack, g = m % a.pack;
    bool there = token < b.rows && g < b.heads;
    uint32_t row = b.row + (there ? token : 0), head = b.head + (there ? g : 0);
    return {row,
            head,
            lcu_first_visible(a.run, row, a.window),
            there ? a.run->visible_end[row] : 0,
            lcu_alibi_slope(a.alibi, a.heads, head),
            -INFINITY,
            0,
            there};
}

/* --- one tile ------------------------------------------------------------------------------------------------- */

/* Begins to multiply the warpgroup's queries by the keys of tile n. */
template <uint32_t D, bool BF16>
LCU_DEV void begin_scores(const wide_block<D> &b, uint32_t n, float (&s)[wide_block<D>::slots / 2])
{
    constexpr uint32_t slots = wide_block<D>::slots;
    lcu_shared<uint8_t> q = b.queries + lcu_warp() / 4 * 64 * 128;
    lcu_shared<uint8_t> k = b.parts[0] + n % WIDE_STAGES * b.part_bytes;
    lcu_barrier_wait(b.full[0] + n % WIDE_STAGES, n / WIDE_STAGES);
    lcu_wgmma_begin();
    LCU_UNROLL
    for (uint32_t i = 0; i < D / 16; i++)
        lcu_wgmma_shared<slots, BF16>(
            s, lcu_matrix(q + i / 4 * WIDE_QUERIES * 128 + i % 4 * 32, 16, 1024, true),
            lcu_matrix(k + i / 4 * slots * 128 + i % 4 * 32, 16, 1024, true), i > 0);
    lcu_wgmma_commit();
}

/* Begins to add the values of tile n, weighed. */
template <uint32_t D, bool BF16>
LCU_DEV void begin_values(const wide_block<D> &b, uint32_t n,
                          const uint32_t (&w)[wide_block<D>::slots / 4], float (&o)[D / 2])
{
    constexpr uint32_t slots = wide_block<D>::slots;
    lcu_shared<uint8_t> v = b.parts[1] + n % WIDE_STAGES * b.part_bytes;
    lcu_barrier_wait(b.full[1] + n % WIDE_STAGES, n / WIDE_STAGES);
    lcu_wgmma_begin();
    LCU_UNROLL
    for (uint32_t i = 0; i < slots / 16; i++)
        lcu_wgmma_registers<D, BF16, true>(o, w + 4 * i,
                                           lcu_matrix(v + i * 2048, slots * 128, 1024, true), true);
    lcu_wgmma_commit();
}

template <uint32_t D> LCU_DEV void release(const wide_block<D> &b, uint32_t part, uint32_t n)
{
    if (lcu_lane() == 0)
        lcu_barrier_arrive(b.empty[part] + n % WIDE_STAGES);
}

/* A score as a power of two. */
LCU_DEV float shaped(const lcu_attn_args &a, const wide_row &r, float s, float distance)
{
    s = s * a.scale;
    if (a.softcap > 0)
        s = a.softcap * tanhf(s / a.softcap);
    return (s - r.slope * fabsf(distance)) * LOG2E;
}

/* Scores become weights; what was summed before is to be multiplied by the result. */
template <uint32_t D>
LCU_DEV float weigh(const wide_block<D> &b, wide_row &r, uint32_t tile, uint32_t n, uint32_t half,
                    float (&s)[wide_block<D>::slots / 2])
{
    constexpr uint32_t slots = wide_block<D>::slots;
    const lcu_attn_args &a = b.a;
    float most = r.most, position = (float)a.run->slots[r.row], factor = a.scale * LOG2E;
    bool spoiled = false, whole = all_see(b, tile), plain = a.softcap <= 0 && r.slope == 0;
    LCU_UNROLL
    for (uint32_t i = 0; i < slots / 4; i++) {
        uint32_t at = i / 2 * 8 + lcu_lane() % 4 * 2 + i % 2, slot = tile + at;
        float v = s[i / 2 * 4 + half * 2 + i % 2];
        v = plain ? v * factor : shaped(a, r, v, position - (float)slot);
        if (!whole) {
            bool seen = slot >= r.first && slot < r.end && lcu_sees(a.run, r.row, slot);
            if (seen)
                spoiled |= b.spoiled[n % WIDE_STAGES * slots + at] != 0;
            v = seen ? v : -INFINITY;
        }
        s[i / 2 * 4 + half * 2 + i % 2] = v;
        most = fmaxf(most, v);
    }
    most = fmaxf(most, lcu_shfl_xor(most, 1));
    most = fmaxf(most, lcu_shfl_xor(most, 2));
    float base = most == -INFINITY ? 0 : most, keep = lcu_exp2(r.most - base);
    float sum = spoiled ? NAN : 0;
    LCU_UNROLL
    for (uint32_t i = 0; i < slots / 4; i++) {
        float p = lcu_exp2(s[i / 2 * 4 + half * 2 + i % 2] - base);
        s[i / 2 * 4 + half * 2 + i % 2] = p;
        sum += p;
    }
    sum += lcu_shfl_xor(sum, 1);
    sum += lcu_shfl_xor(sum, 2);
    r.most = most;
    r.total = r.total * keep + sum;
    return keep;
}

/* The scores of tile n, which are there, become weights. */
template <uint32_t D>
LCU_DEV void weigh_rows(const wide_block<D> &b, wide_row (&r)[2], uint32_t tile, uint32_t n,
                        float (&s)[wide_block<D>::slots / 2], float (&keep)[2])
{
    release(b, 0, n);
    if (!all_see(b, tile)) /* what is spoiled is known when values are */
        lcu_barrier_wait(b.full[1] + n % WIDE_STAGES, n / WIDE_STAGES);
    keep[0] = weigh<D>(b, r[0], tile, n, 0, s);
    keep[1] = weigh<D>(b, r[1], tile, n, 1, s);
}

template <uint32_t N, bool BF16> LCU_DEV void to_operands(const float (&s)[N], uint32_t (&w)[N / 2])
{
    LCU_UNROLL
    for (uint32_t i = 0; i < N / 2; i++)
        w[i] = BF16 ? lcu_pack_bf16(s[2 * i], s[2 * i + 1]) : lcu_pack_f16(s[2 * i], s[2 * i + 1]);
}

/* --- a block ---------------------------------------------------------------------------------------------------- */

template <uint32_t D>
LCU_DEV void write_rows(const wide_block<D> &b, wide_row (&r)[2], const float (&o)[D / 2])
{
    const lcu_attn_args &a = b.a;
    LCU_UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        float factor = 1;
        if (a.sinks != NULL) {
            float sink = a.sinks[r[half].head] * LOG2E, most = fmaxf(r[half].most, sink);
            factor = lcu_exp2(r[half].most - most);
            r[half].total = r[half].total * factor + lcu_exp2(sink - most);
        }
        factor = r[half].total == 0 ? 0 : factor / r[half].total;
        float *out = (float *)a.out.data + ((size_t)r[half].row * a.heads + r[half].head) * a.v_dim;
        LCU_UNROLL
        for (uint32_t i = 0; i < D / 4; i++)
            if (r[half].there && i / 2 * 8 < a.v_dim)
                out[i / 2 * 8 + lcu_lane() % 4 * 2 + i % 2] =
                    o[i / 2 * 4 + half * 2 + i % 2] * factor;
    }
}

/* The tokens of one sequence, by a warpgroup. */
template <uint32_t D, bool BF16> LCU_DEV void attend(const wide_block<D> &b, uint32_t n)
{
    constexpr uint32_t slots = wide_block<D>::slots;
    uint32_t m = lcu_warp() * 16 + lcu_lane() / 4, tile = b.first / slots * slots;
    wide_row r[2] = {row_of(b, m), row_of(b, m + 8)};
    float o[D / 2] = {}, s[slots / 2], keep[2];
    uint32_t w[slots / 4];
    begin_scores<D, BF16>(b, n, s);
    lcu_wgmma_wait<0>(s);
    weigh_rows<D>(b, r, tile, n, s, keep);
    to_operands<slots / 2, BF16>(s, w);
    for (tile += slots; tile < b.end; tile += slots, n++) {
        begin_scores<D, BF16>(b, n + 1, s);
        begin_values<D, BF16>(b, n, w, o);
        lcu_wgmma_wait<1>(s);
        weigh_rows<D>(b, r, tile, n + 1, s, keep);
        lcu_wgmma_wait<0>(o);
        release(b, 1, n);
        LCU_UNROLL
        for (uint32_t i = 0; i < D / 2; i++)
            o[i] *= keep[i / 2 % 2];
        to_operands<slots / 2, BF16>(s, w);
    }
    begin_values<D, BF16>(b, n, w, o);
    lcu_wgmma_wait<0>(o);
    release(b, 1, n);
    write_rows<D>(b, r, o);
}

/* Where tokens begin and end to see. */
template <uint32_t D> LCU_DEV void look_around(wide_block<D> &b)
{
    const lcu_attn_args &a = b.a;
    b.first = b.least_end = ~0u;
    b.end = b.most_first = 0;
    for (uint32_t i = b.row; i < b.row + b.rows; i++) {
        uint32_t first = lcu_first_visible(a.run, i, a.window), end = a.run->visible_end[i];
        b.first = first < b.first ? first : b.first;
        b.end = end > b.end ? end : b.end;
        b.most_first = first > b.most_first ? first : b.most_first;
        b.least_end = end < b.least_end ? end : b.least_end;
    }
}

/* Every sequence of the block's tokens; each has at least one slot. */
template <uint32_t D, class U> LCU_DEV void each_sequence(wide_block<D> &b, U use)
{
    const lcu_attn_args &a = b.a;
    uint32_t tokens = WIDE_QUERIES / a.pack, first = lcu_block_y() * tokens, n = 0;
    uint32_t end = first + tokens < a.run->n_rows ? first + tokens : a.run->n_rows;
    while (first < end) {
        b.seq = a.run->row_seq[first];
        const lcu_seq &seq = a.run->seqs[b.seq];
        uint32_t last = seq.first_row + seq.n_rows;
        b.row = first;
        b.rows = (last < end ? last : end) - first;
        first += b.rows;
        if (seq.n_rows < a.prompt_rows)
            continue;
        look_around(b);
        use(n);
        n += (b.end + b.slots - 1) / b.slots - b.first / b.slots;
    }
}

/* Grid: sets of a.pack heads, tiles of 128 / a.pack rows. Dynamic shared memory: see LCU_ATTN_WIDE_BYTES.
 * Sequences of few rows are left to attn.cu. */
template <uint32_t D, bool BF16> LCU_BODY void attn_wide(const lcu_attn_args &a)
{
    constexpr uint32_t queries = WIDE_QUERIES * D * 2, part = wide_block<D>::part_bytes;
    constexpr uint32_t rest = queries + 2 * WIDE_STAGES * part;
    uint32_t group = a.heads / a.kv_heads, sets = (group + a.pack - 1) / a.pack;
    uint32_t set = lcu_block_x() % sets, kv_head = lcu_block_x() / sets;
    lcu_barrier barriers = lcu_dynamic<uint64_t>(rest);
    wide_block<D> b = {a,
                       kv_head,
                       kv_head * group + set * a.pack,
                       group - set * a.pack < a.pack ? group - set * a.pack : a.pack,
                       0,
                       0,
                       0,
                       0,
                       0,
                       0,
                       0,
                       lcu_dynamic<uint8_t>(0),
                       {lcu_dynamic<uint8_t>(queries),
                        lcu_dynamic<uint8_t>(queries + WIDE_STAGES * part)},
                       lcu_dynamic<uint32_t>(rest + 4 * WIDE_STAGES * 8),
                       {barriers, barriers + WIDE_STAGES},
                       {barriers + 2 * WIDE_STAGES, barriers + 3 * WIDE_STAGES}};
    if (lcu_thread() == 0) {
        for (uint32_t i = 0; i < 2 * WIDE_STAGES; i++) {
            lcu_barrier_init(barriers + i, 128);
            lcu_barrier_init(barriers + 2 * WIDE_STAGES + i, WIDE_WARPS);
        }
        lcu_barrier_ready();
    }
    if (lcu_warp() >= WIDE_WARPS) {
        lcu_registers_less<56>();
        each_sequence(b, [&](uint32_t n) {
            lcu_sync();
            lcu_sync();
            bring<D, BF16>(b, n);
        });
        return;
    }
    lcu_registers_more<224>();
    each_sequence(b, [&](uint32_t n) {
        lcu_sync(); /* nobody reads queries any more */
        load_queries<D, BF16>(b);
        lcu_sync();
        attend<D, BF16>(b, n);
    });
}

#else

template <uint32_t D, bool BF16> LCU_BODY void attn_wide(const lcu_attn_args &) {}

#endif

LCU_DEFINE_ALL(LCU_TABLE_ATTN_WIDE)
