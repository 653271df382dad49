/* common.c - the hyper-parameters that nearly every family shares. */
#include "arch/arch.h"

#include <float.h>

#define AT(field) offsetof(lm_hparams, field)
#define MANY      (1 << 20)

const lm_hparam_row lm_hparams_common[] = {
    {"context_length", LM_HPARAM_U32, AT(context_train), 1, 1 << 30, true, 0},
    {"embedding_length", LM_HPARAM_U32, AT(width), 1, MANY, true, 0},
    {"feed_forward_length", LM_HPARAM_U32_LAYERS, AT(ff), 0, 1 << 24, false, 0},
    {"attention.head_count", LM_HPARAM_U32_LAYERS, AT(heads), 0, 65536, false, 0},
    {"attention.head_count_kv", LM_HPARAM_U32_LAYERS, AT(kv_heads), 0, 65536, false, 0},
    {"attention.key_length", LM_HPARAM_U32, AT(k_dim), 1, 65536, false, 0},
    {"attention.value_length", LM_HPARAM_U32, AT(v_dim), 1, 65536, false, 0},
    {"attention.layer_norm_epsilon", LM_HPARAM_F32, AT(norm_eps), 0, 1, false, 1e-5},
    {"attention.layer_norm_rms_epsilon", LM_HPARAM_F32, AT(norm_eps), 0, 1, false, LM_HPARAM_KEEP},
    {"attention.scale", LM_HPARAM_F32, AT(attn_scale), 0, 1e6, false, 0},
    {"attention.sliding_window", LM_HPARAM_U32, AT(window), 0, 1 << 30, false, 0},
    {"attn_logit_softcapping", LM_HPARAM_F32, AT(attn_softcap), 0, 1e6, false, 0},
    {"final_logit_softcapping", LM_HPARAM_F32, AT(final_softcap), 0, 1e6, false, 0},
    {"rope.dimension_count", LM_HPARAM_U32, AT(rope_dims), 0, 65536, false, 0},
    {"rope.freq_base", LM_HPARAM_F32, AT(rope_base), 1, FLT_MAX, false, 10000},
    {"rope.freq_base_swa", LM_HPARAM_F32, AT(rope_base_local), 0, FLT_MAX, false, 0},
    {"rope.scaling.type", LM_HPARAM_SCALING, AT(rope_scaling), 0, 0, false, LM_SCALING_LINEAR},
    {"rope.scale_linear", LM_HPARAM_F32, AT(rope_factor), 0, 1e6, false, 0},
    {"rope.scaling.factor", LM_HPARAM_F32, AT(rope_factor), 0, 1e6, false, LM_HPARAM_KEEP},
    {"rope.scaling.attn_factor", LM_HPARAM_F32, AT(rope_attn_factor), 0, 1e3, false, 1},
    {"rope.scaling.original_context_length", LM_HPARAM_U32, AT(rope_context_original), 0, 1 << 30,
     false, 0},
    {"rope.scaling.yarn_beta_fast", LM_HPARAM_F32, AT(yarn_beta_fast), 0, 1e6, false, 32},
    {"rope.scaling.yarn_beta_slow", LM_HPARAM_F32, AT(yarn_beta_slow), 0, 1e6, false, 1},
    {"rope.scaling.yarn_log_multiplier", LM_HPARAM_F32, AT(yarn_log_multiplier), -1e3, 1e3, false,
     0},
    {"logit_scale", LM_HPARAM_F32, AT(logit_scale), 0, 1e6, false, 0},
    {"expert_count", LM_HPARAM_U32, AT(experts), 0, 65536, false, 0},
    {"expert_used_count", LM_HPARAM_U32, AT(experts_used), 0, 65536, false, 0},
    {"expert_feed_forward_length", LM_HPARAM_U32, AT(expert_ff), 0, 1 << 24, false, 0},
    {"expert_weights_scale", LM_HPARAM_F32, AT(expert_scale), 0, 1e6, false, 0},
};

const uint32_t lm_hparams_common_count = sizeof lm_hparams_common / sizeof lm_hparams_common[0];
