/* test_slots.c - memory of slots on random graphs: played step by step, every value read is the one
 * that was written. */
#include "support/support.h"

#include "step/network.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 40
#define STEPS 60
#define UNIT                                                                                       \
    LM_ALIGN /* places are multiples of LM_ALIGN; the model of the memory has a cell for each \
                   */

typedef struct world {
    test_memory memory;
    lm_graph graph;
    lm_step steps[STEPS];
    lm_slot_info slots[SLOTS];
    lm_slot_place places[SLOTS];
    uint32_t kept[SLOTS];
    size_t n_kept;
    lm_row_limits limits;
    uint64_t workspace;
    uint32_t *cells; /* which slot's value lies there */
    bool written[SLOTS];
} world;

/* Inputs are what was written before or comes from outside; outputs are fresh or in place. */
static void make_graph(world *w, uint64_t *random, uint32_t n_outside)
{
    uint32_t next = n_outside;
    w->graph = (lm_graph){.steps = w->steps, .slots = w->slots, .n_slots = SLOTS};
    for (uint32_t i = 0; i < SLOTS; i++)
        w->slots[i] = (lm_slot_info){1 + (uint32_t)(test_random(random) % 200),
                                     (uint8_t)(test_random(random) % 3), LM_SLOT_F32};
    for (w->graph.n_steps = 0; w->graph.n_steps < STEPS && next + 2 < SLOTS; w->graph.n_steps++) {
        lm_step *s = &w->steps[w->graph.n_steps];
        memset(s, 0, sizeof *s);
        for (uint32_t k = 0; k < LM_STEP_INS; k++)
            s->in[k] = next == 0 || test_random(random) % 3 == 0
                           ? LM_NONE
                           : (uint32_t)(test_random(random) % next);
        for (uint32_t k = 0; k < LM_STEP_OUTS; k++)
            s->out[k] = test_random(random) % 4 == 0                          ? LM_NONE
                        : test_random(random) % 4 == 0 && s->in[k] != LM_NONE ? s->in[k]
                                                                              : next++;
    }
    w->n_kept = 0;
    for (uint32_t i = 0; i < SLOTS; i++)
        if (test_random(random) % 8 == 0)
            w->kept[w->n_kept++] = i;
    w->limits = (lm_row_limits){1 + (uint32_t)(test_random(random) % 50), 5, 3};
}

static uint64_t bytes_of(const world *w, uint32_t slot)
{
    const uint32_t rows[] = {w->limits.rows, w->limits.wanted, w->limits.seqs};
    return (uint64_t)rows[w->slots[slot].rows] * w->slots[slot].width * 4;
}

static void put(world *w, uint32_t slot)
{
    const lm_slot_place *p = &w->places[slot];
    assert_true(p->offset != UINT64_MAX && p->offset % LM_ALIGN == 0);
    assert_true(p->bytes >= bytes_of(w, slot) && p->offset + p->bytes <= w->workspace);
    for (uint64_t at = p->offset / UNIT; at < (p->offset + p->bytes + UNIT - 1) / UNIT; at++)
        w->cells[at] = slot;
    w->written[slot] = true;
}

static void want(const world *w, uint32_t slot, size_t step)
{
    const lm_slot_place *p = &w->places[slot];
    for (uint64_t at = p->offset / UNIT; at < (p->offset + p->bytes + UNIT - 1) / UNIT; at++)
        if (w->cells[at] != slot)
            fail_msg("step %u reads slot %u where slot %u was written over it", (unsigned)step,
                     (unsigned)slot, (unsigned)w->cells[at]);
}

static bool used(const world *w, uint32_t slot)
{
    for (size_t i = 0; i < w->graph.n_steps; i++) {
        const lm_step *s = &w->steps[i];
        for (uint32_t k = 0; k < LM_STEP_INS; k++)
            if (s->in[k] == slot)
                return true;
        for (uint32_t k = 0; k < LM_STEP_OUTS; k++)
            if (s->out[k] == slot)
                return true;
    }
    return false;
}

static void play(world *w, uint32_t n_outside)
{
    memset(w->written, 0, sizeof w->written);
    for (uint32_t i = 0; i < n_outside; i++)
        if (used(w, i))
            put(w, i);
    for (size_t i = 0; i < w->graph.n_steps; i++) {
        const lm_step *s = &w->steps[i];
        for (uint32_t k = 0; k < LM_STEP_INS; k++)
            if (s->in[k] != LM_NONE)
                want(w, s->in[k], i);
        for (uint32_t k = 0; k < LM_STEP_OUTS; k++)
            if (s->out[k] != LM_NONE)
                put(w, s->out[k]);
        /* both outputs and all inputs of a step exist at once */
        for (uint32_t k = 0; k < LM_STEP_OUTS; k++)
            if (s->out[k] != LM_NONE)
                want(w, s->out[k], i);
        for (uint32_t k = 0; k < LM_STEP_INS; k++)
            if (s->in[k] != LM_NONE)
                want(w, s->in[k], i);
    }
    for (size_t i = 0; i < w->n_kept; i++)
        if (w->written[w->kept[i]])
            want(w, w->kept[i], w->graph.n_steps);
}

static int32_t place(world *w)
{
    return lm_slots_place(&w->memory.alloc, &w->graph, w->steps, w->graph.n_steps, w->kept,
                          w->n_kept, &w->limits, w->places, &w->workspace);
}

static void test_slots__never_overlap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        static world w;
        uint64_t random = seed, sum = 0;
        uint32_t n_outside = (uint32_t)(seed % 4);
        test_memory_init(&w.memory);
        make_graph(&w, &random, n_outside);
        assert_ok(place(&w));
        for (uint32_t i = 0; i < SLOTS; i++) {
            assert_true(used(&w, i) == (w.places[i].offset != UINT64_MAX));
            sum += used(&w, i) ? w.places[i].bytes : 0;
        }
        assert_true(w.workspace <= sum);
        w.cells = calloc((size_t)(w.workspace / UNIT + 1), sizeof *w.cells);
        assert_non_null(w.cells);
        play(&w, n_outside);
        free(w.cells);
        test_memory_check(&w.memory);
    }
}

/* A chain of steps needs two places however long it is. */
static void test_slots__reuse(void **state)
{
    static world w;
    (void)state;
    test_memory_init(&w.memory);
    w.limits = (lm_row_limits){4, 1, 1};
    w.graph =
        (lm_graph){.steps = w.steps, .slots = w.slots, .n_slots = SLOTS, .n_steps = SLOTS - 1};
    for (uint32_t i = 0; i < SLOTS; i++)
        w.slots[i] = (lm_slot_info){16, LM_ROWS_ALL, LM_SLOT_F32};
    for (uint32_t i = 0; i + 1 < SLOTS; i++)
        w.steps[i] = (lm_step){.in = {i, LM_NONE, LM_NONE}, .out = {i + 1, LM_NONE}};
    w.n_kept = 0;
    assert_ok(place(&w));
    assert_int_equal(w.workspace, 2 * 4 * 16 * 4);
    /* but a slot that is kept has one for itself */
    w.kept[w.n_kept++] = 7;
    assert_ok(place(&w));
    assert_int_equal(w.workspace, 3 * 4 * 16 * 4);
    test_memory_check(&w.memory);
}

static void test_slots__refused_memory(void **state)
{
    static world w;
    uint64_t random = 1;
    (void)state;
    test_memory_init(&w.memory);
    make_graph(&w, &random, 0);
    w.memory.fail_at = 1;
    assert_status(place(&w), LLM_E_MEMORY);
    test_memory_check(&w.memory);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots__never_overlap),
        cmocka_unit_test(test_slots__reuse),
        cmocka_unit_test(test_slots__refused_memory),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
