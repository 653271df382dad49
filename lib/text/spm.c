/* spm.c - SentencePiece BPE ("llama"): of all neighbours whose texts together are a token, the pair
 * with the best score is joined first, the leftmost of equals, until none is left. */
#include "text/memo.h"
#include "text/pieces.h"
#include "text/seams.h"

#include <math.h>
#include <string.h>

#define NO_SYMBOL UINT32_MAX

typedef struct spm {
    int32_t bytes[256];
    lm_seams seams;
} spm;

/* A run of the segment's characters. Joining leaves the result in the left symbol; the right one is
 * dead then, but keeps what it was, because tokens that may not be used are taken apart again. */
typedef struct symbol {
    uint32_t start, size; /* bytes of the segment */
    uint32_t before, after;
    uint32_t joined; /* the right symbol of the last join into this one */
    uint32_t older;  /* of a dead symbol: what its left one had as `joined` before */
    int32_t id;      /* -1: no token, or a single character not yet looked up */
    bool dead;
} symbol;

typedef struct pair {
    float score;
    uint32_t left;
    uint32_t size; /* of both: tells a pair that has since changed */
    int32_t id;
} pair;

typedef struct work {
    const lm_tokenizer *t;
    const spm *s;
    lm_ids *ids;
    char *text; /* the segment, its spaces escaped */
    size_t size, text_capacity;
    symbol *symbols;
    size_t n_symbols, symbol_capacity;
    pair *heap; /* the best first */
    size_t n_heap, heap_capacity;
    bool unknown; /* the last id pushed was for text without a token */
    lm_memo memo; /* of segments that neither begin nor end in a run of unknown text */
} work;

/* A token that text may become: marked tokens and bytes are none. */
static int32_t find_token(const work *w, const char *text, size_t size)
{
    int32_t id = lm_tokenizer_find(w->t, text, size);
    if (id < 0)
        return -1;
    uint8_t type = w->t->types[id];
    if (type != LM_TOKEN_NORMAL && type != LM_TOKEN_USER_DEFINED && type != LM_TOKEN_UNUSED)
        return -1;
    int32_t byte = lm_pieces_byte(w->t->tokens[id]);
    return byte >= 0 && w->s->bytes[byte] == id ? -1 : id;
}

static bool is_better(const pair *a, const pair *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static int32_t push_pair(work *w, pair added)
{
    if (w->n_heap == w->heap_capacity) {
        void *items = w->heap;
        LM_TRY(lm_grow(w->ids->alloc, &items, &w->heap_capacity, w->n_heap + 1, sizeof *w->heap));
        w->heap = items;
    }
    size_t at = w->n_heap++;
    while (at > 0 && is_better(&added, &w->heap[(at - 1) / 2])) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = added;
    return LLM_OK;
}

static pair pop_pair(work *w)
{
    pair best = w->heap[0], moved = w->heap[--w->n_heap];
    size_t at = 0;
    for (size_t child = 1; child < w->n_heap; child = 2 * at + 1) {
        if (child + 1 < w->n_heap && is_better(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!is_better(&w->heap[child], &moved))
            break;
        w->heap[at] = w->heap[child];
        at = child;
    }
    w->heap[at] = moved;
    return best;
}

static int32_t try_pair(work *w, uint32_t left, uint32_t right)
{
    if (left == NO_SYMBOL || right == NO_SYMBOL)
        return LLM_OK;
    const symbol *l = &w->symbols[left];
    uint32_t size = l->size + w->symbols[right].size;
    int32_t id = find_token(w, w->text + l->start, size);
    if (id < 0)
        return LLM_OK;
    float score = w->t->scores == NULL ? 0.0f : w->t->scores[id];
    return push_pair(w, (pair){isnan(score) ? -INFINITY : score, left, size, id});
}

static int32_t split_segment(work *w, size_t segment)
{
    w->n_symbols = 0;
    for (size_t at = 0; at < segment;) {
        uint32_t i = (uint32_t)w->n_symbols;
        if (i == w->symbol_capacity) {
            void *items = w->symbols;
            LM_TRY(lm_grow(w->ids->alloc, &items, &w->symbol_capacity, w->n_symbols + 1,
                           sizeof *w->symbols));
            w->symbols = items;
        }
        uint32_t c, size = (uint32_t)lm_utf8_decode(w->text + at, segment - at, &c);
        w->symbols[i] = (symbol){.start = (uint32_t)at,
                                 .size = size,
                                 .before = i == 0 ? NO_SYMBOL : i - 1,
                                 .after = i + 1,
                                 .joined = NO_SYMBOL,
                                 .older = NO_SYMBOL,
                                 .id = -1};
        w->n_symbols++;
        at += size;
    }
    w->symbols[w->n_symbols - 1].after = NO_SYMBOL;
    return LLM_OK;
}

static int32_t join_best(work *w)
{
    pair best = pop_pair(w);
    symbol *left = &w->symbols[best.left];
    if (left->dead || left->after == NO_SYMBOL ||
        left->size + w->symbols[left->after].size != best.size)
        return LLM_OK;
    uint32_t right_at = left->after;
    symbol *right = &w->symbols[right_at];
    right->dead = true;
    right->older = left->joined;
    left->joined = right_at;
    left->size = best.size;
    left->id = best.id;
    left->after = right->after;
    if (left->after != NO_SYMBOL)
        w->symbols[left->after].before = best.left;
    LM_TRY(try_pair(w, left->before, best.left));
    return try_pair(w, best.left, left->after);
}

/* The id of a symbol, or -1. */
static int32_t id_of(const work *w, const symbol *s)
{
    return s->joined == NO_SYMBOL ? find_token(w, w->text + s->start, s->size) : s->id;
}

/* A joined token that may not be used is taken apart into what it was made of. The right parts wait
 * in a list that runs through the `after` of dead symbols. */
static int32_t push_symbol(work *w, uint32_t at)
{
    symbol piece = w->symbols[at];
    uint32_t waiting = NO_SYMBOL;
    piece.id = id_of(w, &piece);
    for (;;) {
        bool usable = piece.id >= 0 && w->t->types[piece.id] != LM_TOKEN_UNUSED;
        if (usable) {
            LM_TRY(lm_ids_push(w->ids, piece.id));
            w->unknown = false;
        } else if (piece.joined == NO_SYMBOL) {
            lm_str unknown = {w->text + piece.start, piece.size};
            LM_TRY(lm_pieces_push_bytes(w->t, w->s->bytes, unknown, &w->unknown, w->ids));
        } else {
            symbol *right = &w->symbols[piece.joined];
            right->after = waiting;
            waiting = piece.joined;
            piece.size -= right->size;
            piece.joined = right->older;
            piece.id = find_token(w, w->text + piece.start, piece.size);
            continue;
        }
        if (waiting == NO_SYMBOL)
            return LLM_OK;
        piece = w->symbols[waiting];
        waiting = piece.after;
        piece.id = id_of(w, &piece);
    }
}

static int32_t join_segment(work *w, size_t size)
{
    LM_TRY(split_segment(w, size));
    w->n_heap = 0;
    for (uint32_t i = 1; i < w->n_symbols; i++)
        LM_TRY(try_pair(w, i - 1, i));
    while (w->n_heap > 0)
        LM_TRY(join_best(w));
    for (uint32_t i = 0; i != NO_SYMBOL; i = w->symbols[i].after)
        LM_TRY(push_symbol(w, i));
    return LLM_OK;
}

static int32_t encode_segment(work *w)
{
    size_t size = w->size, before = w->ids->count;
    bool after_unknown = w->unknown;
    w->size = 0;
    if (size == 0)
        return LLM_OK;
    const lm_memo_entry *known = after_unknown ? NULL : lm_memo_find(&w->memo, w->text, size);
    if (known != NULL) {
        for (size_t i = 0; i < known->n_ids; i++)
            LM_TRY(lm_ids_push(w->ids, known->ids[i]));
        return LLM_OK;
    }
    LM_TRY(join_segment(w, size));
    if (!after_unknown && !w->unknown)
        lm_memo_keep(&w->memo, w->text, size, w->ids->items + before, w->ids->count - before);
    return LLM_OK;
}

static int32_t add_character(work *w, const char *text, size_t size)
{
    if (w->size > UINT32_MAX - 16)
        return lm_fail(LLM_E_LIMIT, "the text has a stretch of 4 GiB that cannot be cut; split it");
    if (w->size + size > w->text_capacity) {
        void *items = w->text;
        LM_TRY(lm_grow(w->ids->alloc, &items, &w->text_capacity, w->size + size, 1));
        w->text = items;
    }
    memcpy(w->text + w->size, text, size);
    w->size += size;
    return LLM_OK;
}

static int32_t add_space(work *w)
{
    return w->t->escape_whitespaces ? add_character(w, LM_META_SPACE, LM_META_SPACE_SIZE)
                                    : add_character(w, " ", 1);
}

static int32_t encode_text(work *w, const char *text, size_t size, bool prefix)
{
    lm_seam_edge left = {' ', ' ', 1};
    if (prefix)
        LM_TRY(add_space(w));
    for (size_t at = 0; at < size; at += left.size) {
        lm_seam_edge right = lm_seam_edge_of(text + at, size - at);
        if (lm_seam_between(&w->s->seams, left, right))
            LM_TRY(encode_segment(w));
        if (text[at] == ' ')
            LM_TRY(add_space(w));
        else
            LM_TRY(add_character(w, text + at, right.size));
        left = right;
    }
    return encode_segment(w);
}

static int32_t spm_encode(const lm_tokenizer *t, const char *text, size_t size, bool first,
                          bool after_special, lm_ids *ids)
{
    work w = {.t = t, .s = t->state, .ids = ids};
    int32_t rc = LLM_OK;
    LM_GO(lm_memo_init(&w.memo, ids->alloc, size));
    LM_GO(encode_text(&w, text, size, t->add_space_prefix && (first || after_special)));
out:
    lm_memo_finish(&w.memo);
    lm_free_array(ids->alloc, w.text, w.text_capacity, 1);
    lm_free_array(ids->alloc, w.symbols, w.symbol_capacity, sizeof *w.symbols);
    lm_free_array(ids->alloc, w.heap, w.heap_capacity, sizeof *w.heap);
    return rc;
}

static int32_t spm_create(lm_tokenizer *t, const lm_vocab *vocab)
{
    (void)vocab;
    spm *s = LM_NEW(t->alloc, spm);
    if (s == NULL)
        return LLM_E_MEMORY;
    t->state = s;
    LM_TRY(lm_pieces_find_bytes(t, s->bytes));
    for (uint32_t id = 0; id < t->n_tokens; id++)
        if (t->types[id] == LM_TOKEN_NORMAL || t->types[id] == LM_TOKEN_USER_DEFINED ||
            t->types[id] == LM_TOKEN_UNUSED)
            lm_seams_add(&s->seams, t->tokens[id].data, t->tokens[id].size);
    return LLM_OK;
}

static void spm_destroy(lm_tokenizer *t)
{
    lm_free(t->alloc, t->state, sizeof(spm));
}

static int32_t spm_piece(const lm_tokenizer *t, int32_t id, lm_text *out)
{
    const spm *s = t->state;
    return lm_pieces_append(t, s->bytes, id, out);
}

static int32_t spm_tidy(const lm_tokenizer *t, lm_text *out, size_t start)
{
    if (t->add_space_prefix)
        lm_pieces_drop_spaces(out, start, false);
    return LLM_OK;
}

const lm_scheme lm_scheme_spm = {
    .model = "llama",
    .add_bos = true,
    .add_space_prefix = true,
    .escape_whitespaces = true,
    .specials = {{LM_SPECIAL_BOS, 1}, {LM_SPECIAL_EOS, 2}, {LM_SPECIAL_UNK, 0}},
    .n_specials = 3,
    .create = spm_create,
    .destroy = spm_destroy,
    .encode = spm_encode,
    .piece = spm_piece,
    .tidy = spm_tidy,
};
