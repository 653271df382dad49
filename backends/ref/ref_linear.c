/* ref_linear.c - the multiplications: one decoded weight row at a time against all rows that need
 * it. */
#include "backends/ref/ref.h"

uint64_t lref_linear_scratch(const lhost_device *d, const lm_program_desc *desc,
                             const lm_step *step)
{
    (void)d;
    uint32_t weight = step->kind == LM_STEP_LINEAR         ? step->u.linear.weight
                      : step->kind == LM_STEP_LINEAR_HEADS ? step->u.heads.linear.weight
                                                           : step->u.expert.linear.weight;
    return (uint64_t)desc->network->weights[weight].cols * sizeof(float);
}

/* A linear with its weight at hand. */
typedef struct matrix {
    const lm_weight *w;
    const float *bias; /* [experts, rows] or NULL */
    double scale;
    float *row; /* [cols] the row decoded last */
} matrix;

static matrix matrix_of(const lhost_run *r, const lm_linear *l)
{
    return (matrix){lhost_weight(r, l->weight), lhost_vector(r, l->bias),
                    l->scale == 0 ? 1 : (double)l->scale, lhost_scratch(r)};
}

static void take_row(const matrix *m, uint32_t expert, uint32_t row)
{
    m->w->format->decode(lhost_weight_row(m->w, expert, row), m->row, m->w->cols);
}

/* The decoded row times `in`. */
static float product(const matrix *m, uint32_t expert, uint32_t row, const float *in)
{
    double sum = 0;
    for (uint32_t i = 0; i < m->w->cols; i++)
        sum += (double)m->row[i] * in[i];
    sum *= m->scale;
    if (m->bias != NULL)
        sum += m->bias[(size_t)expert * m->w->rows + row];
    return (float)sum;
}

int32_t lref_linear(lhost_run *r, const lm_step *step)
{
    matrix m = matrix_of(r, &step->u.linear);
    const float *in = lhost_slot(r, step->in[0]);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t rows = lhost_rows(r, step->in[0]);
    for (uint32_t o = 0; o < m.w->rows; o++) {
        take_row(&m, 0, o);
        for (uint32_t i = 0; i < rows; i++)
            out[(size_t)i * m.w->rows + o] = product(&m, 0, o, in + (size_t)i * m.w->cols);
    }
    return LLM_OK;
}

int32_t lref_linear_heads(lhost_run *r, const lm_step *step)
{
    matrix m = matrix_of(r, &step->u.heads.linear);
    const float *in = lhost_slot(r, step->in[0]);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t rows = lhost_rows(r, step->in[0]), heads = step->u.heads.heads;
    for (uint32_t h = 0; h < heads; h++) {
        for (uint32_t o = 0; o < m.w->rows; o++) {
            take_row(&m, h, o);
            for (uint32_t i = 0; i < rows; i++) {
                size_t head = (size_t)i * heads + h;
                out[head * m.w->rows + o] = product(&m, h, o, in + head * m.w->cols);
            }
        }
    }
    return LLM_OK;
}

/* Writes row `o` of expert `e` for every (row, k) routed to it. */
static void expert_row(const matrix *m, const lhost_run *r, const lm_step *step, uint32_t e,
                       uint32_t o)
{
    const float *in = lhost_slot(r, step->in[0]);
    const int32_t *ids = lhost_slot(r, step->in[1]);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t used = step->u.expert.used, places = lhost_rows(r, step->in[0]) * used;
    bool taken = false;
    for (uint32_t place = 0; place < places; place++) {
        if (ids[place] != (int32_t)e)
            continue;
        if (!taken)
            take_row(m, e, o);
        taken = true;
        size_t from = step->u.expert.per_expert_input ? place : place / used;
        out[(size_t)place * m->w->rows + o] = product(m, e, o, in + from * m->w->cols);
    }
}

int32_t lref_linear_expert(lhost_run *r, const lm_step *step)
{
    matrix m = matrix_of(r, &step->u.expert.linear);
    float *out = lhost_slot(r, step->out[0]);
    size_t values = (size_t)lhost_rows(r, step->out[0]) * lhost_width(r, step->out[0]);
    for (size_t i = 0; i < values; i++)
        out[i] = 0; /* an expert that is not here adds nothing */
    for (uint32_t e = 0; e < m.w->experts; e++)
        for (uint32_t o = 0; o < m.w->rows; o++)
            expert_row(&m, r, step, e, o);
    return LLM_OK;
}
