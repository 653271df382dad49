/* arch_bert.c - BERT encoders (MiniLM, BGE, E5, ...): rows see each other, layer norms behind each
 * block, and one pooled vector per sequence. */
#include "arch/blocks.h"

/* The file's numbers of ways to pool. */
enum { POOLING_NONE, POOLING_MEAN, POOLING_CLS, POOLING_LAST, POOLING_RANK };

static const lm_hparam_row hparams[] = {
    {"attention.causal", LM_HPARAM_BOOL, offsetof(lm_hparams, causal), 0, 1, false, 0},
    {"pooling_type", LM_HPARAM_U32, offsetof(lm_hparams, pooling), 0, POOLING_RANK, false,
     POOLING_MEAN},
    {"tokenizer.ggml.token_type_count", LM_HPARAM_U32, offsetof(lm_hparams, n_token_types), 0,
     65536, false, 0},
};

static const lm_tensor_row tensors[] = {
    LM_ROW_EMBEDDING,
    LM_ROW_POSITIONS,
    LM_ROW_TABLE(TYPE_EMBD, "token_types.weight", LM_DIM_TYPES, LM_TENSOR_OPTIONAL),
    LM_ROW_VECTOR(EMBD_NORM, "token_embd_norm.weight", LM_DIM_WIDTH, 0),
    LM_ROW_VECTOR(EMBD_NORM_BIAS, "token_embd_norm.bias", LM_DIM_WIDTH, 0),
    LM_ROWS_QKV_SPLIT,
    LM_ROWS_QKV_FUSED,
    LM_ROWS_ATTN_OUT,
    LM_ROW_VECTOR(ATTN_POST_NORM, "blk.%u.attn_output_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROW_VECTOR(ATTN_POST_NORM_BIAS, "blk.%u.attn_output_norm.bias", LM_DIM_WIDTH, LM_LAYER),
    LM_ROWS_FFN,
    LM_ROW_VECTOR(FFN_POST_NORM, "blk.%u.layer_output_norm.weight", LM_DIM_WIDTH, LM_LAYER),
    LM_ROW_VECTOR(FFN_POST_NORM_BIAS, "blk.%u.layer_output_norm.bias", LM_DIM_WIDTH, LM_LAYER),
};

static const uint32_t pools[] = {
    [POOLING_MEAN] = LM_POOL_MEAN, [POOLING_CLS] = LM_POOL_CLS, [POOLING_LAST] = LM_POOL_LAST};

static int32_t check(lm_hparams *h, const char *name)
{
    if (h->causal)
        return lm_fail(LLM_E_UNSUPPORTED, "%s.attention.causal: only encoders are supported", name);
    if (h->pooling == POOLING_NONE || h->pooling == POOLING_RANK)
        return lm_fail(LLM_E_UNSUPPORTED,
                       "%s.pooling_type is %u; 1 (mean), 2 (cls) and 3 (last) are supported", name,
                       (unsigned)h->pooling);
    return lm_check_attention(h, name);
}

/* Words, their places, and the type that a single text has. */
static uint32_t emit_embeddings(lm_emit *e)
{
    uint32_t x = lm_emit_embed(&e->b, LM_EMBED_TOKENS, lm_role(e, LM_ROLE_TOKEN_EMBD), 1);
    uint32_t types = lm_role(e, LM_ROLE_TYPE_EMBD);
    if (types != LM_NONE)
        x = lm_emit_add(&e->b, x, lm_emit_embed(&e->b, LM_EMBED_CONSTANT, types, 1));
    x = lm_emit_add(&e->b, x,
                    lm_emit_embed(&e->b, LM_EMBED_POSITIONS, lm_role(e, LM_ROLE_POS_EMBD), 1));
    lm_norm norm = lm_layer_norm(e, LM_ROLE_EMBD_NORM, LM_ROLE_EMBD_NORM_BIAS);
    return lm_emit_norm(&e->b, x, &norm);
}

static void emit(lm_emit *e)
{
    lm_attention attention = {.rope = lm_rope_absent()};
    uint32_t x = emit_embeddings(e);
    for (uint32_t layer = 0; layer < e->h->n_layers; layer++) {
        e->b.layer = (uint16_t)layer;
        lm_norm attn_norm = lm_layer_norm(e, LM_ROLE_ATTN_POST_NORM, LM_ROLE_ATTN_POST_NORM_BIAS);
        x = lm_emit_norm(&e->b, lm_emit_attention(e, x, x, &attention), &attn_norm);
        lm_norm ffn_norm = lm_layer_norm(e, LM_ROLE_FFN_POST_NORM, LM_ROLE_FFN_POST_NORM_BIAS);
        x = lm_emit_norm(&e->b, lm_emit_ffn(e, x, x, LM_ACT_GELU_ERF), &ffn_norm);
    }
    e->b.layer = 0xffff;
    lm_emit_pool(&e->b, x, pools[e->h->pooling]);
}

const lm_arch lm_arch_bert = {
    .names = {"bert"},
    .hparams = hparams,
    .n_hparams = sizeof hparams / sizeof hparams[0],
    .tensors = tensors,
    .n_tensors = sizeof tensors / sizeof tensors[0],
    .check = check,
    .emit = emit,
};
