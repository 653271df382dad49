/* peaks.c - chains of multiply-adds that wait for nothing but the units that do them. */
#include "peaks.h"

#include "crowd.h"
#include "tool.h"

/* Not on Windows: gcc there spills wide registers as if its stack were aligned. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)
#include <immintrin.h>
#define KNOWN 1

/* CHAINS are more than the latency of an instruction times the instructions begun per cycle. */
enum { CHAINS = 12, ROUNDS = 1000000, TRIES = 8 };

static volatile float sink; /* so that nothing is left out */

#define first_256(v) _mm_cvtsi128_si32(_mm256_castsi256_si128(v))
#define first_512(v) _mm_cvtsi128_si32(_mm512_castsi512_si128(v))

#define CHAINED(name, needs, vector, begin, next, add, first)                                      \
    __attribute__((target(needs))) static void name(void *arg, unsigned thread)                    \
    {                                                                                              \
        vector sum[CHAINS];                                                                        \
        float x = 1 + sink * 0x1p-100f;                                                            \
        for (int c = 0; c < CHAINS; c++)                                                           \
            sum[c] = begin;                                                                        \
        for (int i = 0; i < ROUNDS; i++)                                                           \
            for (int c = 0; c < CHAINS; c++)                                                       \
                sum[c] = next;                                                                     \
        for (int c = 1; c < CHAINS; c++)                                                           \
            sum[0] = add(sum[0], sum[c]);                                                          \
        sink = (float)first(sum[0]);                                                               \
        (void)arg, (void)thread;                                                                   \
    }

CHAINED(f32_avx2, "avx2,fma", __m256, _mm256_set1_ps(x),
        _mm256_fmadd_ps(sum[c], _mm256_set1_ps(x), _mm256_set1_ps(x)), _mm256_add_ps,
        _mm256_cvtss_f32)
CHAINED(f32_avx512, "avx512f", __m512, _mm512_set1_ps(x),
        _mm512_fmadd_ps(sum[c], _mm512_set1_ps(x), _mm512_set1_ps(x)), _mm512_add_ps,
        _mm512_cvtss_f32)
CHAINED(bf16_avx512, "avx512f,avx512bf16", __m512, _mm512_set1_ps(x),
        _mm512_dpbf16_ps(sum[c], _mm512_cvtne2ps_pbh(_mm512_set1_ps(x), _mm512_set1_ps(x)),
                         _mm512_cvtne2ps_pbh(_mm512_set1_ps(x), _mm512_set1_ps(x))),
        _mm512_add_ps, _mm512_cvtss_f32)
/* Bytes have no exact product in AVX2: they are multiplied as 16-bit integers. */
CHAINED(int8_avx2, "avx2", __m256i, _mm256_set1_epi32((int)x),
        _mm256_add_epi32(sum[c], _mm256_madd_epi16(sum[c], _mm256_set1_epi32((int)x))),
        _mm256_add_epi32, first_256)
CHAINED(int8_avx512, "avx512f,avx512vnni", __m512i, _mm512_set1_epi32((int)x),
        _mm512_dpbusd_epi32(sum[c], _mm512_set1_epi32((int)x), _mm512_set1_epi32((int)x)),
        _mm512_add_epi32, first_512)

/* The best of several tries; `ops` is what one instruction does. */
static double rate(unsigned threads, crowd_fn run, double ops)
{
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double now = threads * ops * CHAINS * ROUNDS / crowd_run(threads, run, NULL);
        best = now > best ? now : best;
    }
    return best;
}
#endif

peaks peaks_measure(unsigned threads)
{
    peaks p = {0, 0, 0};
#if defined(KNOWN)
    threads = threads < 1 ? 1 : threads > CROWD_MOST ? CROWD_MOST : threads;
    if (__builtin_cpu_supports("avx512f"))
        p.f32 = rate(threads, f32_avx512, 32);
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        p.f32 = rate(threads, f32_avx2, 16);
    if (__builtin_cpu_supports("avx512bf16"))
        p.bf16 = rate(threads, bf16_avx512, 64);
    if (__builtin_cpu_supports("avx512vnni"))
        p.int8 = rate(threads, int8_avx512, 128);
    else if (__builtin_cpu_supports("avx2"))
        p.int8 = rate(threads, int8_avx2, 32);
#else
    (void)threads;
#endif
    return p;
}
