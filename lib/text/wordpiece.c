/* wordpiece.c - BERT's tokenizer ("bert"): characters are cleaned, words cut at white space,
 * punctuation and CJK, each word covered greedily by the longest tokens. Tokens that begin a word
 * carry U+2581 in GGUF, those that go on have no mark. */
#include "text/pieces.h"
#include "text/trie.h"
#include "text/unicode.h"
#include "text/utf8.h"

#define MAX_WORD 100 /* characters; a longer word is unknown, by the definition of the models */

typedef struct wordpiece {
    lm_trie trie;
    uint32_t start; /* the node of U+2581; 0: no token begins a word */
} wordpiece;

typedef struct word {
    const lm_tokenizer *t;
    lm_ids *ids;
    size_t n_characters, size;
    char bytes[MAX_WORD * 4];
} word;

/* Ideographs, each a word by itself; the gap in the fifth row is the reference's. */
static const struct block {
    uint32_t first, last;
} ideographs[] = {
    {0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
    {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0xf900, 0xfaff},   {0x2f800, 0x2fa1f},
};

static bool is_ideograph(uint32_t c)
{
    for (size_t i = 0; c >= 0x3400 && i < sizeof ideographs / sizeof *ideographs; i++)
        if (c >= ideographs[i].first && c <= ideographs[i].last)
            return true;
    return false;
}

static bool is_punctuation(uint32_t c)
{
    uint32_t kind = lm_unicode_class(c);
    return (kind & LM_CHAR_P) != 0 || (c < 0x80 && (kind & LM_CHAR_S) != 0);
}

static bool is_white(uint32_t c)
{
    return (lm_unicode_class(c) & LM_CHAR_SPACE) != 0;
}

/* Neither text nor space: dropped. Unassigned characters stay, for they may be letters one day. */
static bool is_noise(uint32_t c)
{
    if (c == '\t' || c == '\n' || c == '\r')
        return false;
    return c == 0 || c == LM_UTF8_INVALID ||
           (lm_unicode_class(c) & (LM_CHAR_CC | LM_CHAR_CF)) != 0 || (c >= 0xe000 && c <= 0xf8ff) ||
           (c >= 0xf0000 && (c & 0xffff) <= 0xfffd); /* private */
}

enum { UNCOVERED = 1 };

static int32_t push_pieces(word *w)
{
    const wordpiece *s = w->t->state;
    uint32_t at = s->start;
    for (size_t done = 0; done < w->size; at = 0) {
        size_t length, left = w->size - done;
        if (done > 0 && lm_is_meta_space(w->bytes + done, left))
            return UNCOVERED; /* a token with this mark begins a word */
        int32_t id = lm_trie_longest(&s->trie, at, w->bytes + done, left, &length);
        if (id < 0)
            return UNCOVERED;
        LM_TRY(lm_ids_push(w->ids, id));
        done += length;
    }
    return LLM_OK;
}

/* A word that the tokens cannot cover is one unknown token as a whole. */
static int32_t end_word(word *w)
{
    if (w->n_characters == 0)
        return LLM_OK;
    size_t before = w->ids->count;
    bool covered = false;
    if (w->n_characters <= MAX_WORD && ((const wordpiece *)w->t->state)->start != 0) {
        int32_t rc = push_pieces(w);
        LM_TRY(rc);
        covered = rc == LLM_OK;
    }
    w->n_characters = w->size = 0;
    if (covered)
        return LLM_OK;
    w->ids->count = before;
    int32_t unknown = w->t->special[LM_SPECIAL_UNK];
    return unknown < 0 ? LLM_OK : lm_ids_push(w->ids, unknown);
}

static void extend_word(word *w, uint32_t c)
{
    if (w->n_characters < MAX_WORD)
        w->size += lm_utf8_encode(c, w->bytes + w->size);
    w->n_characters++;
}

/* A cleaned character. */
static int32_t add_character(word *w, uint32_t c)
{
    if (is_white(c))
        return end_word(w);
    if (!is_punctuation(c)) {
        extend_word(w, c);
        return LLM_OK;
    }
    LM_TRY(end_word(w));
    extend_word(w, c);
    return end_word(w);
}

static int32_t add_cased(word *w, uint32_t c)
{
    if (!w->t->lowercase)
        return add_character(w, c);
    if (c != 0x130)
        return add_character(w, lm_unicode_lower(c));
    LM_TRY(add_character(w, 'i')); /* the one character whose lower case is two */
    return add_character(w, 0x307);
}

static int32_t add_decomposed(word *w, uint32_t c)
{
    if (!w->t->strip_accents || c < 0x80)
        return add_cased(w, c);
    uint32_t parts[LM_DECOMPOSED_MAX];
    uint32_t n = lm_unicode_decompose(c, parts);
    for (uint32_t i = 0; i < n; i++)
        if ((lm_unicode_class(parts[i]) & LM_CHAR_MN) == 0)
            LM_TRY(add_cased(w, parts[i]));
    return LLM_OK;
}

static int32_t wordpiece_encode(const lm_tokenizer *t, const char *text, size_t size, bool first,
                                bool after_special, lm_ids *ids)
{
    (void)first;
    (void)after_special;
    word w = {.t = t, .ids = ids};
    for (size_t at = 0; at < size;) {
        uint32_t c;
        at += lm_utf8_decode(text + at, size - at, &c);
        if (is_noise(c))
            continue;
        bool alone = is_ideograph(c);
        if (alone)
            LM_TRY(end_word(&w));
        LM_TRY(add_decomposed(&w, c));
        if (alone)
            LM_TRY(end_word(&w));
    }
    return end_word(&w);
}

static int32_t build_trie(lm_tokenizer *t, wordpiece *s)
{
    lm_trie_key *keys = LM_NEW_ARRAY(t->alloc, lm_trie_key, t->n_tokens);
    if (keys == NULL)
        return LLM_E_MEMORY;
    size_t n = 0;
    for (uint32_t id = 0; id < t->n_tokens; id++)
        if (t->types[id] != LM_TOKEN_CONTROL && t->types[id] != LM_TOKEN_UNKNOWN)
            keys[n++] = (lm_trie_key){t->tokens[id], (int32_t)id};
    int32_t rc = lm_trie_init(&s->trie, t->alloc, keys, n);
    lm_free_array(t->alloc, keys, t->n_tokens, sizeof *keys);
    return rc;
}

static int32_t wordpiece_create(lm_tokenizer *t, const lm_vocab *vocab)
{
    wordpiece *s = LM_NEW(t->alloc, wordpiece);
    if (s == NULL)
        return LLM_E_MEMORY;
    t->state = s;
    LM_TRY(build_trie(t, s));
    for (size_t i = 0; i < LM_META_SPACE_SIZE && (i == 0 || s->start != 0); i++)
        s->start = lm_trie_step(&s->trie, s->start, (unsigned char)LM_META_SPACE[i]);
    t->strip_accents = lm_rule(vocab->strip_accents, t->lowercase);
    if (vocab->special[LM_SPECIAL_BOS] == -1 && vocab->special[LM_SPECIAL_CLS] != -1)
        t->special[LM_SPECIAL_BOS] = t->special[LM_SPECIAL_CLS];
    return LLM_OK;
}

static void wordpiece_destroy(lm_tokenizer *t)
{
    wordpiece *s = t->state;
    if (s == NULL)
        return;
    lm_trie_finish(&s->trie);
    LM_DELETE(t->alloc, s);
}

static int32_t wordpiece_piece(const lm_tokenizer *t, int32_t id, lm_text *out)
{
    return lm_pieces_append_spaced(out, t->tokens[id]);
}

static int32_t wordpiece_tidy(const lm_tokenizer *t, lm_text *out, size_t start)
{
    lm_pieces_drop_spaces(out, start, false);
    if (t->clean_spaces)
        lm_pieces_clean(out, start);
    return LLM_OK;
}

const lm_scheme lm_scheme_wordpiece = {
    .model = "bert",
    .add_bos = true,
    .add_sep = true,
    .clean_spaces = true,
    .lowercase = true,
    .specials = {{LM_SPECIAL_BOS, 101},
                 {LM_SPECIAL_UNK, 100},
                 {LM_SPECIAL_SEP, 102},
                 {LM_SPECIAL_PAD, 0},
                 {LM_SPECIAL_CLS, 101},
                 {LM_SPECIAL_MASK, 103}},
    .n_specials = 6,
    .create = wordpiece_create,
    .destroy = wordpiece_destroy,
    .encode = wordpiece_encode,
    .piece = wordpiece_piece,
    .tidy = wordpiece_tidy,
};
