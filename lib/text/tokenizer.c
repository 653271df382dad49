/* tokenizer.c - creation, rules, special tokens and lookups. The texts themselves are the business
 * of a scheme; encode.c joins the two. */
#include "text/marks.h"
#include "text/rules.h"

#include <string.h>

static const lm_scheme *const schemes[] = {
    &lm_scheme_bpe,       &lm_scheme_gemma4,  &lm_scheme_whitespace, &lm_scheme_spm,
    &lm_scheme_wordpiece, &lm_scheme_unigram, &lm_scheme_rwkv,
};

static const lm_scheme *find_scheme(const char *model)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strcmp(schemes[i]->model, model) == 0)
            return schemes[i];
    return NULL;
}

static int32_t copy_tokens(lm_tokenizer *t, const lm_vocab *vocab)
{
    uint32_t n = t->n_tokens = vocab->n_tokens; /* destroy frees by it */
    t->tokens = LM_NEW_ARRAY(t->alloc, lm_str, n);
    t->types = LM_NEW_ARRAY(t->alloc, uint8_t, n);
    if (t->tokens == NULL || t->types == NULL)
        return LLM_E_MEMORY;
    memcpy(t->tokens, vocab->tokens, n * sizeof *t->tokens);
    for (uint32_t i = 0; i < n; i++) {
        int32_t type = vocab->types == NULL ? LM_TOKEN_NORMAL : vocab->types[i];
        if (type < 0 || type > LM_TOKEN_BYTE)
            return lm_fail(LLM_E_FORMAT, "token %u has the unknown type %d", i, type);
        t->types[i] = (uint8_t)(type == 0 ? LM_TOKEN_NORMAL : type);
    }
    if (vocab->scores != NULL) {
        t->scores = LM_NEW_ARRAY(t->alloc, float, n);
        if (t->scores == NULL)
            return LLM_E_MEMORY;
        memcpy(t->scores, vocab->scores, n * sizeof *t->scores);
    }
    return LLM_OK;
}

static void set_rules(lm_tokenizer *t, const lm_vocab *vocab)
{
    const lm_scheme *s = t->scheme;
    t->add_bos = lm_rule(vocab->add_bos, s->add_bos);
    t->add_eos = lm_rule(vocab->add_eos, s->add_eos);
    t->add_sep = lm_rule(vocab->add_sep, s->add_sep);
    t->add_space_prefix = lm_rule(vocab->add_space_prefix, s->add_space_prefix);
    t->remove_extra_whitespaces =
        lm_rule(vocab->remove_extra_whitespaces, s->remove_extra_whitespaces);
    t->escape_whitespaces = lm_rule(vocab->escape_whitespaces, s->escape_whitespaces);
    t->clean_spaces = lm_rule(vocab->clean_spaces, s->clean_spaces);
    t->lowercase = lm_rule(vocab->lowercase, s->lowercase);
    t->strip_accents = lm_rule(vocab->strip_accents, s->strip_accents);
}

static const char *const special_names[LM_SPECIAL_COUNT] = {
    "BOS", "EOS", "EOT",  "EOM",        "UNK",        "SEP",
    "PAD", "CLS", "MASK", "FIM prefix", "FIM suffix", "FIM middle",
};

static int32_t set_specials(lm_tokenizer *t, const lm_vocab *vocab)
{
    for (uint32_t i = 0; i < LM_SPECIAL_COUNT; i++)
        t->special[i] = -1;
    for (uint32_t i = 0; i < t->scheme->n_specials; i++) {
        const lm_special_default *d = &t->scheme->specials[i];
        if ((uint32_t)d->id < t->n_tokens)
            t->special[d->which] = d->id;
    }
    for (uint32_t i = 0; i < LM_SPECIAL_COUNT; i++) {
        int64_t id = vocab->special[i];
        if (id == -1)
            continue;
        if (id >= 0 && id < t->n_tokens) {
            t->special[i] = (int32_t)id;
            continue;
        }
        if (i == LM_SPECIAL_BOS || i == LM_SPECIAL_EOS)
            return lm_fail(LLM_E_FORMAT, "the %s token is %lld, but the vocabulary has %u tokens",
                           special_names[i], (long long)id, t->n_tokens);
        lm_log_write(&t->log, LLM_LOG_WARN,
                     "the %s token %lld is ignored: the vocabulary has %u tokens", special_names[i],
                     (long long)id, t->n_tokens);
    }
    return LLM_OK;
}

/* Files of the first version have no types. */
static void guess_types(lm_tokenizer *t, const lm_vocab *vocab)
{
    static const struct {
        uint32_t which;
        uint8_t type;
    } guesses[] = {
        {LM_SPECIAL_BOS, LM_TOKEN_CONTROL},
        {LM_SPECIAL_EOS, LM_TOKEN_CONTROL},
        {LM_SPECIAL_UNK, LM_TOKEN_UNKNOWN},
    };
    for (size_t i = 0; vocab->types == NULL && i < sizeof guesses / sizeof *guesses; i++)
        if (t->special[guesses[i].which] >= 0)
            t->types[t->special[guesses[i].which]] = guesses[i].type;
}

static void drop_rule(lm_tokenizer *t, bool *rule, bool have, uint32_t which)
{
    if (!*rule || have)
        return;
    *rule = false;
    lm_log_write(&t->log, LLM_LOG_WARN, "no %s is added to texts: the vocabulary has none",
                 special_names[which]);
}

static int32_t build(lm_tokenizer *t, const lm_vocab *vocab)
{
    LM_TRY(copy_tokens(t, vocab));
    LM_TRY(lm_lookup_init(&t->by_text, t->alloc, t->tokens, t->n_tokens));
    set_rules(t, vocab);
    LM_TRY(set_specials(t, vocab));
    guess_types(t, vocab);
    LM_TRY(t->scheme->create(t, vocab));
    LM_TRY(lm_rules_find_ends(t));
    LM_TRY(lm_rules_find_strips(t, vocab));
    drop_rule(t, &t->add_bos, t->special[LM_SPECIAL_BOS] >= 0, LM_SPECIAL_BOS);
    drop_rule(t, &t->add_eos, t->special[LM_SPECIAL_EOS] >= 0, LM_SPECIAL_EOS);
    drop_rule(t, &t->add_sep, t->special[LM_SPECIAL_SEP] >= 0, LM_SPECIAL_SEP);
    return lm_marks_create(t, &t->marks);
}

int32_t lm_tokenizer_create(lm_allocator *alloc, const lm_log *log, const lm_vocab *vocab,
                            lm_tokenizer **out)
{
    if (vocab->model == NULL || vocab->tokens == NULL || vocab->n_tokens == 0)
        return lm_fail(LLM_E_FORMAT, "the file has no vocabulary");
    if (vocab->n_tokens > INT32_MAX)
        return lm_fail(LLM_E_FORMAT, "a vocabulary of %u tokens is too large", vocab->n_tokens);
    const lm_scheme *scheme = find_scheme(vocab->model);
    if (scheme == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "the tokenizer model '%.64s' is unknown", vocab->model);
    lm_tokenizer *t = LM_NEW(alloc, lm_tokenizer);
    if (t == NULL)
        return LLM_E_MEMORY;
    t->alloc = alloc;
    if (log != NULL)
        t->log = *log;
    t->scheme = scheme;
    int32_t rc = build(t, vocab);
    if (rc < 0)
        lm_tokenizer_destroy(t);
    else
        *out = t;
    return rc;
}

void lm_tokenizer_destroy(lm_tokenizer *t)
{
    if (t == NULL)
        return;
    lm_marks_destroy(t->marks);
    t->scheme->destroy(t);
    lm_free_array(t->alloc, t->ends, LM_MAX_ENDS, sizeof *t->ends);
    lm_lookup_finish(&t->by_text);
    lm_free_array(t->alloc, t->strips, t->n_tokens, sizeof *t->strips);
    lm_free_array(t->alloc, t->scores, t->n_tokens, sizeof *t->scores);
    lm_free_array(t->alloc, t->types, t->n_tokens, sizeof *t->types);
    lm_free_array(t->alloc, t->tokens, t->n_tokens, sizeof *t->tokens);
    LM_DELETE(t->alloc, t);
}

uint32_t lm_tokenizer_size(const lm_tokenizer *t)
{
    return t->n_tokens;
}

int32_t lm_tokenizer_special(const lm_tokenizer *t, uint32_t which)
{
    return which < LM_SPECIAL_COUNT ? t->special[which] : -1;
}

bool lm_tokenizer_adds_bos(const lm_tokenizer *t)
{
    return t->add_bos;
}

bool lm_tokenizer_is_end(const lm_tokenizer *t, int32_t id)
{
    for (uint32_t i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id)
            return true;
    return false;
}

int32_t lm_tokenizer_type(const lm_tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n_tokens ? t->types[id] : 0;
}

lm_str lm_tokenizer_text(const lm_tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n_tokens ? t->tokens[id] : (lm_str){"", 0};
}

int32_t lm_tokenizer_find(const lm_tokenizer *t, const char *text, size_t size)
{
    return lm_lookup_find(&t->by_text, t->tokens, text, size);
}
