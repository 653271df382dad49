/* scan_words.c - the scanner of the large expressions: words, numbers, marks and white space. */
#include "text/scan.h"

/* --- contractions ----------------------------------------------------------------------------- */

/* Folds ASCII and the one other character that folds to a letter of the contractions. */
static uint32_t fold(lm_char c, bool any_case)
{
    if (!any_case || c.length == 0)
        return c.c;
    return c.c == 0x17f ? 's' : lm_unicode_lower(c.c);
}

static size_t contraction(uint8_t kind, const lm_span *span, size_t at)
{
    bool any_case = kind == LM_CONTRACTION_ANY;
    if (kind == LM_CONTRACTION_NONE || at >= span->end || span->text[at] != '\'')
        return at;
    lm_char first = lm_char_at(span, at + 1);
    uint32_t a = fold(first, any_case);
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 1 + first.length;
    lm_char second = lm_char_at(span, at + 1 + first.length);
    uint32_t b = fold(second, any_case);
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return at + 1 + first.length + second.length;
    return at;
}

/* --- words ------------------------------------------------------------------------------------ */

/* May `c` stand before the letters of a word? */
static bool leads(const lm_words_rule *rule, lm_char c)
{
    if (c.length == 0)
        return false;
    if (rule->lead_blank)
        return c.c == ' ';
    return !lm_char_is_newline(c) && (c.bits & rule->lead_none) == 0;
}

size_t lm_word_plain(const lm_words_rule *rule, const lm_span *span, size_t at)
{
    lm_char c = lm_char_at(span, at);
    if (leads(rule, c)) {
        size_t end = lm_char_run(span, at + c.length, rule->letters, rule->letters_none);
        if (end > at + c.length)
            return end;
    }
    return lm_char_run(span, at, rule->letters, rule->letters_none);
}

#define UPPER (LM_CHAR_LU | LM_CHAR_LT | LM_CHAR_LM | LM_CHAR_LO | LM_CHAR_M)
#define LOWER (LM_CHAR_LL | LM_CHAR_LM | LM_CHAR_LO | LM_CHAR_M)

/* upper*lower+ from `at`; gives back what upper* took where nothing lower follows it. *upper_end is
 * where the upper run ended: upper+lower* when there is no match. */
static size_t upper_then_lower(const lm_words_rule *rule, const lm_span *span, size_t at,
                               size_t *upper_end)
{
    size_t from = at, both_end = at;
    lm_char c = lm_char_at(span, at);
    while (lm_char_is(c, UPPER, rule->letters_none)) {
        at += c.length;
        if ((c.bits & LOWER) != 0)
            both_end = at;
        c = lm_char_at(span, at);
    }
    *upper_end = at;
    size_t end = lm_char_run(span, at, LOWER, rule->letters_none);
    if (end > at)
        return end;
    return both_end > from ? both_end : from;
}

/* The word of the case-aware expressions, in the order in which they try: a character before it and
 * upper*lower+, without that character, then both for upper+lower*. */
static size_t cased(const lm_words_rule *rule, const lm_span *span, size_t at)
{
    lm_char c = lm_char_at(span, at);
    size_t behind = at + c.length, upper_behind = behind, upper;
    bool led = leads(rule, c);
    if (led) {
        size_t end = upper_then_lower(rule, span, behind, &upper_behind);
        if (end > behind)
            return end;
    }
    size_t end = upper_then_lower(rule, span, at, &upper);
    if (end > at)
        return end;
    return led && upper_behind > behind ? upper_behind : upper;
}

size_t lm_word_cased(const lm_words_rule *rule, const lm_span *span, size_t at)
{
    size_t end = cased(rule, span, at);
    return end > at ? contraction(rule->suffix, span, end) : at;
}

/* Letters with their marks, single blanks between them allowed. */
size_t lm_word_phrase(const lm_words_rule *rule, const lm_span *span, size_t at)
{
    lm_char c = lm_char_at(span, at);
    size_t from = leads(rule, c) ? at + c.length : at;
    size_t end = from;
    for (;;) {
        lm_char next = lm_char_at(span, end);
        if (next.c == ' ' && end > from && (lm_char_at(span, end + 1).bits & LM_CHAR_L) != 0)
            next = lm_char_at(span, ++end);
        if ((next.bits & LM_CHAR_L) == 0)
            return end > from ? end : at;
        end = lm_char_run(span, end + next.length, LM_CHAR_M, 0);
    }
}

static size_t marked_word(const lm_span *span, size_t at)
{
    unsigned char c = (unsigned char)span->text[at];
    if (c < 0x21 || c > 0x7e || (lm_unicode_ascii[c] & (LM_CHAR_P | LM_CHAR_S)) == 0)
        return at;
    size_t end = at + 1;
    while (end < span->end && (unsigned char)span->text[end] < 0x80 &&
           (lm_unicode_ascii[(unsigned char)span->text[end]] & LM_CHAR_L) != 0)
        end++;
    return end > at + 1 ? end : at;
}

/* --- numbers and marks ------------------------------------------------------------------------ */

static size_t number(const lm_words_rule *rule, const lm_span *span, size_t at)
{
    if (!rule->numbers)
        return at;
    size_t from = at;
    if (rule->number_blank && span->text[at] == ' ')
        from++;
    size_t end = from;
    lm_char c = lm_char_at(span, end);
    for (uint32_t n = 0; (c.bits & LM_CHAR_N) != 0; n++) {
        if (rule->number_most != 0 && n == rule->number_most)
            break;
        end += c.length;
        c = lm_char_at(span, end);
    }
    return end > from ? end : at;
}

static size_t tail(uint8_t kind, const lm_span *span, size_t at)
{
    size_t end = at;
    while (kind != LM_TAIL_NONE && end < span->end) {
        char c = span->text[end];
        if (c != '\r' && c != '\n' && (c != '/' || kind == LM_TAIL_NEWLINES))
            break;
        end++;
        if (kind == LM_TAIL_ONE)
            break;
    }
    return end;
}

static size_t marks(const lm_words_rule *rule, const lm_span *span, size_t at)
{
    size_t from = span->text[at] == ' ' ? at + 1 : at;
    size_t end = lm_char_run(span, from, rule->mark_any, rule->mark_none);
    return end > from ? tail(rule->tail, span, end) : at;
}

/* --- white space ------------------------------------------------------------------------------ */

/* The longest of 512, 256, ... 4, 2, 1 spaces with no other character behind them; else one. */
static size_t halve(const lm_span *span, size_t at)
{
    enum { MOST = 512 };
    uint32_t n = 0;
    for (size_t p = at; n <= MOST; n++) {
        lm_char c = lm_char_at(span, p);
        if ((c.bits & LM_CHAR_SPACE) == 0) {
            /* `n` are left; all of them may only be taken at the end of the text */
            n -= n > 0 && c.length != 0;
            break;
        }
        p += c.length;
    }
    uint32_t take = MOST;
    while (take > n && take > 1)
        take /= 2;
    for (; take > 0; take--)
        at += lm_char_at(span, at).length;
    return at;
}

/* \s*[\r\n]+ if the rule has it, then \s+(?!\S)|\s+ or the halving form. The memo is the end of a
 * run without line ends, so that many small steps through a long run look ahead once. */
static size_t spaces(const lm_words_rule *rule, lm_span *span, size_t at)
{
    if (at < span->memo && rule->halving)
        return halve(span, at);
    size_t end = at, last = at, newline_end = at;
    lm_char c = lm_char_at(span, at);
    while ((c.bits & LM_CHAR_SPACE) != 0) {
        last = end;
        end += c.length;
        if (lm_char_is_newline(c))
            newline_end = end;
        c = lm_char_at(span, end);
    }
    if (rule->newlines && newline_end > at)
        return newline_end;
    span->memo = end;
    if (end == at)
        return at;
    if (rule->halving)
        return halve(span, at);
    return end < span->end && last > at ? last : end;
}

/* --- the scanner ------------------------------------------------------------------------------ */

/* The end of the match at `at`, or `at`. */
static size_t match(const lm_words_rule *rule, lm_span *span, size_t at)
{
    size_t end = at;
    if (rule->han && (end = lm_char_run(span, at, LM_CHAR_HAN, 0)) > at)
        return end;
    if (rule->marked_word && (end = marked_word(span, at)) > at)
        return end;
    if ((end = contraction(rule->contraction, span, at)) > at)
        return end;
    if ((end = rule->word(rule, span, at)) > at)
        return end;
    if ((end = number(rule, span, at)) > at)
        return end;
    if ((end = marks(rule, span, at)) > at)
        return end;
    return spaces(rule, span, at);
}

size_t lm_stage_words(const void *rule, lm_span *span, size_t at)
{
    size_t end = match(rule, span, at);
    if (end > at)
        return end;
    do
        end += lm_char_at(span, end).length;
    while (end < span->end && match(rule, span, end) == end);
    return end;
}
