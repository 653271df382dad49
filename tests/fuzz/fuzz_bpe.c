/* fuzz_bpe.c - a byte-level vocabulary with invented tokens and merges under any pre-tokenizer, and
 * a text: ids must exist, and with ordinary tokens over bytes the text must come back. */
#include "fuzz/fuzz.h"

#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include <string.h>

enum { LETTERS = 256, TOKENS = 64, MERGES = 64, LONGEST = 16 };

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

typedef struct made {
    lm_str tokens[LETTERS + TOKENS], merges[MERGES];
    int32_t types[LETTERS + TOKENS];
    char letters[LETTERS][4], lines[MERGES][2 * LONGEST + 1];
    uint32_t n_tokens, n_merges;
} made;

static uint8_t take(input *in)
{
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static void make_letters(made *m)
{
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < LETTERS; b++) {
        int own = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        m->tokens[b] = (lm_str){m->letters[b], lm_utf8_encode(own ? b : next++, m->letters[b])};
        m->types[b] = LM_TOKEN_NORMAL;
    }
    m->n_tokens = LETTERS;
}

static void make_tokens(made *m, input *in, bool plain)
{
    for (unsigned n = take(in) % (TOKENS + 1); n > 0; n--) {
        size_t length = take(in) % LONGEST;
        if (length > in->size)
            return;
        m->tokens[m->n_tokens] = (lm_str){(const char *)in->data, length};
        in->data += length;
        in->size -= length;
        uint8_t type = take(in) % (LM_TOKEN_BYTE + 1);
        m->types[m->n_tokens++] = plain ? LM_TOKEN_NORMAL : type;
    }
}

static void make_merges(made *m, input *in)
{
    for (unsigned n = take(in) % (MERGES + 1); n > 0; n--) {
        lm_str left = m->tokens[(take(in) << 1 | (take(in) & 1)) % m->n_tokens];
        lm_str right = m->tokens[(take(in) << 1 | (take(in) & 1)) % m->n_tokens];
        char *line = m->lines[m->n_merges];
        memcpy(line, left.data, left.size);
        line[left.size] = ' ';
        memcpy(line + left.size + 1, right.data, right.size);
        m->merges[m->n_merges++] = (lm_str){line, left.size + right.size + 1};
    }
}

static void check(lm_allocator *a, const lm_tokenizer *t, const made *m, const input *in,
                  uint32_t flags, bool comes_back)
{
    lm_ids ids;
    lm_text text;
    lm_ids_init(&ids, a);
    lm_text_init(&text, a);
    if (lm_tokenizer_encode(t, (const char *)in->data, in->size, flags, &ids) != LLM_OK)
        abort();
    for (size_t i = 0; i < ids.count; i++)
        if (ids.items[i] < 0 || (uint32_t)ids.items[i] >= m->n_tokens)
            abort();
    if (lm_tokenizer_decode(t, ids.items, ids.count, LM_DECODE_SPECIAL, &text) != LLM_OK)
        abort();
    if (comes_back &&
        (text.size != in->size || (in->size > 0 && memcmp(text.data, in->data, in->size) != 0)))
        abort();
    lm_ids_finish(&ids);
    lm_text_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static made m;
    input in = {data, size};
    memset(&m, 0, sizeof m);
    size_t rows = 0;
    while (lm_pretokenizer_at(rows) != NULL)
        rows++;
    const lm_pretokenizer *pre = lm_pretokenizer_at(take(&in) % rows);
    uint8_t choice = take(&in);
    bool plain = (choice & 1) != 0;
    make_letters(&m);
    make_tokens(&m, &in, plain);
    make_merges(&m, &in);
    lm_vocab vocab = LM_VOCAB_EMPTY;
    vocab.model = "gpt2";
    vocab.pre = pre->name;
    vocab.tokens = m.tokens;
    vocab.types = m.types;
    vocab.n_tokens = m.n_tokens;
    vocab.merges = m.merges;
    vocab.n_merges = m.n_merges;
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_tokenizer *t = NULL;
    if (lm_tokenizer_create(&a, NULL, &vocab, &t) == LLM_OK)
        check(&a, t, &m, &in, choice & LM_ENCODE_PARSE_SPECIAL,
              plain && (pre->flags & LM_PRE_RAW) == 0);
    lm_tokenizer_destroy(t);
    if (a.bytes != 0)
        abort();
    return 0;
}
