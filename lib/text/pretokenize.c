/* pretokenize.c - walks the stages of a pattern, depth first, without recursion. */
#include "text/pretokenize.h"

void lm_split_init(lm_split *split, const lm_pattern *pattern, const char *text, size_t size)
{
    *split = (lm_split){.pattern = pattern};
    split->levels[0].span = (lm_span){text, size, 0};
}

bool lm_split_next(lm_split *split, size_t *start, size_t *end)
{
    uint32_t level = split->level;
    while (split->levels[level].at == split->levels[level].span.end) {
        if (level == 0)
            return false;
        level--;
    }
    for (;; level++) {
        const lm_stage *stage = &split->pattern->stages[level];
        lm_span *span = &split->levels[level].span;
        size_t from = split->levels[level].at;
        size_t to = stage->next(stage->rule, span, from);
        split->levels[level].at = to;
        if (level + 1 == split->pattern->n_stages) {
            split->level = level;
            *start = from;
            *end = to;
            return true;
        }
        split->levels[level + 1].span = (lm_span){span->text, to, 0};
        split->levels[level + 1].at = from;
    }
}
