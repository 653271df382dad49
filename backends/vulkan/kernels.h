/* kernels - how steps become dispatches: what the host tells a family of shaders, and what the family
 * answers. A family is one kernels_NAME.c beside its shaders; steps.c holds the table of all.
 *
 * A step is planned once, when its program is made: its family works out the arguments that never
 * change, which shader with which specialisation constants, how many workgroups for how many rows,
 * and which bytes are read and written. Everything that differs from run to run is in the run block,
 * which shaders read (shaders/common.glsl). The same plan is made for a query, before weights and
 * caches are loaded: addresses are zero then, sizes must be the same. */
#ifndef LM_BACKENDS_VULKAN_KERNELS_H
#define LM_BACKENDS_VULKAN_KERNELS_H

#include "backend/backend.h"
#include "backends/vulkan/shader_list.h" /* LVK_SHADERS(X), made by the build */

enum {
#define X(name) LVK_SHADER_##name,
    LVK_SHADERS(X)
#undef X
        LVK_SHADER_COUNT
};

/* What shaders may count on, from the device. */
typedef struct lvk_features {
    bool float16;        /* arithmetic */
    bool integer_dot;    /* packed 4x8 */
    uint32_t coopmat[3]; /* m, n, k of cooperative matrices, F16 summed in F32; 0: none */
    uint32_t subgroup;   /* size: 8 to 64, or less */
    uint32_t shared_bytes, max_invocations;
} lvk_features;

/* --- what a step is made of ------------------------------------------------------------------- */

/* A slot in the workspace: rows of `width` four-byte values. */
typedef struct lvk_slot {
    uint64_t address;
    uint64_t offset, bytes; /* in the workspace, for ranges */
    uint32_t width;
    uint32_t rows; /* LM_ROWS_...: which count of the run it has */
} lvk_slot;

/* A weight on the device: matrices back to back, row after row, in `format`. */
typedef struct lvk_matrix {
    uint64_t address; /* 256-aligned; 0: absent */
    const lm_format *format;
    uint32_t rows, cols, experts;
    uint64_t row_bytes, matrix_bytes;
} lvk_matrix;

/* One half of a cache entry: its keys or its values, its convolution or its scan. The value of token
 * t of a page, head h: page address + offset + t * token_stride + h * head_stride. States: one token, one
 * head. */
typedef struct lvk_part {
    const lm_format *format;
    uint32_t heads, dim;
    uint32_t head_bytes;
    uint32_t offset, head_stride, token_stride;
    uint32_t group, page_tokens;
} lvk_part;

/* --- dispatches ------------------------------------------------------------------------------- */

#define LVK_SPECS  16u
#define LVK_RANGES 12u

/* Workgroups along one axis: ceil(rows / per) * times, where rows is the count of the kind `rows` that
 * the bucket was recorded for. Shaders return where they find themselves beyond the run's own
 * count. `per` 0: `times` alone. */
typedef struct lvk_extent {
    uint32_t rows; /* LM_ROWS_... */
    uint32_t per, times;
} lvk_extent;

enum { LVK_WORKSPACE, LVK_CACHE };

/* Bytes that a dispatch reads or writes. Weights, arguments and the run block are never written, so
 * they are not named. */
typedef struct lvk_range {
    uint32_t space;
    bool write;
    uint64_t begin, end; /* of a cache: 2 * entry + part */
} lvk_range;

typedef struct lvk_dispatch {
    uint32_t shader;          /* LVK_SHADER_... */
    uint32_t spec[LVK_SPECS]; /* specialisation constants from 0 on; 0 is the workgroup's size */
    uint32_t n_spec;
    lvk_extent x, y, z;
    /* Only in buckets of from <= rows <= to of this kind; to 0: no limit. */
    uint32_t bucket_rows, bucket_from, bucket_to;
    const void *args; /* copied: what the shader's struct of arguments holds */
    uint32_t args_bytes;
    lvk_range ranges[LVK_RANGES];
    uint32_t n_ranges;
    uint64_t flops_per_row; /* for splitting submissions; 0: little */
} lvk_dispatch;

typedef struct lvk_plan lvk_plan;

const lvk_features *lvk_plan_features(const lvk_plan *p);
const lm_network *lvk_plan_network(const lvk_plan *p);
const lm_row_limits *lvk_plan_limits(const lvk_plan *p);
uint32_t lvk_plan_context(const lvk_plan *p);
bool lvk_plan_fast(const lvk_plan *p); /* fast numerics are allowed */

lvk_slot lvk_plan_slot(const lvk_plan *p, uint32_t slot); /* LM_NONE: address 0 */
lvk_matrix lvk_plan_weight(const lvk_plan *p, uint32_t weight);
/* In a query without caches: parts of F16 in pages of 32 tokens. */
lvk_part lvk_plan_part(const lvk_plan *p, uint32_t entry, uint32_t part);
/* The values of a vector weight, for what is worked out once; zeros in a query. */
int32_t lvk_plan_vector(const lvk_plan *p, uint32_t weight, float *values, uint32_t count);
/* Where the codes of a format with a codebook lie (lib/quant/iq_grids.h); 0 for the others. */
uint64_t lvk_plan_codebook(const lvk_plan *p, const lm_format *format);
/* Memory between the dispatches of one step; steps share it. Returns its address; *offset is for
 * ranges. Several calls in one step give several blocks. Aligned to 256. */
uint64_t lvk_plan_scratch(lvk_plan *p, uint64_t bytes, uint64_t *offset);

/* Rows between the dispatches of one step, in scratch memory. */
lvk_slot lvk_plan_slot_of(lvk_plan *p, uint32_t width, uint32_t rows);

void lvk_reads_slot(lvk_dispatch *d, const lvk_slot *slot);
void lvk_writes_slot(lvk_dispatch *d, const lvk_slot *slot);
void lvk_reads_scratch(lvk_dispatch *d, uint64_t offset, uint64_t bytes);
void lvk_writes_scratch(lvk_dispatch *d, uint64_t offset, uint64_t bytes);
void lvk_reads_part(lvk_dispatch *d, uint32_t entry, uint32_t part);
void lvk_writes_part(lvk_dispatch *d, uint32_t entry, uint32_t part);

int32_t lvk_plan_dispatch(lvk_plan *p, const lvk_dispatch *d);

/* --- pieces of steps -------------------------------------------------------------------------- */

/* Places of experts sorted by expert, for runs of many rows (kernels_expert.c). */
typedef struct lvk_order {
    uint64_t address, at, bytes;
    uint32_t used, experts;
} lvk_order;

#define LVK_PARTS 3u

enum { LVK_PLAIN, LVK_HEADS, LVK_EXPERTS }; /* as in shaders/linear.glsl */

/* Weights that meet the same inputs, each with its output (kernels_linear.c). */
typedef struct lvk_product {
    lvk_slot in;
    const lm_linear *linear[LVK_PARTS];
    lvk_slot out[LVK_PARTS];
    uint32_t n_parts;
    uint32_t mode;
    bool gated; /* out[0] = act(part 0) * part 1; out[1] is only used on the way */
    uint32_t act;
    lvk_slot residual; /* added to out[0]; width 0: none */
    /* experts: which, sorted, and whether each place has inputs of its own */
    lvk_slot ids;
    lvk_order order;
    bool own_input;
} lvk_product;

int32_t lvk_plan_product(lvk_plan *p, const lvk_product *product);
int32_t lvk_plan_order(lvk_plan *p, const lvk_slot *ids, uint32_t used, uint32_t experts,
                       lvk_order *out);
/* Tiles of so many places, and the most that so many rows can make. */
#define LVK_EXPERT_TILE 32u
uint32_t lvk_order_tiles(const lvk_order *order, uint32_t rows);
#define LVK_VEC_ROWS 4u /* up to so many rows nothing is sorted */

/* Inputs as integer dot products and as cooperative matrices want them, where rows are from <= rows <=
 * to (kernels_inputs.c). Zeroed: not made yet. */
typedef struct lvk_inputs {
    uint64_t address, scales, at, bytes;
} lvk_inputs;

int32_t lvk_plan_bytes(lvk_plan *p, const lvk_slot *in, uint32_t cols, uint32_t to,
                       lvk_inputs *out);
int32_t lvk_plan_halves(lvk_plan *p, const lvk_slot *in, uint32_t cols, uint32_t from,
                        lvk_inputs *out);

int32_t lvk_plan_normed(lvk_plan *p, const lm_norm *norm, const lvk_slot *from, const lvk_slot *to);
int32_t lvk_plan_rotated(lvk_plan *p, const lm_rope *rope, uint32_t heads, uint32_t head_dim,
                         const lvk_slot *from, const lvk_slot *to);
/* Keys (part 0) or values (1) into the cache; `rope`: turned on the way, or NULL. */
int32_t lvk_plan_stored(lvk_plan *p, uint32_t cache, uint32_t part, const lm_rope *rope,
                        const lvk_slot *from);
int32_t lvk_plan_attention(lvk_plan *p, const lm_attn *attn, const lvk_slot *in,
                           const lvk_slot *out);
int32_t lvk_plan_sum(lvk_plan *p, const lvk_slot *a, const lvk_slot *b, const lvk_slot *to);
/* act(gate) * factor, of runs of at least `from` rows; factor of width 0: act(gate). */
int32_t lvk_plan_activated(lvk_plan *p, uint32_t act, const lvk_slot *gate, const lvk_slot *factor,
                           const lvk_slot *to, uint32_t from);
int32_t lvk_plan_routed(lvk_plan *p, const lm_route *route, const lvk_slot *in, const lvk_slot *ids,
                        const lvk_slot *weights);
int32_t lvk_plan_combined(lvk_plan *p, uint32_t used, const lvk_slot *parts,
                          const lvk_slot *weights, const lvk_slot *to);

/* What a family of shaders can hold. */
bool lvk_can_rope(const lm_rope *rope);
bool lvk_can_attn(const lm_attn *attn);
bool lvk_can_route(const lm_route *route);

/* The numbers that follow the arguments of shaders that turn pairs (shaders/rope.glsl). */
#define LVK_MAX_PAIRS 512u
int32_t lvk_rope_turns(const lvk_plan *p, const lm_rope *rope, float *magnitude, uint64_t *turns);

/* --- families --------------------------------------------------------------------------------- */

typedef struct lvk_step_class {
    int32_t (*plan)(lvk_plan *p, const lm_step *step); /* NULL: not this kind */
    /* NULL: every form that the graph's check lets through. */
    bool (*takes)(const lvk_features *f, const lm_network *n, const lm_step *step);
    uint32_t numerics;
} lvk_step_class;

extern const lvk_step_class lvk_steps[LM_STEP_COUNT]; /* steps.c */

/* As a weight of this format lies on the device: itself where a shader reads it, else F32
 * (kernels_linear.c). */
bool lvk_reads_format(const lm_format *format);

int32_t lvk_plan_add(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_row_add(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_scale(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_act_mul(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_all_reduce(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_gather(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_copy(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_concat(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_embed(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_pool(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_norm(lvk_plan *p, const lm_step *step);
bool lvk_takes_rope(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_rope(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_append(lvk_plan *p, const lm_step *step);
bool lvk_takes_conv(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_conv(lvk_plan *p, const lm_step *step);
bool lvk_takes_scan(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_scan_state(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_linear(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_linear_heads(lvk_plan *p, const lm_step *step);
bool lvk_takes_linear_expert(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_linear_expert(lvk_plan *p, const lm_step *step);
bool lvk_takes_route(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_route_topk(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_combine(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_best(lvk_plan *p, const lm_step *step);
bool lvk_takes_attn(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_attn_paged(lvk_plan *p, const lm_step *step);
bool lvk_takes_qkv(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_qkv(lvk_plan *p, const lm_step *step);
bool lvk_takes_attn_out(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_attn_out(lvk_plan *p, const lm_step *step);
int32_t lvk_plan_ffn(lvk_plan *p, const lm_step *step);
bool lvk_takes_moe(const lvk_features *f, const lm_network *n, const lm_step *step);
int32_t lvk_plan_moe(lvk_plan *p, const lm_step *step);

#endif
