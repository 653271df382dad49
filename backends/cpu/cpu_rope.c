/* cpu_rope.c - rotary positions. Cosines and sines are computed once per run for each distinct
 * rotation of the program, not once per layer. */
#include "backends/cpu/cpu.h"

#include <math.h>
#include <string.h>

/* A step's tag is the place of its table in the program's extra memory, in units of LM_ALIGN,
 * doubled; odd for the first step that uses the table. A table is [dims / 2] speeds in double, then
 * for each row [dims / 2] cosines and [dims / 2] sines. */

static uint64_t table_bytes(const lm_rope *rope, uint32_t rows)
{
    uint64_t half = rope->dims / 2;
    uint64_t bytes = half * sizeof(double) + (uint64_t)rows * half * 2 * sizeof(float);
    return (bytes + LM_ALIGN - 1) / LM_ALIGN * LM_ALIGN;
}

/* The rotation in a step; NULL: none. */
static const lm_rope *rope_of(const lm_step *step)
{
    const lm_rope *rope = step->kind == LM_STEP_ROPE              ? &step->u.rope.rope
                          : step->kind == LM_STEP_QKV_ROPE_APPEND ? &step->u.qkv.rope
                                                                  : NULL;
    return rope == NULL || rope->style == LM_ROPE_NONE ? NULL : rope;
}

/* The styles share their angles. */
static bool same_angles(const lm_rope *a, const lm_rope *b)
{
    lm_rope x = *a;
    x.style = b->style;
    return memcmp(&x, b, sizeof x) == 0;
}

/* The first step with the same angles as step `at`. */
static size_t first_like(const lm_program_desc *desc, size_t at)
{
    const lm_rope *wanted = rope_of(&desc->steps[at]);
    for (size_t i = 0; i < at; i++) {
        const lm_rope *rope = rope_of(&desc->steps[i]);
        if (rope != NULL && same_angles(rope, wanted))
            return i;
    }
    return at;
}

uint64_t lcpu_rope_plan(const lhost_device *d, const lm_program_desc *desc, uint32_t *tags)
{
    uint64_t bytes = 0;
    (void)d;
    for (size_t i = 0; i < desc->n_steps; i++) {
        const lm_rope *rope = rope_of(&desc->steps[i]);
        if (rope == NULL)
            continue;
        size_t first = first_like(desc, i);
        if (tags != NULL)
            tags[i] = first == i ? (uint32_t)(bytes / LM_ALIGN) << 1 | 1u : tags[first] & ~1u;
        if (first == i)
            bytes += table_bytes(rope, desc->limits.rows);
    }
    return bytes;
}

static double *table_of(const lhost_run *r, size_t step)
{
    uint8_t *extra = lhost_extra(r);
    return (double *)(void *)(extra + (size_t)(r->program->tags[step] >> 1) * LM_ALIGN);
}

static void fill_table(const lhost_run *r, size_t step)
{
    const lm_rope *rope = rope_of(&r->program->steps[step]);
    uint32_t half = rope->dims / 2;
    double *speed = table_of(r, step), magnitude;
    float *c = (float *)(speed + half);
    lm_rope_table(rope, lhost_vector(r, rope->factors), speed, &magnitude);
    for (uint32_t row = 0; row < r->run->n_rows; row++, c += (size_t)half * 2) {
        for (uint32_t i = 0; i < half; i++) {
            double angle = r->run->positions[(size_t)row * 4 + lm_rope_axis(rope, i)] * speed[i];
            c[i] = (float)(cos(angle) * magnitude);
            c[half + i] = (float)(sin(angle) * magnitude);
        }
    }
}

int32_t lcpu_rope_begin(lhost_run *r)
{
    for (size_t i = 0; i < r->program->n_steps; i++)
        if (rope_of(&r->program->steps[i]) != NULL && (r->program->tags[i] & 1u) != 0)
            fill_table(r, i);
    return LLM_OK;
}

/* --- the step --------------------------------------------------------------------------------- */

static void rotate_halves(const float *x, const float *c, const float *s, uint32_t half, float *y)
{
    for (uint32_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        y[i] = a * c[i] - b * s[i];
        y[i + half] = a * s[i] + b * c[i];
    }
}

static void rotate_pairs(const float *x, const float *c, const float *s, uint32_t half, float *y)
{
    for (uint32_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = a * c[i] - b * s[i];
        y[2 * i + 1] = a * s[i] + b * c[i];
    }
}

void lcpu_rope_rows(const lhost_run *r, const lm_rope *rope, uint32_t slot, uint32_t heads,
                    uint32_t dim, const float *in, float *out, size_t first, size_t end)
{
    uint32_t half = rope->dims / 2;
    const float *table = (const float *)(table_of(r, r->index) + half);
    for (size_t i = first; i < end; i++) {
        const float *c = table + (size_t)lhost_run_row(r, slot, (uint32_t)i) * half * 2;
        for (uint32_t h = 0; h < heads; h++) {
            const float *x = in + (i * heads + h) * dim;
            float *y = out + (i * heads + h) * dim;
            if (rope->style == LM_ROPE_PAIRS)
                rotate_pairs(x, c, c + half, half, y);
            else
                rotate_halves(x, c, c + half, half, y);
            if (x != y)
                memcpy(y + rope->dims, x + rope->dims, (dim - rope->dims) * sizeof *y);
        }
    }
}

typedef struct rotation {
    const lhost_run *r;
    const lm_step *step;
    const float *in;
    float *out;
} rotation;

static void rotate_range(void *arg, size_t first, size_t end)
{
    const rotation *t = arg;
    lcpu_rope_rows(t->r, &t->step->u.rope.rope, t->step->in[0], t->step->u.rope.heads,
                   t->step->u.rope.head_dim, t->in, t->out, first, end);
}

int32_t lcpu_rope(lhost_run *r, const lm_step *step)
{
    uint32_t rows = lhost_rows(r, step->in[0]), width = lhost_width(r, step->in[0]);
    rotation t = {r, step, lhost_slot(r, step->in[0]), lhost_slot(r, step->out[0])};
    if (rope_of(step) != NULL)
        lcpu_ranges(r, rows, 16384 / width + 1, rotate_range, &t);
    else if (t.in != t.out)
        memcpy(t.out, t.in, (size_t)rows * width * sizeof *t.out);
    return LLM_OK;
}
