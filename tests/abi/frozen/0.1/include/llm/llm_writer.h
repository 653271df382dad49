/* llm_writer.h - making model files, and the formats their weights can be stored in.
 *
 * A writer takes metadata and the descriptions of all tensors first, in any order, and then the
 * tensors' data in the order they were described:
 *
 *   llm_writer_create(runtime, "model.gguf", "gguf", &w);
 *   llm_writer_set(w, &(llm_param){"general.architecture", LLM_KIND_STRING, 0, {.s = "llama"}});
 *   llm_writer_tensor(w, "token_embd.weight", "q8_0", 2, dims);
 *   llm_writer_values(w, values, count, NULL);
 *   llm_writer_finish(w);
 *
 * The file appears under its name when it is finished, never half-written. A call that fails leaves
 * the writer as it was, except when the system refuses to write: then all later calls fail the same
 * way. */
#ifndef LLM_WRITER_H
#define LLM_WRITER_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct llm_writer llm_writer;

/* --- storage formats -------------------------------------------------------------------------- */

typedef struct llm_format_info {
    uint32_t struct_size;
    uint32_t block;      /* values per block; the first dimension of a tensor is a multiple of it */
    uint32_t bytes;      /* of a block */
    uint32_t can_encode; /* 1: llm_writer_values() can write it */
    uint32_t can_decode; /* 1: llm_model_tensor_values() can read it; 0: no weights, such as i32 */
    uint32_t reserved;
    const char *name; /* "q4_k", lower case; static storage */
} llm_format_info;

/* The index-th format this library knows; LLM_E_NOT_FOUND behind the last.
 * Thread-safety: any thread. */
LLM_API int32_t llm_format_at(uint32_t index, llm_format_info *out);

/* The same by name; LLM_E_NOT_FOUND when there is none of this name.
 * Thread-safety: any thread. */
LLM_API int32_t llm_format_find(const char *name, llm_format_info *out);

/* Encodes `count` values, a multiple of the format's block, as llm_writer_values() does, for hosts
 * that encode on several threads or use what they encoded more than once. `importance` is NULL or
 * holds one weight per value. *size receives the bytes there are; LLM_E_BUFFER when `capacity` is
 * less.
 * Thread-safety: any thread. */
LLM_API int32_t llm_format_encode(const char *format, const float *values, uint64_t count,
                                  const float *importance, void *blocks, uint64_t capacity,
                                  uint64_t *size);

/* --- writing ---------------------------------------------------------------------------------- */

/* Begins a file of the container named `format`: "gguf" (version 3).
 * Thread-safety: any thread; the writer then serves one thread at a time. */
LLM_API int32_t llm_writer_create(llm_runtime *runtime, const char *path, const char *format,
                                  llm_writer **out);

/* Destroys the writer; a file that was not finished does not come to be, and one that was at its
 * path before stays. NULL is fine. Thread-safety: one thread at a time. */
LLM_API void llm_writer_destroy(llm_writer *writer);

/* Adds the metadata `param->key`. An integer is stored as u32 when it fits, else as i32 or i64; a
 * float as f32; tokens and floats as arrays of i32 and f32. A key that is there already, or
 * anything after the first data, is an error. Thread-safety: one thread at a time. */
LLM_API int32_t llm_writer_set(llm_writer *writer, const llm_param *param);

/* Adds an array of NUL-terminated strings.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_writer_strings(llm_writer *writer, const char *key, const char *const *values,
                                   uint64_t count);

/* Adds the index-th metadata of a model exactly as it is there; LLM_E_NOT_FOUND behind the last.
 * What describes the file and not the model (general.alignment, split.*) is passed over with
 * LLM_OK. Thread-safety: one thread at a time. */
LLM_API int32_t llm_writer_copy(llm_writer *writer, const llm_model *model, uint64_t index);

/* Announces a tensor in the storage format named `format`; dims[0] lies contiguous. 1 to 4
 * dimensions. Thread-safety: one thread at a time. */
LLM_API int32_t llm_writer_tensor(llm_writer *writer, const char *name, const char *format,
                                  uint32_t n_dims, const uint64_t *dims);

/* Encodes whole rows of the tensor whose turn it is: `count` values, a multiple of its dims[0] and
 * no more than it still wants. `importance`, or NULL, holds dims[0] weights, finite and not
 * negative: how much errors in each column matter. Block formats take finite values only.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_writer_values(llm_writer *writer, const float *values, uint64_t count,
                                  const float *importance);

/* Writes bytes that are encoded already; any pieces, also over the ends of tensors.
 * Thread-safety: one thread at a time. */
LLM_API int32_t llm_writer_bytes(llm_writer *writer, const void *data, uint64_t size);

/* Completes the file and puts it under its name. LLM_E_STATE while a tensor still wants data.
 * Afterwards only llm_writer_destroy() is of use. Thread-safety: one thread at a time. */
LLM_API int32_t llm_writer_finish(llm_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
