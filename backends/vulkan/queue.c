/* queue.c - order of work: one timeline semaphore per queue, whose values are the tickets. */
#include "backends/vulkan/vulkan.h"

int32_t lvk_queue_create(lm_device *device, lm_queue **out)
{
    lvk_device *d = (lvk_device *)device;
    LM_TRY(lvk_alive(d));
    lm_queue *q = LM_NEW(&d->books, lm_queue);
    if (q == NULL)
        return LLM_E_MEMORY;
    int32_t rc = lvk_semaphore_create(d, &q->semaphore);
    if (rc < 0) {
        LM_DELETE(&d->books, q);
        return rc;
    }
    *out = q;
    return LLM_OK;
}

void lvk_queue_destroy(lm_device *device, lm_queue *queue)
{
    lvk_device *d = (lvk_device *)device;
    if (queue == NULL)
        return;
    d->calls.DeviceWaitIdle(d->device);
    d->calls.DestroySemaphore(d->device, queue->semaphore, NULL);
    LM_DELETE(&d->books, queue);
}

int32_t lvk_queue_signal(lm_device *device, lm_queue *queue, uint64_t *ticket)
{
    LM_TRY(lvk_alive((lvk_device *)device));
    *ticket = queue->value;
    return LLM_OK;
}

int32_t lvk_queue_wait(lm_device *device, lm_queue *queue, uint64_t ticket, uint64_t timeout_ns)
{
    lvk_device *d = (lvk_device *)device;
    LM_TRY(lvk_alive(d));
    if (ticket > queue->value)
        return lm_fail(LLM_E_INVALID, "ticket %llu was never given; the last is %llu",
                       (unsigned long long)ticket, (unsigned long long)queue->value);
    return lvk_wait(d, queue->semaphore, ticket, timeout_ns);
}
