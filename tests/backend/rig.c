/* rig.c - a device with a model on it: opening, loading, closing, comparing. */
#include "backend/rig.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *rig_modules;
uint64_t rig_seed;

const lm_backend *rig_backend(const char *name)
{
    static lm_registry registry; /* modules stay loaded to the end */
    static const lm_host host;
    const lm_backend *backend = NULL;
    if (registry.n_entries == 0)
        assert_ok(lm_registry_init(&registry, NULL, &host, rig_modules));
    assert_ok(lm_registry_find(&registry, name, &backend));
    return backend;
}

static void *grab(size_t count, size_t size)
{
    void *p = calloc(count, size);
    assert_non_null(p);
    return p;
}

/* --- what will be asked of the device --------------------------------------------------------- */

static void describe_group(rig *r, uint32_t group)
{
    const lm_network *n = &r->m->network;
    lm_cache_desc *d = &r->cache_desc[group];
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->n_caches; i++)
        if (n->caches[i].group == group)
            r->members[group][count++] = i;
    bool state = n->groups[group].kind == LM_CACHE_STATE;
    r->max_pages[group] =
        state ? 2 * r->o.n_seqs : r->o.n_seqs * (r->o.context / r->o.page_tokens + 1);
    *d = (lm_cache_desc){.entries = n->caches,
                         .n_entries = (uint32_t)n->n_caches,
                         .members = r->members[group],
                         .n_members = count,
                         .kind = n->groups[group].kind,
                         .page_tokens = r->o.page_tokens,
                         .k_format = lm_format_by_id(r->o.k_format),
                         .v_format = lm_format_by_id(r->o.v_format),
                         .max_pages = r->max_pages[group]};
}

static void describe_program(rig *r)
{
    for (uint32_t i = 0; i < r->m->n_inputs; i++)
        r->slots_in[i] = r->m->inputs[i].slot;
    for (uint32_t i = 0; i < r->m->n_outputs; i++)
        r->slots_out[i] = r->m->outputs[i].slot;
    r->desc = (lm_program_desc){.network = &r->m->network,
                                .graph = &r->m->graph,
                                .steps = r->m->graph.steps,
                                .n_steps = r->m->graph.n_steps,
                                .inputs = r->slots_in,
                                .n_inputs = r->m->n_inputs,
                                .outputs = r->slots_out,
                                .n_outputs = r->m->n_outputs,
                                .weights = r->weights,
                                .caches = r->caches,
                                .limits = {r->o.max_rows, r->o.max_rows, r->o.n_seqs},
                                .context = r->o.context,
                                .numerics = r->o.fast ? LM_NUMERICS_FAST : LM_NUMERICS_EXACT,
                                .fused = !r->o.unfused};
}

static void prepare_seqs(rig *r)
{
    const lm_network *n = &r->m->network;
    for (uint32_t s = 0; s < r->o.n_seqs; s++) {
        r->seqs[s].state = LM_NONE;
        for (uint32_t g = 0; g < n->n_groups; g++)
            r->seqs[s].pages[g] = grab(r->o.context / 16 + 1, sizeof(uint32_t));
        for (uint32_t o = 0; o < r->m->n_outputs; o++) {
            uint32_t width = r->m->graph.slots[r->m->outputs[o].slot].width;
            r->seqs[s].results[o] = grab((size_t)r->o.context * width, sizeof(float));
        }
    }
    for (uint32_t g = 0; g < n->n_groups; g++) {
        r->free_pages[g] = grab(r->max_pages[g], sizeof(uint32_t));
        uint64_t random = r->o.shuffle + lm_mix64(rig_seed);
        for (uint32_t i = 0; i < r->max_pages[g]; i++) {
            uint32_t at = r->o.shuffle == 0 ? i : (uint32_t)(test_random(&random) % (i + 1));
            r->free_pages[g][i] = r->free_pages[g][at];
            r->free_pages[g][at] = r->max_pages[g] - 1 - i;
        }
        r->n_free[g] = r->max_pages[g];
    }
}

void rig_prepare(rig *r, const rig_model *m, const rig_options *o)
{
    memset(r, 0, sizeof *r);
    r->m = m;
    r->o = *o;
    r->o.page_tokens = o->page_tokens == 0 ? 32 : o->page_tokens;
    r->o.max_rows = o->max_rows == 0 ? 80 : o->max_rows;
    r->o.n_seqs = o->n_seqs == 0 ? 4 : o->n_seqs;
    r->o.context = o->context == 0 ? RIG_CONTEXT : o->context;
    test_memory_init(&r->memory);
    r->host = (lm_host){.allocator = test_memory_host(&r->memory),
                        .threads = o->threads == 0 ? 1 : o->threads,
                        .parallel = o->parallel,
                        .cpu_features_masked = o->features_masked};
    r->backend = rig_backend(o->backend);
    for (uint32_t g = 0; g < m->network.n_groups; g++)
        describe_group(r, g);
    describe_program(r);
    prepare_seqs(r);
}

/* --- loading ---------------------------------------------------------------------------------- */

/* Unwritten pages are full of NaN: nothing may ever come of them. */
static int32_t spoil_pages(rig *r, uint32_t group)
{
    bool state = r->cache_desc[group].kind == LM_CACHE_STATE;
    uint32_t tokens = state ? 1 : r->o.page_tokens;
    size_t bytes = 0;
    for (uint32_t i = 0; i < r->cache_desc[group].n_members; i++) {
        const lm_cache_entry *e = &r->m->network.caches[r->members[group][i]];
        uint64_t k = 0, v = 0;
        lm_format_row_bytes(r->cache_desc[group].k_format, e->k_dim, &k);
        if (r->cache_desc[group].kind != LM_CACHE_LATENT)
            lm_format_row_bytes(r->cache_desc[group].v_format, e->v_dim, &v);
        bytes += state ? ((size_t)e->conv_values + e->scan_values) * sizeof(float)
                       : (size_t)(k + v) * e->kv_heads * tokens;
    }
    void *nan = malloc(bytes);
    memset(nan, 0xff, bytes);
    int32_t rc = LLM_OK;
    for (uint32_t page = 0; page < r->max_pages[group] && rc >= 0; page++)
        rc = r->backend->page_import(r->device, r->caches[group], page, tokens, nan, bytes);
    free(nan);
    return rc;
}

static bool computes(const rig *r)
{
    return strcmp(r->backend->name, "null") != 0;
}

static int32_t load_weights(rig *r)
{
    for (size_t i = 0; i < r->m->network.n_weights; i++) {
        lm_weight_data data = {r->m->data[i], r->o.mapped};
        LM_TRY(
            r->backend->weight_load(r->device, &r->m->network.weights[i], &data, &r->weights[i]));
    }
    return LLM_OK;
}

static bool takes(const rig *r, const lm_step *step)
{
    lm_step_support support;
    assert_ok(r->backend->step_query(r->device, &r->m->network, step, &support));
    return support.support != LM_SUPPORT_NO;
}

/* As the core does: coarse steps that the device does not take become primitives. */
static void lower_graph(rig *r)
{
    const lm_graph *from = &r->m->graph;
    lm_network network = r->m->network;
    lm_builder b;
    lm_graph_init(&r->lowered, from->name);
    lm_builder_init(&b, &network, &r->lowered);
    for (size_t i = 0; i < from->n_slots; i++)
        lm_build_slot(&b, from->slots[i].width, from->slots[i].rows, from->slots[i].type);
    for (size_t i = 0; i < from->n_steps; i++) {
        if (lm_step_is_coarse(from->steps[i].kind) && !takes(r, &from->steps[i]))
            assert_ok(lm_lower(&b, &from->steps[i]));
        else
            lm_build_step(&b, &from->steps[i]);
    }
    assert_ok(lm_builder_status(&b));
    r->desc.graph = &r->lowered;
    r->desc.steps = r->lowered.steps;
    r->desc.n_steps = r->lowered.n_steps;
}

int32_t rig_load(rig *r)
{
    if (r->o.beside != NULL)
        r->device = r->o.beside->device;
    else
        LM_TRY(r->backend->open(&r->host, 0, &r->device));
    for (size_t i = 0; i < r->m->graph.n_steps && r->lowered.n_steps == 0; i++)
        if (lm_step_is_coarse(r->m->graph.steps[i].kind))
            lower_graph(r);
    LM_TRY(r->backend->queue_create(r->device, &r->queue));
    LM_TRY(load_weights(r));
    for (uint32_t g = 0; g < r->m->network.n_groups; g++) {
        LM_TRY(r->backend->cache_create(r->device, &r->cache_desc[g], &r->caches[g]));
        LM_TRY(r->backend->cache_grow(r->device, r->caches[g], r->max_pages[g] / 2));
        LM_TRY(r->backend->cache_grow(r->device, r->caches[g], r->max_pages[g]));
        if (computes(r))
            LM_TRY(spoil_pages(r, g));
    }
    return r->backend->program_create(r->device, &r->desc, &r->program);
}

void rig_open(rig *r, const rig_model *m, const rig_options *o)
{
    assert_ok(lm_graph_check(&m->network, &m->graph));
    rig_prepare(r, m, o);
    assert_ok(rig_load(r));
}

void rig_close(rig *r)
{
    if (r->device != NULL) {
        r->backend->program_destroy(r->device, r->program);
        for (uint32_t g = 0; g < r->m->network.n_groups; g++)
            r->backend->cache_destroy(r->device, r->caches[g]);
        for (size_t i = 0; i < r->m->network.n_weights; i++)
            r->backend->weight_destroy(r->device, r->weights[i]);
        r->backend->queue_destroy(r->device, r->queue);
    }
    if (r->device != NULL && r->o.beside == NULL) {
        assert_int_equal(r->backend->bytes(r->device), 0);
        r->backend->close(r->device);
    }
    test_memory_check(&r->memory);
    lm_graph_finish(&r->lowered, r->m->network.alloc);
    for (uint32_t g = 0; g < r->m->network.n_groups; g++)
        free(r->free_pages[g]);
    for (uint32_t s = 0; s < r->o.n_seqs; s++) {
        for (uint32_t g = 0; g < r->m->network.n_groups; g++)
            free(r->seqs[s].pages[g]);
        for (uint32_t o = 0; o < r->m->n_outputs; o++)
            free(r->seqs[s].results[o]);
    }
}

/* --- comparing -------------------------------------------------------------------------------- */

const float *rig_row(const rig *r, uint32_t output, uint32_t seq, uint32_t position)
{
    if (!r->seqs[seq].have[output][position])
        fail_msg("output %u of sequence %u has no row %u", (unsigned)output, (unsigned)seq,
                 (unsigned)position);
    uint32_t width = r->m->graph.slots[r->m->outputs[output].slot].width;
    return r->seqs[seq].results[output] + (size_t)position * width;
}

/* Of one row; infinite where one has a NaN and the other has none. */
static double row_difference(const float *got, const float *wanted, uint32_t width)
{
    double difference = 0;
    for (uint32_t c = 0; c < width; c++) {
        if (isnan(got[c]) != isnan(wanted[c]))
            return INFINITY;
        if (!isnan(got[c]) && got[c] != wanted[c])
            difference = fmax(difference, fabs((double)got[c] - wanted[c]));
    }
    return difference;
}

/* The largest number of an output, which its differences are measured by. */
static double magnitude(const rig *r, uint32_t output)
{
    uint32_t width = r->m->graph.slots[r->m->outputs[output].slot].width;
    double largest = 0;
    for (uint32_t s = 0; s < r->o.n_seqs; s++) {
        for (uint32_t p = 0; p < r->o.context; p++) {
            if (!r->seqs[s].have[output][p])
                continue;
            for (uint32_t c = 0; c < width; c++) {
                double v = rig_row(r, output, s, p)[c];
                largest = isnan(v) ? largest : fmax(largest, fabs(v));
            }
        }
    }
    return largest;
}

static bool is_i32(const rig *r, uint32_t output)
{
    return r->m->graph.slots[r->m->outputs[output].slot].type == LM_SLOT_I32;
}

/* Calls for each pair of rows that both have; at least one. */
static void each_pair(const rig *got, const rig *wanted, const char *what,
                      void (*visit)(void *user, const float *a, const float *b, uint32_t width,
                                    double scale, const char *where),
                      void *user)
{
    size_t pairs = 0;
    for (uint32_t o = 0; o < got->m->n_outputs; o++) {
        uint32_t width = got->m->graph.slots[got->m->outputs[o].slot].width;
        double scale = is_i32(got, o) ? 0 : magnitude(wanted, o); /* 0: equal or not */
        for (uint32_t s = 0; s < got->o.n_seqs; s++) {
            for (uint32_t p = 0; p < got->o.context; p++) {
                if (!got->seqs[s].have[o][p] || !wanted->seqs[s].have[o][p])
                    continue;
                char where[128];
                snprintf(where, sizeof where, "%s: output %u, sequence %u, position %u", what,
                         (unsigned)o, (unsigned)s, (unsigned)p);
                visit(user, rig_row(got, o, s, p), rig_row(wanted, o, s, p), width, scale, where);
                pairs++;
            }
        }
    }
    if (pairs == 0)
        fail_msg("%s: nothing to compare", what);
}

typedef struct worst {
    double difference;
    char where[128];
} worst;

static void visit_difference(void *user, const float *a, const float *b, uint32_t width,
                             double scale, const char *where)
{
    worst *w = user;
    double d = 0;
    if (memcmp(a, b, width * sizeof *a) != 0)
        d = scale == 0 ? INFINITY : row_difference(a, b, width) / scale;
    if (d > w->difference) {
        w->difference = d;
        snprintf(w->where, sizeof w->where, "%s", where);
    }
}

double rig_difference(const rig *got, const rig *wanted, const char *what)
{
    worst w = {0, ""};
    each_pair(got, wanted, what, visit_difference, &w);
    return w.difference;
}

void rig_compare(const rig *got, const rig *wanted, double tolerance, const char *what)
{
    worst w = {0, ""};
    each_pair(got, wanted, what, visit_difference, &w);
    if (w.difference > tolerance)
        fail_msg("%s: difference %g where %g is allowed", w.where, w.difference, tolerance);
}

static void visit_same(void *user, const float *a, const float *b, uint32_t width, double scale,
                       const char *where)
{
    (void)user;
    (void)scale;
    if (memcmp(a, b, width * sizeof *a) != 0)
        fail_msg("%s: not the same bits", where);
}

void rig_same(const rig *got, const rig *wanted, const char *what)
{
    each_pair(got, wanted, what, visit_same, NULL);
}
