/* tokenizer - text to ids and back. Knows vocabularies, not files: lib/model fills the description
 * from whatever container the model came in. Immutable after creation, usable from any thread. */
#ifndef LM_TEXT_TOKENIZER_H
#define LM_TEXT_TOKENIZER_H

#include "base/alloc.h"
#include "base/log.h"

#include <stdbool.h>

typedef struct lm_str {
    const char *data;
    size_t size;
} lm_str;

/* Token types as GGUF numbers them. */
enum {
    LM_TOKEN_NORMAL = 1,
    LM_TOKEN_UNKNOWN = 2,
    LM_TOKEN_CONTROL = 3,
    LM_TOKEN_USER_DEFINED = 4,
    LM_TOKEN_UNUSED = 5,
    LM_TOKEN_BYTE = 6,
};

enum {
    LM_SPECIAL_BOS,
    LM_SPECIAL_EOS,
    LM_SPECIAL_EOT,
    LM_SPECIAL_EOM,
    LM_SPECIAL_UNK,
    LM_SPECIAL_SEP,
    LM_SPECIAL_PAD,
    LM_SPECIAL_CLS,
    LM_SPECIAL_MASK,
    LM_SPECIAL_FIM_PRE,
    LM_SPECIAL_FIM_SUF,
    LM_SPECIAL_FIM_MID,
    LM_SPECIAL_COUNT
};

/* A rule the file may leave open. */
enum { LM_RULE_ABSENT = -1, LM_RULE_NO = 0, LM_RULE_YES = 1 };

/* A description with nothing in it: absent ids are -1, absent rules LM_RULE_ABSENT. */
#define LM_VOCAB_EMPTY                                                                             \
    {                                                                                              \
        .special = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}, .add_bos = LM_RULE_ABSENT,    \
        .add_eos = LM_RULE_ABSENT, .add_sep = LM_RULE_ABSENT, .add_space_prefix = LM_RULE_ABSENT,  \
        .remove_extra_whitespaces = LM_RULE_ABSENT, .escape_whitespaces = LM_RULE_ABSENT,          \
        .ignore_merges = LM_RULE_ABSENT, .clean_spaces = LM_RULE_ABSENT,                           \
        .lowercase = LM_RULE_ABSENT, .strip_accents = LM_RULE_ABSENT                               \
    }

/* Borrowed until lm_tokenizer_create returns, except the bytes of the token texts, which must
 * outlive the tokenizer (they lie in the open model's metadata). Where two tokens have one text,
 * the later one is found by it, as in the field; both are rendered. */
typedef struct lm_vocab {
    const char *model;    /* tokenizer.ggml.model: "llama", "gpt2", "bert", "t5", "rwkv", ... */
    const char *pre;      /* tokenizer.ggml.pre, NULL when absent */
    const char *name;     /* general.name, NULL when absent: some families have rules by it */
    const lm_str *tokens; /* [n_tokens] */
    const float *scores;  /* [n_tokens] or NULL */
    const int32_t *types; /* [n_tokens] or NULL */
    uint32_t n_tokens;
    const lm_str *merges; /* [n_merges] "left right"; NULL when the file has none */
    uint32_t n_merges;
    int64_t special[LM_SPECIAL_COUNT]; /* as the file has them; -1: absent */
    int8_t add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces,
        escape_whitespaces, ignore_merges, clean_spaces, lowercase, strip_accents; /* LM_RULE_... */
    const void *charsmap; /* precompiled normaliser map or NULL */
    size_t charsmap_size;
} lm_vocab;

typedef struct lm_tokenizer lm_tokenizer;

/* Growing list of ids, owned by the caller (lm_ids_finish). */
typedef struct lm_ids {
    lm_allocator *alloc;
    int32_t *items;
    size_t count, capacity;
} lm_ids;

void lm_ids_init(lm_ids *ids, lm_allocator *alloc);
void lm_ids_finish(lm_ids *ids);
int32_t lm_ids_push(lm_ids *ids, int32_t id);

/* Growing bytes, likewise. */
typedef struct lm_text {
    lm_allocator *alloc;
    char *data;
    size_t size, capacity;
} lm_text;

void lm_text_init(lm_text *text, lm_allocator *alloc);
void lm_text_finish(lm_text *text);
int32_t lm_text_reserve(lm_text *text, size_t capacity); /* appends up to it cannot fail */
int32_t lm_text_append(lm_text *text, const void *data, size_t size);

enum {
    LM_ENCODE_ADD_SPECIAL = 1u,   /* BOS, EOS, CLS, SEP by the model's own rules */
    LM_ENCODE_PARSE_SPECIAL = 2u, /* "<|im_start|>" in the text becomes that token */
};
enum {
    LM_DECODE_SPECIAL = 1u, /* render control tokens as their text; otherwise they are nothing */
};

/* Unknown model or pre-tokenizer names are LLM_E_UNSUPPORTED. A BOS or EOS beyond the vocabulary is
 * LLM_E_FORMAT; other special ids beyond it are ignored with a log line. A rule to add a BOS, EOS
 * or SEP that the vocabulary does not have is dropped with a log line. */
int32_t lm_tokenizer_create(lm_allocator *alloc, const lm_log *log, const lm_vocab *vocab,
                            lm_tokenizer **out);
void lm_tokenizer_destroy(lm_tokenizer *t);

uint32_t lm_tokenizer_size(const lm_tokenizer *t);
int32_t lm_tokenizer_special(const lm_tokenizer *t, uint32_t which); /* -1: none */
bool lm_tokenizer_adds_bos(const lm_tokenizer *t);
/* Ends a generation: EOS, EOT, EOM, and control tokens whose text is a known end of turn. */
bool lm_tokenizer_is_end(const lm_tokenizer *t, int32_t id);
int32_t lm_tokenizer_type(const lm_tokenizer *t, int32_t id); /* LM_TOKEN_...; 0: no such id */
/* The token as it stands in the vocabulary (with its meta-space or byte alphabet). */
lm_str lm_tokenizer_text(const lm_tokenizer *t, int32_t id);
/* The id whose vocabulary text is this, or -1. */
int32_t lm_tokenizer_find(const lm_tokenizer *t, const char *text, size_t size);

/* Appends to `ids`. Any bytes are accepted; invalid UTF-8 is handled as the scheme does. */
int32_t lm_tokenizer_encode(const lm_tokenizer *t, const char *text, size_t size, uint32_t flags,
                            lm_ids *ids);

/* Appends the bytes of one token in the middle of a text (leading space kept). Ids that do not
 * exist are LLM_E_INVALID. */
int32_t lm_tokenizer_piece(const lm_tokenizer *t, int32_t id, uint32_t flags, lm_text *out);

/* Appends the bytes of a whole text: as the pieces, with the scheme's clean-up at the start. */
int32_t lm_tokenizer_decode(const lm_tokenizer *t, const int32_t *ids, size_t n, uint32_t flags,
                            lm_text *out);

/* Streaming: pieces are joined, and bytes of an unfinished UTF-8 character are held back. */
typedef struct lm_utf8_stream {
    unsigned char held[4];
    uint32_t n_held;
} lm_utf8_stream;

/* Appends the whole characters now available to `out`. Bytes that can never become valid UTF-8 are
 * passed on as U+FFFD. `last`: flush what is held. */
int32_t lm_utf8_stream_push(lm_utf8_stream *s, const char *data, size_t size, bool last,
                            lm_text *out);

#endif
