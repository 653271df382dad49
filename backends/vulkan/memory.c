/* memory.c - device memory. A large region is an allocation of its own; small ones share blocks of a
 * megabyte, which are given back when their last region is. Every block is one buffer with an address,
 * so shaders meet no limit on the size of what a descriptor may cover. */
#include "backends/vulkan/vulkan.h"

#include "base/checked.h"

#include <string.h>

#define ALIGN       256u
#define SHARED_SIZE ((uint64_t)1 << 20)

struct lvk_block {
    lvk_block *next;
    VkDeviceMemory memory;
    VkBuffer buffer;
    uint64_t bytes, address;
    uint8_t *host;
    uint32_t use;
    uint64_t used;    /* from the front; the rest is free */
    uint32_t regions; /* that live in it */
};

/* --- kinds of memory -------------------------------------------------------------------------- */

enum {
    LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
    VISIBLE = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
    CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT
};

/* What each use wants, best first. The host writes through the bus where all of the device's memory is
 * visible to it (LVK_DEVICE takes whatever type the largest local heap has first). */
static const VkMemoryPropertyFlags wishes[LVK_USE_COUNT][3] = {
    [LVK_DEVICE] = {LOCAL, VISIBLE, 0},
    [LVK_HOST_WRITES] = {LOCAL | VISIBLE, VISIBLE, VISIBLE},
    [LVK_HOST_READS] = {VISIBLE | CACHED, VISIBLE, VISIBLE},
};

static uint64_t heap_of(const lvk_memory *m, uint32_t type)
{
    return m->types.memoryHeaps[m->types.memoryTypes[type].heapIndex].size;
}

/* The first type with all of `wanted` in the largest heap that has one; visible ones before others, so
 * that nothing needs staging where the host sees all memory. */
static uint32_t type_with(const lvk_memory *m, uint32_t allowed, VkMemoryPropertyFlags wanted)
{
    uint32_t best = LM_NONE;
    for (uint32_t i = 0; i < m->types.memoryTypeCount; i++) {
        VkMemoryPropertyFlags has = m->types.memoryTypes[i].propertyFlags;
        if ((allowed >> i & 1u) == 0 || (has & wanted) != wanted)
            continue;
        bool visible = (has & VISIBLE) == VISIBLE;
        bool best_visible =
            best != LM_NONE && (m->types.memoryTypes[best].propertyFlags & VISIBLE) == VISIBLE;
        if (best == LM_NONE || heap_of(m, i) > heap_of(m, best) ||
            (heap_of(m, i) == heap_of(m, best) && visible && !best_visible))
            best = i;
    }
    return best;
}

static VkBufferCreateInfo buffer_info(uint64_t bytes)
{
    return (VkBufferCreateInfo){
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT};
}

/* The types that buffers of ours may lie in. */
static int32_t allowed_types(lvk_device *d, uint32_t *out)
{
    VkBufferCreateInfo info = buffer_info(ALIGN);
    VkBuffer buffer;
    LVK_TRY(d, d->calls.CreateBuffer(d->device, &info, NULL, &buffer), "make a buffer");
    VkMemoryRequirements needs;
    d->calls.GetBufferMemoryRequirements(d->device, buffer, &needs);
    d->calls.DestroyBuffer(d->device, buffer, NULL);
    *out = needs.memoryTypeBits;
    return LLM_OK;
}

int32_t lvk_memory_init(lvk_device *d)
{
    lvk_memory *m = &d->memory;
    VkPhysicalDeviceMemoryProperties2 p = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    d->loader.calls.GetPhysicalDeviceMemoryProperties2(d->physical, &p);
    m->types = p.memoryProperties;
    LM_TRY(lm_os_mutex_init(&d->books, &m->mutex));
    uint32_t allowed = 0;
    LM_TRY(allowed_types(d, &allowed));
    for (uint32_t use = 0; use < LVK_USE_COUNT; use++) {
        m->type[use] = LM_NONE;
        for (uint32_t w = 0; w < 3 && m->type[use] == LM_NONE; w++)
            m->type[use] = type_with(m, allowed, wishes[use][w]);
        if (m->type[use] == LM_NONE)
            return lm_fail(LLM_E_UNSUPPORTED, "'%s' has no memory that the host can see", d->name);
    }
    return LLM_OK;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void free_block(lvk_device *d, lvk_block *b)
{
    for (lvk_block **at = &d->memory.blocks; *at != NULL; at = &(*at)->next) {
        if (*at == b) {
            *at = b->next;
            break;
        }
    }
    if (b->buffer != VK_NULL_HANDLE)
        d->calls.DestroyBuffer(d->device, b->buffer, NULL);
    if (b->memory != VK_NULL_HANDLE)
        d->calls.FreeMemory(d->device, b->memory, NULL);
    LM_DELETE(&d->books, b);
}

static int32_t fill_block(lvk_device *d, lvk_block *b)
{
    VkBufferCreateInfo info = buffer_info(b->bytes);
    LVK_TRY(d, d->calls.CreateBuffer(d->device, &info, NULL, &b->buffer), "make a buffer");
    VkMemoryRequirements needs;
    d->calls.GetBufferMemoryRequirements(d->device, b->buffer, &needs);
    VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                       .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkMemoryAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                     .pNext = &flags,
                                     .allocationSize = needs.size,
                                     .memoryTypeIndex = d->memory.type[b->use]};
    LVK_TRY(d, d->calls.AllocateMemory(d->device, &allocate, NULL, &b->memory),
            "take memory of the device");
    LVK_TRY(d, d->calls.BindBufferMemory(d->device, b->buffer, b->memory, 0), "bind memory");
    VkBufferDeviceAddressInfo address = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                         .buffer = b->buffer};
    b->address = d->calls.GetBufferDeviceAddress(d->device, &address);
    VkMemoryPropertyFlags has = d->memory.types.memoryTypes[allocate.memoryTypeIndex].propertyFlags;
    void *host = NULL;
    if ((has & VISIBLE) == VISIBLE)
        LVK_TRY(d, d->calls.MapMemory(d->device, b->memory, 0, VK_WHOLE_SIZE, 0, &host),
                "map memory");
    b->host = host;
    return LLM_OK;
}

static int32_t make_block(lvk_device *d, uint32_t use, uint64_t bytes, lvk_block **out)
{
    lvk_block *b = LM_NEW(&d->books, lvk_block);
    if (b == NULL)
        return LLM_E_MEMORY;
    b->use = use;
    b->bytes = bytes;
    b->next = d->memory.blocks;
    d->memory.blocks = b;
    int32_t rc = fill_block(d, b);
    if (rc < 0) {
        free_block(d, b);
        return rc;
    }
    *out = b;
    return LLM_OK;
}

void lvk_memory_finish(lvk_device *d)
{
    while (d->memory.blocks != NULL)
        free_block(d, d->memory.blocks);
    lm_os_mutex_finish(&d->books, &d->memory.mutex);
}

/* --- regions ---------------------------------------------------------------------------------- */

bool lvk_memory_fits(const lvk_device *d, uint64_t bytes)
{
    return bytes <= d->memory.max_allocation;
}

static lvk_block *block_with_room(const lvk_memory *m, uint32_t use, uint64_t bytes)
{
    for (lvk_block *b = m->blocks; b != NULL; b = b->next)
        if (b->use == use && b->bytes == SHARED_SIZE && b->bytes - b->used >= bytes)
            return b;
    return NULL;
}

static int32_t take(lvk_device *d, uint32_t use, uint64_t bytes, lvk_region *out)
{
    uint64_t aligned;
    if (!lm_align_u64(bytes, ALIGN, &aligned) || !lvk_memory_fits(d, aligned))
        return lm_fail(LLM_E_MEMORY, "'%s' gives at most %llu bytes in one piece, not %llu",
                       d->name, (unsigned long long)d->memory.max_allocation,
                       (unsigned long long)bytes);
    bool shared = aligned <= SHARED_SIZE / 2;
    lvk_block *b = shared ? block_with_room(&d->memory, use, aligned) : NULL;
    /* A block of one's own is never as large as a shared one, or it would be taken for it. */
    uint64_t wanted = shared ? SHARED_SIZE : aligned == SHARED_SIZE ? aligned + ALIGN : aligned;
    if (b == NULL)
        LM_TRY(make_block(d, use, wanted, &b));
    *out = (lvk_region){.block = b,
                        .offset = b->used,
                        .bytes = bytes,
                        .address = b->address + b->used,
                        .host = b->host == NULL ? NULL : b->host + b->used};
    out->cached = b->host != NULL &&
                  (d->memory.types.memoryTypes[d->memory.type[use]].propertyFlags & CACHED) != 0;
    b->used += aligned;
    b->regions++;
    return LLM_OK;
}

int32_t lvk_take(lvk_device *d, uint32_t use, uint64_t bytes, bool promised, lvk_region *out)
{
    LM_TRY(lvk_alive(d));
    lm_os_mutex_lock(&d->memory.mutex);
    int32_t rc = take(d, use, bytes, out);
    lm_os_mutex_unlock(&d->memory.mutex);
    if (rc >= 0 && promised)
        atomic_fetch_add(&d->memory.promised, bytes);
    return rc;
}

void lvk_give(lvk_device *d, lvk_region *region, bool promised)
{
    if (region->block == NULL)
        return;
    lm_os_mutex_lock(&d->memory.mutex);
    if (--region->block->regions == 0)
        free_block(d, region->block);
    lm_os_mutex_unlock(&d->memory.mutex);
    if (promised)
        atomic_fetch_sub(&d->memory.promised, region->bytes);
    memset(region, 0, sizeof *region);
}

VkBuffer lvk_buffer_of(const lvk_region *region)
{
    return region->block->buffer;
}
