/* coopmat.c - which cooperative matrices a device has. Nothing where the compiler of shaders or the
 * headers are too old for them. */
#include "backends/vulkan/vulkan.h"

#if LVK_COOPMAT

enum { MOST_SHAPES = 64, LARGEST = 32, SHARED_BYTES = 32768 };

/* F16 by F16 summed in F32, in a shape that divides the tiles of linear_mat_coop.comp. */
static bool is_usable(const VkCooperativeMatrixPropertiesKHR *s)
{
    return s->AType == VK_COMPONENT_TYPE_FLOAT16_KHR && s->BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
           s->CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
           s->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && s->scope == VK_SCOPE_SUBGROUP_KHR &&
           s->MSize <= LARGEST && LARGEST % s->MSize == 0 && s->NSize <= LARGEST &&
           LARGEST % s->NSize == 0 && s->KSize <= LARGEST && LARGEST % s->KSize == 0;
}

int32_t lvk_find_coopmat(lvk_device *d, uint32_t shape[3])
{
    const lvk_features *f = &d->features;
    VkCooperativeMatrixPropertiesKHR shapes[MOST_SHAPES];
    uint32_t count = MOST_SHAPES;
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR list =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)d->loader.calls.GetInstanceProcAddr(
            d->loader.instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    if (list == NULL || f->subgroup == 0 || f->subgroup > 128 || f->shared_bytes < SHARED_BYTES)
        return LLM_OK;
    for (uint32_t i = 0; i < count; i++)
        shapes[i] = (VkCooperativeMatrixPropertiesKHR){
            .sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    VkResult r = list(d->physical, &count, shapes);
    if (r != VK_SUCCESS && r != VK_INCOMPLETE)
        return lvk_failed(d, r, "list cooperative matrices");
    for (uint32_t i = 0; i < count; i++) {
        const VkCooperativeMatrixPropertiesKHR *s = &shapes[i];
        if (!is_usable(s) || s->MSize * s->NSize * s->KSize <= shape[0] * shape[1] * shape[2])
            continue;
        shape[0] = s->MSize;
        shape[1] = s->NSize;
        shape[2] = s->KSize;
    }
    return LLM_OK;
}

#else

int32_t lvk_find_coopmat(lvk_device *d, uint32_t shape[3])
{
    (void)d;
    (void)shape;
    return LLM_OK;
}

#endif
