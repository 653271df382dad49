/* cuda_run.c - running a program: the run's block is sent, then launches follow one by one, or as the
 * recording that was made for runs of this size. */
#include "backends/cuda/program.h"

#include <string.h>

/* Runs of at most so many rows are launched from a recording. */
#define RECORDED_ROWS 64u

/* The capability whose code waits for the launch before it by itself (lcu_wait_previous). */
#define STARTS_EARLY 90u

/* --- the block ----------------------------------------------------------------------------------- */

/* Writes one array after the other into the host's copy and answers where the device will find it. */
typedef struct writer {
    const lm_program *p;
    uint64_t used;
} writer;

static void *write_array(writer *w, const void *from, size_t bytes, void **host)
{
    uint8_t *at = w->p->run_host + w->used;
    void *on_device = w->p->workspace + w->used;
    if (from != NULL)
        memcpy(at, from, bytes);
    if (host != NULL)
        *host = at;
    w->used += (bytes + LM_ALIGN - 1) / LM_ALIGN * LM_ALIGN;
    return on_device;
}

static void write_seqs(writer *w, const lm_run *run, lcu_run *out)
{
    const lm_program *p = w->p;
    void *memory;
    out->seqs = write_array(w, NULL, run->n_seqs * sizeof(lcu_seq), &memory);
    lcu_seq *seqs = memory;
    uint32_t *ids = (uint32_t *)(void *)(p->run_host + w->used), n_ids = 0;
    memset(seqs, 0, run->n_seqs * sizeof *seqs);
    for (uint32_t s = 0; s < run->n_seqs; s++) {
        const lm_run_seq *from = &run->seqs[s];
        seqs[s].first_row = from->first_row;
        seqs[s].n_rows = from->n_rows;
        seqs[s].length = from->length;
        for (uint32_t g = 0; g < p->bounds.network->n_groups; g++) {
            const lm_run_pages *pages = &from->groups[g];
            bool tokens = p->caches[g] != NULL && p->caches[g]->base.kind != LM_CACHE_STATE;
            uint32_t count = tokens ? pages->n_pages : 0;
            seqs[s].groups[g] = (lcu_seq_pages){n_ids, count, pages->first_page, pages->state_read,
                                                pages->state_write};
            if (count > 0)
                memcpy(ids + n_ids, pages->pages, count * sizeof *ids);
            n_ids += count;
        }
    }
    out->page_ids = write_array(w, NULL, n_ids * sizeof *ids, NULL);
}

static uint64_t write_block(const lm_program *p, const lm_run *run)
{
    writer w = {p, 0};
    void *memory;
    uint32_t rows = run->n_rows, words = run->ancestors == NULL ? 0 : (rows + 63) / 64;
    (void)write_array(&w, NULL, sizeof(lcu_run), &memory);
    lcu_run *out = memory;
    *out = (lcu_run){
        .n_rows = rows, .n_wanted = run->n_wanted, .n_seqs = run->n_seqs, .ancestor_words = words};
    out->tokens = write_array(&w, run->tokens, rows * sizeof *run->tokens, NULL);
    out->positions = write_array(&w, run->positions, rows * 4 * sizeof *run->positions, NULL);
    out->slots = write_array(&w, run->slots, rows * sizeof *run->slots, NULL);
    out->row_seq = write_array(&w, run->row_seq, rows * sizeof *run->row_seq, NULL);
    out->visible_end = write_array(&w, run->visible_end, rows * sizeof *run->visible_end, NULL);
    out->wanted = write_array(&w, run->wanted, run->n_wanted * sizeof *run->wanted, NULL);
    if (words > 0)
        out->ancestors = write_array(&w, run->ancestors, (size_t)rows * words * 8, NULL);
    if (p->embedding_width > 0 && run->embeddings != NULL)
        out->embeddings =
            write_array(&w, run->embeddings, (size_t)rows * p->embedding_width * 4, NULL);
    write_seqs(&w, run, out);
    return w.used;
}

static int32_t send_block(lcu_device *d, lm_queue *queue, lm_program *p, const lm_run *run)
{
    if (p->run_written)
        LM_TRY(LCU_CALL(d, event_wait, p->run_read));
    uint64_t bytes = write_block(p, run);
    LM_TRY(
        LCU_CALL(d, copy, p->workspace, p->run_host, (size_t)bytes, LCU_TO_DEVICE, queue->stream));
    LM_TRY(LCU_CALL(d, event_record, p->run_read, queue->stream));
    p->run_written = true;
    return LLM_OK;
}

/* --- launches ---------------------------------------------------------------------------------- */

static uint32_t bucket(uint32_t count, uint32_t least)
{
    uint32_t b = least;
    if (count == 0)
        return 0;
    while (b < count && b < 0x80000000u)
        b *= 2;
    return b;
}

/* What grids grow with; rounded up for recordings. */
static bool count_run(const lm_program *p, const lm_run *run, uint32_t counts[LCU_COUNTS])
{
    uint32_t longest = 0;
    for (uint32_t s = 0; s < run->n_seqs; s++) {
        uint32_t length = run->seqs[s].length + run->seqs[s].n_rows;
        longest = length > longest ? length : longest;
    }
    bool recorded = run->n_rows <= RECORDED_ROWS && !p->profiling;
    counts[LCU_COUNT_ROWS] = recorded ? bucket(run->n_rows, 1) : run->n_rows;
    counts[LCU_COUNT_WANTED] = recorded ? bucket(run->n_wanted, 1) : run->n_wanted;
    counts[LCU_COUNT_SEQS] = recorded ? bucket(run->n_seqs, 1) : run->n_seqs;
    counts[LCU_COUNT_LENGTH] = recorded ? bucket(longest, 512) : longest;
    return recorded;
}

static uint32_t blocks(const lcu_extent *e, const uint32_t counts[LCU_COUNTS])
{
    if (e->per == 0)
        return e->times;
    return e->times * (counts[e->count] / e->per + (counts[e->count] % e->per != 0));
}

static int32_t launch_library(lcu_device *d, lcu_stream stream, const lm_program *p,
                              const lcu_launch *l, const uint32_t counts[LCU_COUNTS])
{
    lcu_gemm gemm;
    memcpy(&gemm, p->args + l->args, sizeof gemm);
    gemm.count = counts[l->ladder];
    return LCU_CALL(d, library_product, &d->library, &gemm, stream);
}

static int32_t launch(lcu_device *d, lcu_stream stream, const lm_program *p, const lcu_launch *l,
                      const uint32_t counts[LCU_COUNTS])
{
    if (l->to != 0 && (counts[l->ladder] < l->from || counts[l->ladder] > l->to))
        return LLM_OK;
    if (l->kernel == LCU_LIBRARY)
        return launch_library(d, stream, p, l, counts);
    const lcu_kernel *kernel = &lcu_kernels[l->kernel];
    lcu_shape shape = {
        {0, 0, 0}, kernel->threads, l->shared_bytes, d->properties.capability == STARTS_EARLY};
    for (int i = 0; i < 3; i++) {
        shape.grid[i] = blocks(&l->grid[i], counts);
        if (shape.grid[i] == 0)
            return LLM_OK;
    }
    return lcu_status(
        d, d->api->launch(*kernel->function, p->args + l->args, kernel->args_bytes, &shape, stream),
        kernel->name);
}

static int32_t cancelled(const lm_run *run, size_t step)
{
    if (run->cancel == NULL || atomic_load(run->cancel) == 0)
        return LLM_OK;
    return lm_fail(LLM_E_CANCELLED, "cancelled before step %llu", (unsigned long long)step);
}

static int32_t launch_all(lcu_device *d, lcu_stream stream, lm_program *p, const lm_run *run,
                          const uint32_t counts[LCU_COUNTS])
{
    uint32_t next = 0;
    for (size_t step = 0; step < p->n_steps; step++) {
        LM_TRY(cancelled(run, step));
        if (p->profiling)
            LM_TRY(LCU_CALL(d, event_record, p->marks[step], stream));
        for (; next < p->n_launches && p->launches[next].step == step; next++)
            LM_TRY(launch(d, stream, p, &p->launches[next], counts));
    }
    if (p->profiling)
        LM_TRY(LCU_CALL(d, event_record, p->marks[p->n_steps], stream));
    p->profiled = p->profiling;
    return LLM_OK;
}

/* --- recordings --------------------------------------------------------------------------------- */

static int32_t record(lcu_device *d, lcu_stream stream, lm_program *p, const lm_run *run,
                      const uint32_t counts[LCU_COUNTS], lcu_graph *out)
{
    lm_run quiet = *run;
    quiet.cancel = NULL; /* a recording is whole */
    LM_TRY(LCU_CALL(d, record_begin, stream));
    int32_t rc = launch_all(d, stream, p, &quiet, counts);
    lcu_result ended = d->api->record_end(stream, out);
    if (rc >= 0)
        return lcu_status(d, ended, "record_end");
    if (*out != NULL)
        (void)d->api->graph_destroy(*out);
    return rc;
}

static int32_t find_recording(lcu_device *d, lcu_stream stream, lm_program *p, const lm_run *run,
                              const uint32_t counts[LCU_COUNTS], lcu_graph *out)
{
    for (uint32_t i = 0; i < LCU_GRAPHS; i++) {
        if (p->recordings[i].graph != NULL &&
            memcmp(p->recordings[i].counts, counts, sizeof p->recordings[i].counts) == 0) {
            *out = p->recordings[i].graph;
            return LLM_OK;
        }
    }
    lcu_graph graph = NULL;
    LM_TRY(record(d, stream, p, run, counts, &graph));
    lcu_recording *r = &p->recordings[p->next_recording];
    if (r->graph != NULL) {
        LM_TRY(LCU_CALL(d, stream_wait, stream));
        (void)d->api->graph_destroy(r->graph);
    }
    memcpy(r->counts, counts, sizeof r->counts);
    r->graph = graph;
    p->next_recording = (p->next_recording + 1) % LCU_GRAPHS;
    *out = graph;
    return LLM_OK;
}

/* --- runs ------------------------------------------------------------------------------------------ */

static uint32_t rows_of(const lm_program *p, const lm_run *run, uint32_t slot)
{
    const uint32_t rows[] = {run->n_rows, run->n_wanted, run->n_seqs};
    return rows[p->slots[slot].rows];
}

static uint8_t *slot_at(const lm_program *p, uint32_t slot)
{
    return p->workspace + p->slots_at + p->places[slot].offset;
}

static int32_t fetch_results(lcu_device *d, lm_queue *queue, const lm_program *p, const lm_run *run)
{
    for (uint32_t i = 0; i < p->n_results; i++) {
        uint32_t slot = p->results[i];
        size_t bytes = (size_t)rows_of(p, run, slot) * p->slots[slot].width * 4u;
        if (bytes > 0)
            LM_TRY(LCU_CALL(d, copy, p->result_host[i], slot_at(p, slot), bytes, LCU_TO_HOST,
                            queue->stream));
    }
    return LLM_OK;
}

int32_t lcu_program_run(lm_device *device, lm_queue *queue, lm_program *program, const lm_run *run)
{
    lcu_device *d = (lcu_device *)device;
    uint32_t counts[LCU_COUNTS];
    LM_TRY(lhost_run_check(&program->bounds, run));
    LM_TRY(lcu_enter(d));
    LM_TRY(cancelled(run, 0));
    LM_TRY(send_block(d, queue, program, run));
    if (count_run(program, run, counts)) {
        lcu_graph graph;
        LM_TRY(find_recording(d, queue->stream, program, run, counts, &graph));
        LM_TRY(LCU_CALL(d, graph_launch, graph, queue->stream));
    } else {
        LM_TRY(launch_all(d, queue->stream, program, run, counts));
    }
    return fetch_results(d, queue, program, run);
}

/* --- slots ------------------------------------------------------------------------------------------ */

/* What the queue still does with the slot comes first. */
int32_t lcu_slot_write(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                       const void *from, size_t size)
{
    lcu_device *d = (lcu_device *)device;
    LM_TRY(lhost_slot_check(program->places, program->n_slots, slot, size));
    LM_TRY(lcu_enter(d));
    LM_TRY(LCU_CALL(d, stream_wait, queue->stream));
    return lcu_upload(d, slot_at(program, slot), from, size);
}

int32_t lcu_slot_read(lm_device *device, lm_queue *queue, lm_program *program, uint32_t slot,
                      void *into, size_t size)
{
    lcu_device *d = (lcu_device *)device;
    LM_TRY(lhost_slot_check(program->places, program->n_slots, slot, size));
    LM_TRY(lcu_enter(d));
    LM_TRY(LCU_CALL(d, stream_wait, queue->stream));
    return lcu_download(d, into, slot_at(program, slot), size);
}

void *lcu_slot_host(lm_device *device, lm_program *program, uint32_t slot)
{
    (void)device;
    for (uint32_t i = 0; i < program->n_results; i++)
        if (program->results[i] == slot)
            return program->result_host[i];
    return NULL;
}

/* --- profile ---------------------------------------------------------------------------------------- */

static int32_t make_marks(lcu_device *d, lm_program *p)
{
    for (size_t i = 0; i <= p->n_steps; i++)
        if (p->marks[i] == NULL)
            LM_TRY(LCU_CALL(d, event_create, true, &p->marks[i]));
    return LLM_OK;
}

int32_t lcu_profile(lm_device *device, lm_program *program, bool on, size_t index, uint64_t *ns)
{
    lcu_device *d = (lcu_device *)device;
    float milliseconds = 0;
    LM_TRY(lcu_enter(d));
    if (on)
        LM_TRY(make_marks(d, program));
    program->profiling = on;
    if (ns == NULL)
        return LLM_OK;
    if (index >= program->n_steps)
        return lm_fail(LLM_E_INVALID, "step %llu of %llu", (unsigned long long)index,
                       (unsigned long long)program->n_steps);
    if (program->profiled) {
        LM_TRY(LCU_CALL(d, event_wait, program->marks[program->n_steps]));
        LM_TRY(LCU_CALL(d, event_elapsed, program->marks[index], program->marks[index + 1],
                        &milliseconds));
    }
    *ns = (uint64_t)((double)milliseconds * 1e6);
    return LLM_OK;
}
