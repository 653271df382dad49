/* rope.c - what positions do, for all backends: rotation speeds with linear, YaRN and per-frequency
 * scaling, the axis a pair turns by, slopes of distance biases. */
#include "step/network.h"

#include <math.h>

#define TWO_PI 6.283185307179586

/* YaRN: the dimension whose wavelength makes `turns` turns over the original context. */
static double turns_dimension(const lm_rope *rope, double turns)
{
    return rope->dims * log(rope->context_original / (turns * TWO_PI)) /
           (2 * log((double)rope->base));
}

static double yarn_ramp(double low, double high, uint32_t pair)
{
    double y = ((double)pair - low) / fmax(0.001, high - low);
    return 1 - fmin(1, fmax(0, y));
}

void lm_rope_table(const lm_rope *rope, const float *factors, double *inv_freq, double *magnitude)
{
    double scale = rope->freq_scale == 0 ? 1 : rope->freq_scale;
    double low = 0, high = 0;
    *magnitude = rope->attn_factor == 0 ? 1 : rope->attn_factor;
    if (rope->yarn_mix != 0) {
        low = fmax(0, floor(turns_dimension(rope, rope->beta_fast)));
        high = fmin(rope->dims - 1, ceil(turns_dimension(rope, rope->beta_slow)));
    }
    for (uint32_t i = 0; i < rope->dims / 2; i++) {
        double plain = pow(rope->base, -2.0 * i / rope->dims);
        if (factors != NULL)
            plain /= factors[i];
        double stretched = plain * scale;
        if (rope->yarn_mix == 0) {
            inv_freq[i] = stretched;
            continue;
        }
        double mix = yarn_ramp(low, high, i) * rope->yarn_mix;
        inv_freq[i] = stretched * (1 - mix) + plain * mix;
    }
}

uint32_t lm_rope_axis(const lm_rope *rope, uint32_t pair)
{
    const uint32_t *s = rope->sections;
    uint32_t total = s[0] + s[1] + s[2] + s[3];
    if (total == 0)
        return 0;
    uint32_t at = pair % total, axis = 0;
    while (at >= s[axis])
        at -= s[axis++];
    return axis;
}

double lm_alibi_slope(const lm_attn *a, uint32_t head)
{
    if (a->alibi <= 0)
        return 0;
    uint32_t pow2 = 1;
    while (pow2 * 2 <= a->heads)
        pow2 *= 2;
    double exponent = head < pow2 ? (head + 1.0) : (2.0 * (head - pow2) + 1.0) / 2;
    return exp2(-(double)a->alibi / pow2 * exponent);
}
