/* unigram.c - SentencePiece Unigram ("t5"): of all ways to cover the normalised text with tokens
 * the one with the best sum of scores, found from left to right. */
#include "text/charsmap.h"
#include "text/pieces.h"
#include "text/seams.h"
#include "text/trie.h"

#define UNKNOWN_PENALTY 10.0 /* below the worst token, by SentencePiece's definition */
#define SCORE_LIMIT     1e30 /* keeps sums finite whatever a file holds */

typedef struct unigram {
    lm_charsmap charsmap;
    lm_trie trie;
    double *scores; /* [n_tokens] finite */
    double unknown_score;
    int32_t bytes[256];
    lm_seams seams;
} unigram;

/* The best way to reach a place: by a token of `step` bytes, -1 being unknown text. */
typedef struct cell {
    double score;
    size_t step; /* 0: not reached */
    int32_t id;
} cell;

typedef struct work {
    const lm_tokenizer *t;
    const unigram *s;
    lm_ids *ids;
    lm_text text; /* normalised */
    cell *cells;  /* [capacity], one per byte of a segment and one more */
    size_t capacity;
    double score; /* of the word so far */
    bool unknown; /* the last id pushed was for text without a token */
} work;

/* What the normaliser makes of the start of `text`. */
static int32_t normalise_start(const unigram *s, const char *text, size_t size, size_t *used,
                               lm_str *out)
{
    LM_TRY(lm_charsmap_longest(&s->charsmap, text, size, used, out));
    if (*used != 0)
        return LLM_OK;
    uint32_t c;
    *used = lm_utf8_decode(text, size, &c);
    bool broken = *used == 1 && c == LM_UTF8_INVALID;
    *out = broken ? (lm_str){"\xef\xbf\xbd", 3} : (lm_str){text, *used};
    return LLM_OK;
}

static int32_t append_space(work *w)
{
    return w->t->escape_whitespaces ? lm_text_append(&w->text, LM_META_SPACE, LM_META_SPACE_SIZE)
                                    : lm_text_append(&w->text, " ", 1);
}

/* `*after_space`: spaces at the start of `part` are dropped, and whether it ends with one. */
static int32_t append_part(work *w, lm_str part, bool *after_space)
{
    size_t from = 0;
    bool merge = w->t->remove_extra_whitespaces;
    while (*after_space && from < part.size && part.data[from] == ' ')
        from++;
    for (size_t at = from; at < part.size; at++) {
        if (part.data[at] != ' ')
            continue;
        LM_TRY(lm_text_append(&w->text, part.data + from, at - from));
        LM_TRY(append_space(w));
        from = at + 1;
    }
    LM_TRY(lm_text_append(&w->text, part.data + from, part.size - from));
    if (part.size != 0)
        *after_space = merge && part.data[part.size - 1] == ' ';
    return LLM_OK;
}

static void drop_trailing_spaces(work *w)
{
    size_t size = w->t->escape_whitespaces ? LM_META_SPACE_SIZE : 1;
    const char *space = w->t->escape_whitespaces ? LM_META_SPACE : " ";
    while (w->text.size >= size && memcmp(w->text.data + w->text.size - size, space, size) == 0)
        w->text.size -= size;
}

static int32_t normalise(work *w, const char *text, size_t size)
{
    bool merge = w->t->remove_extra_whitespaces, after_space = merge, started = false;
    for (size_t at = 0; at < size;) {
        size_t used;
        lm_str part;
        LM_TRY(normalise_start(w->s, text + at, size - at, &used, &part));
        at += used;
        bool leading_space = merge && part.size == 1 && part.data[0] == ' ';
        if (!started && leading_space)
            continue;
        if (!started && w->t->add_space_prefix)
            LM_TRY(append_space(w));
        started = true;
        LM_TRY(append_part(w, part, &after_space));
    }
    if (merge)
        drop_trailing_spaces(w);
    return LLM_OK;
}

static void reach(cell *to, double score, size_t step, int32_t id)
{
    if (to->step == 0 || score > to->score)
        *to = (cell){score, step, id};
}

/* Extends the best way to `at` by every token that fits, and by its character as unknown text. */
static void extend(const work *w, const char *text, size_t size, size_t at, size_t character)
{
    const unigram *s = w->s;
    double score = w->cells[at].score;
    bool covered = false;
    uint32_t node = 0;
    for (size_t end = at; end < size; end++) {
        node = lm_trie_step(&s->trie, node, (unsigned char)text[end]);
        if (node == 0)
            break;
        int32_t id = s->trie.nodes[node].id;
        if (id < 0 || w->t->types[id] == LM_TOKEN_CONTROL) /* of late, by the rules */
            continue;
        size_t step = end + 1 - at;
        covered = covered || step == character;
        reach(&w->cells[at + step], score + s->scores[id], step, id);
    }
    if (!covered)
        reach(&w->cells[at + character], score + s->unknown_score, character, -1);
}

/* Turns the links back from the end into links onward from the start. */
static void turn_round(cell *cells, size_t size)
{
    size_t step = cells[size].step;
    int32_t id = cells[size].id;
    for (size_t at = size; at > 0;) {
        at -= step;
        cell next = {0, step, id};
        step = cells[at].step;
        id = cells[at].id;
        cells[at] = next;
    }
}

static int32_t encode_segment(work *w, const char *text, size_t size)
{
    if (size >= w->capacity) {
        void *items = w->cells;
        LM_TRY(lm_grow(w->ids->alloc, &items, &w->capacity, size + 1, sizeof *w->cells));
        w->cells = items;
    }
    /* Sums begin with each word, so that rounding between equal ones does not depend on the text.
     */
    if (lm_seam_edge_of(text, size).first == ' ')
        w->score = 0;
    for (size_t i = 0; i <= size; i++)
        w->cells[i] = (cell){w->score, 0, -1};
    for (size_t at = 0; at < size;) {
        size_t character = lm_seam_edge_of(text + at, size - at).size;
        extend(w, text, size, at, character);
        at += character;
    }
    w->score = w->cells[size].score;
    turn_round(w->cells, size);
    for (size_t at = 0; at < size;) {
        cell c = w->cells[at];
        if (c.id < 0) {
            lm_str unknown = {text + at, c.step};
            LM_TRY(lm_pieces_push_bytes(w->t, w->s->bytes, unknown, &w->unknown, w->ids));
        } else {
            LM_TRY(lm_ids_push(w->ids, c.id));
            w->unknown = false;
        }
        at += c.step;
    }
    return LLM_OK;
}

static int32_t encode_text(work *w)
{
    const char *text = w->text.data;
    size_t size = w->text.size, from = 0;
    lm_seam_edge left = {0};
    if (size == 0)
        return LLM_OK;
    for (size_t at = 0; at < size; at += left.size) {
        lm_seam_edge right = lm_seam_edge_of(text + at, size - at);
        if (at > 0 && lm_seam_between(&w->s->seams, left, right)) {
            LM_TRY(encode_segment(w, text + from, at - from));
            from = at;
        }
        left = right;
    }
    return encode_segment(w, text + from, size - from);
}

static int32_t unigram_encode(const lm_tokenizer *t, const char *text, size_t size, bool first,
                              bool after_special, lm_ids *ids)
{
    (void)first;
    (void)after_special;
    work w = {.t = t, .s = t->state, .ids = ids, .text = {.alloc = ids->alloc}};
    int32_t rc = LLM_OK;
    LM_GO(normalise(&w, text, size));
    LM_GO(encode_text(&w));
out:
    lm_text_finish(&w.text);
    lm_free_array(ids->alloc, w.cells, w.capacity, sizeof *w.cells);
    return rc;
}

/* Reads the scores of all tokens and finds the one for unknown text. */
static void set_scores(const lm_tokenizer *t, unigram *s)
{
    double worst = SCORE_LIMIT;
    for (uint32_t id = 0; id < t->n_tokens; id++) {
        double score = t->scores == NULL ? 0 : (double)t->scores[id];
        if (!(score >= -SCORE_LIMIT)) /* NaN too */
            score = -SCORE_LIMIT;
        if (score > SCORE_LIMIT)
            score = SCORE_LIMIT;
        s->scores[id] = score;
        if (t->types[id] == LM_TOKEN_NORMAL && score < worst)
            worst = score;
    }
    s->unknown_score = worst - UNKNOWN_PENALTY;
}

/* User-defined tokens are taken out of a text before it comes here. */
static int32_t build_trie(const lm_tokenizer *t, unigram *s)
{
    lm_trie_key *keys = LM_NEW_ARRAY(t->alloc, lm_trie_key, t->n_tokens);
    if (keys == NULL)
        return LLM_E_MEMORY;
    size_t n = 0;
    for (uint32_t id = 0; id < t->n_tokens; id++) {
        if (t->types[id] != LM_TOKEN_NORMAL)
            continue;
        keys[n++] = (lm_trie_key){t->tokens[id], (int32_t)id};
        lm_seams_add(&s->seams, t->tokens[id].data, t->tokens[id].size);
    }
    int32_t rc = lm_trie_check(keys, n);
    if (rc >= 0)
        rc = lm_trie_init(&s->trie, t->alloc, keys, n);
    lm_free_array(t->alloc, keys, t->n_tokens, sizeof *keys);
    return rc;
}

static int32_t unigram_create(lm_tokenizer *t, const lm_vocab *vocab)
{
    unigram *s = LM_NEW(t->alloc, unigram);
    if (s == NULL)
        return LLM_E_MEMORY;
    t->state = s;
    s->scores = LM_NEW_ARRAY(t->alloc, double, t->n_tokens);
    if (s->scores == NULL)
        return LLM_E_MEMORY;
    set_scores(t, s);
    LM_TRY(lm_pieces_find_bytes(t, s->bytes));
    LM_TRY(lm_charsmap_init(&s->charsmap, t->alloc, vocab->charsmap, vocab->charsmap_size));
    return build_trie(t, s);
}

static void unigram_destroy(lm_tokenizer *t)
{
    unigram *s = t->state;
    if (s == NULL)
        return;
    lm_trie_finish(&s->trie);
    lm_charsmap_finish(&s->charsmap);
    lm_free_array(t->alloc, s->scores, t->n_tokens, sizeof *s->scores);
    LM_DELETE(t->alloc, s);
}

static int32_t unigram_piece(const lm_tokenizer *t, int32_t id, lm_text *out)
{
    const unigram *s = t->state;
    return lm_pieces_append(t, s->bytes, id, out);
}

static int32_t unigram_tidy(const lm_tokenizer *t, lm_text *out, size_t start)
{
    if (t->add_space_prefix || t->remove_extra_whitespaces)
        lm_pieces_drop_spaces(out, start, t->remove_extra_whitespaces);
    return LLM_OK;
}

const lm_scheme lm_scheme_unigram = {
    .model = "t5",
    .add_eos = true,
    .escape_whitespaces = true,
    .specials = {{LM_SPECIAL_EOS, 1}, {LM_SPECIAL_UNK, 2}, {LM_SPECIAL_PAD, 0}},
    .n_specials = 3,
    .create = unigram_create,
    .destroy = unigram_destroy,
    .encode = unigram_encode,
    .piece = unigram_piece,
    .tidy = unigram_tidy,
};
