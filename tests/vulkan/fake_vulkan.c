/* fake_vulkan.c - see fake_vulkan.h. One instance and one device at a time are enough. */
#include "vulkan/fake_vulkan.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT extern fake_vulkan fake_vulkan_control;
fake_vulkan fake_vulkan_control;
#define control fake_vulkan_control

static PFN_vkGetInstanceProcAddr real_instance_proc;
static PFN_vkGetDeviceProcAddr real_device_proc;

static bool fails(const char *name)
{
    control.calls++;
    if (control.calls != control.fail_at)
        return false;
    control.failed = name;
    return true;
}

/* --- functions that only fail, or count -------------------------------------------------------- */

/* clang-format off */
#define FAILING(X)                                                                                 \
    X(CreateInstance, (const VkInstanceCreateInfo *a, const VkAllocationCallbacks *b, VkInstance *c), (a, b, c)) \
    X(EnumerateDeviceExtensionProperties, (VkPhysicalDevice a, const char *b, uint32_t *c, VkExtensionProperties *d), (a, b, c, d)) \
    X(CreateDevice, (VkPhysicalDevice a, const VkDeviceCreateInfo *b, const VkAllocationCallbacks *c, VkDevice *d), (a, b, c, d)) \
    X(MapMemory, (VkDevice a, VkDeviceMemory b, VkDeviceSize c, VkDeviceSize d, VkMemoryMapFlags e, void **f), (a, b, c, d, e, f)) \
    X(CreateBuffer, (VkDevice a, const VkBufferCreateInfo *b, const VkAllocationCallbacks *c, VkBuffer *d), (a, b, c, d)) \
    X(BindBufferMemory, (VkDevice a, VkBuffer b, VkDeviceMemory c, VkDeviceSize d), (a, b, c, d))  \
    X(CreateSemaphore, (VkDevice a, const VkSemaphoreCreateInfo *b, const VkAllocationCallbacks *c, VkSemaphore *d), (a, b, c, d)) \
    X(WaitSemaphores, (VkDevice a, const VkSemaphoreWaitInfo *b, uint64_t c), (a, b, c))           \
    X(CreateShaderModule, (VkDevice a, const VkShaderModuleCreateInfo *b, const VkAllocationCallbacks *c, VkShaderModule *d), (a, b, c, d)) \
    X(CreatePipelineLayout, (VkDevice a, const VkPipelineLayoutCreateInfo *b, const VkAllocationCallbacks *c, VkPipelineLayout *d), (a, b, c, d)) \
    X(CreatePipelineCache, (VkDevice a, const VkPipelineCacheCreateInfo *b, const VkAllocationCallbacks *c, VkPipelineCache *d), (a, b, c, d)) \
    X(CreateQueryPool, (VkDevice a, const VkQueryPoolCreateInfo *b, const VkAllocationCallbacks *c, VkQueryPool *d), (a, b, c, d)) \
    X(CreateComputePipelines, (VkDevice a, VkPipelineCache b, uint32_t c, const VkComputePipelineCreateInfo *d, const VkAllocationCallbacks *e, VkPipeline *f), (a, b, c, d, e, f)) \
    X(CreateCommandPool, (VkDevice a, const VkCommandPoolCreateInfo *b, const VkAllocationCallbacks *c, VkCommandPool *d), (a, b, c, d)) \
    X(AllocateCommandBuffers, (VkDevice a, const VkCommandBufferAllocateInfo *b, VkCommandBuffer *c), (a, b, c)) \
    X(BeginCommandBuffer, (VkCommandBuffer a, const VkCommandBufferBeginInfo *b), (a, b))          \
    X(EndCommandBuffer, (VkCommandBuffer a), (a))

#define DESTROYING(X)                                                                              \
    X(DestroyInstance, (VkInstance a, const VkAllocationCallbacks *b), (a, b))       \
    X(DestroyDevice, (VkDevice a, const VkAllocationCallbacks *b), (a, b))             \
    X(DestroyBuffer, (VkDevice d, VkBuffer a, const VkAllocationCallbacks *b), (d, a, b))          \
    X(DestroySemaphore, (VkDevice d, VkSemaphore a, const VkAllocationCallbacks *b), (d, a, b))    \
    X(DestroyShaderModule, (VkDevice d, VkShaderModule a, const VkAllocationCallbacks *b), (d, a, b)) \
    X(DestroyPipelineLayout, (VkDevice d, VkPipelineLayout a, const VkAllocationCallbacks *b), (d, a, b)) \
    X(DestroyPipelineCache, (VkDevice d, VkPipelineCache a, const VkAllocationCallbacks *b), (d, a, b)) \
    X(DestroyPipeline, (VkDevice d, VkPipeline a, const VkAllocationCallbacks *b), (d, a, b))      \
    X(DestroyQueryPool, (VkDevice d, VkQueryPool a, const VkAllocationCallbacks *b), (d, a, b))    \
    X(DestroyCommandPool, (VkDevice d, VkCommandPool a, const VkAllocationCallbacks *b), (d, a, b))
/* clang-format on */

#define X(name, params, args)                                                                      \
    static PFN_vk##name real_##name;                                                               \
    static VKAPI_ATTR VkResult VKAPI_CALL fake_##name params                                       \
    {                                                                                              \
        if (fails(#name))                                                                          \
            return (VkResult)control.result;                                                       \
        VkResult r = real_##name args;                                                             \
        control.objects += r == VK_SUCCESS && strncmp(#name, "Create", 6) == 0;                    \
        return r;                                                                                  \
    }
FAILING(X)
#undef X

/* `a` is the object everywhere. */
#define X(name, params, args)                                                                      \
    static PFN_vk##name real_##name;                                                               \
    static VKAPI_ATTR void VKAPI_CALL fake_##name params                                           \
    {                                                                                              \
        control.objects -= a != VK_NULL_HANDLE;                                                    \
        real_##name args;                                                                          \
    }
DESTROYING(X)
#undef X

/* --- functions that pretend ------------------------------------------------------------------- */

static PFN_vkEnumeratePhysicalDevices real_EnumeratePhysicalDevices;
static PFN_vkGetPhysicalDeviceMemoryProperties2 real_GetPhysicalDeviceMemoryProperties2;
static PFN_vkGetPhysicalDeviceProperties2 real_GetPhysicalDeviceProperties2;
static PFN_vkGetBufferMemoryRequirements real_GetBufferMemoryRequirements;
static PFN_vkAllocateMemory real_AllocateMemory;
static PFN_vkFreeMemory real_FreeMemory;
static PFN_vkQueueSubmit real_QueueSubmit;

/* The first one again and again. */
static VKAPI_ATTR VkResult VKAPI_CALL fake_EnumeratePhysicalDevices(VkInstance instance,
                                                                    uint32_t *count,
                                                                    VkPhysicalDevice *list)
{
    if (fails("EnumeratePhysicalDevices"))
        return (VkResult)control.result;
    if (control.devices == 0 || list == NULL || *count < control.devices)
        return real_EnumeratePhysicalDevices(instance, count, list);
    VkResult r = real_EnumeratePhysicalDevices(instance, count, list);
    for (uint32_t i = 1; i < control.devices; i++)
        list[i] = list[0];
    *count = control.devices;
    return r == VK_INCOMPLETE ? VK_SUCCESS : r;
}

/* With `hidden`: type 0 is the device's alone, 1 is written by the host, 2 read by it. */
static VKAPI_ATTR void VKAPI_CALL
fake_GetPhysicalDeviceMemoryProperties2(VkPhysicalDevice d, VkPhysicalDeviceMemoryProperties2 *p)
{
    real_GetPhysicalDeviceMemoryProperties2(d, p);
    if (control.memory != 0)
        p->memoryProperties.memoryHeaps[0].size = control.memory;
    if (control.hidden == 0)
        return;
    VkMemoryPropertyFlags host =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    p->memoryProperties.memoryTypeCount = 3;
    p->memoryProperties.memoryTypes[0] = (VkMemoryType){VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0};
    p->memoryProperties.memoryTypes[1] = (VkMemoryType){host, 0};
    p->memoryProperties.memoryTypes[2] =
        (VkMemoryType){host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 0};
}

static VKAPI_ATTR void VKAPI_CALL fake_GetPhysicalDeviceProperties2(VkPhysicalDevice d,
                                                                    VkPhysicalDeviceProperties2 *p)
{
    real_GetPhysicalDeviceProperties2(d, p);
    for (VkBaseOutStructure *s = p->pNext; s != NULL; s = s->pNext) {
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES &&
            control.largest != 0)
            ((VkPhysicalDeviceMaintenance3Properties *)(void *)s)->maxMemoryAllocationSize =
                control.largest;
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES &&
            control.fast_dot != 0)
            ((VkPhysicalDeviceShaderIntegerDotProductProperties *)(void *)s)
                ->integerDotProduct4x8BitPackedSignedAccelerated = VK_TRUE;
    }
}

static VKAPI_ATTR void VKAPI_CALL fake_GetBufferMemoryRequirements(VkDevice d, VkBuffer b,
                                                                   VkMemoryRequirements *r)
{
    real_GetBufferMemoryRequirements(d, b, r);
    if (control.hidden != 0)
        r->memoryTypeBits = 7;
}

/* Sizes of live allocations, found again when they are freed. */
static struct {
    VkDeviceMemory memory;
    uint64_t bytes;
} live[4096];

static VKAPI_ATTR VkResult VKAPI_CALL fake_AllocateMemory(VkDevice d, const VkMemoryAllocateInfo *i,
                                                          const VkAllocationCallbacks *a,
                                                          VkDeviceMemory *out)
{
    VkMemoryAllocateInfo one = *i;
    if (fails("AllocateMemory"))
        return (VkResult)control.result;
    if (control.memory != 0 && control.allocated + one.allocationSize > control.memory)
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    if (control.hidden != 0)
        one.memoryTypeIndex = 0;
    VkResult r = real_AllocateMemory(d, &one, a, out);
    for (size_t k = 0; r == VK_SUCCESS && k < sizeof live / sizeof live[0]; k++) {
        if (live[k].memory != VK_NULL_HANDLE)
            continue;
        live[k].memory = *out;
        live[k].bytes = one.allocationSize;
        control.allocated += one.allocationSize;
        control.allocations++;
        break;
    }
    return r;
}

static VKAPI_ATTR void VKAPI_CALL fake_FreeMemory(VkDevice d, VkDeviceMemory memory,
                                                  const VkAllocationCallbacks *a)
{
    for (size_t k = 0; k < sizeof live / sizeof live[0]; k++) {
        if (live[k].memory != memory || memory == VK_NULL_HANDLE)
            continue;
        control.allocated -= live[k].bytes;
        control.allocations--;
        live[k].memory = VK_NULL_HANDLE;
    }
    real_FreeMemory(d, memory, a);
}

static VKAPI_ATTR VkResult VKAPI_CALL fake_QueueSubmit(VkQueue q, uint32_t n, const VkSubmitInfo *s,
                                                       VkFence f)
{
    if (fails("QueueSubmit"))
        return (VkResult)control.result;
    control.submissions += n;
    return real_QueueSubmit(q, n, s, f);
}

/* --- looking functions up --------------------------------------------------------------------- */

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL fake_device_proc(VkDevice d, const char *name);

/* The real function is remembered and the fake one given. */
static PFN_vkVoidFunction replace(PFN_vkVoidFunction real, const char *name)
{
    if (real == NULL)
        return NULL;
#define TAKE(fn)                                                                                   \
    if (strcmp(name, "vk" #fn) == 0) {                                                             \
        real_##fn = (PFN_vk##fn)real;                                                              \
        return (PFN_vkVoidFunction)fake_##fn;                                                      \
    }
#define X(fn, params, args) TAKE(fn)
    FAILING(X)
#undef X
#define X(fn, params, args) TAKE(fn)
    DESTROYING(X)
#undef X
    TAKE(EnumeratePhysicalDevices)
    TAKE(GetPhysicalDeviceMemoryProperties2)
    TAKE(GetPhysicalDeviceProperties2)
    TAKE(GetBufferMemoryRequirements)
    TAKE(AllocateMemory)
    TAKE(FreeMemory)
    TAKE(QueueSubmit)
#undef TAKE
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
        real_device_proc = (PFN_vkGetDeviceProcAddr)real;
        return (PFN_vkVoidFunction)fake_device_proc;
    }
    return real;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL fake_device_proc(VkDevice d, const char *name)
{
    return replace(real_device_proc(d, name), name);
}

EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance,
                                                                      const char *name);

EXPORT VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance,
                                                                      const char *name)
{
    if (real_instance_proc == NULL) {
        const char *wishes = getenv("FAKE_VULKAN"); /* for tests that know nothing of this */
        control.hidden |= wishes != NULL && strstr(wishes, "hidden") != NULL;
        control.fast_dot |= wishes != NULL && strstr(wishes, "dot") != NULL;
        void *loader = dlopen(REAL_LOADER, RTLD_NOW | RTLD_LOCAL);
        void *symbol = loader == NULL ? NULL : dlsym(loader, "vkGetInstanceProcAddr");
        memcpy(&real_instance_proc, &symbol, sizeof symbol);
        if (symbol == NULL)
            return NULL;
    }
    return replace(real_instance_proc(instance, name), name);
}
