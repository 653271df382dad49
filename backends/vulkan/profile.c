/* profile.c - how long each step took, from timestamps of the device around it. */
#include "backends/vulkan/program.h"

static int32_t start(lvk_program *p)
{
    lvk_device *d = p->device;
    if (d->timestamp_mask == 0)
        return lm_fail(LLM_E_UNSUPPORTED, "'%s' tells no time", d->name);
    VkQueryPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                  .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                  .queryCount = (uint32_t)p->n_steps + 1};
    VkCommandBufferAllocateInfo one = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                       .commandPool = p->pool,
                                       .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                       .commandBufferCount = 1};
    if (p->queries == VK_NULL_HANDLE)
        LVK_TRY(d, d->calls.CreateQueryPool(d->device, &pool, NULL, &p->queries),
                "make a query pool");
    if (p->timed == NULL)
        LVK_TRY(d, d->calls.AllocateCommandBuffers(d->device, &one, &p->timed),
                "make a command buffer");
    return LLM_OK;
}

/* Nanoseconds of a step in the last timed run; 0 before the first. */
static int32_t read_step(lvk_program *p, size_t step, uint64_t *ns)
{
    lvk_device *d = p->device;
    uint64_t ticks[2];
    *ns = 0;
    if (!p->was_timed)
        return LLM_OK;
    LM_TRY(lvk_wait(d, p->last_semaphore, p->last_value, UINT64_MAX));
    LVK_TRY(d,
            d->calls.GetQueryPoolResults(d->device, p->queries, (uint32_t)step, 2, sizeof ticks,
                                         ticks, sizeof *ticks,
                                         VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
            "read the time");
    *ns = (uint64_t)((double)((ticks[1] - ticks[0]) & d->timestamp_mask) * d->timestamp_ns);
    return LLM_OK;
}

int32_t lvk_profile(lm_device *device, lm_program *program, bool on, size_t index, uint64_t *ns)
{
    lvk_program *p = lvk_program_of(program);
    LM_TRY(lvk_alive((lvk_device *)device));
    if (on && !p->profiling)
        LM_TRY(start(p));
    p->profiling = on;
    if (ns == NULL)
        return LLM_OK;
    if (index >= p->n_steps)
        return lm_fail(LLM_E_INVALID, "step %llu of %llu", (unsigned long long)index,
                       (unsigned long long)p->n_steps);
    return read_step(p, index, ns);
}
