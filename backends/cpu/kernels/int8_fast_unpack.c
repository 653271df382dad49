/* int8_fast_unpack.c - rows of the file to the panels of fast products: each value times the integer
 * step of its part, cut into digits. */
#include "backends/cpu/kernels/int8_avx512.h"

#include "backends/cpu/kernels/int8_fast.h"
#include "backends/cpu/kernels/int8_x86_tiles.h"

#define MOST_MINIMUM 63u

/* A format of the int8 family, and what is folded of it. */
typedef struct folding {
    reader from;
    uint32_t digits, shift;
    bool minima;
    size_t d_at; /* the half that scales a block; that of minima lies behind it */
    float scale; /* times that half is what integers count */
} folding;

/* The half at a byte of each row. */
INLINE vecf half_at(const walk *w, size_t at)
{
    return at < 2 ? f_low_halves(words_at(w, at)) : f_high_halves(words_at(w, at - 2));
}

INLINE vecf f_inverse(vecf x)
{
    return _mm512_div_ps(f_set(1), x);
}

/* The integer that `unit`, given inverted, was multiplied by; with a unit of zero, or one that is not
 * finite, the low bits are zeros. */
INLINE vec integer_of(vecf product, vecf inverse)
{
    return _mm512_cvtps_epi32(f_mul(product, inverse));
}

/* Each in both halves of its word. */
INLINE vec twice16(vec x)
{
    return v_or(v_and(x, v_set32(0xffff)), v_up(x, 16));
}

/* Four columns times their step. The low digit is from -32 to 31. */
INLINE void fold(vec z, vec step, bool has_signs, vec *high, vec *low)
{
    const vec even_bytes = v_set16(0x00ff), half = v_set16(1 << (FAST_SHIFT - 1));
    vec even = has_signs ? v_top16(_mm512_slli_epi16(z, 8)) : v_and(z, even_bytes);
    vec odd = has_signs ? v_top16(z) : v_down16(z, 8);
    even = _mm512_add_epi16(v_mul16(even, step), half);
    odd = _mm512_add_epi16(v_mul16(odd, step), half);
    *high =
        v_choose(even_bytes, v_down16(even, FAST_SHIFT), _mm512_slli_epi16(odd, 8 - FAST_SHIFT));
    *low = v_choose(even_bytes, even, _mm512_slli_epi16(odd, 8));
    *low = v_sub8(v_and(*low, v_set8((1 << FAST_SHIFT) - 1)), v_set8(1 << (FAST_SHIFT - 1)));
}

/* 64 columns. */
INLINE void store_step(const folding *f, const walk *w, run *s, uint32_t pair, vecf inverse,
                       uint8_t *to)
{
    vec z[16];
    f->from.pair(w, pair, s, false, z);
    if (f->from.offset > 0)
        EACH (i, 16)
            z[i] = v_sub8(z[i], v_set8(f->from.offset));
    if (f->digits == 1) {
        EACH (i, 16)
            v_store(to + i * LINE, z[i]);
        return;
    }
    EACH (part, 4) {
        uint32_t half = SCALES(f->from.kind) == 2 ? part % 2 : 0;
        vec step = integer_of(s->scale[2 * pair + part / 2][half], inverse);
        step = twice16(v_up(step, f->shift));
        EACH (i, 4) {
            vec high, low;
            fold(z[4 * part + i], step, f->from.offset != 0, &high, &low);
            v_store(to + (4 * part + i) * LINE, high);
            v_store(to + FAST_DIGIT + (4 * part + i) * LINE, low);
        }
    }
}

INLINE void store_minima(const folding *f, const run *s, vecf unit, uint8_t *to)
{
    vecf inverse = f_inverse(unit);
    EACH (part, 16) {
        uint32_t half = MINIMA(f->from.kind) == 2 ? part % 2 : 0;
        vec whole = integer_of(s->minimum[part / 2][half], inverse);
        vec bits = v_bits(f_from(v_and(whole, v_set32(MOST_MINIMUM))));
        v_store(to + part * LINE, v_or(bits, v_down(bits, 16))); /* no bits below BF16's */
    }
}

INLINE void unpack_fast_run(const folding *f, const walk *w, uint8_t *to)
{
    run s;
    f->from.run(w, RUN, &s);
    vecf unit = f_mul(half_at(w, f->d_at), f_set(f->scale)), inverse = f_inverse(unit);
    EACH (pair, FAST_STEPS)
        store_step(f, w, &s, pair, inverse, to + pair * f->digits * FAST_DIGIT);
    uint8_t *scales = to + fast_scales_at(f->digits, f->minima);
    float counts = f->digits == 1 ? 1 : (float)(1 << FAST_SHIFT) / (float)(1 << f->shift);
    f_store(scales, f_mul(unit, f_set(counts)));
    if (!f->minima)
        return;
    vecf minimum = half_at(w, f->d_at + 2);
    store_minima(f, &s, minimum, scales - FAST_MINIMA);
    f_store(scales + LINE, f_negative(minimum));
}

INLINE void unpack_fast(const folding *f, const uint8_t *from, size_t stride, uint32_t n_w,
                        uint32_t k, uint8_t *to)
{
    size_t bytes = fast_panel_bytes(f->digits, f->minima);
    uint32_t panels = (n_w + ROWS - 1) / ROWS;
    for (uint32_t o = 0; o < n_w; o += ROWS) {
        const uint8_t *rows = from + o * stride;
        for (uint32_t c = 0; c < k; c += FAST_COLS, rows += f->from.bytes) {
            walk w = walk_of(rows, stride);
            copy part;
            if (n_w - o < ROWS) {
                copy_run(rows, stride, n_w - o, f->from.bytes, &part);
                w = walk_of(part.rows[0], sizeof part.rows[0]);
            }
            unpack_fast_run(f, &w, to + (c / FAST_COLS * panels + o / ROWS) * bytes);
        }
    }
}

#define UNPACK(name, format, kind, digits, shift, scale)                                           \
    static void unpack_##name(const uint8_t *from, size_t stride, uint32_t n_w, uint32_t k,        \
                              void *panels)                                                        \
    {                                                                                              \
        static const folding f = {{read_##name##_run, read_##name, FAST_COLS,                      \
                                   sizeof(lm_block_##name), kind, OFFSET_##name, MOST_##name},     \
                                  digits,                                                          \
                                  shift,                                                           \
                                  MINIMA(kind) != 0,                                               \
                                  IN(name, d),                                                     \
                                  scale};                                                          \
        unpack_fast(&f, from, stride, n_w, k, panels);                                             \
    }

LCPU_FAST_FORMATS(UNPACK)

#define ENTRY(name, format, kind, digits, shift, scale) unpack_##name,

const fast_unpack_fn lcpu_fast_unpack[] = {LCPU_FAST_FORMATS(ENTRY)};
