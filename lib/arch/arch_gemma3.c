/* arch_gemma3.c - Gemma 3: Gemma 2's blocks with normed q and k instead of soft caps, a window on
 * all but every sixth layer, and another rotation there. */
#include "arch/blocks.h"

#include <float.h>

static const lm_hparam_row hparams[] = {
    {"attention.sliding_window_pattern", LM_HPARAM_U32, offsetof(lm_hparams, window_pattern), 1,
     LM_MAX_LAYERS, false, 6},
    {"rope.freq_base_swa", LM_HPARAM_F32, offsetof(lm_hparams, rope_base_local), 1, FLT_MAX, false,
     10000},
};

static const lm_tensor_row tensors[] = {
    LM_ROW_EMBEDDING,
    LM_ROW_OUTPUT,
    LM_ROW_VECTOR(OUT_NORM, "output_norm.weight", LM_DIM_WIDTH, 0),
    LM_ROW_VECTOR(ATTN_NORM, "blk.%u.attn_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROWS_QKV_SPLIT,
    LM_ROWS_QKV_FUSED,
    LM_ROW_VECTOR(ATTN_Q_NORM, "blk.%u.attn_q_norm.weight", LM_DIM_HEAD_K, LM_LAYER),
    LM_ROW_VECTOR(ATTN_K_NORM, "blk.%u.attn_k_norm.weight", LM_DIM_HEAD_K, LM_LAYER),
    LM_ROWS_ATTN_OUT,
    LM_ROW_VECTOR(ATTN_POST_NORM, "blk.%u.post_attention_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROW_VECTOR(FFN_NORM, "blk.%u.ffn_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROWS_FFN_GATED,
    LM_ROW_VECTOR(FFN_POST_NORM, "blk.%u.post_ffw_norm.weight", LM_DIM_WIDTH, LM_LAYER),
};

/* No key tells the scale of the queries: it goes by the head's size, but by width / heads in the
 * model of 27B, which is known by its 62 layers. */
static float query_scale(const lm_hparams *h)
{
    if (h->attn_scale > 0)
        return h->attn_scale;
    return 1 / sqrtf(h->n_layers == 62 ? (float)(h->width / h->heads[0]) : (float)h->k_dim);
}

static void emit(lm_emit *e)
{
    const lm_hparams *h = e->h;
    lm_rope whole = lm_rope_of(e, LM_ROPE_HALVES), local = whole;
    local.base = h->rope_base_local;
    local.freq_scale = 1; /* scaling is for the layers that see everything */
    lm_attention attention = {.scale = query_scale(h), .softcap = h->attn_softcap};
    float embed_scale = sqrtf((float)h->width);
    uint32_t x = lm_emit_embed(&e->b, LM_EMBED_TOKENS, lm_role(e, LM_ROLE_TOKEN_EMBD), embed_scale);
    for (uint32_t layer = 0; layer < h->n_layers; layer++) {
        e->b.layer = (uint16_t)layer;
        attention.window = lm_layer_window(h, layer);
        attention.rope = attention.window != 0 ? local : whole;
        lm_norm attn_norm = lm_rms_norm(e, LM_ROLE_ATTN_NORM);
        lm_norm attn_post = lm_rms_norm(e, LM_ROLE_ATTN_POST_NORM);
        uint32_t mixed =
            lm_emit_attention(e, lm_emit_norm(&e->b, x, &attn_norm), LM_NONE, &attention);
        x = lm_emit_add(&e->b, lm_emit_norm(&e->b, mixed, &attn_post), x);
        lm_norm ffn_norm = lm_rms_norm(e, LM_ROLE_FFN_NORM);
        lm_norm ffn_post = lm_rms_norm(e, LM_ROLE_FFN_POST_NORM);
        uint32_t fed = lm_emit_ffn(e, lm_emit_norm(&e->b, x, &ffn_norm), LM_NONE, LM_ACT_GELU_TANH);
        x = lm_emit_add(&e->b, lm_emit_norm(&e->b, fed, &ffn_post), x);
    }
    e->b.layer = 0xffff;
    lm_norm out_norm = lm_rms_norm(e, LM_ROLE_OUT_NORM);
    lm_emit_logits(e, x, &out_norm, h->final_softcap);
}

const lm_arch lm_arch_gemma3 = {
    .names = {"gemma3"},
    .hparams = hparams,
    .n_hparams = sizeof hparams / sizeof hparams[0],
    .tensors = tensors,
    .n_tensors = sizeof tensors / sizeof tensors[0],
    .check = lm_check_attention,
    .emit = emit,
};
