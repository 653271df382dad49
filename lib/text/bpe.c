/* bpe.c - byte-pair encoding: pieces from the pre-tokenizer, symbols, merges, and back.
 *
 * Vocabularies write bytes as printable characters ("Ġ" is a space). A few families merge
 * characters instead and write spaces as U+2581. Text is taken as it is: a vocabulary file has no
 * place for the normalisation that some models' own tokenizers apply before. Any bytes come back
 * unchanged from an encoding with a complete byte alphabet. */
#include "text/merges.h"
#include "text/pieces.h"
#include "text/pretokenize.h"
#include "text/unicode.h"
#include "text/utf8.h"

typedef struct lm_bpe {
    const lm_pretokenizer *pre;
    bool whole; /* LM_PRE_WHOLE, or what the file says */
    lm_merges merges;
    int32_t bytes[256]; /* the token of each byte, -1: none */
} lm_bpe;

/* --- the byte alphabet ------------------------------------------------------------------------ */

static bool is_own_letter(uint32_t c)
{
    return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

/* The other bytes take the characters from U+0100 on, in their order. */
static uint32_t letter_of(unsigned char byte)
{
    if (is_own_letter(byte))
        return byte;
    return byte <= 0x20 ? 0x100u + byte : byte <= 0xa0 ? 0x121u + byte - 0x7f : 0x143u;
}

/* The byte a letter stands for, -1 for other characters. */
static int byte_of(uint32_t letter)
{
    if (is_own_letter(letter))
        return (int)letter;
    if (letter >= 0x100 && letter <= 0x120)
        return (int)(letter - 0x100);
    if (letter >= 0x121 && letter <= 0x142)
        return (int)(letter - 0x121 + 0x7f);
    return letter == 0x143 ? 0xad : -1;
}

/* --- creation --------------------------------------------------------------------------------- */

static int32_t find_pre(const lm_tokenizer *t, const lm_vocab *vocab, const lm_pretokenizer **out)
{
    const char *name = vocab->pre;
    /* A family of one keeps its name in tokenizer.ggml.model. */
    if (t->scheme != &lm_scheme_bpe) {
        name = t->scheme->model;
    } else if (name == NULL || name[0] == '\0') {
        name = "default";
        lm_log_write(&t->log, LLM_LOG_WARN,
                     "the file does not name its pre-tokenizer (tokenizer.ggml.pre); 'default' is "
                     "used, and text may be cut otherwise than in training");
    }
    *out = lm_pretokenizer_find(name);
    if (*out == NULL)
        return lm_fail(LLM_E_UNSUPPORTED, "the pre-tokenizer '%.64s' is unknown", name);
    return LLM_OK;
}

/* The token of each byte: its letter, or "<0xNN>" where characters are merged. */
static int32_t find_bytes(const lm_tokenizer *t, lm_bpe *bpe)
{
    if ((bpe->pre->flags & LM_PRE_RAW) != 0)
        return lm_pieces_find_bytes(t, bpe->bytes);
    for (unsigned b = 0; b < 256; b++) {
        char letter[4];
        size_t size = lm_utf8_encode(letter_of((unsigned char)b), letter);
        bpe->bytes[b] = lm_tokenizer_find(t, letter, size);
    }
    return LLM_OK;
}

static int32_t create(lm_tokenizer *t, const lm_vocab *vocab)
{
    const lm_pretokenizer *pre;
    LM_TRY(find_pre(t, vocab, &pre));
    if (vocab->merges == NULL)
        return lm_fail(LLM_E_FORMAT, "the vocabulary has no merges (tokenizer.ggml.merges)");
    lm_bpe *bpe = LM_NEW(t->alloc, lm_bpe);
    if (bpe == NULL)
        return LLM_E_MEMORY;
    t->state = bpe;
    bpe->pre = pre;
    bpe->whole = lm_rule(vocab->ignore_merges, (pre->flags & LM_PRE_WHOLE) != 0);
    t->add_bos = lm_rule(vocab->add_bos, (pre->flags & LM_PRE_BOS) != 0) ||
                 (pre->flags & LM_PRE_ALWAYS_BOS) != 0;
    t->add_sep = false; /* stands between two texts; the end of one is EOS here */
    t->lowercase = t->lowercase && (pre->flags & LM_PRE_DROP_SPACE) != 0;
    t->escape_whitespaces = (pre->flags & LM_PRE_META_SPACE) != 0;
    LM_TRY(find_bytes(t, bpe));
    return lm_merges_init(&bpe->merges, t, vocab->merges, vocab->n_merges);
}

static void destroy(lm_tokenizer *t)
{
    lm_bpe *bpe = t->state;
    if (bpe == NULL)
        return;
    lm_merges_finish(&bpe->merges);
    LM_DELETE(t->alloc, bpe);
    t->state = NULL;
}

/* --- text to ids ------------------------------------------------------------------------------ */

/* What one encoding works with. */
typedef struct lm_bpe_work {
    const lm_tokenizer *t;
    const lm_bpe *bpe;
    lm_ids *out;
    lm_text word; /* the piece as the vocabulary writes it */
    lm_merge_room room;
} lm_bpe_work;

/* The text as raw families see it: meta spaces, lower case. */
static int32_t rewrite(const lm_tokenizer *t, const char *text, size_t size, lm_text *out)
{
    for (size_t at = 0; at < size;) {
        uint32_t c;
        size_t length = lm_utf8_decode(text + at, size - at, &c);
        if (c == ' ' && t->escape_whitespaces) {
            LM_TRY(lm_text_append(out, LM_META_SPACE, LM_META_SPACE_SIZE));
        } else if (t->lowercase && lm_unicode_lower(c) != c) {
            char lower[4];
            LM_TRY(lm_text_append(out, lower, lm_utf8_encode(lm_unicode_lower(c), lower)));
        } else {
            LM_TRY(lm_text_append(out, text + at, length));
        }
        at += length;
    }
    return LLM_OK;
}

static int32_t find_whole(lm_bpe_work *w, const char *piece, size_t size, int32_t *id)
{
    if ((w->bpe->pre->flags & LM_PRE_RAW) != 0) {
        *id = lm_tokenizer_find(w->t, piece, size);
        return LLM_OK;
    }
    w->word.size = 0;
    for (size_t i = 0; i < size; i++) {
        char letter[4];
        LM_TRY(lm_text_append(&w->word, letter,
                              lm_utf8_encode(letter_of((unsigned char)piece[i]), letter)));
    }
    *id = lm_tokenizer_find(w->t, w->word.data, w->word.size);
    return LLM_OK;
}

/* Behind the ids already there: a symbol per byte or, in raw families, per character. */
static int32_t push_symbols(lm_bpe_work *w, const char *piece, size_t size)
{
    bool raw = (w->bpe->pre->flags & LM_PRE_RAW) != 0;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        size_t length = raw ? lm_utf8_decode(piece + at, size - at, &c) : 1;
        int32_t id = raw ? lm_tokenizer_find(w->t, piece + at, length) : -1;
        size_t end = at + length;
        if (id >= 0) {
            LM_TRY(lm_ids_push(w->out, id));
            at = end;
        }
        for (; at < end; at++)
            LM_TRY(lm_ids_push(w->out, w->bpe->bytes[(unsigned char)piece[at]]));
    }
    return LLM_OK;
}

static bool try_whole(const lm_bpe *bpe, const char *piece)
{
    return bpe->whole || ((bpe->pre->flags & LM_PRE_WHOLE_NEWLINES) != 0 && piece[0] == '\n');
}

static int32_t encode_piece(lm_bpe_work *w, const char *piece, size_t size)
{
    size_t from = w->out->count;
    if (try_whole(w->bpe, piece)) {
        int32_t id;
        LM_TRY(find_whole(w, piece, size, &id));
        if (id >= 0)
            return lm_ids_push(w->out, id);
    }
    LM_TRY(push_symbols(w, piece, size));
    size_t n = w->out->count - from;
    LM_TRY(lm_merges_apply(&w->bpe->merges, w->out->items + from, &n, &w->room));
    /* Bytes without a token are lost, as everywhere in the field. */
    size_t kept = from;
    for (size_t i = from; i < from + n; i++)
        if (w->out->items[i] >= 0)
            w->out->items[kept++] = w->out->items[i];
    w->out->count = kept;
    return LLM_OK;
}

static bool is_dropped(const lm_bpe *bpe, const char *piece, size_t size)
{
    uint32_t c;
    if ((bpe->pre->flags & LM_PRE_DROP_SPACE) == 0)
        return false;
    lm_utf8_decode(piece, size, &c);
    return (lm_unicode_class(c) & LM_CHAR_SPACE) != 0;
}

static int32_t encode(const lm_tokenizer *t, const char *text, size_t size, bool first,
                      bool after_special, lm_ids *ids)
{
    (void)first;
    (void)after_special;
    lm_bpe_work w = {.t = t, .bpe = t->state, .out = ids, .room = {.alloc = ids->alloc}};
    lm_text rewritten;
    lm_text_init(&w.word, ids->alloc);
    lm_text_init(&rewritten, ids->alloc);
    int32_t rc = LLM_OK;
    if (t->escape_whitespaces || t->lowercase) {
        LM_GO(rewrite(t, text, size, &rewritten));
        text = rewritten.data;
        size = rewritten.size;
    }
    lm_split split;
    lm_split_init(&split, w.bpe->pre->pattern, text, size);
    for (size_t start, end; lm_split_next(&split, &start, &end);)
        if (!is_dropped(w.bpe, text + start, end - start))
            LM_GO(encode_piece(&w, text + start, end - start));
out:
    lm_merge_room_finish(&w.room);
    lm_text_finish(&w.word);
    lm_text_finish(&rewritten);
    return rc;
}

/* --- ids to text ------------------------------------------------------------------------------ */

/* Letters to bytes; a text with other characters in it stands for itself. */
static int32_t append_letters(lm_str s, lm_text *out)
{
    size_t before = out->size;
    for (size_t at = 0; at < s.size;) {
        uint32_t c;
        at += lm_utf8_decode(s.data + at, s.size - at, &c);
        int byte = byte_of(c);
        if (byte < 0) {
            out->size = before;
            return lm_text_append(out, s.data, s.size);
        }
        char plain = (char)byte;
        LM_TRY(lm_text_append(out, &plain, 1));
    }
    return LLM_OK;
}

static int32_t piece(const lm_tokenizer *t, int32_t id, lm_text *out)
{
    const lm_bpe *bpe = t->state;
    lm_str s = t->tokens[id];
    if ((bpe->pre->flags & LM_PRE_RAW) != 0)
        return lm_pieces_append(t, bpe->bytes, id, out);
    int32_t byte = t->types[id] == LM_TOKEN_BYTE ? lm_pieces_byte(s) : -1;
    if (byte >= 0) {
        char plain = (char)byte;
        return lm_text_append(out, &plain, 1);
    }
    if (t->types[id] == LM_TOKEN_USER_DEFINED)
        return lm_text_append(out, s.data, s.size);
    return append_letters(s, out);
}

/* Off unless the vocabulary asks for it: the bytes of a text are to come back as they were. */
static int32_t tidy(const lm_tokenizer *t, lm_text *out, size_t start)
{
    if (t->clean_spaces)
        lm_pieces_clean(out, start);
    return LLM_OK;
}

#define BPE(name)                                                                                  \
    {                                                                                              \
        .model = (name), .create = create, .destroy = destroy, .encode = encode, .piece = piece,   \
        .tidy = tidy                                                                               \
    }

const lm_scheme lm_scheme_bpe = BPE("gpt2");
const lm_scheme lm_scheme_gemma4 = BPE("gemma4");
const lm_scheme lm_scheme_whitespace = BPE("whitespace");
