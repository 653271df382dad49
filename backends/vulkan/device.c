/* device.c - opening and closing a device, what it says about itself, and what failures mean. */
#include "backends/vulkan/vulkan.h"

#include <stdio.h>
#include <string.h>

/* A second of work for a processor of two hundred GFLOP/s: watchdogs of drivers begin at two. */
#define SUBMIT_FLOPS 200000000000u

/* --- failures --------------------------------------------------------------------------------- */

int32_t lvk_failed(lvk_device *d, VkResult r, const char *what)
{
    switch (r) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_MEMORY_MAP_FAILED:
        return lm_fail(LLM_E_MEMORY, "'%s' is out of memory: could not %s (error %d)", d->name,
                       what, (int)r);
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT:
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return lm_fail(LLM_E_UNSUPPORTED, "'%s' cannot %s (error %d)", d->name, what, (int)r);
    default:
        atomic_store(&d->lost, true);
        return lm_fail(LLM_E_DEVICE, "'%s' is lost: could not %s (error %d); open the model again",
                       d->name, what, (int)r);
    }
}

int32_t lvk_alive(const lvk_device *d)
{
    return atomic_load(&d->lost)
               ? lm_fail(LLM_E_DEVICE, "'%s' was lost; open the model again", d->name)
               : LLM_OK;
}

/* --- life ------------------------------------------------------------------------------------- */

int32_t lvk_probe(const lm_host *host, uint32_t *count)
{
    lvk_loader loader;
    lvk_candidates found;
    (void)host;
    *count = 0;
    int32_t rc = lvk_loader_open(&loader);
    if (rc < 0)
        return rc == LLM_E_MEMORY ? rc : LLM_OK; /* the message says why there is none */
    rc = lvk_find_devices(&loader, &found);
    lvk_loader_close(&loader);
    *count = found.count;
    return rc == LLM_E_MEMORY ? rc : LLM_OK;
}

static int32_t start(lvk_device *d, uint32_t index)
{
    lvk_candidates found;
    LM_TRY(lvk_loader_open(&d->loader));
    LM_TRY(lvk_find_devices(&d->loader, &found));
    if (index >= found.count)
        return lm_fail(LLM_E_NOT_FOUND, "there is no Vulkan device %u; this machine has %u",
                       (unsigned)index, (unsigned)found.count);
    d->physical = found.devices[index];
    LM_TRY(lvk_make_device(d));
    LM_TRY(lvk_memory_init(d));
    LM_TRY(lvk_transfer_init(d));
    LM_TRY(lvk_codebooks_init(d));
    return lvk_pipelines_init(d);
}

int32_t lvk_open(const lm_host *host, uint32_t index, lm_device **out)
{
    lm_allocator first;
    lm_allocator_init(&first, &host->allocator);
    lvk_device *d = LM_NEW(&first, lvk_device);
    if (d == NULL)
        return LLM_E_MEMORY;
    d->base.backend = &lm_backend_vulkan;
    d->host = *host;
    d->submit_flops = SUBMIT_FLOPS;
    lm_allocator_init(&d->books, &host->allocator);
    int32_t rc = start(d, index);
    if (rc < 0) {
        lvk_close(&d->base);
        return rc;
    }
    *out = &d->base;
    return LLM_OK;
}

void lvk_close(lm_device *device)
{
    lvk_device *d = (lvk_device *)device;
    if (d == NULL)
        return;
    if (d->queue != NULL) {
        d->calls.DeviceWaitIdle(d->device);
        lvk_pipelines_finish(d);
        lvk_give(d, &d->codebooks, false);
        lvk_transfer_finish(d);
        lvk_memory_finish(d);
    }
    if (d->device != NULL && d->calls.DestroyDevice != NULL)
        d->calls.DestroyDevice(d->device, NULL);
    lvk_loader_close(&d->loader);
    lm_allocator first;
    lm_allocator_init(&first, &d->host.allocator);
    LM_DELETE(&first, d);
}

/* --- answers ---------------------------------------------------------------------------------- */

int32_t lvk_info(lm_device *device, lm_device_info *out)
{
    lvk_device *d = (lvk_device *)device;
    LM_TRY(lvk_alive(d));
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", d->name);
    memcpy(out->uuid, d->uuid, sizeof out->uuid);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 p = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = d->has_budget ? &budget : NULL};
    d->loader.calls.GetPhysicalDeviceMemoryProperties2(d->physical, &p);
    uint32_t heap = p.memoryProperties.memoryTypes[d->memory.type[LVK_DEVICE]].heapIndex;
    out->memory_total = p.memoryProperties.memoryHeaps[heap].size;
    uint64_t used = d->has_budget ? budget.heapUsage[heap] : lvk_bytes(device);
    uint64_t most = d->has_budget ? budget.heapBudget[heap] : out->memory_total;
    out->memory_free = most > used ? most - used : 0;
    return LLM_OK;
}

uint64_t lvk_bytes(lm_device *device)
{
    return atomic_load(&((lvk_device *)device)->memory.promised);
}
