/* run.c - the run block: what differs from run to run, written where shaders read it. */
#include "backends/vulkan/program.h"

#include "base/checked.h"

#include <string.h>

#define PART_ALIGN 16u

/* --- where things lie ------------------------------------------------------------------------- */

static bool has_tokens(const lm_program_desc *desc)
{
    for (size_t i = 0; i < desc->n_steps; i++)
        if (desc->steps[i].kind == LM_STEP_EMBED &&
            desc->steps[i].u.embed.source == LM_EMBED_TOKENS)
            return true;
    return false;
}

static uint64_t place(uint64_t *at, uint64_t bytes)
{
    uint64_t here = *at;
    *at += (bytes + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN;
    return here;
}

lvk_run_layout lvk_layout_run(const lm_program_desc *desc)
{
    lvk_run_layout l = {0};
    uint64_t rows = desc->limits.rows, seqs = desc->limits.seqs, at = 0;
    place(&at, sizeof(lvk_run_head));
    l.tokens = place(&at, rows * 4);
    l.positions = place(&at, rows * 16);
    l.slots = place(&at, rows * 4);
    l.row_seq = place(&at, rows * 4);
    l.visible_end = place(&at, rows * 4);
    l.wanted = place(&at, (uint64_t)desc->limits.wanted * 4);
    l.seqs = place(&at, seqs * sizeof(lvk_run_seq));
    l.ancestors = place(&at, rows * ((rows + 63) / 64) * 8);
    l.pages_per_table = lhost_most_pages(desc->context);
    l.pages = place(&at, seqs * desc->network->n_groups * l.pages_per_table * 8);
    l.embeddings = place(&at, has_tokens(desc) ? rows * desc->network->width * 4 : 0);
    l.bytes = at;
    return l;
}

/* --- writing ---------------------------------------------------------------------------------- */

static uint64_t state_address(const lvk_cache *c, uint32_t slot)
{
    return slot == LM_NONE ? 0 : c->addresses[slot];
}

static void write_group(lvk_program *p, const lm_run_pages *from, const lvk_cache *c,
                        uint32_t table, lvk_run_pages *to)
{
    memset(to, 0, sizeof *to);
    if (c == NULL)
        return;
    if (c->base.kind == LM_CACHE_STATE) {
        to->state_read = state_address(c, from->state_read);
        to->state_write = state_address(c, from->state_write);
        return;
    }
    uint64_t at = p->run_layout.pages + (uint64_t)table * p->run_layout.pages_per_table * 8;
    uint64_t *addresses = (uint64_t *)(void *)(p->run.host + at);
    for (uint32_t i = 0; i < from->n_pages; i++)
        addresses[i] = c->addresses[from->pages[i]];
    to->pages = p->run.address + at;
    to->n_pages = from->n_pages;
    to->first_page = from->first_page;
}

static void write_seqs(lvk_program *p, const lm_run *run)
{
    lvk_run_seq *out = (lvk_run_seq *)(void *)(p->run.host + p->run_layout.seqs);
    uint32_t n_groups = p->bounds.network->n_groups;
    for (uint32_t s = 0; s < run->n_seqs; s++) {
        const lm_run_seq *seq = &run->seqs[s];
        lvk_run_seq to = {seq->first_row, seq->n_rows, seq->length, seq->flags, {{0}}};
        for (uint32_t g = 0; g < n_groups; g++)
            write_group(p, &seq->groups[g], p->caches[g], s * n_groups + g, &to.groups[g]);
        out[s] = to;
    }
}

static void put(lvk_program *p, uint64_t at, const void *from, uint64_t bytes)
{
    memcpy(p->run.host + at, from, (size_t)bytes);
}

static uint64_t ancestor_bytes(const lm_run *run)
{
    return run->ancestors == NULL ? 0 : (uint64_t)run->n_rows * ((run->n_rows + 63) / 64) * 8;
}

static void write_head(lvk_program *p, const lm_run *run)
{
    const lvk_run_layout *l = &p->run_layout;
    uint64_t base = p->run.address;
    lvk_run_head head = {.count = {run->n_rows, run->n_wanted, run->n_seqs},
                         .ancestor_words = (run->n_rows + 63) / 64 * 2,
                         .tokens = base + l->tokens,
                         .embeddings = base + l->embeddings,
                         .positions = base + l->positions,
                         .slots = base + l->slots,
                         .row_seq = base + l->row_seq,
                         .visible_end = base + l->visible_end,
                         .wanted = base + l->wanted,
                         .seqs = base + l->seqs,
                         .ancestors = run->ancestors == NULL ? 0 : base + l->ancestors};
    put(p, 0, &head, sizeof head);
}

void lvk_write_run(lvk_program *p, const lm_run *run)
{
    const lvk_run_layout *l = &p->run_layout;
    uint64_t rows = run->n_rows, width = p->bounds.network->width;
    write_seqs(p, run);
    write_head(p, run);
    put(p, l->tokens, run->tokens, rows * 4);
    put(p, l->positions, run->positions, rows * 16);
    put(p, l->slots, run->slots, rows * 4);
    put(p, l->row_seq, run->row_seq, rows * 4);
    put(p, l->visible_end, run->visible_end, rows * 4);
    if (run->n_wanted > 0)
        put(p, l->wanted, run->wanted, (uint64_t)run->n_wanted * 4);
    if (run->ancestors != NULL)
        put(p, l->ancestors, run->ancestors, ancestor_bytes(run));
    if (run->embeddings != NULL && l->embeddings < l->bytes)
        put(p, l->embeddings, run->embeddings, rows * width * 4);
}
