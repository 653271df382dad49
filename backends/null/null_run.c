/* null_run.c - a run of the null backend. Each row starts as a hash of its token and position;
 * every cache entry a program reads adds a hash of all the tokens the row sees in it, in order,
 * read through the page table. Sums do not care how layers are cut over devices, so neither do the
 * results. */
#include "backends/common/host_best.h"
#include "backends/null/null_device.h"

#include "base/hash.h"

#include <string.h>

static int32_t check_run(const lm_program *p, const lm_run *run)
{
    LM_TRY(lhost_run_check(&p->bounds, run));
    for (uint32_t i = 0; i < run->n_rows; i++)
        if (run->tokens[i] >= 0 && (uint32_t)run->tokens[i] >= p->bounds.network->n_vocab)
            return lm_fail(LLM_E_INVALID, "row %u has token %d of %u", (unsigned)i,
                           (int)run->tokens[i], (unsigned)p->bounds.network->n_vocab);
    return LLM_OK;
}

/* Never zero, which means "never written". */
static uint64_t row_hash(const lm_program *p, const lm_run *run, uint32_t row)
{
    uint64_t h = lm_hash(run->positions + (size_t)row * 4, 4 * sizeof(uint32_t), 7);
    if (run->tokens[row] >= 0)
        h = lm_mix64(h ^ (uint64_t)run->tokens[row]);
    else
        h = lm_hash(run->embeddings + (size_t)row * p->bounds.network->width,
                    p->bounds.network->width * sizeof(float), h);
    return h | 1;
}

/* --- the caches ------------------------------------------------------------------------------- */

static size_t place_of(const lm_cache *c, const lm_run_pages *pages, uint32_t slot)
{
    uint32_t page = pages->pages[slot / c->base.page_tokens - pages->first_page];
    return (size_t)page * c->base.page_tokens + slot % c->base.page_tokens;
}

static int32_t append(const lnull_device *d, const lm_program *p, const lm_run *run, uint32_t group)
{
    lm_cache *c = p->caches[group];
    for (uint32_t row = 0; row < run->n_rows; row++) {
        size_t place = place_of(c, &run->seqs[run->row_seq[row]].groups[group], run->slots[row]);
        if (c->stamps[place] == d->stamp)
            return lm_fail(LLM_E_INVALID,
                           "row %u writes a token of the cache that another row wrote",
                           (unsigned)row);
        c->stamps[place] = d->stamp;
        c->hashes[place] = p->rows[row];
    }
    return LLM_OK;
}

/* All a row sees of a group, in order. */
static int32_t history(const lm_program *p, const lm_run *run, uint32_t group, uint32_t window,
                       uint32_t row, uint64_t *out)
{
    const lm_cache *c = p->caches[group];
    const lm_run_pages *pages = &run->seqs[run->row_seq[row]].groups[group];
    uint32_t first, end;
    lhost_visible(run, row, window, &first, &end);
    *out = 0;
    for (uint32_t slot = first; slot < end; slot++) {
        if (!lhost_sees(run, row, slot))
            continue;
        uint64_t stored = c->hashes[place_of(c, pages, slot)];
        if (stored == 0)
            return lm_fail(LLM_E_INVALID, "row %u sees slot %u, which was never written",
                           (unsigned)row, (unsigned)slot);
        *out = lm_mix64(*out ^ stored);
    }
    return LLM_OK;
}

/* Carries the state of each sequence over its rows; adds it to the rows' sums. */
static int32_t carry_state(const lnull_device *d, const lm_program *p, const lm_run *run,
                           uint32_t group, uint32_t entry, bool write)
{
    lm_cache *c = p->caches[group];
    for (uint32_t s = 0; s < run->n_seqs; s++) {
        const lm_run_seq *seq = &run->seqs[s];
        const lm_run_pages *pages = &seq->groups[group];
        uint64_t state = 0;
        if (pages->state_read != LM_NONE) {
            state = c->hashes[pages->state_read];
            if (state == 0)
                return lm_fail(LLM_E_INVALID, "sequence %u reads state %u, which was never written",
                               (unsigned)s, (unsigned)pages->state_read);
        }
        for (uint32_t row = seq->first_row; row < seq->first_row + seq->n_rows; row++) {
            state = lm_mix64(state ^ p->rows[row]) | 1;
            p->sums[row] += lm_mix64(state ^ lm_mix64(entry));
        }
        if (!write)
            continue;
        if (c->stamps[pages->state_write] == d->stamp)
            return lm_fail(LLM_E_INVALID, "two sequences write state %u",
                           (unsigned)pages->state_write);
        c->stamps[pages->state_write] = d->stamp;
        c->hashes[pages->state_write] = state;
    }
    return LLM_OK;
}

/* No sequence may read a state that another one writes. */
static int32_t check_states(const lm_run *run, uint32_t group)
{
    for (uint32_t a = 0; a < run->n_seqs; a++)
        for (uint32_t b = 0; b < run->n_seqs; b++)
            if (a != b &&
                run->seqs[a].groups[group].state_read == run->seqs[b].groups[group].state_write)
                return lm_fail(
                    LLM_E_INVALID, "sequence %u reads state %u while sequence %u writes it",
                    (unsigned)a, (unsigned)run->seqs[a].groups[group].state_read, (unsigned)b);
    return LLM_OK;
}

/* --- steps that touch caches ------------------------------------------------------------------ */

/* Is there a step behind `at` that touches the same group? */
static bool group_again(const lm_program *p, size_t at, uint32_t group, bool same_entry,
                        uint32_t entry)
{
    for (size_t i = at + 1; i < p->n_steps; i++) {
        uint32_t other = lm_step_cache(&p->steps[i]);
        if (other != LM_NONE && p->bounds.network->caches[other].group == group &&
            (!same_entry || other == entry))
            return true;
    }
    return false;
}

static int32_t add_history(const lm_program *p, const lm_run *run, uint32_t group, uint32_t entry,
                           uint32_t window)
{
    for (uint32_t row = 0; row < run->n_rows; row++) {
        uint64_t seen;
        LM_TRY(history(p, run, group, window, row, &seen));
        p->sums[row] += lm_mix64(seen ^ lm_mix64(entry));
    }
    return LLM_OK;
}

static int32_t touch_cache(const lnull_device *d, const lm_program *p, const lm_run *run, size_t at,
                           bool *appended)
{
    const lm_step *step = &p->steps[at];
    uint32_t entry = lm_step_cache(step);
    if (entry == LM_NONE)
        return LLM_OK;
    uint32_t group = p->bounds.network->caches[entry].group;
    if (p->caches[group]->base.kind == LM_CACHE_STATE) {
        /* Once per entry; the group's one hash is written with its last step. */
        if (group_again(p, at, group, true, entry))
            return LLM_OK;
        return carry_state(d, p, run, group, entry, !group_again(p, at, group, false, 0));
    }
    bool reads = step->kind == LM_STEP_ATTN_PAGED || step->kind == LM_STEP_ATTN_OUT ||
                 step->kind == LM_STEP_MLA_ATTN;
    bool writes = !reads || step->kind == LM_STEP_MLA_ATTN;
    if (writes && !appended[group]) {
        appended[group] = true;
        LM_TRY(append(d, p, run, group));
    }
    if (!reads)
        return LLM_OK;
    uint32_t window = step->kind == LM_STEP_ATTN_PAGED ? step->u.attn.window
                      : step->kind == LM_STEP_ATTN_OUT ? step->u.attn_out.attn.window
                                                       : step->u.mla.attn.window;
    return add_history(p, run, group, entry, window);
}

/* --- slots in and out ------------------------------------------------------------------------- */

static uint32_t rows_of(const lm_program *p, const lm_run *run, uint32_t slot)
{
    const uint32_t rows[] = {run->n_rows, run->n_wanted, run->n_seqs};
    return rows[p->slots[slot].rows];
}

/* The run's row behind row `i` of a slot: a sequence's is its last. */
static uint32_t run_row(const lm_program *p, const lm_run *run, uint32_t slot, uint32_t i)
{
    if (p->slots[slot].rows == LM_ROWS_WANTED)
        return run->wanted[i];
    if (p->slots[slot].rows == LM_ROWS_SEQS)
        return run->seqs[i].first_row + run->seqs[i].n_rows - 1;
    return i;
}

/* Sums arrive in the first eight bytes of a row of any slot that has room for them. */
static void take_inputs(const lm_program *p, const lm_run *run)
{
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        uint32_t slot = p->inputs[i], width = p->slots[slot].width;
        for (uint32_t k = 0; width >= 2 && k < rows_of(p, run, slot); k++)
            memcpy(&p->sums[run_row(p, run, slot, k)], p->values[slot] + (size_t)k * width,
                   sizeof(uint64_t));
    }
}

static float logit(uint64_t sum, uint32_t column)
{
    return (float)(lm_mix64(sum + column) >> 40) * (8.0f / 16777216.0f) - 4.0f;
}

static void give_output(const lm_program *p, const lm_run *run, uint32_t slot)
{
    uint32_t width = p->slots[slot].width;
    for (uint32_t k = 0; k < rows_of(p, run, slot); k++) {
        uint64_t sum = p->sums[run_row(p, run, slot, k)];
        float *row = p->values[slot] + (size_t)k * width;
        for (uint32_t c = 0; c < width; c++) {
            if (p->slots[slot].type == LM_SLOT_I32)
                ((int32_t *)row)[c] = (int32_t)(lm_mix64(sum + c) % p->bounds.network->n_vocab);
            else
                row[c] = logit(sum, c);
        }
        if (slot != p->result && width >= 2)
            memcpy(row, &sum, sizeof sum);
    }
}

/* The best of rows that go out as well are really theirs. */
static void give_best(const lm_program *p, const lm_run *run, const lm_step *step)
{
    const float *in = p->values[step->in[0]];
    int32_t *ids = (int32_t *)(void *)p->values[step->out[0]];
    float *best = p->values[step->out[1]];
    uint32_t n = p->slots[step->in[0]].width, k = p->slots[step->out[0]].width;
    for (size_t i = 0;
         in != NULL && ids != NULL && best != NULL && i < rows_of(p, run, step->in[0]); i++)
        lhost_best(in + i * n, n, k, ids + i * k, best + i * k);
}

int32_t lnull_program_run(lm_device *device, lm_queue *queue, lm_program *program,
                          const lm_run *run)
{
    lnull_device *d = (lnull_device *)device;
    (void)queue;
    LM_TRY(lnull_note(device, LNULL_PROGRAM_RUN, run->n_rows, run->n_seqs, run->n_wanted));
    LM_TRY(check_run(program, run));
    lnull_deliver(d);
    d->stamp++;
    for (uint32_t row = 0; row < run->n_rows; row++)
        program->sums[row] = program->rows[row] = row_hash(program, run, row);
    take_inputs(program, run);
    bool appended[LM_MAX_GROUPS] = {false};
    for (uint32_t g = 0; g < program->bounds.network->n_groups; g++)
        if (program->caches[g] != NULL && program->caches[g]->base.kind == LM_CACHE_STATE)
            LM_TRY(check_states(run, g));
    for (size_t i = 0; i < program->n_steps; i++) {
        if (run->cancel != NULL && atomic_load(run->cancel) != 0)
            return lm_fail(LLM_E_CANCELLED, "cancelled before step %llu", (unsigned long long)i);
        LM_TRY(touch_cache(d, program, run, i, appended));
    }
    for (uint32_t i = 0; i < program->n_outputs; i++)
        give_output(program, run, program->outputs[i]);
    for (size_t i = 0; i < program->n_steps; i++)
        if (program->steps[i].kind == LM_STEP_BEST)
            give_best(program, run, &program->steps[i]);
    return LLM_OK;
}
