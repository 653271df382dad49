/* llm_engine.h - where sessions of one model meet: one page pool, one budget, one prefix tree, one
 * executor.
 *
 * Most hosts never make one: sessions that name no engine share their model's default one, made with
 * the first of them and kept as long as the model, so that later sessions find what earlier ones
 * computed. The engine is thread-safe: whoever needs a step runs it, and the rows that other threads
 * have ready join that batch. Results never depend on who else is in it. */
#ifndef LLM_ENGINE_H
#define LLM_ENGINE_H

#include <llm/llm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LLM_ENGINE_NO_SHARING 1u /* no prefix reuse between sessions */
#define LLM_ENGINE_UNFUSED    2u /* every step on its own: for tests and profiles */
#define LLM_ENGINE_FAST       4u /* arithmetic that may depend on the batch, where it is faster */

typedef struct llm_engine_params {
    uint32_t struct_size;
    uint32_t flags;          /* LLM_ENGINE_... */
    uint32_t context;        /* longest sequence, at most the model's; 0: the model's */
    uint32_t page_tokens;    /* tokens per page, 16 to 128, a power of two; 0: 32 */
    uint32_t max_rows;       /* rows of one batch; 0: 512 */
    uint32_t max_sequences;  /* sequences of one batch; 0: 16 */
    uint32_t max_outputs;    /* rows of one batch whose logits may be asked for; 0: 32 */
    uint32_t state_interval; /* tokens between checkpoints of recurrent state; 0: 1024 */
    const char *cache_type; /* "f16" (default), "f32", "bf16", "q8_0", "q4_0"; "e4m3": cut at 448 */
    uint64_t cache_budget;  /* bytes of pages over all devices; 0: what the model's budget leaves */
} llm_engine_params;

typedef struct llm_engine_stats {
    uint32_t struct_size;
    uint32_t exact;         /* 1: no result depends on batch, threads, chunks or pages */
    uint64_t runs;          /* batches executed */
    uint64_t rows;          /* rows in them */
    uint64_t shared_rows;   /* rows of batches that held more than one sequence */
    uint64_t reused_tokens; /* not computed because a prefix was there */
    uint64_t pages_total, pages_free, pages_cached; /* cached: kept for reuse only */
    uint64_t device_bytes; /* taken on all devices: weights, cache, workspace */
} llm_engine_stats;

/* An engine of its own, for hosts that want another cache type, page size or budget. LLM_E_STATE while
 * the model's weights are not loaded; LLM_E_BUDGET when the model's budget has no room for another.
 * Thread-safety: any thread. */
LLM_API int32_t llm_engine_create(llm_model *model, const llm_engine_params *params,
                                  llm_engine **out);

/* One more holder; answers its argument. NULL is fine.
 * Thread-safety: any thread. */
LLM_API llm_engine *llm_engine_retain(llm_engine *engine);

/* Lets go; the engine goes when its last session goes. NULL is fine.
 * Thread-safety: any thread. */
LLM_API void llm_engine_release(llm_engine *engine);

/* What the engine has done so far and holds now.
 * Thread-safety: any thread. */
LLM_API int32_t llm_engine_get_stats(llm_engine *engine, llm_engine_stats *out);

/* Gives back the pages that are only kept for reuse: to the engine's other sequences, not to the system.
 * Thread-safety: any thread. */
LLM_API int32_t llm_engine_trim(llm_engine *engine);

#ifdef __cplusplus
}
#endif
#endif
