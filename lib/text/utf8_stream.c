/* utf8_stream.c - joins pieces of text and lets only whole characters through. What can never
 * become one is replaced by U+FFFD, once per maximal subpart of a character, as in the WHATWG
 * decoder. */
#include "text/tokenizer.h"

#include <string.h>

typedef enum verdict { WHOLE, UNFINISHED, BROKEN } verdict;

/* The bytes that may follow a leading one directly; all later ones are 80 to BF. */
static const struct lead {
    unsigned char first, last, length, low, high;
} leads[] = {
    {0x00, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

/* Looks at the character that begins at `bytes`, size > 0; `length`: of what the verdict is about.
 */
static verdict judge(const unsigned char *bytes, size_t size, size_t *length)
{
    const struct lead *lead = NULL;
    for (size_t i = 0; i < sizeof leads / sizeof *leads && lead == NULL; i++)
        if (bytes[0] >= leads[i].first && bytes[0] <= leads[i].last)
            lead = &leads[i];
    *length = 1;
    if (lead == NULL)
        return BROKEN;
    for (; *length < lead->length; ++*length) {
        if (*length == size)
            return UNFINISHED;
        unsigned char low = *length == 1 ? lead->low : 0x80;
        unsigned char high = *length == 1 ? lead->high : 0xbf;
        if (bytes[*length] < low || bytes[*length] > high)
            return BROKEN;
    }
    return WHOLE;
}

static int32_t append_broken(lm_text *out)
{
    return lm_text_append(out, "\xef\xbf\xbd", 3);
}

/* Finishes the held character with bytes of `data`; `used`: how many of them it took. */
static int32_t push_held(lm_utf8_stream *s, const char *data, size_t size, size_t *used,
                         lm_text *out)
{
    *used = 0;
    while (s->n_held > 0 && *used < size) {
        unsigned char bytes[5];
        size_t length;
        memcpy(bytes, s->held, s->n_held);
        bytes[s->n_held] = (unsigned char)data[*used];
        verdict v = judge(bytes, s->n_held + 1u, &length);
        if (v == UNFINISHED)
            s->held[s->n_held++] = (unsigned char)data[(*used)++];
        else if (v == WHOLE) {
            LM_TRY(lm_text_append(out, bytes, length));
            s->n_held = 0;
            ++*used;
        } else {
            LM_TRY(append_broken(out));
            s->n_held = 0;
        }
    }
    return LLM_OK;
}

/* With nothing held. */
static int32_t push_rest(lm_utf8_stream *s, const char *data, size_t size, lm_text *out)
{
    size_t from = 0, at = 0; /* [from, at) is well formed and not yet passed on */
    while (at < size) {
        size_t length = 1;
        verdict v = (unsigned char)data[at] < 0x80
                        ? WHOLE
                        : judge((const unsigned char *)data + at, size - at, &length);
        if (v == WHOLE) {
            at += length;
            continue;
        }
        LM_TRY(lm_text_append(out, data + from, at - from));
        if (v == BROKEN)
            LM_TRY(append_broken(out));
        else {
            memcpy(s->held, data + at, length);
            s->n_held = (uint32_t)length;
        }
        at += length;
        from = at;
    }
    return lm_text_append(out, data + from, at - from);
}

static int32_t push(lm_utf8_stream *s, const char *data, size_t size, bool last, lm_text *out)
{
    size_t used;
    LM_TRY(push_held(s, data, size, &used, out));
    if (used < size)
        LM_TRY(push_rest(s, data + used, size - used, out));
    if (last && s->n_held > 0) {
        LM_TRY(append_broken(out));
        s->n_held = 0;
    }
    return LLM_OK;
}

int32_t lm_utf8_stream_push(lm_utf8_stream *s, const char *data, size_t size, bool last,
                            lm_text *out)
{
    lm_utf8_stream next = *s;
    size_t before = out->size;
    if (next.n_held > 3)
        return lm_fail(LLM_E_INVALID, "the UTF-8 stream was not started with zeros");
    int32_t rc = push(&next, data, size, last, out);
    if (rc < 0)
        out->size = before;
    else
        *s = next;
    return rc;
}
