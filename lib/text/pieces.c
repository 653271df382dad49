/* pieces.c - see pieces.h. */
#include "text/pieces.h"

#include <string.h>

int32_t lm_pieces_append_spaced(lm_text *out, lm_str token)
{
    size_t from = 0, before = out->size;
    int32_t rc = LLM_OK;
    for (size_t at = 0; at < token.size; at++) {
        if (!lm_is_meta_space(token.data + at, token.size - at))
            continue;
        LM_GO(lm_text_append(out, token.data + from, at - from));
        LM_GO(lm_text_append(out, " ", 1));
        from = at + LM_META_SPACE_SIZE;
    }
    LM_GO(lm_text_append(out, token.data + from, token.size - from));
out:
    if (rc < 0)
        out->size = before;
    return rc;
}

static int32_t hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int32_t lm_pieces_byte(lm_str token)
{
    if (token.size != 6 || memcmp(token.data, "<0x", 3) != 0 || token.data[5] != '>')
        return -1;
    int32_t high = hex_digit(token.data[3]), low = hex_digit(token.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

int32_t lm_pieces_find_bytes(const lm_tokenizer *t, int32_t bytes[256])
{
    for (int i = 0; i < 256; i++)
        bytes[i] = -1;
    for (uint32_t id = 0; id < t->n_tokens; id++) {
        int32_t byte = lm_pieces_byte(t->tokens[id]);
        if (t->types[id] == LM_TOKEN_BYTE && byte < 0)
            return lm_fail(LLM_E_FORMAT,
                           "token %u is a byte, but its text is not of the form <0xNN>", id);
        /* Some files declare their byte tokens as normal ones. */
        if (byte >= 0 && (t->types[id] == LM_TOKEN_BYTE || t->types[id] == LM_TOKEN_NORMAL))
            bytes[byte] = (int32_t)id;
    }
    return LLM_OK;
}

int32_t lm_pieces_push_bytes(const lm_tokenizer *t, const int32_t bytes[256], lm_str text,
                             bool *unknown, lm_ids *ids)
{
    for (size_t i = 0; i < text.size; i++) {
        int32_t id = bytes[(unsigned char)text.data[i]];
        bool was_unknown = *unknown;
        *unknown = id < 0;
        if (*unknown)
            id = was_unknown ? -1 : t->special[LM_SPECIAL_UNK];
        if (id >= 0)
            LM_TRY(lm_ids_push(ids, id));
    }
    return LLM_OK;
}

int32_t lm_pieces_append(const lm_tokenizer *t, const int32_t bytes[256], int32_t id, lm_text *out)
{
    int32_t byte = lm_pieces_byte(t->tokens[id]);
    if (byte >= 0 && (t->types[id] == LM_TOKEN_BYTE || bytes[byte] == id)) {
        char c = (char)byte;
        return lm_text_append(out, &c, 1);
    }
    if (t->types[id] == LM_TOKEN_USER_DEFINED) /* found in texts as it stands, given back so */
        return lm_text_append(out, t->tokens[id].data, t->tokens[id].size);
    return lm_pieces_append_spaced(out, t->tokens[id]);
}

void lm_pieces_drop_spaces(lm_text *out, size_t start, bool all)
{
    size_t end = start;
    while (end < out->size && out->data[end] == ' ' && (all || end == start))
        end++;
    if (end == start)
        return;
    memmove(out->data + start, out->data + end, out->size - end);
    out->size -= end - start;
}

/* One after the other over the whole text, as the models' publishers do it. */
static const struct clean_rule {
    const char *from, *to;
} clean_rules[] = {
    {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

void lm_pieces_clean(lm_text *out, size_t start)
{
    for (size_t r = 0; r < sizeof clean_rules / sizeof *clean_rules; r++) {
        const char *from = clean_rules[r].from, *to = clean_rules[r].to;
        size_t from_size = strlen(from), to_size = strlen(to), end = start;
        for (size_t at = start; at < out->size;) {
            if (out->size - at >= from_size && memcmp(out->data + at, from, from_size) == 0) {
                memcpy(out->data + end, to, to_size);
                end += to_size;
                at += from_size;
            } else {
                out->data[end++] = out->data[at++];
            }
        }
        if (end < out->size)
            out->size = end;
    }
}
