/* kernel_cache.c - what the driver made of our shaders, kept in a folder that the host names: one file for
 * each device and driver. A file that is missing, damaged or of another driver is as good as none, and
 * one that cannot be written is only told of. */
#include "backends/vulkan/vulkan.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

#define MOST_BYTES ((uint64_t)256 << 20)

static bool path_of(const lvk_device *d, char *path, size_t size)
{
    char uuid[2 * VK_UUID_SIZE + 1];
    if (d->host.kernel_cache == NULL)
        return false;
    for (size_t i = 0; i < VK_UUID_SIZE; i++)
        snprintf(uuid + 2 * i, 3, "%02x", d->cache_uuid[i]);
    int used = snprintf(path, size, "%s/vulkan-%04x-%04x-%s.kernels", d->host.kernel_cache,
                        (unsigned)d->vendor, (unsigned)d->id, uuid);
    return used > 0 && (size_t)used < size;
}

/* Drivers look at this head too, but not all of them survive what they find. */
static bool is_ours(const lvk_device *d, const uint8_t *data, uint64_t size)
{
    return size >= 16 + VK_UUID_SIZE && lm_load_u32(data) == 16 + VK_UUID_SIZE &&
           lm_load_u32(data + 4) == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           lm_load_u32(data + 8) == d->vendor && lm_load_u32(data + 12) == d->id &&
           memcmp(data + 16, d->cache_uuid, VK_UUID_SIZE) == 0;
}

/* The file's bytes, or none. */
static uint8_t *read_file(lvk_device *d, uint64_t *size)
{
    char path[LM_OS_PATH_BYTES];
    lm_os_file file;
    uint8_t *data = NULL;
    *size = 0;
    if (!path_of(d, path, sizeof path) || lm_os_file_open(path, &file) < 0)
        return NULL;
    if (lm_os_file_size(file, size) >= 0 && *size <= MOST_BYTES)
        data = lm_alloc(&d->books, (size_t)*size);
    if (data != NULL && lm_os_file_read(file, 0, data, (size_t)*size) < 0) {
        lm_free(&d->books, data, (size_t)*size);
        data = NULL;
    }
    lm_os_file_close(&file);
    return data;
}

int32_t lvk_kernels_load(lvk_device *d)
{
    uint64_t size;
    uint8_t *data = read_file(d, &size);
    bool ours = data != NULL && is_ours(d, data, size);
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                      .initialDataSize = ours ? (size_t)size : 0,
                                      .pInitialData = ours ? data : NULL};
    VkResult r = d->calls.CreatePipelineCache(d->device, &info, NULL, &d->pipeline_cache);
    if (data != NULL)
        lm_free(&d->books, data, (size_t)size);
    return r == VK_SUCCESS ? LLM_OK : lvk_failed(d, r, "make a pipeline cache");
}

void lvk_kernels_save(lvk_device *d)
{
    char path[LM_OS_PATH_BYTES];
    size_t size = 0, room;
    if (!path_of(d, path, sizeof path) || atomic_load(&d->lost) ||
        d->calls.GetPipelineCacheData(d->device, d->pipeline_cache, &size, NULL) != VK_SUCCESS ||
        size == 0 || size > MOST_BYTES)
        return;
    room = size;
    void *data = lm_alloc(&d->books, room);
    if (data == NULL)
        return;
    if (d->calls.GetPipelineCacheData(d->device, d->pipeline_cache, &size, data) == VK_SUCCESS &&
        lm_os_file_replace(path, data, size) < 0)
        lm_log_write(&d->host.log, LLM_LOG_WARN, "compiled kernels are not kept: %s", lm_message());
    lm_free(&d->books, data, room);
}
