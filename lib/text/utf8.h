/* utf8 - one character at a time, bounded. */
#ifndef LM_TEXT_UTF8_H
#define LM_TEXT_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define LM_UTF8_INVALID 0xfffdu

/* The character at `text`, of which `size` > 0 bytes can be read, and how many bytes it has. A byte
 * that begins no well-formed character (overlong and surrogate forms are none) is U+FFFD, 1 long;
 * U+FFFD itself is 3 long. */
size_t lm_utf8_decode_long(const char *text, size_t size, uint32_t *out);

static inline size_t lm_utf8_decode(const char *text, size_t size, uint32_t *out)
{
    if ((unsigned char)text[0] < 0x80) {
        *out = (unsigned char)text[0];
        return 1;
    }
    return lm_utf8_decode_long(text, size, out);
}

/* Bytes written, 1 to 4. Numbers that are no character are written as U+FFFD. */
size_t lm_utf8_encode(uint32_t character, char out[4]);

#endif
