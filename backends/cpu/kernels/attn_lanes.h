/* attn_lanes - attention over one tile of 64 slots, written once over a type of sixteen lanes. Scores have
 * slots as lanes, outputs the columns of values, so neither needs a sum across lanes.
 *
 * Whoever includes it defines before: `lanes` and the functions lanes_zero, _set, _load, _store, _add, _sub,
 * _mul, _mac (x * y + sum), _max (x > y ? x : y), _pick (bit set ? x : y), _largest (of sixteen), _exponent
 * (the power of two of a shifted number, see lcpu_exp), _transpose (16 by 16), _load_f16, _load_bf16,
 * _load_e4m3, _load_i8 (sixteen bytes), _set_f16, _gather_f16, and SCORE_Q, SCORE_V, MIX_Q, MIX_V, the sizes of
 * tiles that its registers hold. */
#ifndef LM_BACKENDS_CPU_KERNELS_ATTN_LANES_H
#define LM_BACKENDS_CPU_KERNELS_ATTN_LANES_H

#include "backends/cpu/kernels/attn_weights.h"
#include "quant/q_legacy.h"

#define QUERIES ((LCPU_ATTN_QUERIES + LANES - 1) / LANES * LANES)

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

static void attn_scores(const lcpu_attn_tile *t)
{
#define SCORE(Q) score(t, q, Q, first, SCORE_V)
    for (uint32_t first = 0; first < SLOTS; first += SCORE_V * LANES)
        for (uint32_t q = 0; q < t->n; q += SCORE_Q)
            SOME_OF(t->n - q, SCORE_Q, SCORE)
#undef SCORE
}

/* --- outputs ---------------------------------------------------------------------------------- */

/* Sixteen columns of a slot's values. */
typedef lanes (*value_fn)(const lcpu_attn_tile *t, uint32_t slot, uint32_t column);

INLINE lanes tile_value(const lcpu_attn_tile *t, uint32_t slot, uint32_t column)
{
    return lanes_load(t->values + (size_t)slot * t->v_stride + column);
}

/* Asks for what will be read next, while V times sixteen columns of a slot are used. */
typedef void (*ahead_fn)(const lcpu_attn_tile *t, uint32_t slot, uint32_t first, uint32_t V);

INLINE void no_ahead(const lcpu_attn_tile *t, uint32_t slot, uint32_t first, uint32_t V)
{
    (void)t, (void)slot, (void)first, (void)V;
}

/* One slot's values, V times sixteen columns, into the outputs of Q queries. */
#define MIX_SLOT(j)                                                                                \
    do {                                                                                           \
        lanes v[2 * MIX_V];                                                                        \
        ahead(t, j, first, V);                                                                     \
        EACH (i, V)                                                                                \
            v[i] = value(t, j, first + i * LANES);                                                 \
        EACH (r, Q) {                                                                              \
            lanes weight = lanes_set(p[r * SLOTS + (j)]);                                          \
            EACH (i, V)                                                                            \
                o[r][i] = lanes_mac(weight, v[i], o[r][i]);                                        \
        }                                                                                          \
    } while (0)

/* V times sixteen columns from `first` on for Q queries from `q` on, which all see `visible`. */
INLINE void mix(const lcpu_attn_tile *t, const float *correction, uint32_t q, uint32_t Q,
                uint32_t first, uint32_t V, value_fn value, ahead_fn ahead)
{
    lanes o[MIX_Q][2 * MIX_V];
    const float *p = t->scores + (size_t)q * SLOTS;
    float *out = t->o + (size_t)q * t->v_stride + first;
    EACH (r, Q) {
        lanes factor = lanes_set(correction[q + r]);
        EACH (i, V)
            o[r][i] = lanes_mul(lanes_load(out + r * t->v_stride + i * LANES), factor);
    }
    if (t->visible[q] == UINT64_MAX)
        for (uint32_t j = 0; j < SLOTS; j++)
            MIX_SLOT(j);
    else
        for (uint64_t left = t->visible[q]; left != 0; left &= left - 1)
            MIX_SLOT((uint32_t)__builtin_ctzll(left));
    EACH (r, Q)
        EACH (i, V)
            lanes_store(out + r * t->v_stride + i * LANES, o[r][i]);
}

INLINE void mix_columns(const lcpu_attn_tile *t, const float *correction, uint32_t q, uint32_t Q,
                        value_fn value, ahead_fn ahead)
{
    uint32_t first = 0;
    if (Q <= MIX_Q / 2)
        for (; first + 2 * MIX_V * LANES <= t->v_stride; first += 2 * MIX_V * LANES)
            mix(t, correction, q, Q, first, 2 * MIX_V, value, ahead);
    for (; first + MIX_V * LANES <= t->v_stride; first += MIX_V * LANES)
        mix(t, correction, q, Q, first, MIX_V, value, ahead);
    for (; first < t->v_stride; first += LANES)
        mix(t, correction, q, Q, first, 1, value, ahead);
}

/* How many queries from `q` on see the same slots. */
static uint32_t same_sight(const lcpu_attn_tile *t, uint32_t q)
{
    uint32_t count = 1;
    while (count < MIX_Q && q + count < t->n && t->visible[q + count] == t->visible[q])
        count++;
    return count;
}

/* The weights in place of the scores. */
INLINE void weigh_in_place(const lcpu_attn_tile *t, uint32_t q, float shift, float correction)
{
    lanes weight[SLOTS / LANES];
    weigh(t, q, shift, correction, weight);
    EACH (i, SLOTS / LANES)
        lanes_store(t->scores + (size_t)q * SLOTS + i * LANES, weight[i]);
}

INLINE void mix_tile(const lcpu_attn_tile *t, value_fn value, ahead_fn ahead)
{
    float shift[QUERIES], correction[QUERIES] = {0};
    for (uint32_t q = 0; q < t->n; q++)
        if (t->visible[q] != 0)
            shift[q] = shift_of(t, q, &correction[q]);
    for (uint32_t q = 0; q < t->n; q += LANES)
        lanes_store(correction + q, exp_of(lanes_load(correction + q)));
    for (uint32_t q = 0; q < t->n; q++)
        if (t->visible[q] != 0)
            weigh_in_place(t, q, shift[q], correction[q]);
    for (uint32_t q = 0; q < t->n;) {
        uint32_t count = same_sight(t, q);
#define MIX(Q) mix_columns(t, correction, q, Q, value, ahead)
        if (t->visible[q] != 0)
            SOME_OF(count, MIX_Q, MIX)
#undef MIX
        q += count;
    }
}

static void attn_mix(const lcpu_attn_tile *t)
{
    mix_tile(t, tile_value, no_ahead);
}

/* --- straight from the cache ------------------------------------------------------------------ */

/* Asks for as many lines of the next tile as lie between two numbers of bytes that are used of this
 * one: a line of each of its eight parts in turn, for a page of memory is one stream to the processor
 * (see ahead.h). */
INLINE void ahead_of(const lcpu_attn_tile *t, size_t used, size_t then)
{
    for (size_t line = used / 64; line < then / 64; line++)
        LCPU_PREFETCH(t->next[line % 8] + line / 8 * 64);
}

/* Sixteen values of a row from `column` on. */
typedef lanes (*row_fn)(const uint8_t *row, uint32_t column);

/* Q queries from `q` on against sixteen slots, `bytes` for sixteen values; with `scales` `load` leaves
 * those of q8_0 out. */
INLINE void score_rows(const lcpu_attn_tile *t, uint32_t q, uint32_t Q, uint32_t place, row_fn load,
                       uint32_t bytes, bool scales)
{
    const uint8_t *rows = t->k_rows.at[place];
    size_t stride = t->k_rows.stride, used = (size_t)place * t->k_dim * bytes;
    lanes sum[SCORE_Q], scale = lanes_zero();
    EACH (r, Q)
        sum[r] = lanes_zero();
    for (uint32_t d = 0; d < t->k_dim; d += LANES) {
        lanes x[LANES];
        ahead_of(t, used, used + LANES * bytes);
        used += LANES * bytes;
        for (uint32_t j = 0; j < LANES; j++)
            x[j] = load(rows + j * stride, d);
        lanes_transpose(x);
        if (scales && d % 32 == 0)
            scale = lanes_gather_f16(rows + d / 32 * sizeof(lm_block_q8_0), stride);
        for (uint32_t j = 0; j < LANES; j++) {
            x[j] = scales ? lanes_mul(x[j], scale) : x[j];
            EACH (r, Q)
                sum[r] = lanes_mac(x[j], lanes_set(t->query[q + r][d + j]), sum[r]);
        }
    }
    EACH (r, Q)
        lanes_store(t->scores + (size_t)(q + r) * SLOTS + place * LANES,
                    lanes_mul(sum[r], lanes_set(t->scale)));
}

INLINE void score_direct(const lcpu_attn_tile *t, row_fn load, uint32_t bytes, bool scales)
{
#define SCORE(Q) score_rows(t, q, Q, place, load, bytes, scales)
    for (uint32_t place = 0; place < SLOTS / LANES; place++)
        for (uint32_t q = 0; q < t->n; q += SCORE_Q)
            SOME_OF(t->n - q, SCORE_Q, SCORE)
#undef SCORE
}

INLINE lanes row_value(const lcpu_attn_tile *t, uint32_t slot, uint32_t column, row_fn load)
{
    return load(t->v_rows.at[slot / LANES] + slot % LANES * t->v_rows.stride, column);
}

/* What a slot's V times sixteen columns stand for; the keys were used before. */
INLINE void row_ahead(const lcpu_attn_tile *t, uint32_t slot, uint32_t first, uint32_t V,
                      uint32_t bytes)
{
    size_t used = (size_t)SLOTS / LANES * (t->k_dim + first) * bytes + (size_t)slot * V * bytes;
    ahead_of(t, used, used + V * bytes);
}

#define DIRECT(name, bytes, scales)                                                                \
    INLINE lanes value_##name(const lcpu_attn_tile *t, uint32_t slot, uint32_t column)             \
    {                                                                                              \
        return row_value(t, slot, column, row_##name);                                             \
    }                                                                                              \
    INLINE void ahead_##name(const lcpu_attn_tile *t, uint32_t slot, uint32_t first, uint32_t V)   \
    {                                                                                              \
        row_ahead(t, slot, first, V, bytes);                                                       \
    }                                                                                              \
    static void scores_##name(const lcpu_attn_tile *t)                                             \
    {                                                                                              \
        score_direct(t, key_##name, bytes, scales);                                                \
    }                                                                                              \
    static void mix_##name(const lcpu_attn_tile *t)                                                \
    {                                                                                              \
        mix_tile(t, value_##name, ahead_##name);                                                   \
    }

INLINE lanes row_f32(const uint8_t *row, uint32_t column)
{
    return lanes_load((const float *)(const void *)row + column);
}

INLINE lanes row_f16(const uint8_t *row, uint32_t column)
{
    return lanes_load_f16(row + (size_t)column * 2);
}

INLINE lanes row_bf16(const uint8_t *row, uint32_t column)
{
    return lanes_load_bf16(row + (size_t)column * 2);
}

INLINE lanes row_q8_0(const uint8_t *row, uint32_t column)
{
    const lm_block_q8_0 *b = (const lm_block_q8_0 *)(const void *)row + column / 32;
    return lanes_mul(lanes_load_i8(b->q + column % 32), lanes_set_f16(&b->d));
}

/* Sixteen low nibbles, then sixteen high ones. */
INLINE lanes row_q4_0(const uint8_t *row, uint32_t column)
{
    const lm_block_q4_0 *b = (const lm_block_q4_0 *)(const void *)row + column / 32;
    uint32_t down = column % 32 / 16 * 4;
    int8_t q[LANES];
    for (uint32_t i = 0; i < LANES; i++)
        q[i] = (int8_t)((b->q[i] >> down & 15) - 8);
    return lanes_mul(lanes_load_i8(q), lanes_set_f16(&b->d));
}

/* Keys get their scales when they are turned: one vector for sixteen slots. */
INLINE lanes key_q8_0(const uint8_t *row, uint32_t column)
{
    const lm_block_q8_0 *b = (const lm_block_q8_0 *)(const void *)row + column / 32;
    return lanes_load_i8(b->q + column % 32);
}

INLINE lanes row_e4m3(const uint8_t *row, uint32_t column)
{
    return lanes_load_e4m3(row + column);
}

#define key_f32  row_f32
#define key_f16  row_f16
#define key_bf16 row_bf16
#define key_e4m3 row_e4m3
#define key_q4_0 row_q4_0

DIRECT(f32, 64, false)
DIRECT(f16, 32, false)
DIRECT(bf16, 32, false)
DIRECT(e4m3, 16, false)
DIRECT(q8_0, 17, true)
DIRECT(q4_0, 9, false)

static void attn_fill(lcpu_kernels *k)
{
    k->attn_keys = attn_keys;
    k->attn_scores = attn_scores;
    k->attn_mix = attn_mix;
    k->attn_direct[0] = (lcpu_attn_direct){LM_F16, scores_f16, mix_f16};
    k->attn_direct[1] = (lcpu_attn_direct){LM_BF16, scores_bf16, mix_bf16};
    k->attn_direct[2] = (lcpu_attn_direct){LM_F32, scores_f32, mix_f32};
    k->attn_direct[3] = (lcpu_attn_direct){LM_Q8_0, scores_q8_0, mix_q8_0};
    k->attn_direct[5] = (lcpu_attn_direct){LM_Q4_0, scores_q4_0, mix_q4_0};
    k->attn_direct[4] = (lcpu_attn_direct){LM_E4M3, scores_e4m3, mix_e4m3};
}

#endif
