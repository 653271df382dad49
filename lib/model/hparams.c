/* hparams.c - reads hyper-parameters from metadata by the architecture's and the common table. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t scaling;
} scalings[] = {
    {"none", LM_SCALING_NONE},         {"linear", LM_SCALING_LINEAR}, {"yarn", LM_SCALING_YARN},
    {"longrope", LM_SCALING_LONGROPE}, {"su", LM_SCALING_LONGROPE},
};

typedef struct reader {
    lm_model *m;
    const lm_hparam_row *row;
    char key[192];
} reader;

static int32_t out_of_range(const reader *r, double value)
{
    return lm_fail(LLM_E_FORMAT, "metadata '%s' is %g; it must lie in [%g, %g]", r->key, value,
                   r->row->min, r->row->max);
}

static int32_t read_number(const reader *r, uint64_t index, double *out)
{
    if (r->row->type == LM_HPARAM_F32) {
        LM_TRY(lm_gguf_get_f64(r->m->gguf, r->key, index, out));
    } else {
        uint64_t value;
        LM_TRY(lm_gguf_get_u64(r->m->gguf, r->key, index, &value));
        *out = (double)value;
    }
    if (!(*out >= r->row->min && *out <= r->row->max))
        return out_of_range(r, *out);
    return LLM_OK;
}

static int32_t read_layers(const reader *r, const lm_gguf_value *value, void *field)
{
    lm_hparams *h = &r->m->h;
    uint32_t *items;
    memcpy(&items, field, sizeof items);
    if (value != NULL && value->is_array && value->count != h->n_layers)
        return lm_fail(LLM_E_FORMAT, "metadata '%s' has %llu values for %u layers", r->key,
                       (unsigned long long)value->count, (unsigned)h->n_layers);
    for (uint32_t i = 0; i < h->n_layers; i++) {
        double number = r->row->fallback;
        if (value != NULL)
            LM_TRY(read_number(r, value->is_array ? i : 0, &number));
        items[i] = (uint32_t)number;
    }
    return LLM_OK;
}

static int32_t read_scaling(const reader *r, void *field)
{
    lm_gguf_string name;
    LM_TRY(lm_gguf_get_string(r->m->gguf, r->key, &name));
    for (size_t i = 0; i < sizeof scalings / sizeof scalings[0]; i++) {
        if (strlen(scalings[i].name) == name.size &&
            memcmp(scalings[i].name, name.data, name.size) == 0) {
            memcpy(field, &scalings[i].scaling, sizeof(uint32_t));
            return LLM_OK;
        }
    }
    return lm_fail(LLM_E_UNSUPPORTED, "metadata '%s': unknown RoPE scaling '%s'", r->key,
                   lm_gguf_quote(name).text);
}

static void store(void *field, uint32_t type, double number)
{
    if (type == LM_HPARAM_F32) {
        float f = (float)number;
        memcpy(field, &f, sizeof f);
    } else if (type == LM_HPARAM_BOOL) {
        bool flag = number != 0;
        memcpy(field, &flag, sizeof flag);
    } else { /* only now: a number of another type may be beyond 32 bits */
        uint32_t u = (uint32_t)number;
        memcpy(field, &u, sizeof u);
    }
}

static int32_t read_row(lm_model *m, const lm_hparam_row *row)
{
    reader r = {m, row, ""};
    if (strncmp(row->key, "tokenizer.", 10) == 0)
        snprintf(r.key, sizeof r.key, "%s", row->key);
    else
        snprintf(r.key, sizeof r.key, "%s.%s", m->arch_name, row->key);
    const lm_gguf_value *value = lm_gguf_find(m->gguf, r.key);
    void *field = (char *)&m->h + row->offset;
    if (value == NULL && row->required)
        return lm_fail(LLM_E_FORMAT, "metadata '%s' is missing", r.key);
    if (row->type == LM_HPARAM_U32_LAYERS)
        return read_layers(&r, value, field);
    if (value != NULL && value->is_array)
        return lm_fail(LLM_E_FORMAT, "metadata '%s' is an array where one value belongs", r.key);
    double number = row->fallback;
    if (value == NULL) {
        if (!isnan(number))
            store(field, row->type, number);
        return LLM_OK;
    }
    if (row->type == LM_HPARAM_SCALING)
        return read_scaling(&r, field);
    if (row->type == LM_HPARAM_BOOL) {
        bool flag;
        LM_TRY(lm_gguf_get_bool(m->gguf, r.key, &flag));
        number = flag;
    } else {
        LM_TRY(read_number(&r, 0, &number));
    }
    store(field, row->type, number);
    return LLM_OK;
}

static int32_t read_tables(lm_model *m)
{
    for (uint32_t i = 0; i < lm_hparams_common_count; i++) {
        const lm_hparam_row *row = &lm_hparams_common[i];
        bool replaced = false;
        for (uint32_t k = 0; k < m->arch->n_hparams; k++)
            replaced |= m->arch->hparams[k].offset == row->offset &&
                        strcmp(m->arch->hparams[k].key, row->key) == 0;
        if (!replaced)
            LM_TRY(read_row(m, row));
    }
    for (uint32_t i = 0; i < m->arch->n_hparams; i++)
        LM_TRY(read_row(m, &m->arch->hparams[i]));
    return LLM_OK;
}

static int32_t read_layer_count(lm_model *m)
{
    char key[192];
    uint64_t layers;
    snprintf(key, sizeof key, "%s.block_count", m->arch_name);
    if (lm_gguf_find(m->gguf, key) == NULL)
        return lm_fail(LLM_E_FORMAT, "metadata '%s' is missing", key);
    LM_TRY(lm_gguf_get_u64(m->gguf, key, 0, &layers));
    if (layers == 0 || layers > LM_MAX_LAYERS)
        return lm_fail(LLM_E_FORMAT, "metadata '%s' is %llu; it must lie in [1, %u]", key,
                       (unsigned long long)layers, (unsigned)LM_MAX_LAYERS);
    m->h.n_layers = (uint32_t)layers;
    return LLM_OK;
}

static int32_t read_vocabulary_size(lm_model *m)
{
    const lm_gguf_tensor *t = lm_gguf_find_tensor(m->gguf, "token_embd.weight");
    if (t == NULL)
        return lm_fail(LLM_E_FORMAT, "the file has no tensor 'token_embd.weight'");
    if (t->dims[1] > INT32_MAX)
        return lm_fail(LLM_E_FORMAT, "a vocabulary of %llu tokens", (unsigned long long)t->dims[1]);
    m->h.n_vocab = (uint32_t)t->dims[1];
    return LLM_OK;
}

int32_t lm_hparams_read(lm_model *m)
{
    lm_hparams *h = &m->h;
    h->causal = true;
    LM_TRY(read_layer_count(m));
    LM_TRY(read_vocabulary_size(m));
    uint32_t **arrays[] = {&h->heads, &h->kv_heads, &h->ff};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i] = LM_ARENA_ARRAY(&m->arena, uint32_t, h->n_layers);
        if (*arrays[i] == NULL)
            return LLM_E_MEMORY;
    }
    LM_TRY(read_tables(m));
    return m->arch->check(h, m->arch_name);
}
