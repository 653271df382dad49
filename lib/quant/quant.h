/* quant - the registry of storage formats: what a block looks like and how to decode and encode
 * it. Reference code: scalar, exact, no speed. Fast kernels live in the backends.
 *
 * One pair q_<name>.[ch] per family: the header shows the layout as a struct for the kernels to
 * share, the source holds decode and encode. */
#ifndef LM_QUANT_QUANT_H
#define LM_QUANT_QUANT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Numbers of the GGUF types are kept as they are. Formats that GGUF does not have start at 1000, a
 * number that files may carry all the same. */
enum {
    LM_F32 = 0,
    LM_F16 = 1,
    LM_Q4_0 = 2,
    LM_Q4_1 = 3,
    LM_Q5_0 = 6,
    LM_Q5_1 = 7,
    LM_Q8_0 = 8,
    LM_Q8_1 = 9,
    LM_Q2_K = 10,
    LM_Q3_K = 11,
    LM_Q4_K = 12,
    LM_Q5_K = 13,
    LM_Q6_K = 14,
    LM_Q8_K = 15,
    LM_IQ2_XXS = 16,
    LM_IQ2_XS = 17,
    LM_IQ3_XXS = 18,
    LM_IQ1_S = 19,
    LM_IQ4_NL = 20,
    LM_IQ3_S = 21,
    LM_IQ2_S = 22,
    LM_IQ4_XS = 23,
    LM_I8 = 24,
    LM_I16 = 25,
    LM_I32 = 26,
    LM_I64 = 27,
    LM_F64 = 28,
    LM_IQ1_M = 29,
    LM_BF16 = 30,
    LM_TQ1_0 = 34,
    LM_TQ2_0 = 35,
    LM_MXFP4 = 39,
    LM_NVFP4 = 40,
    LM_F8_E4M3 = 1000,
    LM_E4M3 = 1001,
};

typedef struct lm_format {
    uint32_t id;
    const char *name; /* lower case: "q4_k" */
    uint32_t block;   /* values per block */
    uint32_t bytes;   /* bytes per block */
    /* `count` values, a multiple of `block`. NULL for types that hold no numbers to compute with
     * (I8 to I64, F64: readable metadata tensors, not weights). */
    void (*decode)(const void *blocks, float *values, size_t count);
    /* `importance` is one weight per value or NULL. NULL function: this format is only read. */
    void (*encode)(const float *values, const float *importance, void *blocks, size_t count);
} lm_format;

/* NULL: no such format (also for types that GGUF has removed). */
const lm_format *lm_format_by_id(uint32_t id);
const lm_format *lm_format_by_name(const char *name);
/* Walks the registry: NULL after the last. */
const lm_format *lm_format_at(size_t index);

/* Bytes of `count` values in one row; false when count is no multiple of the block or the product
 * does not fit. */
bool lm_format_row_bytes(const lm_format *format, uint64_t count, uint64_t *bytes);

#endif
