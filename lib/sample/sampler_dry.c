/* sampler_dry.c - "don't repeat yourself": a token that would prolong a repetition of what was said
 * before is made less likely, by multiplier * base^(length - allowed_length). A repetition does not
 * reach over a breaker. Everything is derived from the history at each pick, so rewinding and
 * forking need no care. */
#include "sample/sampler.h"

#include "text/tokenizer.h"

#include <math.h>
#include <string.h>

#define EXPONENT_MAX 256  /* longer repetitions count as this much over the allowed length */
#define BREAKER_MAX  64   /* bytes of one breaker */
#define PIECE_MAX    1024 /* longer token texts are not searched for breakers */

typedef struct dry_state {
    double multiplier, base;
    int64_t allowed_length, last_n;
    const char *breakers; /* borrowed while parameters are read, then NULL */
    unsigned char *list;  /* [list_size] breakers, each behind its length; length 0 ends them */
    size_t list_size;
    size_t longest; /* bytes of the longest breaker; 0: none */
    lm_text piece;  /* scratch */
} dry_state;

static const lm_param_row rows[] = {
    {"multiplier", LLM_KIND_FLOAT, offsetof(dry_state, multiplier), 0, 1e6},
    {"base", LLM_KIND_FLOAT, offsetof(dry_state, base), 1, 1e3},
    {"allowed_length", LLM_KIND_INT, offsetof(dry_state, allowed_length), 1, 65536},
    {"last_n", LLM_KIND_INT, offsetof(dry_state, last_n), -1, INT32_MAX},
    {"breakers", LLM_KIND_STRING, offsetof(dry_state, breakers), 0, 0},
};

static void finish(void *state, lm_allocator *alloc)
{
    dry_state *s = state;
    lm_free(alloc, s->list, s->list_size);
    lm_text_finish(&s->piece);
}

static int32_t clone(const void *state, lm_allocator *alloc, void *copy)
{
    const dry_state *from = state;
    dry_state *to = copy;
    unsigned char *list = lm_alloc(alloc, from->list_size);
    if (list == NULL)
        return LLM_E_MEMORY;
    memcpy(list, from->list, from->list_size);
    *to = *from;
    to->list = list;
    lm_text_init(&to->piece, alloc);
    return LLM_OK;
}

/* One character of a line, with the escapes \n, \t and \\. */
static int32_t read_character(const char **at, unsigned char *out)
{
    static const char escapes[] = "n\nt\t\\\\";
    *out = (unsigned char)*(*at)++;
    if (*out != '\\')
        return LLM_OK;
    for (const char *e = escapes; *e != '\0'; e += 2)
        if (**at == e[0]) {
            *out = (unsigned char)e[1];
            (*at)++;
            return LLM_OK;
        }
    return lm_fail(LLM_E_INVALID, "dry: breakers hold a '\\' that is not \\n, \\t or \\\\");
}

/* Lines of `text` to a list of breakers; empty lines are none. */
static int32_t parse_breakers(const char *text, unsigned char *list, size_t *longest)
{
    unsigned char *length = list;
    *length = 0;
    *longest = 0;
    while (*text != '\0') {
        if (*text == '\n') {
            text++;
            length += *length > 0 ? *length + 1u : 0u;
            *length = 0;
            continue;
        }
        if (*length == BREAKER_MAX)
            return lm_fail(LLM_E_INVALID, "dry: a breaker is longer than %d bytes", BREAKER_MAX);
        LM_TRY(read_character(&text, &length[1 + *length]));
        ++*length;
        if (*length > *longest)
            *longest = *length;
    }
    if (*length > 0)
        length[1 + *length] = 0;
    return LLM_OK;
}

static int32_t prepare(void *state, lm_allocator *alloc)
{
    dry_state *s = state;
    s->list_size = strlen(s->breakers) + 2;
    s->list = lm_alloc(alloc, s->list_size);
    if (s->list == NULL)
        return LLM_E_MEMORY;
    int32_t rc = parse_breakers(s->breakers, s->list, &s->longest);
    if (rc < 0)
        lm_free(alloc, s->list, s->list_size);
    s->breakers = NULL;
    lm_text_init(&s->piece, alloc);
    return rc;
}

static int32_t reserve(void *state, lm_allocator *alloc, uint32_t n_vocab)
{
    static const char room[PIECE_MAX] = {0};
    dry_state *s = state;
    (void)alloc;
    (void)n_vocab;
    if (s->piece.capacity >= PIECE_MAX)
        return LLM_OK;
    s->piece.size = 0;
    return lm_text_append(&s->piece, room, sizeof room);
}

/* The bytes of a token into s->piece; not known: no token, or a text that is not looked into. */
static int32_t decode(dry_state *s, const struct lm_tokenizer *tokenizer, int32_t id, bool *known)
{
    s->piece.size = 0;
    *known =
        lm_tokenizer_type(tokenizer, id) != 0 && lm_tokenizer_text(tokenizer, id).size <= PIECE_MAX;
    if (!*known)
        return LLM_OK;
    LM_TRY(lm_tokenizer_piece(tokenizer, id, LM_DECODE_SPECIAL, &s->piece));
    *known = s->piece.size <= PIECE_MAX;
    return LLM_OK;
}

/* The largest end of a breaker that begins in the first `starts` bytes of `text`; 0: none does. */
static size_t breaker_end(const dry_state *s, const unsigned char *text, size_t size, size_t starts)
{
    size_t end = 0;
    for (const unsigned char *b = s->list; *b != 0; b += *b + 1u)
        for (size_t at = 0; at < starts && at + *b <= size; at++)
            if (at + *b > end && memcmp(text + at, b + 1, *b) == 0)
                end = at + *b;
    return end;
}

/* The text that follows the token being looked at, as far as a breaker can reach. */
typedef struct following {
    unsigned char bytes[PIECE_MAX + BREAKER_MAX];
    size_t token[PIECE_MAX + BREAKER_MAX]; /* whose byte it is */
    size_t size;
} following;

static void put_before(following *f, const lm_text *piece, size_t token, size_t keep)
{
    size_t kept = f->size < keep ? f->size : keep;
    memmove(f->bytes + piece->size, f->bytes, kept);
    memmove(f->token + piece->size, f->token, kept * sizeof f->token[0]);
    memcpy(f->bytes, piece->data, piece->size);
    for (size_t i = 0; i < piece->size; i++)
        f->token[i] = token;
    f->size = piece->size + kept;
}

/* How many tokens at the end of the history stand behind the last breaker; it looks only as far as
 * needed to know whether there are `wanted`. */
static int32_t tokens_behind_breaker(dry_state *s, const lm_sample_context *context,
                                     const int32_t *tokens, size_t n, size_t wanted, size_t *out)
{
    following f = {.size = 0};
    size_t settled_bytes = 0;
    *out = n;
    if (s->longest == 0 || context->tokenizer == NULL)
        return LLM_OK;
    for (size_t i = n; i-- > 0 && settled_bytes < s->longest;) {
        bool known;
        LM_TRY(decode(s, context->tokenizer, tokens[i], &known));
        if (!known) {
            f.size = 0;
            settled_bytes += (*out < n || n - i > wanted) ? s->longest : 0;
            continue;
        }
        put_before(&f, &s->piece, i, s->longest - 1);
        size_t end = breaker_end(s, f.bytes, f.size, s->piece.size);
        if (end > 0 && n - 1 - f.token[end - 1] < *out)
            *out = n - 1 - f.token[end - 1];
        else if (*out < n || n - i > wanted) /* a longer breaker may still begin before */
            settled_bytes += s->piece.size;
    }
    return LLM_OK;
}

/* For every token, how long the repetition is that it would prolong; answers the longest. Rests in
 * by_token for the candidates. */
static size_t measure(const dry_state *s, const lm_sample_context *context, const int32_t *tokens,
                      size_t n, lm_candidates *c)
{
    size_t cap = (size_t)s->allowed_length + EXPONENT_MAX, longest = 0;
    for (size_t i = 0; i < c->count; i++)
        c->by_token[c->items[i].id] = 0.0f;
    for (size_t next = 1; next < n; next++) { /* tokens[next] followed the earlier occurrence */
        if ((uint32_t)tokens[next] >= context->n_vocab)
            continue;
        size_t length = 0;
        while (length < next && length < cap && tokens[next - 1 - length] == tokens[n - 1 - length])
            length++;
        float *best = &c->by_token[tokens[next]];
        if (!(*best >= (float)length))
            *best = (float)length;
        if (length > longest)
            longest = length;
    }
    return longest;
}

static int32_t penalise(dry_state *s, const lm_sample_context *context, size_t limit,
                        lm_candidates *c)
{
    for (size_t i = 0; i < c->count; i++) {
        size_t length = (size_t)c->by_token[c->items[i].id];
        if (length > limit)
            length = limit;
        if (length < (size_t)s->allowed_length)
            continue;
        if (s->longest > 0 && context->tokenizer != NULL) { /* a breaker ends a repetition */
            bool known;
            LM_TRY(decode(s, context->tokenizer, c->items[i].id, &known));
            const unsigned char *text = (const unsigned char *)s->piece.data;
            if (known && breaker_end(s, text, s->piece.size, s->piece.size) > 0)
                continue;
        }
        double exponent = (double)(length - (size_t)s->allowed_length);
        c->items[i].logit = lm_logit(c->items[i].logit - s->multiplier * pow(s->base, exponent));
        c->n_sorted = 0;
    }
    return LLM_OK;
}

static int32_t apply(void *state, const lm_sample_context *context, lm_candidates *c)
{
    dry_state *s = state;
    const int32_t *tokens;
    size_t n = lm_sample_window(context, s->last_n, &tokens), limit;
    if (s->multiplier == 0.0 || n <= (size_t)s->allowed_length)
        return LLM_OK;
    size_t longest = measure(s, context, tokens, n, c);
    if (longest < (size_t)s->allowed_length)
        return LLM_OK;
    LM_TRY(tokens_behind_breaker(s, context, tokens, n, longest, &limit));
    return penalise(s, context, limit, c);
}

const lm_sampler_class lm_sampler_dry = {
    .name = "dry",
    .state_size = sizeof(dry_state),
    .defaults = &(const dry_state){.multiplier = 0.8,
                                   .base = 1.75,
                                   .allowed_length = 2,
                                   .last_n = -1,
                                   .breakers = "\\n\n:\n\"\n*"},
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .prepare = prepare,
    .finish = finish,
    .clone = clone,
    .reserve = reserve,
    .apply = apply,
};
