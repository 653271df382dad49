/* gemv.cuh - what the multiplications of few rows share: activations as blocks of 32 bytes, and the sums of
 * one thread. The arithmetic is one for any number of rows: thread t of 128 takes the groups t, t + 128, ...
 * of a row in rising order into one accumulator; accumulators are joined by lcu_warp_sum, warps in rising
 * order. */
#ifndef LM_BACKENDS_CUDA_GEMV_CUH
#define LM_BACKENDS_CUDA_GEMV_CUH

#include "backends/cuda/kernels/layouts.cuh"
#include "backends/cuda/kernels/math.cuh"

constexpr uint32_t GEMV_ROWS = 4, GEMV_THREADS = 128, GEMV_WARPS = GEMV_THREADS / 32;

/* --- activations ---------------------------------------------------------------------------------- */

/* A quarter of a block of 32 values, the others in the neighbouring lanes. */
struct x_quarter {
    uint2 codes;
    uint2 numbers; /* of the block: bits of the scale, the sums of its halves; in its first lane */
};

LCU_DEV void load8(const float *from, float v[8])
{
    lcu_eight(*(const float4 *)from, *(const float4 *)(from + 4), v);
}

LCU_DEV x_quarter quantise8(const float v[8])
{
    float largest = 0;
    uint32_t bad = 0, words[2] = {0, 0};
    for (uint32_t i = 0; i < 8; i++) {
        largest = fmaxf(largest, fabsf(v[i]));
        bad |= !(fabsf(v[i]) <= 3.402823466e38f);
    }
    for (uint32_t mask = 1; mask <= 2; mask *= 2) {
        largest = fmaxf(largest, lcu_shfl_xor(largest, mask));
        bad |= lcu_shfl_xor(bad, mask);
    }
    float factor = largest > 0 ? fminf(127.0f / largest, 3.402823466e38f) : 0;
    int32_t sum = 0;
    for (uint32_t i = 0; i < 8; i++) {
        int32_t q = bad ? 0 : (int32_t)rintf(v[i] * factor);
        sum += q;
        words[i / 4] |= (uint32_t)(q & 255) << (8 * (i % 4));
    }
    sum += lcu_shfl_xor(sum, 1);
    int32_t other = lcu_shfl_xor(sum, 2);
    float scale = bad ? lcu_float_of(0x7fffffffu) : largest / 127.0f;
    return {make_uint2(words[0], words[1]),
            make_uint2(lcu_bits_of(scale), (uint32_t)(sum & 0xffff) | (uint32_t)other << 16)};
}

/* Leaves the sums of this warp over its lanes at parts[at + row * N + n]. */
template <uint32_t N>
LCU_DEV void leave_sums(const float acc[][N], lcu_shared<float> parts, uint32_t at)
{
    float all[GEMV_ROWS * N];
    LCU_UNROLL
    for (uint32_t i = 0; i < GEMV_ROWS * N; i++)
        all[i] = acc[i / N][i % N];
    lcu_warp_sums<GEMV_ROWS * N>(all);
    LCU_UNROLL
    for (uint32_t i = 0; i < GEMV_ROWS * N; i++)
        if (lcu_lane() == 0)
            parts[at + i] = all[i];
}

LCU_DEV void store_quarter(const lcu_x8 &x, size_t block, uint32_t quarter, const x_quarter &q)
{
    *(uint2 *)(x.codes + block * 32 + quarter * 8) = q.codes;
    if (quarter == 0)
        *(uint2 *)(x.blocks + block * 2) = q.numbers;
}

/* --- one group of 32 against one row of activations ------------------------------------------------- */

struct x_block {
    uint32_t q[8];
    float scale;
    int32_t sum[2];
};

LCU_DEV x_block x_block_of(uint4 a, uint4 b, uint2 numbers)
{
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w},
            lcu_float_of(numbers.x),
            {(int16_t)numbers.y, (int32_t)numbers.y >> 16}};
}

LCU_DEV x_block load_x(const lcu_x8 &x, size_t block)
{
    return x_block_of(*(const uint4 *)(x.codes + block * 32),
                      *(const uint4 *)(x.codes + block * 32 + 16),
                      *(const uint2 *)(x.blocks + block * 2));
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

/* `x(n, g)`: block g of activation row n. */
template <uint32_t L, uint32_t N, bool PAIR, class X>
LCU_DEV void sum_codes(const weight_rows &w, uint32_t thread, X x, float acc[GEMV_ROWS][N])
{
    uint32_t groups = w.v.cols / 32;
    LCU_ROLLED
    for (uint32_t g = thread; g < groups; g += GEMV_THREADS) {
        lcu_group raw[GEMV_ROWS];
        for (uint32_t r = 0; r < GEMV_ROWS; r++)
            raw[r] = lcu_load_group<L>(w.v, matrix_of<PAIR>(w, r), weight_row<PAIR>(w, r), g);
        uint32_t q[GEMV_ROWS][8];
        lcu_terms t[GEMV_ROWS];
        for (uint32_t r = 0; r < GEMV_ROWS; r++) {
            lcu_unpack<L>(raw[r], q[r]);
            t[r] = lcu_terms_of<L>(raw[r], g);
        }
        LCU_UNROLL
        for (uint32_t n = 0; n < N; n++) {
            x_block block = x(n, g);
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

/* `change(n, column, v)`: what is multiplied in place of the activation v. */
template <uint32_t L, uint32_t N, bool PAIR, class C>
LCU_DEV void sum_floats(const weight_rows &w, uint32_t thread, const float *x,
                        const size_t x_row[N], C change, float acc[GEMV_ROWS][N])
{
    constexpr uint32_t wide = L == LCU_LAYOUT_F32 ? 4 : 8;
    uint32_t cols = w.v.cols;
    bool aligned = cols % 4 == 0;
    LCU_ROLLED
    for (uint32_t at = thread * wide; at < cols; at += GEMV_THREADS * wide) {
        float ws[GEMV_ROWS][wide], xs[N][wide] = {};
        uint32_t here = cols - at < wide ? cols - at : wide;
        for (uint32_t r = 0; r < GEMV_ROWS; r++)
            to_floats<L>(lcu_load_stream(matrix_of<PAIR>(w, r) +
                                         (uint64_t)weight_row<PAIR>(w, r) * w.v.stride[0] +
                                         at * (16 / wide)),
                         ws[r]);
        LCU_UNROLL
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
                    LCU_UNROLL
                    for (uint32_t j = i; j < i + 4; j++)
                        if (j < here)
                            xs[n][j] = from[j];
                }
            }
            for (uint32_t i = 0; i < wide; i++)
                if (i < here)
                    xs[n][i] = change(n, at + i, xs[n][i]);
        }
        for (uint32_t r = 0; r < GEMV_ROWS; r++)
            for (uint32_t n = 0; n < N; n++)
                for (uint32_t i = 0; i < wide; i++)
                    acc[r][n] = i < here ? fmaf(ws[r][i], xs[n][i], acc[r][n]) : acc[r][n];
    }
}

/* The same for eight-bit floats: the sum of sixteen columns meets their scale. */
template <uint32_t L, uint32_t N, bool PAIR, class C>
LCU_DEV void sum_eights(const weight_rows &w, uint32_t thread, const float *x,
                        const size_t x_row[N], C change, float acc[GEMV_ROWS][N])
{
    uint32_t cols = w.v.cols;
    LCU_ROLLED
    for (uint32_t at = thread * 16; at < cols; at += GEMV_THREADS * 16) {
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
        LCU_UNROLL
        for (uint32_t n = 0; n < N; n++) {
            const float4 *from = (const float4 *)(x + x_row[n] * cols + at);
            float part[GEMV_ROWS] = {};
            for (uint32_t i = 0; i < 4; i++) {
                float4 four = from[i];
                four.x = change(n, at + 4 * i, four.x);
                four.y = change(n, at + 4 * i + 1, four.y);
                four.z = change(n, at + 4 * i + 2, four.z);
                four.w = change(n, at + 4 * i + 3, four.w);
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

/* Activations as floats. */
template <uint32_t L, uint32_t N, bool PAIR, class C>
LCU_DEV void sum_values(const weight_rows &w, uint32_t thread, const float *x,
                        const size_t x_row[N], C change, float acc[GEMV_ROWS][N])
{
    if constexpr (lcu_layout<L>::form == LCU_FORM_FLOAT)
        sum_floats<L, N, PAIR>(w, thread, x, x_row, change, acc);
    else
        sum_eights<L, N, PAIR>(w, thread, x, x_row, change, acc);
}

LCU_DEV float finish(const lcu_linear &l, uint32_t m, uint32_t row, float sum)
{
    sum *= l.scale;
    return l.bias == NULL ? sum : sum + l.bias[(size_t)m * l.w.rows + row];
}

#endif
