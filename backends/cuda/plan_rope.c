/* plan_rope.c - launches of rotations and of the cache's writes. Cosines and sines of a run's rows are
 * worked out once for all steps that rotate alike. */
#include "backends/cuda/plan.h"

#include <string.h>

/* --- tables ----------------------------------------------------------------------------------- */

/* Speeds need the values behind `factors`, which are on the device. */
static int32_t speeds_of(lcu_planner *p, const lm_rope *rope, double *speeds, double *magnitude)
{
    float *factors = NULL;
    size_t bytes = rope->dims / 2 * sizeof *factors;
    int32_t rc = LLM_OK;
    if (rope->factors != LM_NONE) {
        factors = lm_alloc(&p->device->books, bytes);
        if (factors == NULL)
            return LLM_E_MEMORY;
        rc = lcu_download(p->device, factors, lcu_plan_vector(p, rope->factors), bytes);
    }
    if (rc >= 0)
        lm_rope_table(rope, factors, speeds, magnitude);
    lm_free(&p->device->books, factors, bytes);
    return rc;
}

static int32_t make_table(lcu_planner *p, const lm_rope *rope, const float **out)
{
    uint32_t half = rope->dims / 2;
    lcu_rope_table_args a = {.run = p->run, .half = half};
    memcpy(a.sections, rope->sections, sizeof a.sections);
    double *speeds = LM_NEW_ARRAY(&p->device->books, double, half);
    if (speeds == NULL)
        return LLM_E_MEMORY;
    int32_t rc = p->query ? LLM_OK : speeds_of(p, rope, speeds, &a.magnitude);
    if (rc >= 0)
        a.speeds = lcu_plan_table(p, speeds, half * sizeof *speeds);
    lm_free_array(&p->device->books, speeds, half, sizeof *speeds);
    LM_TRY(rc);
    a.table = lcu_plan_kept(p, (uint64_t)p->desc->limits.rows * rope->dims * sizeof(float));
    lcu_launch l = {.kernel = LCU_K_rope_table,
                    .grid = {LCU_PER(LCU_COUNT_ROWS, 1), LCU_BLOCKS(1), LCU_BLOCKS(1)}};
    lcu_emit(p, &l, &a);
    *out = a.table;
    return LLM_OK;
}

/* The table of an earlier step that rotates alike, or a new one. */
int32_t lcu_plan_rope_table(lcu_planner *p, const lm_rope *rope, const float **out)
{
    uint32_t most = sizeof p->rope_tables / sizeof p->rope_tables[0];
    for (uint32_t i = 0; i < p->n_rope_tables; i++) {
        if (memcmp(p->rope_tables[i].rope, rope, sizeof *rope) == 0) {
            *out = p->rope_tables[i].table;
            return LLM_OK;
        }
    }
    LM_TRY(make_table(p, rope, out));
    if (p->n_rope_tables < most) {
        p->rope_tables[p->n_rope_tables].rope = rope;
        p->rope_tables[p->n_rope_tables++].table = *out;
    }
    return LLM_OK;
}

/* --- steps ------------------------------------------------------------------------------------ */

int32_t lcu_plan_rotated(lcu_planner *p, const lm_rope *rope, uint32_t heads, uint32_t head_dim,
                         lcu_slot in, lcu_slot out)
{
    lcu_rope_args a = {.run = p->run,
                       .in = in,
                       .out = out,
                       .style = rope->style,
                       .dims = rope->style == LM_ROPE_NONE ? 0 : rope->dims,
                       .heads = heads,
                       .head_dim = head_dim};
    if (a.dims > 0)
        LM_TRY(lcu_plan_rope_table(p, rope, &a.table));
    lcu_launch l = {
        .kernel = LCU_K_rope,
        .grid = {LCU_PER(a.in.rows, 1), LCU_BLOCKS((a.in.width + 1023) / 1024), LCU_BLOCKS(1)}};
    lcu_emit(p, &l, &a);
    return LLM_OK;
}

int32_t lcu_plan_rope(lcu_planner *p, const lm_step *step)
{
    return lcu_plan_rotated(p, &step->u.rope.rope, step->u.rope.heads, step->u.rope.head_dim,
                            lcu_plan_slot(p, step->in[0]), lcu_plan_slot(p, step->out[0]));
}

void lcu_plan_stored(lcu_planner *p, uint32_t cache, lcu_slot keys, lcu_slot values)
{
    const lm_cache_entry *e = &p->desc->network->caches[cache];
    lcu_append_args a = {.run = p->run, .in = {keys, values}, .cache = lcu_plan_cache(p, cache)};
    lcu_launch l = {.kernel = LCU_K_append,
                    .grid = {LCU_PER(LCU_COUNT_ROWS, 1), LCU_BLOCKS(e->kv_heads),
                             LCU_BLOCKS(values.width == 0 ? 1 : 2)}};
    lcu_emit(p, &l, &a);
}

int32_t lcu_plan_append(lcu_planner *p, const lm_step *step)
{
    lcu_plan_stored(p, step->u.append.cache, lcu_plan_slot(p, step->in[0]),
                    lcu_plan_slot(p, step->in[1]));
    return LLM_OK;
}
