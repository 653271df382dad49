/* llm_model.h - a model file: opened from anywhere, inspected, planned, loaded.
 *
 * A model is immutable once open, reference-counted, and shared by any number of threads, engines and
 * sessions. Opening can stop before the weights (LLM_LOAD_HEADER), so that metadata, tokenizer and the
 * exact memory plan are known before anything large is read. */
#ifndef LLM_MODEL_H
#define LLM_MODEL_H

#include <llm/llm_types.h>
#include <llm/llm_engine.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LLM_LOAD_ALL    0u /* ready to run */
#define LLM_LOAD_HEADER 1u /* metadata, tokenizer, steps and plan; llm_model_load() does the rest */
#define LLM_LOAD_VOCAB  2u /* metadata and tokenizer only: any architecture, no devices */

#define LLM_SOURCE_MAP  0u /* map the file; truncating it meanwhile is the host's risk */
#define LLM_SOURCE_READ 1u /* read everything into memory */

typedef struct llm_model_params {
    uint32_t struct_size;
    uint32_t load;       /* LLM_LOAD_... */
    uint32_t source;     /* LLM_SOURCE_..., for paths and descriptors */
    uint32_t context;    /* longest sequence, at most what the model was trained for; 0: that */
    const char *devices; /* "cpu", "vulkan:0,cpu", "cpu:0=2G"; NULL: "cpu" */
    uint64_t budget;     /* hard bound of the bytes libllm asks for, weights, workspace and cache
                                  together; 0: none. A mapping of the file is not counted. */
    llm_progress_fn progress; /* called while weights load; may cancel; must not use the model */
    void *progress_user;
} llm_model_params;

/* Bytes for a model that is nowhere in the file system. `read` fills exactly `size` bytes from `offset`
 * and returns 0, or anything else on failure. Called by the threads that open the model, load it or ask
 * for tensor values, so as long as the model lives, and possibly by several at once. */
typedef struct llm_reader {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t size; /* of the whole file */
    int32_t (*read)(void *user, uint64_t offset, void *into, uint64_t size);
    void *user;
} llm_reader;

/* Opens "model.gguf", or the first file of a split set "model-00001-of-00003.gguf" with its siblings.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_open(llm_runtime *runtime, const char *path,
                               const llm_model_params *params, llm_model **out);

/* The same from an open file descriptor, which stays the caller's and may be closed afterwards.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_open_fd(llm_runtime *runtime, int32_t fd, const llm_model_params *params,
                                  llm_model **out);

/* The same from memory, which must outlive the model.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_open_memory(llm_runtime *runtime, const void *data, uint64_t size,
                                      const llm_model_params *params, llm_model **out);

/* The same through callbacks; all that sessions need is read before it returns (or in llm_model_load).
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_open_callbacks(llm_runtime *runtime, const llm_reader *reader,
                                         const llm_model_params *params, llm_model **out);

/* Loads the weights of a model opened with LLM_LOAD_HEADER; does nothing when they are loaded. All or
 * nothing. `progress` may be NULL and must not use the model.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_load(llm_model *model, llm_progress_fn progress, void *user);

/* One more holder; answers its argument. NULL is fine.
 * Thread-safety: any thread. */
LLM_API llm_model *llm_model_retain(llm_model *model);

/* Lets go; the model goes when no session, engine or tokenizer uses it any more. NULL is fine.
 * Thread-safety: any thread. */
LLM_API void llm_model_release(llm_model *model);

/* --- what is in it ---------------------------------------------------------------------------- */

typedef struct llm_model_info {
    uint32_t struct_size;
    uint32_t loaded;                                           /* 1: weights are there */
    char architecture[64];                                     /* "llama" */
    uint32_t n_vocab, n_layers, width, context_train, context; /* behind n_vocab: 0 with
                                                                  LLM_LOAD_VOCAB */
    uint32_t has_tokenizer; /* 0: llm_model_tokenizer() would fail */
    uint32_t makes_text;    /* 0: an encoder; use llm_embed() */
    uint32_t reserved;
    uint64_t parameters; /* values in all tensors */
    uint64_t file_bytes;
    uint64_t n_tensors, n_metadata, n_steps;
} llm_model_info;

/* What the model is, whatever part of it was opened.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_get_info(const llm_model *model, llm_model_info *out);

/* A metadata value. Arrays have LLM_KIND_... of their items, `is_array` 1 and are read item by item. */
typedef struct llm_metadata {
    uint32_t struct_size;
    uint32_t kind; /* LLM_KIND_INT, _FLOAT, _BOOL or _STRING */
    uint32_t is_array;
    uint32_t reserved;
    uint64_t count;   /* items; 1 when no array */
    const char *key;  /* NUL-terminated; lives as long as the model */
    const char *text; /* LLM_KIND_STRING: NUL-terminated; lives as long as the model */
    uint64_t text_size;
    int64_t integer; /* LLM_KIND_INT, _BOOL; INT64_MAX for what is larger */
    double number;   /* LLM_KIND_FLOAT; also set for integers */
} llm_metadata;

/* Item `item` (0 when no array) of the index-th pair; LLM_E_NOT_FOUND behind the last.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_metadata_at(const llm_model *model, uint64_t index, uint64_t item,
                                      llm_metadata *out);

/* The same by key.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_metadata_find(const llm_model *model, const char *key, uint64_t item,
                                        llm_metadata *out);

typedef struct llm_tensor_info {
    uint32_t struct_size;
    uint32_t n_dims;
    const char *name;   /* lives as long as the model */
    const char *format; /* "q4_k"; static */
    uint64_t dims[4];   /* dims[0] lies contiguous */
    uint64_t bytes;
    uint64_t file_offset;
} llm_tensor_info;

/* The index-th tensor; LLM_E_NOT_FOUND behind the last.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_tensor_at(const llm_model *model, uint64_t index, llm_tensor_info *out);

/* Values of a tensor as floats, from `first`; both must be multiples of the format's block.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_tensor_values(const llm_model *model, uint64_t index, uint64_t first,
                                        uint64_t count, float *values);

/* --- what it will do -------------------------------------------------------------------------- */

typedef struct llm_step_info {
    uint32_t struct_size;
    uint32_t segment; /* straight pieces that run on one device each */
    char device[40];
    char text[216];        /* "L03 attn_paged s4 -> s5 heads 8/4 dim 64 cache 3" */
    uint64_t flops;        /* per row */
    uint64_t weight_bytes; /* read per run */
} llm_step_info;

/* The index-th step as the devices will run it; LLM_E_NOT_FOUND behind the last.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_step_at(const llm_model *model, uint64_t index, llm_step_info *out);

/* What libllm will ask of one device for this model and an engine with these parameters (NULL:
 * defaults): exact, before anything is loaded. */
typedef struct llm_memory_plan {
    uint32_t struct_size;
    uint32_t page_tokens;
    char device[40];
    uint64_t weights;        /* copied or repacked onto the device */
    uint64_t workspace;      /* programs */
    uint64_t cache_fixed;    /* tables of the cache */
    uint64_t cache_page;     /* one page of every token group; pages are taken as sequences grow */
    uint64_t cache_sequence; /* fixed state of one sequence (recurrent models) */
    uint64_t cache_full;     /* one sequence of the engine's whole context */
    uint64_t mapped;         /* used in place from the mapped file; not counted by the budget */
} llm_memory_plan;

/* The plan of the index-th device of the model's list; LLM_E_NOT_FOUND behind the last.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_plan(const llm_model *model, const llm_engine_params *params,
                               uint32_t index, llm_memory_plan *out);

/* The model's tokenizer, retained for the caller.
 * Thread-safety: any thread. */
LLM_API int32_t llm_model_tokenizer(llm_model *model, llm_tokenizer **out);

#ifdef __cplusplus
}
#endif
#endif
