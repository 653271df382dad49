/* calls.c - opens Vulkan's loader, makes the instance and fills the table of functions. */
#include "backends/vulkan/calls.h"

#include "base/os.h"

#include <string.h>

#if defined(_WIN32)
#define LOADER "vulkan-1.dll"
#elif defined(__APPLE__)
#define LOADER "libvulkan.1.dylib"
#else
#define LOADER "libvulkan.so.1"
#endif

static int32_t missing(const char *name)
{
    return lm_fail(LLM_E_UNSUPPORTED,
                   "Vulkan's loader has no function vk%s; install a loader for Vulkan 1.2 or newer",
                   name);
}

#define TAKE(name)                                                                                 \
    do {                                                                                           \
        c->name = (PFN_vk##name)c->GetInstanceProcAddr(instance, "vk" #name);                      \
        if (c->name == NULL)                                                                       \
            return missing(#name);                                                                 \
    } while (0);

static int32_t take_global(lvk_calls *c)
{
    VkInstance instance = NULL;
    LVK_GLOBAL_CALLS(TAKE)
    return LLM_OK;
}

static int32_t take_instance(lvk_calls *c, VkInstance instance)
{
    LVK_INSTANCE_CALLS(TAKE)
    return LLM_OK;
}
#undef TAKE

int32_t lvk_calls_of_device(lvk_calls *c, VkDevice device)
{
#define TAKE(name)                                                                                 \
    do {                                                                                           \
        c->name = (PFN_vk##name)c->GetDeviceProcAddr(device, "vk" #name);                          \
        if (c->name == NULL)                                                                       \
            return missing(#name);                                                                 \
    } while (0);
    LVK_DEVICE_CALLS(TAKE)
#undef TAKE
    return LLM_OK;
}

static int32_t make_instance(lvk_loader *l)
{
    uint32_t version = 0;
    if (l->calls.EnumerateInstanceVersion(&version) != VK_SUCCESS || version < VK_API_VERSION_1_2)
        return lm_fail(LLM_E_UNSUPPORTED, "Vulkan's loader is of version %u.%u; 1.2 is needed",
                       (unsigned)VK_API_VERSION_MAJOR(version),
                       (unsigned)VK_API_VERSION_MINOR(version));
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .pEngineName = "libllm",
                             .apiVersion = VK_API_VERSION_1_2};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &app};
    VkResult r = l->calls.CreateInstance(&info, NULL, &l->instance);
    if (r == VK_ERROR_OUT_OF_HOST_MEMORY)
        return lm_fail(LLM_E_MEMORY, "out of memory while starting Vulkan");
    if (r != VK_SUCCESS)
        return lm_fail(LLM_E_NOT_FOUND, "Vulkan does not start (error %d); is a driver installed?",
                       (int)r);
    return take_instance(&l->calls, l->instance);
}

int32_t lvk_loader_open(lvk_loader *out)
{
    memset(out, 0, sizeof *out);
    if (lm_os_library_open(LOADER, &out->library) < 0)
        return lm_fail_within(LLM_E_NOT_FOUND, "no Vulkan on this machine");
    int32_t rc = LLM_OK;
    void *symbol = lm_os_library_symbol(out->library, "vkGetInstanceProcAddr");
    memcpy(&out->calls.GetInstanceProcAddr, &symbol, sizeof symbol);
    if (symbol == NULL)
        rc = missing("GetInstanceProcAddr");
    if (rc >= 0)
        rc = take_global(&out->calls);
    if (rc >= 0)
        rc = make_instance(out);
    if (rc < 0)
        lvk_loader_close(out);
    return rc;
}

void lvk_loader_close(lvk_loader *loader)
{
    if (loader->instance != NULL && loader->calls.DestroyInstance != NULL)
        loader->calls.DestroyInstance(loader->instance, NULL);
    if (loader->library != NULL)
        lm_os_library_close(loader->library);
    memset(loader, 0, sizeof *loader);
}
