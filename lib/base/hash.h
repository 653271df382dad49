/* hash - one 64-bit hash for maps, prefixes and checksums of saved state. Not cryptographic. */
#ifndef LM_BASE_HASH_H
#define LM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t lm_hash(const void *data, size_t size, uint64_t seed);

/* One well-mixed word from another: the finaliser of splitmix64. */
static inline uint64_t lm_mix64(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

#endif
