/* fake.c - the table of CUDA calls over the host. Work is kept in streams and done when it is waited
 * for, so that results taken too early are seen to be wrong. */
#include "fake.h"
#include "launch.h"

#include "backends/cuda/api.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LAUNCH_FAILED 719
#define BAD_VALUE     1
#define NOT_CAPTURED  900
#define FENCE_BYTES   256u

/* --- things ----------------------------------------------------------------------------------- */

typedef struct block {
    struct block *next;
    unsigned char *start; /* with a fence on both sides */
    size_t bytes;
    bool pinned;
} block;

typedef struct event {
    uint64_t recorded, passed; /* how often */
} event;

enum { COPY, SET, LAUNCH, RECORD, PRODUCT };

typedef struct work {
    int kind;
    void *to;
    const void *from; /* LAUNCH: a copy of the arguments */
    size_t bytes;
    int byte;
    const void *function;
    lcu_shape shape;
    event *event;
    lcu_gemm gemm;
} work;

typedef struct list {
    work *items;
    size_t count, capacity;
} list;

typedef struct stream {
    list queue;
    list *recording; /* NULL: not being captured */
} stream;

static fake_state state = {.devices = 1, .memory = (uint64_t)4 << 30};
static block *blocks;
static uint64_t taken;
static int lost; /* the error that everything answers from now on */
static const char *trouble;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

fake_state *fake_cuda(bool reset)
{
    if (reset) {
        state = (fake_state){.devices = 1, .memory = (uint64_t)4 << 30};
        lost = 0;
        trouble = NULL;
    }
    return &state;
}

/* Counts a call; what it has to answer at once, or 0. */
static lcu_result begin(void)
{
    if (lost != 0)
        return lost;
    if (++state.calls != state.fail_at)
        return LCU_OK;
    if (state.fail_with != LCU_OUT_OF_MEMORY)
        lost = state.fail_with;
    return state.fail_with;
}

#define ENTER()                                                                                    \
    pthread_mutex_lock(&turn);                                                                     \
    lcu_result rc = begin();                                                                       \
    if (rc != LCU_OK)                                                                              \
    goto out
#define LEAVE()                                                                                    \
    out:                                                                                           \
    pthread_mutex_unlock(&turn);                                                                   \
    return rc

static lcu_result fail_for_good(lcu_result error, const char *why)
{
    lost = error;
    trouble = why;
    return error;
}

/* --- devices ------------------------------------------------------------------------------------ */

static const char *error_text(lcu_result error)
{
    if (trouble != NULL)
        return trouble;
    return error == LCU_OUT_OF_MEMORY ? "out of memory" : "a failure of the fake device";
}

static lcu_result device_count(int *count)
{
    *count = state.count_error == 0 ? state.devices : 0;
    return state.count_error;
}

static lcu_result device_properties(int index, lcu_properties *out)
{
    ENTER();
    memset(out, 0, sizeof *out);
    memcpy(out->name, "emulated CUDA device", 21);
    out->uuid[0] = (uint8_t)(index + 1);
    out->memory = state.memory;
    const char *capability = getenv("LCU_FAKE_CAPABILITY");
    out->capability = capability != NULL ? (uint32_t)atoi(capability) : 90;
    out->processors = 4;
    out->cache_bytes = 96 * 1024; /* slabs of one tile where rows have 192 columns or more */
    out->shared_bytes = out->capability == 90   ? 227 * 1024
                        : out->capability == 80 ? 163 * 1024
                                                : 99 * 1024;
    LEAVE();
}

static lcu_result device_use(int index)
{
    (void)index;
    pthread_mutex_lock(&turn);
    lcu_result rc = lost;
    pthread_mutex_unlock(&turn);
    return rc;
}

static lcu_result memory_info(size_t *free_bytes, size_t *total)
{
    ENTER();
    *total = (size_t)state.memory;
    *free_bytes = (size_t)(state.memory - taken);
    LEAVE();
}

/* --- memory ------------------------------------------------------------------------------------- */

static lcu_result take(size_t bytes, bool pinned, void **out)
{
    block *b = malloc(sizeof *b);
    size_t whole = (bytes + 2 * FENCE_BYTES + 255) / 256 * 256;
    if (b == NULL || (!pinned && bytes > state.memory - taken)) {
        free(b);
        return LCU_OUT_OF_MEMORY;
    }
    *b = (block){blocks, aligned_alloc(256, whole), bytes, pinned};
    memset(b->start, 0xfe, whole);
    memset(b->start + FENCE_BYTES, 0xff, bytes); /* not a number */
    blocks = b;
    taken += pinned ? 0 : bytes;
    *(pinned ? &state.pinned : &state.live) += 1;
    *out = b->start + FENCE_BYTES;
    return LCU_OK;
}

static bool fences_stand(const block *b)
{
    for (size_t i = 0; i < FENCE_BYTES; i++)
        if (b->start[i] != 0xfe || b->start[FENCE_BYTES + b->bytes + i] != 0xfe)
            return false;
    return true;
}

static lcu_result give(void *memory, bool pinned)
{
    for (block **at = &blocks; *at != NULL; at = &(*at)->next) {
        block *b = *at;
        if (b->start + FENCE_BYTES != memory || b->pinned != pinned)
            continue;
        bool whole = fences_stand(b);
        taken -= pinned ? 0 : b->bytes;
        *(pinned ? &state.pinned : &state.live) -= 1;
        *at = b->next;
        free(b->start);
        free(b);
        return whole ? LCU_OK : fail_for_good(LAUNCH_FAILED, "memory was written past its end");
    }
    return BAD_VALUE;
}

/* Bytes that lie in one block of this kind. */
static bool holds(const void *at, size_t bytes, bool pinned)
{
    const unsigned char *p = at;
    for (const block *b = blocks; b != NULL; b = b->next) {
        const unsigned char *start = b->start + FENCE_BYTES;
        if (b->pinned == pinned && p >= start && bytes <= b->bytes &&
            (size_t)(p - start) <= b->bytes - bytes)
            return true;
    }
    return false;
}

static lcu_result memory_take(size_t bytes, void **out)
{
    ENTER();
    rc = take(bytes, false, out);
    LEAVE();
}

static lcu_result pinned_take(size_t bytes, void **out)
{
    ENTER();
    rc = take(bytes, true, out);
    LEAVE();
}

static lcu_result memory_give(void *memory)
{
    pthread_mutex_lock(&turn);
    lcu_result rc = give(memory, false);
    pthread_mutex_unlock(&turn);
    return rc;
}

static lcu_result pinned_give(void *memory)
{
    pthread_mutex_lock(&turn);
    lcu_result rc = give(memory, true);
    pthread_mutex_unlock(&turn);
    return rc;
}

/* --- work --------------------------------------------------------------------------------------- */

static lcu_result push(stream *s, const work *w)
{
    list *l = s->recording != NULL ? s->recording : &s->queue;
    if (l->count == l->capacity) {
        l->capacity = l->capacity == 0 ? 64 : 2 * l->capacity;
        l->items = realloc(l->items, l->capacity * sizeof *l->items);
    }
    l->items[l->count++] = *w;
    return LCU_OK;
}

static float from_bf16(const void *values, size_t i)
{
    uint32_t bits = (uint32_t)((const uint16_t *)values)[i] << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void do_product(const lcu_gemm *g)
{
    memset(g->workspace, 0xff, g->workspace_bytes < 4096 ? g->workspace_bytes : 4096);
    for (size_t n = 0; n < g->count; n++) {
        for (size_t m = 0; m < g->rows; m++) {
            float sum = 0;
            for (size_t k = 0; k < g->cols; k++)
                sum += from_bf16(g->weight, m * g->stride + k) * from_bf16(g->x, n * g->stride + k);
            sum *= g->scale;
            size_t at = n * g->out_stride + m;
            g->out[at] = g->residual == NULL ? sum : sum + g->residual[at];
        }
    }
}

static void do_work(const work *w)
{
    if (lost != 0)
        return;
    if (w->kind == COPY)
        memcpy(w->to, w->from, w->bytes);
    else if (w->kind == SET)
        memset(w->to, w->byte, w->bytes);
    else if (w->kind == RECORD)
        w->event->passed++;
    else if (w->kind == PRODUCT)
        do_product(&w->gemm);
    else {
        const char *why = emu_launch(w->function, w->from, w->shape.grid, w->shape.threads,
                                     w->shape.shared_bytes);
        if (why != NULL)
            (void)fail_for_good(LAUNCH_FAILED, why);
    }
}

static void forget(list *l, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (l->items[i].kind == LAUNCH)
            free((void *)(uintptr_t)l->items[i].from);
    memmove(l->items, l->items + count, (l->count - count) * sizeof *l->items);
    l->count -= count;
}

static void drain(stream *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        do_work(&s->queue.items[i]);
    if (count > 0)
        forget(&s->queue, count);
}

/* --- streams and events ------------------------------------------------------------------------- */

static stream *streams[64];

static lcu_result stream_create(lcu_stream *out)
{
    ENTER();
    stream *s = calloc(1, sizeof *s);
    for (size_t i = 0; i < 64; i++) {
        if (streams[i] == NULL) {
            streams[i] = s;
            break;
        }
    }
    state.streams++;
    *out = s;
    LEAVE();
}

static lcu_result stream_destroy(lcu_stream handle)
{
    stream *s = handle;
    pthread_mutex_lock(&turn);
    drain(s, s->queue.count);
    for (size_t i = 0; i < 64; i++)
        if (streams[i] == s)
            streams[i] = NULL;
    free(s->queue.items);
    free(s);
    state.streams--;
    pthread_mutex_unlock(&turn);
    return LCU_OK;
}

static lcu_result stream_wait(lcu_stream handle)
{
    stream *s = handle;
    ENTER();
    if (s->recording != NULL) {
        rc = NOT_CAPTURED;
        goto out;
    }
    drain(s, s->queue.count);
    rc = lost;
    LEAVE();
}

static lcu_result event_create(bool timing, lcu_event *out)
{
    ENTER();
    (void)timing;
    *out = calloc(1, sizeof(event));
    state.events++;
    LEAVE();
}

static lcu_result event_destroy(lcu_event handle)
{
    pthread_mutex_lock(&turn);
    for (size_t i = 0; i < 64; i++) /* nobody may reach it any more */
        if (streams[i] != NULL)
            drain(streams[i], streams[i]->queue.count);
    free(handle);
    state.events--;
    pthread_mutex_unlock(&turn);
    return LCU_OK;
}

static lcu_result event_record(lcu_event handle, lcu_stream on)
{
    ENTER();
    event *e = handle;
    e->recorded++;
    rc = push(on, &(work){.kind = RECORD, .event = e});
    LEAVE();
}

static lcu_result event_query(lcu_event handle)
{
    ENTER();
    const event *e = handle;
    if (e->passed < e->recorded) { /* some of what is in front of it gets done meanwhile */
        for (size_t i = 0; i < 64; i++)
            if (streams[i] != NULL && streams[i]->queue.count > 0)
                drain(streams[i], 1);
        rc = lost != 0 ? lost : LCU_NOT_READY;
    }
    LEAVE();
}

/* Does what is in front of the event, on the stream where it waits. */
static void reach(const event *e)
{
    for (size_t i = 0; i < 64; i++) {
        stream *s = streams[i];
        size_t last = 0;
        for (size_t k = 0; s != NULL && k < s->queue.count; k++)
            if (s->queue.items[k].kind == RECORD && s->queue.items[k].event == e)
                last = k + 1;
        if (last > 0)
            drain(s, last);
    }
}

static lcu_result event_wait(lcu_event handle)
{
    ENTER();
    reach(handle);
    rc = lost;
    LEAVE();
}

static lcu_result event_elapsed(lcu_event from, lcu_event to, float *milliseconds)
{
    ENTER();
    const event *a = from, *b = to;
    if (a->recorded == 0 || a->passed < a->recorded || b->passed < b->recorded)
        rc = LCU_NOT_READY;
    *milliseconds = 0.001f;
    LEAVE();
}

static lcu_result copy(void *to, const void *from, size_t bytes, int direction, lcu_stream on)
{
    ENTER();
    if (!holds(to, bytes, direction == LCU_TO_HOST) ||
        !holds(from, bytes, direction == LCU_TO_DEVICE))
        rc = fail_for_good(BAD_VALUE, "a copy outside of device and pinned memory");
    else
        rc = push(on, &(work){.kind = COPY, .to = to, .from = from, .bytes = bytes});
    LEAVE();
}

static lcu_result set(void *at, int byte, size_t bytes, lcu_stream on)
{
    ENTER();
    if (!holds(at, bytes, false))
        rc = fail_for_good(BAD_VALUE, "a set outside of device memory");
    else
        rc = push(on, &(work){.kind = SET, .to = at, .byte = byte, .bytes = bytes});
    LEAVE();
}

static void *copy_of(const void *args, size_t bytes)
{
    void *copied = malloc(bytes);
    memcpy(copied, args, bytes);
    return copied;
}

/* Kernels that may have more shared memory than comes unasked. */
static struct {
    const void *function;
    uint32_t bytes;
} allowed[256];

static bool may_have(const void *function, uint32_t bytes)
{
    for (size_t i = 0; i < 256 && allowed[i].function != NULL; i++)
        if (allowed[i].function == function && bytes <= allowed[i].bytes)
            return true;
    return bytes <= 48 * 1024;
}

static lcu_result launch(const void *function, const void *args, size_t args_bytes,
                         const lcu_shape *shape, lcu_stream on)
{
    ENTER();
    state.launches++;
    if (!may_have(function, shape->shared_bytes)) {
        rc = fail_for_good(BAD_VALUE, "a launch with shared memory that nobody allowed");
        goto out;
    }
    rc = push(on, &(work){.kind = LAUNCH,
                          .function = function,
                          .from = copy_of(args, args_bytes),
                          .bytes = args_bytes,
                          .shape = *shape});
    LEAVE();
}

static lcu_result kernel_shared(const void *function, uint32_t bytes)
{
    ENTER();
    size_t at = 0;
    while (at < 255 && allowed[at].function != NULL && allowed[at].function != function)
        at++;
    allowed[at].function = function;
    allowed[at].bytes = bytes;
    if (bytes > 227 * 1024)
        rc = BAD_VALUE;
    LEAVE();
}

/* --- graphs ------------------------------------------------------------------------------------- */

static lcu_result record_begin(lcu_stream on)
{
    ENTER();
    stream *s = on;
    s->recording = calloc(1, sizeof *s->recording);
    LEAVE();
}

static void free_list(list *l)
{
    forget(l, l->count);
    free(l->items);
    free(l);
}

static lcu_result record_end(lcu_stream on, lcu_graph *out)
{
    stream *s = on;
    pthread_mutex_lock(&turn);
    lcu_result rc = begin();
    list *l = s->recording;
    s->recording = NULL;
    *out = NULL;
    if (rc == LCU_OK) {
        *out = l;
        state.graphs++;
    } else if (l != NULL) {
        free_list(l);
    }
    pthread_mutex_unlock(&turn);
    return rc;
}

static lcu_result graph_launch(lcu_graph graph, lcu_stream on)
{
    ENTER();
    const list *l = graph;
    for (size_t i = 0; i < l->count; i++) {
        work w = l->items[i];
        if (w.kind == LAUNCH)
            w.from = copy_of(w.from, w.bytes);
        (void)push(on, &w);
    }
    state.graph_launches++;
    LEAVE();
}

static lcu_result graph_destroy(lcu_graph graph)
{
    pthread_mutex_lock(&turn);
    free_list(graph);
    state.graphs--;
    pthread_mutex_unlock(&turn);
    return LCU_OK;
}

/* --- the library --------------------------------------------------------------------------------- */

static lcu_result library_open(lcu_library *out)
{
    ENTER();
    memset(out, 0, sizeof *out);
    out->handle = state.no_library ? NULL : &state;
    LEAVE();
}

static lcu_result library_close(lcu_library *library)
{
    memset(library, 0, sizeof *library);
    return LCU_OK;
}

static lcu_result library_product(const lcu_library *library, const lcu_gemm *g, lcu_stream on)
{
    ENTER();
    size_t rows = g->count, results = ((rows - 1) * g->out_stride + g->rows) * sizeof(float);
    bool there = library->handle == &state && holds(g->x, rows * g->stride * 2, false) &&
                 holds(g->weight, (size_t)g->rows * g->stride * 2, false) &&
                 holds(g->out, results, false) && holds(g->workspace, g->workspace_bytes, false) &&
                 (g->residual == NULL || holds(g->residual, results, false));
    uintptr_t together = (uintptr_t)g->x | (uintptr_t)g->weight | (uintptr_t)g->workspace;
    uintptr_t results_at = (uintptr_t)g->out | (uintptr_t)g->residual;
    if (!there || together % 256 != 0 || results_at % 64 != 0 || g->stride % 8 != 0)
        rc = fail_for_good(BAD_VALUE, "a product outside of device memory, or not aligned");
    else
        rc = push(on, &(work){.kind = PRODUCT, .gemm = *g});
    state.products++;
    LEAVE();
}

#define CALL(name) .name = name,
const lcu_api lcu_calls = {LCU_CALLS(CALL)};
