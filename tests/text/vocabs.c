/* vocabs.c - see vocabs.h. */
#include "vocabs.h"

#include "model/vocab_gguf.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void test_vocab_open(test_vocab *v, lm_allocator *a, const char *name)
{
    char relative[256];
    snprintf(relative, sizeof relative, "vocab/%s.gguf", name);
    const char *path = test_data_path(relative);
    lm_log log = {NULL, NULL};
    lm_limits limits;
    lm_limits_default(&limits);
    memset(v, 0, sizeof *v);
    assert_ok(lm_gguf_open_path(a, &log, &limits, path, LM_SOURCE_MAP, &v->gguf));
    lm_arena arena;
    lm_arena_init(&arena, a);
    lm_vocab vocab;
    assert_ok(lm_vocab_from_gguf(v->gguf, &arena, &vocab));
    assert_ok(lm_tokenizer_create(a, &log, &vocab, &v->tokenizer));
    lm_arena_finish(&arena);
}

void test_vocab_close(test_vocab *v)
{
    lm_tokenizer_destroy(v->tokenizer);
    lm_gguf_close(v->gguf);
}

static void compare(const lm_tokenizer *t, const char *text, size_t size, char *line)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_ids ids;
    lm_ids_init(&ids, &a);
    assert_ok(lm_tokenizer_encode(t, text, size, 0, &ids));
    size_t n = 0;
    for (char *end = line;; n++) {
        long id = strtol(line, &end, 10);
        if (end == line)
            break;
        line = end;
        if (n >= ids.count || ids.items[n] != id)
            fail_msg("text '%.*s': id %zu is not %ld", (int)size, text, n, id);
    }
    assert_int_equal(n, ids.count);
    lm_ids_finish(&ids);
}

void test_vocab_pairs(const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    test_vocab v;
    test_vocab_open(&v, &a, name);
    char relative[256];
    size_t in_size, out_size, n = 0;
    snprintf(relative, sizeof relative, "vocab/%s.gguf.inp", name);
    char *in = (char *)test_read(test_data_path(relative), &in_size);
    snprintf(relative, sizeof relative, "vocab/%s.gguf.out", name);
    char *out = (char *)test_read(test_data_path(relative), &out_size);
    char *text = in, *line = out;
    for (char *end; text != NULL; n++) {
        char *next_line = strchr(line, '\n');
        if (next_line == NULL)
            break;
        *next_line = '\0';
        end = strstr(text, separator);
        compare(v.tokenizer, text, end != NULL ? (size_t)(end - text) : strlen(text), line);
        text = end != NULL ? end + sizeof separator - 1 : NULL;
        line = next_line + 1;
    }
    assert_true(n > 40);
    free(in);
    free(out);
    test_vocab_close(&v);
}

/* --- small vocabularies ----------------------------------------------------------------------- */

enum { MOST = 600 };

static lm_str tokens[MOST], merges[MOST];
static int32_t types[MOST];
static char letters[256][4];

static void fill_letters(void)
{
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        int own = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        size_t size = lm_utf8_encode(own ? b : next++, letters[b]);
        tokens[b] = (lm_str){letters[b], size};
        types[b] = LM_TOKEN_NORMAL;
    }
}

lm_vocab test_bpe_vocab(const test_bpe *spec)
{
    lm_vocab v = LM_VOCAB_EMPTY;
    fill_letters();
    uint32_t n = 256, n_merges = 0;
    for (size_t i = 0; spec->tokens != NULL && spec->tokens[i] != NULL; i++, n++) {
        tokens[n] = (lm_str){spec->tokens[i], strlen(spec->tokens[i])};
        types[n] = spec->types == NULL ? LM_TOKEN_NORMAL : spec->types[i];
    }
    for (; spec->merges != NULL && spec->merges[n_merges] != NULL; n_merges++)
        merges[n_merges] = (lm_str){spec->merges[n_merges], strlen(spec->merges[n_merges])};
    v.model = "gpt2";
    v.pre = spec->pre;
    v.tokens = tokens;
    v.types = types;
    v.n_tokens = n;
    v.merges = merges;
    v.n_merges = n_merges;
    return v;
}

void test_ids(const lm_tokenizer *t, const char *text, size_t size, uint32_t flags,
              const int32_t *wanted, size_t n)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_ids ids;
    lm_ids_init(&ids, &a);
    assert_ok(lm_tokenizer_encode(t, text, size, flags, &ids));
    for (size_t i = 0; i < ids.count && i < n; i++)
        if (ids.items[i] != wanted[i])
            fail_msg("text '%.*s': id %zu is %d, not %d", (int)size, text, i, ids.items[i],
                     wanted[i]);
    assert_int_equal(ids.count, n);
    lm_ids_finish(&ids);
}
