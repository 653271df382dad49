/* tiles.cu - many rows of activations against weights on the tensor cores, in `fast` numerics:
 * activations and weights are rounded to 16 bits, sums are floats.
 *
 * Weights are the left operand, 16 rows by 16 columns, and go from memory straight to the registers
 * where they are multiplied. The columns that one multiplication takes may be any sixteen as long as
 * both operands agree, so lane t of four has the 32 neighbouring columns of group t, as memory does:
 * sixteen bytes of four-bit codes. Activations are written in that order once (pack_x) and shared. */
#include "backends/cuda/kernels/tiles.cuh"

/* --- activations ------------------------------------------------------------------------------------ */

/* Position p of the packed rows, chunk c, quarter j, lane l of a warp: eight values of row p / 8 * 8 + l / 4,
 * columns 128 c + 32 (l % 4) + 8 j on. */
LCU_DEV size_t unit_at(const lcu_x16 &x, uint32_t rows8, uint32_t chunk, uint32_t j, uint32_t lane)
{
    return (((size_t)rows8 * x.chunks + chunk) * 4 + j) * 32 + lane;
}

/* What is in position p: a row of `in`, or LM_NONE. */
LCU_DEV uint32_t row_at(const lcu_pack_args &a, uint32_t p)
{
    if (a.order.places == NULL)
        return p < lcu_rows(a.run, a.in.rows) ? p : LM_NONE;
    if (p >= *a.order.n_positions || a.order.places[p] == LM_NONE)
        return LM_NONE;
    return a.per_expert_input ? a.order.places[p] : a.order.places[p] / a.used;
}

/* Unit i of a position in the order of wide.cu: core i % 16 of chunk i / 16 has two neighbouring columns
 * of each group. */
LCU_DEV uint4 core_unit(const lcu_pack_args &a, const float *in, float down, uint32_t i)
{
    uint32_t w[4], column = i / 16 * TILE_CHUNK + i % 16 * 2;
    for (uint32_t k = 0; k < 4; k++) {
        uint32_t c = column + k * 32;
        float low = c < a.cols ? in[c] * down : 0, high = c + 1 < a.cols ? in[c + 1] * down : 0;
        w[k] = a.bf16 ? lcu_pack_bf16(low, high) : lcu_pack_f16(low, high);
    }
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* Unit i in the order above: quarter i % 4 of what lane i / 4 % 4 has of chunk i / 16. */
LCU_DEV uint4 lane_unit(const lcu_pack_args &a, const float *in, float down, uint32_t i)
{
    uint32_t w[4], column = i / 4 * 32 + i % 4 * 8;
    float v[8];
    for (uint32_t k = 0; k < 8; k++)
        v[k] = column + k < a.cols ? in[column + k] * down : 0;
    for (uint32_t k = 0; k < 4; k++)
        w[k] =
            a.bf16 ? lcu_pack_bf16(v[2 * k], v[2 * k + 1]) : lcu_pack_f16(v[2 * k], v[2 * k + 1]);
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* One position per block. Halves are scaled by a power of two so that the largest is about 1. */
template <bool CORES> LCU_BODY void pack_x(const lcu_pack_args &a)
{
    LCU_SHARED(float, parts, 4);
    uint32_t p = lcu_block_x(), row = row_at(a, p), cols = a.cols;
    if (row == LM_NONE)
        return;
    const float *in = (const float *)a.in.data + (size_t)row * cols;
    float largest = 0;
    for (uint32_t c = lcu_thread(); !a.bf16 && c < cols; c += lcu_threads())
        largest = fmaxf(largest, fabsf(in[c]));
    largest = lcu_warp_max(largest);
    if (lcu_lane() == 0)
        parts[lcu_warp()] = largest;
    lcu_sync();
    largest = fmaxf(fmaxf(parts[0], parts[1]), fmaxf(parts[2], parts[3]));
    uint32_t exponent = lcu_bits_of(largest) >> 23;
    bool scaled = exponent > 0 && exponent < 253;
    float up = scaled ? lcu_float_of(exponent << 23) : 1.0f;
    float down = scaled ? lcu_float_of((254 - exponent) << 23) : 1.0f;
    if (lcu_thread() == 0)
        a.x.scales[p] = up;
    for (uint32_t i = lcu_thread(); i < a.x.chunks * 16; i += lcu_threads()) {
        if constexpr (CORES)
            a.x.units[lcu_core_at(a.x, p / 8, i / 16, i % 16) + p % 8] = core_unit(a, in, down, i);
        else
            a.x.units[unit_at(a.x, p / 8, i / 16, i % 4, p % 8 * 4 + i / 4 % 4)] =
                lane_unit(a, in, down, i);
    }
}

template <uint32_t L>
LCU_DEV void multiply(float d[4], const uint32_t upper[2], const uint32_t lower[2],
                      const uint32_t b[2])
{
    const uint32_t a[4] = {upper[0], lower[0], upper[1], lower[1]};
    if constexpr (L == LCU_LAYOUT_BF16)
        lcu_mma_bf16(d, a, b);
    else
        lcu_mma_f16(d, a, b);
}

/* --- 32 weight rows ------------------------------------------------------------------------------------- */

/* What a warp has of 32 weight rows: rows r, r + 8, r + 16, r + 24 where r = lane / 4. */
template <uint32_t L> struct strip {
    fragment<L> f[4];
};

template <uint32_t L>
LCU_DEV strip<L> load_strip(const lcu_weight_view &v, const uint8_t *matrix, uint32_t row,
                            uint32_t chunk)
{
    strip<L> s;
    for (uint32_t i = 0; i < 4; i++)
        s.f[i] = load_fragment<L>(v, matrix, row + lcu_lane() / 4 + i * 8,
                                  chunk * 4 + lcu_lane() % 4);
    return s;
}

/* One chunk against NT times eight rows; `unit(n, j)` gives the lane's part of the activations. */
template <uint32_t L, uint32_t NT, class U>
LCU_DEV void multiply_strip(const strip<L> &s, uint32_t chunk, float acc[2][NT][4], U unit)
{
    uint32_t h[4][16];
    for (uint32_t i = 0; i < 4; i++)
        to_halves<L>(s.f[i], chunk * 4 + lcu_lane() % 4, h[i]);
    for (uint32_t j = 0; j < 4; j++) {
        for (uint32_t n = 0; n < NT; n++) {
            uint4 x = unit(n, j);
            const uint32_t b[4] = {x.x, x.y, x.z, x.w};
            for (uint32_t m = 0; m < 2; m++) {
                multiply<L>(acc[m][n], h[2 * m] + 4 * j, h[2 * m + 1] + 4 * j, b);
                multiply<L>(acc[m][n], h[2 * m] + 4 * j + 2, h[2 * m + 1] + 4 * j + 2, b + 2);
            }
        }
    }
}

/* Calls `use(m, n, sum)` for the lane's results: weight row m of the strip, activation row n. */
template <uint32_t NT, class U> LCU_DEV void each_result(const float acc[2][NT][4], U use)
{
    LCU_UNROLL
    for (uint32_t m = 0; m < 2; m++) {
        LCU_UNROLL
        for (uint32_t n = 0; n < NT; n++) {
            LCU_UNROLL
            for (uint32_t k = 0; k < 4; k++)
                use(m * 16 + k / 2 * 8 + lcu_lane() / 4, n * 8 + lcu_lane() % 4 * 2 + k % 2,
                    acc[m][n][k]);
        }
    }
}

/* --- few rows: warps share out the columns ------------------------------------------------------------------- */

constexpr uint32_t FEW_WARPS = 8;

/* Grid: weight rows by 32, tiles of NT times eight positions. */
template <uint32_t L, uint32_t NT> LCU_BODY void tiles_few(const lcu_tiles_args &a)
{
    LCU_SHARED(float, sums, 32 * NT * 8);
    tile_place t = place_of(a, lcu_block_y(), NT * 8);
    if (t.first >= t.end)
        return;
    uint32_t row = lcu_block_x() * 32, lane = lcu_lane();
    const uint8_t *matrix = a.linear.w.data + t.matrix * a.linear.w.matrix_bytes;
    float acc[2][NT][4] = {};
    uint32_t last8 = (t.end - 1) / 8; /* eights behind it have never been written */
    for (uint32_t chunk = lcu_warp(); chunk < a.x.chunks; chunk += FEW_WARPS) {
        strip<L> s = load_strip<L>(a.linear.w, matrix, row, chunk);
        multiply_strip<L, NT>(s, chunk, acc, [&](uint32_t n, uint32_t j) {
            uint32_t rows8 = t.first / 8 + n < last8 ? t.first / 8 + n : last8;
            return a.x.units[unit_at(a.x, rows8, chunk, j, lane)];
        });
    }
    for (uint32_t warp = 0; warp < FEW_WARPS; warp++) { /* in rising order */
        if (lcu_warp() == warp)
            each_result<NT>(acc, [&](uint32_t m, uint32_t n, float sum) {
                lcu_shared<float> at = sums + n * 32 + m;
                float before = 0;
                if (warp > 0)
                    before = at[0];
                at[0] = before + sum;
            });
        lcu_sync();
    }
    for (uint32_t i = lcu_thread(); i < 32 * NT * 8; i += FEW_WARPS * 32)
        write_result(a, t, t.first + i / 32, row + i % 32, sums[i]);
}

/* --- many rows: warps share out the weight rows ----------------------------------------------------------------- */

constexpr uint32_t MANY_WARPS = 4, MANY_TILES = 16, MANY_STAGES = 3;
constexpr uint32_t MANY_STAGE_UNITS = MANY_TILES * 128;

/* Begins to copy the activations of a chunk. */
LCU_DEV void copy_chunk(const lcu_tiles_args &a, const tile_place &t, uint32_t chunk,
                        lcu_shared<uint4> to)
{
    for (uint32_t n = 0; n < MANY_TILES; n++) {
        uint32_t j = lcu_thread() / 32;
        bool there = t.first + n * 8 < t.end && chunk < a.x.chunks;
        lcu_copy_async16(to + n * 128 + lcu_thread(),
                         &a.x.units[there ? unit_at(a.x, t.first / 8 + n, chunk, j, lcu_lane()) : 0],
                         there);
    }
}

/* Grid: weight rows by 128, tiles of 128 positions. Dynamic shared memory: the stages. */
template <uint32_t L> LCU_BODY void tiles_many(const lcu_tiles_args &a)
{
    tile_place t = place_of(a, lcu_block_y(), MANY_TILES * 8);
    if (t.first >= t.end)
        return;
    uint32_t row = lcu_block_x() * (MANY_WARPS * 32) + lcu_warp() * 32, lane = lcu_lane();
    const uint8_t *matrix = a.linear.w.data + t.matrix * a.linear.w.matrix_bytes;
    lcu_shared<uint4> stages = lcu_dynamic<uint4>(0);
    float acc[2][MANY_TILES][4] = {};
    for (uint32_t i = 0; i + 1 < MANY_STAGES; i++) {
        copy_chunk(a, t, i, stages + i * MANY_STAGE_UNITS);
        lcu_copy_commit();
    }
    for (uint32_t chunk = 0; chunk < a.x.chunks; chunk++) {
        strip<L> s = load_strip<L>(a.linear.w, matrix, row, chunk);
        lcu_copy_wait<MANY_STAGES - 2>();
        lcu_sync();
        copy_chunk(a, t, chunk + MANY_STAGES - 1,
                   stages + (chunk + MANY_STAGES - 1) % MANY_STAGES * MANY_STAGE_UNITS);
        lcu_copy_commit();
        lcu_shared<uint4> stage = stages + chunk % MANY_STAGES * MANY_STAGE_UNITS;
        multiply_strip<L, MANY_TILES>(s, chunk, acc, [&](uint32_t n, uint32_t j) {
            uint4 unit = stage[n * 128 + j * 32 + lane];
            return unit;
        });
    }
    lcu_copy_wait<0>();
    each_result<MANY_TILES>(acc, [&](uint32_t m, uint32_t n, float sum) {
        write_result(a, t, t.first + n, row + m, sum);
    });
}

LCU_DEFINE_ALL(LCU_TABLE_TILES)
