/* fuzz_tokenizer.c - the head of the input is a small vocabulary for one of the schemes, the tail a
 * text. Ids must exist, lengths must stay within bounds, a second encoding must agree, and a stream
 * must not depend on its cuts. Some runs have an allocation fail. Begins with sound vocabularies.
 */
#include "fuzz/fuzz.h"

#include "text/tokenizer.h"

#include <string.h>

enum { MOST = 128 };

/* Byte-level vocabularies have a program of their own, fuzz_bpe. */
static const struct kind {
    const char *model, *pre;
} kinds[] = {
    {"llama", NULL}, {"bert", NULL},   {"t5", NULL},
    {"rwkv", NULL},  {"gemma4", NULL}, {"gpt2", "default"},
};

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static uint8_t take(input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

static lm_str take_text(input *in, size_t size)
{
    lm_str text = {(const char *)in->at, size < in->left ? size : in->left};
    in->at += text.size;
    in->left -= text.size;
    return text;
}

typedef struct description {
    lm_vocab vocab;
    lm_str tokens[MOST], merges[MOST];
    float scores[MOST];
    int32_t types[MOST];
    size_t longest;
    uint64_t fail_at;
    uint32_t flags;
} description;

static void read_rules(description *d, input *in)
{
    unsigned bits = take(in) | (unsigned)take(in) << 8, set = take(in) | (unsigned)take(in) << 8;
    int8_t *rules[] = {&d->vocab.add_bos,       &d->vocab.add_eos,
                       &d->vocab.add_sep,       &d->vocab.add_space_prefix,
                       &d->vocab.lowercase,     &d->vocab.remove_extra_whitespaces,
                       &d->vocab.clean_spaces,  &d->vocab.escape_whitespaces,
                       &d->vocab.ignore_merges, &d->vocab.strip_accents};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (set >> i & 1)
            *rules[i] = (int8_t)(bits >> i & 1);
    unsigned special = take(in);
    for (unsigned i = 0; i < LM_SPECIAL_COUNT && special < 200; i++)
        d->vocab.special[i] = (int64_t)((special + i * i) % 24) - 1;
}

/* Kind, flags, rules, tokens {length and type, score, bytes}, merges, charsmap. */
static void read_description(description *d, input *in)
{
    static const float odd[] = {0, -1, -1, -2, -3, -3, 1e38f, -1e38f};
    const struct kind *kind = &kinds[take(in) % (sizeof kinds / sizeof *kinds)];
    unsigned options = take(in);
    memset(d, 0, sizeof *d);
    d->vocab = (lm_vocab)LM_VOCAB_EMPTY;
    d->vocab.model = kind->model;
    d->vocab.pre = kind->pre;
    d->fail_at = (options & 7) == 7 ? 1 + take(in) : 0;
    d->flags = options >> 3 & 3;
    read_rules(d, in);
    uint32_t n = take(in) % MOST;
    for (uint32_t i = 0; i < n; i++) {
        unsigned head = take(in), score = take(in);
        d->tokens[i] = take_text(in, head & 15);
        d->types[i] = (head >> 4) % 9 < 6 ? (int32_t)((head >> 4) % 9 + 1) : LM_TOKEN_NORMAL;
        d->scores[i] = score < 8 ? odd[score] : -(float)score;
        if (score == 255)
            d->scores[i] = (float)(1e300 * 1e300) - (float)(1e300 * 1e300); /* NaN */
        d->longest = d->tokens[i].size > d->longest ? d->tokens[i].size : d->longest;
    }
    d->vocab.tokens = d->tokens;
    d->vocab.scores = (options & 32) != 0 ? NULL : d->scores;
    d->vocab.types = (options & 64) != 0 ? NULL : d->types;
    d->vocab.n_tokens = n;
    d->vocab.n_merges = take(in) % MOST;
    for (uint32_t i = 0; i < d->vocab.n_merges; i++)
        d->merges[i] = take_text(in, take(in) & 15);
    d->vocab.merges = d->merges;
    lm_str charsmap = {NULL, 0};
    if ((options & 128) != 0) {
        size_t size = take(in);
        charsmap = take_text(in, size | (size_t)take(in) << 8);
    }
    d->vocab.charsmap = charsmap.data;
    d->vocab.charsmap_size = charsmap.size;
}

static void demand(bool condition)
{
    if (!condition)
        abort();
}

/* In one piece, and in two. */
static void check_stream(lm_allocator *a, const lm_text *text, size_t cut)
{
    lm_text whole, parts;
    lm_text_init(&whole, a);
    lm_text_init(&parts, a);
    lm_utf8_stream s = {.n_held = 0}, s2 = {.n_held = 0};
    cut = text->size == 0 ? 0 : cut % text->size;
    int32_t rc = lm_utf8_stream_push(&s, text->data, text->size, true, &whole);
    if (rc == LLM_OK)
        rc = lm_utf8_stream_push(&s2, text->data, cut, false, &parts);
    if (rc == LLM_OK && text->size != 0)
        rc = lm_utf8_stream_push(&s2, text->data + cut, text->size - cut, true, &parts);
    if (rc == LLM_OK)
        demand(whole.size == parts.size && whole.size <= text->size * 3 &&
               (whole.size == 0 || memcmp(whole.data, parts.data, whole.size) == 0));
    else
        demand(rc == LLM_E_MEMORY);
    lm_text_finish(&whole);
    lm_text_finish(&parts);
}

static void check_ids(const description *d, const lm_ids *ids, size_t text_size)
{
    /* A space can become three bytes of which each is a token; a charsmap may make 1 KiB of a byte.
     */
    size_t growth = d->vocab.charsmap_size != 0 ? 4096 : 4;
    demand(ids->count <= 8 + (text_size + 1) * growth);
    for (size_t i = 0; i < ids->count; i++)
        demand(ids->items[i] >= 0 && (uint32_t)ids->items[i] < d->vocab.n_tokens);
}

static void use(lm_allocator *a, const description *d, const lm_tokenizer *t, lm_str text)
{
    lm_ids ids, again;
    lm_text back;
    lm_ids_init(&ids, a);
    lm_ids_init(&again, a);
    lm_text_init(&back, a);
    int32_t rc = lm_tokenizer_encode(t, text.data, text.size, d->flags, &ids);
    if (rc == LLM_OK) {
        check_ids(d, &ids, text.size);
        rc = lm_tokenizer_encode(t, text.data, text.size, d->flags, &again);
    }
    if (rc == LLM_OK) {
        demand(
            ids.count == again.count &&
            (ids.count == 0 || memcmp(ids.items, again.items, ids.count * sizeof *ids.items) == 0));
        rc = lm_tokenizer_decode(t, ids.items, ids.count, d->flags & LM_DECODE_SPECIAL, &back);
    }
    if (rc == LLM_OK) {
        demand(back.size <= ids.count * d->longest);
        check_stream(a, &back, text.size);
    }
    demand(rc == LLM_OK || rc == LLM_E_MEMORY || rc == LLM_E_FORMAT);
    demand(rc != LLM_E_MEMORY || d->fail_at != 0);
    lm_ids_finish(&ids);
    lm_ids_finish(&again);
    lm_text_finish(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static description d;
    input in = {data, size};
    test_memory m;
    test_memory_init(&m);
    read_description(&d, &in);
    m.fail_at = d.fail_at;
    lm_tokenizer *t;
    int32_t rc = lm_tokenizer_create(&m.alloc, NULL, &d.vocab, &t);
    if (rc == LLM_OK) {
        use(&m.alloc, &d, t, (lm_str){(const char *)in.at, in.left});
        lm_tokenizer_destroy(t);
    } else {
        demand(rc == LLM_E_MEMORY || rc == LLM_E_FORMAT || rc == LLM_E_UNSUPPORTED);
        demand(rc != LLM_E_MEMORY || d.fail_at != 0);
    }
    demand(m.live_blocks == 0);
    return 0;
}

/* --- sound beginnings
 * ------------------------------------------------------------------------------- */

static size_t put(uint8_t *data, size_t at, const char *text)
{
    memcpy(data + at, text, strlen(text));
    return at + strlen(text);
}

/* Some letters, joins of them with and without the marks of a word's start, byte tokens, one of
 * each type; merges for the joins; a text of those letters. */
static size_t put_sound(uint8_t *data, unsigned kind)
{
    static const char *const tokens[] = {
        "a",
        "b",
        "c",
        "ab",
        "bc",
        "abc",
        "\xe2\x96\x81",
        "\xe2\x96\x81"
        "a",
        "\xe2\x96\x81"
        "ab",
        " ",
        " a",
        "\xc4\xa0",
        "\xc4\xa0"
        "a",
        ".",
        "<0x41>",
        "<0xE2>",
        "\xc3\xa9",
        "\\xff",
        "aa",
    };
    static const char *const merges[] = {"a b", "b c", "ab c", "\xc4\xa0 a", "a a"};
    static const struct marked {
        const char *text;
        unsigned type;
    } marked[] = {{"<s>", 3}, {"<unk>", 2}, {"<u>", 4}, {"bb", 5}};
    size_t at = 0, n = sizeof tokens / sizeof *tokens, n_marked = sizeof marked / sizeof *marked;
    const uint8_t head[] = {(uint8_t)kind, 0x18, 0, 0, 0, 0, 20, (uint8_t)(n + n_marked)};
    memcpy(data, head, sizeof head);
    at += sizeof head;
    for (size_t i = 0; i < n; i++) {
        unsigned type = strlen(tokens[i]) == 6 && tokens[i][0] == '<' ? 5 : 0;
        data[at++] = (uint8_t)(strlen(tokens[i]) | type << 4);
        data[at++] = (uint8_t)(10 + i);
        at = put(data, at, tokens[i]);
    }
    for (size_t i = 0; i < n_marked; i++) {
        data[at++] = (uint8_t)(strlen(marked[i].text) | (marked[i].type - 1) << 4);
        data[at++] = 1;
        at = put(data, at, marked[i].text);
    }
    data[at++] = sizeof merges / sizeof *merges;
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        data[at++] = (uint8_t)strlen(merges[i]);
        at = put(data, at, merges[i]);
    }
    return put(data, at, "abc aabb  \xc3\xa9 <s>A.bc<u>ab 12'll\n\n\xff");
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    if (size >= 8 || max_size < 512)
        return LLVMFuzzerMutate(data, size, max_size);
    return put_sound(data, seed % (unsigned)(sizeof kinds / sizeof *kinds));
}
