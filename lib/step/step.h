/* step - the vocabulary a model is written in: steps over slots, weights and cache entries.
 *
 * A step says what to compute for whatever rows a run brings; it holds no per-token value, so a
 * list of steps is compiled once and run for every batch. Coarse steps are what architectures emit;
 * each has exactly one lowering into primitives (lower.c). */
#ifndef LM_STEP_STEP_H
#define LM_STEP_STEP_H

#include "quant/quant.h"

#define LM_NONE 0xffffffffu

/* --- slots: values that live between steps ---------------------------------------------------- */

/* How many rows a slot has follows from the run. */
enum {
    LM_ROWS_ALL,    /* one per row of the run */
    LM_ROWS_WANTED, /* one per row whose output is wanted */
    LM_ROWS_SEQS,   /* one per sequence of the run */
};

enum { LM_SLOT_F32, LM_SLOT_I32 };

typedef struct lm_slot_info {
    uint32_t width; /* values per row */
    uint8_t rows;   /* LM_ROWS_... */
    uint8_t type;   /* LM_SLOT_... */
} lm_slot_info;

/* --- weights ---------------------------------------------------------------------------------- */

enum {
    LM_USE_MATMUL = 1u, /* rows times activations */
    LM_USE_GATHER = 2u, /* rows picked by id */
    LM_USE_EXPERT = 4u, /* a stack of matrices, one per expert */
    LM_USE_VECTOR = 8u, /* small: norms, biases, convolution taps; always F32 for the backend */
};

/* A weight as a backend sees it: `experts` matrices of [rows, cols], cols contiguous. */
typedef struct lm_weight_desc {
    const char *name;
    const lm_format *format;
    uint32_t rows, cols, experts;
    uint32_t uses;
    uint64_t bytes; /* in the file */
} lm_weight_desc;

/* --- cache ------------------------------------------------------------------------------------ */

enum {
    LM_CACHE_FULL,   /* K and V of all tokens */
    LM_CACHE_WINDOW, /* K and V, pages behind the window are freed */
    LM_CACHE_LATENT, /* one vector per token: a key of one head, whose beginning is the value */
    LM_CACHE_CROSS,  /* written once per sequence */
    LM_CACHE_STATE,  /* recurrent state: one fixed block per sequence */
};

/* One cache index, shared by the steps that name it. */
typedef struct lm_cache_entry {
    uint32_t group;
    uint32_t kv_heads, k_dim, v_dim;   /* token caches; latent: 1 head, v_dim <= k_dim */
    uint32_t conv_values, scan_values; /* state caches: floats per sequence */
} lm_cache_entry;

typedef struct lm_cache_group {
    uint32_t kind;
    uint32_t window; /* tokens a row sees, for LM_CACHE_WINDOW */
} lm_cache_group;

/* --- parameters of steps ---------------------------------------------------------------------- */

/* Every multiplication is one of these. */
typedef struct lm_linear {
    uint32_t weight; /* LM_NONE: absent (optional linears of coarse steps) */
    uint32_t bias;   /* a vector weight or LM_NONE */
    uint32_t site;   /* adapter site or LM_NONE */
    float scale;     /* of the result, before the bias; 0 means 1 */
} lm_linear;

enum { LM_NORM_RMS, LM_NORM_LAYER, LM_NORM_L2 };

typedef struct lm_norm {
    uint32_t kind;
    uint32_t weight; /* [group] values or LM_NONE */
    uint32_t bias;
    uint32_t
        group; /* values normed together; 0: the whole row. weight repeats per group when it has
                         `group` values, runs on when it has the row's */
    float eps;
    float offset; /* added to the weight (1 for unbaked Gemma norms) */
} lm_norm;

enum {
    LM_ACT_NONE,
    LM_ACT_SILU,
    LM_ACT_GELU_TANH,
    LM_ACT_GELU_ERF,
    LM_ACT_RELU,
    LM_ACT_RELU2,
    LM_ACT_SIGMOID,
    LM_ACT_GELU_QUICK,
    LM_ACT_SOFTPLUS
};

enum { LM_ROPE_NONE, LM_ROPE_PAIRS /* (2i, 2i+1) */, LM_ROPE_HALVES /* (i, i + dims/2) */ };

typedef struct lm_rope {
    uint32_t style;
    uint32_t dims; /* rotated values per head; the rest pass through */
    float base;
    float freq_scale;  /* 1, or 1/factor for linear scaling and YaRN */
    float yarn_mix;    /* 0: no YaRN; 1: full */
    float attn_factor; /* multiplies cos and sin; 0 means 1 */
    float beta_fast, beta_slow;
    uint32_t context_original;
    uint32_t factors;     /* vector weight [dims / 2] dividing the frequencies, or LM_NONE */
    uint32_t sections[4]; /* multi-axis: pairs taken from each position axis; all 0: axis 0 */
} lm_rope;

typedef struct lm_attn {
    uint32_t cache;
    uint32_t heads, kv_heads, k_dim, v_dim;
    float scale;
    float softcap;   /* 0: none */
    uint32_t window; /* 0: all; n: the row itself and n - 1 before it */
    uint32_t sinks;  /* vector weight [heads] or LM_NONE */
    float alibi;     /* largest slope bias, 0: none */
} lm_attn;

enum { LM_ROUTE_SOFTMAX /* over all, then pick */, LM_ROUTE_SOFTMAX_PICKED, LM_ROUTE_SIGMOID };

typedef struct lm_route {
    uint32_t kind;
    uint32_t experts, used;
    uint32_t bias;  /* vector weight added for picking only, or LM_NONE */
    bool normalise; /* picked weights sum to 1 */
    float scale;    /* of the weights; 0 means 1 */
} lm_route;

enum { LM_SCAN_MAMBA2, LM_SCAN_MAMBA1, LM_SCAN_RWKV, LM_SCAN_GATED_DELTA };

typedef struct lm_scan {
    uint32_t kind;
    uint32_t cache;
    uint32_t heads, head_dim, state, groups;
    uint32_t a, d, dt_bias; /* vector weights; a is negative as stored */
} lm_scan;

typedef struct lm_conv {
    uint32_t cache;
    uint32_t channels, kernel;
    uint32_t weight, bias; /* vector weights [channels, kernel], [channels] */
    uint32_t act;
} lm_conv;

enum { LM_POOL_MEAN, LM_POOL_CLS, LM_POOL_LAST };
enum { LM_EMBED_TOKENS, LM_EMBED_POSITIONS, LM_EMBED_CONSTANT /* row 0, for token types */ };

/* --- kinds ------------------------------------------------------------------------------------ */

/* X(name, coarse, summary): in and out slots as listed, parameters in the union member in []. */
#define LM_STEP_KINDS(X)                                                                           \
    X(EMBED, 0, "out[all] = rows of a table or the run's own embeddings [embed]")                  \
    X(GATHER_ROWS, 0, "out[wanted] = in[wanted rows]")                                             \
    X(COPY, 0, "columns of in to columns of out, in every head [copy]")                            \
    X(CONCAT, 0, "out = in0, in1 side by side")                                                    \
    X(ADD, 0, "out = in0 + in1")                                                                   \
    X(ROW_ADD, 0, "out = in + vector [vector]")                                                    \
    X(SCALE, 0, "out = in * scale, then soft-capped when cap > 0 [scale]")                         \
    X(NORM, 0, "out = norm(in) [norm]")                                                            \
    X(ACT_MUL, 0, "out = act(in0) * in1; in1 may be absent [act]")                                 \
    X(LINEAR, 0, "out = W in + bias [linear]")                                                     \
    X(LINEAR_HEADS, 0, "out = per-head W[h] in[h] [heads]")                                        \
    X(LINEAR_EXPERT, 0,                                                                            \
      "out[row, k] = W[ids[row, k]] in[row or row, k]; in0 values, in1 ids [expert]")              \
    X(ROUTE_TOPK, 0, "out0 ids (i32), out1 weights from in0 router logits [route]")                \
    X(COMBINE, 0, "out = sum over k of in1[row, k] * in0[row, k] [combine]")                       \
    X(ROPE, 0, "out = rotated in, per head [rope]")                                                \
    X(KV_APPEND, 0,                                                                                \
      "in0 keys, in1 values into the cache at each row's slot; a latent entry has no in1 "         \
      "[append]")                                                                                  \
    X(ATTN_PAGED, 0, "out = attention of queries in0 over the cache [attn]")                       \
    X(CONV_STATE, 0, "out = act(causal convolution of in) with carried state [conv]")              \
    X(SCAN_STATE, 0, "out = recurrence over in0 (x, B, C) and in1 (dt) [scan]")                    \
    X(POOL, 0, "out[seqs] = pooled in [pool]")                                                     \
    X(TAP, 0, "copies a slot's wanted rows out when the run asks [tap]")                           \
    X(BEST, 0, "out0 ids (i32), out1 values: the largest of each row of in0, NaN before all")      \
    X(ALL_REDUCE, 0, "out = sum of in over the devices that share the step")                       \
    X(QKV_ROPE_APPEND, 1, "out = rotated queries of in; keys and values into the cache [qkv]")     \
    X(ATTN_OUT, 1, "out = Wo attention(in0) + in1; in1 may be absent [attn_out]")                  \
    X(GLU_FFN, 1, "out = Wdown(act(Wgate in0) * Wup in0) + in1; in1 may be absent [ffn]")          \
    X(MOE_FFN, 1, "out = routed experts of in0 + shared ones + in1; in1 may be absent [moe]")      \
    X(MLA_ATTN, 1, "out = Wo latent attention of in0 + in1; in1 may be absent [mla]")              \
    X(HEAD, 1, "out[wanted] = logits of the wanted rows of in [head]")

enum {
#define X(name, coarse, text) LM_STEP_##name,
    LM_STEP_KINDS(X)
#undef X
        LM_STEP_COUNT
};

#define LM_STEP_INS  3
#define LM_STEP_OUTS 2

typedef struct lm_step {
    uint16_t kind;
    uint16_t layer;             /* for printing and placement; 0xffff: outside the layers */
    uint32_t in[LM_STEP_INS];   /* slots or LM_NONE */
    uint32_t out[LM_STEP_OUTS]; /* may repeat an input: in place */
    union {
        struct {
            uint32_t source, weight;
            float scale;
        } embed;
        struct {
            uint32_t in_column, out_column, width;
            uint32_t heads; /* both rows are so many equal parts, the columns those of each; 0: 1 */
        } copy;
        struct {
            uint32_t weight;
        } vector;
        struct {
            float scale, cap;
        } scale;
        lm_norm norm;
        struct {
            uint32_t act;
        } act;
        lm_linear linear;
        struct {
            lm_linear linear;
            uint32_t heads;
        } heads;
        struct {
            lm_linear linear;
            uint32_t used;
            bool per_expert_input;
        } expert;
        lm_route route;
        struct {
            uint32_t used;
        } combine;
        struct {
            lm_rope rope;
            uint32_t heads, head_dim;
        } rope;
        struct {
            uint32_t cache;
        } append;
        lm_attn attn;
        lm_conv conv;
        lm_scan scan;
        struct {
            uint32_t kind;
        } pool;
        struct {
            uint32_t point;
        } tap;
        struct {
            lm_linear q, k, v;
            lm_norm q_norm, k_norm; /* weight LM_NONE and group 0: none */
            lm_rope rope;
            uint32_t cache, heads, kv_heads, k_dim, v_dim;
        } qkv;
        struct {
            lm_attn attn;
            lm_linear out;
        } attn_out;
        struct {
            lm_linear gate, up, down;
            uint32_t act;
        } ffn; /* gate absent: act(up) */
        struct {
            lm_linear router, gate, up, down;
            lm_linear shared_router, shared_gate, shared_up, shared_down; /* may be absent */
            lm_route route;
            uint32_t act;
        } moe;
        /* A head's query is q_up q_norm(q_down in0): its last k_dim - v_dim values are rotated, k_up
         * takes those before to v_dim values, and both, the latter first, are the query. A token's
         * key is kv_norm of the first v_dim values of kv_down in0, then the others rotated; it goes
         * into the cache. What attention mixes goes through v_up, head by head, then through out. */
        struct {
            lm_linear q_down, q_up;    /* q_down may be absent, and q_norm with it */
            lm_linear kv_down;         /* to k_dim values */
            lm_linear k_up, v_up, out; /* k_up, v_up: a matrix per head */
            lm_norm q_norm, kv_norm;
            lm_rope rope;
            lm_attn attn; /* over a latent entry */
        } mla;
        struct {
            lm_norm norm;
            lm_linear out;
            float cap;
        } head;
    } u;
} lm_step;

const char *lm_step_name(uint32_t kind); /* "attn_paged" */
bool lm_step_is_coarse(uint32_t kind);

#endif
