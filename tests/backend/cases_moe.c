/* cases_moe.c - routing and combining. */
#include "backend/cases.h"

/* Variant: the kind of routing, plus 10 with a bias for picking, plus 100 normalised and scaled. */
static void build_route(rig_model *m, uint32_t variant)
{
    uint32_t experts = 11, used = 4;
    uint32_t in = rig_input(m, experts);
    uint32_t ids = lm_build_slot(&m->b, used, LM_ROWS_ALL, LM_SLOT_I32),
             weights = rig_slot(m, used);
    lm_step step = rig_make(LM_STEP_ROUTE_TOPK, in, LM_NONE, ids);
    step.out[1] = weights;
    step.u.route =
        (lm_route){.kind = variant % 10,
                   .experts = experts,
                   .used = used,
                   .bias = variant / 10 % 10 == 1 ? rig_vector(m, experts, 0, 0.5) : LM_NONE,
                   .normalise = variant >= 100,
                   .scale = variant >= 100 ? 2.5f : 0};
    rig_step(m, &step);
    rig_output(m, ids);
    rig_output(m, weights);
}

/* Variant: parts; one part works in place. */
static void build_combine(rig_model *m, uint32_t used)
{
    uint32_t parts = rig_input(m, used * 45), weights = rig_input(m, used), out = rig_slot(m, 45);
    if (used == 1) {
        lm_step copy = rig_make(LM_STEP_COPY, parts, LM_NONE, out);
        copy.u.copy.width = 45;
        rig_step(m, &copy);
        parts = out;
    }
    lm_step step = rig_make(LM_STEP_COMBINE, parts, weights, out);
    step.u.combine.used = used;
    rig_step(m, &step);
    rig_output(m, out);
}

static const rig_case list[] = {
    {"route softmax", build_route, LM_ROUTE_SOFTMAX, LM_STEP_ROUTE_TOPK, false, false},
    {"route softmax normalised", build_route, 100 + LM_ROUTE_SOFTMAX, LM_STEP_ROUTE_TOPK, false,
     false},
    {"route softmax of the picked", build_route, LM_ROUTE_SOFTMAX_PICKED, LM_STEP_ROUTE_TOPK, false,
     false},
    {"route sigmoid with bias", build_route, 110 + LM_ROUTE_SIGMOID, LM_STEP_ROUTE_TOPK, false,
     false},
    {"route softmax with bias", build_route, 10 + LM_ROUTE_SOFTMAX, LM_STEP_ROUTE_TOPK, false,
     false},
    {"combine four", build_combine, 4, LM_STEP_COMBINE, false, false},
    {"combine one in place", build_combine, 1, LM_STEP_COMBINE, false, false},
};

CASES_OF(cases_moe, list);
