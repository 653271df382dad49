/* run_block - what a run says to shaders, as it lies in device memory. Every structure here has its
 * twin in shaders/common.glsl, in scalar layout: change both. */
#ifndef LM_BACKENDS_VULKAN_RUN_BLOCK_H
#define LM_BACKENDS_VULKAN_RUN_BLOCK_H

#include "step/network.h"

typedef struct lvk_run_pages {
    uint64_t pages;                   /* of addresses of pages */
    uint64_t state_read, state_write; /* 0: none */
    uint32_t n_pages, first_page;
} lvk_run_pages;

typedef struct lvk_run_seq {
    uint32_t first_row, n_rows, length, flags;
    lvk_run_pages groups[LM_MAX_GROUPS];
} lvk_run_seq;

typedef struct lvk_run_head {
    uint32_t count[3]; /* by LM_ROWS_... */
    uint32_t ancestor_words;
    uint64_t tokens, embeddings, positions, slots, row_seq, visible_end, wanted, seqs;
    uint64_t ancestors; /* 0: visible_end alone decides */
} lvk_run_head;

/* What is pushed before a dispatch. */
typedef struct lvk_push {
    uint64_t args, run;
} lvk_push;

_Static_assert(sizeof(lvk_run_pages) == 32, "as in common.glsl");
_Static_assert(sizeof(lvk_run_seq) == 16 + 4 * 32, "as in common.glsl");
_Static_assert(sizeof(lvk_run_head) == 16 + 9 * 8, "as in common.glsl");

#endif
