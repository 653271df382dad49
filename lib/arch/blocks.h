/* blocks - the pieces that most transformers are made of, as shared by the families' emit
 * functions. A family with its own shape of block emits its own steps; nothing here has a family
 * switch. */
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

/* The rotation as the file asks for it: linear, YaRN, frequency factors; long or short ones by the
 * context the model was opened for. */
lm_rope lm_rope_of(const lm_emit *e, uint32_t style);

/* The window of a layer where every window_pattern-th sees everything; 0: it does. */
uint32_t lm_layer_window(const lm_hparams *h, uint32_t layer);

/* Attention over a cache of its own in `group`: q, k, v from `in`, output projection, residual
 * (LM_NONE: none). Window 0: all. */
typedef struct lm_attention {
    lm_rope rope;
    uint32_t window;
    float scale; /* 0: 1 / sqrt(k_dim) */
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
    {                                                                                              \
        LM_ROLE_##role, name, LM_USE_VECTOR, cols, LM_DIM_ONE, LM_DIM_ONE, flags, {0, 0}, 0        \
    }
#define LM_ROW_MATRIX(role, name, cols, rows, flags)                                               \
    {                                                                                              \
        LM_ROLE_##role, name, LM_USE_MATMUL, cols, rows, LM_DIM_ONE, flags, {0, 0}, 0              \
    }
#define LM_ROW_VIEW(role, name, uses, cols, rows, flags, first0, first1, count)                    \
    {                                                                                              \
        LM_ROLE_##role, name, uses, cols, rows, LM_DIM_ONE, flags, {first0, first1}, count         \
    }
#define LM_ROW_EXPERTS(role, name, cols, rows)                                                     \
    {                                                                                              \
        LM_ROLE_##role, name, LM_USE_MATMUL | LM_USE_EXPERT, cols, rows, LM_DIM_EXPERTS,           \
            LM_TENSOR_PER_LAYER | LM_TENSOR_IF_EXPERTS, {0, 0}, 0                                  \
    }
#define LM_ROW_EMBEDDING                                                                           \
    {                                                                                              \
        LM_ROLE_TOKEN_EMBD, "token_embd.weight", LM_USE_GATHER | LM_USE_MATMUL, LM_DIM_WIDTH,      \
            LM_DIM_VOCAB, LM_DIM_ONE, 0, {0, 0}, 0                                                 \
    }
/* Rows picked by number. */
#define LM_ROW_TABLE(role, name, rows, flags)                                                      \
    {                                                                                              \
        LM_ROLE_##role, name, LM_USE_GATHER, LM_DIM_WIDTH, rows, LM_DIM_ONE, flags, {0, 0}, 0      \
    }
/* Small, but with rows: the taps of a convolution. */
#define LM_ROW_TAPS(role, name, cols, rows, flags)                                                 \
    {                                                                                              \
        LM_ROLE_##role, name, LM_USE_VECTOR, cols, rows, LM_DIM_ONE, flags, {0, 0}, 0              \
    }
/* Learned vectors of positions, one per token of the context. */
#define LM_ROW_POSITIONS LM_ROW_TABLE(POS_EMBD, "position_embd.weight", LM_DIM_CONTEXT, 0)
/* Absent: tied to the embedding. */
#define LM_ROW_OUTPUT                                                                              \
    LM_ROW_MATRIX(OUTPUT, "output.weight", LM_DIM_WIDTH, LM_DIM_VOCAB, LM_TENSOR_OPTIONAL)

/* Of a layer: what must be there, what may. */
#define LM_LAYER          LM_TENSOR_PER_LAYER
#define LM_LAYER_OPTIONAL (LM_TENSOR_PER_LAYER | LM_TENSOR_OPTIONAL)
#define LM_LAYER_DENSE    (LM_TENSOR_PER_LAYER | LM_TENSOR_IF_DENSE)
#define LM_LAYER_EXPERTS  (LM_TENSOR_PER_LAYER | LM_TENSOR_IF_EXPERTS)

/* q, k and v as three tensors, or as rows of one. A table may have both, the usual one first. */
#define LM_ROWS_QKV_SPLIT                                                                          \
    LM_ROW_MATRIX(ATTN_Q, "blk.%u.attn_q.weight", LM_DIM_WIDTH, LM_DIM_Q, LM_LAYER),               \
        LM_ROW_MATRIX(ATTN_K, "blk.%u.attn_k.weight", LM_DIM_WIDTH, LM_DIM_K, LM_LAYER),           \
        LM_ROW_MATRIX(ATTN_V, "blk.%u.attn_v.weight", LM_DIM_WIDTH, LM_DIM_V, LM_LAYER),           \
        LM_ROW_VECTOR(ATTN_Q_BIAS, "blk.%u.attn_q.bias", LM_DIM_Q, LM_LAYER_OPTIONAL),             \
        LM_ROW_VECTOR(ATTN_K_BIAS, "blk.%u.attn_k.bias", LM_DIM_K, LM_LAYER_OPTIONAL),             \
        LM_ROW_VECTOR(ATTN_V_BIAS, "blk.%u.attn_v.bias", LM_DIM_V, LM_LAYER_OPTIONAL)
#define LM_ROW_QKV_PART(part, first0, first1, count)                                               \
    LM_ROW_VIEW(ATTN_##part, "blk.%u.attn_qkv.weight", LM_USE_MATMUL, LM_DIM_WIDTH, LM_DIM_QKV,    \
                LM_LAYER, first0, first1, count),                                                  \
        LM_ROW_VIEW(ATTN_##part##_BIAS, "blk.%u.attn_qkv.bias", LM_USE_VECTOR, LM_DIM_QKV,         \
                    LM_DIM_ONE, LM_LAYER_OPTIONAL, first0, first1, count)
#define LM_ROWS_QKV_FUSED                                                                          \
    LM_ROW_QKV_PART(Q, LM_DIM_NONE, LM_DIM_NONE, LM_DIM_Q),                                        \
        LM_ROW_QKV_PART(K, LM_DIM_Q, LM_DIM_NONE, LM_DIM_K),                                       \
        LM_ROW_QKV_PART(V, LM_DIM_Q, LM_DIM_K, LM_DIM_V)
#define LM_ROWS_ATTN_OUT                                                                           \
    LM_ROW_MATRIX(ATTN_OUT, "blk.%u.attn_output.weight", LM_DIM_ATTN, LM_DIM_WIDTH, LM_LAYER),     \
        LM_ROW_VECTOR(ATTN_OUT_BIAS, "blk.%u.attn_output.bias", LM_DIM_WIDTH, LM_LAYER_OPTIONAL)

#define LM_ROWS_FFN                                                                                \
    LM_ROW_MATRIX(FFN_UP, "blk.%u.ffn_up.weight", LM_DIM_WIDTH, LM_DIM_FF, LM_LAYER_DENSE),        \
        LM_ROW_MATRIX(FFN_DOWN, "blk.%u.ffn_down.weight", LM_DIM_FF, LM_DIM_WIDTH,                 \
                      LM_LAYER_DENSE),                                                             \
        LM_ROW_VECTOR(FFN_UP_BIAS, "blk.%u.ffn_up.bias", LM_DIM_FF, LM_LAYER_OPTIONAL),            \
        LM_ROW_VECTOR(FFN_DOWN_BIAS, "blk.%u.ffn_down.bias", LM_DIM_WIDTH, LM_LAYER_OPTIONAL)
#define LM_ROWS_FFN_GATED                                                                          \
    LM_ROW_MATRIX(FFN_GATE, "blk.%u.ffn_gate.weight", LM_DIM_WIDTH, LM_DIM_FF, LM_LAYER_DENSE),    \
        LM_ROW_VECTOR(FFN_GATE_BIAS, "blk.%u.ffn_gate.bias", LM_DIM_FF, LM_LAYER_OPTIONAL),        \
        LM_ROWS_FFN
#define LM_ROWS_EXPERTS                                                                            \
    LM_ROW_MATRIX(ROUTER, "blk.%u.ffn_gate_inp.weight", LM_DIM_WIDTH, LM_DIM_EXPERTS,              \
                  LM_LAYER_EXPERTS),                                                               \
        LM_ROW_EXPERTS(EXPERT_GATE, "blk.%u.ffn_gate_exps.weight", LM_DIM_WIDTH,                   \
                       LM_DIM_EXPERT_FF),                                                          \
        LM_ROW_EXPERTS(EXPERT_UP, "blk.%u.ffn_up_exps.weight", LM_DIM_WIDTH, LM_DIM_EXPERT_FF),    \
        LM_ROW_EXPERTS(EXPERT_DOWN, "blk.%u.ffn_down_exps.weight", LM_DIM_EXPERT_FF, LM_DIM_WIDTH)

/* Divisors of the rotation speeds: one set, or one for contexts up to the original one and one
 * beyond. */
#define LM_ROWS_ROPE                                                                               \
    LM_ROW_VECTOR(ROPE_FREQS, "rope_freqs.weight", LM_DIM_ROPE_HALF, LM_TENSOR_OPTIONAL),          \
        LM_ROW_VECTOR(ROPE_LONG, "rope_factors_long.weight", LM_DIM_ROPE_HALF,                     \
                      LM_TENSOR_OPTIONAL),                                                         \
        LM_ROW_VECTOR(ROPE_SHORT, "rope_factors_short.weight", LM_DIM_ROPE_HALF,                   \
                      LM_TENSOR_OPTIONAL)

#endif
