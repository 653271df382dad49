/* mixture.c - the mixtures as llama.cpp's quantiser composes them without an importance matrix. */
#include "mixture.h"

#include <llm/llm.h>

#include <stdio.h>
#include <string.h>

typedef enum when {
    ALWAYS,
    FIRST_TWO,
    FIRST_FOUR,
    FIRST_16TH,
    FIRST_8TH,
    MORE_BITS, /* the first and the last eighth of the layers, and every third between them */
    EXPERTS_8  /* models with eight experts, whose attention is small against the rest */
} when;

/* The first rule that fits decides. */
typedef struct rule {
    const char *part; /* of the tensor's name */
    when when;
    const char *format;
} rule;

typedef struct mixture {
    const char *name, *base, *output;
    rule rules[8];
} mixture;

#define EXPERTS_KV                                                                                 \
    {"attn_v", EXPERTS_8, "q8_0"},                                                                 \
    {                                                                                              \
        "attn_k", EXPERTS_8, "q8_0"                                                                \
    }
#define EXPERTS_O                                                                                  \
    {                                                                                              \
        "attn_output", EXPERTS_8, "q5_k"                                                           \
    }

static const mixture mixtures[] = {
    {"q3_k_s", "q3_k", "q6_k", {EXPERTS_KV, EXPERTS_O}},
    {"q3_k_m",
     "q3_k",
     "q6_k",
     {EXPERTS_KV,
      EXPERTS_O,
      {"attn_v", FIRST_TWO, "q5_k"},
      {"attn_v", ALWAYS, "q4_k"},
      {"ffn_down", FIRST_16TH, "q5_k"},
      {"ffn_down", ALWAYS, "q4_k"},
      {"attn_output", ALWAYS, "q4_k"}}},
    {"q3_k_l",
     "q3_k",
     "q6_k",
     {EXPERTS_KV,
      {"attn_v", ALWAYS, "q5_k"},
      {"ffn_down", ALWAYS, "q5_k"},
      {"attn_output", EXPERTS_8, "q3_k"},
      {"attn_output", ALWAYS, "q5_k"},
      {"attn_qkv", ALWAYS, "q4_k"}}},
    {"q4_k_s",
     "q4_k",
     "q6_k",
     {EXPERTS_KV, EXPERTS_O, {"attn_v", FIRST_FOUR, "q5_k"}, {"ffn_down", FIRST_8TH, "q5_k"}}},
    {"q4_k_m",
     "q4_k",
     "q6_k",
     {EXPERTS_KV,
      EXPERTS_O,
      {"attn_v", MORE_BITS, "q6_k"},
      {"ffn_down", MORE_BITS, "q6_k"},
      {"attn_qkv", ALWAYS, "q5_k"}}},
    {"q5_k_s", "q5_k", "q6_k", {EXPERTS_KV}},
    {"q5_k_m",
     "q5_k",
     "q6_k",
     {EXPERTS_KV,
      {"attn_v", MORE_BITS, "q6_k"},
      {"ffn_down", MORE_BITS, "q6_k"},
      {"attn_qkv", ALWAYS, "q6_k"}}},
};

static const struct {
    const char *name;
    int number;
} file_types[] = {
    {"f32", 0},    {"f16", 1},      {"q4_0", 2},    {"q4_1", 3},     {"q8_0", 7},    {"q5_0", 8},
    {"q5_1", 9},   {"q2_k", 10},    {"q3_k", 11},   {"q3_k_s", 11},  {"q3_k_m", 12}, {"q3_k_l", 13},
    {"q4_k", 14},  {"q4_k_s", 14},  {"q4_k_m", 15}, {"q5_k", 16},    {"q5_k_s", 16}, {"q5_k_m", 17},
    {"q6_k", 18},  {"iq2_xxs", 19}, {"iq2_xs", 20}, {"iq3_xxs", 23}, {"iq1_s", 24},  {"iq4_nl", 25},
    {"iq3_s", 26}, {"iq2_s", 28},   {"iq4_xs", 30}, {"iq1_m", 31},   {"bf16", 32},   {"tq1_0", 36},
    {"tq2_0", 37},
};

static const mixture *find(const char *name)
{
    for (size_t i = 0; i < sizeof mixtures / sizeof mixtures[0]; i++)
        if (strcmp(mixtures[i].name, name) == 0)
            return &mixtures[i];
    return NULL;
}

const char *mixture_find(const char *name)
{
    const mixture *m = find(name);
    llm_format_info info = {.struct_size = sizeof info};
    if (m != NULL)
        return m->name;
    return llm_format_find(name, &info) == LLM_OK && info.can_encode ? info.name : NULL;
}

bool mixture_is_small(const char *tensor, uint32_t n_dims)
{
    static const char *const parts[] = {"_norm.", "ffn_gate_inp.", "ssm_conv1d.", "position_embd.",
                                        "token_types."};
    const char *end = strrchr(tensor, '.');
    if (n_dims < 2 || end == NULL || strcmp(end, ".weight") != 0)
        return true;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(tensor, parts[i]) != NULL)
            return true;
    return false;
}

static bool holds(when w, const mixture_model *m, uint32_t layer)
{
    uint32_t eighth = m->layers / 8;
    switch (w) {
    case ALWAYS:
        return true;
    case FIRST_TWO:
        return layer < 2;
    case FIRST_FOUR:
        return layer < 4;
    case FIRST_16TH:
        return layer < m->layers / 16;
    case FIRST_8TH:
        return layer < eighth;
    case MORE_BITS:
        return layer < eighth || layer >= 7 * m->layers / 8 || (layer - eighth) % 3 == 2;
    case EXPERTS_8:
        return m->experts == 8;
    }
    return false;
}

const char *mixture_choose(const char *name, const mixture_model *model, const char *tensor)
{
    const mixture *m = find(name);
    unsigned layer;
    if (m == NULL)
        return mixture_find(name);
    if (strcmp(tensor, model->tied ? "token_embd.weight" : "output.weight") == 0)
        return m->output;
    if (sscanf(tensor, "blk.%u.", &layer) != 1)
        return m->base;
    for (const rule *r = m->rules; r < m->rules + 8 && r->part != NULL; r++)
        if (strstr(tensor, r->part) != NULL && holds(r->when, model, layer))
            return r->format;
    return m->base;
}

const char *mixture_fit(const char *format, uint64_t width)
{
    const char *const choices[] = {format, "q8_0", "f16"};
    llm_format_info info = {.struct_size = sizeof info};
    for (size_t i = 0; i < 2; i++)
        if (llm_format_find(choices[i], &info) == LLM_OK && width % info.block == 0)
            return choices[i];
    return choices[2];
}

int mixture_file_type(const char *name)
{
    for (size_t i = 0; i < sizeof file_types / sizeof file_types[0]; i++)
        if (strcmp(file_types[i].name, name) == 0)
            return file_types[i].number;
    return -1;
}
