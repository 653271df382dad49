/* f32_lanes - the f32 kernels of the sets with fused multiply-add, written once over a type of
 * sixteen lanes. Whoever includes it defines before: `lanes` and the functions lanes_zero, _set,
 * _load, _store, _add, _sub, _mul, _mac (x * y + sum), _reduce (the fixed tree), _load_f16,
 * _load_bf16, _load_some, and TILE_W, TILE_X, TILE_Q, TILE_O, the sizes of tiles that its registers hold.
 */
#ifndef LM_BACKENDS_CPU_KERNELS_F32_LANES_H
#define LM_BACKENDS_CPU_KERNELS_F32_LANES_H

#include "backends/cpu/kernels/values.h"

#define LANES  16u
#define SOME   48u /* queries at a time: their corrections are on the stack */
#define INLINE static inline __attribute__((always_inline))
/* A loop that is written out, so that its arrays become registers. */
#define EACH(i, count) _Pragma("GCC unroll 8") for (uint32_t i = 0; i < (count); i++)

/* --- products --------------------------------------------------------------------------------- */

typedef struct tile_of {
    const uint8_t *w;
    size_t stride; /* bytes */
    const float *const *x;
    uint32_t k;
    float *const *out;
    size_t at;
} tile_of;

typedef lanes (*load_fn)(const uint8_t *from);

/* W rows of weights by X rows of activations; `bytes` is the size of one weight. */
INLINE void tile(const tile_of *t, uint32_t W, uint32_t X, load_fn load, uint32_t bytes)
{
    lanes sum[TILE_W][TILE_X];
    EACH (o, W)
        EACH (i, X)
            sum[o][i] = lanes_zero();
    uint32_t c = 0;
    for (; c + LANES <= t->k; c += LANES) {
        lanes w[TILE_W];
        EACH (o, W)
            w[o] = load(t->w + o * t->stride + (size_t)c * bytes);
        EACH (i, X) {
            lanes x = lanes_load(t->x[i] + c);
            EACH (o, W)
                sum[o][i] = lanes_mac(w[o], x, sum[o][i]);
        }
    }
    if (c < t->k) {
        /* Zeros behind the end change no sum. */
        EACH (o, W) {
            uint8_t last[LANES * sizeof(float)] = {0};
            memcpy(last, t->w + o * t->stride + (size_t)c * bytes, (t->k - c) * (size_t)bytes);
            lanes w = load(last);
            EACH (i, X)
                sum[o][i] = lanes_mac(w, lanes_load_some(t->x[i] + c, t->k - c), sum[o][i]);
        }
    }
    EACH (i, X)
        EACH (o, W)
            t->out[i][t->at + o] = lanes_reduce(sum[o][i]);
}

INLINE void row_tile(const tile_of *t, uint32_t X, load_fn load, uint32_t bytes)
{
    switch (X) {
    case 1:
        tile(t, TILE_W, 1, load, bytes);
        return;
    case 2:
        tile(t, TILE_W, 2, load, bytes);
        return;
#if TILE_X > 3
    case 3:
        tile(t, TILE_W, 3, load, bytes);
        return;
    case 4:
        tile(t, TILE_W, 4, load, bytes);
        return;
    case 5:
        tile(t, TILE_W, 5, load, bytes);
        return;
#endif
    default:
        tile(t, TILE_W, TILE_X, load, bytes);
    }
}

INLINE void matmul(const tile_of *all, uint32_t n_w, uint32_t n_x, load_fn load, uint32_t bytes)
{
    for (uint32_t i = 0; i < n_x; i += TILE_X) {
        tile_of t = *all;
        uint32_t rows = n_x - i < TILE_X ? n_x - i : TILE_X, o = 0;
        t.x += i;
        t.out += i;
        for (; o + TILE_W <= n_w; o += TILE_W) {
            row_tile(&t, rows, load, bytes);
            t.w += TILE_W * t.stride;
            t.at += TILE_W;
        }
        for (; o < n_w; o++) {
            for (uint32_t r = 0; r < rows; r++) {
                tile_of one = t;
                one.x += r;
                one.out += r;
                tile(&one, 1, 1, load, bytes);
            }
            t.w += t.stride;
            t.at++;
        }
    }
}

INLINE lanes load_f32(const uint8_t *from)
{
    return lanes_load((const float *)(const void *)from);
}

static void f32_matmul(const float *w, size_t stride, uint32_t n_w, const float *const *x,
                       uint32_t n_x, uint32_t k, float *const *out, size_t at)
{
    tile_of t = {(const uint8_t *)w, stride * sizeof *w, x, k, out, at};
    matmul(&t, n_w, n_x, load_f32, sizeof(float));
}

static void f16_matmul(const uint8_t *w, size_t stride, uint32_t n_w, const float *const *x,
                       uint32_t n_x, uint32_t k, float *const *out, size_t at)
{
    tile_of t = {w, stride, x, k, out, at};
    matmul(&t, n_w, n_x, lanes_load_f16, 2);
}

static void bf16_matmul(const uint8_t *w, size_t stride, uint32_t n_w, const float *const *x,
                        uint32_t n_x, uint32_t k, float *const *out, size_t at)
{
    tile_of t = {w, stride, x, k, out, at};
    matmul(&t, n_w, n_x, lanes_load_bf16, 2);
}

/* --- conversions and sums --------------------------------------------------------------------- */

INLINE void decode(const uint8_t *from, float *to, size_t count, load_fn load)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        lanes_store(to + i, load(from + 2 * i));
    if (i < count) {
        uint8_t last[2 * LANES] = {0};
        float values[LANES];
        memcpy(last, from + 2 * i, 2 * (count - i));
        lanes_store(values, load(last));
        memcpy(to + i, values, (count - i) * sizeof *to);
    }
}

static void f16_decode(const void *from, float *to, size_t count)
{
    decode(from, to, count, lanes_load_f16);
}

static void bf16_decode(const void *from, float *to, size_t count)
{
    decode(from, to, count, lanes_load_bf16);
}

static float sum(const float *x, uint32_t n)
{
    lanes total = lanes_zero();
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        total = lanes_add(total, lanes_load(x + i));
    if (i < n)
        total = lanes_add(total, lanes_load_some(x + i, n - i));
    return lanes_reduce(total);
}

static float sum_squares(const float *x, float mean, uint32_t n)
{
    lanes total = lanes_zero(), center = lanes_set(mean);
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes d = lanes_sub(lanes_load(x + i), center);
        total = lanes_mac(d, d, total);
    }
    if (i < n) {
        float last[LANES];
        for (uint32_t l = 0; l < LANES; l++)
            last[l] = i + l < n ? x[i + l] : mean;
        lanes d = lanes_sub(lanes_load(last), center);
        total = lanes_mac(d, d, total);
    }
    return lanes_reduce(total);
}

/* --- attention -------------------------------------------------------------------------------- */

/* `seen` of the tile's scores and of the maximum before; NaN does not count. */
static float largest_of(const float seen[32], float largest)
{
    float m[16];
    for (int l = 0; l < 16; l++)
        m[l] = seen[l] > seen[l + 16] ? seen[l] : seen[l + 16];
    for (int l = 0; l < 8; l++)
        m[l] = m[l] > m[l + 8] ? m[l] : m[l + 8];
    for (int l = 0; l < 8; l++)
        largest = m[l] > largest ? m[l] : largest;
    return largest;
}

/* The largest score so far; what the exponentials are taken against and how far it moved. */
static float shift_of(const lcpu_attn_tile *t, uint32_t q, float *moved)
{
    float seen[32];
    const float *s = t->scores + (size_t)q * 32;
    uint32_t visible = t->visible[q];
    for (uint32_t j = 0; j < 32; j++)
        seen[j] = (visible >> j & 1u) != 0 && s[j] > -INFINITY ? s[j] : -INFINITY;
    float largest = largest_of(seen, t->m[q]);
    /* All that is seen so far is minus infinity or NaN: exp must not meet inf - inf. */
    float shift = largest == -INFINITY ? 0 : largest;
    *moved = t->m[q] - shift;
    t->m[q] = largest;
    return shift;
}

/* The weights in place of the scores, and their sum. */
static void weigh(const lcpu_attn_tile *t, uint32_t q, float shift, float correction)
{
    float *p = t->scores + (size_t)q * 32;
    uint32_t visible = t->visible[q];
    for (uint32_t j = 0; j < 32; j++) {
        float e = lcpu_exp(p[j] - shift);
        p[j] = (visible >> j & 1u) != 0 ? e : 0;
    }
    t->l[q] = t->l[q] * correction + lanes_reduce(lanes_add(lanes_load(p), lanes_load(p + 16)));
}

/* O times sixteen columns from `first` on for Q queries from `q` on, which all see `visible`. */
INLINE void mix(const lcpu_attn_tile *t, const float *correction, uint32_t q, uint32_t Q,
                uint32_t visible, uint32_t first, uint32_t O)
{
    lanes o[TILE_Q][TILE_O];
    const float *p = t->scores + (size_t)q * 32;
    float *out = t->o + (size_t)q * t->v_dim + first;
    EACH (r, Q)
        EACH (i, O)
            o[r][i] =
                lanes_mul(lanes_load(out + r * t->v_dim + i * LANES), lanes_set(correction[q + r]));
    for (uint32_t left = visible; left != 0; left &= left - 1) {
        uint32_t j = (uint32_t)__builtin_ctz(left);
        const float *value = t->values + (size_t)j * t->v_dim + first;
        lanes v[TILE_O];
        EACH (i, O)
            v[i] = lanes_load(value + i * LANES);
        EACH (r, Q) {
            lanes weight = lanes_set(p[r * 32 + j]);
            EACH (i, O)
                o[r][i] = lanes_mac(weight, v[i], o[r][i]);
        }
    }
    EACH (r, Q)
        EACH (i, O)
            lanes_store(out + r * t->v_dim + i * LANES, o[r][i]);
}

/* The last columns, that fill no register. */
static void mix_rest(const lcpu_attn_tile *t, float correction, uint32_t q, uint32_t first)
{
    const float *p = t->scores + (size_t)q * 32;
    float *out = t->o + (size_t)q * t->v_dim;
    for (; first < t->v_dim; first++) {
        float o = out[first] * correction;
        for (uint32_t left = t->visible[q]; left != 0; left &= left - 1) {
            uint32_t j = (uint32_t)__builtin_ctz(left);
            o = __builtin_fmaf(p[j], t->values[(size_t)j * t->v_dim + first], o);
        }
        out[first] = o;
    }
}

INLINE void mix_all(const lcpu_attn_tile *t, const float *correction, uint32_t q, uint32_t Q,
                    uint32_t visible)
{
    uint32_t first = 0;
    for (; first + TILE_O * LANES <= t->v_dim; first += TILE_O * LANES)
        mix(t, correction, q, Q, visible, first, TILE_O);
    for (; first + LANES <= t->v_dim; first += LANES)
        mix(t, correction, q, Q, visible, first, 1);
    for (uint32_t r = 0; r < Q; r++)
        mix_rest(t, correction[q + r], q + r, first);
}

static bool all_see(const lcpu_attn_tile *t, uint32_t q, uint32_t count)
{
    for (uint32_t r = 1; r < count; r++)
        if (t->visible[q + r] != t->visible[q])
            return false;
    return true;
}

static void some_queries(const lcpu_attn_tile *t)
{
    float shift[SOME], correction[SOME];
    for (uint32_t q = 0; q < t->n; q++)
        if (t->visible[q] != 0)
            shift[q] = shift_of(t, q, &correction[q]);
        else
            correction[q] = 0;
    values_exp(correction, 0, correction, t->n);
    for (uint32_t q = 0; q < t->n; q++)
        if (t->visible[q] != 0)
            weigh(t, q, shift[q], correction[q]);
    for (uint32_t q = 0; q < t->n;) {
        if (t->visible[q] == 0) {
            q++;
        } else if (q + TILE_Q <= t->n && all_see(t, q, TILE_Q)) {
            mix_all(t, correction, q, TILE_Q, t->visible[q]);
            q += TILE_Q;
        } else {
            mix_all(t, correction, q, 1, t->visible[q]);
            q++;
        }
    }
}

static void attn_tile(const lcpu_attn_tile *all)
{
    for (uint32_t q = 0; q < all->n; q += SOME) {
        lcpu_attn_tile t = *all;
        t.n = all->n - q < SOME ? all->n - q : SOME;
        t.visible += q;
        t.scores += (size_t)q * 32;
        t.m += q;
        t.l += q;
        t.o += (size_t)q * t.v_dim;
        some_queries(&t);
    }
}

static void fill_f32(lcpu_kernels *k)
{
    k->f16_decode = f16_decode;
    k->bf16_decode = bf16_decode;
    k->f32_matmul = f32_matmul;
    k->f16_matmul = f16_matmul;
    k->bf16_matmul = bf16_matmul;
    k->attn_tile = attn_tile;
    k->sum = sum;
    k->sum_squares = sum_squares;
    values_fill(k);
}

#endif
