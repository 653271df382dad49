/* cpu_product - multiplications as jobs of the team. A product is rows of activations times the rows
 * of one matrix, or of several by group; a batch of products is one job, whose tasks are tiles of
 * weight rows. What follows a product value by value is done on the tile while it is in the cache.
 * The bits are those of the steps taken one by one. */
#ifndef LM_BACKENDS_CPU_CPU_PRODUCT_H
#define LM_BACKENDS_CPU_CPU_PRODUCT_H

#include "backends/cpu/cpu.h"

/* What products take beside floats: int8 blocks; sorted rows where many are multiplied in f32; with
 * fast numerics rows of their own where there are many, else blocks. */
#define LCPU_ACTS_BLOCKS 1u
#define LCPU_ACTS_TURNED 2u
#define LCPU_ACTS_FAST   4u
#define LCPU_ACTS_BF16   8u /* rows rounded to it */

/* Activations as kernels take them. */
typedef struct lcpu_acts {
    float *in; /* [n, cols]; NULL: only blocks are there */
    uint32_t n, cols;
    uint8_t *blocks; /* [n, row_bytes], or NULL */
    size_t row_bytes;
    float *turned; /* [n, turned_values], or NULL */
    size_t turned_values;
    uint8_t *fast; /* [n, fast_bytes], or NULL */
    size_t fast_bytes;
    uint8_t *bf16; /* [n, bf16_bytes], or NULL */
    size_t bf16_bytes;
} lcpu_acts;

/* Places [first, first + count) go to one matrix. */
typedef struct lcpu_group {
    uint32_t matrix, first, count;
} lcpu_group;

/* A place is one row in and one row out. */
typedef struct lcpu_product {
    const lm_weight *w;
    const lcpu_acts *acts;
    const lcpu_int8_format *packed; /* NULL: f32 */
    const lcpu_int8 *family;        /* of that */
    bool bf16;                      /* or int8 */
    const lcpu_int8_format *fast;   /* for groups with many places, or NULL */
    lcpu_half_fn half;              /* of weights of 16 or 8 bits, or NULL */
    uint32_t half_most;             /* activation rows up to which it is used */
    lcpu_decode_fn decode;
    bool direct; /* f32 weights used where they lie */
    const float *bias;
    float scale;
    const void **x; /* [places] */
    float **out;    /* [places]; unused by the halves of a pair */
    lcpu_group *groups;
    uint32_t n_groups;
    uint32_t cols;
    size_t row_bytes;    /* of the weights */
    bool few;            /* places */
    uint32_t part_rows;  /* of weights, unpacked together */
    uint32_t task_rows;  /* multiple of the former */
    size_t panel_bytes;  /* of a part */
    const float *addend; /* added to the result, [places, rows] in order of places; or NULL */
} lcpu_product;

/* A pair: p[0] is the gate, p[1] is up; act(gate) * up becomes the activations of a third product.
 * Without a gate p[0] is up and p[1] is not there. */
typedef struct lcpu_pair {
    uint32_t act;
    uint32_t n; /* of the products: 1 or 2 */
    lcpu_acts *out;
} lcpu_pair;

#define LCPU_BATCH 3

#define LCPU_PAIR_PLACES 96u /* taken through a pair together */
#define LCPU_PANEL_GAP   16u /* floats between rows, so that not all of them share cache sets */

/* What products are planned for. */
typedef struct lcpu_plan {
    const lcpu_device *d;
    const lm_network *network;
    bool fast; /* numerics */
} lcpu_plan;

static inline lcpu_plan lcpu_plan_for(const lhost_device *d, const lm_program_desc *desc)
{
    return (lcpu_plan){lcpu_device_of(d), desc->network, desc->numerics == LM_NUMERICS_FAST};
}

static inline lcpu_plan lcpu_plan_of(const lhost_run *r)
{
    const lhost_bounds *b = &r->program->bounds;
    return (lcpu_plan){lcpu_of(r), b->network, b->numerics == LM_NUMERICS_FAST};
}

typedef struct lcpu_batch {
    const lcpu_device *d;
    bool fast; /* numerics */
    lcpu_product p[LCPU_BATCH];
    uint32_t n;
    const lcpu_pair *pair;         /* or NULL */
    const struct lcpu_batch *then; /* its first weights are fetched at the end; or NULL */
    uint8_t *panels;               /* [workers, panel_bytes] */
    size_t panel_bytes;
    uint8_t *tiles; /* [workers] of a pair */
    size_t tile_bytes;
} lcpu_batch;

/* What weights of a format want of their activations, in so many groups. */
uint32_t lcpu_acts_wanted(const lcpu_plan *plan, const lm_format *format, uint32_t groups);
/* Plans and carvings count the bytes while the carve has no base. `places` and `groups`: at most.
 * `floats`: room for them, unless nothing but blocks is wanted. */
void lcpu_acts_carve(lcpu_acts *a, const lcpu_device *d, uint32_t rows, uint32_t cols, bool floats,
                     uint32_t wanted, lcpu_carve *c);
void lcpu_batch_add(lcpu_batch *b, const lm_format *format, uint32_t cols, uint32_t places,
                    uint32_t groups, lcpu_carve *c);
/* After the last product was added. */
void lcpu_batch_finish(lcpu_batch *b, const lcpu_pair *pair, lcpu_carve *c);

/* For a run: the weight and what belongs to it. */
void lcpu_product_bind(const lhost_run *r, const lm_linear *l, const lcpu_acts *a, lcpu_product *p);
/* One group: row i of the activations to row i of `out`, which may be NULL for a pair. */
void lcpu_product_rows(lcpu_product *p, float *out);
const void *lcpu_product_x(const lcpu_product *p, size_t row);

void lcpu_acts_prepare(lhost_run *r, const lcpu_acts *a); /* what is made of its floats */
void lcpu_batch_run(lcpu_batch *b);

/* The batch of a later step as far as its tasks' weights go. */
typedef struct lcpu_next {
    lcpu_batch b;
    lcpu_group all;
} lcpu_next;

/* What the first of the later steps multiplies; NULL when that is not known, or with many rows.
 * `chosen` has the experts that this step uses, for a later one may use the same; NULL: none. */
const lcpu_batch *lcpu_next_find(const lhost_run *r, const lm_step *step,
                                 const lcpu_product *chosen, lcpu_next *next);

#endif
