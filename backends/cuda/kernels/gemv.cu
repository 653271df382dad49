/* gemv.cu - a few rows of activations against weights, eight at a time, and experts: one block of threads
 * per four weight rows, all lanes along the columns, so that every load of sixteen bytes follows the one
 * before. Activations are cut into blocks of 32 bytes for the integer formats, and stay floats for the
 * others. */
#include "backends/cuda/kernels/gemv.cuh"

/* A block of threads takes 64 blocks of 32 values. */
LCU_BODY void quantise(const lcu_quantise_args &a)
{
    uint32_t per_row = a.in.width / 32, quarter = lcu_thread() % 4, row = lcu_block_y();
    uint32_t block = (lcu_block_x() * lcu_threads() + lcu_thread()) / 4;
    if (row >= lcu_rows(a.run, a.in.rows))
        return;
    float v[8] = {};
    size_t at = (size_t)row * per_row + block;
    if (block < per_row)
        load8((const float *)a.in.data + at * 32 + quarter * 8, v);
    x_quarter q = quantise8(v);
    if (block < per_row)
        store_quarter(a.x, at, quarter, q);
}

/* --- the block ------------------------------------------------------------------------------------------------ */

/* The block's rows times the rows x_row[n] of the activations, before scale and bias: the sum of row r
 * and activation row n is sums[r * N + n] of the result, for all threads to see. */
template <uint32_t L, uint32_t N, bool PAIR>
LCU_DEV lcu_shared<float> multiply(const weight_rows &w, const float *x, const lcu_x8 &x8,
                                   const size_t x_row[N])
{
    LCU_SHARED(float, parts, GEMV_WARPS *GEMV_ROWS * 8);
    LCU_SHARED(float, sums, GEMV_ROWS * 8);
    static_assert(N <= 8, "there is room for eight");
    float acc[GEMV_ROWS][N] = {};
    if constexpr (!LCU_IS_CODES(L))
        sum_values<L, N, PAIR>(
            w, lcu_thread(), x, x_row, [](uint32_t, uint32_t, float v) { return v; }, acc);
    else
        sum_codes<L, N, PAIR>(
            w, lcu_thread(),
            [&](uint32_t n, uint32_t g) { return load_x(x8, x_row[n] * (w.v.cols / 32) + g); },
            acc);
    leave_sums<N>(acc, parts, lcu_warp() * GEMV_ROWS * N);
    lcu_sync();
    if (lcu_thread() < GEMV_ROWS * N) {
        float sum = parts[lcu_thread()];
        for (uint32_t warp = 1; warp < GEMV_WARPS; warp++)
            sum += parts[warp * GEMV_ROWS * N + lcu_thread()];
        sums[lcu_thread()] = sum;
    }
    lcu_sync();
    return sums;
}

/* The activation rows of a block, N from block y on; those behind the last are the last. */
template <uint32_t N>
LCU_DEV void find_rows(uint32_t n_rows, size_t x_row[N])
{
    uint32_t first = lcu_block_y() * N;
    for (uint32_t n = 0; n < N; n++) {
        uint32_t row = first + n < n_rows ? first + n : n_rows - 1;
        x_row[n] = (size_t)row * lcu_grid_z() + lcu_block_z();
    }
}

/* Grid: weight rows by four, those of all parts one behind the other; activation rows by N; heads. */
template <uint32_t L, uint32_t N> LCU_BODY void gemv(const lcu_linear_args &a)
{
    uint32_t n_rows = lcu_rows(a.run, a.in.rows), first = lcu_block_y() * N, part = 0;
    if (first >= n_rows)
        return;
    while (lcu_block_x() >= a.parts[part].end)
        part++;
    uint32_t before = part == 0 ? 0 : a.parts[part - 1].end, head = lcu_block_z();
    const lcu_linear &l = a.parts[part].linear;
    const uint8_t *matrix = l.w.data + head * l.w.matrix_bytes;
    weight_rows w = {l.w, {matrix, matrix}, (lcu_block_x() - before) * GEMV_ROWS};
    size_t x_row[N];
    find_rows<N>(n_rows, x_row);
    lcu_shared<float> sums = multiply<L, N, false>(w, (const float *)a.in.data, a.x, x_row);
    uint32_t i = lcu_thread() / GEMV_ROWS, row = w.first + lcu_thread() % GEMV_ROWS;
    if (i >= N || first + i >= n_rows || row >= l.w.rows)
        return;
    float sum = finish(l, head, row, sums[lcu_thread() % GEMV_ROWS * N + i]);
    size_t at = ((size_t)(first + i) * lcu_grid_z() + head) * l.w.rows + row;
    if (a.residual != NULL)
        sum = sum + a.residual[at];
    ((float *)a.parts[part].out.data)[at] = sum;
}

/* act(gate) * up, parts 0 and 1, which have one shape. Grid: weight rows by two, activation rows by N. */
template <uint32_t L, uint32_t N> LCU_BODY void gemv_glu(const lcu_linear_args &a)
{
    uint32_t n_rows = lcu_rows(a.run, a.in.rows), first = lcu_block_y() * N;
    if (first >= n_rows)
        return;
    const lcu_linear &gate = a.parts[0].linear, &up = a.parts[1].linear;
    weight_rows w = {gate.w, {gate.w.data, up.w.data}, lcu_block_x() * (GEMV_ROWS / 2)};
    size_t x_row[N];
    find_rows<N>(n_rows, x_row);
    lcu_shared<float> sums = multiply<L, N, true>(w, (const float *)a.in.data, a.x, x_row);
    uint32_t i = lcu_thread() / 2, r = lcu_thread() % 2, row = w.first + r;
    if (i >= N || first + i >= n_rows || row >= gate.w.rows)
        return;
    float g = finish(gate, 0, row, sums[r * N + i]), u = finish(up, 0, row, sums[(r + 2) * N + i]);
    ((float *)a.parts[0].out.data)[(size_t)(first + i) * gate.w.rows + row] = lcu_act(a.act, g) * u;
}

/* Grid: weight rows by four, then the places of one row, then rows. A place without an expert is
 * zero. */
template <uint32_t L> LCU_BODY void gemv_expert(const lcu_expert_args &a)
{
    uint32_t row = lcu_block_z(), first = lcu_block_x() * GEMV_ROWS;
    if (row >= lcu_rows(a.run, a.in.rows))
        return;
    size_t place = (size_t)row * a.used + lcu_block_y();
    int32_t expert = ((const int32_t *)a.ids.data)[place];
    float *out = (float *)a.out.data + place * a.linear.w.rows;
    if (expert < 0 || (uint32_t)expert >= a.linear.w.experts) {
        uint32_t at = first + lcu_thread();
        if (lcu_thread() < GEMV_ROWS && at < a.linear.w.rows)
            out[at] = 0;
        return;
    }
    const size_t x_row[1] = {a.per_expert_input ? place : row};
    const uint8_t *matrix = a.linear.w.data + (uint32_t)expert * a.linear.w.matrix_bytes;
    weight_rows w = {a.linear.w, {matrix, matrix}, first};
    lcu_shared<float> sums = multiply<L, 1, false>(w, (const float *)a.in.data, a.x, x_row);
    if (lcu_thread() < GEMV_ROWS && first + lcu_thread() < a.linear.w.rows)
        out[first + lcu_thread()] =
            finish(a.linear, (uint32_t)expert, first + lcu_thread(), sums[lcu_thread()]);
}

/* Weights do not depend on what runs before: they are on their way while it ends. Each block asks for
 * four rows of the parts in turn, whichever block then takes them. */
LCU_DEV void lcu_ahead(const lcu_linear_args &a)
{
    uint32_t part = 0;
    while (lcu_block_x() >= a.parts[part].end)
        part++;
    const lcu_weight_view &w = a.parts[part].linear.w;
    uint32_t first = (lcu_block_x() - (part == 0 ? 0 : a.parts[part - 1].end)) * GEMV_ROWS;
    uint32_t rows = w.rows - first < GEMV_ROWS ? w.rows - first : GEMV_ROWS;
    for (uint32_t p = 0; p < LCU_PLANES; p++) {
        const uint8_t *from = w.data + lcu_block_z() * w.matrix_bytes + w.plane[p] +
                              (size_t)first * w.stride[p];
        for (uint32_t at = lcu_thread() * 128; at < rows * w.stride[p]; at += lcu_threads() * 128)
            lcu_prefetch(from + at);
    }
}

LCU_DEFINE_ALL(LCU_TABLE_GEMV)
