/* pipeline.c - compute pipelines from shaders and specialisation constants, made on first use. All have
 * the same layout: nothing is bound, two addresses are pushed. */
#include "backends/vulkan/shaders/blobs.h"
#include "backends/vulkan/run_block.h"
#include "backends/vulkan/vulkan.h"

#include <stdio.h>
#include <string.h>

struct lvk_pipeline {
    lvk_pipeline *next;
    VkPipeline pipeline;
    uint32_t shader, n_spec;
    uint32_t spec[LVK_SPECS];
};

int32_t lvk_pipelines_init(lvk_device *d)
{
    VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(lvk_push)};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &push};
    LVK_TRY(d, d->calls.CreatePipelineLayout(d->device, &layout, NULL, &d->layout),
            "make a pipeline layout");
    return lvk_kernels_load(d);
}

void lvk_pipelines_finish(lvk_device *d)
{
    while (d->pipelines != NULL) {
        lvk_pipeline *p = d->pipelines;
        d->pipelines = p->next;
        d->calls.DestroyPipeline(d->device, p->pipeline, NULL);
        LM_DELETE(&d->books, p);
    }
    if (d->pipeline_cache != VK_NULL_HANDLE && d->compiled > 0)
        lvk_kernels_save(d);
    if (d->pipeline_cache != VK_NULL_HANDLE)
        d->calls.DestroyPipelineCache(d->device, d->pipeline_cache, NULL);
    if (d->layout != VK_NULL_HANDLE)
        d->calls.DestroyPipelineLayout(d->device, d->layout, NULL);
}

static int32_t create(lvk_device *d, uint32_t shader, const uint32_t *spec, uint32_t n_spec,
                      VkShaderModule module, VkPipeline *out)
{
    VkSpecializationMapEntry entries[LVK_SPECS];
    for (uint32_t i = 0; i < n_spec; i++)
        entries[i] = (VkSpecializationMapEntry){i, i * (uint32_t)sizeof *spec, sizeof *spec};
    VkSpecializationInfo constants = {n_spec, entries, n_spec * sizeof *spec, spec};
    VkPipelineShaderStageCreateFlags full =
        VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_DISPATCH_BASE_BIT,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .flags = shader == LVK_SHADER_linear_mat_coop ? full : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &constants},
        .layout = d->layout};
    char what[64];
    snprintf(what, sizeof what, "compile the shader '%s'", lvk_blobs[shader].name);
    LVK_TRY(d, d->calls.CreateComputePipelines(d->device, d->pipeline_cache, 1, &info, NULL, out),
            what);
    return LLM_OK;
}

static int32_t compile(lvk_device *d, lvk_pipeline *p)
{
    VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = lvk_blobs[p->shader].bytes,
                                     .pCode = lvk_blobs[p->shader].words};
    VkShaderModule module;
    LVK_TRY(d, d->calls.CreateShaderModule(d->device, &code, NULL, &module), "load a shader");
    int32_t rc = create(d, p->shader, p->spec, p->n_spec, module, &p->pipeline);
    d->calls.DestroyShaderModule(d->device, module, NULL);
    return rc;
}

int32_t lvk_pipeline_get(lvk_device *d, uint32_t shader, const uint32_t *spec, uint32_t n_spec,
                         VkPipeline *out)
{
    lm_check(shader < LVK_SHADER_COUNT && n_spec >= 1 && n_spec <= LVK_SPECS);
    for (const lvk_pipeline *p = d->pipelines; p != NULL; p = p->next) {
        if (p->shader == shader && p->n_spec == n_spec &&
            memcmp(p->spec, spec, n_spec * sizeof *spec) == 0) {
            *out = p->pipeline;
            return LLM_OK;
        }
    }
    lvk_pipeline *p = LM_NEW(&d->books, lvk_pipeline);
    if (p == NULL)
        return LLM_E_MEMORY;
    p->shader = shader;
    p->n_spec = n_spec;
    memcpy(p->spec, spec, n_spec * sizeof *spec);
    int32_t rc = compile(d, p);
    if (rc < 0) {
        LM_DELETE(&d->books, p);
        return rc;
    }
    p->next = d->pipelines;
    d->pipelines = p;
    d->compiled++;
    *out = p->pipeline;
    return LLM_OK;
}
