/* arch_llama.c - Llama 1 to 3.3, Mistral, Mixtral, TinyLlama, SmolLM: RMS norms, rotary pairs, gated SiLU
 * or routed experts. */
#include "arch/blocks.h"

static const lm_tensor_row tensors[] = {
    LM_ROW_EMBEDDING,
    LM_ROW_OUTPUT,
    LM_ROW_VECTOR(OUT_NORM, "output_norm.weight", LM_DIM_WIDTH, 0),
    LM_ROW_VECTOR(ROPE_FREQS, "rope_freqs.weight", LM_DIM_ROPE_HALF, LM_TENSOR_OPTIONAL),
    LM_ROW_VECTOR(ATTN_NORM, "blk.%u.attn_norm.weight", LM_DIM_WIDTH, LM_TENSOR_PER_LAYER),
    LM_ROW_MATRIX(ATTN_Q, "blk.%u.attn_q.weight", LM_DIM_WIDTH, LM_DIM_Q, LM_TENSOR_PER_LAYER),
    LM_ROW_MATRIX(ATTN_K, "blk.%u.attn_k.weight", LM_DIM_WIDTH, LM_DIM_K, LM_TENSOR_PER_LAYER),
    LM_ROW_MATRIX(ATTN_V, "blk.%u.attn_v.weight", LM_DIM_WIDTH, LM_DIM_V, LM_TENSOR_PER_LAYER),
    LM_ROW_MATRIX(ATTN_OUT, "blk.%u.attn_output.weight", LM_DIM_ATTN, LM_DIM_WIDTH,
                  LM_TENSOR_PER_LAYER),
    LM_ROW_VECTOR(ATTN_Q_BIAS, "blk.%u.attn_q.bias", LM_DIM_Q, LM_TENSOR_PER_LAYER | LM_TENSOR_OPTIONAL),
    LM_ROW_VECTOR(ATTN_K_BIAS, "blk.%u.attn_k.bias", LM_DIM_K, LM_TENSOR_PER_LAYER | LM_TENSOR_OPTIONAL),
    LM_ROW_VECTOR(ATTN_V_BIAS, "blk.%u.attn_v.bias", LM_DIM_V, LM_TENSOR_PER_LAYER | LM_TENSOR_OPTIONAL),
    LM_ROW_VECTOR(ATTN_OUT_BIAS, "blk.%u.attn_output.bias", LM_DIM_WIDTH,
                  LM_TENSOR_PER_LAYER | LM_TENSOR_OPTIONAL),
    LM_ROW_VECTOR(FFN_NORM, "blk.%u.ffn_norm.weight", LM_DIM_WIDTH, LM_TENSOR_PER_LAYER),
    LM_ROW_MATRIX(FFN_GATE, "blk.%u.ffn_gate.weight", LM_DIM_WIDTH, LM_DIM_FF,
                  LM_TENSOR_PER_LAYER | LM_TENSOR_IF_DENSE),
    LM_ROW_MATRIX(FFN_UP, "blk.%u.ffn_up.weight", LM_DIM_WIDTH, LM_DIM_FF,
                  LM_TENSOR_PER_LAYER | LM_TENSOR_IF_DENSE),
    LM_ROW_MATRIX(FFN_DOWN, "blk.%u.ffn_down.weight", LM_DIM_FF, LM_DIM_WIDTH,
                  LM_TENSOR_PER_LAYER | LM_TENSOR_IF_DENSE),
    LM_ROW_MATRIX(ROUTER, "blk.%u.ffn_gate_inp.weight", LM_DIM_WIDTH, LM_DIM_EXPERTS,
                  LM_TENSOR_PER_LAYER | LM_TENSOR_IF_EXPERTS),
    LM_ROW_EXPERTS(EXPERT_GATE, "blk.%u.ffn_gate_exps.weight", LM_DIM_WIDTH, LM_DIM_EXPERT_FF),
    LM_ROW_EXPERTS(EXPERT_UP, "blk.%u.ffn_up_exps.weight", LM_DIM_WIDTH, LM_DIM_EXPERT_FF),
    LM_ROW_EXPERTS(EXPERT_DOWN, "blk.%u.ffn_down_exps.weight", LM_DIM_EXPERT_FF, LM_DIM_WIDTH),
};

static int32_t check(lm_hparams *h, const char *name)
{
    LM_TRY(lm_check_attention(h, name));
    return lm_check_experts(h, name);
}

static void emit(lm_emit *e)
{
    const lm_hparams *h = e->h;
    lm_route route = {.kind = LM_ROUTE_SOFTMAX_PICKED,
                      .experts = h->experts,
                      .used = h->experts_used,
                      .bias = LM_NONE};
    lm_attention attention = {.rope = lm_rope_of(e, LM_ROPE_PAIRS)};
    uint32_t x = lm_emit_embed(&e->b, LM_EMBED_TOKENS, lm_role(e, LM_ROLE_TOKEN_EMBD), 1);
    for (uint32_t layer = 0; layer < h->n_layers; layer++) {
        e->b.layer = (uint16_t)layer;
        lm_norm attn_norm = lm_rms_norm(e, LM_ROLE_ATTN_NORM);
        x = lm_emit_attention(e, lm_emit_norm(&e->b, x, &attn_norm), x, &attention);
        lm_norm ffn_norm = lm_rms_norm(e, LM_ROLE_FFN_NORM);
        uint32_t normed = lm_emit_norm(&e->b, x, &ffn_norm);
        if (lm_layer_has_experts(h, layer))
            x = lm_emit_experts(e, normed, x, LM_ACT_SILU, &route);
        else
            x = lm_emit_ffn(e, normed, x, LM_ACT_SILU);
    }
    e->b.layer = 0xffff;
    lm_norm out_norm = lm_rms_norm(e, LM_ROLE_OUT_NORM);
    lm_emit_logits(e, x, &out_norm, 0);
}

const lm_arch lm_arch_llama = {
    .names = {"llama", "mistral"},
    .tensors = tensors,
    .n_tensors = sizeof tensors / sizeof tensors[0],
    .check = check,
    .emit = emit,
};
