/* cuda_device.c - devices: finding, opening and losing them; memory and transfers. */
#include "backends/cuda/cuda.h"

#include <stdio.h>
#include <string.h>

/* --- finding ---------------------------------------------------------------------------------- */

/* The least that kernels are compiled for. */
#define LEAST_CAPABILITY 80u

static int32_t probe(const lm_host *host, uint32_t *count)
{
    int found = 0;
    (void)host;
    lcu_result error = lcu_calls.device_count(&found);
    *count = error == LCU_OK ? (uint32_t)found : 0;
    if (error == LCU_OLD_DRIVER)
        (void)lm_fail(LLM_E_NOT_FOUND, "no NVIDIA driver, or one older than this library's CUDA");
    else if (error != LCU_OK && error != LCU_NO_DEVICE)
        (void)lm_fail(LLM_E_NOT_FOUND, "CUDA does not start: %s", lcu_calls.error_text(error));
    else if (found == 0)
        (void)lm_fail(LLM_E_NOT_FOUND, "the NVIDIA driver sees no device");
    return LLM_OK;
}

/* --- states of a device ------------------------------------------------------------------------- */

static int32_t is_lost(const lcu_device *d)
{
    return lm_fail(LLM_E_DEVICE, "the device is lost: %s", d->why);
}

int32_t lcu_status(lcu_device *d, lcu_result result, const char *call)
{
    if (result == LCU_OK)
        return LLM_OK;
    if (result == LCU_OUT_OF_MEMORY)
        return lm_fail(LLM_E_MEMORY, "out of memory on %s (CUDA's %s)", d->properties.name, call);
    if (!atomic_load(&d->lost)) {
        snprintf(d->why, sizeof d->why, "%s failed on %s: %s", call, d->properties.name,
                 d->api->error_text(result));
        atomic_store(&d->lost, true);
    }
    return is_lost(d);
}

int32_t lcu_enter(lcu_device *d)
{
    if (atomic_load(&d->lost))
        return is_lost(d);
    return LCU_CALL(d, device_use, d->index);
}

/* --- memory --------------------------------------------------------------------------------------- */

int32_t lcu_take(lcu_device *d, uint64_t bytes, void **out)
{
    *out = NULL;
    if (bytes > SIZE_MAX)
        return lm_fail(LLM_E_MEMORY, "out of memory: %llu bytes", (unsigned long long)bytes);
    LM_TRY(LCU_CALL(d, memory_take, (size_t)bytes, out));
    atomic_fetch_add(&d->taken, bytes);
    return LLM_OK;
}

void lcu_give(lcu_device *d, void *memory, uint64_t bytes)
{
    if (memory == NULL)
        return;
    (void)d->api->device_use(d->index);
    (void)d->api->memory_give(memory); /* a lost device gives nothing back */
    atomic_fetch_sub(&d->taken, bytes);
}

static int32_t upload(lcu_device *d, uint8_t *to, const uint8_t *from, uint64_t bytes)
{
    while (bytes > 0) {
        size_t part = bytes < LCU_STAGING_BYTES ? (size_t)bytes : LCU_STAGING_BYTES;
        memcpy(d->staging, from, part);
        LM_TRY(LCU_CALL(d, copy, to, d->staging, part, LCU_TO_DEVICE, d->stream));
        LM_TRY(LCU_CALL(d, stream_wait, d->stream));
        to += part;
        from += part;
        bytes -= part;
    }
    return LLM_OK;
}

int32_t lcu_upload(lcu_device *d, void *to, const void *from, uint64_t bytes)
{
    lm_os_mutex_lock(&d->turn);
    int32_t rc = upload(d, to, from, bytes);
    lm_os_mutex_unlock(&d->turn);
    return rc;
}

static int32_t download(lcu_device *d, uint8_t *to, const uint8_t *from, uint64_t bytes)
{
    while (bytes > 0) {
        size_t part = bytes < LCU_STAGING_BYTES ? (size_t)bytes : LCU_STAGING_BYTES;
        LM_TRY(LCU_CALL(d, copy, d->staging, from, part, LCU_TO_HOST, d->stream));
        LM_TRY(LCU_CALL(d, stream_wait, d->stream));
        memcpy(to, d->staging, part);
        to += part;
        from += part;
        bytes -= part;
    }
    return LLM_OK;
}

int32_t lcu_download(lcu_device *d, void *to, const void *from, uint64_t bytes)
{
    lm_os_mutex_lock(&d->turn);
    int32_t rc = download(d, to, from, bytes);
    lm_os_mutex_unlock(&d->turn);
    return rc;
}

int32_t lcu_clear(lcu_device *d, void *at, uint64_t bytes)
{
    lm_os_mutex_lock(&d->turn);
    int32_t rc = LCU_CALL(d, set, at, 0, (size_t)bytes, d->stream);
    if (rc >= 0)
        rc = LCU_CALL(d, stream_wait, d->stream);
    lm_os_mutex_unlock(&d->turn);
    return rc;
}

/* --- opening ---------------------------------------------------------------------------------------- */

static void close_device(lm_device *device)
{
    lcu_device *d = (lcu_device *)device;
    if (d == NULL)
        return;
    (void)d->api->device_use(d->index);
    (void)d->api->library_close(&d->library);
    if (d->staging != NULL)
        (void)d->api->pinned_give(d->staging);
    if (d->stream != NULL)
        (void)d->api->stream_destroy(d->stream);
    lm_os_mutex_finish(&d->books, &d->turn);
    lm_allocator first;
    lm_allocator_init(&first, &d->host.allocator);
    LM_DELETE(&first, d);
}

static int32_t start(lcu_device *d)
{
    LM_TRY(LCU_CALL(d, device_properties, d->index, &d->properties));
    if (d->properties.capability < LEAST_CAPABILITY)
        return lm_fail(LLM_E_UNSUPPORTED,
                       "%s has compute capability %u.%u; this backend needs 8.0 or newer",
                       d->properties.name, (unsigned)(d->properties.capability / 10),
                       (unsigned)(d->properties.capability % 10));
    LM_TRY(LCU_CALL(d, device_use, d->index));
    LM_TRY(LCU_CALL(d, stream_create, &d->stream));
    LM_TRY(LCU_CALL(d, pinned_take, LCU_STAGING_BYTES, &d->staging));
    return LLM_OK;
}

int32_t lcu_find_library(lcu_device *d)
{
    int32_t rc = LLM_OK;
    lm_os_mutex_lock(&d->turn);
    if (!d->library_asked) {
        rc = LCU_CALL(d, library_open, &d->library);
        d->library_asked = rc >= 0;
    }
    lm_os_mutex_unlock(&d->turn);
    return rc;
}

static int32_t open_device(const lm_host *host, uint32_t index, lm_device **out)
{
    int count = 0;
    if (lcu_calls.device_count(&count) != LCU_OK || index >= (uint32_t)count)
        return lm_fail(LLM_E_NOT_FOUND, "there is no device cuda:%u; there are %d", (unsigned)index,
                       count);
    lm_allocator first;
    lm_allocator_init(&first, &host->allocator);
    lcu_device *d = LM_NEW(&first, lcu_device);
    if (d == NULL)
        return LLM_E_MEMORY;
    d->base.backend = &lm_backend_cuda;
    d->host = *host;
    d->api = &lcu_calls;
    d->index = (int)index;
    lm_allocator_init(&d->books, &host->allocator);
    int32_t rc = lm_os_mutex_init(&d->books, &d->turn);
    if (rc >= 0)
        rc = start(d);
    if (rc < 0) {
        close_device(&d->base);
        return rc;
    }
    *out = &d->base;
    return LLM_OK;
}

static int32_t info(lm_device *device, lm_device_info *out)
{
    lcu_device *d = (lcu_device *)device;
    size_t free_bytes = 0, total = 0;
    LM_TRY(lcu_enter(d));
    LM_TRY(LCU_CALL(d, memory_info, &free_bytes, &total));
    memset(out, 0, sizeof *out);
    memcpy(out->name, d->properties.name, sizeof out->name);
    memcpy(out->uuid, d->properties.uuid, sizeof out->uuid);
    out->memory_total = total;
    out->memory_free = free_bytes;
    return LLM_OK;
}

static uint64_t bytes(lm_device *device)
{
    return atomic_load(&((lcu_device *)device)->taken);
}

const lm_backend lm_backend_cuda = {
    .struct_size = sizeof(lm_backend),
    .version = LM_BACKEND_VERSION,
    .name = "cuda",
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    .bytes = bytes,
    .weight_query = lcu_weight_query,
    .weight_load = lcu_weight_load,
    .weight_destroy = lcu_weight_destroy,
    .cache_query = lcu_cache_query,
    .cache_create = lcu_cache_create,
    .cache_destroy = lcu_cache_destroy,
    .cache_grow = lcu_cache_grow,
    .page_copy = lcu_page_copy,
    .page_move = lcu_page_move,
    .page_export = lcu_page_export,
    .page_import = lcu_page_import,
    .step_query = lcu_step_query,
    .program_query = lcu_program_query,
    .program_create = lcu_program_create,
    .program_destroy = lcu_program_destroy,
    .program_run = lcu_program_run,
    .slot_write = lcu_slot_write,
    .slot_read = lcu_slot_read,
    .slot_host = lcu_slot_host,
    .profile = lcu_profile,
    .queue_create = lcu_queue_create,
    .queue_destroy = lcu_queue_destroy,
    .queue_signal = lcu_queue_signal,
    .queue_wait = lcu_queue_wait,
};
