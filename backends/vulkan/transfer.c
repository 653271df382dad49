/* transfer.c - bytes between the host and device memory, and submissions. Memory that the host sees is
 * written directly; the rest goes through one staging buffer. Each copy is waited for: weights are
 * loaded once and pages move rarely. */
#include "backends/vulkan/vulkan.h"

#include "base/checked.h"

#include <string.h>

#define STAGING ((uint64_t)16 << 20)

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
                                       .commandBufferCount = 1};
    LVK_TRY(d, d->calls.AllocateCommandBuffers(d->device, &one, &t->commands),
            "make a command buffer");
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

/* With the mutex held. */
static int32_t copy_now(lvk_device *d, const lvk_region *from, const lvk_region *to,
                        const lvk_piece *pieces, uint32_t count)
{
    lvk_transfer *t = &d->transfer;
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    LVK_TRY(d, d->calls.BeginCommandBuffer(t->commands, &begin), "record a copy");
    barrier(d, t->commands);
    for (uint32_t i = 0; i < count; i++) {
        VkBufferCopy copy = {from->offset + pieces[i].from, to->offset + pieces[i].to,
                             pieces[i].bytes};
        d->calls.CmdCopyBuffer(t->commands, lvk_buffer_of(from), lvk_buffer_of(to), 1, &copy);
    }
    barrier(d, t->commands);
    LVK_TRY(d, d->calls.EndCommandBuffer(t->commands), "record a copy");
    LM_TRY(submit(d, t->commands, t->semaphore, t->value + 1));
    t->value++;
    return lvk_wait(d, t->semaphore, t->value, UINT64_MAX);
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
    return s->block != NULL ? LLM_OK : lvk_take(d, LVK_HOST_READS, STAGING, false, s);
}

/* Piece by piece through the staging buffer, with the mutex held. */
static int32_t stage(lvk_device *d, const lvk_region *region, uint64_t offset, uint8_t *outside,
                     uint64_t bytes, bool up)
{
    LM_TRY(need_staging(d));
    const lvk_region *s = &d->transfer.staging;
    for (uint64_t at = 0; at < bytes; at += STAGING) {
        uint64_t part = bytes - at < STAGING ? bytes - at : STAGING;
        if (up)
            memcpy(s->host, outside + at, (size_t)part);
        lvk_piece piece = {up ? 0 : offset + at, up ? offset + at : 0, part};
        LM_TRY(up ? copy_now(d, s, region, &piece, 1) : copy_now(d, region, s, &piece, 1));
        if (!up)
            memcpy(outside + at, s->host, (size_t)part);
    }
    return LLM_OK;
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
    int32_t rc = stage(d, to, offset, (uint8_t *)(uintptr_t)from, bytes, true);
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
    int32_t rc = stage(d, from, offset, into, bytes, false);
    lm_os_mutex_unlock(&d->transfer.mutex);
    return rc;
}
