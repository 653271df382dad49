/* gemv.cu - few rows of activations against weights: one block of threads per four weight rows, all
 * lanes along the columns, so that every load of sixteen bytes follows the one before. Activations are
 * cut into blocks of 32 bytes for the integer formats, and stay floats for the others.
 *
 * The arithmetic is one for any number of rows: thread t of 128 takes the groups t, t + 128, ... of a
 * row in rising order into one accumulator; accumulators are joined by lcu_warp_sum, warps in rising
 * order. */
#include "backends/cuda/kernels/layouts.cuh"

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

/* Row r of the weights times row x_row[n] of the activations. Rows behind the last are the last. */
template <uint32_t L, uint32_t N>
LCU_DEV void sum_codes(const lcu_weight_view &v, const uint8_t *matrix, uint32_t first,
                       const lcu_x8 &x, const size_t x_row[N], float acc[GEMV_ROWS][N])
{
    uint32_t groups = v.cols / 32;
    for (uint32_t g = lcu_thread(); g < groups; g += GEMV_THREADS) {
        lcu_group raw[GEMV_ROWS];
        for (uint32_t r = 0; r < GEMV_ROWS; r++)
            raw[r] = lcu_load_group<L>(v, matrix, first + r < v.rows ? first + r : v.rows - 1, g);
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

template <uint32_t L, uint32_t N>
LCU_DEV void sum_floats(const lcu_weight_view &v, const uint8_t *matrix, uint32_t first,
                        const float *x, const size_t x_row[N], float acc[GEMV_ROWS][N])
{
    constexpr uint32_t wide = L == LCU_LAYOUT_F32 ? 4 : 8;
    bool aligned = v.cols % 4 == 0;
    for (uint32_t at = lcu_thread() * wide; at < v.cols; at += GEMV_THREADS * wide) {
        float w[GEMV_ROWS][wide], xs[N][wide] = {};
        uint32_t here = v.cols - at < wide ? v.cols - at : wide;
        for (uint32_t r = 0; r < GEMV_ROWS; r++) {
            uint32_t row = first + r < v.rows ? first + r : v.rows - 1;
            to_floats<L>(lcu_load_stream(matrix + (uint64_t)row * v.stride[0] + at * (16 / wide)),
                         w[r]);
        }
        for (uint32_t n = 0; n < N; n++) {
            const float *from = x + x_row[n] * v.cols + at;
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
                    acc[r][n] = i < here ? fmaf(w[r][i], xs[n][i], acc[r][n]) : acc[r][n];
    }
}

/* --- the block ------------------------------------------------------------------------------------------------ */

/* Four rows of matrix `m` from `first` on times the rows x_row[n] of the activations; result (r, n)
 * goes to out[n][first + r]. `out` NULL: not wanted. */
template <uint32_t L, uint32_t N>
LCU_DEV void multiply(const lcu_linear &l, uint32_t m, uint32_t first, const float *x,
                      const lcu_x8 &x8, const size_t x_row[N], float *const out[N])
{
    LCU_SHARED(float, parts, GEMV_WARPS *GEMV_ROWS * 8);
    static_assert(N <= 8, "parts holds eight");
    const uint8_t *matrix = l.w.data + m * l.w.matrix_bytes;
    float acc[GEMV_ROWS][N] = {};
    if constexpr (lcu_layout<L>::form == LCU_FORM_FLOAT)
        sum_floats<L, N>(l.w, matrix, first, x, x_row, acc);
    else
        sum_codes<L, N>(l.w, matrix, first, x8, x_row, acc);
    for (uint32_t r = 0; r < GEMV_ROWS; r++) {
        for (uint32_t n = 0; n < N; n++) {
            float sum = lcu_warp_sum(acc[r][n]);
            if (lcu_lane() == 0)
                parts[(lcu_warp() * GEMV_ROWS + r) * N + n] = sum;
        }
    }
    lcu_sync();
    for (uint32_t i = lcu_thread(); i < GEMV_ROWS * N; i += GEMV_THREADS) {
        uint32_t row = first + i / N;
        float *to = out[0];
        for (uint32_t n = 1; n < N; n++)
            to = i % N == n ? out[n] : to;
        if (row >= l.w.rows || to == NULL)
            continue;
        float sum = parts[i];
        for (uint32_t warp = 1; warp < GEMV_WARPS; warp++)
            sum += parts[warp * GEMV_ROWS * N + i];
        sum *= l.scale;
        to[row] = l.bias == NULL ? sum : sum + l.bias[(size_t)m * l.w.rows + row];
    }
}

/* Grid: weight rows by four, activation rows by N, heads. */
template <uint32_t L, uint32_t N> LCU_BODY void gemv(const lcu_linear_args &a)
{
    uint32_t n_rows = lcu_rows(a.run, a.in.rows), first = lcu_block_y() * N;
    if (first >= n_rows)
        return;
    uint32_t heads = lcu_grid_z(), head = lcu_block_z();
    size_t x_row[N];
    float *out[N];
    for (uint32_t n = 0; n < N; n++) {
        uint32_t row = first + n < n_rows ? first + n : n_rows - 1;
        x_row[n] = (size_t)row * heads + head;
        out[n] = first + n < n_rows ? (float *)a.out.data + x_row[n] * a.linear.w.rows : NULL;
    }
    multiply<L, N>(a.linear, head, lcu_block_x() * GEMV_ROWS, (const float *)a.in.data, a.x, x_row,
                   out);
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
    float *const outs[1] = {out};
    multiply<L, 1>(a.linear, (uint32_t)expert, first, (const float *)a.in.data, a.x, x_row, outs);
}

/* Weights do not depend on what runs before: they are on their way while it ends. */
LCU_DEV void lcu_ahead(const lcu_linear_args &a)
{
    const lcu_weight_view &w = a.linear.w;
    uint32_t first = lcu_block_x() * GEMV_ROWS;
    uint32_t rows = w.rows - first < GEMV_ROWS ? w.rows - first : GEMV_ROWS;
    for (uint32_t p = 0; p < LCU_PLANES; p++) {
        const uint8_t *from = w.data + lcu_block_z() * w.matrix_bytes + w.plane[p] +
                              (size_t)first * w.stride[p];
        for (uint32_t at = lcu_thread() * 128; at < rows * w.stride[p]; at += lcu_threads() * 128)
            lcu_prefetch(from + at);
    }
}

LCU_DEFINE_ALL(LCU_TABLE_GEMV)
