/* unicode - what the tokenizers must know about characters: general categories as bits, a few
 * properties, simple case mapping, canonical decomposition. make_unicode.py makes the tables. */
#ifndef LM_TEXT_UNICODE_H
#define LM_TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LM_CHAR_LU = 1u << 0, /* letters: upper, lower, title case, modifier, other */
    LM_CHAR_LL = 1u << 1,
    LM_CHAR_LT = 1u << 2,
    LM_CHAR_LM = 1u << 3,
    LM_CHAR_LO = 1u << 4,
    LM_CHAR_MN = 1u << 5, /* marks: without width; the others */
    LM_CHAR_MC = 1u << 6, /* Mc and Me */
    LM_CHAR_ND = 1u << 7, /* numbers: decimal, letter, other */
    LM_CHAR_NL = 1u << 8,
    LM_CHAR_NO = 1u << 9,
    LM_CHAR_PC = 1u << 10, /* punctuation: connectors; the others */
    LM_CHAR_PO = 1u << 11,
    LM_CHAR_S = 1u << 12,     /* symbols */
    LM_CHAR_Z = 1u << 13,     /* separators */
    LM_CHAR_CC = 1u << 14,    /* control characters */
    LM_CHAR_CF = 1u << 15,    /* formatting */
    LM_CHAR_CX = 1u << 16,    /* private, surrogate, unassigned */
    LM_CHAR_SPACE = 1u << 17, /* White_Space, which is not quite Z */
    LM_CHAR_HAN = 1u << 18,   /* of that script */
    LM_CHAR_WORD = 1u << 19,  /* \w: alphabetic, mark, decimal, connector, six more */

    LM_CHAR_L = LM_CHAR_LU | LM_CHAR_LL | LM_CHAR_LT | LM_CHAR_LM | LM_CHAR_LO,
    LM_CHAR_M = LM_CHAR_MN | LM_CHAR_MC,
    LM_CHAR_N = LM_CHAR_ND | LM_CHAR_NL | LM_CHAR_NO,
    LM_CHAR_P = LM_CHAR_PC | LM_CHAR_PO,
};

extern const uint32_t lm_unicode_ascii[128];
uint32_t lm_unicode_class_long(uint32_t c);

/* The bits of a character. */
static inline uint32_t lm_unicode_class(uint32_t c)
{
    return c < 128 ? lm_unicode_ascii[c] : lm_unicode_class_long(c);
}

/* Simple case mapping: one character, or itself. */
uint32_t lm_unicode_lower(uint32_t c);
uint32_t lm_unicode_upper(uint32_t c);

#define LM_DECOMPOSED_MAX 4

/* The full canonical decomposition, of syllables of Hangul too; how many characters, 1 to 4. */
uint32_t lm_unicode_decompose(uint32_t c, uint32_t out[LM_DECOMPOSED_MAX]);

#endif
