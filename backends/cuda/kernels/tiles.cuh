/* tiles.cuh - what the multiplications on tensor cores share: which rows of activations a tile has, the
 * columns of weights that a lane holds, as 16 bits, and writing results. */
#ifndef LM_BACKENDS_CUDA_TILES_CUH
#define LM_BACKENDS_CUDA_TILES_CUH

#include "backends/cuda/kernels/layouts.cuh"

constexpr uint32_t TILE_CHUNK = 128; /* columns: four groups of 32 */

/* Packed for wide.cu: eight positions times eight columns are one core matrix, eight units in a row. */
LCU_DEV size_t lcu_core_at(const lcu_x16 &x, uint32_t rows8, uint32_t chunk, uint32_t core)
{
    return (((size_t)rows8 * x.chunks + chunk) * 16 + core) * 8;
}

/* --- weights ------------------------------------------------------------------------------------------- */

/* A lane's 32 columns of one row as they come from memory. */
template <uint32_t L> struct fragment {
    static constexpr bool codes = lcu_layout<L>::form != LCU_FORM_FLOAT;
    lcu_group group;
    uint4 halves[codes ? 1 : 4];
};

template <uint32_t L>
LCU_DEV fragment<L> load_fragment(const lcu_weight_view &v, const uint8_t *matrix, uint32_t row,
                                  uint32_t g)
{
    fragment<L> f = {};
    row = row < v.rows ? row : v.rows - 1;
    if constexpr (fragment<L>::codes) {
        if (g < v.cols / 32)
            f.group = lcu_load_group<L>(v, matrix, row, g);
    } else {
        for (uint32_t i = 0; i < 4; i++)
            if (g * 32 + i * 8 < v.cols)
                f.halves[i] =
                    lcu_load_stream(matrix + (uint64_t)row * v.stride[0] + g * 64 + i * 16);
    }
    return f;
}

template <bool BF16> LCU_DEV uint32_t pack_pair(float low, float high)
{
    return BF16 ? lcu_pack_bf16(low, high) : lcu_pack_f16(low, high);
}

/* Sixteen words of neighbouring columns: two for each of eight multiplications. BF16 weights
 * stay as they are, others become F16 or, where that is wanted, BF16. */
template <uint32_t L, bool BF16 = false>
LCU_DEV void to_halves(const fragment<L> &f, uint32_t g, uint32_t h[16])
{
    using layout = lcu_layout<L>;
    if constexpr (!fragment<L>::codes) {
        for (uint32_t i = 0; i < 4; i++) {
            h[4 * i] = f.halves[i].x;
            h[4 * i + 1] = f.halves[i].y;
            h[4 * i + 2] = f.halves[i].z;
            h[4 * i + 3] = f.halves[i].w;
        }
        for (uint32_t w = 0; BF16 && L == LCU_LAYOUT_F16 && w < 16; w++)
            h[w] = lcu_pack_bf16(lcu_from_f16((uint16_t)h[w]), lcu_from_f16((uint16_t)(h[w] >> 16)));
    } else if constexpr (layout::form == LCU_FORM_F8) {
        const uint32_t q[8] = {f.group.low.x,  f.group.low.y,  f.group.low.z,  f.group.low.w,
                               f.group.more.x, f.group.more.y, f.group.more.z, f.group.more.w};
        float d = lcu_float_of(f.group.head.x), v[4];
        for (uint32_t w = 0; w < 8; w++) {
            lcu_floats_of_e4m3(q[w], v);
            h[2 * w] = pack_pair<BF16>(v[0] * d, v[1] * d);
            h[2 * w + 1] = pack_pair<BF16>(v[2] * d, v[3] * d);
        }
    } else {
        constexpr bool is_signed = layout::levels != LCU_LEVELS_NONE || layout::low == 8;
        constexpr float zero = 8388608.0f + (is_signed ? 128 : layout::centre);
        uint32_t q[8];
        lcu_unpack<L>(f.group, q);
        lcu_terms t = lcu_terms_of<L>(f.group, g);
        for (uint32_t w = 0; w < 8; w++) {
            uint32_t word = is_signed ? q[w] ^ 0x80808080u : q[w];
            float step = t.d * (float)t.scale[w / 4], less = t.m[w / 4], v[4];
            for (uint32_t i = 0; i < 4; i++) /* 8388608 plus the byte, exactly */
                v[i] = fmaf(lcu_float_of(lcu_byte_perm(word, 0x4b000000u, 0x7440 | i)) - zero, step,
                            -less);
            h[2 * w] = pack_pair<BF16>(v[0], v[1]);
            h[2 * w + 1] = pack_pair<BF16>(v[2], v[3]);
        }
    }
}

/* --- where tiles lie ------------------------------------------------------------------------------------ */

/* Positions [first, end) of one matrix. */
struct tile_place {
    uint32_t matrix, first, end;
};

LCU_DEV tile_place place_of(const lcu_tiles_args &a, uint32_t tile, uint32_t width)
{
    uint32_t n = lcu_rows(a.run, a.in.rows), first = tile * width;
    if (a.order.places == NULL)
        return {0, first, first >= n ? first : first + width < n ? first + width : n};
    if (tile >= *a.order.n_tiles)
        return {0, 0, 0};
    lcu_tile t = a.order.tiles[tile];
    return {t.expert, t.first, t.first + t.count};
}

/* Writes the result of position p and weight row `row`. */
LCU_DEV void write_result(const lcu_tiles_args &a, const tile_place &t, uint32_t p, uint32_t row,
                          float sum)
{
    if (p >= t.end || row >= a.linear.w.rows)
        return;
    uint32_t to = a.order.places == NULL ? p : a.order.places[p];
    sum = sum * a.x.scales[p] * a.linear.scale;
    if (a.linear.bias != NULL)
        sum += a.linear.bias[(size_t)t.matrix * a.linear.w.rows + row];
    size_t at = (size_t)to * a.linear.w.rows + row;
    if (a.residual != NULL)
        sum += a.residual[at];
    ((float *)a.out.data)[at] = sum;
}

#endif
