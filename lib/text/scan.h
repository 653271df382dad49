/* scan - reading characters with their classes inside a span, for the scanners. */
#ifndef LM_TEXT_SCAN_H
#define LM_TEXT_SCAN_H

#include "text/pretokenize.h"
#include "text/unicode.h"
#include "text/utf8.h"

typedef struct lm_char {
    uint32_t c;
    uint32_t bits;
    size_t length; /* 0: the span has ended, and no bit is set */
} lm_char;

static inline lm_char lm_char_at(const lm_span *span, size_t at)
{
    lm_char found = {0, 0, 0};
    if (at < span->end) {
        found.length = lm_utf8_decode(span->text + at, span->end - at, &found.c);
        found.bits = lm_unicode_class(found.c);
    }
    return found;
}

static inline bool lm_char_is(lm_char c, uint32_t any, uint32_t none)
{
    return (c.bits & any) != 0 && (c.bits & none) == 0;
}

static inline bool lm_char_is_newline(lm_char c)
{
    return c.length == 1 && (c.c == '\n' || c.c == '\r');
}

/* The end of the run of such characters that begins at `at`. */
static inline size_t lm_char_run(const lm_span *span, size_t at, uint32_t any, uint32_t none)
{
    for (;;) {
        lm_char c = lm_char_at(span, at);
        if (!lm_char_is(c, any, none))
            return at;
        at += c.length;
    }
}

#endif
