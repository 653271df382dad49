/* scheme - what a tokenizer family implements. Private to lib/text: tokenizer.c owns special tokens,
 * BOS/EOS rules and lookups, and calls one of these for the plain text between them. */
#ifndef LM_TEXT_SCHEME_H
#define LM_TEXT_SCHEME_H

#include "base/strmap.h"
#include "text/tokenizer.h"

typedef struct lm_scheme lm_scheme;

/* The state a family builds at creation, immutable afterwards. */
struct lm_tokenizer {
    lm_allocator *alloc;
    lm_log log;
    const lm_scheme *scheme;
    void *state;             /* the scheme's own */
    lm_str *tokens;          /* [n_tokens], texts borrowed from the model */
    float *scores;           /* [n_tokens] or NULL */
    uint8_t *types;          /* [n_tokens] LM_TOKEN_... */
    uint32_t n_tokens;
    lm_strmap by_text;       /* token text -> id */
    int32_t special[LM_SPECIAL_COUNT]; /* -1: none */
    bool add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces,
        escape_whitespaces, clean_spaces;
    int32_t *marked;         /* ids of tokens to be found verbatim in text, longest text first */
    uint32_t n_marked;
    int32_t *ends;           /* ids that end a generation */
    uint32_t n_ends;
};

struct lm_scheme {
    const char *model;       /* tokenizer.ggml.model */
    /* Defaults for rules the file leaves open. */
    int8_t add_bos, add_eos, add_space_prefix;
    int32_t (*create)(lm_tokenizer *t, const lm_vocab *vocab); /* sets t->state */
    void (*destroy)(lm_tokenizer *t);
    /* A run of plain text. `first`: nothing but special tokens precede it in this text (so a space
     * prefix applies). `after_special`: a special token stands directly before. */
    int32_t (*encode)(const lm_tokenizer *t, const char *text, size_t size, bool first,
                      bool after_special, lm_ids *ids);
    /* The bytes of one token. `id` is valid and not a control token. */
    int32_t (*piece)(const lm_tokenizer *t, int32_t id, lm_text *out);
    /* Clean-up of a whole decoded text starting at out->data + start; may be NULL. */
    int32_t (*tidy)(const lm_tokenizer *t, lm_text *out, size_t start);
};

/* One per file; the table in tokenizer.c lists them. */
extern const lm_scheme lm_scheme_spm;       /* "llama": SentencePiece BPE by scores */
extern const lm_scheme lm_scheme_bpe;       /* "gpt2": byte-level BPE with a pre-tokenizer */
extern const lm_scheme lm_scheme_wordpiece; /* "bert" */
extern const lm_scheme lm_scheme_unigram;   /* "t5" */
extern const lm_scheme lm_scheme_rwkv;      /* "rwkv" */

#endif
