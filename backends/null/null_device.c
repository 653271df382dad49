/* null_device.c - the null backend's table, its records and faults, its queue. */
#include "backends/null/null_device.h"

#include <stdio.h>
#include <string.h>

struct lm_queue {
    uint64_t issued;
};

static lnull_device *of(lm_device *device)
{
    return (lnull_device *)device;
}

/* --- records and faults ----------------------------------------------------------------------- */

static bool cannot_fail(uint32_t call)
{
    return call == LNULL_WEIGHT_DESTROY || call == LNULL_CACHE_DESTROY ||
           call == LNULL_PROGRAM_DESTROY || call == LNULL_QUEUE_DESTROY;
}

int32_t lnull_note(lm_device *device, uint32_t call, uint32_t a, uint32_t b, uint32_t c)
{
    lnull_device *d = of(device);
    d->counts[call]++;
    d->records[d->n_records++ % LNULL_RECORDS] = (lnull_record){call, a, b, c};
    if (cannot_fail(call))
        return LLM_OK;
    if (d->lost)
        return lm_fail(LLM_E_DEVICE, "null:%u is lost", (unsigned)d->index);
    if (d->fault_in == 0 || (d->fault_call != LNULL_ANY && d->fault_call != call))
        return LLM_OK;
    if (--d->fault_in > 0)
        return LLM_OK;
    return lm_fail(d->fault_status, "null:%u was told to fail at %s", (unsigned)d->index,
                   lnull_call_name(call));
}

void lnull_fail(lm_device *device, uint32_t call, uint64_t nth, int32_t status)
{
    lnull_device *d = of(device);
    d->fault_call = call;
    d->fault_in = nth;
    d->fault_status = status;
}

void lnull_lose(lm_device *device)
{
    of(device)->lost = true;
}

uint64_t lnull_count(const lm_device *device, uint32_t call)
{
    const lnull_device *d = (const lnull_device *)device;
    if (call != LNULL_ANY)
        return d->counts[call];
    uint64_t all = 0;
    for (uint32_t i = 0; i < LNULL_CALL_COUNT; i++)
        all += d->counts[i];
    return all;
}

size_t lnull_records(const lm_device *device, lnull_record *list, size_t capacity)
{
    const lnull_device *d = (const lnull_device *)device;
    uint64_t count = d->n_records < LNULL_RECORDS ? d->n_records : LNULL_RECORDS;
    count = count < capacity ? count : capacity;
    for (uint64_t i = 0; i < count; i++)
        list[i] = d->records[(d->n_records - count + i) % LNULL_RECORDS];
    return (size_t)count;
}

void lnull_forget(lm_device *device)
{
    lnull_device *d = of(device);
    memset(d->counts, 0, sizeof d->counts);
    d->n_records = 0;
}

const char *lnull_call_name(uint32_t call)
{
    static const char *const names[] = {
#define X(name) #name,
        LNULL_CALLS(X)
#undef X
    };
    return call < LNULL_CALL_COUNT ? names[call] : "ANY";
}

/* --- pretended properties --------------------------------------------------------------------- */

void lnull_set_memory(lm_device *device, uint64_t bytes)
{
    of(device)->memory = bytes;
}

void lnull_set_host_memory(lm_device *device, bool on)
{
    of(device)->host_memory = on;
}

void lnull_set_coarse(lm_device *device, bool on)
{
    of(device)->coarse = on;
}

int32_t lnull_take(lnull_device *d, uint64_t bytes)
{
    uint64_t held = atomic_load(&d->held);
    if (d->memory != 0 && (bytes > d->memory || held > d->memory - bytes))
        return lm_fail(LLM_E_MEMORY, "null:%u has no room for %llu bytes: %llu of %llu are taken",
                       (unsigned)d->index, (unsigned long long)bytes, (unsigned long long)held,
                       (unsigned long long)d->memory);
    atomic_fetch_add(&d->held, bytes);
    return LLM_OK;
}

void lnull_give(lnull_device *d, uint64_t bytes)
{
    atomic_fetch_sub(&d->held, bytes);
}

/* --- the device ------------------------------------------------------------------------------- */

static int32_t probe(const lm_host *host, uint32_t *count)
{
    (void)host;
    *count = LNULL_DEVICES;
    return LLM_OK;
}

static int32_t open_device(const lm_host *host, uint32_t index, lm_device **out)
{
    if (index >= LNULL_DEVICES)
        return lm_fail(LLM_E_NOT_FOUND, "there are null:0 to null:%u; not null:%u",
                       (unsigned)LNULL_DEVICES - 1, (unsigned)index);
    lm_allocator first;
    lm_allocator_init(&first, &host->allocator);
    lnull_device *d = LM_NEW(&first, lnull_device);
    if (d == NULL)
        return LLM_E_MEMORY;
    d->base.backend = &lm_backend_null;
    d->host = *host;
    d->index = index;
    lm_allocator_init(&d->books, &host->allocator);
    *out = &d->base;
    return LLM_OK;
}

static void close_device(lm_device *device)
{
    lnull_device *d = of(device);
    if (d == NULL)
        return;
    lm_allocator first;
    lm_allocator_init(&first, &d->host.allocator);
    LM_DELETE(&first, d);
}

static int32_t info(lm_device *device, lm_device_info *out)
{
    const lnull_device *d = of(device);
    LM_TRY(lnull_note(device, LNULL_INFO, 0, 0, 0));
    uint64_t held = atomic_load(&d->held);
    *out = (lm_device_info){.memory_total = d->memory,
                            .memory_free = d->memory > held ? d->memory - held : 0,
                            .host_memory = d->host_memory};
    snprintf(out->name, sizeof out->name, "null %u (computes nothing)", (unsigned)d->index);
    return LLM_OK;
}

static uint64_t bytes_held(lm_device *device)
{
    return atomic_load(&of(device)->held);
}

static int32_t profile(lm_device *device, lm_program *program, bool on, size_t index, uint64_t *ns)
{
    (void)device;
    (void)on;
    if (ns == NULL)
        return LLM_OK;
    if (index >= program->n_steps)
        return lm_fail(LLM_E_INVALID, "step %llu of %llu", (unsigned long long)index,
                       (unsigned long long)program->n_steps);
    *ns = 0;
    return LLM_OK;
}

/* --- queue ------------------------------------------------------------------------------------ */

static int32_t queue_create(lm_device *device, lm_queue **out)
{
    LM_TRY(lnull_note(device, LNULL_QUEUE_CREATE, 0, 0, 0));
    *out = LM_NEW(&of(device)->books, lm_queue);
    return *out == NULL ? LLM_E_MEMORY : LLM_OK;
}

static void queue_destroy(lm_device *device, lm_queue *queue)
{
    if (queue == NULL)
        return;
    (void)lnull_note(device, LNULL_QUEUE_DESTROY, 0, 0, 0);
    LM_DELETE(&of(device)->books, queue);
}

static int32_t queue_signal(lm_device *device, lm_queue *queue, uint64_t *ticket)
{
    LM_TRY(lnull_note(device, LNULL_QUEUE_SIGNAL, 0, 0, 0));
    *ticket = ++queue->issued;
    return LLM_OK;
}

static int32_t queue_wait(lm_device *device, lm_queue *queue, uint64_t ticket, uint64_t timeout_ns)
{
    (void)timeout_ns;
    LM_TRY(lnull_note(device, LNULL_QUEUE_WAIT, (uint32_t)ticket, 0, 0));
    if (ticket > queue->issued)
        return lm_fail(LLM_E_INVALID, "ticket %llu was never given; the last is %llu",
                       (unsigned long long)ticket, (unsigned long long)queue->issued);
    lnull_deliver(of(device));
    return LLM_OK;
}

const lm_backend lm_backend_null = {
    .struct_size = sizeof(lm_backend),
    .version = LM_BACKEND_VERSION,
    .name = "null",
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    .bytes = bytes_held,
    .weight_query = lnull_weight_query,
    .weight_load = lnull_weight_load,
    .weight_destroy = lnull_weight_destroy,
    .cache_query = lnull_cache_query,
    .cache_create = lnull_cache_create,
    .cache_destroy = lnull_cache_destroy,
    .cache_grow = lnull_cache_grow,
    .page_copy = lnull_page_copy,
    .page_move = lnull_page_move,
    .page_export = lnull_page_export,
    .page_import = lnull_page_import,
    .step_query = lnull_step_query,
    .program_query = lnull_program_query,
    .program_create = lnull_program_create,
    .program_destroy = lnull_program_destroy,
    .program_run = lnull_program_run,
    .slot_write = lnull_slot_write,
    .slot_read = lnull_slot_read,
    .slot_host = lnull_slot_host,
    .profile = profile,
    .queue_create = queue_create,
    .queue_destroy = queue_destroy,
    .queue_signal = queue_signal,
    .queue_wait = queue_wait,
};
