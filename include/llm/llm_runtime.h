/* llm_runtime.h - the root object: memory, log, threads, devices.
 *
 * A process may have any number of runtimes; they share nothing. Destroying a runtime while models or
 * sessions still use it is fine: it goes when the last of them goes. */
#ifndef LLM_RUNTIME_H
#define LLM_RUNTIME_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a model file may ask for. Zero fields mean the default in brackets. As a part of
 * llm_runtime_params this structure does not grow. */
typedef struct llm_limits {
    uint32_t struct_size;
    uint32_t parts;        /* files of a split set [1024] */
    uint64_t header_bytes; /* metadata and tensor table [512 MiB] */
    uint64_t string_bytes; /* one text [64 MiB] */
    uint64_t array_items;  /* one metadata array [64 Mi] */
    uint64_t pairs;        /* metadata keys [65536] */
    uint64_t tensors;      /* [1 Mi] */
} llm_limits;

typedef struct llm_runtime_params {
    uint32_t struct_size;
    uint32_t threads;        /* compute threads of the CPU; 0: as many as the process may use */
    llm_allocator allocator; /* zero: the C library's */
    llm_log_fn log;          /* NULL: silence */
    void *log_user;
    llm_parallel_fn parallel; /* the host's own thread pool, `threads` wide; NULL: our own team */
    void *parallel_user;
    const char *module_folder;    /* where libllm-<backend>.so lie; NULL: beside the library */
    llm_limits limits;            /* struct_size 0: the defaults */
    uint64_t cpu_features_masked; /* CPU instruction sets not to use; for tests */
    /* A folder where backends keep the kernels that drivers compile for them, which makes later opens
     * faster; files there are read and replaced. NULL: none is kept. */
    const char *kernel_cache;
} llm_runtime_params;

typedef struct llm_device_info {
    uint32_t struct_size;
    uint32_t threads;      /* of a CPU device; else 0 */
    char id[40];           /* as device lists name it: "cpu:0" */
    char name[128];        /* as the maker does */
    uint8_t uuid[16];      /* zero: none */
    uint64_t memory_total; /* bytes; 0: unknown */
    uint64_t memory_free;
} llm_device_info;

typedef struct llm_memory_use {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t bytes; /* held by host objects of this runtime now (devices count theirs) */
    uint64_t peak;
    uint64_t allocations; /* made since the runtime exists */
} llm_memory_use;

/* A runtime; NULL: all defaults.
 * Thread-safety: any thread. */
LLM_API int32_t llm_runtime_create(const llm_runtime_params *params, llm_runtime **out);

/* Lets go of the runtime. NULL is fine.
 * Thread-safety: any thread; the handle must not be used afterwards. */
LLM_API void llm_runtime_destroy(llm_runtime *runtime);

/* The index-th device of all backends that are there; LLM_E_NOT_FOUND behind the last. Backends that are
 * installed but find no device are passed over, and so are "ref" and "null", which compute slowly or not at
 * all to prove the others and can only be named.
 * Thread-safety: any thread. */
LLM_API int32_t llm_runtime_device_at(llm_runtime *runtime, uint32_t index, llm_device_info *out);

/* The host memory that the runtime and all that was made with it hold.
 * Thread-safety: any thread. */
LLM_API int32_t llm_runtime_memory(llm_runtime *runtime, llm_memory_use *out);

#ifdef __cplusplus
}
#endif
#endif
