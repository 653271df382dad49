/* cpu_attn - what the steps of attention (cpu_attn.c) and the walk over a split (cpu_attn_tiles.c) share. */
#ifndef LM_BACKENDS_CPU_CPU_ATTN_H
#define LM_BACKENDS_CPU_CPU_ATTN_H

#include "backends/cpu/cpu.h"

#define LCPU_ATTN_GROUP 16u  /* slots decoded together: none crosses the border of a page */
#define LCPU_ATTN_SPLIT 512u /* slots */

typedef struct lcpu_attn_block {
    uint32_t first, count; /* rows of the slot */
} lcpu_attn_block;

/* One worker's arrays; a query is one row and head of the block. */
typedef struct lcpu_attn_desk {
    float *rows; /* of two groups, as they come */
    float *keys,
        *values;         /* of a tile: [k_stride, slots], [slots, v_stride]; or operands as large */
    float *scores;       /* [queries at once, slots] */
    float *queries;      /* [queries, k_dim]: near each other, whatever the width of a row;
                           * or operands as large */
    const float **query; /* [queries] */
    uint32_t *row;       /* [queries] of the run */
    uint64_t *visible;   /* [queries] of the tile */
    float *slope;        /* [queries] */
    float *m, *l, *o;    /* of the split: [queries], [queries, 16], [queries, v_stride] */
    float *all_m, *all_l, *all_o;
} lcpu_attn_desk;

typedef struct lcpu_attn_job {
    const lhost_run *r;
    const lcpu_device *d;
    const lm_attn *a;
    uint32_t slot; /* of the queries */
    const float *in, *sinks;
    float *out;
    uint32_t shared;             /* query heads per key head */
    uint32_t k_stride, v_stride; /* of decoded rows */
    uint32_t block_rows, queries;
    const lcpu_attn_direct *direct[2]; /* for keys and for values; both or none */
    const lcpu_attn_matrix *matrix;    /* or NULL */
    bool rotated[2];                   /* keys, values */
    lcpu_attn_block *blocks;
    uint32_t n_blocks;
    uint32_t n_splits; /* of the longest row */
    float *parts;      /* [rows * heads, n_splits] of m, l, o[v_dim] */
    uint8_t *desks;
    uint64_t desk_bytes;
} lcpu_attn_job;

/* Queries enough for matrix registers. */
static inline bool lcpu_attn_by_matrix(const lcpu_attn_job *j, uint32_t queries)
{
    return j->matrix != NULL && queries > LCPU_ATTN_GROUP;
}

/* A block's queries over one split: m, l and o of the desk. */
void lcpu_attn_walk(const lcpu_attn_job *j, const lcpu_attn_desk *d, const lcpu_attn_block *b,
                    uint32_t head, uint32_t split);

#endif
