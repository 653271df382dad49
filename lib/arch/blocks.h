/* blocks - the pieces that most transformers are made of, as shared by the families' emit functions.
 * A family with its own shape of block emits its own steps; nothing here has a family switch. */
#ifndef LM_ARCH_BLOCKS_H
#define LM_ARCH_BLOCKS_H

#include "arch/arch.h"

/* Checks what attention needs of heads and dimensions, and fills k_dim, v_dim, rope_dims. */
int32_t lm_check_attention(lm_hparams *h, const char *name);
int32_t lm_check_experts(lm_hparams *h, const char *name);

lm_norm lm_rms_norm(const lm_emit *e, uint32_t role);
lm_norm lm_layer_norm(const lm_emit *e, uint32_t role, uint32_t bias_role);
/* An RMS norm over each head's values; absent when the role is. */
lm_norm lm_head_norm(const lm_emit *e, uint32_t role, uint32_t head_dim);

/* The rotation as the file asks for it (linear, YaRN, frequency factors). */
lm_rope lm_rope_of(const lm_emit *e, uint32_t style);

/* Attention over a cache of its own in `group`: q, k, v from `in`, output projection, residual (LM_NONE:
 * none). Window 0: all. */
typedef struct lm_attention {
    lm_rope rope;
    uint32_t window;
    float scale;    /* 0: 1 / sqrt(k_dim) */
    float softcap;
} lm_attention;

uint32_t lm_emit_attention(lm_emit *e, uint32_t in, uint32_t residual, const lm_attention *a);
uint32_t lm_emit_ffn(lm_emit *e, uint32_t in, uint32_t residual, uint32_t act);
uint32_t lm_emit_experts(lm_emit *e, uint32_t in, uint32_t residual, uint32_t act,
                         const lm_route *route);
/* Final norm and output projection; falls back to the embedding table (tied). */
void lm_emit_logits(lm_emit *e, uint32_t in, const lm_norm *norm, float cap);

/* Tensor rows that families repeat. */
#define LM_ROW_VECTOR(role, name, cols, flags)                                                     \
    {LM_ROLE_##role, name, LM_USE_VECTOR, cols, LM_DIM_ONE, LM_DIM_ONE, flags, {0, 0}, 0}
#define LM_ROW_MATRIX(role, name, cols, rows, flags)                                               \
    {LM_ROLE_##role, name, LM_USE_MATMUL, cols, rows, LM_DIM_ONE, flags, {0, 0}, 0}
#define LM_ROW_VIEW(role, name, uses, cols, rows, flags, first0, first1, count)                    \
    {LM_ROLE_##role, name, uses, cols, rows, LM_DIM_ONE, flags, {first0, first1}, count}
#define LM_ROW_EXPERTS(role, name, cols, rows)                                                     \
    {LM_ROLE_##role, name, LM_USE_MATMUL | LM_USE_EXPERT, cols, rows, LM_DIM_EXPERTS,              \
     LM_TENSOR_PER_LAYER | LM_TENSOR_IF_EXPERTS, {0, 0}, 0}
#define LM_ROW_EMBEDDING                                                                           \
    {LM_ROLE_TOKEN_EMBD, "token_embd.weight", LM_USE_GATHER | LM_USE_MATMUL, LM_DIM_WIDTH,         \
     LM_DIM_VOCAB, LM_DIM_ONE, 0, {0, 0}, 0}
#define LM_ROW_OUTPUT                                                                              \
    LM_ROW_MATRIX(OUTPUT, "output.weight", LM_DIM_WIDTH, LM_DIM_VOCAB, LM_TENSOR_OPTIONAL)

#endif
