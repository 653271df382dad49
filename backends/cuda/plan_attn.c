/* plan_attn.c - launches of attention. Few rows share out the splits of their slots, many walk them;
 * with fast numerics sequences that bring many rows go to the tensor cores (attn_prompt.cu, attn_wide.cu). */
#include "backends/cuda/plan.h"

#define SPLIT_ROWS   16u  /* up to so many rows share out their splits: scratch grows with them */
#define SPLIT_HEADS  512u /* and no more than so many heads of rows */
#define PROMPT_ROWS  16u  /* of one sequence */
#define PROMPT_TILE  64u  /* queries, slots */
#define WIDE_QUERIES 128u /* of a block of attn_wide.cu */
#define SHARED_BYTES (99u * 1024u - LCU_SHARED_OWN) /* that every card has */
#define LEAST_BYTES  4096u                          /* of a tile of keys, used for more */
#define MOST_V_DIM   512u
#define LATENT_ROWS  32u  /* up to so many share out their slots */
#define LATENT_PARTS 256u /* blocks that these make, about */

static const struct {
    uint32_t heads, walk, split;
} packs[4] = {{1, LCU_K_attn_walk_1, LCU_K_attn_split_1},
              {2, LCU_K_attn_walk_2, LCU_K_attn_split_2},
              {4, LCU_K_attn_walk_4, LCU_K_attn_split_4},
              {8, LCU_K_attn_walk_8, LCU_K_attn_split_8}};

static const struct {
    uint32_t dim, kernel;
} prompts[3] = {
    {64, LCU_K_attn_prompt_64}, {128, LCU_K_attn_prompt_128}, {256, LCU_K_attn_prompt_256}};

/* By warpgroups, for caches of F16 and BF16. */
static const uint32_t wide[3][2] = {{LCU_K_attn_wide_64_f16, LCU_K_attn_wide_64_bf16},
                                    {LCU_K_attn_wide_128_f16, LCU_K_attn_wide_128_bf16},
                                    {LCU_K_attn_wide_256_f16, LCU_K_attn_wide_256_bf16}};

static uint32_t align(uint32_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

/* Chooses the tile; answers the shared memory. Strides are not known in a query, nor wanted. */
static uint32_t fit_tile(lcu_attn_args *a, uint32_t heads)
{
    uint32_t k = LCU_TILE_STRIDE((uint32_t)a->cache.parts[0].head_bytes);
    uint32_t v = LCU_TILE_STRIDE((uint32_t)a->cache.parts[1].head_bytes);
    uint32_t fixed = align(heads * (LCU_WHOLE_8(a->k_dim) + a->v_dim) * (uint32_t)sizeof(float));
    uint32_t all;
    a->tile = 128;
    do {
        a->tile /= 2;
        a->key_bytes = align(a->tile * k);
        a->key_bytes = a->key_bytes < LEAST_BYTES ? LEAST_BYTES : a->key_bytes;
        all = fixed + a->key_bytes + (a->cache.latent ? 0 : a->tile * v);
    } while (all > SHARED_BYTES && a->tile > 16);
    return all;
}

static void plan_prompt(lcu_planner *p, lcu_attn_args *a)
{
    uint32_t group = a->heads / a->kv_heads, i = 0, widest = 0;
    while (prompts[i].dim < a->v_dim)
        i++;
    while (prompts[widest].dim < a->k_dim || widest < i)
        widest++;
    for (a->pack = 1; a->pack < group && a->pack < PROMPT_TILE / 4;)
        a->pack *= 2;
    uint32_t sets = (group + a->pack - 1) / a->pack, format = a->cache.parts[0].format;
    lcu_launch l = {.kernel = prompts[i].kernel,
                    .grid = {LCU_BLOCKS(a->kv_heads * sets),
                             LCU_PER(LCU_COUNT_ROWS, PROMPT_TILE / a->pack), LCU_BLOCKS(1)},
                    .shared_bytes = PROMPT_TILE * (2 * (a->k_dim * 2 + 16) + a->v_dim * 2 + 16),
                    .ladder = LCU_COUNT_ROWS,
                    .from = PROMPT_ROWS,
                    .to = UINT32_MAX};
    if (lcu_plan_hopper(p) && (format == LM_F16 || format == LM_BF16) &&
        a->cache.parts[1].format == format) {
        l.kernel = wide[widest][format == LM_BF16];
        l.grid[1] = LCU_PER(LCU_COUNT_ROWS, WIDE_QUERIES / a->pack);
        l.shared_bytes = LCU_ATTN_WIDE_BYTES(prompts[widest].dim);
    }
    a->prompt_rows = PROMPT_ROWS;
    lcu_emit(p, &l, a);
}

static bool takes_prompt(const lcu_planner *p, const lcu_attn_args *a)
{
    return p->desc->numerics == LM_NUMERICS_FAST && a->in.rows == LM_ROWS_ALL &&
           p->desc->limits.rows >= PROMPT_ROWS && a->k_dim % 16 == 0 && a->v_dim % 16 == 0 &&
           a->k_dim <= 256 && a->v_dim <= 256 &&
           PROMPT_TILE * (2 * (a->k_dim * 2 + 16) + a->v_dim * 2 + 16) + LCU_SHARED_OWN <=
               p->device->properties.shared_bytes;
}

/* Over latent entries: 64 queries at once where shared memory allows and there are heads for more than
 * 16, and for the tokens of prompts. */
static const uint32_t latent[2][2] = {{LCU_K_attn_latent_16_f16, LCU_K_attn_latent_64_f16},
                                      {LCU_K_attn_latent_16_bf16, LCU_K_attn_latent_64_bf16}};

static uint32_t latent_bytes(const lcu_attn_args *a, uint32_t queries)
{
    return (queries + 2 * LCU_LATENT_SLOTS) * LCU_LATENT_STRIDE(a->k_dim);
}

static bool latent_fits(const lcu_planner *p, const lcu_attn_args *a, uint32_t queries)
{
    return latent_bytes(a, queries) + LCU_SHARED_OWN <= p->device->properties.shared_bytes;
}

static bool takes_latent(const lcu_planner *p, const lcu_attn_args *a, bool is_latent)
{
    return is_latent && p->desc->numerics == LM_NUMERICS_FAST && a->in.rows == LM_ROWS_ALL &&
           a->k_dim % 8 == 0 && a->v_dim % 16 == 0 && latent_fits(p, a, 16);
}

static lcu_launch latent_launch(const lcu_planner *p, lcu_attn_args *a, bool many)
{
    uint32_t queries = many && latent_fits(p, a, 64) ? 64 : 16;
    lcu_launch l = {.kernel = latent[a->cache.parts[0].format == LM_BF16][queries == 64],
                    .shared_bytes = latent_bytes(a, queries),
                    .ladder = LCU_COUNT_ROWS};
    a->pack = queries;
    return l;
}

/* Rows from..to, each shared out among blocks, then joined. */
static void plan_latent_parts(lcu_planner *p, lcu_attn_args *a, uint32_t from, uint32_t to)
{
    lcu_launch l = latent_launch(p, a, a->heads > 16);
    uint32_t sets = (a->heads + a->pack - 1) / a->pack, parts = LATENT_PARTS / (sets * to);
    uint32_t most = (p->desc->context + 4 * LCU_LATENT_SLOTS - 1) / (4 * LCU_LATENT_SLOTS);
    parts = parts < most ? parts : most;
    a->max_splits = parts < 2 ? 2 : parts;
    a->partial = lcu_plan_scratch(p, (uint64_t)to * a->heads * a->max_splits * (a->v_dim + 2) *
                                         sizeof(float));
    l.grid[0] = LCU_BLOCKS(sets);
    l.grid[1] = LCU_PER(LCU_COUNT_ROWS, 1);
    l.grid[2] = LCU_BLOCKS(a->max_splits);
    l.from = from;
    l.to = to;
    lcu_emit(p, &l, a);
    lcu_launch join = {.kernel = LCU_K_attn_latent_join,
                       .grid = {LCU_BLOCKS(a->heads), LCU_PER(LCU_COUNT_ROWS, 1), LCU_BLOCKS(1)},
                       .ladder = LCU_COUNT_ROWS,
                       .from = from,
                       .to = to};
    lcu_emit(p, &join, a);
}

static void plan_latent(lcu_planner *p, lcu_attn_args *a)
{
    uint32_t limit = lcu_plan_rows(p, LM_ROWS_ALL);
    uint64_t scratch = p->scratch_used; /* one launch's parts at a time */
    for (uint32_t from = 1, to = 1; to <= LATENT_ROWS && from <= limit; from = to + 1, to *= 2) {
        p->scratch_used = scratch;
        plan_latent_parts(p, a, from, to);
    }
    if (limit <= LATENT_ROWS)
        return;
    lcu_launch l = latent_launch(p, a, true);
    uint32_t queries = a->pack;
    for (a->pack = 1; a->pack < a->heads && a->pack < queries;)
        a->pack *= 2;
    a->max_splits = 1;
    l.grid[0] = LCU_BLOCKS((a->heads + a->pack - 1) / a->pack);
    l.grid[1] = LCU_PER(LCU_COUNT_ROWS, queries / a->pack);
    l.grid[2] = LCU_BLOCKS(1);
    l.from = LATENT_ROWS + 1;
    l.to = UINT32_MAX;
    lcu_emit(p, &l, a);
}

static void plan_rows(lcu_planner *p, lcu_attn_args *a)
{
    uint32_t group = a->heads / a->kv_heads, i = 0;
    while (i < 3 && packs[i].heads < group)
        i++;
    uint32_t sets = a->kv_heads * ((group + packs[i].heads - 1) / packs[i].heads);
    uint32_t limit = lcu_plan_rows(p, a->in.rows), most = SPLIT_ROWS;
    while (most > 1 && most * a->heads > SPLIT_HEADS)
        most /= 2;
    uint64_t rows = limit < most ? limit : most;
    a->max_splits = (p->desc->context + LCU_ATTN_SPLIT - 1) / LCU_ATTN_SPLIT;
    a->partial =
        lcu_plan_scratch(p, rows * a->heads * a->max_splits * (a->v_dim + 2) * sizeof(float));
    a->counters = lcu_plan_kept(p, rows * sets * sizeof(uint32_t));
    lcu_launch l = {.kernel = packs[i].split,
                    .grid = {LCU_BLOCKS(sets), LCU_PER(a->in.rows, 1),
                             LCU_PER(LCU_COUNT_LENGTH, LCU_ATTN_SPLIT)},
                    .shared_bytes = fit_tile(a, packs[i].heads),
                    .ladder = a->in.rows,
                    .from = 1,
                    .to = most};
    lcu_emit(p, &l, a);
    l.kernel = packs[i].walk;
    l.grid[2] = LCU_BLOCKS(1);
    l.from = most + 1;
    l.to = UINT32_MAX;
    if (limit > most)
        lcu_emit(p, &l, a);
}

int32_t lcu_plan_attention(lcu_planner *p, const lm_attn *at, lcu_slot in, lcu_slot out)
{
    lcu_attn_args a = {.run = p->run,
                       .in = in,
                       .out = out,
                       .cache = lcu_plan_cache(p, at->cache),
                       .heads = at->heads,
                       .kv_heads = at->kv_heads,
                       .k_dim = at->k_dim,
                       .v_dim = at->v_dim,
                       .window = at->window,
                       .scale = at->scale,
                       .softcap = at->softcap,
                       .alibi = at->alibi,
                       .sinks = lcu_plan_vector(p, at->sinks)};
    if (at->v_dim > MOST_V_DIM)
        return lm_fail(LLM_E_UNSUPPORTED, "attention over heads of %u values; CUDA takes %u",
                       (unsigned)at->v_dim, (unsigned)MOST_V_DIM);
    uint32_t group = p->desc->network->caches[at->cache].group;
    bool is_latent = p->desc->network->groups[group].kind == LM_CACHE_LATENT;
    if (takes_latent(p, &a, is_latent)) {
        plan_latent(p, &a);
        return LLM_OK;
    }
    if (takes_prompt(p, &a) && !is_latent)
        plan_prompt(p, &a);
    plan_rows(p, &a);
    return LLM_OK;
}

int32_t lcu_plan_attn(lcu_planner *p, const lm_step *step)
{
    return lcu_plan_attention(p, &step->u.attn, lcu_plan_slot(p, step->in[0]),
                              lcu_plan_slot(p, step->out[0]));
}
