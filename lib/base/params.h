/* params - size-tagged structures crossing the ABI, and arrays of named llm_param. */
#ifndef LM_BASE_PARAMS_H
#define LM_BASE_PARAMS_H

#include "base/status.h"

#include <stdbool.h>

/* Copies a caller's structure (NULL: all defaults) into the library's own, zero-filled to
 * `known_size`. A caller's structure larger than that is accepted while its unknown tail is zero. */
int32_t lm_params_in(void *known, size_t known_size, const void *given, const char *name);

/* Copies as much of the library's structure as the caller's `struct_size` has room for; leaves the
 * caller's struct_size as it is. Both structures begin with it. */
int32_t lm_params_out(void *given, const void *known, size_t known_size, const char *name);

/* A bit that this library does not know is no wish it could ignore: LLM_E_UNSUPPORTED. */
int32_t lm_flags_check(uint32_t given, uint32_t known, const char *name);

/* One row of a table of the named parameters that something takes. `kind` is LLM_KIND_...; numbers
 * are range-checked against [min, max] when min < max. The value is stored at `offset`:
 * INT int64_t, FLOAT double, BOOL bool, STRING const char *, TOKENS and FLOATS lm_param_array. */
typedef struct lm_param_row {
    const char *key;
    uint32_t kind;
    size_t offset;
    double min, max;
} lm_param_row;

typedef struct lm_param_array {
    const void *items;
    uint32_t count;
} lm_param_array;

/* Fills `target` from params by the table. Unknown keys, wrong kinds, duplicates and values out of
 * range are LLM_E_INVALID and name `what`, the thing that takes them. */
int32_t lm_params_read(const llm_param *params, uint32_t n_params, const lm_param_row *rows,
                       uint32_t n_rows, const char *what, void *target);

#endif
