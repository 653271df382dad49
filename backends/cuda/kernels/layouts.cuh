/* layouts.cuh - reading weights in the layouts of layouts.h: one value as its reference decoder gives
 * it, or a group of 32 as words for integer dot products. */
#ifndef LM_BACKENDS_CUDA_LAYOUTS_CUH
#define LM_BACKENDS_CUDA_LAYOUTS_CUH

#include "backends/cuda/kernels/wrap.cuh"

/* --- the table ---------------------------------------------------------------------------------- */

struct lcu_layout_info {
    uint32_t low, high, scale_bytes, head_bytes, head_values;
    int32_t centre;
    uint32_t levels, form;
};

LCU_CONST_TABLE lcu_layout_info lcu_layout_infos[LCU_LAYOUT_COUNT] = {
#define X(name, low, high, scale_bytes, head_bytes, head_values, centre, levels, form)             \
    {low,    high,                 scale_bytes,    head_bytes, head_values,                        \
     centre, LCU_LEVELS_##levels, LCU_FORM_##form},
    LCU_LAYOUTS(X)
#undef X
};

template <uint32_t L> struct lcu_layout;
#define X(name, low_, high_, scale_bytes_, head_bytes_, head_values_, centre_, levels_, form_)     \
    template <> struct lcu_layout<LCU_LAYOUT_##name> {                                             \
        static constexpr uint32_t low = low_, high = high_, scale_bytes = scale_bytes_;            \
        static constexpr uint32_t head_bytes = head_bytes_, head_values = head_values_;            \
        static constexpr int32_t centre = centre_;                                                 \
        static constexpr uint32_t levels = LCU_LEVELS_##levels_, form = LCU_FORM_##form_;          \
    };
LCU_LAYOUTS(X)
#undef X

LCU_CONST_TABLE int8_t lcu_levels[3][16] = {
    {0},
    {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
    {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12},
};

/* Byte i of these four words is level i. */
template <uint32_t LEVELS> LCU_DEV uint4 lcu_level_words()
{
    if constexpr (LEVELS == LCU_LEVELS_IQ4)
        return make_uint4(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);
    else
        return make_uint4(0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu);
}

/* 2^(scale - 128) */
LCU_DEV float lcu_e8m0_half(uint32_t scale)
{
    return lcu_float_of(scale < 2 ? 0x00200000u << scale : (scale - 1) << 23);
}

/* Scale and offset of group g of Q4_K and Q5_K, from words 1 to 3 of the head. */
LCU_DEV void lcu_k_scale(uint4 head, uint32_t g, uint32_t *scale, uint32_t *offset)
{
    *scale = (head.y >> (4 * g) & 15) | (head.w >> (2 * g) & 3) << 4;
    *offset = (head.z >> (4 * g) & 15) | (head.w >> (16 + 2 * g) & 3) << 4;
}

/* --- one value ------------------------------------------------------------------------------------ */

/* The code of value i of a group of 32. */
LCU_DEV uint32_t lcu_code_at(const lcu_layout_info &l, const uint8_t *low, const uint8_t *high,
                             uint32_t i)
{
    uint32_t word = i / 4, byte = i % 4, two_bits = word / 4 * 4 + byte;
    if (l.low == 8)
        return low[i];
    uint32_t code = l.low == 4 ? low[word % 4 * 4 + byte] >> (word / 4 * 4) & 15
                               : low[two_bits] >> (word % 4 * 2) & 3;
    if (l.high == 1)
        return code | (uint32_t)(high[byte] >> word & 1) << l.low;
    if (l.high == 2)
        return code | (uint32_t)(high[two_bits] >> (word % 4 * 2) & 3) << l.low;
    return code;
}

/* A value from its code. */
LCU_DEV float lcu_value_of(const lcu_layout_info &l, const uint8_t *scales, const uint8_t *head,
                           uint32_t code, uint32_t col)
{
    if (l.form == LCU_FORM_F8)
        return *(const float *)head * lcu_from_e4m3((uint8_t)code);
    float q = l.levels != LCU_LEVELS_NONE ? (float)lcu_levels[l.levels][code]
              : l.low == 8                ? (float)(int8_t)code
                                          : (float)((int32_t)code - l.centre);
    if (l.form == LCU_FORM_E8)
        return lcu_e8m0_half(*head) * q;
    float d = lcu_from_f16(*(const uint16_t *)head);
    if (l.form == LCU_FORM_D)
        return d * q;
    float m = l.head_bytes > 2 ? lcu_from_f16(*(const uint16_t *)(head + 2)) : 0;
    uint32_t in = col % 256, scale, offset;
    switch (l.form) {
    case LCU_FORM_DM:
        return d * q + m;
    case LCU_FORM_K:
        lcu_k_scale(*(const uint4 *)head, in / 32, &scale, &offset);
        break;
    case LCU_FORM_S16:
        return d * (float)(int8_t)scales[in / 16] * q;
    case LCU_FORM_S32:
        return d * (float)(int8_t)scales[in / 32] * q;
    default:
        scale = scales[in / 16] & 15;
        offset = scales[in / 16] >> 4;
    }
    return d * (float)scale * q - m * (float)offset;
}

/* What the format's reference decoder gives. */
LCU_DEV float lcu_weight_at(const lcu_weight_view &v, uint32_t expert, uint32_t row, uint32_t col)
{
    const lcu_layout_info &l = lcu_layout_infos[v.layout];
    const uint8_t *at = v.data + expert * v.matrix_bytes;
    const uint8_t *p0 = at + v.plane[0] + (uint64_t)row * v.stride[0];
    if (v.layout == LCU_LAYOUT_F32)
        return ((const float *)p0)[col];
    if (v.layout == LCU_LAYOUT_F16)
        return lcu_from_f16(((const uint16_t *)p0)[col]);
    if (v.layout == LCU_LAYOUT_BF16)
        return lcu_from_bf16(((const uint16_t *)p0)[col]);
    const uint8_t *p1 = at + v.plane[1] + (uint64_t)row * v.stride[1];
    const uint8_t *p2 = at + v.plane[2] + (uint64_t)row * v.stride[2];
    const uint8_t *p3 = at + v.plane[3] + (uint64_t)row * v.stride[3];
    uint32_t code =
        lcu_code_at(l, p0 + col / 32 * l.low * 4, p1 + col / 32 * l.high * 4, col % 32);
    return lcu_value_of(l, p2 + col / 256 * l.scale_bytes,
                        p3 + col / l.head_values * l.head_bytes, code, col);
}

/* Four values as they are before their scale. */
LCU_DEV void lcu_floats_of_e4m3(uint32_t word, float v[4])
{
    uint32_t low = lcu_halves_of_e4m3(word), high = lcu_halves_of_e4m3(word >> 16);
    v[0] = lcu_from_f16((uint16_t)low);
    v[1] = lcu_from_f16((uint16_t)(low >> 16));
    v[2] = lcu_from_f16((uint16_t)high);
    v[3] = lcu_from_f16((uint16_t)(high >> 16));
}

/* --- a group of 32 ----------------------------------------------------------------------------------- */

/* The bytes of a group as they come from memory. */
struct lcu_group {
    uint4 low, more; /* `more`: the second half of eight-bit codes */
    uint2 high;
    uint32_t scales;
    uint4 head;
};

template <uint32_t L>
LCU_DEV lcu_group lcu_load_group(const lcu_weight_view &v, const uint8_t *matrix, uint32_t row,
                                 uint32_t g)
{
    using layout = lcu_layout<L>;
    lcu_group r = {};
    const uint8_t *p0 = matrix + (uint64_t)row * v.stride[0] + g * (layout::low * 4);
    if constexpr (layout::low == 2) {
        uint2 low = *(const uint2 *)p0;
        r.low.x = low.x;
        r.low.y = low.y;
    } else {
        r.low = lcu_load_stream(p0);
    }
    if constexpr (layout::low == 8)
        r.more = lcu_load_stream(p0 + 16);
    const uint8_t *p1 = matrix + v.plane[1] + (uint64_t)row * v.stride[1] + g * (layout::high * 4);
    if constexpr (layout::high == 1)
        r.high.x = *(const uint32_t *)p1;
    if constexpr (layout::high == 2)
        r.high = *(const uint2 *)p1;
    const uint8_t *p2 = matrix + v.plane[2] + (uint64_t)row * v.stride[2];
    if constexpr (layout::scale_bytes == 16)
        r.scales = ((const uint16_t *)p2)[g];
    if constexpr (layout::scale_bytes == 8)
        r.scales = p2[g];
    const uint8_t *p3 = matrix + v.plane[3] + (uint64_t)row * v.stride[3] +
                        g / (layout::head_values / 32) * layout::head_bytes;
    if constexpr (layout::head_bytes == 1)
        r.head.x = *p3;
    if constexpr (layout::head_bytes == 2)
        r.head.x = *(const uint16_t *)p3;
    if constexpr (layout::head_bytes == 4)
        r.head.x = *(const uint32_t *)p3;
    if constexpr (layout::head_bytes == 16)
        r.head = *(const uint4 *)p3;
    return r;
}

/* Levels of the eight nibbles of `n`: those of the low nibbles, then of the high ones. */
template <uint32_t LEVELS> LCU_DEV uint2 lcu_levels_of(uint32_t n)
{
    uint4 t = lcu_level_words<LEVELS>();
    uint32_t part[2];
    for (uint32_t i = 0; i < 2; i++, n >>= 16)
        part[i] = lcu_byte_perm(lcu_byte_perm(t.x, t.y, n & 0x7777),
                                lcu_byte_perm(t.z, t.w, n & 0x7777), (n & 0x8888) >> 1 | 0x3210);
    return make_uint2(lcu_byte_perm(part[0], part[1], 0x6420),
                      lcu_byte_perm(part[0], part[1], 0x7531));
}

/* The codes as eight words of four bytes: levels and eight-bit codes signed, others unsigned with
 * the centre still in them. */
template <uint32_t L> LCU_DEV void lcu_unpack(const lcu_group &r, uint32_t q[8])
{
    using layout = lcu_layout<L>;
    const uint32_t low[4] = {r.low.x, r.low.y, r.low.z, r.low.w};
    const uint32_t more[4] = {r.more.x, r.more.y, r.more.z, r.more.w};
    for (uint32_t w = 0; w < 4; w++) {
        if constexpr (layout::levels != LCU_LEVELS_NONE) {
            uint2 pair = lcu_levels_of<layout::levels>(low[w]);
            q[w] = pair.x;
            q[w + 4] = pair.y;
        } else if constexpr (layout::low == 8) {
            q[w] = low[w];
            q[w + 4] = more[w];
        } else if constexpr (layout::low == 4) {
            q[w] = low[w] & 0x0f0f0f0fu;
            q[w + 4] = low[w] >> 4 & 0x0f0f0f0fu;
        } else {
            q[w] = low[0] >> (2 * w) & 0x03030303u;
            q[w + 4] = low[1] >> (2 * w) & 0x03030303u;
        }
    }
    for (uint32_t w = 0; w < 8; w++) {
        if constexpr (layout::high == 1)
            q[w] |= (r.high.x >> w & 0x01010101u) << layout::low;
        if constexpr (layout::high == 2)
            q[w] |= ((w < 4 ? r.high.x : r.high.y) >> (2 * (w % 4)) & 0x03030303u) << layout::low;
    }
}

/* The numbers beside the codes. A value is d * (scale[half] * code) - m[half], centre aside. */
struct lcu_terms {
    float d;
    int32_t scale[2];
    float m[2];
};

template <uint32_t L> LCU_DEV lcu_terms lcu_terms_of(const lcu_group &r, uint32_t g)
{
    using layout = lcu_layout<L>;
    lcu_terms t = {0, {1, 1}, {0, 0}};
    if constexpr (layout::form == LCU_FORM_E8) {
        t.d = lcu_e8m0_half(r.head.x);
        return t;
    }
    float d = lcu_from_f16((uint16_t)r.head.x), m = 0;
    if constexpr (layout::head_bytes > 2)
        m = lcu_from_f16((uint16_t)(r.head.x >> 16));
    t.d = d;
    if constexpr (layout::form == LCU_FORM_DM)
        t.m[0] = t.m[1] = -m;
    if constexpr (layout::form == LCU_FORM_K) {
        uint32_t scale, offset;
        lcu_k_scale(r.head, g % 8, &scale, &offset);
        t.d = d * (float)scale;
        t.m[0] = t.m[1] = m * (float)offset;
    }
    if constexpr (layout::form == LCU_FORM_S32)
        t.d = d * (float)(int8_t)r.scales;
    if constexpr (layout::form == LCU_FORM_S16) {
        t.scale[0] = (int8_t)r.scales;
        t.scale[1] = (int8_t)(r.scales >> 8);
    }
    if constexpr (layout::form == LCU_FORM_M16) {
        t.scale[0] = r.scales & 15;
        t.scale[1] = r.scales >> 8 & 15;
        t.m[0] = m * (float)(r.scales >> 4 & 15);
        t.m[1] = m * (float)(r.scales >> 12);
    }
    return t;
}

#endif
