/* handles - the objects behind the public pointers: reference counts and locks around the inner ones. */
#ifndef LM_API_HANDLES_H
#define LM_API_HANDLES_H

#include <llm/llm.h>

#include "backend/registry.h"
#include "base/os.h"
#include "base/params.h"
#include "base/refcount.h"
#include "exec/engine.h"
#include "exec/session.h"
#include "plan/plan.h"
#include "sample/sampler.h"

struct llm_runtime {
    lm_refcount refs;
    lm_allocator alloc;
    lm_log log;
    lm_limits limits;
    lm_os_mutex mutex; /* guards the registry */
    lm_registry registry;
    char *kernel_cache;
};

struct llm_model {
    lm_refcount refs;
    llm_runtime *runtime; /* retained */
    lm_model *inner;
    lm_placement *placement; /* NULL: vocabulary only, or no network */
    lm_os_mutex mutex;       /* guards loading and making the default engine */
    llm_engine
        *engine; /* the default one, owned: made when first wanted, kept as long as the model */
};

/* A tokenizer handle is its model seen from another side. */
struct llm_tokenizer {
    lm_refcount refs;
    llm_model *model; /* retained */
};

struct llm_engine {
    lm_refcount refs; /* of a default engine unused: who holds it holds its model */
    llm_model *model; /* retained; by a default engine: its owner */
    lm_engine *inner;
    bool is_default;
};

struct llm_session {
    llm_engine *engine; /* retained */
    lm_session *inner;
    _Atomic uint32_t busy;
};

struct llm_sampler {
    llm_runtime *runtime; /* retained */
    lm_chain *chain;
    _Atomic uint32_t busy;
};

void lm_runtime_retain(llm_runtime *rt);
void lm_runtime_release(llm_runtime *rt);

/* The engine a session or embedding asked for, retained: `wanted`, or the model's default one. */
int32_t lm_engine_for(llm_model *model, llm_engine *wanted, llm_engine **out);

/* Ends an engine that nobody holds. */
void lm_engine_handle_destroy(llm_engine *engine);

/* From public engine parameters (NULL: defaults) to the shape programs are made for. */
int32_t lm_engine_options_from(const llm_model *model, const llm_engine_params *given,
                               lm_engine_options *out);

#define lm_want(pointer, what)                                                                     \
    do {                                                                                           \
        if ((pointer) == NULL)                                                                     \
            return lm_fail(LLM_E_INVALID, "%s: " what " is NULL", __func__);                       \
    } while (0)

#endif
