/* ref_rope.c - rotary positions: pairs of a head's values turned by position times speed. */
#include "backends/ref/ref.h"

#include <math.h>
#include <string.h>

uint64_t lref_rope_scratch(const lhost_device *d, const lm_program_desc *desc, const lm_step *step)
{
    (void)d;
    (void)desc;
    return (uint64_t)step->u.rope.rope.dims / 2 * sizeof(double);
}

static void rotate_head(const lm_rope *rope, const double *speed, double magnitude,
                        const uint32_t *position, float *x)
{
    uint32_t half = rope->dims / 2;
    for (uint32_t i = 0; i < half; i++) {
        uint32_t a = rope->style == LM_ROPE_PAIRS ? 2 * i : i;
        uint32_t b = rope->style == LM_ROPE_PAIRS ? 2 * i + 1 : i + half;
        double angle = position[lm_rope_axis(rope, i)] * speed[i];
        double c = cos(angle) * magnitude, s = sin(angle) * magnitude;
        double first = x[a], second = x[b];
        x[a] = (float)(first * c - second * s);
        x[b] = (float)(first * s + second * c);
    }
}

int32_t lref_rope(lhost_run *r, const lm_step *step)
{
    const lm_rope *rope = &step->u.rope.rope;
    const float *in = lhost_slot(r, step->in[0]);
    float *out = lhost_slot(r, step->out[0]);
    uint32_t width = lhost_width(r, step->in[0]), rows = lhost_rows(r, step->in[0]);
    if (out != in)
        memcpy(out, in, (size_t)rows * width * sizeof *out);
    if (rope->style == LM_ROPE_NONE)
        return LLM_OK;
    double *speed = lhost_scratch(r), magnitude;
    lm_rope_table(rope, lhost_vector(r, rope->factors), speed, &magnitude);
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t *position = r->run->positions + (size_t)lhost_run_row(r, step->in[0], i) * 4;
        for (uint32_t h = 0; h < step->u.rope.heads; h++)
            rotate_head(rope, speed, magnitude, position,
                        out + (size_t)i * width + (size_t)h * step->u.rope.head_dim);
    }
    return LLM_OK;
}
