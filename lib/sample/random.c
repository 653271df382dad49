/* random.c - Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a
 * keyed mixing of a counter. It has no state, so nothing that runs beside a generation can move it.
 */
#include "sample/sampler.h"

static void multiply(uint32_t a, uint32_t b, uint32_t *high, uint32_t *low)
{
    uint64_t product = (uint64_t)a * b;
    *high = (uint32_t)(product >> 32);
    *low = (uint32_t)product;
}

uint64_t lm_random_u64(uint64_t seed, uint64_t draw, uint64_t stream)
{
    uint32_t x[4] = {(uint32_t)draw, (uint32_t)(draw >> 32), (uint32_t)stream,
                     (uint32_t)(stream >> 32)};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        uint32_t high0, low0, high1, low1;
        multiply(0xd2511f53u, x[0], &high0, &low0);
        multiply(0xcd9e8d57u, x[2], &high1, &low1);
        x[0] = high1 ^ x[1] ^ key[0];
        x[1] = low1;
        x[2] = high0 ^ x[3] ^ key[1];
        x[3] = low0;
        key[0] += 0x9e3779b9u;
        key[1] += 0xbb67ae85u;
    }
    return (uint64_t)x[1] << 32 | x[0];
}

double lm_random_unit(uint64_t seed, uint64_t draw, uint64_t stream)
{
    return (double)(lm_random_u64(seed, draw, stream) >> 11) * 0x1p-53;
}
