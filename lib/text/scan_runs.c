/* scan_runs.c - the scanners of the smaller expressions: runs of one set, groups of digits and the
 * few that stand alone. */
#include "text/scan.h"

#include <string.h>

static bool in_ranges(const lm_char_set *set, uint32_t c)
{
    uint32_t low = 0, high = set->n_ranges; /* the first range that ends at c or behind */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->n_ranges && set->ranges[low].first <= c;
}

static bool in_set(const lm_char_set *set, lm_char c)
{
    if (c.length == 0)
        return false;
    bool in = lm_char_is(c, set->any, set->none) || in_ranges(set, c.c);
    return in != set->inverted;
}

/* The end of the run at `at`, or `at` when it is too short. */
static size_t run_of(const lm_run_rule *rule, const lm_span *span, size_t at)
{
    size_t end = at;
    size_t n = 0;
    for (; rule->most == 0 || n < rule->most; n++) {
        lm_char c = lm_char_at(span, end);
        if (!in_set(rule->set, c))
            break;
        end += c.length;
    }
    return n < rule->least ? at : end;
}

static size_t match_run(const lm_run_rule *rule, const lm_span *span, size_t at)
{
    lm_char c = lm_char_at(span, at);
    bool led = (rule->lead == LM_LEAD_BLANK && c.c == ' ') ||
               (rule->lead == LM_LEAD_SPACE && (c.bits & LM_CHAR_SPACE) != 0);
    if (led) {
        size_t end = run_of(rule, span, at + c.length);
        if (end > at + c.length)
            return end;
    }
    return run_of(rule, span, at);
}

size_t lm_stage_run(const void *rule, lm_span *span, size_t at)
{
    size_t end = match_run(rule, span, at);
    if (end > at)
        return end;
    do
        end += lm_char_at(span, end).length;
    while (end < span->end && match_run(rule, span, end) == end);
    return end;
}

/* --- digits in threes ------------------------------------------------------------------------- */

static size_t take(const lm_span *span, size_t at, uint32_t n)
{
    while (n-- > 0)
        at += lm_char_at(span, at).length;
    return at;
}

/* The next run of digits from `at` on that the rule groups; false: none. */
static bool find_digits(const lm_group_rule *rule, const lm_span *span, size_t at, size_t *start,
                        size_t *end, size_t *count)
{
    while (at < span->end) {
        lm_char c = lm_char_at(span, at);
        *start = at;
        for (*count = 0; (c.bits & rule->digits) != 0; ++*count) {
            at += c.length;
            c = lm_char_at(span, at);
        }
        *end = at;
        bool skip =
            (rule->before_end && (c.bits & LM_CHAR_WORD) != 0) || (rule->joined && *count < 3);
        if (*count > 0 && !skip)
            return true;
        at += c.length;
    }
    return false;
}

/* The memo is the end of the digits whose first cut has been given: threes follow. */
size_t lm_stage_groups(const void *rule, lm_span *span, size_t at)
{
    const lm_group_rule *r = rule;
    size_t from = at;
    for (;;) {
        if (at < span->memo) {
            from = take(span, at, 3);
            if (from < span->memo || !r->joined)
                return from;
        }
        size_t start, end, count;
        if (!find_digits(r, span, from, &start, &end, &count))
            return span->end;
        if (!r->joined && start > at)
            return start;
        span->memo = end;
        size_t cut = take(span, start, (uint32_t)(count % 3));
        if (cut > at)
            return cut;
    }
}

/* --- the others ------------------------------------------------------------------------------- */

/* Looks for the run that ends the span once: the memo is where it begins, plus one. */
size_t lm_stage_trailing_space(const void *rule, lm_span *span, size_t at)
{
    (void)rule;
    if (span->memo == 0) {
        size_t start = at;
        for (size_t p = at; p < span->end;) {
            lm_char c = lm_char_at(span, p);
            p += c.length;
            if ((c.bits & LM_CHAR_SPACE) == 0)
                start = p;
        }
        span->memo = start + 1;
    }
    size_t start = span->memo - 1;
    return at < start ? start : span->end;
}

static size_t line_end(const lm_span *span, size_t at)
{
    const char *text = span->text;
    if (at < span->end && text[at] == '\n')
        return 1;
    return span->end - at >= 2 && text[at] == '\r' && text[at + 1] == '\n' ? 2 : 0;
}

size_t lm_stage_lines(const void *rule, lm_span *span, size_t at)
{
    (void)rule;
    for (size_t n = line_end(span, at); n > 0; n = line_end(span, at))
        at += n;
    while (at < span->end && line_end(span, at) == 0)
        at++;
    return at;
}

/* A scanner by the length of its match, 0 for none. */
static size_t cut(size_t (*match)(const lm_span *span, size_t at), const lm_span *span, size_t at)
{
    size_t length = match(span, at);
    if (length > 0)
        return at + length;
    do
        at++;
    while (at < span->end && match(span, at) == 0);
    return at;
}

static size_t match_indent(const lm_span *span, size_t at)
{
    char c = span->text[at];
    if (c == '\t' || c == '\n')
        return 1;
    size_t n = 0;
    while (n < 4 && at + n < span->end && span->text[at + n] == ' ')
        n++;
    return n == 4 ? 4 : n >= 2 ? 2 : 0;
}

size_t lm_stage_indents(const void *rule, lm_span *span, size_t at)
{
    (void)rule;
    return cut(match_indent, span, at);
}

static bool begins_with(const lm_span *span, size_t at, const char *word, size_t length)
{
    return span->end - at >= length && memcmp(span->text + at, word, length) == 0;
}

static size_t match_sentinel(const lm_span *span, size_t at)
{
    static const char word[] = "<sentinel:";
    if (!begins_with(span, at, word, sizeof word - 1))
        return 0;
    size_t from = at + sizeof word - 1, end = from;
    while (end < span->end && span->text[end] >= '0' && span->text[end] <= '9')
        end++;
    return end > from && end < span->end && span->text[end] == '>' ? end + 1 - at : 0;
}

size_t lm_stage_sentinels(const void *rule, lm_span *span, size_t at)
{
    (void)rule;
    return cut(match_sentinel, span, at);
}

static size_t match_image(const lm_span *span, size_t at)
{
    static const char word[] = "IMGIMG";
    if (!begins_with(span, at, word, sizeof word - 1))
        return 0;
    size_t from = at + sizeof word - 1, end = from;
    while (end < span->end && end - from < 4 && span->text[end] >= 'A' && span->text[end] <= 'I')
        end++;
    return end > from && end < span->end && span->text[end] == 'Z' ? end + 1 - at : 0;
}

size_t lm_stage_images(const void *rule, lm_span *span, size_t at)
{
    (void)rule;
    return cut(match_image, span, at);
}
