/* gemv.cu - few rows of activations against weights: one block of threads per four weight rows, all
 * lanes along the columns, so that every load of sixteen bytes follows the one before. Activations are
 * cut into blocks of 32 bytes for the integer formats, and stay floats for the others.
 *
 * The arithmetic is one for any number of rows: thread t of 128 takes the groups t, t + 128, ... of a
 * row in rising order into one accumulator; accumulators are joined by lcu_warp_sum, warps in rising
 * order. */
#include "backends/cuda/kernels/layouts.cuh"
#include "backends/cuda/kernels/math.cuh"

constexpr uint32_t GEMV_ROWS = 4, GEMV_THREADS = 128, GEMV_WARPS = GEMV_THREADS / 32;

/* --- activations ---------------------------------------------------------------------------------- */

/* A warp takes 32 values: bytes, their scale, and the sums of each sixteen. */
LCU_BODY void quantise(const lcu_quantise_args &a)
{
    uint32_t per_row = a.in.width / 32, block = lcu_block_x() * (lcu_threads() / 32) + lcu_warp();
    uint32_t row = lcu_block_y(), lane = lcu_lane();
    if (row >= lcu_rows(a.run, a.in.rows) || block >= per_row)
        return;
    size_t at = (size_t)row * per_row + block;
    float v = ((const float *)a.in.data)[at * 32 + lane];
    float largest = lcu_warp_max(fabsf(v));
    bool finite = lcu_all(fabsf(v) <= 3.402823466e38f);
    float factor = largest > 0 ? fminf(127.0f / largest, 3.402823466e38f) : 0;
    int32_t q = finite ? (int32_t)rintf(v * factor) : 0, sum = q;
    for (uint32_t mask = 8; mask > 0; mask >>= 1)
        sum += lcu_shfl_xor(sum, mask);
    int32_t other = lcu_shfl(sum, 16);
    a.x.codes[at * 32 + lane] = (int8_t)q;
    if (lane == 0) {
        float scale = finite ? largest / 127.0f : lcu_float_of(0x7fffffffu);
        a.x.blocks[at * 2] = lcu_bits_of(scale);
        a.x.blocks[at * 2 + 1] = (uint32_t)(sum & 0xffff) | (uint32_t)other << 16;
    }
}

/* --- one group of 32 against one row of activations ------------------------------------------------- */

struct x_block {
    uint32_t q[8];
    float scale;
    int32_t sum[2];
};

LCU_DEV x_block load_x(const lcu_x8 &x, size_t block)
{
    uint4 a = *(const uint4 *)(x.codes + block * 32), b = *(const uint4 *)(x.codes + block * 32 + 16);
    uint2 m = *(const uint2 *)(x.blocks + block * 2);
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w},
            lcu_float_of(m.x),
            {(int16_t)m.y, (int32_t)m.y >> 16}};
}

template <uint32_t L>
LCU_DEV float add_group(const uint32_t q[8], const lcu_terms &t, const x_block &x, float acc)
{
    using layout = lcu_layout<L>;
    int32_t s[2] = {0, 0};
    for (uint32_t w = 0; w < 8; w++)
        s[w / 4] = lcu_dp4a((int32_t)q[w], (int32_t)x.q[w], s[w / 4]);
    for (uint32_t half = 0; half < 2; half++)
        s[half] = (s[half] - layout::centre * x.sum[half]) * t.scale[half];
    acc = fmaf((float)(s[0] + s[1]), t.d * x.scale, acc);
    if constexpr (layout::form == LCU_FORM_M16) {
        acc = fmaf(-(float)x.sum[0] * x.scale, t.m[0], acc);
        acc = fmaf(-(float)x.sum[1] * x.scale, t.m[1], acc);
    } else if constexpr (layout::form == LCU_FORM_K || layout::form == LCU_FORM_DM) {
        acc = fmaf(-(float)(x.sum[0] + x.sum[1]) * x.scale, t.m[0], acc);
    }
    return acc;
}

/* --- sums of this thread --------------------------------------------------------------------------------- */

/* The weight rows of a block: four neighbours of one matrix, or two of each of a pair of matrices of the
 * same shape. */
struct weight_rows {
    const lcu_weight_view &v;
    const uint8_t *matrix[2];
    uint32_t first;
};

/* Row r of a block; rows behind the last are the last. */
template <bool PAIR> LCU_DEV uint32_t weight_row(const weight_rows &w, uint32_t r)
{
    uint32_t row = w.first + (PAIR ? r % 2 : r);
    return row < w.v.rows ? row : w.v.rows - 1;
}

template <bool PAIR> LCU_DEV const uint8_t *matrix_of(const weight_rows &w, uint32_t r)
{
    return w.matrix[PAIR ? r / 2 : 0];
}

template <uint32_t L, uint32_t N, bool PAIR>
LCU_DEV void sum_codes(const weight_rows &w, const lcu_x8 &x, const size_t x_row[N],
                       float acc[GEMV_ROWS][N])
{
    uint32_t groups = w.v.cols / 32;
    for (uint32_t g = lcu_thread(); g < groups; g += GEMV_THREADS) {
        lcu_group raw[GEMV_ROWS];
        for (uint32_t r = 0; r < GEMV_ROWS; r++)
            raw[r] = lcu_load_group<L>(w.v, matrix_of<PAIR>(w, r), weight_row<PAIR>(w, r), g);
        uint32_t q[GEMV_ROWS][8];
        lcu_terms t[GEMV_ROWS];
        for (uint32_t r = 0; r < GEMV_ROWS; r++) {
            lcu_unpack<L>(raw[r], q[r]);
            t[r] = lcu_terms_of<L>(raw[r], g);
        }
        for (uint32_t n = 0; n < N; n++) {
            x_block block = load_x(x, x_row[n] * groups + g);
            for (uint32_t r = 0; r < GEMV_ROWS; r++)
                acc[r][n] = add_group<L>(q[r], t[r], block, acc[r][n]);
        }
    }
}

/* Sixteen bytes of floats as 4 or 8 of them. */
template <uint32_t L> LCU_DEV void to_floats(uint4 raw, float *w)
{
    const uint32_t word[4] = {raw.x, raw.y, raw.z, raw.w};
    for (uint32_t i = 0; i < 4; i++) {
        if constexpr (L == LCU_LAYOUT_F32) {
            w[i] = lcu_float_of(word[i]);
        } else if constexpr (L == LCU_LAYOUT_F16) {
            w[2 * i] = lcu_from_f16((uint16_t)word[i]);
            w[2 * i + 1] = lcu_from_f16((uint16_t)(word[i] >> 16));
        } else {
            w[2 * i] = lcu_float_of(word[i] << 16);
            w[2 * i + 1] = lcu_float_of(word[i] & 0xffff0000u);
        }
    }
}

template <uint32_t L, uint32_t N, bool PAIR>
LCU_DEV void sum_floats(const weight_rows &w, const float *x, const size_t x_row[N],
                        float acc[GEMV_ROWS][N])
{
    constexpr uint32_t wide = L == LCU_LAYOUT_F32 ? 4 : 8;
    uint32_t cols = w.v.cols;
    bool aligned = cols % 4 == 0;
    for (uint32_t at = lcu_thread() * wide; at < cols; at += GEMV_THREADS * wide) {
        float ws[GEMV_ROWS][wide], xs[N][wide] = {};
        uint32_t here = cols - at < wide ? cols - at : wide;
        for (uint32_t r = 0; r < GEMV_ROWS; r++)
            to_floats<L>(lcu_load_stream(matrix_of<PAIR>(w, r) +
                                         (uint64_t)weight_row<PAIR>(w, r) * w.v.stride[0] +
                                         at * (16 / wide)),
                         ws[r]);
        for (uint32_t n = 0; n < N; n++) {
            const float *from = x + x_row[n] * cols + at;
            for (uint32_t i = 0; i < wide; i += 4) {
                if (aligned && i + 4 <= here) {
                    float4 four = *(const float4 *)(from + i);
                    xs[n][i] = four.x;
                    xs[n][i + 1] = four.y;
                    xs[n][i + 2] = four.z;
                    xs[n][i + 3] = four.w;
                } else {
                    for (uint32_t j = i; j < i + 4 && j < here; j++)
                        xs[n][j] = from[j];
                }
            }
        }
        for (uint32_t r = 0; r < GEMV_ROWS; r++)
            for (uint32_t n = 0; n < N; n++)
                for (uint32_t i = 0; i < wide; i++)
                    acc[r][n] = i < here ? fmaf(ws[r][i], xs[n][i], acc[r][n]) : acc[r][n];
    }
}

/* Sixteen columns at once: their sum meets the scale. */
template <uint32_t L, uint32_t N, bool PAIR>
LCU_DEV void sum_eights(const weight_rows &w, const float *x, const size_t x_row[N],
                        float acc[GEMV_ROWS][N])
{
    uint32_t cols = w.v.cols;
    for (uint32_t at = lcu_thread() * 16; at < cols; at += GEMV_THREADS * 16) {
        float ws[GEMV_ROWS][16], d[GEMV_ROWS];
        for (uint32_t r = 0; r < GEMV_ROWS; r++) {
            const uint8_t *matrix = matrix_of<PAIR>(w, r);
            uint64_t row = weight_row<PAIR>(w, r);
            uint4 raw = lcu_load_stream(matrix + row * w.v.stride[0] + at);
            d[r] = *(const float *)(matrix + w.v.plane[3] + row * w.v.stride[3] +
                                    at / lcu_layout<L>::head_values * lcu_layout<L>::head_bytes);
            lcu_floats_of_e4m3(raw.x, ws[r]);
            lcu_floats_of_e4m3(raw.y, ws[r] + 4);
            lcu_floats_of_e4m3(raw.z, ws[r] + 8);
            lcu_floats_of_e4m3(raw.w, ws[r] + 12);
        }
        for (uint32_t n = 0; n < N; n++) {
            const float4 *from = (const float4 *)(x + x_row[n] * cols + at);
            float part[GEMV_ROWS] = {};
            for (uint32_t i = 0; i < 4; i++) {
                float4 four = from[i];
                for (uint32_t r = 0; r < GEMV_ROWS; r++) {
                    part[r] = fmaf(ws[r][4 * i], four.x, part[r]);
                    part[r] = fmaf(ws[r][4 * i + 1], four.y, part[r]);
                    part[r] = fmaf(ws[r][4 * i + 2], four.z, part[r]);
                    part[r] = fmaf(ws[r][4 * i + 3], four.w, part[r]);
                }
            }
            for (uint32_t r = 0; r < GEMV_ROWS; r++)
                acc[r][n] = fmaf(part[r], d[r], acc[r][n]);
        }
    }
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
    if constexpr (lcu_layout<L>::form == LCU_FORM_FLOAT)
        sum_floats<L, N, PAIR>(w, x, x_row, acc);
    else if constexpr (lcu_layout<L>::form == LCU_FORM_F8)
        sum_eights<L, N, PAIR>(w, x, x_row, acc);
    else
        sum_codes<L, N, PAIR>(w, x8, x_row, acc);
    float all[GEMV_ROWS * N];
    LCU_UNROLL
    for (uint32_t i = 0; i < GEMV_ROWS * N; i++)
        all[i] = acc[i / N][i % N];
    lcu_warp_sums<GEMV_ROWS * N>(all);
    LCU_UNROLL
    for (uint32_t i = 0; i < GEMV_ROWS * N; i++)
        if (lcu_lane() == 0)
            parts[lcu_warp() * GEMV_ROWS * N + i] = all[i];
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

LCU_DEV float finish(const lcu_linear &l, uint32_t m, uint32_t row, float sum)
{
    sum *= l.scale;
    return l.bias == NULL ? sum : sum + l.bias[(size_t)m * l.w.rows + row];
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
