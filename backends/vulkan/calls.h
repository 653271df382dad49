/* calls - every Vulkan function used, in one table of pointers filled from the loader at run time. */
#ifndef LM_BACKENDS_VULKAN_CALLS_H
#define LM_BACKENDS_VULKAN_CALLS_H

#include "base/alloc.h"

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

/* clang-format off */
#define LVK_GLOBAL_CALLS(X) X(CreateInstance) X(EnumerateInstanceVersion)
#define LVK_INSTANCE_CALLS(X)                                                                      \
    X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties2)                 \
    X(GetPhysicalDeviceFeatures2) X(GetPhysicalDeviceMemoryProperties2)                            \
    X(GetPhysicalDeviceQueueFamilyProperties) X(EnumerateDeviceExtensionProperties)                \
    X(CreateDevice) X(GetDeviceProcAddr)
#define LVK_DEVICE_CALLS(X)                                                                        \
    X(DestroyDevice) X(GetDeviceQueue) X(DeviceWaitIdle) X(QueueSubmit)                            \
    X(AllocateMemory) X(FreeMemory) X(MapMemory) X(CreateBuffer) X(DestroyBuffer)                  \
    X(GetBufferMemoryRequirements) X(BindBufferMemory) X(GetBufferDeviceAddress)                   \
    X(CreateSemaphore) X(DestroySemaphore) X(WaitSemaphores)                                       \
    X(CreateShaderModule) X(DestroyShaderModule) X(CreatePipelineLayout)                           \
    X(DestroyPipelineLayout) X(CreatePipelineCache) X(DestroyPipelineCache)                        \
    X(GetPipelineCacheData) X(CreateComputePipelines) X(DestroyPipeline)                           \
    X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers)                           \
    X(BeginCommandBuffer) X(EndCommandBuffer) X(CmdBindPipeline) X(CmdPushConstants)               \
    X(CmdDispatchBase) X(CmdPipelineBarrier) X(CmdCopyBuffer)                                      \
    X(CreateQueryPool) X(DestroyQueryPool) X(CmdResetQueryPool) X(CmdWriteTimestamp)               \
    X(GetQueryPoolResults)
/* clang-format on */

typedef struct lvk_calls {
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define X(name) PFN_vk##name name;
    LVK_GLOBAL_CALLS(X) LVK_INSTANCE_CALLS(X) LVK_DEVICE_CALLS(X)
#undef X
} lvk_calls;

/* The loader opened and an instance made; LLM_E_NOT_FOUND with the reason where there is none. */
typedef struct lvk_loader {
    void *library;
    VkInstance instance;
    lvk_calls calls; /* those of devices are filled by lvk_calls_of_device */
} lvk_loader;

int32_t lvk_loader_open(lvk_loader *out);
void lvk_loader_close(lvk_loader *loader); /* a zeroed one is fine */
int32_t lvk_calls_of_device(lvk_calls *calls, VkDevice device);

#endif
