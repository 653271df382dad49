/* weights.c - finds each tensor an architecture lists, checks its shape against the hyper-parameters, and
 * enters it (or the rows of it that a view names) into the network. */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

typedef struct resolver {
    lm_model *m;
    lm_builder b;
    uint32_t layer; /* n_layers: outside */
} resolver;

static bool applies(const resolver *r, const lm_tensor_row *row)
{
    bool experts = r->layer < r->m->h.n_layers && lm_layer_has_experts(&r->m->h, r->layer);
    if ((row->flags & LM_TENSOR_IF_EXPERTS) != 0 && !experts)
        return false;
    return (row->flags & LM_TENSOR_IF_DENSE) == 0 || !experts;
}

static int32_t check_shape(const lm_tensor_row *row, const lm_gguf_tensor *t, uint64_t cols,
                           uint64_t rows, uint64_t experts)
{
    bool vector = (row->uses & LM_USE_VECTOR) != 0;
    uint64_t values = cols * rows * experts;
    bool fits = vector ? t->count == values
                       : t->dims[0] == cols && t->dims[1] == rows && t->dims[2] == experts &&
                             t->dims[3] == 1;
    if (fits)
        return LLM_OK;
    return lm_fail(LLM_E_FORMAT,
                   "tensor '%s' is [%llu, %llu, %llu, %llu] where the hyper-parameters say "
                   "[%llu, %llu, %llu]",
                   t->name.data, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
                   (unsigned long long)t->dims[2], (unsigned long long)t->dims[3],
                   (unsigned long long)cols, (unsigned long long)rows, (unsigned long long)experts);
}

/* A matrix, or the rows of it that the view names. */
static int32_t describe_matrix(const resolver *r, const lm_tensor_row *row, const lm_gguf_tensor *t,
                               lm_weight_desc *desc, lm_weight_source *source)
{
    const lm_hparams *h = &r->m->h;
    uint64_t cols = lm_dim(h, row->cols, r->layer), rows = lm_dim(h, row->rows, r->layer);
    uint64_t experts = lm_dim(h, row->experts, r->layer), row_bytes;
    uint64_t first =
        lm_dim(h, row->view_first[0], r->layer) + lm_dim(h, row->view_first[1], r->layer);
    uint64_t count = row->view_rows == LM_DIM_NONE ? rows : lm_dim(h, row->view_rows, r->layer);
    LM_TRY(check_shape(row, t, cols, rows, experts));
    if (!lm_format_row_bytes(t->format, cols, &row_bytes) || first + count > rows ||
        rows > INT32_MAX || cols > INT32_MAX)
        return lm_fail(LLM_E_FORMAT, "tensor '%s': %llu rows of %llu values in %s", t->name.data,
                       (unsigned long long)rows, (unsigned long long)cols, t->format->name);
    desc->rows = (uint32_t)count;
    desc->cols = (uint32_t)cols;
    desc->experts = (uint32_t)experts;
    desc->bytes = count * row_bytes * experts;
    source->offset = first * row_bytes;
    return LLM_OK;
}

/* A vector, or the values of it that the view names. Convolution taps are vectors with rows. */
static int32_t describe_vector(const resolver *r, const lm_tensor_row *row, const lm_gguf_tensor *t,
                               lm_weight_desc *desc, lm_weight_source *source)
{
    const lm_hparams *h = &r->m->h;
    uint64_t cols = lm_dim(h, row->cols, r->layer), rows = lm_dim(h, row->rows, r->layer);
    uint64_t first =
        lm_dim(h, row->view_first[0], r->layer) + lm_dim(h, row->view_first[1], r->layer);
    uint64_t count = row->view_rows == LM_DIM_NONE ? cols : lm_dim(h, row->view_rows, r->layer);
    LM_TRY(check_shape(row, t, cols, rows, 1));
    if (t->format->block != 1 || first + count > cols)
        return lm_fail(LLM_E_UNSUPPORTED, "tensor '%s' is a vector stored as %s", t->name.data,
                       t->format->name);
    desc->rows = (uint32_t)rows;
    desc->cols = (uint32_t)count;
    desc->experts = 1;
    desc->bytes = count * rows * t->format->bytes;
    source->offset = first * t->format->bytes;
    return LLM_OK;
}

static int32_t add(resolver *r, const lm_tensor_row *row, const lm_gguf_tensor *t, uint32_t *index)
{
    lm_model *m = r->m;
    if (t->format->decode == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "tensor '%s' is stored as %s, which holds no weights",
                       t->name.data, t->format->name);
    lm_weight_desc desc = {.name = t->name.data, .format = t->format, .uses = row->uses};
    lm_weight_source source = {t, 0};
    LM_TRY((row->uses & LM_USE_VECTOR) != 0 ? describe_vector(r, row, t, &desc, &source)
                                            : describe_matrix(r, row, t, &desc, &source));
    LM_TRY(lm_grow(m->alloc, (void **)&m->sources, &m->sources_capacity, m->network.n_weights + 1,
                   sizeof *m->sources));
    *index = lm_build_weight(&r->b, &desc);
    LM_TRY(lm_builder_status(&r->b));
    m->sources[*index] = source;
    return LLM_OK;
}

static int32_t resolve_row(resolver *r, const lm_tensor_row *row)
{
    lm_model *m = r->m;
    uint32_t *role = &m->roles[(size_t)r->layer * LM_ROLE_COUNT + row->role];
    if (*role != LM_NONE || !applies(r, row))
        return LLM_OK;
    char name[96];
    snprintf(name, sizeof name, row->name, (unsigned)r->layer);
    const lm_gguf_tensor *t = lm_gguf_find_tensor(m->gguf, name);
    if (t == NULL)
        return LLM_OK;
    return add(r, row, t, role);
}

/* Rows for one role are alternatives: only when none was found and none is optional is it missing. */
static int32_t check_present(const resolver *r, const lm_tensor_row *row)
{
    const lm_model *m = r->m;
    if (m->roles[(size_t)r->layer * LM_ROLE_COUNT + row->role] != LM_NONE || !applies(r, row) ||
        (row->flags & LM_TENSOR_OPTIONAL) != 0)
        return LLM_OK;
    char name[96];
    snprintf(name, sizeof name, row->name, (unsigned)r->layer);
    return lm_fail(LLM_E_FORMAT, "the file has no tensor '%s'", name);
}

static int32_t resolve_layer(resolver *r)
{
    const lm_arch *arch = r->m->arch;
    bool inside = r->layer < r->m->h.n_layers;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < arch->n_tensors; i++) {
            const lm_tensor_row *row = &arch->tensors[i];
            if (((row->flags & LM_TENSOR_PER_LAYER) != 0) != inside)
                continue;
            LM_TRY(pass == 0 ? resolve_row(r, row) : check_present(r, row));
        }
    }
    return LLM_OK;
}

int32_t lm_weights_resolve(lm_model *m)
{
    size_t n_roles = ((size_t)m->h.n_layers + 1) * LM_ROLE_COUNT;
    m->roles = LM_ARENA_ARRAY(&m->arena, uint32_t, n_roles);
    if (m->roles == NULL)
        return LLM_E_MEMORY;
    for (size_t i = 0; i < n_roles; i++)
        m->roles[i] = LM_NONE;
    resolver r = {.m = m};
    lm_builder_init(&r.b, &m->network, &m->network.decode);
    for (r.layer = 0; r.layer <= m->h.n_layers; r.layer++)
        LM_TRY(resolve_layer(&r));
    return LLM_OK;
}
