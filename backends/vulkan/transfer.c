/* transfer.c - bytes between the host and device memory, and submissions. Memory that the host sees is
 * written directly; the rest goes through the two halves of a staging buffer, one of which the host
 * fills or empties while the device copies the other. */
#include "backends/vulkan/vulkan.h"

#include "base/checked.h"

#include <string.h>

#define HALF ((uint64_t)8 << 20)

/* --- submissions ------------------------------------------------------------------------------ */

int32_t lvk_semaphore_create(lvk_device *d, VkSemaphore *out)
{
    VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    LVK_TRY(d, d->calls.CreateSemaphore(d->device, &info, NULL, out), "make a semaphore");
    return LLM_OK;
}

/* With the mutex held. */
static int32_t submit(lvk_device *d, VkCommandBuffer commands, VkSemaphore semaphore,
                      uint64_t value)
{
    VkTimelineSemaphoreSubmitInfo timeline = {.sType =
                                                  VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                              .signalSemaphoreValueCount = 1,
                                              .pSignalSemaphoreValues = &value};
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                         .pNext = &timeline,
                         .commandBufferCount = 1,
                         .pCommandBuffers = &commands,
                         .signalSemaphoreCount = 1,
                         .pSignalSemaphores = &semaphore};
    LVK_TRY(d, d->calls.QueueSubmit(d->queue, 1, &info, VK_NULL_HANDLE), "submit work");
    return LLM_OK;
}

int32_t lvk_submit(lvk_device *d, VkCommandBuffer commands, VkSemaphore semaphore, uint64_t value)
{
    LM_TRY(lvk_alive(d));
    lm_os_mutex_lock(&d->transfer.mutex);
    int32_t rc = submit(d, commands, semaphore, value);
    lm_os_mutex_unlock(&d->transfer.mutex);
    return rc;
}

int32_t lvk_wait(lvk_device *d, VkSemaphore semaphore, uint64_t value, uint64_t timeout_ns)
{
    VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                .semaphoreCount = 1,
                                .pSemaphores = &semaphore,
                                .pValues = &value};
    VkResult r = d->calls.WaitSemaphores(d->device, &info, timeout_ns);
    if (r == VK_TIMEOUT)
        return LLM_AGAIN;
    return r == VK_SUCCESS ? LLM_OK : lvk_failed(d, r, "wait for work");
}

/* --- copies ----------------------------------------------------------------------------------- */

int32_t lvk_transfer_init(lvk_device *d)
{
    lvk_transfer *t = &d->transfer;
    LM_TRY(lm_os_mutex_init(&d->books, &t->mutex));
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = d->family};
    LVK_TRY(d, d->calls.CreateCommandPool(d->device, &pool, NULL, &t->pool), "make a command pool");
    VkCommandBufferAllocateInfo one = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                       .commandPool = t->pool,
                                       .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                       .commandBufferCount = LVK_HALVES};
    LVK_TRY(d, d->calls.AllocateCommandBuffers(d->device, &one, t->commands),
            "make command buffers");
    t->half = HALF;
    return lvk_semaphore_create(d, &t->semaphore);
}

void lvk_transfer_finish(lvk_device *d)
{
    lvk_transfer *t = &d->transfer;
    lvk_give(d, &t->staging, false);
    if (t->semaphore != VK_NULL_HANDLE)
        d->calls.DestroySemaphore(d->device, t->semaphore, NULL);
    if (t->pool != VK_NULL_HANDLE)
        d->calls.DestroyCommandPool(d->device, t->pool, NULL);
    lm_os_mutex_finish(&d->books, &t->mutex);
}

/* Everything before is seen by the copy, and the copy by everything behind it. */
static void barrier(lvk_device *d, VkCommandBuffer commands)
{
    VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                           .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                           .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT};
    d->calls.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                                VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0,
                                1, &all, 0, NULL, 0, NULL);
}

/* Waits until copy number `value` is done, with the mutex held. */
static int32_t wait_for(lvk_device *d, uint64_t value)
{
    return lvk_wait(d, d->transfer.semaphore, value, UINT64_MAX);
}

/* Begins copy number `value + 1`, with the mutex held; the one before the last must be done, whose
 * command buffer (and half of the staging buffer) it takes. */
static int32_t copy_begin(lvk_device *d, const lvk_region *from, const lvk_region *to,
                          const lvk_piece *pieces, uint32_t count)
{
    lvk_transfer *t = &d->transfer;
    VkCommandBuffer commands = t->commands[(t->value + 1) % LVK_HALVES];
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    LVK_TRY(d, d->calls.BeginCommandBuffer(commands, &begin), "record a copy");
    barrier(d, commands);
    for (uint32_t i = 0; i < count; i++) {
        VkBufferCopy copy = {from->offset + pieces[i].from, to->offset + pieces[i].to,
                             pieces[i].bytes};
        d->calls.CmdCopyBuffer(commands, lvk_buffer_of(from), lvk_buffer_of(to), 1, &copy);
    }
    barrier(d, commands);
    LVK_TRY(d, d->calls.EndCommandBuffer(commands), "record a copy");
    LM_TRY(submit(d, commands, t->semaphore, t->value + 1));
    t->value++;
    return LLM_OK;
}

static int32_t copy_now(lvk_device *d, const lvk_region *from, const lvk_region *to,
                        const lvk_piece *pieces, uint32_t count)
{
    LM_TRY(copy_begin(d, from, to, pieces, count));
    return wait_for(d, d->transfer.value);
}

int32_t lvk_copy(lvk_device *d, const lvk_region *from, const lvk_region *to,
                 const lvk_piece *pieces, uint32_t count)
{
    LM_TRY(lvk_alive(d));
    if (from->host != NULL && to->host != NULL && from->cached) {
        for (uint32_t i = 0; i < count; i++)
            memcpy(to->host + pieces[i].to, from->host + pieces[i].from, (size_t)pieces[i].bytes);
        return LLM_OK;
    }
    lm_os_mutex_lock(&d->transfer.mutex);
    int32_t rc = copy_now(d, from, to, pieces, count);
    lm_os_mutex_unlock(&d->transfer.mutex);
    return rc;
}

static int32_t need_staging(lvk_device *d)
{
    lvk_region *s = &d->transfer.staging;
    return s->block != NULL ? LLM_OK : lvk_take(d, LVK_HOST_READS, LVK_HALVES * HALF, false, s);
}

/* Where in the staging buffer copy number `value` has its half. */
static uint64_t half_of(uint64_t value)
{
    return value % LVK_HALVES * HALF;
}

static uint64_t part_of(const lvk_transfer *t, uint64_t bytes, uint64_t at)
{
    return bytes - at < t->half ? bytes - at : t->half;
}

/* With the mutex held and all before it done. */
static int32_t stage_up(lvk_device *d, const lvk_region *to, uint64_t offset, const uint8_t *from,
                        uint64_t bytes)
{
    lvk_transfer *t = &d->transfer;
    LM_TRY(need_staging(d));
    uint64_t first = t->value;
    for (uint64_t at = 0; at < bytes; at += t->half) {
        uint64_t half = half_of(t->value + 1), part = part_of(t, bytes, at);
        if (t->value > first)
            LM_TRY(wait_for(d, t->value - 1));
        memcpy(t->staging.host + half, from + at, (size_t)part);
        lvk_piece piece = {half, offset + at, part};
        LM_TRY(copy_begin(d, &t->staging, to, &piece, 1));
    }
    return wait_for(d, t->value);
}

/* Takes out of the staging buffer what the last copy brought. */
static int32_t empty_half(lvk_device *d, uint64_t value, uint8_t *into, uint64_t part)
{
    LM_TRY(wait_for(d, value));
    memcpy(into, d->transfer.staging.host + half_of(value), (size_t)part);
    return LLM_OK;
}

static int32_t stage_down(lvk_device *d, const lvk_region *from, uint64_t offset, uint8_t *into,
                          uint64_t bytes)
{
    lvk_transfer *t = &d->transfer;
    LM_TRY(need_staging(d));
    uint64_t at = 0;
    for (uint64_t next = 0; next < bytes; next += t->half) {
        lvk_piece piece = {offset + next, half_of(t->value + 1), part_of(t, bytes, next)};
        LM_TRY(copy_begin(d, from, &t->staging, &piece, 1));
        if (next == 0)
            continue;
        LM_TRY(empty_half(d, t->value - 1, into + at, t->half));
        at = next;
    }
    return bytes == 0 ? LLM_OK : empty_half(d, t->value, into + at, bytes - at);
}

/* A transfer that failed half way leaves nothing under way. */
static int32_t settled(lvk_device *d, int32_t rc)
{
    if (rc < 0)
        (void)wait_for(d, d->transfer.value);
    return rc;
}

int32_t lvk_upload(lvk_device *d, const lvk_region *to, uint64_t offset, const void *from,
                   uint64_t bytes)
{
    lm_check(lm_inside(offset, bytes, to->bytes));
    LM_TRY(lvk_alive(d));
    if (to->host != NULL) {
        memcpy(to->host + offset, from, (size_t)bytes);
        return LLM_OK;
    }
    lm_os_mutex_lock(&d->transfer.mutex);
    int32_t rc = settled(d, stage_up(d, to, offset, from, bytes));
    lm_os_mutex_unlock(&d->transfer.mutex);
    return rc;
}

int32_t lvk_download(lvk_device *d, const lvk_region *from, uint64_t offset, void *into,
                     uint64_t bytes)
{
    lm_check(lm_inside(offset, bytes, from->bytes));
    LM_TRY(lvk_alive(d));
    if (from->host != NULL && from->cached) {
        memcpy(into, from->host + offset, (size_t)bytes);
        return LLM_OK;
    }
    lm_os_mutex_lock(&d->transfer.mutex);
    int32_t rc = settled(d, stage_down(d, from, offset, into, bytes));
    lm_os_mutex_unlock(&d->transfer.mutex);
    return rc;
}
