/* cuda_queue.c - a queue is a stream; a ticket is an event in a ring. A ticket whose event was used
 * again names an earlier point of the same stream, so waiting for the later one is right. */
#include "backends/cuda/cuda.h"

int32_t lcu_queue_create(lm_device *device, lm_queue **out)
{
    lcu_device *d = (lcu_device *)device;
    LM_TRY(lcu_enter(d));
    lm_queue *q = LM_NEW(&d->books, lm_queue);
    if (q == NULL)
        return LLM_E_MEMORY;
    int32_t rc;
    LM_GO(LCU_CALL(d, stream_create, &q->stream));
    for (uint32_t i = 0; i < LCU_TICKETS; i++)
        LM_GO(LCU_CALL(d, event_create, false, &q->events[i]));
    *out = q;
out:
    if (rc < 0)
        lcu_queue_destroy(device, q);
    return rc;
}

void lcu_queue_destroy(lm_device *device, lm_queue *queue)
{
    lcu_device *d = (lcu_device *)device;
    if (queue == NULL)
        return;
    (void)d->api->device_use(d->index);
    if (queue->stream != NULL)
        (void)d->api->stream_wait(queue->stream);
    for (uint32_t i = 0; i < LCU_TICKETS; i++)
        if (queue->events[i] != NULL)
            (void)d->api->event_destroy(queue->events[i]);
    if (queue->stream != NULL)
        (void)d->api->stream_destroy(queue->stream);
    LM_DELETE(&d->books, queue);
}

int32_t lcu_queue_signal(lm_device *device, lm_queue *queue, uint64_t *ticket)
{
    lcu_device *d = (lcu_device *)device;
    LM_TRY(lcu_enter(d));
    LM_TRY(
        LCU_CALL(d, event_record, queue->events[(queue->issued + 1) % LCU_TICKETS], queue->stream));
    *ticket = ++queue->issued;
    return LLM_OK;
}

/* Until the event has passed or the time is over. */
static int32_t poll_event(lcu_device *d, lcu_event event, uint64_t timeout_ns)
{
    uint64_t start = lm_os_now_ns();
    for (;;) {
        lcu_result result = d->api->event_query(event);
        if (result != LCU_NOT_READY)
            return lcu_status(d, result, "event_query");
        if (lm_os_now_ns() - start >= timeout_ns)
            return LLM_AGAIN;
        lm_os_thread_yield();
    }
}

int32_t lcu_queue_wait(lm_device *device, lm_queue *queue, uint64_t ticket, uint64_t timeout_ns)
{
    lcu_device *d = (lcu_device *)device;
    if (ticket > queue->issued)
        return lm_fail(LLM_E_INVALID, "ticket %llu was never given; the last is %llu",
                       (unsigned long long)ticket, (unsigned long long)queue->issued);
    LM_TRY(lcu_enter(d));
    lcu_event event = queue->events[ticket % LCU_TICKETS];
    if (ticket == 0)
        return LLM_OK;
    if (timeout_ns == UINT64_MAX)
        return LCU_CALL(d, event_wait, event);
    return poll_event(d, event, timeout_ns);
}
