/* test_latent.c - mla_attn, lowered, against what transformers' DeepseekV3Attention gives for the same weights
 * and inputs (latent_values.h): queries made directly and by way of a low rank, on ref and cpu, at once and
 * token by token. */
#include "backend/rig.h"
#include "step/latent_values.h"

#include "base/hash.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 32, HEADS = 3, PLAIN = 12, ROTATED = 8, LATENT = 24, VALUE = 10, LOW = 20 };
enum { TOKENS = 6 };
enum { Q_DOWN = 1, Q_UP, KV_DOWN, KV_UP, OUT, Q_NORM, KV_NORM, INPUT }; /* tensors there */

static float number(uint32_t tensor, size_t i)
{
    uint64_t bits = lm_mix64((uint64_t)tensor << 32 | i) >> 11;
    return (float)((double)bits * 0x1p-53 * 2 - 1);
}

static void put(rig_model *m, uint32_t w, size_t i, float value)
{
    m->values[w][i] = value;
    memcpy((char *)m->data[w] + i * sizeof value, &value, sizeof value);
}

static lm_linear linear(rig_model *m, uint32_t tensor, uint32_t rows, uint32_t cols)
{
    uint32_t w = rig_matrix(m, LM_F32, rows, cols);
    for (size_t i = 0; i < (size_t)rows * cols; i++)
        put(m, w, i, number(tensor, i));
    return (lm_linear){w, LM_NONE, LM_NONE, 0};
}

static lm_norm norm(rig_model *m, uint32_t tensor, uint32_t count)
{
    uint32_t w = rig_vector(m, count, 0, 1);
    for (size_t i = 0; i < count; i++)
        put(m, w, i, 1 + number(tensor, i) / 4);
    return (lm_norm){
        .kind = LM_NORM_RMS, .weight = w, .bias = LM_NONE, .group = count, .eps = 1e-6f};
}

/* There both are one matrix: per head rows of keys, then of values, times the latent vector. */
static lm_linear k_up(rig_model *m)
{
    uint32_t w = rig_weight(m, LM_F32, LATENT, PLAIN, HEADS, LM_USE_MATMUL, 0, 1);
    for (size_t h = 0; h < HEADS; h++)
        for (size_t i = 0; i < LATENT; i++)
            for (size_t j = 0; j < PLAIN; j++)
                put(m, w, (h * LATENT + i) * PLAIN + j,
                    number(KV_UP, (h * (PLAIN + VALUE) + j) * LATENT + i));
    return (lm_linear){w, LM_NONE, LM_NONE, 0};
}

static lm_linear v_up(rig_model *m)
{
    uint32_t w = rig_weight(m, LM_F32, VALUE, LATENT, HEADS, LM_USE_MATMUL, 0, 1);
    for (size_t h = 0; h < HEADS; h++)
        for (size_t j = 0; j < VALUE; j++)
            for (size_t i = 0; i < LATENT; i++)
                put(m, w, (h * VALUE + j) * LATENT + i,
                    number(KV_UP, (h * (PLAIN + VALUE) + PLAIN + j) * LATENT + i));
    return (lm_linear){w, LM_NONE, LM_NONE, 0};
}

/* Inputs come from a table, by token. */
static uint32_t input(rig_model *m)
{
    uint32_t x = rig_slot(m, WIDTH), w = rig_weight(m, LM_F32, 96, WIDTH, 1, LM_USE_GATHER, 0, 1);
    lm_step embed = rig_make(LM_STEP_EMBED, LM_NONE, LM_NONE, x);
    embed.u.embed.source = LM_EMBED_POSITIONS;
    embed.u.embed.weight = w;
    for (size_t i = 0; i < (size_t)TOKENS * WIDTH; i++)
        put(m, w, i, number(INPUT, i));
    rig_step(m, &embed);
    return x;
}

static void build(rig_model *m, bool low)
{
    rig_model_init(m, 5);
    uint32_t x = input(m), out = rig_slot(m, WIDTH);
    uint32_t group = lm_build_group(&m->b, LM_CACHE_LATENT, 0);
    uint32_t cache = lm_build_kv(&m->b, group, 1, LATENT + ROTATED, LATENT);
    lm_step s = rig_make(LM_STEP_MLA_ATTN, x, LM_NONE, out);
    s.u.mla.q_down = low ? linear(m, Q_DOWN, LOW, WIDTH) : lm_linear_absent();
    s.u.mla.q_norm = low ? norm(m, Q_NORM, LOW) : lm_norm_absent();
    s.u.mla.q_up = linear(m, Q_UP, HEADS * (PLAIN + ROTATED), low ? LOW : WIDTH);
    s.u.mla.kv_down = linear(m, KV_DOWN, LATENT + ROTATED, WIDTH);
    s.u.mla.kv_norm = norm(m, KV_NORM, LATENT);
    s.u.mla.k_up = k_up(m);
    s.u.mla.v_up = v_up(m);
    s.u.mla.out = linear(m, OUT, WIDTH, HEADS * VALUE);
    s.u.mla.rope = (lm_rope){.style = LM_ROPE_PAIRS,
                             .dims = ROTATED,
                             .base = 10000,
                             .freq_scale = 1,
                             .factors = LM_NONE};
    s.u.mla.attn = (lm_attn){.cache = cache,
                             .heads = HEADS,
                             .kv_heads = 1,
                             .k_dim = LATENT + ROTATED,
                             .v_dim = LATENT,
                             .scale = 1 / sqrtf(PLAIN + ROTATED),
                             .sinks = LM_NONE};
    rig_step(m, &s);
    rig_output(m, out);
}

/* Both sum in float32, in other orders; weights of the size of 1 make sums of some tens. */
#define TOLERANCE 3e-6

static void compare(const rig *r, bool low, uint32_t chunk)
{
    double worst = 0, largest = 0;
    for (uint32_t t = 0; t < TOKENS; t++) {
        const float *got = rig_row(r, 0, 0, t);
        for (uint32_t c = 0; c < WIDTH; c++) {
            double wanted = (double)latent_values[low][t][c], difference = fabs(got[c] - wanted);
            worst = difference <= worst ? worst : difference; /* a NaN stays */
            largest = fmax(largest, fabs(wanted));
        }
    }
    if (!(worst <= TOLERANCE * largest))
        fail_msg("%s, %s queries, chunks of %u: off by %.1e of the largest value", r->o.backend,
                 low ? "low-rank" : "direct", (unsigned)chunk, worst / largest);
}

static void test_latent__as_transformers(void **state)
{
    static const uint32_t lengths[RIG_SEQS] = {TOKENS}, chunks[] = {TOKENS, 4, 1};
    static const char *const backends[] = {"ref", "cpu"};
    (void)state;
    for (uint32_t i = 0; i < 12; i++) {
        bool low = i % 2 != 0;
        rig_model m;
        rig r;
        build(&m, low);
        rig_open(&r, &m, &(rig_options){.backend = backends[i / 2 % 2], .page_tokens = 16});
        rig_feed(&r, lengths, chunks[i / 4], true);
        compare(&r, low, chunks[i / 4]);
        rig_close(&r);
        rig_model_finish(&m);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_latent__as_transformers)};
    return cmocka_run_group_tests_name("latent", tests, NULL, NULL);
}
