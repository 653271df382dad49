/* test_ref.c - the reference backend against plain formulas: every case of the shared suite, fed in
 * a mixture of runs, must agree with what the formulas say of the whole sequence. */
#include "backend/cases.h"
#include "backend/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Values are rounded to f32 (6e-8) between steps; a whole model has some fifty of them in a row. */
static double tolerance(const rig_case *c)
{
    return c->kind == LM_STEP_HEAD ? 2e-6 : c->kind == LM_STEP_SCAN_STATE ? 2e-6 : 4e-7;
}

static void compare_row(const rig *r, const oracle *o, uint32_t output, uint32_t position,
                        double *worst, double *largest)
{
    uint32_t slot = r->m->outputs[output].slot;
    const float *got = rig_row(r, output, o->seq, position);
    const double *wanted = oracle_row(o, slot, position);
    for (uint32_t c = 0; c < r->m->graph.slots[slot].width; c++) {
        int32_t id;
        memcpy(&id, &got[c], sizeof id);
        double value = r->m->graph.slots[slot].type == LM_SLOT_I32 ? id : got[c];
        double difference = fabs(value - wanted[c]);
        *largest = fmax(*largest, fabs(wanted[c]));
        *worst = difference <= *worst ? *worst : difference; /* a NaN stays */
    }
}

static void compare(const rig *r, const rig_case *c)
{
    for (uint32_t output = 0; output < r->m->n_outputs; output++) {
        double worst = 0, largest = 0;
        uint32_t rows = 0;
        for (uint32_t s = 0; s < r->o.n_seqs; s++) {
            if (r->seqs[s].length == 0)
                continue;
            oracle o;
            oracle_open(&o, r->m, s, r->seqs[s].length);
            for (uint32_t p = 0; p < r->seqs[s].length; p++) {
                if (!r->seqs[s].have[output][p])
                    continue;
                compare_row(r, &o, output, p, &worst, &largest);
                rows++;
            }
            oracle_close(&o);
        }
        assert_true(rows > 0 && largest > 0);
        if (!(worst <= tolerance(c) * largest))
            fail_msg("%s, output %u: difference %g where %g is allowed", c->name, (unsigned)output,
                     worst / largest, tolerance(c));
    }
}

static void formula(void **state)
{
    static const uint32_t whole[RIG_SEQS] = {33, 1, 20, 5};
    const rig_case *c = *state;
    rig_model m;
    rig r;
    rig_model_init(&m, 51);
    c->build(&m, c->variant);
    rig_options o = {.backend = "ref", .page_tokens = 16, .shuffle = 9, .free_pages = true};
    rig_open(&r, &m, &o);
    if (c->whole)
        rig_feed(&r, whole, 80, true);
    else
        rig_feed_mixed(&r);
    compare(&r, c);
    rig_close(&r);
    rig_model_finish(&m);
}

int main(void)
{
    size_t count = 0;
    while (case_at(count) != NULL)
        count++;
    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){.name = case_at(i)->name,
                                       .test_func = formula,
                                       .initial_state = (void *)(uintptr_t)case_at(i)};
    int failed = _cmocka_run_group_tests("ref", tests, count, NULL, NULL);
    free(tests);
    return failed;
}
