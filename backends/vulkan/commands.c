/* commands.c - command buffers: recorded once for each bucket of rows, with only the barriers that the
 * declared ranges ask for, and cut where one submission would keep the device busy for too long. */
#include "backends/vulkan/program.h"

#include "base/checked.h"

/* --- buckets ---------------------------------------------------------------------------------- */

/* Powers of two, the last one being the limit; 0 for none. */
static uint32_t bucket_count(uint32_t rows, uint32_t limit)
{
    uint32_t count = rows > 0;
    while (count < rows)
        count *= 2;
    return count < limit ? count : limit;
}

static uint32_t bucket_index(uint32_t count)
{
    uint32_t index = 0;
    while (count > 0 && (uint64_t)1 << index < count)
        index++;
    return index + (count > 0);
}

static lvk_bucket bucket_of(const lm_row_limits *limits, uint32_t rows, uint32_t wanted)
{
    lvk_bucket b = {{0}};
    b.count[LM_ROWS_ALL] = bucket_count(rows, limits->rows);
    b.count[LM_ROWS_WANTED] = bucket_count(wanted, limits->wanted);
    b.count[LM_ROWS_SEQS] = lm_min_u32(limits->seqs, b.count[LM_ROWS_ALL]);
    return b;
}

lvk_bucket lvk_bucket_for(const lvk_program *p, const lm_run *run)
{
    return bucket_of(&p->bounds.limits, run->n_rows, run->n_wanted);
}

uint32_t lvk_bucket_kinds(uint32_t limit)
{
    return bucket_index(limit) + 1;
}

/* --- single commands -------------------------------------------------------------------------- */

static uint64_t groups_of(const lvk_extent *e, const lvk_bucket *b)
{
    return e->per == 0 ? e->times : (uint64_t)lm_ceil_div_u32(b->count[e->rows], e->per) * e->times;
}

/* Not in this bucket: another variant is, or there are no rows. */
static bool is_idle(const lvk_op *op, const lvk_bucket *b)
{
    uint32_t rows = b->count[op->bucket_rows];
    if (rows < op->bucket_from || (op->bucket_to != 0 && rows > op->bucket_to))
        return true;
    for (uint32_t i = 0; i < 3; i++)
        if (groups_of(&op->extents[i], b) == 0)
            return true;
    return false;
}

static void barrier(lvk_device *d, VkCommandBuffer commands, VkPipelineStageFlags from,
                    VkPipelineStageFlags to, VkAccessFlags reads)
{
    VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                           .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                           .dstAccessMask = reads};
    d->calls.CmdPipelineBarrier(commands, from, to, 0, 1, &all, 0, NULL, 0, NULL);
}

static void barrier_between(lvk_device *d, VkCommandBuffer commands)
{
    VkMemoryBarrier shaders = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                               .dstAccessMask =
                                   VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
    d->calls.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &shaders, 0, NULL, 0,
                                NULL);
}

/* In pieces no larger than the device's limits. */
static void dispatch(lvk_device *d, VkCommandBuffer commands, const uint64_t groups[3])
{
    const uint32_t *most = d->max_groups;
    for (uint64_t z = 0; z < groups[2]; z += most[2])
        for (uint64_t y = 0; y < groups[1]; y += most[1])
            for (uint64_t x = 0; x < groups[0]; x += most[0])
                d->calls.CmdDispatchBase(
                    commands, (uint32_t)x, (uint32_t)y, (uint32_t)z,
                    (uint32_t)(groups[0] - x < most[0] ? groups[0] - x : most[0]),
                    (uint32_t)(groups[1] - y < most[1] ? groups[1] - y : most[1]),
                    (uint32_t)(groups[2] - z < most[2] ? groups[2] - z : most[2]));
}

static void record_op(const lvk_program *p, VkCommandBuffer commands, const lvk_op *op,
                      const lvk_bucket *b)
{
    lvk_device *d = p->device;
    lvk_push push = {op->args, p->run.address};
    uint64_t groups[3];
    for (uint32_t i = 0; i < 3; i++)
        groups[i] = groups_of(&op->extents[i], b);
    d->calls.CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, op->pipeline);
    d->calls.CmdPushConstants(commands, d->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof push,
                              &push);
    dispatch(d, commands, groups);
}

/* Everything before the run is seen by it: copies, earlier runs, what the host wrote. */
static int32_t begin(lvk_device *d, VkCommandBuffer commands)
{
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    LVK_TRY(d, d->calls.BeginCommandBuffer(commands, &info), "record commands");
    barrier(d, commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    return LLM_OK;
}

/* The outputs to where the host reads them. */
static void record_outputs(const lvk_program *p, VkCommandBuffer commands, const lvk_bucket *b)
{
    lvk_device *d = p->device;
    if (p->shadow.block != NULL) {
        barrier(d, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
                VK_ACCESS_TRANSFER_READ_BIT);
        for (uint32_t i = 0; i < p->n_outputs; i++) {
            const lm_slot_info *slot = &p->slots[p->outputs[i]];
            const lm_slot_place *place = &p->places[p->outputs[i]];
            VkBufferCopy copy = {p->workspace.offset + place->offset,
                                 p->shadow.offset + p->shadow_at[i],
                                 (uint64_t)b->count[slot->rows] * slot->width * 4u};
            if (p->shadow_at[i] != UINT64_MAX && copy.size > 0)
                d->calls.CmdCopyBuffer(commands, lvk_buffer_of(&p->workspace),
                                       lvk_buffer_of(&p->shadow), 1, &copy);
        }
    }
    barrier(d, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
            VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

/* --- buckets' command buffers ----------------------------------------------------------------- */

uint32_t lvk_max_parts(const lvk_device *d, const lm_row_limits *limits, const lvk_sizes *sizes)
{
    uint32_t rows = lm_max_u32(limits->rows, lm_max_u32(limits->wanted, limits->seqs));
    uint64_t flops;
    if (!lm_mul_u64(sizes->flops_per_row, rows, &flops))
        flops = UINT64_MAX;
    uint64_t parts = flops / d->submit_flops + 1;
    return parts < sizes->n_ops + 1 ? (uint32_t)parts : (uint32_t)sizes->n_ops + 1;
}

/* Ends the part being recorded, if there is one, and begins the next. */
static int32_t next_part(lvk_program *p, lvk_recorded *r, uint32_t *n)
{
    lvk_device *d = p->device;
    if (*n > 0)
        LVK_TRY(d, d->calls.EndCommandBuffer(r->parts[*n - 1]), "record commands");
    if (r->parts[*n] == NULL) {
        VkCommandBufferAllocateInfo one = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                           .commandPool = p->pool,
                                           .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                           .commandBufferCount = 1};
        LVK_TRY(d, d->calls.AllocateCommandBuffers(d->device, &one, &r->parts[*n]),
                "make a command buffer");
    }
    LM_TRY(begin(d, r->parts[*n]));
    ++*n;
    return LLM_OK;
}

static int32_t record(lvk_program *p, lvk_recorded *r, const lvk_bucket *b)
{
    lvk_device *d = p->device;
    uint32_t n = 0;
    uint64_t flops = 0;
    p->hazards.count = 0;
    LM_TRY(next_part(p, r, &n));
    for (size_t i = 0; i < p->n_ops; i++) {
        const lvk_op *op = &p->ops[i];
        if (is_idle(op, b))
            continue;
        uint64_t more = op->flops_per_row * b->count[op->bucket_rows];
        if (flops > 0 && flops + more > d->submit_flops && n < p->max_parts) {
            LM_TRY(next_part(p, r, &n)); /* begins with a barrier */
            p->hazards.count = 0;
            flops = 0;
        }
        flops += more;
        if (lvk_hazards_add(&p->hazards, op->ranges, op->n_ranges))
            barrier_between(d, r->parts[n - 1]);
        record_op(p, r->parts[n - 1], op, b);
    }
    record_outputs(p, r->parts[n - 1], b);
    LVK_TRY(d, d->calls.EndCommandBuffer(r->parts[n - 1]), "record commands");
    r->n_parts = n;
    return LLM_OK;
}

int32_t lvk_record(lvk_program *p, const lvk_bucket *b, const lvk_recorded **out)
{
    uint32_t row = bucket_index(b->count[LM_ROWS_ALL]);
    uint32_t wanted = bucket_index(b->count[LM_ROWS_WANTED]);
    lvk_recorded *r = &p->recorded[(size_t)row * p->wanted_buckets + wanted];
    if (r->n_parts == 0)
        LM_TRY(record(p, r, b));
    *out = r;
    return LLM_OK;
}

/* --- timing ----------------------------------------------------------------------------------- */

int32_t lvk_record_timed(lvk_program *p, const lvk_bucket *b)
{
    lvk_device *d = p->device;
    size_t at = 0;
    LM_TRY(begin(d, p->timed));
    d->calls.CmdResetQueryPool(p->timed, p->queries, 0, (uint32_t)p->n_steps + 1);
    d->calls.CmdWriteTimestamp(p->timed, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, p->queries, 0);
    for (uint32_t step = 0; step < p->n_steps; step++) {
        for (; at < p->n_ops && p->ops[at].step == step; at++) {
            if (is_idle(&p->ops[at], b))
                continue;
            barrier_between(d, p->timed);
            record_op(p, p->timed, &p->ops[at], b);
        }
        d->calls.CmdWriteTimestamp(p->timed, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, p->queries,
                                   step + 1);
    }
    record_outputs(p, p->timed, b);
    LVK_TRY(d, d->calls.EndCommandBuffer(p->timed), "record commands");
    return LLM_OK;
}
