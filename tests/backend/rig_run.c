/* rig_run.c - feeding sequences: page tables, rows and masks of a run, inputs in and outputs out.
 */
#include "backend/rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 1100u

/* Everything a run points to. */
typedef struct batch {
    lm_run run;
    int32_t tokens[MAX_ROWS];
    uint32_t positions[MAX_ROWS * 4], slots[MAX_ROWS], row_seq[MAX_ROWS], visible_end[MAX_ROWS];
    uint64_t ancestors[MAX_ROWS * ((MAX_ROWS + 63) / 64)];
    uint32_t wanted[MAX_ROWS];
    lm_run_seq seqs[RIG_SEQS];
    uint32_t seq_of[RIG_SEQS]; /* of the rig */
} batch;

/* --- pages ------------------------------------------------------------------------------------ */

/* Gives a sequence the pages for `length` tokens; takes those behind the window back. */
static void settle_pages(rig *r, uint32_t s, uint32_t group, uint32_t length)
{
    rig_seq *seq = &r->seqs[s];
    uint32_t tokens = r->o.page_tokens, window = r->m->network.groups[group].window;
    while (seq->n_pages[group] * tokens < length) {
        assert_true(r->n_free[group] > 0);
        seq->pages[group][seq->n_pages[group]++] = r->free_pages[group][--r->n_free[group]];
    }
    if (!r->o.free_pages || window == 0)
        return;
    /* The next row, at seq->length, looks back window - 1 tokens. */
    uint32_t needed = seq->length + 1 > window ? (seq->length + 1 - window) / tokens : 0;
    while (seq->first_page[group] < needed) {
        uint32_t page = seq->pages[group][seq->first_page[group]++];
        r->free_pages[group][r->n_free[group]++] = page;
    }
}

static void fill_groups(rig *r, uint32_t s, uint32_t rows, lm_run_seq *out)
{
    rig_seq *seq = &r->seqs[s];
    for (uint32_t g = 0; g < r->m->network.n_groups; g++) {
        lm_run_pages *pages = &out->groups[g];
        if (r->cache_desc[g].kind == LM_CACHE_STATE) {
            pages->state_read = seq->state;
            pages->state_write = seq->state == 2 * s && !r->o.one_state ? 2 * s + 1 : 2 * s;
            continue;
        }
        settle_pages(r, s, g, seq->length + rows);
        pages->first_page = seq->first_page[g];
        pages->pages = seq->pages[g] + seq->first_page[g];
        pages->n_pages = seq->n_pages[g] - seq->first_page[g];
    }
}

/* --- rows ------------------------------------------------------------------------------------- */

static void fill_row(const rig *r, batch *b, uint32_t seq_index, uint32_t row)
{
    const rig_model *m = r->m;
    const lm_run_seq *seq = &b->seqs[seq_index];
    uint32_t s = b->seq_of[seq_index], in_run = row - seq->first_row, place = seq->length + in_run;
    b->tokens[row] = rig_token(m, s, place);
    b->slots[row] = place;
    b->row_seq[row] = seq_index;
    for (uint32_t axis = 0; axis < 4; axis++)
        b->positions[row * 4 + axis] = rig_axis(place, axis);
    b->visible_end[row] = m->tree || m->all_see ? seq->length + seq->n_rows : place + 1;
    uint32_t words = (b->run.n_rows + 63) / 64;
    for (uint32_t other = 0; m->tree && other < seq->n_rows; other++)
        if (rig_tree_sees(in_run, other))
            b->ancestors[(size_t)row * words + (seq->first_row + other) / 64] |=
                (uint64_t)1 << (seq->first_row + other) % 64;
    if (place % 3 != 1)
        b->wanted[b->run.n_wanted++] = row;
}

static void fill_batch(rig *r, const rig_part *parts, uint32_t n_parts, batch *b)
{
    memset(b, 0, sizeof *b);
    b->run = (lm_run){.struct_size = sizeof b->run,
                      .n_seqs = n_parts,
                      .tokens = b->tokens,
                      .positions = b->positions,
                      .slots = b->slots,
                      .row_seq = b->row_seq,
                      .visible_end = b->visible_end,
                      .wanted = b->wanted,
                      .seqs = b->seqs,
                      .ancestors = r->m->tree ? b->ancestors : NULL};
    for (uint32_t i = 0; i < n_parts; i++) {
        b->seq_of[i] = parts[i].seq;
        b->seqs[i] = (lm_run_seq){.first_row = b->run.n_rows,
                                  .n_rows = parts[i].rows,
                                  .length = r->seqs[parts[i].seq].length};
        fill_groups(r, parts[i].seq, parts[i].rows, &b->seqs[i]);
        b->run.n_rows += parts[i].rows;
    }
    assert_true(b->run.n_rows <= MAX_ROWS);
    for (uint32_t i = 0; i < n_parts; i++)
        for (uint32_t k = 0; k < parts[i].rows; k++)
            fill_row(r, b, i, b->seqs[i].first_row + k);
}

/* --- slots ------------------------------------------------------------------------------------ */

static uint32_t rows_of(const rig *r, const batch *b, uint32_t slot)
{
    const uint32_t rows[] = {b->run.n_rows, b->run.n_wanted, b->run.n_seqs};
    return rows[r->m->graph.slots[slot].rows];
}

/* Sequence of the rig and position behind row `i` of a slot; a sequence's row counts as its last.
 */
static void place_of(const rig *r, const batch *b, uint32_t slot, uint32_t i, uint32_t *seq,
                     uint32_t *position)
{
    uint32_t row = i;
    if (r->m->graph.slots[slot].rows == LM_ROWS_WANTED)
        row = b->wanted[i];
    if (r->m->graph.slots[slot].rows == LM_ROWS_SEQS)
        row = b->seqs[i].first_row + b->seqs[i].n_rows - 1;
    *seq = b->seq_of[b->row_seq[row]];
    *position = b->slots[row];
}

static int32_t write_input(rig *r, const batch *b, uint32_t input)
{
    uint32_t slot = r->m->inputs[input].slot, width = r->m->graph.slots[slot].width;
    uint32_t rows = rows_of(r, b, slot), seq, position;
    float *values = malloc(((size_t)rows * width + 1) * sizeof *values);
    for (uint32_t i = 0; i < rows; i++) {
        place_of(r, b, slot, i, &seq, &position);
        for (uint32_t c = 0; c < width; c++) {
            if (r->m->inputs[input].ids > 0)
                ((int32_t *)(void *)values)[i * width + c] = rig_id(r->m, input, seq, position, c);
            else
                values[i * width + c] = rig_value(r->m, input, seq, position, c);
        }
    }
    int32_t rc = r->backend->slot_write(r->device, r->queue, r->program, slot, values,
                                        (size_t)rows * width * sizeof *values);
    free(values);
    return rc;
}

static bool is_input(const rig *r, uint32_t slot)
{
    for (uint32_t i = 0; i < r->m->n_inputs; i++)
        if (r->m->inputs[i].slot == slot)
            return true;
    return false;
}

/* What a step does not write must not look right by chance. */
static int32_t spoil_output(rig *r, const batch *b, uint32_t slot)
{
    if (is_input(r, slot) || strcmp(r->backend->name, "null") == 0)
        return LLM_OK;
    size_t bytes = (size_t)rows_of(r, b, slot) * r->m->graph.slots[slot].width * sizeof(float);
    void *nan = malloc(bytes + 1);
    memset(nan, 0xff, bytes);
    int32_t rc = r->backend->slot_write(r->device, r->queue, r->program, slot, nan, bytes);
    free(nan);
    return rc;
}

static int32_t read_output(rig *r, const batch *b, uint32_t output)
{
    uint32_t slot = r->m->outputs[output].slot, width = r->m->graph.slots[slot].width;
    uint32_t rows = rows_of(r, b, slot), seq, position;
    float *values = malloc(((size_t)rows * width + 1) * sizeof *values);
    uint64_t ticket;
    int32_t rc;
    LM_GO(r->backend->slot_read(r->device, r->queue, r->program, slot, values,
                                (size_t)rows * width * sizeof *values));
    LM_GO(r->backend->queue_signal(r->device, r->queue, &ticket));
    LM_GO(r->backend->queue_wait(r->device, r->queue, ticket, UINT64_MAX));
    for (uint32_t i = 0; i < rows; i++) {
        place_of(r, b, slot, i, &seq, &position);
        r->seqs[seq].have[output][position] = true;
        memcpy(r->seqs[seq].results[output] + (size_t)position * width, values + (size_t)i * width,
               width * sizeof *values);
    }
out:
    free(values);
    return rc;
}

/* --- runs ------------------------------------------------------------------------------------- */

int32_t rig_run_changed(rig *r, const rig_part *parts, uint32_t n_parts,
                        void (*change)(lm_run *run, void *user), void *user)
{
    static batch b;
    fill_batch(r, parts, n_parts, &b);
    for (uint32_t o = 0; o < r->m->n_outputs; o++)
        LM_TRY(spoil_output(r, &b, r->m->outputs[o].slot));
    for (uint32_t i = 0; i < r->m->n_inputs; i++)
        LM_TRY(write_input(r, &b, i));
    if (change != NULL)
        change(&b.run, user);
    LM_TRY(r->backend->program_run(r->device, r->queue, r->program, &b.run));
    for (uint32_t o = 0; o < r->m->n_outputs; o++)
        LM_TRY(read_output(r, &b, o));
    for (uint32_t i = 0; i < n_parts; i++) {
        r->seqs[parts[i].seq].length += parts[i].rows;
        for (uint32_t g = 0; g < r->m->network.n_groups; g++)
            if (r->cache_desc[g].kind == LM_CACHE_STATE)
                r->seqs[parts[i].seq].state = b.seqs[i].groups[g].state_write;
    }
    return LLM_OK;
}

int32_t rig_run(rig *r, const rig_part *parts, uint32_t n_parts)
{
    return rig_run_changed(r, parts, n_parts, NULL, NULL);
}

void rig_feed(rig *r, const uint32_t lengths[RIG_SEQS], uint32_t chunk, bool together)
{
    bool more = true;
    while (more) {
        rig_part parts[RIG_SEQS];
        uint32_t n = 0;
        for (uint32_t s = 0; s < r->o.n_seqs && (together || n == 0); s++) {
            uint32_t left = lengths[s] - r->seqs[s].length;
            if (left > 0)
                parts[n++] = (rig_part){s, left < chunk ? left : chunk};
        }
        more = n > 0;
        if (more)
            assert_ok(rig_run(r, parts, n));
    }
}

void rig_feed_mixed(rig *r)
{
    static const struct {
        rig_part parts[RIG_SEQS];
        uint32_t n;
    } runs[] = {
        {{{0, 37}}, 1},
        {{{2, 5}, {1, 1}}, 2},
        {{{0, 1}, {1, 65}, {2, 1}}, 3},
        {{{2, 1}, {0, 1}, {1, 1}}, 3},
        {{{1, 17}, {0, 2}}, 2},
    };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        assert_ok(rig_run(r, runs[i].parts, runs[i].n));
}
