/* attn_lanes - attention over one tile of 64 slots, written once over a type of sixteen lanes.
 * Whoever includes it defines before: `lanes` and the functions lanes_zero, _set, _load, _store,
 * _add, _mul, _mac (x * y + sum), _max (x > y ? x : y), _pick (bit set ? x : y), _transpose (16 by
 * 16), and SCORE_Q, SCORE_V, MIX_Q, MIX_V, the sizes of tiles that its registers hold. Scores have
 * slots as lanes, outputs the columns of values, so neither needs a sum across lanes. */
#ifndef LM_BACKENDS_CPU_KERNELS_ATTN_LANES_H
#define LM_BACKENDS_CPU_KERNELS_ATTN_LANES_H

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/math.h"

#define SLOTS  LCPU_ATTN_SLOTS
#define LANES  16u
#define INLINE static inline __attribute__((always_inline))
/* A loop that is written out, so that its arrays become registers. */
#define EACH(i, count) _Pragma("GCC unroll 8") for (uint32_t i = 0; i < (count); i++)

/* --- keys ------------------------------------------------------------------------------------- */

static void attn_keys(const float *rows, uint32_t stride, float *to)
{
    for (uint32_t d = 0; d < stride; d += LANES) {
        lanes x[LANES];
        for (uint32_t j = 0; j < LANES; j++)
            x[j] = lanes_load(rows + (size_t)j * stride + d);
        lanes_transpose(x);
        for (uint32_t j = 0; j < LANES; j++)
            lanes_store(to + (size_t)(d + j) * SLOTS, x[j]);
    }
}

/* --- scores ----------------------------------------------------------------------------------- */

/* Q queries from `q` on against V times sixteen slots from `first` on. */
INLINE void score(const lcpu_attn_tile *t, uint32_t q, uint32_t Q, uint32_t first, uint32_t V)
{
    lanes sum[SCORE_Q][SCORE_V], scale = lanes_set(t->scale);
    const float *x[SCORE_Q], *keys = t->keys + first;
    EACH (r, Q) {
        x[r] = t->query[q + r];
        EACH (i, V)
            sum[r][i] = lanes_zero();
    }
    for (uint32_t d = 0; d < t->k_dim; d++, keys += SLOTS) {
        lanes k[SCORE_V];
        EACH (i, V)
            k[i] = lanes_load(keys + i * LANES);
        EACH (r, Q) {
            lanes value = lanes_set(x[r][d]);
            EACH (i, V)
                sum[r][i] = lanes_mac(k[i], value, sum[r][i]);
        }
    }
    EACH (r, Q)
        EACH (i, V)
            lanes_store(t->scores + (size_t)(q + r) * SLOTS + first + i * LANES,
                        lanes_mul(sum[r][i], scale));
}

/* A register tile with as many queries as are left, of the sizes that a set holds. */
#define SOME_OF(left, most, call)                                                                  \
    switch ((left) < (most) ? (left) : (most)) {                                                   \
    case 1:                                                                                        \
        call(1);                                                                                   \
        break;                                                                                     \
    case 2:                                                                                        \
        call(2);                                                                                   \
        break;                                                                                     \
    case 3:                                                                                        \
        call((most) < 3 ? (most) : 3);                                                             \
        break;                                                                                     \
    case 4:                                                                                        \
        call((most) < 4 ? (most) : 4);                                                             \
        break;                                                                                     \
    case 5:                                                                                        \
        call((most) < 5 ? (most) : 5);                                                             \
        break;                                                                                     \
    default:                                                                                       \
        call(most);                                                                                \
    }

static void attn_scores(const lcpu_attn_tile *t)
{
#define SCORE(Q) score(t, q, Q, first, SCORE_V)
    for (uint32_t first = 0; first < SLOTS; first += SCORE_V * LANES)
        for (uint32_t q = 0; q < t->n; q += SCORE_Q)
            SOME_OF(t->n - q, SCORE_Q, SCORE)
#undef SCORE
}

/* --- weights ---------------------------------------------------------------------------------- */

static inline uint32_t bits_of(uint64_t visible, uint32_t first)
{
    return (uint32_t)(visible >> first) & 0xffffu;
}

/* The largest score so far; what the exponentials are taken against and how far it moved. */
static inline float shift_of(const lcpu_attn_tile *t, uint32_t q, float *moved)
{
    const float *s = t->scores + (size_t)q * SLOTS;
    uint64_t visible = t->visible[q];
    lanes none = lanes_set(-INFINITY), most = none;
    /* NaN is not larger than anything and does not count. */
    for (uint32_t j = 0; j < SLOTS; j += LANES)
        most = lanes_max(lanes_pick(bits_of(visible, j), lanes_load(s + j), none), most);
    float lane[LANES], largest = t->m[q];
    lanes_store(lane, most);
    for (uint32_t i = 0; i < 8; i++)
        lane[i] = lane[i] > lane[i + 8] ? lane[i] : lane[i + 8];
    for (uint32_t i = 0; i < 4; i++)
        lane[i] = lane[i] > lane[i + 4] ? lane[i] : lane[i + 4];
    for (uint32_t i = 0; i < 4; i++)
        largest = lane[i] > largest ? lane[i] : largest;
    /* All that is seen so far is minus infinity or NaN: exp must not meet inf - inf. */
    float shift = largest == -INFINITY ? 0 : largest;
    *moved = t->m[q] - shift;
    t->m[q] = largest;
    return shift;
}

/* The weights in place of the scores, and their sums by lane. */
static inline void weigh(const lcpu_attn_tile *t, uint32_t q, float shift, float correction)
{
    float *p = t->scores + (size_t)q * SLOTS, *l = t->l + (size_t)q * LANES;
    uint64_t visible = t->visible[q];
    for (uint32_t j = 0; j < SLOTS; j++)
        p[j] = lcpu_exp(p[j] - shift);
    if (visible != UINT64_MAX)
        for (uint32_t j = 0; j < SLOTS; j += LANES)
            lanes_store(p + j, lanes_pick(bits_of(visible, j), lanes_load(p + j), lanes_zero()));
    lanes sum = lanes_load(p);
    for (uint32_t j = LANES; j < SLOTS; j += LANES)
        sum = lanes_add(sum, lanes_load(p + j));
    lanes_store(l, lanes_mac(lanes_load(l), lanes_set(correction), sum));
}

/* --- outputs ---------------------------------------------------------------------------------- */

/* One slot's values, V times sixteen columns, into the outputs of Q queries. */
#define MIX_SLOT(j)                                                                                \
    do {                                                                                           \
        const float *value = t->values + (size_t)(j)*t->v_stride + first;                          \
        lanes v[MIX_V];                                                                            \
        EACH (i, V)                                                                                \
            v[i] = lanes_load(value + i * LANES);                                                  \
        EACH (r, Q) {                                                                              \
            lanes weight = lanes_set(p[r * SLOTS + (j)]);                                          \
            EACH (i, V)                                                                            \
                o[r][i] = lanes_mac(weight, v[i], o[r][i]);                                        \
        }                                                                                          \
    } while (0)

/* V times sixteen columns from `first` on for Q queries from `q` on, which all see `visible`. */
INLINE void mix(const lcpu_attn_tile *t, const float *correction, uint32_t q, uint32_t Q,
                uint64_t visible, uint32_t first, uint32_t V)
{
    lanes o[MIX_Q][MIX_V];
    const float *p = t->scores + (size_t)q * SLOTS;
    float *out = t->o + (size_t)q * t->v_stride + first;
    EACH (r, Q) {
        lanes factor = lanes_set(correction[q + r]);
        EACH (i, V)
            o[r][i] = lanes_mul(lanes_load(out + r * t->v_stride + i * LANES), factor);
    }
    if (visible == UINT64_MAX)
        for (uint32_t j = 0; j < SLOTS; j++)
            MIX_SLOT(j);
    else
        for (uint64_t left = visible; left != 0; left &= left - 1)
            MIX_SLOT((uint32_t)__builtin_ctzll(left));
    EACH (r, Q)
        EACH (i, V)
            lanes_store(out + r * t->v_stride + i * LANES, o[r][i]);
}

INLINE void mix_columns(const lcpu_attn_tile *t, const float *correction, uint32_t q, uint32_t Q)
{
    uint32_t first = 0;
    for (; first + MIX_V * LANES <= t->v_stride; first += MIX_V * LANES)
        mix(t, correction, q, Q, t->visible[q], first, MIX_V);
    for (; first < t->v_stride; first += LANES)
        mix(t, correction, q, Q, t->visible[q], first, 1);
}

/* How many queries from `q` on see the same slots. */
static uint32_t same_sight(const lcpu_attn_tile *t, uint32_t q)
{
    uint32_t count = 1;
    while (count < MIX_Q && q + count < t->n && t->visible[q + count] == t->visible[q])
        count++;
    return count;
}

static void attn_mix(const lcpu_attn_tile *t)
{
    float shift[LCPU_ATTN_QUERIES], correction[LCPU_ATTN_QUERIES] = {0};
    for (uint32_t q = 0; q < t->n; q++)
        if (t->visible[q] != 0)
            shift[q] = shift_of(t, q, &correction[q]);
    for (uint32_t q = 0; q < LCPU_ATTN_QUERIES; q++)
        correction[q] = lcpu_exp(correction[q]);
    for (uint32_t q = 0; q < t->n; q++)
        if (t->visible[q] != 0)
            weigh(t, q, shift[q], correction[q]);
    for (uint32_t q = 0; q < t->n;) {
        uint32_t count = same_sight(t, q);
#define MIX(Q) mix_columns(t, correction, q, Q)
        if (t->visible[q] != 0)
            SOME_OF(count, MIX_Q, MIX)
#undef MIX
        q += count;
    }
}

static void attn_fill(lcpu_kernels *k)
{
    k->attn_keys = attn_keys;
    k->attn_scores = attn_scores;
    k->attn_mix = attn_mix;
}

#endif
