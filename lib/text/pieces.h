/* pieces - conventions of SentencePiece vocabularies that several schemes share: U+2581 in the
 * place of a space, "<0xNN>" for bytes that no token covers, the leading space of a decoded text.
 */
#ifndef LM_TEXT_PIECES_H
#define LM_TEXT_PIECES_H

#include "text/scheme.h"

#define LM_META_SPACE      "\xe2\x96\x81"
#define LM_META_SPACE_SIZE 3u

static inline bool lm_is_meta_space(const char *text, size_t size)
{
    return size >= LM_META_SPACE_SIZE && text[0] == '\xe2' && text[1] == '\x96' &&
           text[2] == '\x81';
}

/* Appends a token's text with its meta spaces as spaces. */
int32_t lm_pieces_append_spaced(lm_text *out, lm_str token);

/* The byte that "<0xNN>" stands for; -1: the text is something else. */
int32_t lm_pieces_byte(lm_str token);

/* Which token stands for each byte, -1: none. A byte token of another form is LLM_E_FORMAT. */
int32_t lm_pieces_find_bytes(const lm_tokenizer *t, int32_t bytes[256]);

/* Text without a token: its bytes where they have tokens; otherwise a run of unknown text is one
 * unknown token. `*unknown`: the last id pushed was that one; kept by the caller. */
int32_t lm_pieces_push_bytes(const lm_tokenizer *t, const int32_t bytes[256], lm_str text,
                             bool *unknown, lm_ids *ids);

/* The bytes of a token as lm_scheme.piece gives them. */
int32_t lm_pieces_append(const lm_tokenizer *t, const int32_t bytes[256], int32_t id, lm_text *out);

/* Takes the space off that encoding puts before a text (all: every leading space). */
void lm_pieces_drop_spaces(lm_text *out, size_t start, bool all);

/* Takes out the spaces that joining words put before punctuation and English contractions. */
void lm_pieces_clean(lm_text *out, size_t start);

#endif
