/* kernels_best.c - the largest logits, so that they alone come home. */
#include "backends/vulkan/kernels.h"

enum { LOCAL = 256, KEYS = 2048 /* of a workgroup, as in shaders/best.comp */ };

/* As in shaders/best.comp. */
typedef struct best_args {
    uint64_t values, from, to, ids, best;
    uint32_t kind, width, count, stretches;
} best_args;

/* A pass leaves the best `k` of each stretch; `from` and `to` are scratch, for ranges. */
typedef struct pass {
    best_args args;
    uint32_t k;
    lvk_slot in, ids, best;
    uint64_t from_at, from_bytes, to_at, to_bytes;
} pass;

static int32_t plan_pass(lvk_plan *p, const pass *o)
{
    bool first = o->from_bytes == 0, last = o->args.stretches == 1;
    lvk_dispatch d = {.shader = LVK_SHADER_best,
                      .spec = {LOCAL, o->k, first, last},
                      .n_spec = 4,
                      .x = {.times = o->args.stretches},
                      .y = {.rows = o->in.rows, .per = 1, .times = 1},
                      .z = {.times = 1},
                      .bucket_rows = o->in.rows,
                      .args = &o->args,
                      .args_bytes = sizeof o->args};
    if (first || last)
        lvk_reads_slot(&d, &o->in);
    if (!first)
        lvk_reads_scratch(&d, o->from_at, o->from_bytes);
    if (last) {
        lvk_writes_slot(&d, &o->ids);
        lvk_writes_slot(&d, &o->best);
    } else {
        lvk_writes_scratch(&d, o->to_at, o->to_bytes);
    }
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_best(lvk_plan *p, const lm_step *step)
{
    const lm_row_limits *limits = lvk_plan_limits(p);
    const uint32_t most[] = {limits->rows, limits->wanted, limits->seqs};
    pass o = {.in = lvk_plan_slot(p, step->in[0]),
              .ids = lvk_plan_slot(p, step->out[0]),
              .best = lvk_plan_slot(p, step->out[1])};
    o.k = o.ids.width;
    if (o.k > KEYS / 2) /* lists that would not get shorter */
        return lm_fail(LLM_E_UNSUPPORTED, "the device brings home %u values of a row at most",
                       (unsigned)KEYS / 2);
    o.args = (best_args){.values = o.in.address,
                         .ids = o.ids.address,
                         .best = o.best.address,
                         .kind = o.in.rows,
                         .width = o.in.width,
                         .count = o.in.width};
    for (;;) {
        o.args.stretches = (o.args.count + KEYS - 1) / KEYS;
        if (o.args.stretches == 1)
            return plan_pass(p, &o);
        o.to_bytes = (uint64_t)most[o.in.rows] * o.args.stretches * o.k * sizeof(uint64_t);
        o.args.to = lvk_plan_scratch(p, o.to_bytes, &o.to_at);
        LM_TRY(plan_pass(p, &o));
        o.from_at = o.to_at;
        o.from_bytes = o.to_bytes;
        o.args.from = o.args.to;
        o.args.count = o.args.stretches * o.k;
    }
}
