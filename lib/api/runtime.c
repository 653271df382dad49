/* runtime.c - llm_runtime.h and llm_version.h. */
#include "api/handles.h"

#include <stdio.h>
#include <string.h>

LLM_API uint32_t llm_version(void)
{
    return LLM_VERSION_NUMBER;
}

LLM_API const char *llm_version_string(void)
{
    return "0.1.0";
}

void lm_runtime_retain(llm_runtime *rt)
{
    lm_ref_retain(&rt->refs);
}

void lm_runtime_release(llm_runtime *rt)
{
    if (rt == NULL || !lm_ref_release(&rt->refs))
        return;
    lm_registry_finish(&rt->registry);
    lm_os_mutex_finish(&rt->alloc, &rt->mutex);
    lm_strfree(&rt->alloc, rt->kernel_cache);
    llm_allocator host = rt->alloc.host;
    host.free(host.user, rt, sizeof *rt);
}

/* A limit of 0 keeps the default. */
static void set_limit(uint64_t *limit, uint64_t wanted)
{
    if (wanted != 0)
        *limit = wanted;
}

static int32_t take_limits(lm_limits *limits, const llm_limits *given)
{
    lm_limits_default(limits);
    if (given->struct_size == 0)
        return LLM_OK;
    if (given->struct_size != sizeof *given)
        return lm_fail(LLM_E_INVALID, "llm_limits: struct_size is %u; set it to sizeof(llm_limits)",
                       (unsigned)given->struct_size);
    uint64_t parts = limits->parts;
    set_limit(&parts, given->parts);
    limits->parts = (uint32_t)parts;
    set_limit(&limits->header_bytes, given->header_bytes);
    set_limit(&limits->string_bytes, given->string_bytes);
    set_limit(&limits->array_items, given->array_items);
    set_limit(&limits->pairs, given->pairs);
    set_limit(&limits->tensors, given->tensors);
    return LLM_OK;
}

LLM_API int32_t llm_runtime_create(const llm_runtime_params *params, llm_runtime **out)
{
    lm_want(out, "out");
    llm_runtime_params p;
    LM_TRY(lm_params_in(&p, sizeof p, params, "llm_runtime_params"));
    if ((p.allocator.alloc == NULL) != (p.allocator.free == NULL))
        return lm_fail(LLM_E_INVALID, "llm_runtime_params: an allocator needs both alloc and free");
    if (p.threads > 4096)
        return lm_fail(LLM_E_INVALID, "llm_runtime_params: %u threads; at most 4096",
                       (unsigned)p.threads);
    lm_allocator boot;
    lm_allocator_init(&boot, &p.allocator);
    llm_runtime *rt = boot.host.alloc(boot.host.user, sizeof *rt, LM_ALIGN);
    if (rt == NULL)
        return lm_fail(LLM_E_MEMORY, "out of memory: no room for a runtime");
    memset(rt, 0, sizeof *rt);
    lm_ref_init(&rt->refs);
    lm_allocator_init(&rt->alloc, &p.allocator);
    rt->log = (lm_log){p.log, p.log_user};
    int32_t rc = take_limits(&rt->limits, &p.limits);
    if (rc >= 0 && p.kernel_cache != NULL) {
        rt->kernel_cache = lm_strdup(&rt->alloc, p.kernel_cache, strlen(p.kernel_cache));
        rc = rt->kernel_cache == NULL ? LLM_E_MEMORY : LLM_OK;
    }
    lm_host host = {.allocator = rt->alloc.host,
                    .log = rt->log,
                    .threads = p.threads,
                    .parallel = p.parallel,
                    .parallel_user = p.parallel_user,
                    .cpu_features_masked = p.cpu_features_masked,
                    .kernel_cache = rt->kernel_cache};
    LM_GO(rc);
    LM_GO(lm_os_mutex_init(&rt->alloc, &rt->mutex));
    LM_GO(lm_registry_init(&rt->registry, &rt->alloc, &host, p.module_folder));
    *out = rt;
    return LLM_OK;
out:
    lm_runtime_release(rt);
    return rc;
}

LLM_API void llm_runtime_destroy(llm_runtime *runtime)
{
    lm_runtime_release(runtime);
}

static int32_t describe_device(llm_runtime *rt, const lm_backend *backend, uint32_t index,
                               llm_device_info *out)
{
    lm_device *device;
    lm_device_info inner;
    LM_TRY(backend->open(&rt->registry.host, index, &device));
    int32_t rc = backend->info(device, &inner);
    backend->close(device);
    LM_TRY(rc);
    llm_device_info info;
    memset(&info, 0, sizeof info);
    info.threads = inner.threads;
    snprintf(info.id, sizeof info.id, "%s:%u", backend->name, (unsigned)index);
    memcpy(info.name, inner.name, sizeof info.name);
    memcpy(info.uuid, inner.uuid, sizeof info.uuid);
    info.memory_total = inner.memory_total;
    info.memory_free = inner.memory_free;
    return lm_params_out(out, &info, sizeof info, "llm_device_info");
}

/* Backends that prove others: whoever wants them knows their names. */
static bool is_for_proofs(const lm_backend *backend)
{
    return strcmp(backend->name, "ref") == 0 || strcmp(backend->name, "null") == 0;
}

LLM_API int32_t llm_runtime_device_at(llm_runtime *runtime, uint32_t index, llm_device_info *out)
{
    lm_want(runtime, "runtime");
    static const char *const modules[] = {"vulkan", "cuda"};
    lm_os_mutex_lock(&runtime->mutex);
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        const lm_backend *ignored;
        lm_registry_find(&runtime->registry, modules[i],
                         &ignored); /* absent ones are passed over */
    }
    int32_t rc = lm_fail(LLM_E_NOT_FOUND, "there is no device number %u", (unsigned)index);
    for (uint32_t i = 0; i < runtime->registry.n_entries; i++) {
        const lm_backend *backend = runtime->registry.entries[i].backend;
        uint32_t count = 0;
        if (is_for_proofs(backend) || backend->probe(&runtime->registry.host, &count) < 0)
            continue;
        if (index < count) {
            rc = describe_device(runtime, backend, index, out);
            break;
        }
        index -= count;
    }
    lm_os_mutex_unlock(&runtime->mutex);
    return rc;
}

LLM_API int32_t llm_runtime_memory(llm_runtime *runtime, llm_memory_use *out)
{
    lm_want(runtime, "runtime");
    llm_memory_use use = {sizeof use, 0, runtime->alloc.bytes, runtime->alloc.peak,
                          runtime->alloc.calls};
    return lm_params_out(out, &use, sizeof use, "llm_memory_use");
}
