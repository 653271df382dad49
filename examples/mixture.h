/* mixture.h - which storage format each tensor of a model gets: one format for all matrices, or one
 * of the mixtures that model files are known by, such as "q4_k_m". */
#ifndef EXAMPLES_MIXTURE_H
#define EXAMPLES_MIXTURE_H

#include <stdbool.h>
#include <stdint.h>

/* What the choice depends on besides the tensor. */
typedef struct mixture_model {
    uint32_t layers, experts;
    bool tied; /* the embedding is the output matrix too */
} mixture_model;

/* NULL unless this is a mixture or a storage format that can be written. */
const char *mixture_find(const char *name);

/* Norms, vectors, convolutions, routers and tables of positions: small, and kept in f32. */
bool mixture_is_small(const char *tensor, uint32_t n_dims);

/* The format of a matrix. */
const char *mixture_choose(const char *mixture, const mixture_model *model, const char *tensor);

/* `format`, or what stands in for it when rows of `width` values are no whole blocks: q8_0, then
 * f16. */
const char *mixture_fit(const char *format, uint64_t width);

/* The number that `general.file_type` has for a mixture or format; -1: none. */
int mixture_file_type(const char *mixture);

#endif
