/* encode.c - whole texts to ids and back: special tokens here, plain text by the scheme. */
#include "text/marks.h"

/* Where an encoding stands. */
typedef struct walk {
    const lm_tokenizer *t;
    const char *text;
    size_t at;
    bool first, after_special;
    lm_ids *ids;
} walk;

static int32_t push_special(walk *w, int32_t id)
{
    w->after_special = true;
    return lm_ids_push(w->ids, id);
}

static int32_t encode_plain(walk *w, size_t end)
{
    if (end <= w->at)
        return LLM_OK;
    LM_TRY(w->t->scheme->encode(w->t, w->text + w->at, end - w->at, w->first, w->after_special,
                                w->ids));
    w->first = w->after_special = false;
    return LLM_OK;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int32_t encode_mark(walk *w, const lm_mark *mark, size_t size)
{
    unsigned strip = w->t->strips == NULL ? 0 : w->t->strips[mark->id];
    size_t end = mark->start;
    while ((strip & LM_STRIP_LEFT) != 0 && end > w->at && is_space(w->text[end - 1]))
        end--;
    LM_TRY(encode_plain(w, end));
    LM_TRY(push_special(w, mark->id));
    w->at = mark->start + w->t->tokens[mark->id].size;
    while ((strip & LM_STRIP_RIGHT) != 0 && w->at < size && is_space(w->text[w->at]))
        w->at++;
    return LLM_OK;
}

/* The leftmost mark, of those the longest, then on behind it. The list begins with the last. */
static int32_t encode_body(walk *w, size_t size, const lm_mark_list *marks)
{
    for (size_t i = marks->count; i-- > 0;)
        if (marks->items[i].start >= w->at)
            LM_TRY(encode_mark(w, &marks->items[i], size));
    return encode_plain(w, size);
}

static int32_t encode(const lm_tokenizer *t, const char *text, size_t size, uint32_t flags,
                      const lm_mark_list *marks, lm_ids *ids)
{
    walk w = {.t = t, .text = text, .first = true, .ids = ids};
    bool add = (flags & LM_ENCODE_ADD_SPECIAL) != 0;
    if (add && t->add_bos)
        LM_TRY(push_special(&w, t->special[LM_SPECIAL_BOS]));
    LM_TRY(encode_body(&w, size, marks));
    if (add && t->add_eos)
        LM_TRY(push_special(&w, t->special[LM_SPECIAL_EOS]));
    if (add && t->add_sep)
        LM_TRY(push_special(&w, t->special[LM_SPECIAL_SEP]));
    return LLM_OK;
}

int32_t lm_tokenizer_encode(const lm_tokenizer *t, const char *text, size_t size, uint32_t flags,
                            lm_ids *ids)
{
    size_t before = ids->count;
    lm_mark_list marks = {.alloc = ids->alloc};
    int32_t rc = LLM_OK;
    if (t->marks != NULL)
        LM_GO(lm_marks_find(t->marks, text, size, (flags & LM_ENCODE_PARSE_SPECIAL) != 0, &marks));
    LM_GO(encode(t, text, size, flags, &marks, ids));
out:
    if (rc < 0)
        ids->count = before;
    lm_free_array(marks.alloc, marks.items, marks.capacity, sizeof *marks.items);
    return rc;
}

int32_t lm_tokenizer_piece(const lm_tokenizer *t, int32_t id, uint32_t flags, lm_text *out)
{
    int32_t type = lm_tokenizer_type(t, id);
    if (type == 0)
        return lm_fail(LLM_E_INVALID, "there is no token %d: the vocabulary has %u", id,
                       t->n_tokens);
    if (type != LM_TOKEN_CONTROL && type != LM_TOKEN_UNKNOWN)
        return t->scheme->piece(t, id, out);
    if ((flags & LM_DECODE_SPECIAL) == 0)
        return LLM_OK;
    return lm_text_append(out, t->tokens[id].data, t->tokens[id].size);
}

int32_t lm_tokenizer_decode(const lm_tokenizer *t, const int32_t *ids, size_t n, uint32_t flags,
                            lm_text *out)
{
    size_t start = out->size;
    int32_t rc = LLM_OK;
    for (size_t i = 0; i < n; i++)
        LM_GO(lm_tokenizer_piece(t, ids[i], flags, out));
    if (t->scheme->tidy != NULL)
        LM_GO(t->scheme->tidy(t, out, start));
out:
    if (rc < 0)
        out->size = start;
    return rc;
}
