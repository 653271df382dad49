/* network - what one model is made of: weights, cache groups, and named graphs of steps over them.
 * Built once by an architecture's emit function; immutable afterwards. */
#ifndef LM_STEP_NETWORK_H
#define LM_STEP_NETWORK_H

#include "base/arena.h"
#include "step/step.h"

#define LM_MAX_GROUPS 4u
#define LM_MAX_LAYERS 1024u

typedef struct lm_graph {
    const char *name; /* "decode", "pool", ... */
    lm_step *steps;
    size_t n_steps, steps_capacity;
    lm_slot_info *slots;
    size_t n_slots, slots_capacity;
    uint32_t result; /* the slot read back: logits or pooled embeddings */
} lm_graph;

typedef struct lm_network {
    lm_allocator *alloc;
    lm_weight_desc *weights;
    size_t n_weights, weights_capacity;
    lm_cache_entry *caches;
    size_t n_caches, caches_capacity;
    lm_cache_group groups[LM_MAX_GROUPS];
    uint32_t n_groups;
    lm_graph decode;
    uint32_t n_layers, width, n_vocab;
    uint32_t n_sites; /* adapter sites */
    bool causal;      /* false: rows of a sequence see each other (encoders) */
} lm_network;

void lm_network_init(lm_network *n, lm_allocator *alloc);
void lm_network_finish(lm_network *n);

void lm_graph_init(lm_graph *g, const char *name);
void lm_graph_finish(lm_graph *g, lm_allocator *alloc);

/* --- building (a failure is remembered; check once at the end with lm_builder_status) --------- */

typedef struct lm_builder {
    lm_network *network;
    lm_graph *graph;
    uint16_t layer; /* given to the steps that follow; 0xffff outside the layers */
    int32_t status;
} lm_builder;

void lm_builder_init(lm_builder *b, lm_network *n, lm_graph *g);
uint32_t lm_build_weight(lm_builder *b, const lm_weight_desc *desc);
uint32_t lm_build_group(lm_builder *b, uint32_t kind, uint32_t window); /* same twice: same group */
uint32_t lm_build_kv(lm_builder *b, uint32_t group, uint32_t kv_heads, uint32_t k_dim,
                     uint32_t v_dim);
uint32_t lm_build_state(lm_builder *b, uint32_t group, uint32_t conv_values, uint32_t scan_values);
uint32_t lm_build_slot(lm_builder *b, uint32_t width, uint32_t rows, uint32_t type);
void lm_build_step(lm_builder *b, const lm_step *step);
uint32_t lm_build_site(lm_builder *b);

/* A linear over `weight` and optional `bias` with an adapter site of its own. */
lm_linear lm_linear_of(lm_builder *b, uint32_t weight, uint32_t bias);
lm_linear lm_linear_absent(void);
lm_norm lm_norm_absent(void);
lm_rope lm_rope_absent(void);

/* Each adds one step and returns its output slot. */
uint32_t lm_emit_embed(lm_builder *b, uint32_t source, uint32_t weight, float scale);
uint32_t lm_emit_add(lm_builder *b, uint32_t a, uint32_t c);
uint32_t lm_emit_scale(lm_builder *b, uint32_t in, float scale, float cap);
uint32_t lm_emit_norm(lm_builder *b, uint32_t in, const lm_norm *norm);
uint32_t lm_emit_act_mul(lm_builder *b, uint32_t act, uint32_t in, uint32_t factor);
uint32_t lm_emit_linear(lm_builder *b, uint32_t in, const lm_linear *linear);
uint32_t lm_emit_conv(lm_builder *b, uint32_t in, const lm_conv *conv);
uint32_t lm_emit_scan(lm_builder *b, uint32_t xbc, uint32_t dt, const lm_scan *scan);
uint32_t lm_emit_pool(lm_builder *b, uint32_t in, uint32_t kind);
/* For coarse steps: fills in kind, layer, inputs and one fresh output of `width` and adds the step. */
uint32_t lm_emit_coarse(lm_builder *b, lm_step *step, uint32_t kind, uint32_t in, uint32_t residual,
                        uint32_t width);
uint32_t lm_emit_head(lm_builder *b, uint32_t in, const lm_norm *norm, const lm_linear *out,
                      float cap);

int32_t lm_builder_status(const lm_builder *b);

/* --- lowering, checking, memory --------------------------------------------------------------- */

/* Appends `step`'s lowering (or the step itself when it is primitive) to the builder's graph. */
int32_t lm_lower(lm_builder *b, const lm_step *step);

/* Checks every index, width and parameter of a graph against its network, so that backends can trust
 * them. */
int32_t lm_graph_check(const lm_network *n, const lm_graph *g);

/* What a step refers to. Absent ones are left out. */
void lm_step_each_linear(const lm_step *step, void (*visit)(void *user, const lm_linear *l),
                         void *user);
void lm_step_each_weight(const lm_step *step, void (*visit)(void *user, uint32_t weight),
                         void *user);
uint32_t lm_step_cache(const lm_step *step); /* LM_NONE: touches none */

/* What a step multiplies and reads, for one row: for the printed plan and the benchmarks. */
typedef struct lm_step_cost {
    uint64_t flops;        /* per row; attention without the part that grows with length */
    uint64_t weight_bytes; /* read once per run however many rows */
} lm_step_cost;
lm_step_cost lm_step_cost_of(const lm_network *n, const lm_step *step);

/* One line of text, cut at `size`: "L03 attn_paged s4 -> s5 heads 8/4 dim 64 cache 3". */
void lm_step_print(const lm_network *n, const lm_step *step, char *line, size_t size);

/* Where each slot lies in one workspace, reusing memory once a slot is dead. */
typedef struct lm_slot_place {
    uint64_t offset; /* UINT64_MAX: the slot is not used by these steps */
    uint64_t bytes;
} lm_slot_place;

typedef struct lm_row_limits {
    uint32_t rows, wanted, seqs; /* most of a run */
} lm_row_limits;

/* Assigns the slots used by `steps` (inputs from outside are alive from the start; `kept` slots to the
 * end). `places` has n_slots entries. */
int32_t lm_slots_place(lm_allocator *alloc, const lm_graph *g, const lm_step *steps, size_t n_steps,
                       const uint32_t *kept, size_t n_kept, const lm_row_limits *limits,
                       lm_slot_place *places, uint64_t *workspace);

/* Rotation speeds: `inv_freq` [dims / 2] radians per position, and the factor of cos and sin. `factors`
 * are the values behind rope->factors or NULL. One place for all backends, in double. */
void lm_rope_table(const lm_rope *rope, const float *factors, double *inv_freq, double *magnitude);
/* The position axis that a pair reads: sections are dealt out in order, again and again. */
uint32_t lm_rope_axis(const lm_rope *rope, uint32_t pair);

/* Slopes fall geometrically; heads beyond a power of two take the odd steps between. */
double lm_alibi_slope(const lm_attn *a, uint32_t head);

#endif
