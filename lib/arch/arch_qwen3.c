/* arch_qwen3.c - Qwen 3 without experts: each head of q and k is normed before it is rotated. */
#include "arch/blocks.h"

static const lm_tensor_row tensors[] = {
    LM_ROW_EMBEDDING,
    LM_ROW_OUTPUT,
    LM_ROWS_ROPE,
    LM_ROW_VECTOR(OUT_NORM, "output_norm.weight", LM_DIM_WIDTH, 0),
    LM_ROW_VECTOR(ATTN_NORM, "blk.%u.attn_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROWS_QKV_SPLIT,
    LM_ROWS_QKV_FUSED,
    LM_ROW_VECTOR(ATTN_Q_NORM, "blk.%u.attn_q_norm.weight", LM_DIM_HEAD_K, LM_LAYER),
    LM_ROW_VECTOR(ATTN_K_NORM, "blk.%u.attn_k_norm.weight", LM_DIM_HEAD_K, LM_LAYER),
    LM_ROWS_ATTN_OUT,
    LM_ROW_VECTOR(FFN_NORM, "blk.%u.ffn_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROWS_FFN_GATED,
};

static void emit(lm_emit *e)
{
    lm_attention attention = {.rope = lm_rope_of(e, LM_ROPE_HALVES)};
    uint32_t x = lm_emit_embed(&e->b, LM_EMBED_TOKENS, lm_role(e, LM_ROLE_TOKEN_EMBD), 1);
    for (uint32_t layer = 0; layer < e->h->n_layers; layer++) {
        e->b.layer = (uint16_t)layer;
        lm_norm attn_norm = lm_rms_norm(e, LM_ROLE_ATTN_NORM);
        x = lm_emit_attention(e, lm_emit_norm(&e->b, x, &attn_norm), x, &attention);
        lm_norm ffn_norm = lm_rms_norm(e, LM_ROLE_FFN_NORM);
        x = lm_emit_ffn(e, lm_emit_norm(&e->b, x, &ffn_norm), x, LM_ACT_SILU);
    }
    e->b.layer = 0xffff;
    lm_norm out_norm = lm_rms_norm(e, LM_ROLE_OUT_NORM);
    lm_emit_logits(e, x, &out_norm, 0);
}

const lm_arch lm_arch_qwen3 = {
    .names = {"qwen3"},
    .tensors = tensors,
    .n_tensors = sizeof tensors / sizeof tensors[0],
    .check = lm_check_attention,
    .emit = emit,
};
