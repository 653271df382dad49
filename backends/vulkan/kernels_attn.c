/* kernels_attn.c - attention: few rows share their splits out to workgroups, many keep them. */
#include "backends/vulkan/kernels.h"

enum {
    LOCAL = 128,
    SPLIT_SLOTS = 512,
    SPLIT_ROWS = 8,
    MAX_PAIRS = 16,
    MAX_K_DIM = 640,
    MAX_V_DIM = 512
};

/* As in shaders/attn.glsl. */
typedef struct attn_args {
    uint64_t queries, to, parts, sinks;
    uint32_t kind, heads, kv_heads, window;
    uint32_t group, page_tokens;
    uint32_t k_offset, k_token, k_head;
    uint32_t v_offset, v_token, v_head;
    uint32_t splits;
    float scale, softcap, alibi;
} attn_args;

typedef struct attention {
    lvk_plan *plan;
    const lm_attn *attn;
    lvk_slot in, out;
    lvk_part keys, values;
    attn_args args;
    uint64_t parts_at, parts_bytes; /* scratch, for ranges */
} attention;

bool lvk_can_attn(const lm_attn *attn)
{
    return attn->k_dim <= MAX_K_DIM && attn->v_dim <= MAX_V_DIM;
}

bool lvk_takes_attn(const lvk_features *f, const lm_network *n, const lm_step *step)
{
    (void)f;
    (void)n;
    return lvk_can_attn(&step->u.attn);
}

static uint32_t tiles(uint32_t count, uint32_t per)
{
    return (count + per - 1) / per;
}

static attention attention_of(lvk_plan *p, const lm_attn *a, const lvk_slot *in,
                              const lvk_slot *out)
{
    attention o = {.plan = p,
                   .attn = a,
                   .in = *in,
                   .out = *out,
                   .keys = lvk_plan_part(p, a->cache, 0),
                   .values = lvk_plan_part(p, a->cache, 1)};
    uint32_t splits = tiles(lvk_plan_context(p), SPLIT_SLOTS), rows = lvk_plan_limits(p)->rows;
    rows = rows < SPLIT_ROWS ? rows : SPLIT_ROWS;
    o.parts_bytes = (uint64_t)rows * a->heads * splits * (a->v_dim + 2) * sizeof(float);
    o.args = (attn_args){.queries = o.in.address,
                         .to = o.out.address,
                         .parts = lvk_plan_scratch(p, o.parts_bytes, &o.parts_at),
                         .sinks = lvk_plan_weight(p, a->sinks).address,
                         .kind = o.in.rows,
                         .heads = a->heads,
                         .kv_heads = a->kv_heads,
                         .window = a->window,
                         .group = o.keys.group,
                         .page_tokens = o.keys.page_tokens,
                         .k_offset = o.keys.offset,
                         .k_token = o.keys.token_stride,
                         .k_head = o.keys.head_stride,
                         .v_offset = o.values.offset,
                         .v_token = o.values.token_stride,
                         .v_head = o.values.head_stride,
                         .splits = splits,
                         .scale = a->scale,
                         .softcap = a->softcap,
                         .alibi = a->alibi};
    return o;
}

static lvk_dispatch start(const attention *o, uint32_t shader)
{
    lvk_dispatch d = {
        .shader = shader,
        .spec = {LOCAL, o->keys.format->id, o->values.format->id, o->attn->k_dim, o->attn->v_dim},
        .n_spec = 5,
        .z = {.times = 1},
        .bucket_rows = o->in.rows,
        .args = &o->args,
        .args_bytes = sizeof o->args};
    return d;
}

/* Queries at work together: as many as share keys, while they fit in 12 KiB of shared memory. */
static uint32_t pairs_of(const lm_attn *a)
{
    uint32_t pairs = MAX_PAIRS;
    while (pairs > 4 && pairs * (a->k_dim + 4) * sizeof(float) > 12288)
        pairs /= 2;
    return pairs;
}

static uint32_t heads_of(const lm_attn *a)
{
    uint32_t heads = 1, most = pairs_of(a);
    while (heads < a->heads / a->kv_heads && heads < most)
        heads *= 2;
    return heads;
}

/* Buckets of from <= rows <= to, in tiles of `rows` rows. */
static int32_t paged(const attention *o, uint32_t rows, bool split, uint32_t from, uint32_t to)
{
    const lm_attn *a = o->attn;
    uint32_t heads = heads_of(a);
    lvk_dispatch d = start(o, LVK_SHADER_attn_paged);
    d.spec[5] = rows;
    d.spec[6] = heads;
    d.spec[7] = split;
    d.n_spec = 8;
    d.x = (lvk_extent){.times = a->kv_heads * tiles(a->heads / a->kv_heads, heads)};
    d.y = (lvk_extent){.rows = o->in.rows, .per = rows, .times = 1};
    d.z = (lvk_extent){.times = split ? o->args.splits : 1};
    d.bucket_from = from;
    d.bucket_to = to;
    d.flops_per_row = 2 * (uint64_t)a->heads * (a->k_dim + a->v_dim) * lvk_plan_context(o->plan);
    lvk_reads_slot(&d, &o->in);
    lvk_reads_part(&d, a->cache, 0);
    lvk_reads_part(&d, a->cache, 1);
    if (split)
        lvk_writes_scratch(&d, o->parts_at, o->parts_bytes);
    else
        lvk_writes_slot(&d, &o->out);
    return lvk_plan_dispatch(o->plan, &d);
}

static int32_t combine(const attention *o)
{
    lvk_dispatch d = start(o, LVK_SHADER_attn_combine);
    d.x = (lvk_extent){.times = o->attn->heads};
    d.y = (lvk_extent){.rows = o->in.rows, .per = 1, .times = 1};
    d.bucket_from = 1;
    d.bucket_to = SPLIT_ROWS;
    lvk_reads_scratch(&d, o->parts_at, o->parts_bytes);
    lvk_writes_slot(&d, &o->out);
    return lvk_plan_dispatch(o->plan, &d);
}

int32_t lvk_plan_attention(lvk_plan *p, const lm_attn *attn, const lvk_slot *in,
                           const lvk_slot *out)
{
    attention o = attention_of(p, attn, in, out);
    uint32_t together = pairs_of(o.attn) / heads_of(o.attn);
    LM_TRY(paged(&o, 1, true, 1, SPLIT_ROWS));
    LM_TRY(combine(&o));
    return paged(&o, together, false, SPLIT_ROWS + 1, 0);
}

int32_t lvk_plan_attn_paged(lvk_plan *p, const lm_step *step)
{
    lvk_slot in = lvk_plan_slot(p, step->in[0]), out = lvk_plan_slot(p, step->out[0]);
    return lvk_plan_attention(p, &step->u.attn, &in, &out);
}
