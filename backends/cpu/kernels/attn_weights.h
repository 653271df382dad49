/* attn_weights - from the scores of a tile to weights: their maximum so far, exponentials and sums,
 * written once over a type of sixteen lanes that whoever includes it defines (see attn_lanes.h). */
#ifndef LM_BACKENDS_CPU_KERNELS_ATTN_WEIGHTS_H
#define LM_BACKENDS_CPU_KERNELS_ATTN_WEIGHTS_H

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/kernels/math.h"

#define SLOTS  LCPU_ATTN_SLOTS
#define LANES  16u
#define INLINE static inline __attribute__((always_inline))
/* A loop that is written out, so that its arrays become registers. */
#define EACH(i, count) _Pragma("GCC unroll 8") for (uint32_t i = 0; i < (count); i++)

static inline uint32_t bits_of(uint64_t visible, uint32_t first)
{
    return (uint32_t)(visible >> first) & 0xffffu;
}

/* lcpu_exp of what is not above 0, or NaN: the same operations. */
INLINE lanes exp_of(lanes x)
{
    lanes inside = lanes_max(lanes_set(LCPU_EXP_LOW), x), magic = lanes_set(LCPU_EXP_MAGIC);
    lanes shifted = lanes_mac(inside, lanes_set(LCPU_EXP_LOG2E), magic);
    lanes n = lanes_sub(shifted, magic);
    lanes r = lanes_mac(n, lanes_set(-LCPU_EXP_LN2_A), inside);
    r = lanes_mac(n, lanes_set(-LCPU_EXP_LN2_B), r);
    lanes p = lanes_set(lcpu_exp_terms[0]);
    EACH (i, 5)
        p = lanes_mac(p, r, lanes_set(lcpu_exp_terms[i + 1]));
    p = lanes_add(lanes_mac(p, lanes_mul(r, r), r), lanes_set(1.0f));
    return lanes_mul(p, lanes_exponent(shifted));
}

/* The largest score so far; what the exponentials are taken against and how far it moved. */
INLINE float shift_of(const lcpu_attn_tile *t, uint32_t q, float *moved)
{
    const float *s = t->scores + (size_t)q * SLOTS;
    uint64_t visible = t->visible[q];
    lanes most = lanes_set(t->m[q]);
    /* NaN is not larger than anything and does not count. */
    if (visible == UINT64_MAX)
        EACH (i, SLOTS / LANES)
            most = lanes_max(lanes_load(s + i * LANES), most);
    else
        EACH (i, SLOTS / LANES)
            most = lanes_max(
                lanes_pick(bits_of(visible, i * LANES), lanes_load(s + i * LANES), most), most);
    float largest = lanes_largest(most);
    /* All that is seen so far is minus infinity or NaN: exp must not meet inf - inf. */
    float shift = largest == -INFINITY ? 0 : largest;
    *moved = t->m[q] - shift;
    t->m[q] = largest;
    return shift;
}

/* Weights of all slots; their sums by lane go to the query's. */
INLINE void weigh(const lcpu_attn_tile *t, uint32_t q, float shift, float correction,
                  lanes weight[SLOTS / LANES])
{
    const float *s = t->scores + (size_t)q * SLOTS;
    float *l = t->l + (size_t)q * LANES;
    uint64_t visible = t->visible[q];
    lanes center = lanes_set(shift);
    EACH (i, SLOTS / LANES)
        weight[i] = exp_of(lanes_sub(lanes_load(s + i * LANES), center));
    if (visible != UINT64_MAX)
        EACH (i, SLOTS / LANES)
            weight[i] = lanes_pick(bits_of(visible, i * LANES), weight[i], lanes_zero());
    lanes sum = weight[0];
    EACH (i, SLOTS / LANES)
        sum = i == 0 ? sum : lanes_add(sum, weight[i]);
    lanes_store(l, lanes_mac(lanes_load(l), lanes_set(correction), sum));
}

#endif
