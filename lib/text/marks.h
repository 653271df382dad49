/* marks - finds the marked tokens ("<|im_start|>") in a text, in time linear in the text whatever
 * the tokens are: Aho-Corasick over reversed tokens, run from the end of the text, knows the
 * longest token that starts at each place. */
#ifndef LM_TEXT_MARKS_H
#define LM_TEXT_MARKS_H

#include "text/scheme.h"

typedef struct lm_mark {
    size_t start;
    int32_t id;
} lm_mark;

typedef struct lm_mark_list {
    lm_allocator *alloc;
    lm_mark *items;
    size_t count, capacity;
} lm_mark_list;

/* Over the control, unknown and user-defined tokens of `t`; NULL when it has none. */
int32_t lm_marks_create(const lm_tokenizer *t, lm_marks **out);
void lm_marks_destroy(lm_marks *marks);

/* Appends the longest mark at every place where one starts, last place first; they may overlap.
 * `control`: control and unknown tokens too, not only user-defined ones. */
int32_t lm_marks_find(const lm_marks *marks, const char *text, size_t size, bool control,
                      lm_mark_list *list);

#endif
