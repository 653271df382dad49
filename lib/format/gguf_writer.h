/* gguf_writer - writes GGUF v3 files: header from pairs and tensor descriptions, then tensor data in
 * the same order. For the tools (synthetic models, tests), not for loading. */
#ifndef LM_FORMAT_GGUF_WRITER_H
#define LM_FORMAT_GGUF_WRITER_H

#include "base/alloc.h"
#include "quant/quant.h"

typedef struct lm_gguf_writer lm_gguf_writer;

int32_t lm_gguf_writer_create(lm_allocator *a, const char *path, lm_gguf_writer **out);
void lm_gguf_writer_destroy(lm_gguf_writer *w); /* closes; removes the file unless finished */

int32_t lm_gguf_writer_u32(lm_gguf_writer *w, const char *key, uint32_t value);
int32_t lm_gguf_writer_f32(lm_gguf_writer *w, const char *key, float value);
int32_t lm_gguf_writer_bool(lm_gguf_writer *w, const char *key, bool value);
int32_t lm_gguf_writer_string(lm_gguf_writer *w, const char *key, const char *value);
int32_t lm_gguf_writer_strings(lm_gguf_writer *w, const char *key, const char *const *values,
                               uint64_t count);
int32_t lm_gguf_writer_i32s(lm_gguf_writer *w, const char *key, const int32_t *values, uint64_t count);
int32_t lm_gguf_writer_f32s(lm_gguf_writer *w, const char *key, const float *values, uint64_t count);

int32_t lm_gguf_writer_tensor(lm_gguf_writer *w, const char *name, const lm_format *format,
                              const uint64_t *dims, uint32_t n_dims);
/* After the last tensor is announced: data of all tensors, in order, in any number of pieces. */
int32_t lm_gguf_writer_data(lm_gguf_writer *w, const void *data, size_t size);
int32_t lm_gguf_writer_finish(lm_gguf_writer *w);

#endif
