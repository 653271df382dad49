/* scheme - what a tokenizer family implements. Private to lib/text: tokenizer.c owns special
 * tokens, BOS/EOS rules and lookups, and calls one of these for the plain text between them. */
#ifndef LM_TEXT_SCHEME_H
#define LM_TEXT_SCHEME_H

#include "text/lookup.h"
#include "text/tokenizer.h"

typedef struct lm_scheme lm_scheme;
typedef struct lm_marks lm_marks;

/* The state a family builds at creation, immutable afterwards. */
struct lm_tokenizer {
    lm_allocator *alloc;
    lm_log log;
    const lm_scheme *scheme;
    void *state;     /* the scheme's own */
    lm_str *tokens;  /* [n_tokens], texts borrowed from the model */
    float *scores;   /* [n_tokens] or NULL */
    uint8_t *types;  /* [n_tokens] LM_TOKEN_... */
    uint8_t *strips; /* [n_tokens] LM_STRIP_..., or NULL: no token takes neighbouring space */
    uint32_t n_tokens;
    lm_lookup by_text;                 /* token text -> id */
    int32_t special[LM_SPECIAL_COUNT]; /* -1: none */
    bool add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces, escape_whitespaces,
        clean_spaces, lowercase, strip_accents;
    lm_marks *marks; /* finds control and user-defined tokens verbatim in text */
    int32_t *ends;   /* [n_ends] ids that end a generation */
    uint32_t n_ends;
};

#define LM_MAX_ENDS 64u /* capacity of `ends`: more than the rules know texts */

enum {
    LM_STRIP_LEFT = 1,  /* white space before this marked token belongs to it */
    LM_STRIP_RIGHT = 2, /* behind it */
};

typedef struct lm_special_default {
    uint32_t which; /* LM_SPECIAL_... */
    int32_t id;
} lm_special_default;

struct lm_scheme {
    const char *model; /* tokenizer.ggml.model */
    /* Defaults for rules and ids the file leaves open; an id beyond the vocabulary is none. */
    bool add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces, escape_whitespaces,
        clean_spaces, lowercase, strip_accents;
    lm_special_default specials[6];
    uint32_t n_specials;
    /* Sets t->state; may change rules by names it knows where the file leaves them open. Specials
     * and rules are set before, marks and ends after it. */
    int32_t (*create)(lm_tokenizer *t, const lm_vocab *vocab);
    void (*destroy)(lm_tokenizer *t); /* also after a failed create; t->state may be NULL */
    /* A run of plain text. `first`: nothing but special tokens precede it in this text (so a space
     * prefix applies). `after_special`: a special token stands directly before. */
    int32_t (*encode)(const lm_tokenizer *t, const char *text, size_t size, bool first,
                      bool after_special, lm_ids *ids);
    /* The bytes of one token. `id` is valid and neither a control nor an unknown token. */
    int32_t (*piece)(const lm_tokenizer *t, int32_t id, lm_text *out);
    /* Clean-up of a whole decoded text, from out->data + start to its end; may be NULL. */
    int32_t (*tidy)(const lm_tokenizer *t, lm_text *out, size_t start);
};

/* The file's rule, or the default where it leaves it open. */
static inline bool lm_rule(int8_t rule, bool otherwise)
{
    return rule == LM_RULE_ABSENT ? otherwise : rule != LM_RULE_NO;
}

/* One per file; the table in tokenizer.c lists them. */
extern const lm_scheme lm_scheme_spm;        /* "llama": SentencePiece BPE by scores */
extern const lm_scheme lm_scheme_bpe;        /* "gpt2": byte-level BPE with a pre-tokenizer */
extern const lm_scheme lm_scheme_gemma4;     /* "gemma4": the same code over characters */
extern const lm_scheme lm_scheme_whitespace; /* "whitespace": likewise, words only */
extern const lm_scheme lm_scheme_wordpiece;  /* "bert" */
extern const lm_scheme lm_scheme_unigram;    /* "t5" */
extern const lm_scheme lm_scheme_rwkv;       /* "rwkv" */

#endif
