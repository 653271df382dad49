/* synth.h - the shapes that llm-synth knows: which tensors and metadata a model of a shape has. */
#ifndef EXAMPLES_SYNTH_H
#define EXAMPLES_SYNTH_H

#include <llm/llm.h>

#include <stdbool.h>

typedef struct synth_shape {
    const char *name;
    uint32_t mamba2; /* 0: llama */
    uint32_t width, layers, heads, kv, dim, ff, vocab, context;
    uint32_t experts, used;                     /* 0: no experts */
    uint32_t state, conv, inner, groups, scans; /* mamba2; scans: heads of the scan */
    uint32_t tied, rope_base;
} synth_shape;

/* "1.1B", "arch=llama,width=256,...", or a name with some numbers changed: "8B,layers=4". Ends the
 * program when that describes no model. */
synth_shape synth_parse(const char *text);

typedef enum synth_fill { SYNTH_NORMAL, SYNTH_ONES, SYNTH_DECAYS, SYNTH_STEPS } synth_fill;

typedef struct synth_tensor {
    char name[64];
    uint32_t n_dims;
    uint64_t dims[4];
    synth_fill fill;
    double deviation; /* of SYNTH_NORMAL */
    const char *format;
} synth_tensor;

/* All tensors but for their formats; the caller frees. */
synth_tensor *synth_tensors(const synth_shape *shape, uint64_t *count);

/* Numbers of the shape and a vocabulary of byte pieces and fillers. */
void synth_metadata(const synth_shape *shape, llm_writer *writer, const char *format);

#endif
