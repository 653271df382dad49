/* llm_types.h - what all headers share: linkage, fixed-width types, named parameters, callbacks.
 *
 * Structures that callers fill or receive begin with `struct_size`, set by the caller to
 * sizeof(the struct); the LLM_..._INIT macros do it. An input structure that is all zero behind it
 * means "defaults". A field whose own zero is meaningful is only read when its bit is in
 * `set_mask`. Structures only ever grow at their end. */
#ifndef LLM_TYPES_H
#define LLM_TYPES_H

#include <stddef.h>
#include <stdint.h>

#if defined(LLM_STATIC)
#define LLM_API
#elif defined(_WIN32)
#if defined(LLM_BUILDING)
#define LLM_API __declspec(dllexport)
#else
#define LLM_API __declspec(dllimport)
#endif
#elif defined(LLM_BUILDING) && (defined(__GNUC__) || defined(__clang__))
#define LLM_API __attribute__((visibility("default")))
#else
#define LLM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct llm_runtime llm_runtime;
typedef struct llm_model llm_model;
typedef struct llm_tokenizer llm_tokenizer;
typedef struct llm_engine llm_engine;
typedef struct llm_session llm_session;
typedef struct llm_sampler llm_sampler;

/* A token id. Negative numbers are never valid ids. */
typedef int32_t llm_token;

/* Kinds of an llm_param and of a metadata value. */
#define LLM_KIND_NONE   0u
#define LLM_KIND_INT    1u /* value.i */
#define LLM_KIND_FLOAT  2u /* value.f */
#define LLM_KIND_BOOL   3u /* value.i, 0 or 1 */
#define LLM_KIND_STRING 4u /* value.s, NUL-terminated */
#define LLM_KIND_TOKENS 5u /* value.p: const llm_token *, with `count` */
#define LLM_KIND_FLOATS 6u /* value.p: const float *, with `count` */

/* A named parameter. Unknown keys and wrong kinds are errors, so a spelling mistake never passes;
 * an integer is accepted where a float is wanted. */
typedef struct llm_param {
    const char *key;
    uint32_t kind;
    uint32_t count; /* items behind value.p; 0 otherwise */
    union {
        int64_t i;
        double f;
        const char *s;
        const void *p;
    } value;
} llm_param;

/* Memory comes from here when the host gives one. `alloc` returns NULL when it has none; `size` is
 * passed back to `free`. Both must be callable from any thread. */
typedef struct llm_allocator {
    void *user;
    void *(*alloc)(void *user, uint64_t size, uint64_t align);
    void (*free)(void *user, void *block, uint64_t size);
} llm_allocator;

#define LLM_LOG_ERROR 0u
#define LLM_LOG_WARN  1u
#define LLM_LOG_INFO  2u
#define LLM_LOG_DEBUG 3u

/* Receives one line without newline. Called from any thread; must not call back into the library. */
typedef void (*llm_log_fn)(void *user, uint32_t level, const char *line);

/* A thread pool of the host: run `task(arg, i)` for every i in [0, count), possibly at once, and
 * return when all have returned. */
typedef void (*llm_task_fn)(void *arg, uint32_t index);
typedef void (*llm_parallel_fn)(void *user, uint32_t count, llm_task_fn task, void *arg);

/* Progress of a long operation, `done` of `total`. Return nonzero to cancel it. */
typedef int32_t (*llm_progress_fn)(void *user, uint64_t done, uint64_t total);

#ifdef __cplusplus
}
#endif
#endif
