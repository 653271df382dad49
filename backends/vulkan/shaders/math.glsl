// math.glsl - exponentials and what is made of them, right to about 1e-7 whatever the driver's own
// are worth: the functions of backends/cpu/kernels/math.h.
#ifndef MATH_GLSL
#define MATH_GLSL

const uint ACT_NONE = 0, ACT_SILU = 1, ACT_GELU_TANH = 2, ACT_GELU_ERF = 3, ACT_RELU = 4,
           ACT_RELU2 = 5, ACT_SIGMOID = 6, ACT_GELU_QUICK = 7, ACT_SOFTPLUS = 8;

float lm_exp(float x)
{
    const float low = -87.33, high = 88.37;
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    precise float shifted = clamp(x, low, high) * 1.44269504088896341 + 12582912.0;
    precise float n = shifted - 12582912.0;
    precise float r = (clamp(x, low, high) - n * 0.693359375) - n * -2.12194440e-4;
    precise float p = 1.9875691500e-4;
    p = fma(p, r, 1.3981999507e-3);
    p = fma(p, r, 8.3334519073e-3);
    p = fma(p, r, 4.1665795894e-2);
    p = fma(p, r, 1.6666665459e-1);
    p = fma(p, r, 5.0000001201e-1);
    p = fma(p, r * r, r) + 1.0;
    float y = p * uintBitsToFloat((floatBitsToUint(shifted) - 0x4b400000u + 127u) << 23);
    y = x < low ? 0.0 : x > high ? uintBitsToFloat(0x7f800000u) : y;
    return isnan(x) ? x : y;
}

float lm_tanh(float x)
{
    float z = x * x;
    float p = -5.70498872745e-3;
    p = fma(p, z, 2.06390887954e-2);
    p = fma(p, z, -5.37397155531e-2);
    p = fma(p, z, 1.33314422036e-1);
    p = fma(p, z, -3.33332819422e-1);
    float large = 1.0 - 2.0 / (lm_exp(2.0 * abs(x)) + 1.0);
    return abs(x) < 0.625 ? fma(p * z, x, x) : x < 0 ? -large : large;
}

float lm_sigmoid(float x) { return 1.0 / (1.0 + lm_exp(-x)); }

// log(1 + x) of x in [0, 1], by the series of the inverse hyperbolic tangent.
float lm_log1p(float x)
{
    float y = x / (2.0 + x), z = y * y, sum = 1.0 / 15;
    for (float n = 13; n > 0; n -= 2)
        sum = fma(sum, z, 1.0 / n);
    return 2.0 * y * sum;
}

float lm_erf(float x)
{
    float a = abs(x), z = x * x;
    if (a < 0.5) {
        float p = fma(fma(fma(fma(-1.0 / 1320, z, 1.0 / 216), z, -1.0 / 42), z, 0.1), z, -1.0 / 3);
        return 1.1283791670955126 * fma(p * z, x, x);
    }
    float t = 1.0 / (1.0 + 0.5 * a), p = 0.17087277;
    p = fma(p, t, -0.82215223);
    p = fma(p, t, 1.48851587);
    p = fma(p, t, -1.13520398);
    p = fma(p, t, 0.27886807);
    p = fma(p, t, -0.18628806);
    p = fma(p, t, 0.09678418);
    p = fma(p, t, 0.37409196);
    p = fma(p, t, 1.00002368);
    p = fma(p, t, -1.26551223);
    float rest = t * lm_exp(fma(-a, a, p));
    return x < 0 ? rest - 1.0 : 1.0 - rest;
}

float lm_act(uint kind, float x)
{
    switch (kind) {
    case ACT_SILU:
        return x / (1.0 + lm_exp(-x));
    case ACT_GELU_TANH:
        return 0.5 * x * (1.0 + lm_tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case ACT_GELU_ERF:
        return 0.5 * x * (1.0 + lm_erf(x * 0.7071067811865476));
    case ACT_RELU:
        return x > 0 || isnan(x) ? x : 0;
    case ACT_RELU2:
        return x > 0 || isnan(x) ? x * x : 0;
    case ACT_SIGMOID:
        return lm_sigmoid(x);
    case ACT_GELU_QUICK:
        return x / (1.0 + lm_exp(-1.702 * x));
    case ACT_SOFTPLUS:
        return max(x, 0.0) + lm_log1p(lm_exp(-abs(x)));
    default:
        return x;
    }
}

#endif
