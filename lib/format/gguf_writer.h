/* gguf_writer - writes GGUF v3 files: metadata and tensor descriptions in any order, then the data
 * of the tensors in the order they were described. The file appears under its name when it is
 * finished. For tools that make models; loading does not use it. */
#ifndef LM_FORMAT_GGUF_WRITER_H
#define LM_FORMAT_GGUF_WRITER_H

#include "format/gguf.h"

typedef struct lm_gguf_writer lm_gguf_writer;

int32_t lm_gguf_writer_create(lm_allocator *a, const char *path, lm_gguf_writer **out);
void lm_gguf_writer_destroy(lm_gguf_writer *w); /* leaves no file unless finished; NULL is fine */

/* Keys and tensors that are there already are errors; so is describing more once data has begun. A
 * call that fails changes nothing. Everything given is copied. */
int32_t lm_gguf_writer_value(lm_gguf_writer *w, const char *key, const lm_gguf_value *value);
int32_t lm_gguf_writer_u32(lm_gguf_writer *w, const char *key, uint32_t value);
int32_t lm_gguf_writer_f32(lm_gguf_writer *w, const char *key, float value);
int32_t lm_gguf_writer_bool(lm_gguf_writer *w, const char *key, bool value);
int32_t lm_gguf_writer_string(lm_gguf_writer *w, const char *key, const char *value);
int32_t lm_gguf_writer_strings(lm_gguf_writer *w, const char *key, const char *const *values,
                               uint64_t count);
int32_t lm_gguf_writer_i32s(lm_gguf_writer *w, const char *key, const int32_t *values,
                            uint64_t count);
int32_t lm_gguf_writer_f32s(lm_gguf_writer *w, const char *key, const float *values,
                            uint64_t count);

int32_t lm_gguf_writer_tensor(lm_gguf_writer *w, const char *name, const lm_format *format,
                              const uint64_t *dims, uint32_t n_dims);

/* The tensor whose data comes next and the bytes it still wants; NULL after the last. */
const lm_gguf_tensor *lm_gguf_writer_next(const lm_gguf_writer *w, uint64_t *bytes_left);
/* Data of all tensors, in order, in any number of pieces. */
int32_t lm_gguf_writer_data(lm_gguf_writer *w, const void *data, size_t size);
/* Whole rows of the next tensor, encoded; `importance` is NULL or has one weight per column. */
int32_t lm_gguf_writer_values(lm_gguf_writer *w, const float *values, uint64_t count,
                              const float *importance);
int32_t lm_gguf_writer_finish(lm_gguf_writer *w);

/* Whether a format can take these values; `n_importance` weights when there are any. */
int32_t lm_gguf_check_values(const lm_format *format, const float *values, uint64_t count,
                             const float *importance, uint64_t n_importance);

lm_allocator *lm_gguf_writer_allocator(const lm_gguf_writer *w);

#endif
