/* kernels_inputs.c - inputs of multiplications in other forms: bytes for integer dot products, halves for
 * cooperative matrices. */
#include "backends/vulkan/kernels.h"

enum { BLOCK = 32, BLOCK_BYTES = 48, QUANTIZE_LOCAL = 64, HALVE_LOCAL = 128 };

/* As in shaders/quantize_rows.comp. */
typedef struct quantize_args {
    uint64_t from, to;
    uint32_t kind, times, cols, padding;
} quantize_args;

/* As in shaders/halve_rows.comp. */
typedef struct halve_args {
    uint64_t from, to, scales;
    uint32_t kind, times, cols, padding;
} halve_args;

/* Rows of inputs in runs of at most `most` rows of the run; 0: of any. */
static uint64_t rows_of(const lvk_plan *p, const lvk_slot *in, uint32_t cols, uint32_t most)
{
    uint32_t limit = lvk_plan_limits(p)->rows;
    return (uint64_t)(most != 0 && most < limit ? most : limit) * (in->width / cols);
}

int32_t lvk_plan_bytes(lvk_plan *p, const lvk_slot *in, uint32_t cols, uint32_t to, lvk_inputs *out)
{
    uint32_t times = in->width / cols, blocks = cols / BLOCK;
    out->bytes = rows_of(p, in, cols, to) * blocks * BLOCK_BYTES;
    out->address = lvk_plan_scratch(p, out->bytes, &out->at);
    quantize_args args = {
        .from = in->address, .to = out->address, .kind = in->rows, .times = times, .cols = cols};
    lvk_dispatch d = {.shader = LVK_SHADER_quantize_rows,
                      .spec = {QUANTIZE_LOCAL},
                      .n_spec = 1,
                      .x = {.times = (blocks + QUANTIZE_LOCAL - 1) / QUANTIZE_LOCAL},
                      .y = {.rows = in->rows, .per = 1, .times = times},
                      .z = {.times = 1},
                      .bucket_rows = in->rows,
                      .bucket_to = to,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, in);
    lvk_writes_scratch(&d, out->at, out->bytes);
    return lvk_plan_dispatch(p, &d);
}

int32_t lvk_plan_halves(lvk_plan *p, const lvk_slot *in, uint32_t cols, uint32_t from,
                        lvk_inputs *out)
{
    uint64_t rows = rows_of(p, in, cols, 0), stride = ((uint64_t)cols + 31) / 32 * 64;
    uint32_t times = in->width / cols;
    out->bytes = rows * (stride + sizeof(float));
    out->address = lvk_plan_scratch(p, out->bytes, &out->at);
    out->scales = out->address + rows * stride;
    halve_args args = {.from = in->address,
                       .to = out->address,
                       .scales = out->scales,
                       .kind = in->rows,
                       .times = times,
                       .cols = cols};
    lvk_dispatch d = {.shader = LVK_SHADER_halve_rows,
                      .spec = {HALVE_LOCAL},
                      .n_spec = 1,
                      .x = {.rows = in->rows, .per = 1, .times = times},
                      .y = {.times = 1},
                      .z = {.times = 1},
                      .bucket_rows = in->rows,
                      .bucket_from = from,
                      .args = &args,
                      .args_bytes = sizeof args};
    lvk_reads_slot(&d, in);
    lvk_writes_scratch(&d, out->at, out->bytes);
    return lvk_plan_dispatch(p, &d);
}
