/* plan - how steps become launches. A planner walks the steps once for a query (weights and caches
 * may be absent: sizes count, addresses are NULL) and once when the program is made, and must ask for
 * the same memory both times. */
#ifndef LM_BACKENDS_CUDA_PLAN_H
#define LM_BACKENDS_CUDA_PLAN_H

#include "backends/cuda/cuda.h"
#include "backends/cuda/kernels/table.h"

enum {
#define X(symbol, ...) LCU_K_##symbol,
    LCU_TABLE(X)
#undef X
        LCU_KERNEL_COUNT,
    LCU_LIBRARY = LCU_KERNEL_COUNT /* no kernel: a product of the library, lcu_gemm */
};

typedef struct lcu_kernel {
    const char *name;
    const void *const *function;
    uint32_t args_bytes, threads, capability;
} lcu_kernel;

extern const lcu_kernel lcu_kernels[LCU_KERNEL_COUNT]; /* kernels.c */

static inline uint32_t lcu_ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

/* --- launches ----------------------------------------------------------------------------------- */

/* What a grid may grow with, rounded up to a bucket for runs that are recorded. */
enum {
    LCU_COUNT_ROWS = LM_ROWS_ALL,
    LCU_COUNT_WANTED = LM_ROWS_WANTED,
    LCU_COUNT_SEQS = LM_ROWS_SEQS,
    LCU_COUNT_LENGTH, /* slots of the longest sequence, this run's included */
    LCU_COUNTS
};

/* Blocks along one axis: times * ceil(count / per); per 0: `times` alone. */
typedef struct lcu_extent {
    uint32_t count, per, times;
} lcu_extent;

#define LCU_SHARED_OWN 8192u /* bytes, most that kernels have beside what a launch asks for */

#define LCU_BLOCKS(n)       ((lcu_extent){0, 0, (n)})
#define LCU_PER(count, per) ((lcu_extent){(count), (per), 1})

typedef struct lcu_launch {
    uint32_t kernel; /* LCU_K_..., or LCU_LIBRARY: `count` is that of the ladder */
    lcu_extent grid[3];
    uint32_t shared_bytes;
    /* Launched when from <= bucket of `ladder` <= to; to 0: always. */
    uint32_t ladder, from, to;
    /* filled in by lcu_emit */
    uint32_t step;
    uint32_t args; /* offset of its copy in the program */
} lcu_launch;

typedef struct lcu_planner {
    lcu_device *device;
    const lm_program_desc *desc; /* lowered when it is not to be fused */
    const uint32_t *origin;      /* the step as given that each comes from; NULL: itself */
    const lm_slot_place *places;
    uint32_t step;
    bool query;         /* only sizes are wanted */
    const lcu_run *run; /* on the device */
    /* Where memory begins; zero in a query. */
    uintptr_t slots, scratch, kept;
    uint64_t scratch_used, scratch_most; /* this step's, the largest of any */
    uint64_t kept_used;
    /* What is built; only counted in a query. */
    lcu_launch *launches;
    uint8_t *args;
    uint32_t n_launches, args_bytes;
    int32_t status; /* the first failure of the functions below */
    struct {
        const lm_rope *rope;
        const float *table;
    } rope_tables[8]; /* that steps share */
    uint32_t n_rope_tables;
    lcu_norm_args left_norm; /* that the step before left to this one */
    uint32_t left_step, left_slot;
    uint32_t added; /* a step of sums that the norm before it did; 0: none */
} lcu_planner;

/* Whether kernels for compute capability 9.0 alone are there and run on the device. */
bool lcu_plan_hopper(const lcu_planner *p);
/* `args` is the kernel's structure of arguments, copied. */
void lcu_emit(lcu_planner *p, const lcu_launch *launch, const void *args);

lcu_slot lcu_plan_slot(const lcu_planner *p, uint32_t slot); /* LM_NONE: data NULL */
/* In a query as it would be planned, at no address; NULL data for LM_NONE. */
lcu_weight_view lcu_plan_weight(const lcu_planner *p, uint32_t weight);
const float *lcu_plan_vector(const lcu_planner *p, uint32_t weight); /* NULL: none */
lcu_linear lcu_plan_linear(const lcu_planner *p, const lm_linear *linear);
lcu_cache_view lcu_plan_cache(const lcu_planner *p, uint32_t entry); /* zeros without caches */
/* Memory of this step alone, aligned to 256; contents are lost between steps. */
void *lcu_plan_scratch(lcu_planner *p, uint64_t bytes);
/* Memory of this place in the program, kept from run to run; zero at the start. */
void *lcu_plan_kept(lcu_planner *p, uint64_t bytes);
/* The same, holding these values. */
const void *lcu_plan_table(lcu_planner *p, const void *values, uint64_t bytes);

/* --- families of steps ------------------------------------------------------------------------------ */

typedef struct lcu_step_class {
    int32_t (*plan)(lcu_planner *p, const lm_step *step); /* NULL: not this kind */
} lcu_step_class;

extern const lcu_step_class lcu_steps[LM_STEP_COUNT]; /* steps.c */

/* What steps and coarser ones are made of. */
lcu_slot lcu_plan_slot_of(lcu_planner *p, uint32_t width, uint32_t rows); /* scratch */
uint32_t lcu_plan_rows(const lcu_planner *p, uint32_t rows);              /* most of a run */

/* Runs of so many rows or fewer are those of few.cuh, which norms what it reads. */
#define LCU_FEW_ROWS 4u

/* Up to three weights times the same activations. `glu`: out[0] = act(the first) * the second, else
 * out = act(each). */
typedef struct lcu_product {
    lcu_slot in;
    uint32_t parts;
    lcu_linear linear[LCU_LINEAR_PARTS];
    lcu_slot out[LCU_LINEAR_PARTS];
    uint32_t heads; /* matrices of one part, one per head of `in`; or 1 */
    bool glu;
    uint32_t act;
    const float *residual; /* added to the result, or NULL */
    /* For few rows: a norm that `in` has only gone through in longer runs, or NULL; `in` as bytes, and
     * where bytes of the result are wanted, or codes NULL; what is done with heads, or NULL. */
    const lcu_norm_args *norm;
    lcu_x8 x, out_x;
    const lcu_heads_args *few_heads;
    uint32_t first_head_part;
} lcu_product;

void lcu_plan_product(lcu_planner *p, const lcu_product *product); /* plan_linear.c */
/* The rows from which on the library does it, UINT32_MAX: never. `out`: of each part. */
uint32_t lcu_library_rows(const lcu_planner *p, const lcu_product *product); /* plan_library.c */
void lcu_plan_library(lcu_planner *p, const lcu_product *product, const lcu_slot *out);
/* Activations of so many columns lie in shared memory. */
bool lcu_few_fits(const lcu_planner *p, uint32_t rows, uint32_t cols); /* plan_few.c */
bool lcu_plan_few(lcu_planner *p, const lcu_product *product);         /* answers whether it did */
lcu_x8 lcu_plan_x8(lcu_planner *p, uint64_t rows, uint32_t cols);      /* scratch */
/* The norm that was left to this step, which reads `slot`; or NULL. */
const lcu_norm_args *lcu_left_norm(const lcu_planner *p, uint32_t slot);
int32_t lcu_plan_attention(lcu_planner *p, const lm_attn *attn, lcu_slot in, lcu_slot out);
/* `one_input`: act(x) alone, else times y; for runs of `from` rows or more. */
void lcu_plan_act_mul(lcu_planner *p, uint32_t act, lcu_slot x, lcu_slot y, bool one_input,
                      lcu_slot out, uint32_t from);
lcu_norm_args lcu_norm_args_of(lcu_planner *p, const lm_norm *norm, lcu_slot in, lcu_slot out);
void lcu_plan_normed(lcu_planner *p, const lm_norm *norm, lcu_slot in, lcu_slot out);
int32_t lcu_plan_rope_table(lcu_planner *p, const lm_rope *rope, const float **out);
int32_t lcu_plan_rotated(lcu_planner *p, const lm_rope *rope, uint32_t heads, uint32_t head_dim,
                         lcu_slot in, lcu_slot out);
void lcu_plan_stored(lcu_planner *p, uint32_t cache, lcu_slot keys, lcu_slot values);

int32_t lcu_plan_embed(lcu_planner *p, const lm_step *step); /* plan_values.c */
int32_t lcu_plan_gather(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_copy(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_concat(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_values(lcu_planner *p, const lm_step *step); /* add ... act_mul, all_reduce */
int32_t lcu_plan_norm(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_pool(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_rope(lcu_planner *p, const lm_step *step); /* plan_rope.c */
int32_t lcu_plan_append(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_linear_step(lcu_planner *p, const lm_step *step); /* plan_linear.c; heads too */
int32_t lcu_plan_expert(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_attn(lcu_planner *p, const lm_step *step);  /* plan_attn.c */
int32_t lcu_plan_route(lcu_planner *p, const lm_step *step); /* plan_moe.c */
int32_t lcu_plan_combine(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_conv(lcu_planner *p, const lm_step *step); /* plan_state.c */
int32_t lcu_plan_scan(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_best(lcu_planner *p, const lm_step *step); /* plan_sample.c */
int32_t lcu_plan_qkv(lcu_planner *p, const lm_step *step);  /* plan_coarse.c */
int32_t lcu_plan_attn_out(lcu_planner *p, const lm_step *step);
int32_t lcu_plan_ffn(lcu_planner *p, const lm_step *step);

#endif
