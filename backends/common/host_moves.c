/* host_moves.c - steps that move or convert values without arithmetic of their own. */
#include "backends/common/host_moves.h"

#include "backends/common/host_best.h"
#include "backends/common/host_rotate.h"

#include <string.h>

/* Slots of both types hold four bytes per value. */
#define VALUE_BYTES 4u

static uint8_t *row_at(const lhost_run *r, uint32_t slot, uint32_t row)
{
    return (uint8_t *)lhost_slot(r, slot) + (size_t)row * lhost_width(r, slot) * VALUE_BYTES;
}

/* The run was proved to stay within the table. */
static uint32_t table_row(const lhost_run *r, const lm_step *step, uint32_t row)
{
    return step->u.embed.source == LM_EMBED_TOKENS      ? (uint32_t)r->run->tokens[row]
           : step->u.embed.source == LM_EMBED_POSITIONS ? r->run->positions[(size_t)row * 4]
                                                        : 0;
}

int32_t lhost_run_embed(lhost_run *r, const lm_step *step)
{
    const lm_weight *table = lhost_weight(r, step->u.embed.weight);
    float scale = step->u.embed.scale == 0 ? 1 : step->u.embed.scale;
    uint32_t width = lhost_width(r, step->out[0]), rows = lhost_rows(r, step->out[0]);
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t row = lhost_run_row(r, step->out[0], i);
        float *out = (float *)(void *)row_at(r, step->out[0], i);
        /* The host's own embeddings are taken as they are. */
        if (step->u.embed.source == LM_EMBED_TOKENS && r->run->tokens[row] < 0) {
            memcpy(out, r->run->embeddings + (size_t)row * width, width * sizeof *out);
            continue;
        }
        table->format->decode(lhost_weight_row(table, 0, table_row(r, step, row)), out, width);
        if (scale != 1)
            for (uint32_t c = 0; c < width; c++)
                out[c] *= scale;
    }
    return LLM_OK;
}

int32_t lhost_run_gather(lhost_run *r, const lm_step *step)
{
    size_t bytes = (size_t)lhost_width(r, step->in[0]) * VALUE_BYTES;
    for (uint32_t i = 0; i < r->run->n_wanted; i++)
        memcpy(row_at(r, step->out[0], i), row_at(r, step->in[0], r->run->wanted[i]), bytes);
    return LLM_OK;
}

int32_t lhost_run_copy(lhost_run *r, const lm_step *step)
{
    uint32_t heads = step->u.copy.heads == 0 ? 1 : step->u.copy.heads;
    size_t bytes = (size_t)step->u.copy.width * VALUE_BYTES;
    size_t in = lhost_width(r, step->in[0]) / heads, out = lhost_width(r, step->out[0]) / heads;
    for (uint32_t i = 0; i < lhost_rows(r, step->out[0]); i++)
        for (uint32_t h = 0; h < heads; h++)
            memcpy(row_at(r, step->out[0], i) + (h * out + step->u.copy.out_column) * VALUE_BYTES,
                   row_at(r, step->in[0], i) + (h * in + step->u.copy.in_column) * VALUE_BYTES,
                   bytes);
    return LLM_OK;
}

int32_t lhost_run_concat(lhost_run *r, const lm_step *step)
{
    size_t first = (size_t)lhost_width(r, step->in[0]) * VALUE_BYTES;
    size_t second = (size_t)lhost_width(r, step->in[1]) * VALUE_BYTES;
    for (uint32_t i = 0; i < lhost_rows(r, step->out[0]); i++) {
        memcpy(row_at(r, step->out[0], i), row_at(r, step->in[0], i), first);
        memcpy(row_at(r, step->out[0], i) + first, row_at(r, step->in[1], i), second);
    }
    return LLM_OK;
}

static void append_part(const lhost_run *r, const lhost_view *view, int part, uint32_t row,
                        const float *values)
{
    const lhost_part *p = &view->member->parts[part];
    float rotated[LHOST_ROTATED_MOST];
    for (uint32_t h = 0; h < p->heads; h++) {
        const float *from = values + (size_t)h * p->dim;
        if (lhost_is_rotated(p->format)) {
            memcpy(rotated, from, p->dim * sizeof *from);
            lhost_rotate(rotated, p->dim);
            from = rotated;
        }
        p->format->encode(from, NULL, lhost_view_at(view, part, r->run->slots[row], h), p->dim);
    }
}

void lhost_append_row(const lhost_run *r, uint32_t cache, uint32_t row, const float *keys,
                      const float *values)
{
    lhost_view view = lhost_view_of(r, cache, r->run->row_seq[row]);
    append_part(r, &view, 0, row, keys);
    if (view.member->n_parts > 1)
        append_part(r, &view, 1, row, values);
}

void lhost_append_rows(const lhost_run *r, const lm_step *step, uint32_t first, uint32_t end)
{
    for (uint32_t row = first; row < end; row++) {
        const void *values = step->in[1] == LM_NONE ? NULL : row_at(r, step->in[1], row);
        lhost_append_row(r, step->u.append.cache, row,
                         (const float *)(const void *)row_at(r, step->in[0], row), values);
    }
}

int32_t lhost_run_append(lhost_run *r, const lm_step *step)
{
    lhost_append_rows(r, step, 0, r->run->n_rows);
    return LLM_OK;
}

int32_t lhost_run_best(lhost_run *r, const lm_step *step)
{
    const float *in = lhost_slot(r, step->in[0]);
    int32_t *ids = lhost_slot(r, step->out[0]);
    float *best = lhost_slot(r, step->out[1]);
    uint32_t width = lhost_width(r, step->in[0]), k = lhost_width(r, step->out[0]);
    for (size_t i = 0; i < lhost_rows(r, step->in[0]); i++)
        lhost_best(in + i * width, width, k, ids + i * k, best + i * k);
    return LLM_OK;
}

int32_t lhost_run_all_reduce(lhost_run *r, const lm_step *step)
{
    size_t bytes = (size_t)lhost_rows(r, step->in[0]) * lhost_width(r, step->in[0]) * VALUE_BYTES;
    memmove(lhost_slot(r, step->out[0]), lhost_slot(r, step->in[0]), bytes);
    return LLM_OK;
}

int32_t lhost_run_pool(lhost_run *r, const lm_step *step,
                       void (*mean)(const float *rows, uint32_t n_rows, uint32_t width, float *out))
{
    const float *in = lhost_slot(r, step->in[0]);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t width = lhost_width(r, step->in[0]);
    for (uint32_t s = 0; s < r->run->n_seqs; s++, out += width) {
        const lm_run_seq *seq = &r->run->seqs[s];
        const float *rows = in + (size_t)seq->first_row * width;
        if (step->u.pool.kind == LM_POOL_MEAN)
            mean(rows, seq->n_rows, width, out);
        else if (step->u.pool.kind == LM_POOL_CLS)
            memcpy(out, rows, width * sizeof *out);
        else
            memcpy(out, rows + (size_t)(seq->n_rows - 1) * width, width * sizeof *out);
    }
    return LLM_OK;
}
