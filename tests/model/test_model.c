/* test_model.c - files that lie about a model: each number, name and shape that could mislead is
 * refused with the status it must have, and nothing is left behind. */
#include "support/support.h"

#include "format/gguf_bytes.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a file as a list of pairs and tensors --------------------------------------------------- */

typedef struct pair {
    const char *key;
    uint32_t type; /* LM_GGUF_U32, _F32, _BOOL, _I32, _STRING or _ARRAY (of U32) */
    double number; /* arrays: how many items, all 1 */
    const char *text;
} pair;

typedef struct tensor {
    const char *name;
    uint32_t n_dims;
    uint64_t dims[4];
    uint32_t type; /* LM_F32 is 0 */
} tensor;

#define MOST 48

typedef struct recipe {
    pair pairs[MOST];
    size_t n_pairs;
    tensor tensors[MOST];
    size_t n_tensors;
} recipe;

static void put_pair(gguf_bytes *b, const pair *p)
{
    float f = (float)p->number;
    int32_t i = (int32_t)p->number;
    unsigned char flag = p->number != 0;
    switch (p->type) {
    case LM_GGUF_STRING:
        gb_pair_string(b, p->key, p->text);
        return;
    case LM_GGUF_ARRAY:
        gb_array(b, p->key, LM_GGUF_U32, (uint64_t)p->number);
        for (uint32_t n = 0; n < (uint32_t)p->number; n++)
            gb_u32(b, 1);
        return;
    case LM_GGUF_F32:
        gb_key(b, p->key, p->type);
        gb_raw(b, &f, sizeof f);
        return;
    case LM_GGUF_BOOL:
        gb_key(b, p->key, p->type);
        gb_raw(b, &flag, 1);
        return;
    case LM_GGUF_I32:
        gb_key(b, p->key, p->type);
        gb_raw(b, &i, sizeof i);
        return;
    default:
        gb_pair_u32(b, p->key, (uint32_t)p->number);
        return;
    }
}

static uint64_t tensor_bytes(const tensor *t)
{
    const lm_format *f = lm_format_by_id(t->type);
    uint64_t count = 1;
    for (uint32_t i = 0; i < t->n_dims; i++)
        count *= t->dims[i];
    return count / f->block * f->bytes;
}

static void write_file(const recipe *r, gguf_bytes *b)
{
    uint64_t offset = 0;
    gb_head(b, 3, r->n_tensors, r->n_pairs);
    for (size_t i = 0; i < r->n_pairs; i++)
        put_pair(b, &r->pairs[i]);
    for (size_t i = 0; i < r->n_tensors; i++) {
        const tensor *t = &r->tensors[i];
        gb_tensor(b, t->name, t->n_dims, t->dims, t->type, offset);
        offset += (tensor_bytes(t) + 31) / 32 * 32;
    }
    gb_blob(b, 32, (size_t)offset);
}

/* --- opening --------------------------------------------------------------------------------- */

/* The status of making the model, or else of its network. */
static int32_t try_model(const recipe *r, test_memory *memory)
{
    static gguf_bytes bytes;
    static const lm_log silence;
    lm_source source;
    lm_gguf *gguf;
    lm_model *model;
    write_file(r, &bytes);
    LM_TRY(lm_source_open_memory(&memory->alloc, bytes.data, bytes.size, &source));
    LM_TRY(lm_gguf_open_source(&memory->alloc, NULL, NULL, &source, &gguf));
    LM_TRY(lm_model_create(&memory->alloc, &silence, gguf, &(lm_model_options){0}, &model));
    int32_t rc = lm_model_need_network(model);
    lm_model_destroy(model);
    return rc;
}

static void want(const recipe *r, int32_t wanted, const char *what)
{
    test_memory memory;
    test_memory_init(&memory);
    int32_t rc = try_model(r, &memory);
    if (rc != wanted)
        fail_msg("%s: %s where %s was wanted (%s)", what, llm_status_name(rc),
                 llm_status_name(wanted), rc < 0 ? llm_last_error() : "");
    test_memory_check(&memory);
}

/* --- sound files ----------------------------------------------------------------------------- */

static const pair llama_pairs[] = {
    {"general.architecture", LM_GGUF_STRING, 0, "llama"},
    {"llama.block_count", LM_GGUF_U32, 2, NULL},
    {"llama.context_length", LM_GGUF_U32, 64, NULL},
    {"llama.embedding_length", LM_GGUF_U32, 8, NULL},
    {"llama.feed_forward_length", LM_GGUF_U32, 12, NULL},
    {"llama.attention.head_count", LM_GGUF_U32, 2, NULL},
    {"llama.attention.head_count_kv", LM_GGUF_U32, 1, NULL},
    {"llama.attention.layer_norm_rms_epsilon", LM_GGUF_F32, 1e-5, NULL},
    {"llama.rope.dimension_count", LM_GGUF_U32, 4, NULL},
    {"llama.rope.freq_base", LM_GGUF_F32, 10000, NULL},
};

static const tensor llama_tensors[] = {
    {"token_embd.weight", 2, {8, 6}, 0},        {"output_norm.weight", 1, {8}, 0},
    {"blk.0.attn_norm.weight", 1, {8}, 0},      {"blk.0.attn_q.weight", 2, {8, 8}, 0},
    {"blk.0.attn_k.weight", 2, {8, 4}, 0},      {"blk.0.attn_v.weight", 2, {8, 4}, 0},
    {"blk.0.attn_output.weight", 2, {8, 8}, 0}, {"blk.0.ffn_norm.weight", 1, {8}, 0},
    {"blk.0.ffn_gate.weight", 2, {8, 12}, 0},   {"blk.0.ffn_up.weight", 2, {8, 12}, 0},
    {"blk.0.ffn_down.weight", 2, {12, 8}, 0},   {"blk.1.attn_norm.weight", 1, {8}, 0},
    {"blk.1.attn_q.weight", 2, {8, 8}, 0},      {"blk.1.attn_k.weight", 2, {8, 4}, 0},
    {"blk.1.attn_v.weight", 2, {8, 4}, 0},      {"blk.1.attn_output.weight", 2, {8, 8}, 0},
    {"blk.1.ffn_norm.weight", 1, {8}, 0},       {"blk.1.ffn_gate.weight", 2, {8, 12}, 0},
    {"blk.1.ffn_up.weight", 2, {8, 12}, 0},     {"blk.1.ffn_down.weight", 2, {12, 8}, 0},
};

static const pair mamba_pairs[] = {
    {"general.architecture", LM_GGUF_STRING, 0, "mamba2"},
    {"mamba2.block_count", LM_GGUF_U32, 1, NULL},
    {"mamba2.context_length", LM_GGUF_U32, 64, NULL},
    {"mamba2.embedding_length", LM_GGUF_U32, 4, NULL},
    {"mamba2.ssm.conv_kernel", LM_GGUF_U32, 3, NULL},
    {"mamba2.ssm.inner_size", LM_GGUF_U32, 8, NULL},
    {"mamba2.ssm.state_size", LM_GGUF_U32, 2, NULL},
    {"mamba2.ssm.time_step_rank", LM_GGUF_U32, 4, NULL},
    {"mamba2.ssm.group_count", LM_GGUF_U32, 2, NULL},
};

static const tensor mamba_tensors[] = {
    {"token_embd.weight", 2, {4, 6}, 0},
    {"output_norm.weight", 1, {4}, 0},
    {"blk.0.attn_norm.weight", 1, {4}, 0},
    {"blk.0.ssm_in.weight", 2, {4, 28}, 0},
    {"blk.0.ssm_conv1d.weight", 2, {3, 16}, 0},
    {"blk.0.ssm_conv1d.bias", 1, {16}, 0},
    {"blk.0.ssm_dt.bias", 1, {4}, 0},
    {"blk.0.ssm_a", 2, {1, 4}, 0},
    {"blk.0.ssm_d", 2, {1, 4}, 0},
    {"blk.0.ssm_norm.weight", 2, {4, 2}, 0},
    {"blk.0.ssm_out.weight", 2, {8, 4}, 0},
};

static const pair bert_pairs[] = {
    {"general.architecture", LM_GGUF_STRING, 0, "bert"},
    {"bert.block_count", LM_GGUF_U32, 1, NULL},
    {"bert.context_length", LM_GGUF_U32, 5, NULL},
    {"bert.embedding_length", LM_GGUF_U32, 4, NULL},
    {"bert.feed_forward_length", LM_GGUF_U32, 6, NULL},
    {"bert.attention.head_count", LM_GGUF_U32, 2, NULL},
    {"bert.attention.causal", LM_GGUF_BOOL, 0, NULL},
    {"bert.pooling_type", LM_GGUF_U32, 2, NULL},
    {"tokenizer.ggml.token_type_count", LM_GGUF_U32, 2, NULL},
};

static const tensor bert_tensors[] = {
    {"token_embd.weight", 2, {4, 6}, 0},         {"position_embd.weight", 2, {4, 5}, 0},
    {"token_types.weight", 2, {4, 2}, 0},        {"token_embd_norm.weight", 1, {4}, 0},
    {"token_embd_norm.bias", 1, {4}, 0},         {"blk.0.attn_qkv.weight", 2, {4, 12}, 0},
    {"blk.0.attn_qkv.bias", 1, {12}, 0},         {"blk.0.attn_output.weight", 2, {4, 4}, 0},
    {"blk.0.attn_output.bias", 1, {4}, 0},       {"blk.0.attn_output_norm.weight", 1, {4}, 0},
    {"blk.0.attn_output_norm.bias", 1, {4}, 0},  {"blk.0.ffn_up.weight", 2, {4, 6}, 0},
    {"blk.0.ffn_down.weight", 2, {6, 4}, 0},     {"blk.0.layer_output_norm.weight", 1, {4}, 0},
    {"blk.0.layer_output_norm.bias", 1, {4}, 0},
};

static const pair moe_pairs[] = {
    {"general.architecture", LM_GGUF_STRING, 0, "qwen3moe"},
    {"qwen3moe.block_count", LM_GGUF_U32, 1, NULL},
    {"qwen3moe.context_length", LM_GGUF_U32, 64, NULL},
    {"qwen3moe.embedding_length", LM_GGUF_U32, 4, NULL},
    {"qwen3moe.attention.head_count", LM_GGUF_U32, 2, NULL},
    {"qwen3moe.expert_count", LM_GGUF_U32, 3, NULL},
    {"qwen3moe.expert_used_count", LM_GGUF_U32, 2, NULL},
    {"qwen3moe.expert_feed_forward_length", LM_GGUF_U32, 6, NULL},
};

static const tensor moe_tensors[] = {
    {"token_embd.weight", 2, {4, 6}, 0},           {"output_norm.weight", 1, {4}, 0},
    {"blk.0.attn_norm.weight", 1, {4}, 0},         {"blk.0.attn_q.weight", 2, {4, 4}, 0},
    {"blk.0.attn_k.weight", 2, {4, 4}, 0},         {"blk.0.attn_v.weight", 2, {4, 4}, 0},
    {"blk.0.attn_q_norm.weight", 1, {2}, 0},       {"blk.0.attn_k_norm.weight", 1, {2}, 0},
    {"blk.0.attn_output.weight", 2, {4, 4}, 0},    {"blk.0.ffn_norm.weight", 1, {4}, 0},
    {"blk.0.ffn_gate_inp.weight", 2, {4, 3}, 0},   {"blk.0.ffn_gate_exps.weight", 3, {4, 6, 3}, 0},
    {"blk.0.ffn_up_exps.weight", 3, {4, 6, 3}, 0}, {"blk.0.ffn_down_exps.weight", 3, {6, 4, 3}, 0},
};

static recipe recipe_of(const pair *pairs, size_t n_pairs, const tensor *tensors, size_t n_tensors)
{
    recipe r = {.n_pairs = n_pairs, .n_tensors = n_tensors};
    assert_true(n_pairs < MOST && n_tensors < MOST);
    memcpy(r.pairs, pairs, n_pairs * sizeof *pairs);
    memcpy(r.tensors, tensors, n_tensors * sizeof *tensors);
    return r;
}

#define COUNT(array) (sizeof array / sizeof array[0])
#define RECIPE(which)                                                                              \
    recipe_of(which##_pairs, COUNT(which##_pairs), which##_tensors, COUNT(which##_tensors))

static void test_model__sound(void **state)
{
    (void)state;
    recipe llama = RECIPE(llama), mamba = RECIPE(mamba), bert = RECIPE(bert), moe = RECIPE(moe);
    want(&llama, LLM_OK, "llama");
    want(&mamba, LLM_OK, "mamba2");
    want(&bert, LLM_OK, "bert");
    want(&moe, LLM_OK, "qwen3moe");
}

/* --- hyper-parameters ------------------------------------------------------------------------ */

/* Replaces a pair of that key, or adds it. */
static void set(recipe *r, const pair *p)
{
    size_t i = 0;
    while (i < r->n_pairs && strcmp(r->pairs[i].key, p->key) != 0)
        i++;
    r->n_pairs = i == r->n_pairs ? i + 1 : r->n_pairs;
    r->pairs[i] = *p;
}

typedef struct lie {
    pair pair;
    int32_t status;
} lie;

static void tell(const recipe *sound, const lie *lies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        recipe r = *sound;
        char what[128];
        set(&r, &lies[i].pair);
        snprintf(what, sizeof what, "%s = %g", lies[i].pair.key, lies[i].pair.number);
        want(&r, lies[i].status, what);
    }
}

#define U32(key, value, status)                                                                    \
    {                                                                                              \
        {key, LM_GGUF_U32, value, NULL}, status                                                    \
    }
#define I32(key, value, status)                                                                    \
    {                                                                                              \
        {key, LM_GGUF_I32, value, NULL}, status                                                    \
    }
#define F32(key, value, status)                                                                    \
    {                                                                                              \
        {key, LM_GGUF_F32, value, NULL}, status                                                    \
    }
#define TEXT(key, value, status)                                                                   \
    {                                                                                              \
        {key, LM_GGUF_STRING, 0, value}, status                                                    \
    }
#define ONES(key, count, status)                                                                   \
    {                                                                                              \
        {key, LM_GGUF_ARRAY, count, NULL}, status                                                  \
    }

static const lie llama_lies[] = {
    TEXT("general.architecture", "", LLM_E_FORMAT),
    TEXT("general.architecture", "no-such-family", LLM_E_UNSUPPORTED),
    TEXT("general.architecture",
         "a name that is far too long for any family of models that was ever trained",
         LLM_E_FORMAT),
    U32("general.architecture", 7, LLM_E_FORMAT),
    U32("llama.block_count", 0, LLM_E_FORMAT),
    U32("llama.block_count", 1025, LLM_E_FORMAT),
    U32("llama.block_count", 4294967295.0, LLM_E_FORMAT),
    U32("llama.block_count", 3, LLM_E_FORMAT), /* whose tensors are not there */
    F32("llama.block_count", 2, LLM_E_FORMAT),
    I32("llama.block_count", -1, LLM_E_FORMAT),
    U32("llama.context_length", 0, LLM_E_FORMAT),
    U32("llama.context_length", 4294967295.0, LLM_E_FORMAT),
    ONES("llama.context_length", 1, LLM_E_FORMAT),
    U32("llama.embedding_length", 0, LLM_E_FORMAT),
    U32("llama.embedding_length", 16, LLM_E_FORMAT),
    U32("llama.embedding_length", 4294967288.0, LLM_E_FORMAT),
    TEXT("llama.embedding_length", "8", LLM_E_FORMAT),
    U32("llama.feed_forward_length", 0, LLM_E_FORMAT),
    U32("llama.feed_forward_length", 13, LLM_E_FORMAT),
    ONES("llama.feed_forward_length", 1, LLM_E_FORMAT),
    ONES("llama.feed_forward_length", 3, LLM_E_FORMAT),
    U32("llama.attention.head_count", 0, LLM_E_FORMAT),
    U32("llama.attention.head_count", 3, LLM_E_FORMAT), /* 8 does not divide by 3 */
    U32("llama.attention.head_count", 65537, LLM_E_FORMAT),
    I32("llama.attention.head_count", -2, LLM_E_FORMAT),
    ONES("llama.attention.head_count", 3, LLM_E_FORMAT),
    U32("llama.attention.head_count_kv", 3, LLM_E_FORMAT),
    U32("llama.attention.head_count_kv", 4, LLM_E_FORMAT),
    U32("llama.attention.head_count_kv", 65537, LLM_E_FORMAT),
    U32("llama.attention.key_length", 0, LLM_E_FORMAT),
    U32("llama.attention.key_length", 65536, LLM_E_FORMAT),
    U32("llama.attention.value_length", 5, LLM_E_FORMAT),
    F32("llama.attention.layer_norm_rms_epsilon", -1, LLM_E_FORMAT),
    F32("llama.attention.layer_norm_rms_epsilon", NAN, LLM_E_FORMAT),
    F32("llama.attention.layer_norm_rms_epsilon", INFINITY, LLM_E_FORMAT),
    U32("llama.rope.dimension_count", 3, LLM_E_FORMAT),
    U32("llama.rope.dimension_count", 6, LLM_E_FORMAT),
    U32("llama.rope.dimension_count", 65538, LLM_E_FORMAT),
    F32("llama.rope.freq_base", 0, LLM_E_FORMAT),
    F32("llama.rope.freq_base", -10000, LLM_E_FORMAT),
    F32("llama.rope.freq_base", NAN, LLM_E_FORMAT),
    F32("llama.rope.freq_base", INFINITY, LLM_E_FORMAT),
    F32("llama.rope.freq_base", 1e20, LLM_OK), /* more than any integer field holds */
    F32("llama.rope.scaling.factor", -4, LLM_E_FORMAT),
    F32("llama.rope.scaling.factor", 0, LLM_OK), /* none */
    F32("llama.rope.scale_linear", 4, LLM_OK),
    TEXT("llama.rope.scaling.type", "sideways", LLM_E_UNSUPPORTED),
    TEXT("llama.rope.scaling.type", "", LLM_E_UNSUPPORTED),
    U32("llama.rope.scaling.type", 1, LLM_E_FORMAT),
    U32("llama.expert_count", 65537, LLM_E_FORMAT),
    U32("llama.expert_count", 4, LLM_E_FORMAT), /* expert_used_count 0 */
    /* an array is read layer by layer: one head of 8 makes k twice as high as the file has it */
    ONES("llama.attention.head_count", 2, LLM_E_FORMAT),
};

static void test_model__llama_lies(void **state)
{
    (void)state;
    recipe r = RECIPE(llama);
    tell(&r, llama_lies, COUNT(llama_lies));
}

static const lie moe_lies[] = {
    U32("qwen3moe.expert_count", 0, LLM_E_FORMAT),
    U32("qwen3moe.expert_count", 2, LLM_E_FORMAT),
    U32("qwen3moe.expert_count", 4, LLM_E_FORMAT),
    U32("qwen3moe.expert_used_count", 0, LLM_E_FORMAT),
    U32("qwen3moe.expert_used_count", 4, LLM_E_FORMAT),
    U32("qwen3moe.expert_feed_forward_length", 5, LLM_E_FORMAT),
    U32("qwen3moe.expert_feed_forward_length", 0, LLM_E_FORMAT),
    F32("qwen3moe.expert_weights_scale", -1, LLM_E_FORMAT),
};

static const lie mamba_lies[] = {
    U32("mamba2.ssm.conv_kernel", 0, LLM_E_FORMAT),
    U32("mamba2.ssm.conv_kernel", 1, LLM_E_FORMAT),
    U32("mamba2.ssm.conv_kernel", 4, LLM_E_FORMAT),
    U32("mamba2.ssm.conv_kernel", 65, LLM_E_FORMAT),
    U32("mamba2.ssm.inner_size", 0, LLM_E_FORMAT),
    U32("mamba2.ssm.inner_size", 9, LLM_E_FORMAT),
    U32("mamba2.ssm.inner_size", 4294967295.0, LLM_E_FORMAT),
    U32("mamba2.ssm.inner_size", 16777216, LLM_E_FORMAT),
    U32("mamba2.ssm.state_size", 0, LLM_E_FORMAT),
    U32("mamba2.ssm.state_size", 3, LLM_E_FORMAT),
    U32("mamba2.ssm.state_size", 65536, LLM_E_FORMAT),
    U32("mamba2.ssm.time_step_rank", 0, LLM_E_FORMAT),
    U32("mamba2.ssm.time_step_rank", 3, LLM_E_FORMAT),
    U32("mamba2.ssm.time_step_rank", 2, LLM_E_FORMAT),
    U32("mamba2.ssm.group_count", 0, LLM_E_FORMAT),
    U32("mamba2.ssm.group_count", 3, LLM_E_FORMAT),
    U32("mamba2.ssm.group_count", 8, LLM_E_FORMAT),
    U32("mamba2.ssm.group_count", 4, LLM_E_FORMAT),
};

static const lie bert_lies[] = {
    {{"bert.attention.causal", LM_GGUF_BOOL, 1, NULL}, LLM_E_UNSUPPORTED},
    U32("bert.attention.causal", 0, LLM_E_FORMAT),
    U32("bert.pooling_type", 0, LLM_E_UNSUPPORTED),
    U32("bert.pooling_type", 1, LLM_OK),
    U32("bert.pooling_type", 3, LLM_OK),
    U32("bert.pooling_type", 4, LLM_E_UNSUPPORTED),
    U32("bert.pooling_type", 5, LLM_E_FORMAT),
    U32("bert.context_length", 6, LLM_E_FORMAT), /* positions are not there */
    U32("tokenizer.ggml.token_type_count", 1, LLM_E_FORMAT),
    U32("tokenizer.ggml.token_type_count", 0, LLM_E_FORMAT),
};

static void test_model__other_lies(void **state)
{
    (void)state;
    recipe moe = RECIPE(moe), mamba = RECIPE(mamba), bert = RECIPE(bert);
    tell(&moe, moe_lies, COUNT(moe_lies));
    tell(&mamba, mamba_lies, COUNT(mamba_lies));
    tell(&bert, bert_lies, COUNT(bert_lies));
}

/* The keys without which there is no model; all others have a meaning when absent. */
static void test_model__missing_keys(void **state)
{
    (void)state;
    static const char *const needed[] = {"general.architecture",      "llama.block_count",
                                         "llama.context_length",      "llama.embedding_length",
                                         "llama.feed_forward_length", "llama.attention.head_count"};
    recipe sound = RECIPE(llama);
    for (size_t i = 0; i < sound.n_pairs; i++) {
        recipe r = sound;
        bool must = false;
        r.pairs[i] = r.pairs[--r.n_pairs];
        for (size_t k = 0; k < COUNT(needed); k++)
            must |= strcmp(sound.pairs[i].key, needed[k]) == 0;
        /* without head_count_kv there are as many as heads, and k is too small for that */
        must |= strcmp(sound.pairs[i].key, "llama.attention.head_count_kv") == 0;
        want(&r, must ? LLM_E_FORMAT : LLM_OK, sound.pairs[i].key);
    }
}

/* --- tensors --------------------------------------------------------------------------------- */

static bool may_be_absent(const char *name)
{
    return strstr(name, ".bias") != NULL && strstr(name, "norm") == NULL &&
           strstr(name, "ssm_dt") == NULL;
}

static void break_tensors(const recipe *sound)
{
    for (size_t i = 0; i < sound->n_tensors; i++) {
        const char *name = sound->tensors[i].name;
        recipe r = *sound;
        r.tensors[i] = r.tensors[--r.n_tensors];
        bool optional = may_be_absent(name) || strcmp(name, "token_types.weight") == 0;
        want(&r, optional ? LLM_OK : LLM_E_FORMAT, name);
        r = *sound;
        r.tensors[i].dims[0]++;
        want(&r, LLM_E_FORMAT, name);
        r = *sound;
        r.tensors[i].dims[r.tensors[i].n_dims - 1]++;
        /* the vocabulary is as large as its table */
        want(&r, strcmp(name, "token_embd.weight") == 0 ? LLM_OK : LLM_E_FORMAT, name);
        r = *sound;
        r.tensors[i].type = LM_I32;
        want(&r, LLM_E_UNSUPPORTED, name);
    }
}

static void test_model__tensors(void **state)
{
    (void)state;
    recipe llama = RECIPE(llama), mamba = RECIPE(mamba), bert = RECIPE(bert), moe = RECIPE(moe);
    break_tensors(&llama);
    break_tensors(&mamba);
    break_tensors(&bert);
    break_tensors(&moe);
}

/* A transposed matrix has as many values and is another one; a vector in blocks is none. */
static void test_model__shapes(void **state)
{
    (void)state;
    recipe r = RECIPE(llama);
    for (size_t i = 0; i < r.n_tensors; i++)
        if (strcmp(r.tensors[i].name, "blk.1.ffn_up.weight") == 0) {
            r.tensors[i].dims[0] = 12;
            r.tensors[i].dims[1] = 8;
        }
    want(&r, LLM_E_FORMAT, "a transposed matrix");
    r = RECIPE(llama);
    set(&r, &(pair){"llama.embedding_length", LM_GGUF_U32, 32, NULL});
    set(&r, &(pair){"llama.block_count", LM_GGUF_U32, 1, NULL});
    r.n_tensors = 3;
    r.tensors[0].dims[0] = 32;
    r.tensors[1] = (tensor){"output_norm.weight", 1, {32}, 0};
    r.tensors[2] = (tensor){"blk.0.attn_norm.weight", 1, {32}, LM_Q8_0};
    want(&r, LLM_E_UNSUPPORTED, "a vector in blocks");
}

/* q, k and v in one tensor instead of three, with the same result. */
static void test_model__fused(void **state)
{
    (void)state;
    recipe r = RECIPE(llama);
    for (size_t i = 0; i < r.n_tensors; i++)
        if (strcmp(r.tensors[i].name, "blk.0.attn_q.weight") == 0)
            r.tensors[i] = (tensor){"blk.0.attn_qkv.weight", 2, {8, 16}, 0};
    want(&r, LLM_OK, "q, k, v fused beside k and v");
    for (size_t i = 0; i < r.n_tensors; i++)
        if (strcmp(r.tensors[i].name, "blk.0.attn_qkv.weight") == 0)
            r.tensors[i].dims[1] = 15;
    want(&r, LLM_E_FORMAT, "a row missing in q, k, v");
}

/* Without a network the rest is still there. */
static void test_model__no_network(void **state)
{
    (void)state;
    recipe r = RECIPE(llama);
    r.n_tensors = 0;
    want(&r, LLM_E_UNSUPPORTED, "no tensors");
}

static void test_model__refused_memory(void **state)
{
    (void)state;
    recipe r = RECIPE(llama);
    for (uint64_t fail_at = 1;; fail_at++) {
        test_memory memory;
        test_memory_init(&memory);
        memory.fail_at = fail_at;
        int32_t rc = try_model(&r, &memory);
        test_memory_check(&memory);
        if (memory.calls < fail_at) {
            assert_int_equal(rc, LLM_OK);
            return;
        }
        assert_int_equal(rc, LLM_E_MEMORY);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model__sound),          cmocka_unit_test(test_model__llama_lies),
        cmocka_unit_test(test_model__other_lies),     cmocka_unit_test(test_model__missing_keys),
        cmocka_unit_test(test_model__tensors),        cmocka_unit_test(test_model__shapes),
        cmocka_unit_test(test_model__fused),          cmocka_unit_test(test_model__no_network),
        cmocka_unit_test(test_model__refused_memory),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
