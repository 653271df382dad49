/* attn_prompt.cu - attention of many rows on the tensor cores, in `fast` numerics: queries and
 * weights of slots are rounded to the 16 bits of the cache (f16 for caches of other types), sums are
 * floats. A block takes 64 queries: tokens of one sequence times heads that share keys and values;
 * a warp has sixteen of them. */
#include "backends/cuda/kernels/cached.cuh"
#include "backends/cuda/kernels/math.cuh"

constexpr uint32_t PROMPT_QUERIES = 64, PROMPT_SLOTS = 64, PROMPT_THREADS = 128;

struct prompt_block {
    const lcu_attn_args &a;
    uint32_t kv_head, head, heads; /* `heads` of a.pack are there */
    uint32_t row, rows;            /* tokens: rows [row, row + rows) of one sequence */
    uint32_t first, end;           /* slots that any of them sees */
    bool k_bf16, v_bf16;
    uint32_t k_stride, v_stride; /* bytes in shared memory */
    lcu_shared<uint8_t> queries, keys, values;
    lcu_shared<uint64_t> bases;
    lcu_shared<uint32_t> spoiled; /* [PROMPT_SLOTS] */
};

/* One query as the lane that sums it knows it. */
struct prompt_row {
    uint32_t row, head, first, end;
    float slope, most, total;
    bool there;
};

/* --- into shared memory ---------------------------------------------------------------------------- */

LCU_DEV void load_queries(const prompt_block &b)
{
    const lcu_attn_args &a = b.a;
    uint32_t per = a.k_dim / 8;
    for (uint32_t i = lcu_thread(); i < PROMPT_QUERIES * per; i += PROMPT_THREADS) {
        uint32_t m = i / per, c = i % per * 8, token = m / a.pack, g = m % a.pack;
        float v[8] = {};
        if (token < b.rows && g < b.heads) {
            const float *in =
                (const float *)a.in.data + ((size_t)(b.row + token) * a.heads + b.head + g) * a.k_dim;
            for (uint32_t j = 0; j < 8; j++)
                v[j] = in[c + j];
        }
        lcu_recast<uint4>(b.queries + m * b.k_stride + c * 2)[0] = lcu_pack8(v, b.k_bf16);
    }
}

/* Begins to bring one part of a tile, as 16 bits; slots that nobody sees are zero. */
LCU_DEV void load_part(const prompt_block &b, int part, uint32_t tile)
{
    const lcu_part &p = b.a.cache.parts[part];
    bool direct = p.format == LM_F16 || p.format == LM_BF16;
    lcu_shared<uint8_t> to = part == 0 ? b.keys : b.values;
    uint32_t stride = part == 0 ? b.k_stride : b.v_stride, per = p.dim / 8;
    for (uint32_t i = lcu_thread(); i < PROMPT_SLOTS * per; i += PROMPT_THREADS) {
        uint32_t at = i / per, c = i % per, slot = tile + at;
        uint64_t base = b.bases[(uint32_t)part * (PROMPT_SLOTS / LCU_RUN_SLOTS) + at / LCU_RUN_SLOTS];
        bool seen = base != 0 && slot >= b.first && slot < b.end;
        const uint8_t *head = (const uint8_t *)(uintptr_t)base + at % LCU_RUN_SLOTS * p.token_stride;
        if (direct)
            lcu_copy_async16(to + at * stride + c * 16, seen ? (const void *)(head + c * 16) : b.a.in.data,
                             seen);
        else
            lcu_recast<uint4>(to + at * stride + c * 16)[0] =
                seen ? lcu_convert8(p.format, head, c * 8) : make_uint4(0, 0, 0, 0);
    }
}

/* Values that are not finite would reach rows that do not see them: zero times a NaN. They are made
 * zero, and their slots marked, so that whoever sees one becomes a NaN. */
LCU_DEV void clean_values(const prompt_block &b)
{
    const lcu_part &p = b.a.cache.parts[1];
    uint32_t per = p.dim / 8;
    for (uint32_t i = lcu_thread(); i < PROMPT_SLOTS * per; i += PROMPT_THREADS) {
        uint32_t at = i / per;
        lcu_shared<uint4> place = lcu_recast<uint4>(b.values + at * b.v_stride + i % per * 16);
        uint4 v = place[0];
        if (lcu_make_finite(b.v_bf16, v)) {
            place[0] = v;
            lcu_shared_add(b.spoiled + at, 1);
        }
    }
}

/* --- one tile ------------------------------------------------------------------------------------------ */

LCU_DEV void mma16(bool bf16, float d[4], const uint32_t a[4], const uint32_t b[2])
{
    if (bf16)
        lcu_mma_bf16(d, a, b);
    else
        lcu_mma_f16(d, a, b);
}

/* Sixteen queries times 64 keys. */
LCU_DEV void score_keys(const prompt_block &b, float s[8][4])
{
    uint32_t lane = lcu_lane(), i = lane / 8;
    lcu_shared<uint8_t> q =
        b.queries + (lcu_warp() * 16 + lane % 16) * b.k_stride + lane / 16 * 16;
    lcu_shared<uint8_t> k = b.keys + (i / 2 * 8 + lane % 8) * b.k_stride + i % 2 * 16;
    for (uint32_t c = 0; c < b.a.k_dim; c += 16) {
        uint32_t qa[4];
        lcu_ldmatrix(qa, q + c * 2);
        LCU_UNROLL
        for (uint32_t n = 0; n < 8; n += 2) {
            uint32_t kb[4];
            lcu_ldmatrix(kb, k + n * 8 * b.k_stride + c * 2);
            mma16(b.k_bf16, s[n], qa, kb);
            mma16(b.k_bf16, s[n + 1], qa, kb + 2);
        }
    }
}

/* Scores become weights; what was summed before is to be multiplied by the result. `whole`: every
 * query sees every slot. */
LCU_DEV float weigh(const prompt_block &b, prompt_row &r, uint32_t tile, bool whole, uint32_t half,
                    float s[8][4])
{
    const lcu_attn_args &a = b.a;
    float most = r.most, position = (float)a.run->slots[r.row];
    bool spoiled = false;
    LCU_UNROLL
    for (uint32_t i = 0; i < 16; i++) {
        float v = s[i / 2][half * 2 + i % 2] * a.scale;
        uint32_t at = i / 2 * 8 + lcu_lane() % 4 * 2 + i % 2, slot = tile + at;
        if (a.softcap > 0)
            v = a.softcap * tanhf(v / a.softcap);
        v = v - r.slope * fabsf(position - (float)slot);
        if (!whole) {
            bool seen = slot >= r.first && slot < r.end && lcu_sees(a.run, r.row, slot);
            spoiled |= seen && b.spoiled[at] != 0;
            v = seen ? v : -INFINITY;
        }
        s[i / 2][half * 2 + i % 2] = v;
        most = fmaxf(most, v);
    }
    most = fmaxf(most, lcu_shfl_xor(most, 1));
    most = fmaxf(most, lcu_shfl_xor(most, 2));
    float base = most == -INFINITY ? 0 : most, keep = expf(r.most - base);
    float sum = spoiled ? NAN : 0;
    LCU_UNROLL
    for (uint32_t i = 0; i < 16; i++) {
        float p = expf(s[i / 2][half * 2 + i % 2] - base);
        s[i / 2][half * 2 + i % 2] = p;
        sum += p;
    }
    sum += lcu_shfl_xor(sum, 1);
    sum += lcu_shfl_xor(sum, 2);
    r.most = most;
    r.total = r.total * keep + sum;
    return keep;
}

/* Weights times values, D columns. */
template <uint32_t D>
LCU_DEV void mix_values(const prompt_block &b, const float s[8][4], float o[D / 8][4])
{
    uint32_t lane = lcu_lane(), i = lane / 8;
    lcu_shared<uint8_t> v = b.values + (i % 2 * 8 + lane % 8) * b.v_stride + i / 2 * 16;
    LCU_UNROLL
    for (uint32_t k = 0; k < 8; k += 2) {
        uint32_t pa[4];
        for (uint32_t j = 0; j < 4; j++) {
            float low = s[k + j / 2][j % 2 * 2], high = s[k + j / 2][j % 2 * 2 + 1];
            pa[j] = b.v_bf16 ? lcu_pack_bf16(low, high) : lcu_pack_f16(low, high);
        }
        LCU_UNROLL
        for (uint32_t n = 0; n < D / 8; n += 2) {
            if (n * 8 >= b.a.v_dim)
                continue;
            uint32_t vb[4];
            lcu_ldmatrix_t(vb, v + k * 8 * b.v_stride + n * 16);
            mma16(b.v_bf16, o[n], pa, vb);
            mma16(b.v_bf16, o[n + 1], pa, vb + 2);
        }
    }
}

/* --- a block ---------------------------------------------------------------------------------------------- */

LCU_DEV prompt_row row_of(const prompt_block &b, uint32_t m)
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

/* Whether every query sees all of [tile, tile + PROMPT_SLOTS). */
LCU_DEV bool all_see(const prompt_block &b, uint32_t tile, uint32_t most_first, uint32_t least_end)
{
    const lcu_run *run = b.a.run;
    uint32_t length = run->seqs[run->row_seq[b.row]].length;
    return tile >= most_first && tile + PROMPT_SLOTS <= least_end &&
           (run->ancestor_words == 0 || tile + PROMPT_SLOTS <= length);
}

template <uint32_t D>
LCU_DEV void write_rows(const prompt_block &b, prompt_row r[2], const float o[D / 8][4])
{
    const lcu_attn_args &a = b.a;
    LCU_UNROLL
    for (uint32_t half = 0; half < 2; half++) {
        float factor = 1;
        if (a.sinks != NULL) {
            float sink = a.sinks[r[half].head], most = fmaxf(r[half].most, sink);
            factor = expf(r[half].most - most);
            r[half].total = r[half].total * factor + expf(sink - most);
        }
        factor = r[half].total == 0 ? 0 : factor / r[half].total;
        float *out = (float *)a.out.data + ((size_t)r[half].row * a.heads + r[half].head) * a.v_dim;
        LCU_UNROLL
        for (uint32_t n = 0; n < D / 8; n++)
            LCU_UNROLL
            for (uint32_t j = 0; j < 2; j++)
                if (r[half].there && n * 8 < a.v_dim)
                    out[n * 8 + lcu_lane() % 4 * 2 + j] = o[n][half * 2 + j] * factor;
    }
}

/* The tokens of one sequence. */
template <uint32_t D> LCU_DEV void attend(prompt_block &b)
{
    const lcu_attn_args &a = b.a;
    uint32_t m = lcu_warp() * 16 + lcu_lane() / 4, seq = a.run->row_seq[b.row];
    prompt_row r[2] = {row_of(b, m), row_of(b, m + 8)};
    float o[D / 8][4] = {};
    uint32_t most_first = 0, least_end = ~0u;
    b.first = ~0u;
    b.end = 0;
    for (uint32_t i = b.row; i < b.row + b.rows; i++) {
        uint32_t first = lcu_first_visible(a.run, i, a.window), end = a.run->visible_end[i];
        b.first = first < b.first ? first : b.first;
        b.end = end > b.end ? end : b.end;
        most_first = first > most_first ? first : most_first;
        least_end = end < least_end ? end : least_end;
    }
    lcu_sync();
    load_queries(b);
    for (uint32_t tile = b.first / PROMPT_SLOTS * PROMPT_SLOTS; tile < b.end; tile += PROMPT_SLOTS) {
        bool whole = all_see(b, tile, most_first, least_end);
        lcu_find_tile(a.run, a.cache, seq, b.kv_head, tile, PROMPT_SLOTS, b.first, b.end, b.bases);
        if (lcu_thread() < PROMPT_SLOTS)
            b.spoiled[lcu_thread()] = 0;
        lcu_sync();
        load_part(b, 0, tile);
        lcu_copy_commit();
        load_part(b, 1, tile);
        lcu_copy_commit();
        lcu_copy_wait<1>();
        lcu_sync();
        float s[8][4] = {};
        score_keys(b, s);
        lcu_copy_wait<0>();
        lcu_sync();
        if (!whole) {
            clean_values(b);
            lcu_sync();
        }
        LCU_UNROLL
        for (uint32_t half = 0; half < 2; half++) {
            float keep = weigh(b, r[half], tile, whole, half, s);
            LCU_UNROLL
            for (uint32_t n = 0; n < D / 8; n++) {
                o[n][half * 2] *= keep;
                o[n][half * 2 + 1] *= keep;
            }
        }
        mix_values<D>(b, s, o);
        lcu_sync();
    }
    write_rows<D>(b, r, o);
}

/* Grid: sets of a.pack heads, tiles of 64 / a.pack rows. Dynamic shared memory: queries, keys,
 * values. Sequences of few rows are left to attn.cu. */
template <uint32_t D> LCU_BODY void attn_prompt(const lcu_attn_args &a)
{
    LCU_SHARED(uint64_t, bases, 2 * PROMPT_SLOTS / LCU_RUN_SLOTS);
    LCU_SHARED(uint32_t, spoiled, PROMPT_SLOTS);
    uint32_t group = a.heads / a.kv_heads, sets = (group + a.pack - 1) / a.pack;
    uint32_t set = lcu_block_x() % sets, kv_head = lcu_block_x() / sets;
    uint32_t tokens = PROMPT_QUERIES / a.pack, first = lcu_block_y() * tokens;
    uint32_t end = first + tokens < a.run->n_rows ? first + tokens : a.run->n_rows;
    uint32_t k_stride = a.k_dim * 2 + 16, v_stride = a.v_dim * 2 + 16;
    prompt_block b = {a,
                      kv_head,
                      kv_head * group + set * a.pack,
                      group - set * a.pack < a.pack ? group - set * a.pack : a.pack,
                      0,
                      0,
                      0,
                      0,
                      a.cache.parts[0].format == LM_BF16,
                      a.cache.parts[1].format == LM_BF16,
                      k_stride,
                      v_stride,
                      lcu_dynamic<uint8_t>(0),
                      lcu_dynamic<uint8_t>(PROMPT_QUERIES * k_stride),
                      lcu_dynamic<uint8_t>((PROMPT_QUERIES + PROMPT_SLOTS) * k_stride),
                      bases,
                      spoiled};
    while (first < end) {
        const lcu_seq &seq = a.run->seqs[a.run->row_seq[first]];
        uint32_t last = seq.first_row + seq.n_rows;
        b.row = first;
        b.rows = (last < end ? last : end) - first;
        if (seq.n_rows >= a.prompt_rows)
            attend<D>(b);
        first += b.rows;
    }
}

LCU_DEFINE_ALL(LCU_TABLE_ATTN_PROMPT)
