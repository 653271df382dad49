/* amx - matrix registers: their instructions, and how a kernel sets them up for itself. A register
 * is up to sixteen rows of up to 64 bytes. */
#ifndef LM_BACKENDS_CPU_KERNELS_AMX_H
#define LM_BACKENDS_CPU_KERNELS_AMX_H

#include <stddef.h>
#include <stdint.h>

#define SIDE 16u   /* rows of a register */
#define TILE 1024u /* bytes of a register */

/* The compiler's own names for these do not say that they read memory. */
#define TILE_LOAD_(n, at, stride)                                                                  \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #n ::"r"(at), "r"(stride) : "memory")
#define TILE_STORE_(n, at, stride)                                                                 \
    __asm__ volatile("tilestored %%tmm" #n ", (%0,%1,1)" ::"r"(at), "r"(stride) : "memory")
#define TILE_ZERO_(n) __asm__ volatile("tilezero %%tmm" #n::)
#define TILE_MAC_(name, sum, left, right)                                                          \
    __asm__ volatile(name " %%tmm" #right ", %%tmm" #left ", %%tmm" #sum::)
#define TILE_LOAD(n, at, stride)         TILE_LOAD_(n, at, (size_t)(stride))
#define TILE_STORE(n, at, stride)        TILE_STORE_(n, at, (size_t)(stride))
#define TILE_ZERO(n)                     TILE_ZERO_(n)
#define TILE_MAC(name, sum, left, right) TILE_MAC_(name, sum, left, right)

typedef struct tile_config {
    uint8_t palette, start_row, zero[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} tile_config;

static inline void tiles_begin(const tile_config *c)
{
    __asm__ volatile("ldtilecfg (%0)" ::"r"(c) : "memory");
}

/* All registers have all rows and bytes. */
static inline void tiles_begin_whole(void)
{
    tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.rows[i] = SIDE;
        c.bytes[i] = TILE / SIDE;
    }
    tiles_begin(&c);
}

static inline void tiles_end(void)
{
    __asm__ volatile("tilerelease" ::);
}

#endif
