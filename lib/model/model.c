/* model.c - puts a model together: architecture, hyper-parameters, weights, steps, tokenizer. */
#include "model/model.h"

#include "base/hash.h"
#include "model/vocab_gguf.h"

#include <string.h>

static int32_t find_architecture(lm_model *m)
{
    lm_gguf_string name;
    if (lm_gguf_find(m->gguf, "general.architecture") == NULL)
        return lm_fail(LLM_E_FORMAT, "metadata 'general.architecture' is missing");
    LM_TRY(lm_gguf_get_string(m->gguf, "general.architecture", &name));
    if (name.size == 0 || name.size >= sizeof m->arch_name)
        return lm_fail(LLM_E_FORMAT, "general.architecture is a text of %llu bytes",
                       (unsigned long long)name.size);
    memcpy(m->arch_name, name.data, name.size);
    m->arch = lm_arch_by_name(m->arch_name);
    if (m->arch == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "the architecture '%s' is not supported",
                       lm_gguf_quote(name).text);
    return LLM_OK;
}

static int32_t build_network(lm_model *m, uint32_t context)
{
    LM_TRY(find_architecture(m));
    LM_TRY(lm_hparams_read(m));
    LM_TRY(lm_weights_resolve(m));
    if (context > m->h.context_train)
        return lm_fail(LLM_E_LIMIT, "a context of %u tokens; the model was trained for %u",
                       (unsigned)context, (unsigned)m->h.context_train);
    m->context = context == 0 ? m->h.context_train : context;
    lm_emit e = {.h = &m->h, .roles = m->roles, .context = m->context};
    lm_builder_init(&e.b, &m->network, &m->network.decode);
    m->network.n_layers = m->h.n_layers;
    m->network.width = m->h.width;
    m->network.n_vocab = m->h.n_vocab;
    m->network.causal = m->h.causal;
    m->arch->emit(&e);
    LM_TRY(lm_builder_status(&e.b));
    return lm_graph_check(&m->network, &m->network.decode);
}

static int32_t build_tokenizer(lm_model *m)
{
    lm_vocab vocab;
    LM_TRY(lm_vocab_from_gguf(m->gguf, &m->arena, &vocab));
    return lm_tokenizer_create(m->alloc, &m->log, &vocab, &m->tokenizer);
}

/* Running out of memory is never a property of the file, so it is not kept but passed on. */
static int32_t keep(lm_part_status *part, int32_t code)
{
    part->code = code;
    if (code < 0)
        memcpy(part->message, lm_message(), sizeof part->message);
    return code == LLM_E_MEMORY ? code : LLM_OK;
}

/* Two models agree in this when saved state may move between them: same tensors, same shapes, same
 * first bytes of every tensor. */
static int32_t make_fingerprint(lm_model *m)
{
    uint64_t a = 1, b = 2;
    for (uint64_t i = 0; i < m->gguf->n_tensors; i++) {
        const lm_gguf_tensor *t = &m->gguf->tensors[i];
        unsigned char sample[64] = {0};
        size_t size = t->bytes < sizeof sample ? (size_t)t->bytes : sizeof sample;
        LM_TRY(lm_gguf_read(m->gguf, t, 0, sample, size));
        a = lm_hash(t->name.data, t->name.size, a) ^ t->format->id;
        a = lm_hash(t->dims, sizeof t->dims, a);
        b = lm_hash(sample, size, b ^ a);
    }
    m->fingerprint[0] = lm_mix64(a);
    m->fingerprint[1] = lm_mix64(b);
    return LLM_OK;
}

int32_t lm_model_create(lm_allocator *alloc, const lm_log *log, lm_gguf *gguf,
                        const lm_model_options *options, lm_model **out)
{
    lm_model *m = LM_NEW(alloc, lm_model);
    if (m == NULL) {
        lm_gguf_close(gguf);
        return LLM_E_MEMORY;
    }
    m->alloc = alloc;
    m->log = *log;
    m->gguf = gguf;
    lm_arena_init(&m->arena, alloc);
    lm_network_init(&m->network, alloc);
    int32_t rc = LLM_OK;
    if (options->vocabulary_only)
        keep(&m->network_status,
             lm_fail(LLM_E_STATE, "the model was opened for its vocabulary only"));
    else if (gguf->n_tensors == 0)
        keep(&m->network_status,
             lm_fail(LLM_E_UNSUPPORTED, "the file holds a vocabulary but no tensors"));
    else
        LM_GO(keep(&m->network_status, build_network(m, options->context)));
    LM_GO(keep(&m->tokenizer_status, build_tokenizer(m)));
    LM_GO(make_fingerprint(m));
    *out = m;
    return LLM_OK;
out:
    lm_model_destroy(m);
    return rc;
}

void lm_model_destroy(lm_model *m)
{
    if (m == NULL)
        return;
    lm_tokenizer_destroy(m->tokenizer);
    lm_free_array(m->alloc, m->sources, m->sources_capacity, sizeof *m->sources);
    lm_network_finish(&m->network);
    lm_arena_finish(&m->arena);
    lm_gguf_close(m->gguf);
    LM_DELETE(m->alloc, m);
}

int32_t lm_model_need_network(const lm_model *m)
{
    if (m->network_status.code < 0)
        return lm_fail_again(m->network_status.code, m->network_status.message);
    return LLM_OK;
}

int32_t lm_model_need_tokenizer(const lm_model *m)
{
    if (m->tokenizer_status.code < 0)
        return lm_fail_again(m->tokenizer_status.code, m->tokenizer_status.message);
    return LLM_OK;
}
