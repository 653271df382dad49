/* hparams - the numbers that shape a model, in one neutral structure filled by an architecture's table.
 * Each was range-checked when read; nothing else may divide by or allocate from a file's numbers. */
#ifndef LM_ARCH_HPARAMS_H
#define LM_ARCH_HPARAMS_H

#include "step/network.h"

enum { LM_SCALING_NONE, LM_SCALING_LINEAR, LM_SCALING_YARN, LM_SCALING_LONGROPE };

typedef struct lm_hparams {
    uint32_t n_vocab, n_layers, width, context_train;
    uint32_t *heads, *kv_heads, *ff; /* [n_layers], 0 where a layer has none */
    uint32_t k_dim, v_dim;           /* per head */
    float norm_eps;
    bool causal;
    /* rope */
    uint32_t rope_dims;
    float rope_base, rope_base_local; /* local: layers with a window; 0: the same */
    uint32_t rope_scaling;
    float rope_factor; /* 0: no scaling */
    float rope_attn_factor, yarn_beta_fast, yarn_beta_slow, yarn_log_multiplier;
    uint32_t rope_context_original;
    /* attention */
    uint32_t window, window_pattern; /* pattern n: every n-th layer sees everything */
    float attn_scale, attn_softcap, final_softcap;
    float embed_scale, logit_scale;
    /* experts */
    uint32_t experts, experts_used, expert_ff, shared_ff, leading_dense;
    float expert_scale;
    /* state space */
    uint32_t conv_kernel, inner, state, dt_heads, groups;
    /* encoders */
    uint32_t n_token_types, pooling;
} lm_hparams;

#endif
