/* rig_model.c - building the network under test and the numbers that go into it. */
#include "backend/rig.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void rig_model_init(rig_model *m, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    lm_allocator_init(&m->alloc, NULL);
    lm_network_init(&m->network, &m->alloc);
    lm_graph_init(&m->graph, "decode");
    lm_builder_init(&m->b, &m->network, &m->graph);
    m->network.n_vocab = 96;
    m->network.width = 64;
    m->seed = seed + lm_mix64(rig_seed); /* of 0 it is 0 */
}

void rig_model_finish(rig_model *m)
{
    for (size_t i = 0; i < m->network.n_weights; i++) {
        test_unfence(m->data[i], m->sizes[i]);
        free(m->values[i]);
    }
    lm_graph_finish(&m->graph, &m->alloc);
    lm_network_finish(&m->network);
}

uint32_t rig_weight(rig_model *m, uint32_t format, uint32_t rows, uint32_t cols, uint32_t experts,
                    uint32_t uses, double mean, double deviation)
{
    const lm_format *f = lm_format_by_id(format);
    size_t count = (size_t)rows * cols * experts;
    uint64_t bytes = 0;
    assert_non_null(f);
    assert_non_null(f->encode);
    assert_int_equal(cols % f->block, 0);
    assert_true(lm_format_row_bytes(f, count, &bytes));
    lm_weight_desc desc = {.name = "w",
                           .format = f,
                           .rows = rows,
                           .cols = cols,
                           .experts = experts,
                           .uses = uses,
                           .bytes = bytes};
    uint32_t w = lm_build_weight(&m->b, &desc);
    assert_true(w < RIG_WEIGHTS);
    m->sizes[w] = (size_t)bytes | 1;
    m->data[w] = test_fenced(m->sizes[w]);
    m->values[w] = malloc(count * sizeof(float));
    uint64_t random = m->seed + w * 1000003u;
    for (size_t i = 0; i < count; i++)
        m->values[w][i] = (float)(mean + deviation * test_random_normal(&random));
    f->encode(m->values[w], NULL, m->data[w], count);
    f->decode(m->data[w], m->values[w], count);
    return w;
}

uint32_t rig_matrix(rig_model *m, uint32_t format, uint32_t rows, uint32_t cols)
{
    return rig_weight(m, format, rows, cols, 1, LM_USE_MATMUL, 0, 1 / sqrt(cols));
}

uint32_t rig_vector(rig_model *m, uint32_t count, double mean, double deviation)
{
    return rig_weight(m, LM_F32, 1, count, 1, LM_USE_VECTOR, mean, deviation);
}

uint32_t rig_input(rig_model *m, uint32_t width)
{
    uint32_t slot = rig_slot(m, width);
    m->inputs[m->n_inputs++].slot = slot;
    return slot;
}

uint32_t rig_input_ids(rig_model *m, uint32_t width, uint32_t ids)
{
    uint32_t slot = lm_build_slot(&m->b, width, LM_ROWS_ALL, LM_SLOT_I32);
    m->inputs[m->n_inputs++] = (rig_border){slot, ids};
    return slot;
}

uint32_t rig_slot(rig_model *m, uint32_t width)
{
    return lm_build_slot(&m->b, width, LM_ROWS_ALL, LM_SLOT_F32);
}

void rig_output(rig_model *m, uint32_t slot)
{
    m->outputs[m->n_outputs++].slot = slot;
    m->graph.result = slot;
}

lm_step rig_make(uint32_t kind, uint32_t in0, uint32_t in1, uint32_t out)
{
    return (lm_step){.kind = (uint16_t)kind, .in = {in0, in1, LM_NONE}, .out = {out, LM_NONE}};
}

void rig_step(rig_model *m, const lm_step *step)
{
    lm_build_step(&m->b, step);
    assert_ok(lm_builder_status(&m->b));
}

/* --- numbers ---------------------------------------------------------------------------------- */

static uint64_t mixed(const rig_model *m, uint32_t input, uint32_t seq, uint32_t position,
                      uint32_t column)
{
    uint64_t h = lm_mix64(m->seed * 31 + input);
    h = lm_mix64(h ^ ((uint64_t)seq << 40 | (uint64_t)position << 20 | column));
    return h;
}

float rig_value(const rig_model *m, uint32_t input, uint32_t seq, uint32_t position,
                uint32_t column)
{
    if (m->nan_from != 0 && seq == m->nan_seq && position >= m->nan_from)
        return NAN;
    uint64_t h = mixed(m, input, seq, position, column);
    return (float)((double)(h >> 11) * 0x1p-53 * 4 - 2);
}

int32_t rig_id(const rig_model *m, uint32_t input, uint32_t seq, uint32_t position, uint32_t column)
{
    uint64_t h = mixed(m, input, seq, position, column);
    return (int32_t)(h % (m->inputs[input].ids + 1)) - 1;
}

int32_t rig_token(const rig_model *m, uint32_t seq, uint32_t position)
{
    return (int32_t)(mixed(m, 999, seq, position, 0) % m->network.n_vocab);
}

uint32_t rig_axis(uint32_t position, uint32_t axis)
{
    return position / (axis + 1) + axis;
}

bool rig_tree_sees(uint32_t row, uint32_t other)
{
    return row == other || (other < row && lm_mix64((uint64_t)row << 32 | other) % 2 == 0);
}
