/* args.h - what host and kernels agree on: the run on the device, views of slots, weights and
 * caches, and one structure of arguments per kernel. Plain C, read by both compilers. A kernel gets
 * its structure by value; nothing in it differs from run to run, so that a recorded graph may be
 * replayed: whatever differs is read through `run`. */
#ifndef LM_BACKENDS_CUDA_ARGS_H
#define LM_BACKENDS_CUDA_ARGS_H

#include "backends/cuda/kernels/layouts.h"
#include "step/step.h"

#define LCU_GROUPS 4u /* as LM_MAX_GROUPS */

/* --- the run: one block in device memory at a fixed address, filled by one copy per run --------- */

typedef struct lcu_seq_pages {
    uint32_t pages; /* index into lcu_run.page_ids of the first */
    uint32_t n_pages, first_page;
    uint32_t state_read, state_write; /* LM_NONE: start from zero */
} lcu_seq_pages;

typedef struct lcu_seq {
    uint32_t first_row, n_rows, length, unused;
    lcu_seq_pages groups[LCU_GROUPS];
} lcu_seq;

/* Pointers lead into the same block and never change. Rows from n_rows on (grids are made for row
 * buckets) must do nothing. */
typedef struct lcu_run {
    uint32_t n_rows, n_wanted, n_seqs;
    uint32_t ancestor_words; /* 64-bit words per row of `ancestors`; 0: visible_end alone decides */
    const int32_t *tokens;
    const uint32_t *positions; /* [rows][4] */
    const uint32_t *slots, *row_seq, *visible_end, *wanted;
    const uint64_t *ancestors;
    const float *embeddings;
    const lcu_seq *seqs;
    const uint32_t *page_ids;
} lcu_run;

/* --- views ---------------------------------------------------------------------------------------- */

/* Values between steps: [rows][width], F32 or I32. */
typedef struct lcu_slot {
    void *data;
    uint32_t width;
    uint32_t rows; /* LM_ROWS_... */
} lcu_slot;

typedef struct lcu_weight_view {
    const uint8_t *data; /* aligned to 256 bytes */
    uint32_t layout;     /* LCU_LAYOUT_... */
    uint32_t rows, cols, experts;
    uint64_t matrix_bytes;       /* from one expert to the next */
    uint64_t plane[LCU_PLANES];  /* where each begins in a matrix */
    uint32_t stride[LCU_PLANES]; /* bytes from row to row in it */
} lcu_weight_view;

typedef struct lcu_linear {
    lcu_weight_view w;
    const float *bias; /* [experts][rows] or NULL */
    float scale;       /* of the result, before the bias */
} lcu_linear;

/* Half of a cache entry: keys or values; the convolution's or the scan's state. */
typedef struct lcu_part {
    uint32_t format; /* LM_F32, LM_F16, LM_BF16, LM_Q8_0, LM_E4M3 */
    uint32_t heads, dim;
    uint64_t head_bytes; /* one head of one token */
    uint64_t offset;     /* in a page */
    uint64_t head_stride, token_stride;
} lcu_part;

/* pages[id] leads to a page; the table's address never changes, growing fills it. */
typedef struct lcu_cache_view {
    uint8_t *const *pages;
    uint32_t group;
    uint32_t page_tokens; /* a power of two; 1 for states */
    lcu_part parts[2];
    bool latent; /* values are the beginnings of keys, where these lie */
} lcu_cache_view;

/* Activations in blocks of 32 signed bytes. blocks: two words for each block, the bits of its scale
 * and the sums of its halves, 16 bits each. */
typedef struct lcu_x8 {
    int8_t *codes;
    uint32_t *blocks;
} lcu_x8;

/* --- arguments ------------------------------------------------------------------------------------ */

typedef struct lcu_values_args { /* add, row_add, scale, act_mul, all_reduce */
    const lcu_run *run;
    lcu_slot in[2], out;
    bool one_input; /* in[1] is absent */
    const float *vector;
    float scale, cap;
    uint32_t act;
} lcu_values_args;

typedef struct lcu_move_args { /* copy of columns, gather */
    const lcu_run *run;
    lcu_slot in, out;
    uint32_t in_column, out_column, width; /* of each head */
    uint32_t in_head, out_head, heads;     /* from one to the next */
    bool gather;                           /* row i of out is row wanted[i] of in */
} lcu_move_args;

typedef struct lcu_round_args { /* rows in BF16 for the library */
    const lcu_run *run;
    lcu_slot in;
    uint16_t *out; /* [rows][stride] */
    uint32_t stride;
} lcu_round_args;

typedef struct lcu_slab_args { /* rows of a weight in BF16 for the library */
    lcu_weight_view w;
    uint32_t first, rows;
    struct uint4 *out; /* [rows][whole groups of 32 columns] */
} lcu_slab_args;

typedef struct lcu_embed_args {
    const lcu_run *run;
    lcu_slot out;
    lcu_weight_view table;
    uint32_t source; /* LM_EMBED_... */
    float scale;
} lcu_embed_args;

#define LCU_NORM_WARP                                                                              \
    512u /* values up to which a warp norms a group, else a block of 256 threads */

typedef struct lcu_norm_args {
    const lcu_run *run;
    lcu_slot in, out;
    uint32_t kind, group;
    const float *weight, *bias; /* or NULL */
    uint32_t weight_period, bias_period;
    float eps, offset;
    const float *residual; /* norm.cu: added to the result, laid out as it is, or NULL */
} lcu_norm_args;

typedef struct lcu_pool_args {
    const lcu_run *run;
    lcu_slot in, out;
    uint32_t kind;
} lcu_pool_args;

typedef struct lcu_rope_table_args { /* cosines and sines of all rows, once per run */
    const lcu_run *run;
    const double *speeds; /* [half] */
    float *table;         /* [rows][2][half] */
    double magnitude;
    uint32_t half;
    uint32_t sections[4];
} lcu_rope_table_args;

typedef struct lcu_rope_args {
    const lcu_run *run;
    lcu_slot in, out;
    const float *table; /* NULL: rotates nothing */
    uint32_t style, dims, heads, head_dim;
} lcu_rope_args;

typedef struct lcu_append_args {
    const lcu_run *run;
    lcu_slot in[2];
    lcu_cache_view cache;
} lcu_append_args;

/* What is done with queries, keys and values once they are multiplied: the first two are normed and rotated,
 * the last two stored, the first written back. */
typedef struct lcu_heads_args {
    const lcu_run *run;
    lcu_slot in[3];
    lcu_norm_args norm[2]; /* group 0: none */
    const float *table;    /* as of lcu_rope_args */
    uint32_t style, dims;  /* dims 0: rotates nothing */
    uint32_t heads[3], dim[3];
    lcu_cache_view cache;
    uint32_t room;      /* values of the widest head */
    uint32_t *counters; /* few.cuh: values that are there, by head; zero between runs */
} lcu_heads_args;

/* Attention: slots of one sum, and the bytes from slot to slot of a tile in shared memory. Heads of
 * whole 16 bytes are set apart so that neighbours fall into different banks. */
#define LCU_ATTN_SPLIT 256u
#define LCU_WHOLE_8(n) (((n) + 7) / 8 * 8)
#define LCU_TILE_STRIDE(head_bytes)                                                                \
    ((head_bytes) % 16 != 0 ? (head_bytes) : ((head_bytes) + 95) / 128 * 128 + 32)

/* attn_wide.cu: queries and two stages of keys and values, their barriers and marks. */
#define LCU_ATTN_WIDE_BYTES(dim) ((dim) * ((dim) == 256 ? 768u : 1280u) + 64u + 1024u)

/* attn_latent.cu: slots of a tile; bytes of a query or key in shared memory, whole lines of banks. */
#define LCU_LATENT_SLOTS         32u
#define LCU_LATENT_STRIDE(k_dim) (((k_dim) + 63) / 64 * 128)

typedef struct lcu_attn_args {
    const lcu_run *run;
    lcu_slot in, out;
    lcu_cache_view cache;
    uint32_t heads, kv_heads, k_dim, v_dim, window;
    float scale, softcap, alibi;
    const float *sinks;  /* or NULL */
    float *partial;      /* scratch, see the planner */
    uint32_t *counters;  /* zero between runs */
    uint32_t max_splits; /* attn_latent: parts of a row, 1: none */
    uint32_t tile;       /* slots at once: 16, 32 or 64 */
    uint32_t key_bytes;  /* of a tile of keys in shared memory */
    uint32_t pack;       /* attn_prompt, attn_latent: heads of a block, a power of two */
    /* Sequences of so many rows or more are attn_prompt's, others are not; 0: none are. */
    uint32_t prompt_rows;
} lcu_attn_args;

/* One of the weights that a launch multiplies with the same activations. */
typedef struct lcu_linear_part {
    lcu_linear linear;
    lcu_slot out;
    uint32_t end; /* its blocks end here */
} lcu_linear_part;

#define LCU_LINEAR_PARTS 3u

typedef struct lcu_linear_args {
    const lcu_run *run;
    lcu_slot in;
    lcu_linear_part parts[LCU_LINEAR_PARTS];
    const float *residual; /* added to the result, laid out as it is, or NULL */
    uint32_t act;          /* gemv_glu */
    lcu_x8 x;              /* for layouts of codes: `in` quantised */
} lcu_linear_args;

/* One to four rows of activations with all that comes before and after, see few.cuh. */
#define LCU_FEW_TEAMS 2u /* of 128 threads, in a block */
#define LCU_FEW_DEPTH 8u /* most fours of weight rows that a team takes */
#define LCU_FEW_HEAD  8u /* values of the least head that is finished there */

typedef struct lcu_few_args {
    const lcu_run *run;
    lcu_slot in;
    lcu_x8 x;           /* for layouts of codes: `in` quantised already; codes NULL: not yet */
    lcu_norm_args norm; /* of `in` before it is multiplied; group 0: none */
    lcu_linear_part parts[LCU_LINEAR_PARTS];
    uint32_t depth;           /* fours of weight rows that a team takes one after the other */
    bool pair;                /* act(parts[0]) * parts[1] */
    uint32_t act;             /* of the result, or of the first of a pair */
    const float *residual;    /* added to the result, laid out as it is, or NULL */
    lcu_x8 out_x;             /* the result quantised as well, or codes NULL */
    lcu_heads_args heads;     /* what comes after; counters NULL: nothing */
    uint32_t first_head_part; /* that parts[0] is */
} lcu_few_args;

typedef struct lcu_quantise_args {
    const lcu_run *run;
    lcu_slot in;
    lcu_x8 x;
} lcu_quantise_args;

typedef struct lcu_expert_args {
    const lcu_run *run;
    lcu_slot in, ids, out;
    lcu_linear linear;
    uint32_t used;
    bool per_expert_input;
    lcu_x8 x; /* for layouts of codes: `in` quantised */
} lcu_expert_args;

/* Activations in 16 bits, in the order of tiles.cu: positions by eights, chunks of 128 columns. */
typedef struct lcu_x16 {
    struct uint4 *units;
    float *scales; /* [positions] of the results */
    uint32_t chunks;
} lcu_x16;

typedef struct lcu_tile {
    uint32_t expert, first, count; /* of the positions */
} lcu_tile;

/* The places of a run ordered by expert; each expert's begin at a multiple of eight. `places` NULL:
 * positions are rows. */
typedef struct lcu_order {
    uint32_t *places; /* [positions] or LM_NONE */
    lcu_tile *tiles;
    uint32_t *n_positions, *n_tiles;
} lcu_order;

typedef struct lcu_pack_args {
    const lcu_run *run;
    lcu_slot in;
    lcu_x16 x;
    lcu_order order;
    uint32_t cols, used;
    bool per_expert_input, bf16;
} lcu_pack_args;

#define LCU_WIDE_BYTES 196608u /* of shared memory for activations, wide.cu; then 128 of barriers */

#define LCU_WIDE_TILE  32768u /* results of a block */
#define LCU_WIDE_WARPS 8u

typedef struct lcu_tiles_args {
    const lcu_run *run;
    lcu_slot in, out;
    lcu_linear linear;
    const float *residual; /* added to the result, laid out as it is, or NULL */
    lcu_x16 x;
    lcu_order order;
    float *partial;    /* wide.cu: sums of splits, LCU_WIDE_TILE for each block */
    uint32_t *arrived; /* wide.cu: splits that are there, by tile and warp; zero between runs */
} lcu_tiles_args;

typedef struct lcu_order_args {
    const lcu_run *run;
    lcu_slot ids, out; /* `out`: places without an expert are set to zero there */
    lcu_order order;
    uint32_t used, experts, width; /* `width`: positions of a tile */
} lcu_order_args;

typedef struct lcu_route_args {
    const lcu_run *run;
    lcu_slot in, ids, weights;
    const float *bias;
    uint32_t kind, experts, used;
    bool normalise;
    float scale;
} lcu_route_args;

typedef struct lcu_combine_args {
    const lcu_run *run;
    lcu_slot parts, weights, out;
    uint32_t used;
} lcu_combine_args;

typedef struct lcu_conv_args {
    const lcu_run *run;
    lcu_slot in, out;
    lcu_cache_view cache;
    const float *weight, *bias;
    uint32_t channels, kernel, act;
} lcu_conv_args;

typedef struct lcu_scan_args {
    const lcu_run *run;
    lcu_slot xbc, dt, out;
    lcu_cache_view cache;
    uint32_t heads, head_dim, state, groups;
    const float *a, *d, *dt_bias; /* d and dt_bias may be NULL */
} lcu_scan_args;

typedef struct lcu_best_args {
    const lcu_run *run;
    lcu_slot in, ids, values;
} lcu_best_args;

#endif
