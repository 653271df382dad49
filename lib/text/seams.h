/* seams - where a text can be cut before it is tokenized: between two characters that no token has
 * side by side. What lies on the two sides never meets in a token, so each part is tokenized alone,
 * with the same result and in the processor's nearest memory. */
#ifndef LM_TEXT_SEAMS_H
#define LM_TEXT_SEAMS_H

#include "text/utf8.h"

#include <stdbool.h>

/* Characters are told apart by their last byte before a seam and their first behind it, white space
 * and its stand-in U+2581 being one. */
typedef struct lm_seams {
    uint8_t joined[256][32]; /* bit [last][first]: some token has them side by side */
} lm_seams;

/* A character as seams see it. */
typedef struct lm_seam_edge {
    unsigned char first, last;
    uint32_t size;
} lm_seam_edge;

static inline lm_seam_edge lm_seam_edge_of(const char *text, size_t size)
{
    unsigned char byte = (unsigned char)text[0];
    if (byte < 0x80)
        return (lm_seam_edge){byte, byte, 1};
    uint32_t c;
    uint32_t length = (uint32_t)lm_utf8_decode_long(text, size, &c);
    if (c == 0x2581)
        return (lm_seam_edge){' ', ' ', length};
    return (lm_seam_edge){byte, (unsigned char)text[length - 1], length};
}

/* All zeros: every place is a seam. */
void lm_seams_add(lm_seams *seams, const char *text, size_t size);

static inline bool lm_seam_between(const lm_seams *seams, lm_seam_edge left, lm_seam_edge right)
{
    return (seams->joined[left.last][right.first / 8] >> right.first % 8 & 1) == 0;
}

#endif
