/* pretokenize - cuts text into the pieces that byte-level BPE merges within.
 *
 * The field describes this with regular expressions. Here each description is a row of stages; a
 * stage is a hand-written scanner with a small rule, takes time linear in its text, and neither
 * recurses nor allocates. Every stage cuts each piece of the one before it into its matches and
 * what lies between them. Bytes that are no UTF-8 count as a symbol each. */
#ifndef LM_TEXT_PRETOKENIZE_H
#define LM_TEXT_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of characters: those with one of the bits `any` and none of `none` (LM_CHAR_...), and those
 * in the sorted ranges; `inverted`: all others. */
typedef struct lm_char_range {
    uint32_t first, last;
} lm_char_range;

typedef struct lm_char_set {
    uint32_t any, none;
    const lm_char_range *ranges;
    uint32_t n_ranges;
    bool inverted;
} lm_char_set;

/* From `least` to `most` (0: any number) characters of the set, behind an optional one. */
enum {
    LM_LEAD_NONE,
    LM_LEAD_BLANK, /* " ?" */
    LM_LEAD_SPACE, /* "\s?" */
};

typedef struct lm_run_rule {
    const lm_char_set *set;
    uint32_t lead, least, most;
} lm_run_rule;

/* Digits in threes, counted from the right. */
typedef struct lm_group_rule {
    uint32_t digits; /* LM_CHAR_... that count as digits */
    bool before_end; /* only digits that end a word: "1234abc" stays whole */
    bool joined;     /* what is left of a number stays with what is before it: "a1", "234" */
} lm_group_rule;

enum {
    LM_CONTRACTION_NONE,
    LM_CONTRACTION_LOWER, /* 's */
    LM_CONTRACTION_ANY,   /* 's 'S */
};

enum {
    LM_TAIL_NONE,
    LM_TAIL_NEWLINES, /* [\r\n]* */
    LM_TAIL_SLASHES,  /* [\r\n/]* */
    LM_TAIL_ONE,      /* [\r\n/]? */
};

typedef struct lm_words_rule lm_words_rule;
typedef struct lm_span lm_span;

/* The alternatives of the usual large expression, tried in the order of this list. */
struct lm_words_rule {
    bool han;            /* [\p{Han}]+ */
    bool marked_word;    /* one of the ASCII punctuation marks and [A-Za-z]+ */
    uint8_t contraction; /* '(s|t|re|ve|m|ll|d) */
    /* A word: one of the functions of scan_words.c, and what may stand before its letters. */
    size_t (*word)(const lm_words_rule *rule, const lm_span *span, size_t at);
    uint32_t letters, letters_none;
    bool lead_blank; /* a blank, else any character but line ends and `lead_none` */
    uint32_t lead_none;
    uint8_t suffix; /* a contraction that ends a word */
    bool numbers;   /* " "? if number_blank, then \p{N}{1,most} */
    bool number_blank;
    uint32_t number_most;         /* 0: any number */
    uint32_t mark_any, mark_none; /* " "? and these, then the tail */
    uint8_t tail;
    bool newlines; /* \s*[\r\n]+ */
    bool halving;  /* spaces in powers of two, else \s+(?!\S)|\s+ */
};

size_t lm_word_plain(const lm_words_rule *rule, const lm_span *span, size_t at);
size_t lm_word_cased(const lm_words_rule *rule, const lm_span *span, size_t at);
size_t lm_word_phrase(const lm_words_rule *rule, const lm_span *span, size_t at);

/* What a stage works on: the bytes up to `end`. `memo` is the stage's own note on how far it has
 * looked ahead, 0 at the start of a span. */
struct lm_span {
    const char *text;
    size_t end, memo;
};

typedef struct lm_stage {
    /* The end of the piece that begins at `at`; beyond `at`, at most span->end. */
    size_t (*next)(const void *rule, lm_span *span, size_t at);
    const void *rule;
} lm_stage;

size_t lm_stage_words(const void *rule, lm_span *span, size_t at);          /* lm_words_rule */
size_t lm_stage_run(const void *rule, lm_span *span, size_t at);            /* lm_run_rule */
size_t lm_stage_groups(const void *rule, lm_span *span, size_t at);         /* lm_group_rule */
size_t lm_stage_trailing_space(const void *rule, lm_span *span, size_t at); /* \s+$ */
/* Cuts before runs of \r?\n. */
size_t lm_stage_lines(const void *rule, lm_span *span, size_t at);
size_t lm_stage_indents(const void *rule, lm_span *span, size_t at);   /* [\t\n] or 4 or 2 blanks */
size_t lm_stage_sentinels(const void *rule, lm_span *span, size_t at); /* <sentinel:[0-9]+> */
size_t lm_stage_images(const void *rule, lm_span *span, size_t at);    /* IMGIMG[A-I]{1,4}Z */

#define LM_MAX_STAGES 6u

typedef struct lm_pattern {
    lm_stage stages[LM_MAX_STAGES];
    uint32_t n_stages;
} lm_pattern;

enum {
    LM_PRE_WHOLE = 1u << 0, /* a piece that is a token is that token, whatever the merges say */
    LM_PRE_BOS = 1u << 1,   /* a BOS goes before texts unless the file says otherwise */
    LM_PRE_ALWAYS_BOS = 1u << 2,     /* and even then */
    LM_PRE_RAW = 1u << 3,            /* merges characters, not bytes; bytes are tokens "<0x0A>" */
    LM_PRE_META_SPACE = 1u << 4,     /* spaces are U+2581 */
    LM_PRE_WHOLE_NEWLINES = 1u << 5, /* LM_PRE_WHOLE for pieces of line feeds */
    LM_PRE_DROP_SPACE = 1u << 6,     /* white space separates and is not encoded */
};

/* One row per name that tokenizer.ggml.pre may have. */
typedef struct lm_pretokenizer {
    const char *name;
    const lm_pattern *pattern;
    uint32_t flags; /* LM_PRE_... */
} lm_pretokenizer;

const lm_pretokenizer *lm_pretokenizer_find(const char *name); /* NULL: unknown */
const lm_pretokenizer *lm_pretokenizer_at(size_t index);       /* NULL: past the last */

/* The pieces of a text, one after the other. */
typedef struct lm_split {
    const lm_pattern *pattern;
    struct {
        lm_span span;
        size_t at;
    } levels[LM_MAX_STAGES];
    uint32_t level;
} lm_split;

void lm_split_init(lm_split *split, const lm_pattern *pattern, const char *text, size_t size);
bool lm_split_next(lm_split *split, size_t *start, size_t *end); /* false: no more */

#endif
