/* kernels_expert.c - multiplications by the experts that each row has chosen: few rows ask their experts
 * one by one, many are sorted, so that each expert's weights are read once for all its rows. */
#include "backends/vulkan/kernels.h"

enum { SORT_LOCAL = 256, MAX_EXPERTS = 4096 };

/* As in shaders/expert_sort.comp. */
typedef struct sort_args {
    uint64_t ids, order;
    uint32_t kind, used, max_tiles, padding;
} sort_args;

bool lvk_takes_linear_expert(const lvk_features *f, const lm_network *n, const lm_step *step)
{
    (void)f;
    return n->weights[step->u.expert.linear.weight].experts <= MAX_EXPERTS;
}

uint32_t lvk_order_tiles(const lvk_order *order, uint32_t rows)
{
    return (rows * order->used + LVK_EXPERT_TILE - 1) / LVK_EXPERT_TILE + order->experts;
}

int32_t lvk_plan_order(lvk_plan *p, const lvk_slot *ids, uint32_t used, uint32_t experts,
                       lvk_order *out)
{
    uint32_t limit = lvk_plan_limits(p)->rows;
    *out = (lvk_order){.used = used, .experts = experts};
    if (limit <= LVK_VEC_ROWS)
        return LLM_OK;
    uint32_t tiles = lvk_order_tiles(out, limit);
    out->bytes = sizeof(uint32_t) * (1 + 3 * (uint64_t)tiles + (uint64_t)limit * used);
    out->address = lvk_plan_scratch(p, out->bytes, &out->at);
    sort_args args = {.ids = ids->address,
                      .order = out->address,
                      .kind = ids->rows,
                      .used = used,
                      .max_tiles = tiles};
    lvk_dispatch d = {.shader = LVK_SHADER_expert_sort,
                      .spec = {SORT_LOCAL, LVK_EXPERT_TILE, experts + 1},
                      .n_spec = 3,
                      .x = {.times = 1},
                      .y = {.times = 1},
                      .z = {.times = 1},
                      .bucket_rows = ids->rows,
                      .bucket_from = LVK_VEC_ROWS + 1,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, ids);
    lvk_writes_scratch(&d, out->at, out->bytes);
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_linear_expert(lvk_plan *p, const lm_step *step)
{
    const lm_linear *linear = &step->u.expert.linear;
    lvk_product product = {.in = lvk_plan_slot(p, step->in[0]),
                           .linear = {linear},
                           .out = {lvk_plan_slot(p, step->out[0])},
                           .n_parts = 1,
                           .mode = LVK_EXPERTS,
                           .ids = lvk_plan_slot(p, step->in[1]),
                           .own_input = step->u.expert.per_expert_input};
    uint32_t experts = lvk_plan_weight(p, linear->weight).experts;
    LM_TRY(lvk_plan_order(p, &product.ids, step->u.expert.used, experts, &product.order));
    return lvk_plan_product(p, &product);
}
