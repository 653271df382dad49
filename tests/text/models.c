/* models.c - see models.h. */
#include "models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_token(test_model *m, lm_str text, float score, int32_t type)
{
    if (m->n_tokens == m->capacity) {
        m->capacity = m->capacity == 0 ? 1024 : m->capacity * 2;
        m->tokens = realloc(m->tokens, m->capacity * sizeof *m->tokens);
        m->scores = realloc(m->scores, m->capacity * sizeof *m->scores);
        m->types = realloc(m->types, m->capacity * sizeof *m->types);
    }
    m->tokens[m->n_tokens] = text;
    m->scores[m->n_tokens] = score;
    m->types[m->n_tokens++] = type;
}

static void finish_vocab(test_model *m, lm_allocator *a, const char *model)
{
    m->vocab.model = model;
    m->vocab.tokens = m->tokens;
    m->vocab.scores = m->scores;
    m->vocab.types = m->types;
    m->vocab.n_tokens = m->n_tokens;
    assert_ok(lm_tokenizer_create(a, NULL, &m->vocab, &m->tokenizer));
}

/* --- protocol buffers ------------------------------------------------------------------------- */

typedef struct message {
    const unsigned char *at, *end;
} message;

typedef struct field {
    uint32_t number;
    uint64_t value; /* of numbers; the bits of floats */
    message bytes;  /* of strings and messages */
} field;

static uint64_t read_varint(message *m)
{
    uint64_t value = 0;
    for (unsigned shift = 0; m->at < m->end && shift < 64; shift += 7) {
        unsigned char byte = *m->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return value;
}

static bool next_field(message *m, field *f)
{
    if (m->at >= m->end)
        return false;
    uint64_t key = read_varint(m);
    size_t fixed = (key & 7) == 5 ? 4 : 8;
    *f = (field){.number = (uint32_t)(key >> 3)};
    if ((key & 7) == 0) {
        f->value = read_varint(m);
        return true;
    }
    if ((key & 7) == 2)
        fixed = (size_t)read_varint(m);
    assert_true((size_t)(m->end - m->at) >= fixed);
    f->bytes = (message){m->at, m->at + fixed};
    if ((key & 7) != 2)
        memcpy(&f->value, m->at, fixed);
    m->at += fixed;
    return true;
}

static void read_piece(test_model *m, message piece)
{
    lm_str text = {"", 0};
    float score = 0;
    int32_t type = LM_TOKEN_NORMAL;
    for (field f; next_field(&piece, &f);) {
        if (f.number == 1)
            text = (lm_str){(const char *)f.bytes.at, (size_t)(f.bytes.end - f.bytes.at)};
        else if (f.number == 2)
            memcpy(&score, &f.value, sizeof score);
        else if (f.number == 3)
            type = (int32_t)f.value;
    }
    add_token(m, text, score, type);
}

static void read_trainer(test_model *m, message spec)
{
    m->vocab.special[LM_SPECIAL_UNK] = 0;
    m->vocab.special[LM_SPECIAL_BOS] = 1;
    m->vocab.special[LM_SPECIAL_EOS] = 2;
    for (field f; next_field(&spec, &f);)
        if (f.number >= 40 && f.number <= 42)
            m->vocab.special[f.number == 40   ? LM_SPECIAL_UNK
                             : f.number == 41 ? LM_SPECIAL_BOS
                                              : LM_SPECIAL_EOS] = (int64_t)f.value;
}

static void read_normaliser(test_model *m, message spec)
{
    m->vocab.add_space_prefix = m->vocab.remove_extra_whitespaces = LM_RULE_YES;
    for (field f; next_field(&spec, &f);) {
        if (f.number == 2) {
            m->vocab.charsmap = f.bytes.at;
            m->vocab.charsmap_size = (size_t)(f.bytes.end - f.bytes.at);
        } else if (f.number == 3) {
            m->vocab.add_space_prefix = (int8_t)f.value;
        } else if (f.number == 4) {
            m->vocab.remove_extra_whitespaces = (int8_t)f.value;
        }
    }
}

void test_model_open_sentencepiece(test_model *m, lm_allocator *a, const char *relative,
                                   const char *model)
{
    *m = (test_model){.vocab = LM_VOCAB_EMPTY};
    m->file = test_read(test_data_path(relative), &m->file_size);
    message all = {m->file, m->file + m->file_size};
    for (field f; next_field(&all, &f);) {
        if (f.number == 1)
            read_piece(m, f.bytes);
        else if (f.number == 2)
            read_trainer(m, f.bytes);
        else if (f.number == 3)
            read_normaliser(m, f.bytes);
    }
    finish_vocab(m, a, model);
}

/* --- RWKV's list: id, Python literal of a string or of bytes, number of bytes ----------------- */

/* One character of a literal that is no escape or one of \n \r \t \\ \' \" \xNN \uNNNN. */
static uint32_t read_character(const char **at)
{
    char c = *(*at)++;
    if (c != '\\')
        return (unsigned char)c;
    c = *(*at)++;
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0)
        return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : (unsigned char)c;
    char number[9] = {0};
    memcpy(number, *at, digits);
    *at += digits;
    return (uint32_t)strtoul(number, NULL, 16);
}

static size_t put_utf8(uint32_t c, unsigned char *to)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        to[i] = (unsigned char)(0x80 | (c & 0x3f));
    to[0] = (unsigned char)(lead[n] | c);
    return n;
}

/* The bytes of a literal; `at` is left behind it. */
static size_t read_literal(const char **at, unsigned char *bytes)
{
    bool raw = **at == 'b';
    *at += raw;
    char quote = *(*at)++;
    size_t n = 0;
    while (**at != quote) {
        bool escape = **at == '\\';
        uint32_t c = read_character(at);
        if (escape && !raw)
            n += put_utf8(c, bytes + n);
        else
            bytes[n++] = (unsigned char)c;
    }
    ++*at;
    return n;
}

/* As GGUF keeps them: the inside of a literal of bytes. */
static size_t put_escaped(char *to, const unsigned char *bytes, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\\' || bytes[i] == '\n' || bytes[i] == '\t' || bytes[i] == '\r') {
            to[size++] = '\\';
            to[size++] = bytes[i] == '\n'   ? 'n'
                         : bytes[i] == '\t' ? 't'
                         : bytes[i] == '\r' ? 'r'
                                            : '\\';
        } else if (bytes[i] < 0x20 || bytes[i] > 0x7e) {
            size += (size_t)sprintf(to + size, "\\x%02x", bytes[i]);
        } else {
            to[size++] = (char)bytes[i];
        }
    }
    return size;
}

void test_model_open_rwkv(test_model *m, lm_allocator *a, const char *relative)
{
    *m = (test_model){.vocab = LM_VOCAB_EMPTY};
    m->file = test_read(test_data_path(relative), &m->file_size);
    m->pool = malloc(m->file_size * 4);
    assert_non_null(m->pool);
    char *to = m->pool;
    add_token(m, (lm_str){"<s>", 3}, 0, LM_TOKEN_CONTROL);
    for (const char *at = (const char *)m->file; *at != '\0';) {
        unsigned char bytes[1024];
        char *end;
        unsigned long id = strtoul(at, &end, 10);
        assert_int_equal(id, m->n_tokens);
        at = end + 1;
        size_t n = read_literal(&at, bytes);
        assert_int_equal(strtoul(at, &end, 10), n);
        at = strchr(end, '\n') + 1;
        size_t size = put_escaped(to, bytes, n);
        add_token(m, (lm_str){to, size}, 0, LM_TOKEN_NORMAL);
        to += size;
    }
    finish_vocab(m, a, "rwkv");
}

void test_model_close(test_model *m)
{
    lm_tokenizer_destroy(m->tokenizer);
    free(m->file);
    free(m->tokens);
    free(m->scores);
    free(m->types);
    free(m->pool);
}

/* --- small vocabularies ----------------------------------------------------------------------- */

enum { MOST = 600 };

lm_vocab test_small_vocab(const char *model, const test_token *tokens)
{
    static lm_str texts[MOST];
    static float scores[MOST];
    static int32_t types[MOST];
    lm_vocab v = LM_VOCAB_EMPTY;
    for (; tokens[v.n_tokens].text != NULL; v.n_tokens++) {
        const test_token *token = &tokens[v.n_tokens];
        texts[v.n_tokens] = (lm_str){token->text, strlen(token->text)};
        scores[v.n_tokens] = token->score;
        types[v.n_tokens] = token->type == 0 ? LM_TOKEN_NORMAL : token->type;
    }
    v.model = model;
    v.tokens = texts;
    v.scores = scores;
    v.types = types;
    return v;
}

static int32_t run_all(lm_allocator *a, const lm_vocab *vocab, const char *text)
{
    lm_tokenizer *t = NULL;
    lm_ids ids;
    lm_text back;
    int32_t rc = LLM_OK;
    lm_ids_init(&ids, a);
    lm_text_init(&back, a);
    LM_GO(lm_tokenizer_create(a, NULL, vocab, &t));
    LM_GO(lm_tokenizer_encode(t, text, strlen(text), LM_ENCODE_ADD_SPECIAL, &ids));
    LM_GO(lm_tokenizer_decode(t, ids.items, ids.count, LM_DECODE_SPECIAL, &back));
out:
    lm_ids_finish(&ids);
    lm_text_finish(&back);
    lm_tokenizer_destroy(t);
    return rc;
}

void test_small_failures(const lm_vocab *vocab, const char *text)
{
    for (uint64_t fail_at = 1;; fail_at++) {
        test_memory m;
        test_memory_init(&m);
        m.fail_at = fail_at;
        int32_t rc = run_all(&m.alloc, vocab, text);
        test_memory_check(&m);
        if (rc == LLM_OK) {
            assert_true(m.calls < fail_at && fail_at > 5);
            return;
        }
        assert_int_equal(rc, LLM_E_MEMORY);
    }
}

void test_decoded(const lm_tokenizer *t, const int32_t *ids, size_t n, uint32_t flags,
                  const char *wanted)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_text text;
    lm_text_init(&text, &a);
    assert_ok(lm_tokenizer_decode(t, ids, n, flags, &text));
    assert_ok(lm_text_append(&text, "", 1));
    assert_string_equal(text.data, wanted);
    lm_text_finish(&text);
}

void test_repeated(const lm_tokenizer *t, const char *part, size_t size, size_t n)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    size_t part_size = strlen(part);
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++)
        text[i] = part[i % part_size];
    lm_ids ids;
    lm_ids_init(&ids, &a);
    assert_ok(lm_tokenizer_encode(t, text, size, 0, &ids));
    if (n != 0)
        assert_int_equal(ids.count, n);
    lm_ids_finish(&ids);
    free(text);
}

/* --- texts ------------------------------------------------------------------------------------ */

static uint64_t hash_ids(const lm_ids *ids)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < ids->count; i++)
        for (unsigned shift = 0; shift < 32; shift += 8)
            hash = (hash ^ ((uint32_t)ids->items[i] >> shift & 0xff)) * 0x100000001b3u;
    return hash;
}

void test_corpora(const lm_tokenizer *t, const test_corpus *corpora, size_t n)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    for (size_t i = 0; i < n; i++) {
        char relative[256];
        size_t size;
        snprintf(relative, sizeof relative, "text/%s", corpora[i].file);
        char *text = (char *)test_read(test_data_path(relative), &size);
        lm_ids ids;
        lm_ids_init(&ids, &a);
        assert_ok(lm_tokenizer_encode(t, text, size, 0, &ids));
        if (ids.count != corpora[i].n_ids || hash_ids(&ids) != corpora[i].hash)
            fail_msg("%s: %llu ids with the hash 0x%llx", corpora[i].file,
                     (unsigned long long)ids.count, (unsigned long long)hash_ids(&ids));
        lm_ids_finish(&ids);
        free(text);
    }
    assert_int_equal(a.bytes, 0);
}

static void test_line(const lm_tokenizer *t, size_t number, const char *line, size_t size,
                      char *wanted, bool back)
{
    lm_allocator a;
    lm_allocator_init(&a, NULL);
    lm_ids ids;
    lm_ids_init(&ids, &a);
    assert_ok(lm_tokenizer_encode(t, line, size, 0, &ids));
    size_t n = 0;
    for (char *end; (void)(end = wanted), strtol(wanted, &end, 10), end != wanted; n++) {
        long id = strtol(wanted, &wanted, 10);
        if (n >= ids.count || ids.items[n] != id)
            fail_msg("line %llu: id %llu is not %ld", (unsigned long long)number,
                     (unsigned long long)n, id);
    }
    assert_int_equal(n, ids.count);
    lm_text text;
    lm_text_init(&text, &a);
    assert_ok(lm_tokenizer_decode(t, ids.items, ids.count, 0, &text));
    if (back && (text.size != size || (size != 0 && memcmp(text.data, line, size) != 0)))
        fail_msg("line %llu came back as '%.*s'", (unsigned long long)number, (int)text.size,
                 text.data);
    lm_text_finish(&text);
    lm_ids_finish(&ids);
}

void test_mixed(const lm_tokenizer *t, const char *ids_file, bool back)
{
    size_t text_size, ids_size, number = 0;
    char path[256];
    char *text = (char *)test_read(test_file_path("text/mixed.txt"), &text_size);
    snprintf(path, sizeof path, "text/%s", ids_file);
    char *ids = (char *)test_read(test_file_path(path), &ids_size);
    char *line = text, *wanted = ids;
    for (; *line != '\0'; number++) {
        char *end = strchr(line, '\n'), *wanted_end = strchr(wanted, '\n');
        assert_non_null(end);
        assert_non_null(wanted_end);
        *wanted_end = '\0';
        test_line(t, number + 1, line, (size_t)(end - line), wanted, back);
        line = end + 1;
        wanted = wanted_end + 1;
    }
    assert_int_equal(wanted - ids, ids_size);
    assert_true(number > 100);
    free(text);
    free(ids);
}
