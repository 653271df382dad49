/* values_portable.c - the tile of attention in plain C, and the portable set's table. */
#include "backends/cpu/kernels/values.h"

/* --- attention -------------------------------------------------------------------------------- */

static void add_value(float *o, const float *value, float p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        o[i] += p * value[i];
}

static void one_query(const lcpu_attn_tile *t, uint32_t q)
{
    uint32_t visible = t->visible[q];
    float largest = t->m[q], *p = t->scores + (size_t)q * 32, *o = t->o + (size_t)q * t->v_dim;
    float lane[16];
    for (uint32_t j = 0; j < 32; j++)
        if ((visible >> j & 1u) != 0 && p[j] > largest)
            largest = p[j];
    /* All that is seen so far is minus infinity or NaN: exp must not meet inf - inf. */
    float shift = largest == -INFINITY ? 0 : largest;
    float correction = lcpu_exp(t->m[q] - shift);
    for (uint32_t j = 0; j < 32; j++)
        p[j] = (visible >> j & 1u) != 0 ? lcpu_exp(p[j] - shift) : 0;
    for (uint32_t j = 0; j < 16; j++)
        lane[j] = p[j] + p[j + 16];
    t->m[q] = largest;
    t->l[q] = t->l[q] * correction + lcpu_tree16(lane);
    for (uint32_t i = 0; i < t->v_dim; i++)
        o[i] *= correction;
    for (uint32_t j = 0; j < 32; j++)
        if ((visible >> j & 1u) != 0)
            add_value(o, t->values + (size_t)j * t->v_dim, p[j], t->v_dim);
}

void lcpu_portable_attn_tile(const lcpu_attn_tile *t)
{
    for (uint32_t q = 0; q < t->n; q++)
        if (t->visible[q] != 0)
            one_query(t, q);
}

void lcpu_fill_portable(lcpu_kernels *k)
{
    k->f16_decode = lcpu_portable_f16_decode;
    k->bf16_decode = lcpu_portable_bf16_decode;
    k->f32_matmul = lcpu_portable_f32_matmul;
    k->attn_tile = lcpu_portable_attn_tile;
    k->sum = lcpu_portable_sum;
    k->sum_squares = lcpu_portable_sum_squares;
    values_fill(k);
    lcpu_fill_portable_int8(k);
}
