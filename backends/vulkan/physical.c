/* physical.c - which devices can be used, what they have, and the logical device. */
#include "backends/vulkan/vulkan.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

/* --- what is required ------------------------------------------------------------------------- */

/* Features asked of a device and answered by it, chained together. */
typedef struct wanted {
    VkPhysicalDeviceFeatures2 base;
    VkPhysicalDeviceVulkan11Features v11;
    VkPhysicalDeviceVulkan12Features v12;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot;
#if LVK_COOPMAT
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coopmat;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroups;
#endif
} wanted;

typedef struct requirement {
    size_t offset; /* of the flag in `wanted` */
    const char *name;
} requirement;

#define REQUIRE(member, name)                                                                      \
    {                                                                                              \
        offsetof(wanted, member), name                                                             \
    }
static const requirement requirements[] = {
    REQUIRE(base.features.shaderInt64, "64-bit integers in shaders"),
    REQUIRE(base.features.shaderInt16, "16-bit integers in shaders"),
    REQUIRE(v11.storageBuffer16BitAccess, "16-bit storage"),
    REQUIRE(v12.storageBuffer8BitAccess, "8-bit storage"),
    REQUIRE(v12.shaderInt8, "8-bit integers in shaders"),
    REQUIRE(v12.bufferDeviceAddress, "buffer device addresses"),
    REQUIRE(v12.timelineSemaphore, "timeline semaphores"),
    REQUIRE(v12.scalarBlockLayout, "the scalar block layout"),
};
#define N_REQUIREMENTS (sizeof requirements / sizeof requirements[0])

static VkBool32 *flag_of(wanted *w, const requirement *r)
{
    return (VkBool32 *)(void *)((char *)w + r->offset);
}

/* Extensions whose structures may be in the chain. */
typedef struct optional {
    bool dot, coopmat;
} optional;

static void chain(wanted *w, optional o)
{
    memset(w, 0, sizeof *w);
    w->base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    w->v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    w->v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    w->dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
    w->base.pNext = &w->v11;
    w->v11.pNext = &w->v12;
    w->v12.pNext = o.dot ? &w->dot : NULL;
#if LVK_COOPMAT
    w->coopmat.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    w->subgroups.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES;
    if (o.coopmat) {
        w->subgroups.pNext = w->v12.pNext;
        w->coopmat.pNext = &w->subgroups;
        w->v12.pNext = &w->coopmat;
    }
#endif
}

/* The queue family to compute on: one without graphics where there is one. */
static uint32_t compute_family(const lvk_calls *c, VkPhysicalDevice device,
                               uint32_t *timestamp_bits)
{
    VkQueueFamilyProperties families[32];
    uint32_t count = 32, best = LM_NONE;
    c->GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        bool graphics = (families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) != 0;
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0 || families[i].queueCount == 0)
            continue;
        if (best == LM_NONE || !graphics) {
            best = i;
            *timestamp_bits = families[i].timestampValidBits;
            if (!graphics)
                break;
        }
    }
    return best;
}

/* --- which can be used ------------------------------------------------------------------------ */

static int32_t refuse(const VkPhysicalDeviceProperties *p, const char *what)
{
    return lm_fail(LLM_E_NOT_FOUND, "'%s' cannot be used: it lacks %s", p->deviceName, what);
}

static int32_t check_device(const lvk_calls *c, VkPhysicalDevice device,
                            const VkPhysicalDeviceProperties *p)
{
    wanted has;
    uint32_t bits;
    if (p->apiVersion < VK_API_VERSION_1_2)
        return refuse(p, "Vulkan 1.2");
    chain(&has, (optional){false, false});
    c->GetPhysicalDeviceFeatures2(device, &has.base);
    for (size_t i = 0; i < N_REQUIREMENTS; i++)
        if (!*flag_of(&has, &requirements[i]))
            return refuse(p, requirements[i].name);
    if (compute_family(c, device, &bits) == LM_NONE)
        return refuse(p, "a queue that computes");
    return LLM_OK;
}

/* Smaller is better. */
static uint32_t rank_of(VkPhysicalDeviceType type)
{
    static const uint32_t ranks[] = {[VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU] = 0,
                                     [VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU] = 1,
                                     [VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU] = 2,
                                     [VK_PHYSICAL_DEVICE_TYPE_OTHER] = 3,
                                     [VK_PHYSICAL_DEVICE_TYPE_CPU] = 4};
    return (uint32_t)type < 5 ? ranks[type] : 5;
}

int32_t lvk_find_devices(const lvk_loader *loader, lvk_candidates *out)
{
    const lvk_calls *c = &loader->calls;
    VkPhysicalDevice all[LVK_MAX_DEVICES];
    uint32_t ranks[LVK_MAX_DEVICES], count = LVK_MAX_DEVICES;
    out->count = 0;
    VkResult r = c->EnumeratePhysicalDevices(loader->instance, &count, all);
    if (r == VK_ERROR_OUT_OF_HOST_MEMORY)
        return lm_fail(LLM_E_MEMORY, "out of memory while looking for Vulkan devices");
    if ((r != VK_SUCCESS && r != VK_INCOMPLETE) || count == 0)
        return lm_fail(LLM_E_NOT_FOUND, "Vulkan has no device here; is a driver installed?");
    int32_t reason = LLM_OK;
    for (uint32_t i = 0; i < count; i++) {
        VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
        c->GetPhysicalDeviceProperties2(all[i], &p);
        int32_t rc = check_device(c, all[i], &p.properties);
        if (rc < 0) {
            reason = rc;
            continue;
        }
        uint32_t at = out->count++, rank = rank_of(p.properties.deviceType);
        for (; at > 0 && ranks[at - 1] > rank; at--) {
            ranks[at] = ranks[at - 1];
            out->devices[at] = out->devices[at - 1];
        }
        ranks[at] = rank;
        out->devices[at] = all[i];
    }
    return out->count == 0 ? reason : LLM_OK;
}

/* --- the logical device ----------------------------------------------------------------------- */

#define MAX_EXTENSIONS 4u

typedef struct extensions {
    VkExtensionProperties *list;
    uint32_t count;
    const char *names[MAX_EXTENSIONS];
    uint32_t n_names;
} extensions;

static int32_t list_extensions(lvk_device *d, extensions *e)
{
    const lvk_calls *c = &d->loader.calls;
    uint32_t count = 0;
    LVK_TRY(d, c->EnumerateDeviceExtensionProperties(d->physical, NULL, &count, NULL),
            "list extensions");
    e->count = count;
    e->list = LM_NEW_ARRAY(&d->books, VkExtensionProperties, count);
    if (e->list == NULL)
        return LLM_E_MEMORY;
    LVK_TRY(d, c->EnumerateDeviceExtensionProperties(d->physical, NULL, &count, e->list),
            "list extensions");
    return LLM_OK;
}

/* Asks for an extension when the device has it. */
static bool use_extension(extensions *e, const char *name)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (strcmp(e->list[i].extensionName, name) == 0) {
            e->names[e->n_names++] = name;
            return true;
        }
    }
    return false;
}

static void keep_properties(lvk_device *d)
{
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties limits = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &subgroup};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES,
                                       .pNext = &limits};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                     .pNext = &id};
    d->loader.calls.GetPhysicalDeviceProperties2(d->physical, &p);
    const VkPhysicalDeviceLimits *l = &p.properties.limits;
    snprintf(d->name, sizeof d->name, "%.120s", p.properties.deviceName);
    memcpy(d->uuid, id.deviceUUID, sizeof d->uuid);
    memcpy(d->cache_uuid, p.properties.pipelineCacheUUID, sizeof d->cache_uuid);
    d->vendor = p.properties.vendorID;
    d->id = p.properties.deviceID;
    memcpy(d->max_groups, l->maxComputeWorkGroupCount, sizeof d->max_groups);
    d->memory.max_allocation = limits.maxMemoryAllocationSize;
    d->features.subgroup = subgroup.subgroupSize;
    d->features.shared_bytes = l->maxComputeSharedMemorySize;
    d->features.max_invocations =
        lm_min_u32(l->maxComputeWorkGroupInvocations, l->maxComputeWorkGroupSize[0]);
    d->timestamp_ns = (double)l->timestampPeriod;
}

/* Dot products of four bytes that are more than what a shader would do itself. */
static bool fast_dot(const lvk_device *d)
{
    VkPhysicalDeviceShaderIntegerDotProductProperties dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                     .pNext = &dot};
    d->loader.calls.GetPhysicalDeviceProperties2(d->physical, &p);
    return dot.integerDotProduct4x8BitPackedSignedAccelerated;
}

#if LVK_COOPMAT
/* Cooperative matrices want subgroups without gaps. */
static bool use_coopmat(extensions *e)
{
    return use_extension(e, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME) &&
           use_extension(e, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
}

/* With what their shader needs besides. */
static int32_t turn_on_coopmat(lvk_device *d, const wanted *has, wanted *on)
{
    if (!has->coopmat.cooperativeMatrix || !has->subgroups.computeFullSubgroups ||
        !has->v12.shaderFloat16 || !has->v12.vulkanMemoryModel ||
        !has->v12.vulkanMemoryModelDeviceScope)
        return LLM_OK;
    LM_TRY(lvk_find_coopmat(d, d->features.coopmat));
    VkBool32 found = d->features.coopmat[0] != 0;
    on->coopmat.cooperativeMatrix = on->subgroups.computeFullSubgroups = found;
    on->v12.vulkanMemoryModel = on->v12.vulkanMemoryModelDeviceScope = found;
    return LLM_OK;
}
#else
static bool use_coopmat(extensions *e)
{
    (void)e;
    return false;
}

static int32_t turn_on_coopmat(lvk_device *d, const wanted *has, wanted *on)
{
    (void)d;
    (void)has;
    (void)on;
    return LLM_OK;
}
#endif

/* Turns on what is required and, where it is there, what is optional. */
static int32_t create(lvk_device *d, extensions *e)
{
    const float priority = 1;
    wanted has, on;
    optional o = {use_extension(e, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME),
                  use_coopmat(e)};
    d->has_budget = use_extension(e, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    chain(&has, o);
    chain(&on, o);
    d->loader.calls.GetPhysicalDeviceFeatures2(d->physical, &has.base);
    for (size_t i = 0; i < N_REQUIREMENTS; i++)
        *flag_of(&on, &requirements[i]) = VK_TRUE;
    on.v12.shaderFloat16 = has.v12.shaderFloat16;
    on.dot.shaderIntegerDotProduct = has.dot.shaderIntegerDotProduct;
    d->features.float16 = has.v12.shaderFloat16;
    d->features.integer_dot = o.dot && has.dot.shaderIntegerDotProduct && fast_dot(d);
    LM_TRY(turn_on_coopmat(d, &has, &on));
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = d->family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &on.base,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = e->n_names,
                               .ppEnabledExtensionNames = e->names};
    LVK_TRY(d, d->loader.calls.CreateDevice(d->physical, &info, NULL, &d->device),
            "open the device");
    d->calls = d->loader.calls;
    /* Without its own DestroyDevice a device that lacks functions cannot be given back. */
    LM_TRY(lvk_calls_of_device(&d->calls, d->device));
    d->calls.GetDeviceQueue(d->device, d->family, 0, &d->queue);
    return LLM_OK;
}

int32_t lvk_make_device(lvk_device *d)
{
    extensions e = {0};
    uint32_t bits = 0;
    keep_properties(d);
    d->family = compute_family(&d->loader.calls, d->physical, &bits);
    d->timestamp_mask = bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    int32_t rc = list_extensions(d, &e);
    if (rc >= 0)
        rc = create(d, &e);
    lm_free_array(&d->books, e.list, e.count, sizeof *e.list);
    return rc;
}
