/* test_ranges.c - what dispatches declare is what they do, for every case of the backend suite and one
 * dispatch at a time: outside the ranges it says it writes nothing changes, and what it computes does
 * not depend on anything outside those it says it reads. Barriers are made of these ranges. */
#include "backend/cases.h"
#include "backends/vulkan/program.h"

#include <stdlib.h>
#include <string.h>

/* All memory that dispatches write: the workspace, and the chunks of each group's cache. */
typedef struct memory {
    uint8_t *live[64];
    uint64_t bytes[64];
    uint8_t *before[64], *after[64];
    uint32_t group[64]; /* LM_NONE: the workspace */
    uint32_t count;
} memory;

static void add_memory(memory *m, const lvk_region *r, uint32_t group)
{
    assert_true(m->count < 64);
    assert_non_null(r->host); /* the test device has one memory for all */
    m->live[m->count] = r->host;
    m->bytes[m->count] = r->bytes;
    m->before[m->count] = malloc(r->bytes);
    m->after[m->count] = malloc(r->bytes);
    m->group[m->count++] = group;
}

static void find_memory(memory *m, const lvk_program *p)
{
    memset(m, 0, sizeof *m);
    add_memory(m, &p->workspace, LM_NONE);
    for (uint32_t g = 0; g < LM_MAX_GROUPS; g++)
        for (lvk_chunk *c = p->caches[g] == NULL ? NULL : p->caches[g]->chunks; c != NULL;
             c = c->next)
            add_memory(m, &c->region, g);
}

static void forget_memory(memory *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        free(m->before[i]);
        free(m->after[i]);
    }
}

/* --- declared bytes --------------------------------------------------------------------------- */

/* Calls `visit` with each piece of memory that the dispatch says it reads, or writes. */
static void each_declared(const lvk_program *p, const lvk_op *op, memory *m, bool write,
                          void (*visit)(memory *m, uint32_t i, uint64_t at, uint64_t bytes))
{
    for (uint32_t k = 0; k < op->n_ranges; k++) {
        const lvk_range *r = &op->ranges[k];
        if (r->write != write)
            continue;
        if (r->space == LVK_WORKSPACE) {
            visit(m, 0, r->begin, r->end - r->begin);
            continue;
        }
        uint32_t entry = (uint32_t)(r->begin / 2), group = p->bounds.network->caches[entry].group;
        const lvk_cache *c = p->caches[group];
        const lhost_part *part = lhost_storage_part(&c->base, entry, (uint32_t)(r->begin % 2));
        for (uint32_t i = 1; i < m->count; i++)
            for (uint64_t page = 0; m->group[i] == group && page < m->bytes[i];
                 page += c->base.page_bytes)
                visit(m, i, page + part->offset,
                      part->head_bytes * part->heads * c->base.page_tokens);
    }
}

static void forgive(memory *m, uint32_t i, uint64_t at, uint64_t bytes)
{
    memcpy(m->before[i] + at, m->live[i] + at, bytes);
}

static void restore(memory *m, uint32_t i, uint64_t at, uint64_t bytes)
{
    memcpy(m->live[i] + at, m->before[i] + at, bytes);
}

static void assert_writes_declared(const lvk_program *p, const lvk_op *op, memory *m,
                                   const char *name)
{
    for (uint32_t i = 0; i < m->count; i++)
        memcpy(m->after[i], m->before[i], m->bytes[i]); /* `before` is spoilt here */
    each_declared(p, op, m, true, forgive);
    for (uint32_t i = 0; i < m->count; i++) {
        if (memcmp(m->before[i], m->live[i], m->bytes[i]) != 0)
            fail_msg("%s: a dispatch of step %u writes memory %u where it did not say", name,
                     (unsigned)op->step, (unsigned)i);
        memcpy(m->before[i], m->after[i], m->bytes[i]);
    }
}

/* --- one dispatch ----------------------------------------------------------------------------- */

/* Only the dispatch `op` is recorded when the program is run. */
static void run_only(rig *r, lvk_program *p, lvk_op *op, const lm_run *run)
{
    lvk_op *ops = p->ops;
    size_t n_ops = p->n_ops, buckets = (size_t)p->row_buckets * p->wanted_buckets;
    uint64_t ticket;
    p->ops = op;
    p->n_ops = 1;
    for (size_t i = 0; i < buckets; i++)
        p->recorded[i].n_parts = 0;
    assert_ok(r->backend->program_run(r->device, r->queue, r->program, run));
    assert_ok(r->backend->queue_signal(r->device, r->queue, &ticket));
    assert_ok(r->backend->queue_wait(r->device, r->queue, ticket, UINT64_MAX));
    p->ops = ops;
    p->n_ops = n_ops;
}

static void check_op(rig *r, lvk_program *p, lvk_op *op, const lm_run *run, const char *name)
{
    memory m;
    find_memory(&m, p);
    for (uint32_t i = 0; i < m.count; i++)
        memcpy(m.before[i], m.live[i], m.bytes[i]);
    run_only(r, p, op, run);
    assert_writes_declared(p, op, &m, name);
    for (uint32_t i = 0; i < m.count; i++)
        memcpy(m.after[i], m.live[i], m.bytes[i]);
    /* Again, with NaN in all it does not read. */
    for (uint32_t i = 0; i < m.count; i++)
        memset(m.live[i], 0xff, m.bytes[i]);
    each_declared(p, op, &m, false, restore);
    run_only(r, p, op, run);
    for (uint32_t i = 0; i < m.count; i++) {
        for (uint64_t at = 0; at < m.bytes[i]; at++) {
            bool wrote = m.after[i][at] != m.before[i][at];
            bool kept = m.live[i][at] == m.after[i][at];
            if (wrote && !kept)
                fail_msg("%s: a dispatch of step %u reads unsaid what it makes byte %llu of", name,
                         (unsigned)op->step, (unsigned long long)at);
        }
        memcpy(m.live[i], m.after[i], m.bytes[i]);
    }
    forget_memory(&m);
}

/* --- a case ----------------------------------------------------------------------------------- */

static const rig_case *case_now;
static rig *rig_now;

/* Called with a run just before it would go: runs it dispatch by dispatch instead, once as it is. */
static void dissect(lm_run *run, void *user)
{
    lvk_program *p = lvk_program_of(rig_now->program);
    (void)user;
    for (size_t i = 0; i < p->n_ops; i++)
        check_op(rig_now, p, &p->ops[i], run, case_now->name);
    for (size_t i = 0; i < (size_t)p->row_buckets * p->wanted_buckets; i++)
        p->recorded[i].n_parts = 0;
}

static void check_case(void **state)
{
    static const rig_part first[] = {{0, 9}, {1, 1}}, second[] = {{0, 1}, {1, 1}, {2, 18}};
    rig_model m;
    rig r;
    case_now = *state;
    rig_now = &r;
    rig_model_init(&m, 71);
    case_now->build(&m, case_now->variant);
    rig_options o = {.backend = "vulkan", .page_tokens = 16, .max_rows = 20};
    rig_open(&r, &m, &o);
    assert_ok(rig_run_changed(&r, first, 2, dissect, NULL));
    if (!case_now->whole)
        assert_ok(rig_run_changed(&r, second, 3, dissect, NULL));
    rig_close(&r);
    rig_model_finish(&m);
}

typedef struct list {
    struct CMUnitTest all[256];
    size_t count;
} list;

static void add(list *l, const rig_case *c)
{
    if (l->count < sizeof l->all / sizeof l->all[0])
        l->all[l->count++] = (struct CMUnitTest){
            .name = c->name, .test_func = check_case, .initial_state = (void *)(uintptr_t)c};
}

/* Whole models of other formats reach what the multiplications of each format do. */
static bool is_wanted(const rig_case *c)
{
    static const char *const models[] = {"model F32", "model Q8_0", "model Q4_K"};
    if (strncmp(c->name, "model ", 6) != 0)
        return true;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        if (strcmp(c->name, models[i]) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    list tests = {{{0}}, 0};
    const rig_case *c;
    if (argc != 2)
        return 2;
    rig_modules = argv[1];
    for (size_t i = 0; (c = case_at(i)) != NULL; i++)
        if (is_wanted(c))
            add(&tests, c);
    for (size_t i = 0; (c = case_block_at(i)) != NULL; i++)
        add(&tests, c);
    return _cmocka_run_group_tests("ranges", tests.all, tests.count, NULL, NULL);
}
