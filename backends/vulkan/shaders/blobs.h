/* blobs - the shaders as SPIR-V, by LVK_SHADER_... */
#ifndef LM_BACKENDS_VULKAN_SHADERS_BLOBS_H
#define LM_BACKENDS_VULKAN_SHADERS_BLOBS_H

#include "backends/vulkan/kernels.h"

typedef struct lvk_blob {
    const char *name;
    const uint32_t *words;
    size_t bytes;
} lvk_blob;

extern const lvk_blob lvk_blobs[LVK_SHADER_COUNT];

#endif
