/* synth.c - shapes as tables: what a description may set, the tensors of each family, their scales.
 */
#include "synth.h"

#include "mixture.h"
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_VOCABULARY 260u /* unknown, begin, end, 256 bytes, blank */
#define HEAD_OF_SCAN     64u

static const synth_shape shapes[] = {
    {"160M", 0, 768, 12, 12, 12, 64, 3072, 32000, 16384, .rope_base = 10000},
    {"1.1B", 0, 2048, 16, 32, 8, 64, 8192, 32000, 16384, .rope_base = 10000},
    {"3B", 0, 3072, 28, 24, 8, 128, 8192, 128256, 131072, .tied = 1, .rope_base = 500000},
    {"8B", 0, 4096, 32, 32, 8, 128, 14336, 128256, 131072, .rope_base = 500000},
    {"moe", 0, 1024, 12, 16, 4, 64, 3072, 32000, 16384, 8, 2, .rope_base = 1000000},
    {"mamba2", 1, 1536, 48, .vocab = 50288, .context = 1048576, .state = 128, .conv = 4, .tied = 1},
    {"tiny", 0, 256, 4, 4, 2, 0, 768, 4096, 2048,
     .rope_base = 10000}, /* where descriptions begin */
};

/* --- descriptions ----------------------------------------------------------------------------- */

#define AT(field) offsetof(synth_shape, field)

static const struct {
    const char *key;
    size_t at;
    uint32_t least, most;
} keys[] = {
    {"width", AT(width), 1, 1 << 20},
    {"layers", AT(layers), 1, 4096},
    {"heads", AT(heads), 1, 65536},
    {"kv", AT(kv), 1, 65536},
    {"dim", AT(dim), 2, 4096},
    {"ff", AT(ff), 1, 1 << 24},
    {"context", AT(context), 1, 1 << 30},
    {"vocab", AT(vocab), LEAST_VOCABULARY, 1 << 24},
    {"experts", AT(experts), 0, 65536},
    {"used", AT(used), 1, 65536},
    {"state", AT(state), 1, 65536},
    {"conv", AT(conv), 2, 64},
    {"inner", AT(inner), 1, 1 << 24},
    {"groups", AT(groups), 1, 65536},
    {"tied", AT(tied), 0, 1},
};

static uint32_t *field(synth_shape *shape, size_t at)
{
    return (uint32_t *)(void *)((char *)shape + at);
}

static void set(synth_shape *shape, const char *item)
{
    const char *equals = strchr(item, '=');
    if (equals == NULL)
        tool_misused("'%s' is no shape and no KEY=NUMBER; --help lists both", item);
    if (strcmp(item, "arch=llama") == 0 || strcmp(item, "arch=mamba2") == 0) {
        shape->mamba2 = equals[1] == 'm';
        return;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        size_t size = strlen(keys[i].key);
        if ((size_t)(equals - item) != size || memcmp(item, keys[i].key, size) != 0)
            continue;
        char *end;
        long value = strtol(equals + 1, &end, 10);
        if (end == equals + 1 || *end != '\0' || value < (long)keys[i].least ||
            value > (long)keys[i].most)
            tool_misused("'%s': %s is a number from %u to %u", item, keys[i].key,
                         (unsigned)keys[i].least, (unsigned)keys[i].most);
        *field(shape, keys[i].at) = (uint32_t)value;
        return;
    }
    tool_misused("'%s': shapes have no such part", item);
}

/* What follows from other numbers. */
static void complete(synth_shape *s)
{
    if (s->experts > 0 && s->used == 0)
        s->used = s->experts < 2 ? s->experts : 2;
    if (s->used > s->experts)
        tool_misused("%u of %u experts cannot be used", (unsigned)s->used, (unsigned)s->experts);
    if (!s->mamba2) {
        s->dim = s->dim == 0 ? s->width / s->heads : s->dim;
        if (s->dim < 2 || s->heads % s->kv != 0 || s->dim % 2 != 0)
            tool_misused("heads must be a multiple of kv, and dim (width / heads) even");
        return;
    }
    s->state = s->state == 0 ? 128 : s->state;
    s->conv = s->conv == 0 ? 4 : s->conv;
    s->groups = s->groups == 0 ? 1 : s->groups;
    s->inner = s->inner == 0 ? 2 * s->width : s->inner;
    s->scans = s->inner / HEAD_OF_SCAN;
    if (s->inner % HEAD_OF_SCAN != 0 || s->scans % s->groups != 0)
        tool_misused("inner must be a multiple of %u and of %u times the groups", HEAD_OF_SCAN,
                     HEAD_OF_SCAN);
    s->heads = s->kv = s->ff = s->experts = s->used = 0;
}

synth_shape synth_parse(const char *text)
{
    synth_shape shape = shapes[sizeof shapes / sizeof shapes[0] - 1];
    char *copy = malloc(strlen(text) + 1);
    if (copy == NULL)
        tool_fail("no memory for the shape");
    strcpy(copy, text);
    shape.name = "synthetic";
    for (char *item = strtok(copy, ","); item != NULL; item = strtok(NULL, ",")) {
        bool named = false;
        for (size_t i = 0; item == copy && i < sizeof shapes / sizeof shapes[0]; i++)
            if (strcmp(item, shapes[i].name) == 0) {
                shape = shapes[i];
                named = true;
            }
        if (!named)
            set(&shape, item);
    }
    free(copy);
    complete(&shape);
    return shape;
}

/* --- tensors ---------------------------------------------------------------------------------- */

typedef enum dim {
    NONE,
    ONE,
    WIDTH,
    VOCAB,
    Q,
    KV,
    FF,
    EXPERTS,
    PROJECTED, /* gate, convolved channels and time steps of a scan */
    CHANNELS,
    CONV,
    INNER,
    GROUP,
    GROUPS,
    SCANS
} dim;

typedef enum when { ALWAYS, UNTIED, DENSE, ROUTED } when;

typedef struct row {
    const char *name; /* with %u: one per layer */
    dim dims[3];
    synth_fill fill;
    when when;
    bool closing; /* adds to the residual stream: smaller, the more layers there are */
} row;

static const row around[] = {
    {"token_embd.weight", {WIDTH, VOCAB}, SYNTH_NORMAL, ALWAYS, false},
    {"output_norm.weight", {WIDTH}, SYNTH_ONES, ALWAYS, false},
    {"output.weight", {WIDTH, VOCAB}, SYNTH_NORMAL, UNTIED, false},
    {0},
};

static const row llama[] = {
    {"blk.%u.attn_norm.weight", {WIDTH}, SYNTH_ONES, ALWAYS, false},
    {"blk.%u.attn_q.weight", {WIDTH, Q}, SYNTH_NORMAL, ALWAYS, false},
    {"blk.%u.attn_k.weight", {WIDTH, KV}, SYNTH_NORMAL, ALWAYS, false},
    {"blk.%u.attn_v.weight", {WIDTH, KV}, SYNTH_NORMAL, ALWAYS, false},
    {"blk.%u.attn_output.weight", {Q, WIDTH}, SYNTH_NORMAL, ALWAYS, true},
    {"blk.%u.ffn_norm.weight", {WIDTH}, SYNTH_ONES, ALWAYS, false},
    {"blk.%u.ffn_gate.weight", {WIDTH, FF}, SYNTH_NORMAL, DENSE, false},
    {"blk.%u.ffn_up.weight", {WIDTH, FF}, SYNTH_NORMAL, DENSE, false},
    {"blk.%u.ffn_down.weight", {FF, WIDTH}, SYNTH_NORMAL, DENSE, true},
    {"blk.%u.ffn_gate_inp.weight", {WIDTH, EXPERTS}, SYNTH_NORMAL, ROUTED, false},
    {"blk.%u.ffn_gate_exps.weight", {WIDTH, FF, EXPERTS}, SYNTH_NORMAL, ROUTED, false},
    {"blk.%u.ffn_up_exps.weight", {WIDTH, FF, EXPERTS}, SYNTH_NORMAL, ROUTED, false},
    {"blk.%u.ffn_down_exps.weight", {FF, WIDTH, EXPERTS}, SYNTH_NORMAL, ROUTED, true},
    {0},
};

static const row mamba2[] = {
    {"blk.%u.attn_norm.weight", {WIDTH}, SYNTH_ONES, ALWAYS, false},
    {"blk.%u.ssm_in.weight", {WIDTH, PROJECTED}, SYNTH_NORMAL, ALWAYS, false},
    {"blk.%u.ssm_conv1d.weight", {CONV, CHANNELS}, SYNTH_NORMAL, ALWAYS, false},
    {"blk.%u.ssm_conv1d.bias", {CHANNELS}, SYNTH_NORMAL, ALWAYS, false},
    {"blk.%u.ssm_dt.bias", {SCANS}, SYNTH_STEPS, ALWAYS, false},
    {"blk.%u.ssm_a", {ONE, SCANS}, SYNTH_DECAYS, ALWAYS, false},
    {"blk.%u.ssm_d", {ONE, SCANS}, SYNTH_ONES, ALWAYS, false},
    {"blk.%u.ssm_norm.weight", {GROUP, GROUPS}, SYNTH_ONES, ALWAYS, false},
    {"blk.%u.ssm_out.weight", {INNER, WIDTH}, SYNTH_NORMAL, ALWAYS, true},
    {0},
};

static void take(const synth_shape *s, const row *r, uint32_t layer, synth_tensor *tensors,
                 uint64_t *count)
{
    uint64_t channels = (uint64_t)s->inner + (uint64_t)2 * s->groups * s->state;
    const uint64_t sizes[] = {[ONE] = 1,
                              [WIDTH] = s->width,
                              [VOCAB] = s->vocab,
                              [Q] = (uint64_t)s->heads * s->dim,
                              [KV] = (uint64_t)s->kv * s->dim,
                              [FF] = s->ff,
                              [EXPERTS] = s->experts,
                              [PROJECTED] = s->inner + channels + s->scans,
                              [CHANNELS] = channels,
                              [CONV] = s->conv,
                              [INNER] = s->inner,
                              [GROUP] = s->groups == 0 ? 0 : s->inner / s->groups,
                              [GROUPS] = s->groups,
                              [SCANS] = s->scans};
    const bool wanted[] = {
        [ALWAYS] = true, [UNTIED] = !s->tied, [DENSE] = s->experts == 0, [ROUTED] = s->experts > 0};
    if (!wanted[r->when])
        return;
    synth_tensor *t = &tensors[(*count)++];
    memset(t, 0, sizeof *t);
    const char *tail = strstr(r->name, "%u");
    if (tail == NULL)
        snprintf(t->name, sizeof t->name, "%s", r->name);
    else
        snprintf(t->name, sizeof t->name, "blk.%u%s", (unsigned)layer, tail + 2);
    for (; t->n_dims < 3 && r->dims[t->n_dims] != NONE; t->n_dims++)
        t->dims[t->n_dims] = sizes[r->dims[t->n_dims]];
    t->fill = r->fill;
    t->deviation = 1 / sqrt((double)t->dims[0] * (r->closing ? 2.0 * s->layers : 1.0));
}

synth_tensor *synth_tensors(const synth_shape *shape, uint64_t *count)
{
    const row *layer_rows = shape->mamba2 ? mamba2 : llama;
    synth_tensor *tensors = malloc((4 + (size_t)shape->layers * 16) * sizeof *tensors);
    if (tensors == NULL)
        tool_fail("no memory for the list of tensors");
    *count = 0;
    for (const row *r = around; r->name != NULL; r++)
        take(shape, r, 0, tensors, count);
    for (uint32_t layer = 0; layer < shape->layers; layer++)
        for (const row *r = layer_rows; r->name != NULL; r++)
            take(shape, r, layer, tensors, count);
    return tensors;
}

/* --- metadata --------------------------------------------------------------------------------- */

typedef struct number {
    const char *key;
    uint32_t value;
    bool wanted;
} number;

static void write_shape(const synth_shape *s, llm_writer *w)
{
    const bool attention = !s->mamba2;
    const number numbers[] = {
        {"vocab_size", s->vocab, true},
        {"context_length", s->context, true},
        {"embedding_length", s->width, true},
        {"block_count", s->layers, true},
        {"feed_forward_length", s->ff, true},
        {"attention.head_count", s->heads, true},
        {"attention.head_count_kv", s->kv, attention},
        {"attention.key_length", s->dim, attention},
        {"attention.value_length", s->dim, attention},
        {"rope.dimension_count", s->dim, attention},
        {"expert_count", s->experts, s->experts > 0},
        {"expert_used_count", s->used, s->experts > 0},
        {"ssm.conv_kernel", s->conv, s->mamba2},
        {"ssm.inner_size", s->inner, s->mamba2},
        {"ssm.state_size", s->state, s->mamba2},
        {"ssm.time_step_rank", s->scans, s->mamba2},
        {"ssm.group_count", s->groups, s->mamba2},
    };
    const char *family = s->mamba2 ? "mamba2" : "llama";
    char key[64];
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", family, numbers[i].key);
        llm_param p = {key, LLM_KIND_INT, 0, {.i = numbers[i].value}};
        if (numbers[i].wanted)
            tool_check(llm_writer_set(w, &p));
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", family);
    tool_check(llm_writer_set(w, &(llm_param){key, LLM_KIND_FLOAT, 0, {.f = 1e-5}}));
    snprintf(key, sizeof key, "%s.rope.freq_base", family);
    if (attention)
        tool_check(llm_writer_set(w, &(llm_param){key, LLM_KIND_FLOAT, 0, {.f = s->rope_base}}));
}

/* Any text has ids in it: its bytes. */
static void write_vocabulary(uint32_t n, llm_writer *w)
{
    typedef char piece[16];
    piece *pieces = malloc(n * sizeof *pieces);
    const char **texts = malloc(n * sizeof *texts);
    float *scores = malloc(n * sizeof *scores);
    int32_t *types = malloc(n * sizeof *types);
    if (pieces == NULL || texts == NULL || scores == NULL || types == NULL)
        tool_fail("no memory for a vocabulary of %u", (unsigned)n);
    static const piece first[] = {"<unk>", "<s>", "</s>"};
    for (uint32_t i = 0; i < n; i++) {
        bool byte = i >= 3 && i < LEAST_VOCABULARY - 1;
        if (i < 3)
            memcpy(pieces[i], first[i], sizeof first[i]);
        else if (byte)
            snprintf(pieces[i], sizeof pieces[i], "<0x%02X>", (unsigned)i - 3);
        else if (i < LEAST_VOCABULARY)
            snprintf(pieces[i], sizeof pieces[i], "\xe2\x96\x81");
        else
            snprintf(pieces[i], sizeof pieces[i], "\xe2\x96\x81t%u", (unsigned)i);
        texts[i] = pieces[i];
        scores[i] = byte ? 0 : -(float)i;
        types[i] = i == 0 ? 2 : i < 3 ? 3 : byte ? 6 : 1; /* unknown, control, byte, normal */
    }
    const llm_param params[] = {
        {"tokenizer.ggml.model", LLM_KIND_STRING, 0, {.s = "llama"}},
        {"tokenizer.ggml.scores", LLM_KIND_FLOATS, n, {.p = scores}},
        {"tokenizer.ggml.token_type", LLM_KIND_TOKENS, n, {.p = types}},
        {"tokenizer.ggml.bos_token_id", LLM_KIND_INT, 0, {.i = 1}},
        {"tokenizer.ggml.eos_token_id", LLM_KIND_INT, 0, {.i = 2}},
        {"tokenizer.ggml.unknown_token_id", LLM_KIND_INT, 0, {.i = 0}},
        {"tokenizer.ggml.add_bos_token", LLM_KIND_BOOL, 0, {.i = 1}},
        {"tokenizer.ggml.add_eos_token", LLM_KIND_BOOL, 0, {.i = 0}},
    };
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        tool_check(llm_writer_set(w, &params[i]));
    tool_check(llm_writer_strings(w, "tokenizer.ggml.tokens", texts, n));
    free(pieces);
    free(texts);
    free(scores);
    free(types);
}

void synth_metadata(const synth_shape *shape, llm_writer *writer, const char *format)
{
    char name[96];
    snprintf(name, sizeof name, "%s of random numbers", shape->name);
    const llm_param params[] = {
        {"general.architecture", LLM_KIND_STRING, 0, {.s = shape->mamba2 ? "mamba2" : "llama"}},
        {"general.name", LLM_KIND_STRING, 0, {.s = name}},
        {"general.file_type", LLM_KIND_INT, 0, {.i = mixture_file_type(format)}},
    };
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        if (params[i].kind != LLM_KIND_INT || params[i].value.i >= 0)
            tool_check(llm_writer_set(writer, &params[i]));
    write_shape(shape, writer);
    write_vocabulary(shape->vocab, writer);
}
