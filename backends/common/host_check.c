/* host_check.c - what a program was made for, and the proof that a run keeps within it before any step
 * follows its indices. The core is trusted to mean well, not to be free of mistakes: what is proved
 * here cannot reach outside the device's memory. */
#include "backends/common/host_run.h"

#include "base/checked.h"

#define WANT(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return lm_fail(LLM_E_INVALID, __VA_ARGS__);                                            \
    } while (0)

int32_t lhost_bounds_init(lm_arena *books, const lm_program_desc *desc, lhost_bounds *b)
{
    *b = (lhost_bounds){.network = desc->network,
                        .limits = desc->limits,
                        .context = desc->context,
                        .numerics = desc->numerics,
                        .tables = LM_ARENA_ARRAY(books, lhost_table, desc->n_steps)};
    if (b->tables == NULL)
        return LLM_E_MEMORY;
    for (uint32_t g = 0; g < desc->network->n_groups && desc->caches != NULL; g++)
        b->caches[g] = lhost_storage_of(desc->caches[g]);
    for (size_t i = 0; i < desc->n_steps; i++) {
        const lm_step *s = &desc->steps[i];
        if (s->kind == LM_STEP_EMBED && s->u.embed.source != LM_EMBED_CONSTANT)
            b->tables[b->n_tables++] =
                (lhost_table){s->u.embed.source, desc->network->weights[s->u.embed.weight].rows};
    }
    return LLM_OK;
}

static int32_t check_counts(const lhost_bounds *b, const lm_run *run)
{
    WANT(run->struct_size >= sizeof *run, "a run of an older shape");
    WANT(run->n_rows >= 1 && run->n_rows <= b->limits.rows, "%u rows in a program for %u",
         (unsigned)run->n_rows, (unsigned)b->limits.rows);
    WANT(run->n_wanted <= b->limits.wanted && run->n_wanted <= run->n_rows,
         "%u wanted rows of %u in a program for %u", (unsigned)run->n_wanted, (unsigned)run->n_rows,
         (unsigned)b->limits.wanted);
    WANT(run->n_seqs >= 1 && run->n_seqs <= b->limits.seqs, "%u sequences in a program for %u",
         (unsigned)run->n_seqs, (unsigned)b->limits.seqs);
    for (uint32_t i = 0; i < run->n_wanted; i++)
        WANT(run->wanted[i] < run->n_rows && (i == 0 || run->wanted[i] > run->wanted[i - 1]),
             "wanted row %u is out of order or range", (unsigned)run->wanted[i]);
    return LLM_OK;
}

static int32_t check_row(const lhost_bounds *b, const lm_run *run, const lm_run_seq *seq,
                         uint32_t row)
{
    WANT(run->tokens[row] >= 0 || run->embeddings != NULL, "row %u has neither token nor embedding",
         (unsigned)row);
    WANT(run->slots[row] >= seq->length && run->slots[row] - seq->length < seq->n_rows,
         "row %u has slot %u in a sequence of %u tokens", (unsigned)row, (unsigned)run->slots[row],
         (unsigned)seq->length);
    WANT(run->visible_end[row] <= seq->length + seq->n_rows && run->visible_end[row] <= b->context,
         "row %u sees %u slots of %u", (unsigned)row, (unsigned)run->visible_end[row],
         (unsigned)(seq->length + seq->n_rows));
    return LLM_OK;
}

static int32_t check_state(const lhost_storage *c, const lm_run_pages *pages, uint32_t seq)
{
    WANT(pages->state_write < c->n_pages, "sequence %u writes state slot %u of %u", (unsigned)seq,
         (unsigned)pages->state_write, (unsigned)c->n_pages);
    WANT(pages->state_read == LM_NONE || pages->state_read < c->n_pages,
         "sequence %u reads state slot %u of %u", (unsigned)seq, (unsigned)pages->state_read,
         (unsigned)c->n_pages);
    return LLM_OK;
}

/* Every page a row of the sequence writes or sees is in the table, and the table names pages that
 * exist. */
static int32_t check_pages(const lhost_bounds *b, const lm_run *run, uint32_t s, uint32_t group)
{
    const lhost_storage *c = b->caches[group];
    uint32_t window = b->network->groups[group].window;
    const lm_run_seq *seq = &run->seqs[s];
    const lm_run_pages *pages = &seq->groups[group];
    uint64_t begin = (uint64_t)pages->first_page * c->page_tokens;
    uint64_t end = begin + (uint64_t)pages->n_pages * c->page_tokens;
    WANT(pages->n_pages <= lhost_most_pages(b->context),
         "sequence %u has %u pages in a context of %u tokens", (unsigned)s,
         (unsigned)pages->n_pages, (unsigned)b->context);
    for (uint32_t i = 0; i < pages->n_pages; i++)
        WANT(pages->pages[i] < c->n_pages, "sequence %u names page %u of %u", (unsigned)s,
             (unsigned)pages->pages[i], (unsigned)c->n_pages);
    for (uint32_t row = seq->first_row; row < seq->first_row + seq->n_rows; row++) {
        uint32_t first, visible_end;
        lhost_visible(run, row, window, &first, &visible_end);
        WANT(run->slots[row] >= begin && run->slots[row] < end && visible_end <= end &&
                 (first >= begin || first >= visible_end),
             "row %u needs slots %u to %u; the table of group %u holds %llu to %llu", (unsigned)row,
             (unsigned)first, (unsigned)visible_end, (unsigned)group, (unsigned long long)begin,
             (unsigned long long)end);
    }
    return LLM_OK;
}

static int32_t check_seq(const lhost_bounds *b, const lm_run *run, uint32_t s, uint32_t *next_row)
{
    const lm_run_seq *seq = &run->seqs[s];
    WANT(seq->first_row == *next_row && seq->n_rows >= 1 && seq->n_rows <= run->n_rows - *next_row,
         "sequence %u has rows %u to %u of %u", (unsigned)s, (unsigned)seq->first_row,
         (unsigned)(seq->first_row + seq->n_rows), (unsigned)run->n_rows);
    WANT(seq->length <= b->context && seq->n_rows <= b->context - seq->length,
         "sequence %u grows to %llu tokens in a context of %u", (unsigned)s,
         (unsigned long long)seq->length + seq->n_rows, (unsigned)b->context);
    *next_row += seq->n_rows;
    for (uint32_t row = seq->first_row; row < *next_row; row++) {
        WANT(run->row_seq[row] == s, "row %u says sequence %u where %u lies", (unsigned)row,
             (unsigned)run->row_seq[row], (unsigned)s);
        LM_TRY(check_row(b, run, seq, row));
    }
    for (uint32_t g = 0; g < b->network->n_groups; g++) {
        if (b->caches[g] == NULL)
            continue;
        if (b->caches[g]->kind == LM_CACHE_STATE)
            LM_TRY(check_state(b->caches[g], &seq->groups[g], s));
        else
            LM_TRY(check_pages(b, run, s, g));
    }
    return LLM_OK;
}

/* Every row's own number leads into the table; the host's own embeddings have none. */
static int32_t check_table(const lhost_table *t, const lm_run *run)
{
    bool tokens = t->source == LM_EMBED_TOKENS;
    for (uint32_t row = 0; row < run->n_rows; row++) {
        uint32_t at = tokens ? (uint32_t)run->tokens[row] : run->positions[(size_t)row * 4];
        WANT(at < t->rows || (tokens && run->tokens[row] < 0),
             "row %u asks for entry %u of a table of %u", (unsigned)row, (unsigned)at,
             (unsigned)t->rows);
    }
    return LLM_OK;
}

int32_t lhost_run_check(const lhost_bounds *b, const lm_run *run)
{
    LM_TRY(check_counts(b, run));
    uint32_t next_row = 0;
    for (uint32_t s = 0; s < run->n_seqs; s++)
        LM_TRY(check_seq(b, run, s, &next_row));
    WANT(next_row == run->n_rows, "%u rows belong to no sequence",
         (unsigned)(run->n_rows - next_row));
    for (uint32_t i = 0; i < b->n_tables; i++)
        LM_TRY(check_table(&b->tables[i], run));
    return LLM_OK;
}

int32_t lhost_slot_check(const lm_slot_place *places, size_t n_slots, uint32_t slot, size_t size)
{
    WANT(slot < n_slots && places[slot].offset != UINT64_MAX, "slot %u is not used by this program",
         (unsigned)slot);
    WANT(size <= places[slot].bytes, "%llu bytes for slot %u of %llu", (unsigned long long)size,
         (unsigned)slot, (unsigned long long)places[slot].bytes);
    return LLM_OK;
}
