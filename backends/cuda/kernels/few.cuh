/* few.cuh - one to four rows of activations against weights, with all that lies between two such
 * multiplications: norms and blocks of bytes are made by each block for itself, in shared memory, since
 * rows are small; residuals, activation functions, blocks for the next and what is done with heads follow
 * where results are written.
 *
 * A block has teams of 128 threads. Each takes fours of weight rows, one after the other, without waiting
 * for anybody; sums of warps are joined behind the last. The arithmetic is that of gemv.cuh. */
#ifndef LM_BACKENDS_CUDA_FEW_CUH
#define LM_BACKENDS_CUDA_FEW_CUH

#include "backends/cuda/kernels/gemv.cuh"
#include "backends/cuda/kernels/heads.cuh"

constexpr uint32_t FEW_TEAMS = LCU_FEW_TEAMS, FEW_THREADS = FEW_TEAMS * GEMV_THREADS;
constexpr uint32_t FEW_ROWS = 4,
                   FEW_FOURS = LCU_FEW_DEPTH * FEW_TEAMS; /* of weight rows, at most */
constexpr uint32_t FEW_MOST = FEW_FOURS * GEMV_ROWS;      /* weight rows of a block */
constexpr uint32_t FEW_AHEAD = 16; /* weight rows of a block that are fetched ahead */

/* --- shared memory beside the launch's own ---------------------------------------------------------- */

/* Mean and factor of each row for its norm: [2 * n], [2 * n + 1]. */
LCU_DEV lcu_shared<float> few_numbers()
{
    LCU_SHARED(float, numbers, 2 * FEW_ROWS);
    return numbers;
}

/* Sums of warps: [(four * GEMV_WARPS + warp) * GEMV_ROWS * N + row * N + n]. */
LCU_DEV lcu_shared<float> few_parts()
{
    LCU_SHARED(float, parts, FEW_FOURS *GEMV_WARPS *GEMV_ROWS *FEW_ROWS);
    return parts;
}

/* Results that are wanted as bytes: [N][each]. */
LCU_DEV lcu_shared<float> few_kept()
{
    LCU_SHARED(float, kept, FEW_MOST *FEW_ROWS);
    return kept;
}

/* --- weight rows -------------------------------------------------------------------------------------- */

/* Which weight rows a block has: those of all parts lie one behind the other. */
struct few_place {
    uint32_t part, first, each; /* its first row, and how many it may have */
};

LCU_DEV few_place few_place_of(const lcu_few_args &a)
{
    uint32_t part = 0, each = a.depth * FEW_TEAMS * (a.pair ? GEMV_ROWS / 2 : GEMV_ROWS);
    while (lcu_block_x() >= a.parts[part].end)
        part++;
    return {part, (lcu_block_x() - (part == 0 ? 0 : a.parts[part - 1].end)) * each, each};
}

/* Weights do not depend on what runs before: they are on their way while it ends. */
LCU_DEV void lcu_ahead(const lcu_few_args &a)
{
    few_place at = few_place_of(a);
    for (uint32_t i = 0; i < (a.pair ? 2 : 1); i++) {
        const lcu_weight_view &w = a.parts[at.part + i].linear.w;
        uint32_t rows = w.rows - at.first, most = a.pair ? FEW_AHEAD / 2 : FEW_AHEAD;
        rows = rows < at.each ? rows : at.each;
        rows = rows < most ? rows : most;
        for (uint32_t p = 0; p < LCU_PLANES; p++) {
            const uint8_t *from = w.data + lcu_block_z() * w.matrix_bytes + w.plane[p] +
                                  (size_t)at.first * w.stride[p];
            for (uint32_t b = lcu_thread() * 128; b < rows * w.stride[p]; b += FEW_THREADS * 128)
                lcu_prefetch(from + b);
        }
    }
}

/* --- activations ---------------------------------------------------------------------------------- */

/* Row n of the activations; those behind the last are the last. */
LCU_DEV size_t few_row(const lcu_few_args &a, uint32_t n)
{
    uint32_t rows = lcu_rows(a.run, a.in.rows);
    return (size_t)(n < rows ? n : rows - 1) * lcu_grid_z() + lcu_block_z();
}

LCU_DEV const float *few_x(const lcu_few_args &a, uint32_t n)
{
    return (const float *)a.in.data + few_row(a, n) * a.parts[0].linear.w.cols;
}

template <uint32_t N> LCU_APART void measure_rows(const lcu_few_args &a)
{
    LCU_SHARED(float, parts, 32);
    lcu_shared<float> numbers = few_numbers();
    if (a.norm.group > LCU_NORM_WARP) {
        for (uint32_t n = 0; n < N; n++) {
            lcu_norm_numbers m = lcu_measure<false>(a.norm, few_x(a, n), parts);
            if (lcu_thread() == 0) {
                numbers[2 * n] = m.mean;
                numbers[2 * n + 1] = m.factor;
            }
        }
    } else if (lcu_warp() < N) {
        lcu_norm_numbers m = lcu_measure<true>(a.norm, few_x(a, lcu_warp()), parts);
        if (lcu_lane() == 0) {
            numbers[2 * lcu_warp()] = m.mean;
            numbers[2 * lcu_warp() + 1] = m.factor;
        }
    }
    lcu_sync();
}

/* Blocks of bytes in shared memory: the halves of their codes apart, so that neighbours fall into different
 * banks. */
struct few_blocks {
    lcu_shared<uint4> low, high; /* [N][groups] */
    lcu_shared<uint2> numbers;
    uint32_t groups;
};

template <uint32_t N> LCU_DEV few_blocks few_blocks_of(uint32_t groups)
{
    return {lcu_dynamic<uint4>(0), lcu_dynamic<uint4>(N * groups * 16),
            lcu_dynamic<uint2>(N * groups * 32), groups};
}

template <uint32_t N> LCU_APART void copy_blocks(const lcu_few_args &a)
{
    few_blocks to = few_blocks_of<N>(a.parts[0].linear.w.cols / 32);
    for (uint32_t n = 0; n < N; n++) {
        for (uint32_t g = lcu_thread(); g < to.groups; g += FEW_THREADS) {
            size_t from = few_row(a, n) * to.groups + g;
            const uint4 *codes = (const uint4 *)(a.x.codes + from * 32);
            to.low[n * to.groups + g] = codes[0];
            to.high[n * to.groups + g] = codes[1];
            to.numbers[n * to.groups + g] = *(const uint2 *)(a.x.blocks + from * 2);
        }
    }
}

template <uint32_t N> LCU_APART void make_blocks(const lcu_few_args &a)
{
    few_blocks to = few_blocks_of<N>(a.parts[0].linear.w.cols / 32);
    lcu_shared<float> numbers = few_numbers();
    uint32_t quarter = lcu_thread() % 4;
    for (uint32_t n = 0; n < N; n++) {
        const float *x = few_x(a, n);
        lcu_norm_numbers m = {0, 1};
        if (a.norm.group != 0)
            m = {numbers[2 * n], numbers[2 * n + 1]};
        for (uint32_t begin = lcu_warp() * 8; begin < to.groups; begin += FEW_THREADS / 4) {
            uint32_t g = begin + lcu_lane() / 4, column = g * 32 + quarter * 8;
            float v[8] = {};
            if (g < to.groups)
                load8(x + column, v);
            for (uint32_t i = 0; a.norm.group != 0 && g < to.groups && i < 8; i++)
                v[i] = lcu_normed(a.norm, column + i, column + i, v[i], m);
            x_quarter q = quantise8(v);
            if (g >= to.groups)
                continue;
            lcu_shared<uint4> half = quarter < 2 ? to.low : to.high;
            lcu_recast<uint2>(half)[(n * to.groups + g) * 2 + quarter % 2] = q.codes;
            if (quarter == 0)
                to.numbers[n * to.groups + g] = q.numbers;
        }
    }
}

/* --- sums ------------------------------------------------------------------------------------------ */

template <uint32_t L, uint32_t N, bool PAIR>
LCU_DEV void sum_fours(const lcu_few_args &a, const few_place &at)
{
    lcu_shared<float> numbers = few_numbers(), parts = few_parts();
    const lcu_weight_view &v = a.parts[at.part].linear.w;
    const uint8_t *other = PAIR ? a.parts[1].linear.w.data : v.data;
    uint64_t skip = lcu_block_z() * v.matrix_bytes;
    uint32_t team = lcu_thread() / GEMV_THREADS, thread = lcu_thread() % GEMV_THREADS;
    few_blocks x = few_blocks_of<N>(v.cols / 32);
    size_t x_row[N];
    for (uint32_t n = 0; n < N; n++)
        x_row[n] = few_row(a, n);
    LCU_ROLLED
    for (uint32_t d = 0; d < a.depth; d++) {
        uint32_t four = d * FEW_TEAMS + team;
        weight_rows w = {
            v, {v.data + skip, other + skip}, at.first + four * (PAIR ? GEMV_ROWS / 2 : GEMV_ROWS)};
        if (w.first >= v.rows)
            break;
        float acc[GEMV_ROWS][N] = {};
        if constexpr (!LCU_IS_CODES(L))
            sum_values<L, N, PAIR>(
                w, thread, (const float *)a.in.data, x_row,
                [&](uint32_t n, uint32_t column, float value) {
                    if (a.norm.group == 0)
                        return value;
                    lcu_norm_numbers m = {numbers[2 * n], numbers[2 * n + 1]};
                    return lcu_normed(a.norm, column, column, value, m);
                },
                acc);
        else
            sum_codes<L, N, PAIR>(
                w, thread,
                [&](uint32_t n, uint32_t g) {
                    uint32_t i = n * x.groups + g;
                    uint4 low = x.low[i], high = x.high[i];
                    uint2 more = x.numbers[i];
                    return x_block_of(low, high, more);
                },
                acc);
        leave_sums<N>(acc, parts, (four * GEMV_WARPS + thread / 32) * GEMV_ROWS * N);
    }
}

/* Row r of a four, activation row n, with scale and bias. */
template <uint32_t N>
LCU_DEV float joined_sum(const lcu_linear &l, uint32_t four, uint32_t r, uint32_t n, uint32_t row)
{
    lcu_shared<float> parts = few_parts();
    uint32_t at = four * GEMV_WARPS * GEMV_ROWS * N + r * N + n;
    float sum = parts[at];
    for (uint32_t warp = 1; warp < GEMV_WARPS; warp++)
        sum += parts[at + warp * GEMV_ROWS * N];
    return finish(l, lcu_block_z(), row, sum);
}

/* --- results ------------------------------------------------------------------------------------------ */

template <uint32_t N, bool PAIR>
LCU_APART void write_rows(const lcu_few_args &a, const few_place at)
{
    lcu_shared<float> kept = few_kept();
    constexpr uint32_t rows = PAIR ? GEMV_ROWS / 2 : GEMV_ROWS;
    const lcu_linear_part &p = a.parts[at.part];
    uint32_t n_rows = lcu_rows(a.run, a.in.rows);
    for (uint32_t i = lcu_thread(); i < at.each * N; i += FEW_THREADS) {
        uint32_t n = i % N, in = i / N, row = at.first + in;
        if (row >= p.linear.w.rows || n >= n_rows)
            continue;
        float v = joined_sum<N>(p.linear, in / rows, in % rows, n, row);
        v = lcu_act(a.act, v);
        if constexpr (PAIR)
            v = v * joined_sum<N>(a.parts[1].linear, in / rows, in % rows + rows, n, row);
        size_t to = ((size_t)n * lcu_grid_z() + lcu_block_z()) * p.linear.w.rows + row;
        if (a.residual != NULL)
            v = v + a.residual[to];
        ((float *)p.out.data)[to] = v;
        if (a.out_x.codes != NULL)
            kept[n * at.each + in] = v;
    }
}

/* By one warp, four lanes for each block of 32 results. */
template <uint32_t N> LCU_APART void quantise_rows(const lcu_few_args &a, const few_place at)
{
    lcu_shared<float> kept = few_kept();
    uint32_t rows = a.parts[0].linear.w.rows, quarter = lcu_lane() % 4;
    uint32_t n = lcu_lane() / 4 % N, in = lcu_lane() / 4 / N * 32;
    bool there = n < lcu_rows(a.run, a.in.rows) && in < at.each && at.first + in < rows;
    float v[8] = {};
    for (uint32_t i = 0; there && i < 8; i++)
        v[i] = kept[n * at.each + in + quarter * 8 + i];
    x_quarter q = quantise8(v);
    if (there)
        store_quarter(a.out_x, ((size_t)n * rows + at.first + in) / 32, quarter, q);
}

/* The block that brings the last values of a head does the rest with it. */
LCU_APART void finish_heads(const lcu_few_args &a, const few_place at)
{
    LCU_SHARED(uint32_t, whole, FEW_MOST / LCU_FEW_HEAD + 2);
    const lcu_heads_args &h = a.heads;
    uint32_t part = a.first_head_part + at.part, dim = h.dim[part], counter = 0;
    uint32_t end = at.first + at.each, rows = h.heads[part] * dim;
    end = end < rows ? end : rows;
    uint32_t first = at.first / dim, n_heads = (end - 1) / dim + 1 - first;
    for (uint32_t i = 0; i < part; i++)
        counter += h.heads[i];
    lcu_fence();
    lcu_sync();
    if (lcu_thread() < n_heads) {
        uint32_t head = first + lcu_thread(), from = head * dim, to = from + dim;
        uint32_t here = (to < end ? to : end) - (from > at.first ? from : at.first);
        bool last = lcu_atomic_add(h.counters + counter + head, here) + here == dim;
        if (last)
            h.counters[counter + head] = 0;
        whole[lcu_thread()] = last;
    }
    lcu_sync();
    lcu_fence();
    uint32_t n_rows = lcu_rows(a.run, a.in.rows);
    for (uint32_t i = lcu_warp(); i < n_heads * n_rows; i += FEW_THREADS / 32)
        if (whole[i / n_rows] != 0)
            finish_head(h, i % n_rows, part, first + i / n_rows,
                        lcu_dynamic<float>(lcu_warp() * h.room * 4));
}

/* --- blocks ---------------------------------------------------------------------------------------------- */

/* L: the weights' layout, M: that of the last of three. Grid: weight rows of all parts, heads. Dynamic
 * shared memory: activations as bytes, or a head for each warp. */
template <uint32_t L, uint32_t N, uint32_t M, bool PAIR>
LCU_DEV void few_rows(const lcu_few_args &a)
{
    if (lcu_rows(a.run, a.in.rows) == 0)
        return;
    few_place at = few_place_of(a);
    bool other = L != M && at.part == 2;
    if (a.norm.group != 0)
        measure_rows<N>(a);
    if constexpr (LCU_IS_CODES(L)) {
        if (a.x.codes != NULL)
            copy_blocks<N>(a);
        else
            make_blocks<N>(a);
        lcu_sync();
    }
    if (!other)
        sum_fours<L, N, PAIR>(a, at);
    if constexpr (L != M)
        if (other)
            sum_fours<M, N, PAIR>(a, at);
    lcu_sync();
    write_rows<N, PAIR>(a, at);
    if (a.out_x.codes != NULL) {
        lcu_sync();
        if (lcu_warp() == 0)
            quantise_rows<N>(a, at);
    }
    if constexpr (!PAIR)
        if (a.heads.counters != NULL)
            finish_heads(a, at);
}

#endif
