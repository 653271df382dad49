/* rules.c - two tables and their readers. */
#include "text/rules.h"

#include <string.h>

#define NONE LM_SPECIAL_COUNT

/* The first row found gives a special id that the file leaves open. */
static const struct known {
    const char *text;
    uint8_t special; /* LM_SPECIAL_... or NONE */
    bool ends;
    bool typed; /* an ordinary text too: only where the file says that it is a control token */
} known[] = {
    {"<|eot_id|>", LM_SPECIAL_EOT, true, false},
    {"<|im_end|>", LM_SPECIAL_EOT, true, false},
    {"<|end|>", LM_SPECIAL_EOT, true, false},
    {"<end_of_turn>", LM_SPECIAL_EOT, true, false},
    {"<|endoftext|>", LM_SPECIAL_EOT, true, false},
    {"<|end_of_text|>", LM_SPECIAL_EOT, true, false},
    {"<EOT>", LM_SPECIAL_EOT, true, true},
    {"_<EOT>", LM_SPECIAL_EOT, true, true},
    {"[EOT]", LM_SPECIAL_EOT, true, true},
    {"<｜end▁of▁sentence｜>", LM_SPECIAL_EOT, true, false},
    {"<end_of_utterance>", LM_SPECIAL_EOT, true, false},
    {"<|eom_id|>", LM_SPECIAL_EOM, true, false},
    {"<|return|>", NONE, true, false},
    {"<|call|>", NONE, true, false},
    {"<|calls|>", NONE, true, false},
    {"<|flush|>", NONE, true, false},
    {"</s>", NONE, true, true},
    {"[EOS]", NONE, true, true},
    {"<eos>", NONE, true, true},
    {"<turn|>", NONE, true, false},
    {"<|tool_response>", NONE, true, false},
    {"[e~[", NONE, true, false},
    {"<|fim_prefix|>", LM_SPECIAL_FIM_PRE, false, false},
    {"<fim-prefix>", LM_SPECIAL_FIM_PRE, false, false},
    {"<fim_prefix>", LM_SPECIAL_FIM_PRE, false, false},
    {"<｜fim▁begin｜>", LM_SPECIAL_FIM_PRE, false, false},
    {"<PRE>", LM_SPECIAL_FIM_PRE, false, true},
    {"▁<PRE>", LM_SPECIAL_FIM_PRE, false, false},
    {"<|code_prefix|>", LM_SPECIAL_FIM_PRE, false, false},
    {"<|prefix|>", LM_SPECIAL_FIM_PRE, false, false},
    {"<|fim_suffix|>", LM_SPECIAL_FIM_SUF, false, false},
    {"<fim-suffix>", LM_SPECIAL_FIM_SUF, false, false},
    {"<fim_suffix>", LM_SPECIAL_FIM_SUF, false, false},
    {"<｜fim▁hole｜>", LM_SPECIAL_FIM_SUF, false, false},
    {"<SUF>", LM_SPECIAL_FIM_SUF, false, true},
    {"▁<SUF>", LM_SPECIAL_FIM_SUF, false, false},
    {"<|code_suffix|>", LM_SPECIAL_FIM_SUF, false, false},
    {"<|suffix|>", LM_SPECIAL_FIM_SUF, false, false},
    {"<|fim_middle|>", LM_SPECIAL_FIM_MID, false, false},
    {"<fim-middle>", LM_SPECIAL_FIM_MID, false, false},
    {"<fim_middle>", LM_SPECIAL_FIM_MID, false, false},
    {"<｜fim▁end｜>", LM_SPECIAL_FIM_MID, false, false},
    {"<MID>", LM_SPECIAL_FIM_MID, false, true},
    {"▁<MID>", LM_SPECIAL_FIM_MID, false, false},
    {"<|code_middle|>", LM_SPECIAL_FIM_MID, false, false},
    {"<|middle|>", LM_SPECIAL_FIM_MID, false, false},
    /* Padding, repository and file marks of infilling: a model that writes one is done. */
    {"<|fim_pad|>", NONE, true, false},
    {"<fim-pad>", NONE, true, false},
    {"<fim_pad>", NONE, true, false},
    {"<PAD>", NONE, true, true},
    {"[PAD]", NONE, true, true},
    {"<|fim_repo|>", NONE, true, false},
    {"<|repo_name|>", NONE, true, false},
    {"<fim-repo>", NONE, true, false},
    {"<REPO>", NONE, true, true},
    {"<reponame>", NONE, true, false},
    {"<|file_sep|>", NONE, true, false},
};

/* In vocabularies that have both `with` tokens, `text` closes a part of a turn and no turn. */
static const struct exception {
    const char *text, *with, *and_with;
} exceptions[] = {
    {"<|end|>", "<|return|>", "<|call|>"},
    {"<|end|>", "<|flush|>", "<|calls|>"},
    {"</s>", "<|tool_response>", "<|tool_response>"},
};

static int32_t find(const lm_tokenizer *t, const char *text)
{
    return lm_tokenizer_find(t, text, strlen(text));
}

static bool is_exception(const lm_tokenizer *t, const char *text)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
        const struct exception *e = &exceptions[i];
        if (strcmp(e->text, text) == 0 && find(t, e->with) >= 0 && find(t, e->and_with) >= 0)
            return true;
    }
    return false;
}

static void add_end(lm_tokenizer *t, int32_t id)
{
    if (id >= 0 && !lm_tokenizer_is_end(t, id))
        t->ends[t->n_ends++] = id;
}

int32_t lm_rules_find_ends(lm_tokenizer *t)
{
    const size_t n_known = sizeof known / sizeof *known;
    t->ends = LM_NEW_ARRAY(t->alloc, int32_t, LM_MAX_ENDS);
    if (t->ends == NULL)
        return LLM_E_MEMORY;
    for (size_t i = 0; i < n_known; i++) {
        const struct known *k = &known[i];
        int32_t id = find(t, k->text);
        if (id < 0 || is_exception(t, k->text) || (k->typed && t->types[id] != LM_TOKEN_CONTROL))
            continue;
        bool fills = k->special != NONE && t->special[k->special] < 0;
        if (fills)
            t->special[k->special] = id;
        if (k->ends)
            add_end(t, id);
        if ((fills || k->ends) && t->types[id] != LM_TOKEN_CONTROL) {
            lm_log_write(&t->log, LLM_LOG_WARN,
                         "token %d '%s' is no control token in this file; it is used as one", id,
                         k->text);
            t->types[id] = LM_TOKEN_CONTROL;
        }
    }
    add_end(t, t->special[LM_SPECIAL_EOS]);
    add_end(t, t->special[LM_SPECIAL_EOT]);
    add_end(t, t->special[LM_SPECIAL_EOM]);
    return LLM_OK;
}

/* Where `pre` or `name` (lower case) occurs in the file's, the token (NULL: every marked token but
 * `except`) takes the white space on that side. */
static const struct strip_rule {
    const char *pre, *name, *token;
    uint8_t strip;
    const char *except[3];
} strip_rules[] = {
    {"jina-v2-de", NULL, "<mask>", LM_STRIP_LEFT, {NULL}},
    {"jina-v2-es", NULL, "<mask>", LM_STRIP_LEFT, {NULL}},
    {"jina-v2-code", NULL, "<mask>", LM_STRIP_LEFT, {NULL}},
    {NULL, "modern-bert", "[MASK]", LM_STRIP_LEFT, {NULL}},
    {NULL, "phi-3", NULL, LM_STRIP_RIGHT, {"<unk>", "<s>", "<|endoftext|>"}},
    {NULL, "phi3", NULL, LM_STRIP_RIGHT, {"<unk>", "<s>", "<|endoftext|>"}},
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Does `part`, in lower case, occur in `text` in any case? */
static bool contains(const char *text, const char *part)
{
    if (text == NULL || part == NULL)
        return false;
    size_t n = strlen(part);
    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (i < n && lower(text[i]) == part[i])
            i++;
        if (i == n)
            return true;
    }
    return false;
}

static void apply(lm_tokenizer *t, const struct strip_rule *rule)
{
    if (rule->token != NULL) {
        int32_t id = find(t, rule->token);
        if (id >= 0)
            t->strips[id] |= rule->strip;
        return;
    }
    for (uint32_t id = 0; id < t->n_tokens; id++)
        t->strips[id] |= rule->strip;
    for (size_t i = 0; i < 3 && rule->except[i] != NULL; i++) {
        int32_t id = find(t, rule->except[i]);
        if (id >= 0)
            t->strips[id] = 0;
    }
}

int32_t lm_rules_find_strips(lm_tokenizer *t, const lm_vocab *vocab)
{
    for (size_t i = 0; i < sizeof strip_rules / sizeof *strip_rules; i++) {
        const struct strip_rule *rule = &strip_rules[i];
        if (!contains(vocab->pre, rule->pre) && !contains(vocab->name, rule->name))
            continue;
        if (t->strips == NULL)
            t->strips = LM_NEW_ARRAY(t->alloc, uint8_t, t->n_tokens);
        if (t->strips == NULL)
            return LLM_E_MEMORY;
        apply(t, rule);
    }
    return LLM_OK;
}
