/* llm-inspect.c - what is in a model file, what the library will do with it, and what memory that
 * takes. */
#include "tool.h"

#include <math.h>
#include <string.h>

static bool json;

static void print_start(const char *text, uint64_t size)
{
    uint64_t shown = size < 60 ? size : 60;
    while (shown > 0 && shown < size && ((unsigned char)text[shown] & 0xc0) == 0x80)
        shown--; /* not in the middle of a character */
    tool_plain_text(stdout, text, shown);
    printf("%s", shown < size ? "..." : "");
}

static void print_value(const llm_metadata *v)
{
    if (v->kind == LLM_KIND_STRING && json)
        tool_json_text(stdout, v->text, v->text_size);
    else if (v->kind == LLM_KIND_STRING)
        print_start(v->text, v->text_size);
    else if (v->kind == LLM_KIND_FLOAT)
        printf(json && !isfinite(v->number) ? "null" : "%.9g", v->number);
    else if (v->kind == LLM_KIND_BOOL)
        printf("%s", v->integer != 0 ? "true" : "false");
    else
        printf("%lld", (long long)v->integer);
}

/* Arrays show their first items. */
static void print_pair(const llm_model *model, uint64_t index, const llm_metadata *first)
{
    uint64_t shown = first->is_array ? (first->count < 4 ? first->count : 4) : 1;
    llm_metadata v = {.struct_size = sizeof v};
    if (first->is_array && json)
        printf("{\"count\": %llu, \"first\": [", (unsigned long long)first->count);
    for (uint64_t i = 0; i < shown; i++) {
        tool_check(llm_model_metadata_at(model, index, i, &v));
        printf("%s", i > 0 ? ", " : "");
        print_value(&v);
    }
    if (first->is_array)
        printf(json ? "]}" : "%s [%llu]", first->count > shown ? ", ..." : "",
               (unsigned long long)first->count);
}

static void print_metadata(const llm_model *model)
{
    llm_metadata v = {.struct_size = sizeof v};
    printf(json ? "\"metadata\": {" : "metadata\n");
    for (uint64_t i = 0; llm_model_metadata_at(model, i, 0, &v) == LLM_OK; i++) {
        if (json) {
            printf("%s", i > 0 ? ", " : "");
            tool_json_text(stdout, v.key, strlen(v.key));
            printf(": ");
        } else {
            size_t size = strlen(v.key);
            printf("  ");
            tool_plain_text(stdout, v.key, size);
            printf("%*s ", size < 44 ? (int)(44 - size) : 0, "");
        }
        print_pair(model, i, &v);
        printf(json ? "" : "\n");
    }
    printf(json ? "}, " : "\n");
}

static void print_tensors(const llm_model *model)
{
    llm_tensor_info t = {.struct_size = sizeof t};
    printf(json ? "\"tensors\": [" : "tensors\n");
    for (uint64_t i = 0; llm_model_tensor_at(model, i, &t) == LLM_OK; i++) {
        char shape[96] = "";
        for (uint32_t d = 0; d < t.n_dims; d++)
            snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%llu",
                     d > 0 ? ", " : "", (unsigned long long)t.dims[d]);
        if (json) {
            printf("%s{\"name\": ", i > 0 ? ", " : "");
            tool_json_text(stdout, t.name, strlen(t.name));
            printf(", \"format\": \"%s\", \"dims\": [%s], \"bytes\": %llu, \"offset\": %llu}",
                   t.format, shape, (unsigned long long)t.bytes, (unsigned long long)t.file_offset);
        } else {
            size_t size = strlen(t.name);
            printf("  ");
            tool_plain_text(stdout, t.name, size);
            printf("%*s %-8s [%s]\n", size < 32 ? (int)(32 - size) : 0, "", t.format, shape);
        }
    }
    printf(json ? "]" : "\n");
}

static void print_plan(const llm_model *model)
{
    llm_step_info s = {.struct_size = sizeof s};
    uint32_t segment = UINT32_MAX;
    printf(json ? ", \"steps\": [" : "steps\n");
    for (uint64_t i = 0;; i++) {
        int32_t rc = llm_model_step_at(model, i, &s);
        if (rc == LLM_E_NOT_FOUND)
            break;
        tool_check(rc);
        if (json) {
            printf("%s{\"segment\": %u, \"device\": \"%s\", \"text\": ", i > 0 ? ", " : "",
                   (unsigned)s.segment, s.device);
            tool_json_text(stdout, s.text, strlen(s.text));
            printf(", \"flops_per_row\": %llu, \"weight_bytes\": %llu}",
                   (unsigned long long)s.flops, (unsigned long long)s.weight_bytes);
            continue;
        }
        if (s.segment != segment)
            printf("  segment %u on %s\n", (unsigned)s.segment, s.device);
        segment = s.segment;
        printf("    %s\n", s.text);
    }
    printf(json ? "]" : "\n");
}

static void print_memory(const llm_model *model, const tool_compute *compute)
{
    llm_engine_params ep = {.struct_size = sizeof ep,
                            .context = (uint32_t)compute->context,
                            .cache_type = compute->cache,
                            .flags = compute->fast ? LLM_ENGINE_FAST : 0};
    llm_memory_plan p = {.struct_size = sizeof p};
    printf(json ? ", \"memory\": [" : "memory, in bytes\n");
    for (uint32_t i = 0;; i++) {
        int32_t rc = llm_model_plan(model, &ep, i, &p);
        if (rc == LLM_E_NOT_FOUND)
            break;
        tool_check(rc);
        const char *form =
            json ? "%s{\"device\": \"%s\", \"weights\": %llu, \"workspace\": %llu, "
                   "\"cache_fixed\": %llu, "
                   "\"cache_page\": %llu, \"page_tokens\": %u, \"cache_sequence\": %llu, "
                   "\"cache_full\": %llu, "
                   "\"mapped\": %llu}"
                 : "%s  %s\n    weights          %14llu\n    workspace        %14llu\n"
                   "    cache, fixed     %14llu\n    cache, per page  %14llu (%u tokens)\n"
                   "    cache, per state %14llu\n    cache, full      %14llu\n    mapped file      "
                   "%14llu\n";
        printf(form, json && i > 0 ? ", " : "", p.device, (unsigned long long)p.weights,
               (unsigned long long)p.workspace, (unsigned long long)p.cache_fixed,
               (unsigned long long)p.cache_page, (unsigned)p.page_tokens,
               (unsigned long long)p.cache_sequence, (unsigned long long)p.cache_full,
               (unsigned long long)p.mapped);
    }
    printf(json ? "]" : "\n");
}

int main(int argc, char **argv)
{
    static const char *path;
    static tool_compute compute;
    static bool plan, memory;
    const tool_option list[] = {
        {"--plan", TOOL_FLAG, &plan, NULL, "print the steps, and which device runs them", 0},
        {"--memory", TOOL_FLAG, &memory, NULL, "print the exact bytes asked of each device", 0},
        {"--ctx", TOOL_COUNT, &compute.context, "N",
         "for sequences of N tokens [the model's context]", 1e9},
        {"--cache", TOOL_TEXT, &compute.cache, "TYPE",
         "cache type: f16, f32, bf16, q8_0, q4_0, e4m3 [f16]", 0},
        {"--json", TOOL_FLAG, &json, NULL, "print one JSON object", 0},
        TOOL_COMPUTE_OPTIONS(compute),
        {0},
    };
    const tool_program program = {
        "llm-inspect",
        "MODEL [--plan] [--memory] [options]",
        "Metadata and tensors of a model file; on request its steps and memory.\n"
        "No weights are loaded.",
        list,
        &path,
        1};
    tool_parse(&program, argc, argv);
    llm_runtime *runtime;
    llm_model *model;
    llm_runtime_params rp = {.struct_size = sizeof rp,
                             .threads = (uint32_t)compute.threads,
                             .module_folder = compute.modules};
    llm_model_params mp = {.struct_size = sizeof mp,
                           .load = LLM_LOAD_HEADER,
                           .context = (uint32_t)compute.context,
                           .devices = compute.devices,
                           .budget = compute.budget};
    tool_check(llm_runtime_create(&rp, &runtime));
    tool_check(llm_model_open(runtime, path, &mp, &model));
    if (plan || memory) /* nothing is printed unless all can be */
        tool_check(
            llm_model_step_at(model, 0, &(llm_step_info){.struct_size = sizeof(llm_step_info)}));
    printf(json ? "{" : "");
    print_metadata(model);
    print_tensors(model);
    if (plan)
        print_plan(model);
    if (memory)
        print_memory(model, &compute);
    printf(json ? "}\n" : "");
    llm_model_release(model);
    llm_runtime_destroy(runtime);
    tool_flush();
    return 0;
}
