/* arch - what one model family is: a table of hyper-parameters, a table of tensors, and one emit
 * function that reads like the forward pass. One file per family; arch.c lists them. */
#ifndef LM_ARCH_ARCH_H
#define LM_ARCH_ARCH_H

#include "arch/hparams.h"

#include <math.h>

/* --- hyper-parameters ------------------------------------------------------------------------- */

enum {
    LM_HPARAM_U32,
    LM_HPARAM_F32,
    LM_HPARAM_BOOL,
    LM_HPARAM_U32_LAYERS, /* a number, or an array with one per layer; field: uint32_t * */
    LM_HPARAM_SCALING     /* the name of a RoPE scaling, stored as LM_SCALING_... */
};

/* A row with this fallback leaves the field as an earlier row for it did: for keys with an older name. */
#define LM_HPARAM_KEEP NAN

typedef struct lm_hparam_row {
    const char *key; /* behind "<architecture>.", except that "tokenizer...." stands for itself */
    uint32_t type;
    size_t offset; /* in lm_hparams */
    double min, max;
    bool required;
    double fallback; /* used when absent and not required */
} lm_hparam_row;

/* --- tensors ---------------------------------------------------------------------------------- */

/* What a tensor is for. Names are those of GGUF; the table of a family lists which it has. */
/* clang-format off */
#define LM_ROLES(X) \
    X(TOKEN_EMBD) X(POS_EMBD) X(TYPE_EMBD) X(EMBD_NORM) X(EMBD_NORM_BIAS) X(OUT_NORM) \
    X(OUT_NORM_BIAS) X(OUTPUT) X(OUTPUT_BIAS) X(ROPE_FREQS) X(ROPE_LONG) X(ROPE_SHORT) \
    X(ATTN_NORM) X(ATTN_NORM_BIAS) X(ATTN_Q) X(ATTN_K) X(ATTN_V) X(ATTN_Q_BIAS) X(ATTN_K_BIAS) \
    X(ATTN_V_BIAS) X(ATTN_Q_NORM) X(ATTN_K_NORM) X(ATTN_OUT) X(ATTN_OUT_BIAS) X(ATTN_SINKS) \
    X(ATTN_POST_NORM) X(ATTN_POST_NORM_BIAS) X(FFN_NORM) X(FFN_NORM_BIAS) X(FFN_GATE) X(FFN_UP) \
    X(FFN_DOWN) X(FFN_GATE_BIAS) X(FFN_UP_BIAS) X(FFN_DOWN_BIAS) X(FFN_POST_NORM) \
    X(FFN_POST_NORM_BIAS) X(ROUTER) X(EXPERT_GATE) X(EXPERT_UP) X(EXPERT_DOWN) X(SHARED_ROUTER) \
    X(SHARED_GATE) X(SHARED_UP) X(SHARED_DOWN) X(SSM_IN_Z) X(SSM_IN_XBC) X(SSM_IN_DT) X(SSM_CONV) \
    X(SSM_CONV_BIAS) X(SSM_DT_BIAS) X(SSM_A) X(SSM_D) X(SSM_NORM) X(SSM_OUT)
/* clang-format on */

enum {
#define X(name) LM_ROLE_##name,
    LM_ROLES(X)
#undef X
        LM_ROLE_COUNT
};

/* Sizes of a tensor's dimensions, resolved from the hyper-parameters of its layer. */
enum {
    LM_DIM_NONE,
    LM_DIM_ONE,
    LM_DIM_WIDTH,
    LM_DIM_VOCAB,
    LM_DIM_Q /* heads * k_dim */,
    LM_DIM_K /* kv_heads * k_dim */,
    LM_DIM_V /* kv_heads * v_dim */,
    LM_DIM_ATTN /* heads * v_dim */,
    LM_DIM_QKV /* Q + K + V */,
    LM_DIM_FF,
    LM_DIM_FF2 /* 2 * ff */,
    LM_DIM_HEAD_K,
    LM_DIM_HEADS,
    LM_DIM_ROPE_HALF,
    LM_DIM_CONTEXT,
    LM_DIM_TYPES,
    LM_DIM_EXPERTS,
    LM_DIM_EXPERT_FF,
    LM_DIM_SHARED_FF,
    LM_DIM_INNER,
    LM_DIM_CONV_CHANNELS,
    LM_DIM_KERNEL,
    LM_DIM_DT,
    LM_DIM_SSM_IN,
    LM_DIM_GROUP_INNER /* inner / groups */,
    LM_DIM_GROUPS,
};

enum {
    LM_TENSOR_OPTIONAL = 1u,
    LM_TENSOR_PER_LAYER = 2u,  /* the name holds one %u */
    LM_TENSOR_IF_EXPERTS = 4u, /* only in models with experts */
    LM_TENSOR_IF_DENSE = 8u,   /* only in layers without experts */
};

/* A row may be followed by another for the same role: the first whose tensor is present wins, so
 * fused and split layouts live in one table. */
typedef struct lm_tensor_row {
    uint32_t role;
    const char *name; /* "blk.%u.attn_q.weight" */
    uint32_t uses;    /* LM_USE_... */
    /* Of the stored tensor: columns (contiguous), rows, experts. A vector has rows LM_DIM_ONE. */
    uint32_t cols, rows, experts;
    uint32_t flags;
    /* A view of consecutive rows (values, for a vector) of the stored tensor: `view_rows` of them (0:
     * all) behind the sum of the two dimensions in view_first (0: none). */
    uint32_t view_first[2], view_rows;
} lm_tensor_row;

/* --- emitting --------------------------------------------------------------------------------- */

typedef struct lm_emit {
    lm_builder b;
    const lm_hparams *h;
    const uint32_t *roles; /* [(n_layers + 1) * LM_ROLE_COUNT]; row n_layers: outside the layers */
    uint32_t context;      /* most tokens of a sequence: decides long or short RoPE factors */
} lm_emit;

/* The weight of a role in the current layer (outside: layer 0xffff), or LM_NONE. */
uint32_t lm_role(const lm_emit *e, uint32_t role);
uint32_t lm_role_outside(const lm_emit *e, uint32_t role);
/* The linear of a role with the bias of another (LM_ROLE_COUNT: none). */
lm_linear lm_role_linear(lm_emit *e, uint32_t role, uint32_t bias_role);

typedef struct lm_arch {
    const char *names[6];         /* values of general.architecture; NULL-terminated */
    const lm_hparam_row *hparams; /* beside lm_hparams_common; a row with the same key and field
                                      replaces the common one */
    uint32_t n_hparams;
    const lm_tensor_row *tensors;
    uint32_t n_tensors;
    /* Checks what the ranges cannot and fills derived fields. */
    int32_t (*check)(lm_hparams *h, const char *name);
    void (*emit)(lm_emit *e);
} lm_arch;

/* A dimension of layer `layer` (outside the layers: any). */
uint64_t lm_dim(const lm_hparams *h, uint32_t dim, uint32_t layer);
/* Has this layer experts instead of one feed-forward block? */
bool lm_layer_has_experts(const lm_hparams *h, uint32_t layer);

extern const lm_hparam_row lm_hparams_common[];
extern const uint32_t lm_hparams_common_count;

const lm_arch *lm_arch_by_name(const char *name); /* NULL: unknown */

#endif
