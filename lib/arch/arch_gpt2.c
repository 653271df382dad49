/* arch_gpt2.c - GPT-2: layer norms, learned positions instead of rotation, biases everywhere, one
 * plain feed-forward block. */
#include "arch/blocks.h"

static const lm_tensor_row tensors[] = {
    LM_ROW_EMBEDDING,
    LM_ROW_POSITIONS,
    LM_ROW_OUTPUT,
    LM_ROW_VECTOR(OUT_NORM, "output_norm.weight", LM_DIM_WIDTH, 0),
    LM_ROW_VECTOR(OUT_NORM_BIAS, "output_norm.bias", LM_DIM_WIDTH, 0),
    LM_ROW_VECTOR(ATTN_NORM, "blk.%u.attn_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROW_VECTOR(ATTN_NORM_BIAS, "blk.%u.attn_norm.bias", LM_DIM_WIDTH, LM_LAYER),
    LM_ROWS_QKV_FUSED,
    LM_ROWS_QKV_SPLIT,
    LM_ROWS_ATTN_OUT,
    LM_ROW_VECTOR(FFN_NORM, "blk.%u.ffn_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROW_VECTOR(FFN_NORM_BIAS, "blk.%u.ffn_norm.bias", LM_DIM_WIDTH, LM_LAYER),
    LM_ROWS_FFN,
};

static void emit(lm_emit *e)
{
    lm_attention attention = {.rope = lm_rope_absent()};
    uint32_t tokens = lm_emit_embed(&e->b, LM_EMBED_TOKENS, lm_role(e, LM_ROLE_TOKEN_EMBD), 1);
    uint32_t positions = lm_emit_embed(&e->b, LM_EMBED_POSITIONS, lm_role(e, LM_ROLE_POS_EMBD), 1);
    uint32_t x = lm_emit_add(&e->b, tokens, positions);
    for (uint32_t layer = 0; layer < e->h->n_layers; layer++) {
        e->b.layer = (uint16_t)layer;
        lm_norm attn_norm = lm_layer_norm(e, LM_ROLE_ATTN_NORM, LM_ROLE_ATTN_NORM_BIAS);
        x = lm_emit_attention(e, lm_emit_norm(&e->b, x, &attn_norm), x, &attention);
        lm_norm ffn_norm = lm_layer_norm(e, LM_ROLE_FFN_NORM, LM_ROLE_FFN_NORM_BIAS);
        x = lm_emit_ffn(e, lm_emit_norm(&e->b, x, &ffn_norm), x, LM_ACT_GELU_TANH);
    }
    e->b.layer = 0xffff;
    lm_norm out_norm = lm_layer_norm(e, LM_ROLE_OUT_NORM, LM_ROLE_OUT_NORM_BIAS);
    lm_emit_logits(e, x, &out_norm, 0);
}

const lm_arch lm_arch_gpt2 = {
    .names = {"gpt2"},
    .tensors = tensors,
    .n_tensors = sizeof tensors / sizeof tensors[0],
    .check = lm_check_attention,
    .emit = emit,
};
