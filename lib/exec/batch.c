/* batch.c - rows of several sequences become one run; its results go back to their owners. */
#include "exec/engine.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

/* --- the queue -------------------------------------------------------------------------------- */

static void enqueue(lm_engine *e, lm_work *w)
{
    w->next = NULL;
    w->finished = false;
    w->status.code = LLM_OK;
    if (e->first == NULL)
        e->first = w;
    else
        e->last->next = w;
    e->last = w;
}

static void finish(lm_work *w, int32_t code)
{
    w->finished = true;
    w->status.code = code;
    if (code < 0)
        memcpy(w->status.message, lm_message(), sizeof w->status.message);
}

static bool cancelled(const lm_work *w)
{
    return w->cancel != NULL && *w->cancel != 0;
}

static uint32_t outputs_of(const lm_work *w)
{
    return w->outputs == LM_OUTPUT_ALL ? w->n_rows : w->outputs == LM_OUTPUT_LAST ? 1 : 0;
}

/* --- assembling ------------------------------------------------------------------------------- */

static void add_rows(lm_engine *e, const lm_work *w)
{
    lm_batch *b = &e->batch;
    lm_run *r = &b->run;
    const lm_seq *s = w->seq;
    uint32_t width = e->network->width, next_embedding = 0;
    for (uint32_t i = 0; i < w->n_rows; i++) {
        uint32_t row = r->n_rows + i, slot = s->length + i;
        b->tokens[row] = w->tokens[i];
        b->slots[row] = slot;
        b->row_seq[row] = r->n_seqs;
        b->visible_end[row] = e->network->causal ? slot + 1 : s->length + w->n_rows;
        for (uint32_t axis = 0; axis < 4; axis++)
            b->positions[(size_t)row * 4 + axis] = axis < 3 ? slot : 0;
        if (w->tokens[i] < 0) {
            memcpy(b->embeddings + (size_t)row * width,
                   w->embeddings + (size_t)next_embedding++ * width, width * sizeof(float));
            r->embeddings = b->embeddings;
        }
        if (w->outputs == LM_OUTPUT_ALL || (w->outputs == LM_OUTPUT_LAST && i + 1 == w->n_rows))
            b->wanted[r->n_wanted++] = row;
    }
}

static void add_sequence(lm_engine *e, const lm_work *w)
{
    lm_batch *b = &e->batch;
    const lm_seq *s = w->seq;
    lm_run_seq *out = &b->seqs[b->run.n_seqs];
    memset(out, 0, sizeof *out);
    out->first_row = b->run.n_rows;
    out->n_rows = w->n_rows;
    out->length = s->length;
    out->flags = e->network->causal ? 0 : LM_SEQ_UNSPLITTABLE;
    for (uint32_t g = 0; g < e->network->n_groups; g++) {
        const lm_seq_group *group = &s->groups[g];
        out->groups[g] = (lm_run_pages){.pages = group->pages,
                                        .n_pages = group->count,
                                        .first_page = group->first,
                                        .state_read = group->state,
                                        .state_write = group->spare};
    }
}

static int32_t need_embeddings(lm_engine *e, const lm_work *w)
{
    if (w->embeddings == NULL || e->batch.embeddings != NULL)
        return LLM_OK;
    size_t count = (size_t)e->options.shape.limits.rows * e->network->width;
    e->batch.embeddings = LM_NEW_ARRAY(e->alloc, float, count);
    return e->batch.embeddings == NULL ? LLM_E_MEMORY : LLM_OK;
}

static void start_run(lm_batch *b)
{
    memset(&b->run, 0, sizeof b->run);
    b->run.struct_size = sizeof b->run;
    b->run.tokens = b->tokens;
    b->run.positions = b->positions;
    b->run.slots = b->slots;
    b->run.row_seq = b->row_seq;
    b->run.visible_end = b->visible_end;
    b->run.wanted = b->wanted;
    b->run.seqs = b->seqs;
    b->n_works = 0;
}

static bool fits(const lm_engine *e, const lm_work *w)
{
    const lm_row_limits *l = &e->options.shape.limits;
    const lm_run *r = &e->batch.run;
    return w->n_rows <= l->rows - r->n_rows && outputs_of(w) <= l->wanted - r->n_wanted &&
           r->n_seqs < l->seqs;
}

/* Takes works from the queue, in order, while they fit. Those that cannot run are finished at once. */
static void assemble(lm_engine *e)
{
    lm_batch *b = &e->batch;
    start_run(b);
    while (e->first != NULL && fits(e, e->first)) {
        lm_work *w = e->first;
        e->first = w->next;
        int32_t rc = lm_engine_health(e);
        if (rc >= 0 && cancelled(w))
            rc = lm_fail(LLM_E_CANCELLED, "cancelled by the host");
        if (rc >= 0)
            rc = need_embeddings(e, w);
        if (rc >= 0)
            rc = lm_engine_note(e, lm_seq_prepare(w->seq, w->n_rows));
        if (rc < 0) {
            finish(w, rc);
            continue;
        }
        add_sequence(e, w);
        add_rows(e, w);
        b->run.n_rows += w->n_rows;
        b->run.n_seqs++;
        b->works[b->n_works++] = w;
    }
    /* One work alone may be interrupted between steps; a shared batch only before it starts. */
    b->run.cancel = b->n_works == 1 ? b->works[0]->cancel : NULL;
}

/* --- results ---------------------------------------------------------------------------------- */

static void give_up(lm_work *w, int32_t rc)
{
    lm_seq_settle(w->seq);
    finish(w, rc);
}

static bool has_nan(const float *values, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found |= isnan(values[i]) != 0;
    return found;
}

static int32_t broken_logits(void)
{
    return lm_fail(LLM_E_NUMERIC, "the model computed NaN; its weights or input are broken");
}

static int32_t deliver_rows(lm_work *w, const float *rows, size_t count)
{
    if (has_nan(rows, count))
        return broken_logits();
    if (w->result != NULL)
        memcpy(w->result, rows, count * sizeof *rows);
    if (w->best != NULL)
        w->best->valid = false;
    return LLM_OK;
}

/* A NaN would come first. What a device says about ids is believed no more than a file. */
static int32_t deliver_best(lm_work *w, const int32_t *ids, const float *best, uint32_t n_vocab)
{
    if (isnan(best[0]))
        return broken_logits();
    for (uint32_t i = 0; i < LM_BEST; i++)
        lm_check(ids[i] >= 0 && (uint32_t)ids[i] < n_vocab);
    w->best->valid = true;
    memcpy(w->best->ids, ids, sizeof w->best->ids);
    memcpy(w->best->logits, best, sizeof w->best->logits);
    return LLM_OK;
}

/* Gives each work its rows and moves its sequence on. */
static void deliver(lm_engine *e, const lm_result *r)
{
    lm_batch *b = &e->batch;
    size_t width = e->placement->graph.slots[e->placement->graph.result].width, at = 0;
    for (uint32_t i = 0; i < b->n_works; i++) {
        lm_work *w = b->works[i];
        size_t count = w->outputs == LM_OUTPUT_POOLED ? 1 : outputs_of(w);
        size_t first = w->outputs == LM_OUTPUT_POOLED ? i : at;
        int32_t rc = LLM_OK;
        at += outputs_of(w);
        if (count > 0 && r->rows == NULL)
            rc = deliver_best(w, r->best_ids + first * LM_BEST, r->best + first * LM_BEST,
                              (uint32_t)width);
        else if (count > 0)
            rc = deliver_rows(w, r->rows + first * width, count * width);
        if (rc < 0) {
            give_up(w, rc);
            continue;
        }
        lm_seq_commit(w->seq, w->history, w->n_rows);
        finish(w, LLM_OK);
    }
    e->counts.runs++;
    e->counts.rows += b->run.n_rows;
    e->counts.shared_rows += b->n_works > 1 ? b->run.n_rows : 0;
}

static void fail_all(lm_engine *e, int32_t rc)
{
    lm_engine_note(e, rc);
    for (uint32_t i = 0; i < e->batch.n_works; i++)
        give_up(e->batch.works[i], rc);
}

/* --- leading ---------------------------------------------------------------------------------- */

static bool best_is_enough(const lm_batch *b)
{
    for (uint32_t i = 0; i < b->n_works; i++)
        if (b->works[i]->outputs != LM_OUTPUT_NONE && b->works[i]->best == NULL)
            return false;
    return true;
}

/* Runs one batch of what is queued. Called with the lock held and `running` set. */
static void lead(lm_engine *e)
{
    assemble(e);
    if (e->batch.n_works == 0)
        return;
    lm_os_mutex_unlock(&e->mutex);
    lm_result result;
    bool pooled = !e->network->causal;
    uint32_t n_rows = pooled ? e->batch.run.n_seqs : e->batch.run.n_wanted;
    int32_t rc =
        lm_programs_run(e->programs, &e->batch.run, n_rows, best_is_enough(&e->batch), &result);
    lm_os_mutex_lock(&e->mutex);
    if (rc < 0)
        fail_all(e, rc);
    else
        deliver(e, &result);
}

int32_t lm_engine_run(lm_engine *e, lm_work *w)
{
    const lm_row_limits *l = &e->options.shape.limits;
    if (w->n_rows == 0 || w->n_rows > l->rows || outputs_of(w) > l->wanted)
        return lm_fail(
            LLM_E_LIMIT, "%u rows with %u outputs in one run; the engine was made for %u and %u",
            (unsigned)w->n_rows, (unsigned)outputs_of(w), (unsigned)l->rows, (unsigned)l->wanted);
    lm_check((uint64_t)w->seq->length + w->n_rows <= e->options.shape.context);
    lm_os_mutex_lock(&e->mutex);
    enqueue(e, w);
    while (!w->finished) {
        if (e->running) {
            lm_os_cond_wait(&e->changed, &e->mutex);
            continue;
        }
        e->running = true;
        lead(e);
        e->running = false;
        lm_os_cond_wake_all(&e->changed);
    }
    lm_os_mutex_unlock(&e->mutex);
    return w->status.code < 0 ? lm_fail_again(w->status.code, w->status.message) : LLM_OK;
}
