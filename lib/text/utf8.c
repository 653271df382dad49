/* utf8.c - see utf8.h. */
#include "text/utf8.h"

/* By the leading byte: how long, which bits are the character's, the smallest it may encode. */
typedef struct form {
    uint8_t length, bits;
    uint32_t least;
} form;

static form form_of(unsigned char lead)
{
    if (lead >= 0xc2 && lead <= 0xdf)
        return (form){2, 0x1f, 0x80};
    if (lead >= 0xe0 && lead <= 0xef)
        return (form){3, 0x0f, 0x800};
    if (lead >= 0xf0 && lead <= 0xf4)
        return (form){4, 0x07, 0x10000};
    return (form){0, 0, 0};
}

size_t lm_utf8_decode_long(const char *text, size_t size, uint32_t *out)
{
    const unsigned char *bytes = (const unsigned char *)text;
    if (bytes[0] < 0x80) {
        *out = bytes[0];
        return 1;
    }
    form f = form_of(bytes[0]);
    *out = LM_UTF8_INVALID;
    if (f.length == 0 || f.length > size)
        return 1;
    uint32_t c = bytes[0] & f.bits;
    for (size_t i = 1; i < f.length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 1;
        c = c << 6 | (bytes[i] & 0x3f);
    }
    if (c < f.least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 1;
    *out = c;
    return f.length;
}

size_t lm_utf8_encode(uint32_t character, char out[4])
{
    uint32_t c = character;
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        c = LM_UTF8_INVALID;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}
