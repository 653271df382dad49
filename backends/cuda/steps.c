/* steps.c - who plans which kind of step. Coarse steps come lowered. */
#include "backends/cuda/plan.h"

const lcu_step_class lcu_steps[LM_STEP_COUNT] = {
    [LM_STEP_EMBED] = {lcu_plan_embed},
    [LM_STEP_GATHER_ROWS] = {lcu_plan_gather},
    [LM_STEP_COPY] = {lcu_plan_copy},
    [LM_STEP_CONCAT] = {lcu_plan_concat},
    [LM_STEP_ADD] = {lcu_plan_values},
    [LM_STEP_ROW_ADD] = {lcu_plan_values},
    [LM_STEP_SCALE] = {lcu_plan_values},
    [LM_STEP_ACT_MUL] = {lcu_plan_values},
    [LM_STEP_ALL_REDUCE] = {lcu_plan_values},
    [LM_STEP_NORM] = {lcu_plan_norm},
    [LM_STEP_POOL] = {lcu_plan_pool},
    [LM_STEP_ROPE] = {lcu_plan_rope},
    [LM_STEP_KV_APPEND] = {lcu_plan_append},
    [LM_STEP_LINEAR] = {lcu_plan_linear_step},
    [LM_STEP_LINEAR_HEADS] = {lcu_plan_linear_step},
    [LM_STEP_LINEAR_EXPERT] = {lcu_plan_expert},
    [LM_STEP_ATTN_PAGED] = {lcu_plan_attn},
    [LM_STEP_ROUTE_TOPK] = {lcu_plan_route},
    [LM_STEP_COMBINE] = {lcu_plan_combine},
    [LM_STEP_CONV_STATE] = {lcu_plan_conv},
    [LM_STEP_SCAN_STATE] = {lcu_plan_scan},
    [LM_STEP_TAP] = {lcu_plan_gather},
    [LM_STEP_BEST] = {lcu_plan_best},
};
