/* host_device.c - life of a device in host memory, and its queue. */
#include "backends/common/host_device.h"

#include "base/os.h"

#include <string.h>

struct lm_queue {
    uint64_t issued;
};

int32_t lhost_device_create(const lm_host *host, const lm_backend *backend, const lhost_kind *kind,
                            size_t size, lhost_device **out)
{
    lm_allocator first;
    lm_allocator_init(&first, &host->allocator);
    lhost_device *d = lm_alloc_zero(&first, size);
    if (d == NULL)
        return LLM_E_MEMORY;
    d->base.backend = backend;
    d->host = *host;
    d->kind = kind;
    d->size = size;
    lm_allocator_init(&d->books, &host->allocator);
    lm_allocator_init(&d->memory, &host->allocator);
    *out = d;
    return LLM_OK;
}

void lhost_device_close(lm_device *device)
{
    lhost_device *d = (lhost_device *)device;
    if (d == NULL)
        return;
    lm_allocator first;
    lm_allocator_init(&first, &d->host.allocator);
    lm_free(&first, d, d->size);
}

uint64_t lhost_device_bytes(lm_device *device)
{
    return atomic_load(&((lhost_device *)device)->memory.bytes);
}

void lhost_device_memory(lm_device_info *out)
{
    memset(out, 0, sizeof *out);
    out->memory_total = lm_os_memory_total();
    out->memory_free = lm_os_memory_free();
    out->host_memory = true;
}

int32_t lhost_queue_create(lm_device *device, lm_queue **out)
{
    *out = LM_NEW(&((lhost_device *)device)->books, lm_queue);
    return *out == NULL ? LLM_E_MEMORY : LLM_OK;
}

void lhost_queue_destroy(lm_device *device, lm_queue *queue)
{
    if (queue != NULL)
        LM_DELETE(&((lhost_device *)device)->books, queue);
}

int32_t lhost_queue_signal(lm_device *device, lm_queue *queue, uint64_t *ticket)
{
    (void)device;
    *ticket = ++queue->issued;
    return LLM_OK;
}

int32_t lhost_queue_wait(lm_device *device, lm_queue *queue, uint64_t ticket, uint64_t timeout_ns)
{
    (void)device;
    (void)timeout_ns;
    if (ticket > queue->issued)
        return lm_fail(LLM_E_INVALID, "ticket %llu was never given; the last is %llu",
                       (unsigned long long)ticket, (unsigned long long)queue->issued);
    return LLM_OK;
}
