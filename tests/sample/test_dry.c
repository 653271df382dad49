/* test_dry.c - DRY on crafted and random repetitions; breakers of one and of several tokens. */
#include "sample/oracle.h"

#include "text/tokenizer.h"

#include <math.h>
#include <string.h>

static test_memory m;
static shown s;

/* Length of the repetition that `token` would prolong, by the definition: the longest suffix of the
 * window, of at most `limit` tokens, that was once followed by it. */
static size_t repetition(const int32_t *window, size_t n, int32_t token, size_t limit)
{
    size_t longest = 0;
    for (size_t at = 1; at < n; at++) {
        if (window[at] != token)
            continue;
        size_t length = 0;
        while (length < at && length < limit && window[at - 1 - length] == window[n - 1 - length])
            length++;
        if (length > longest)
            longest = length;
    }
    return longest;
}

static void test_dry__crafted(void **state)
{
    (void)state;
    /* "1 2 3 4 9 1 2 3": 4 would prolong a repetition of three, nothing else one of two */
    static const int32_t history[] = {1, 2, 3, 4, 9, 1, 2, 3};
    static const float logits[10] = {0};
    test_memory_init(&m);
    lm_chain *chain;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    add(chain, "dry", F("multiplier", 2), F("base", 3), I("allowed_length", 2));
    show(chain, logits, 10, history, 8, NULL, &s);
    for (size_t i = 0; i < 10; i++)
        assert_true(s.items[i].logit == (s.items[i].id == 4 ? -6.0f : 0.0f));
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_dry__random_histories(void **state)
{
    (void)state;
    static int32_t history[400];
    static float logits[8];
    static oracle o;
    uint64_t random = 12;
    test_memory_init(&m);
    for (int round = 0; round < 500; round++) {
        size_t n = test_random(&random) % 400, period = 1 + test_random(&random) % 60;
        for (size_t i = 0; i < n; i++) /* often periodic, so that long repetitions occur */
            history[i] = i >= period && test_random(&random) % 30 != 0
                             ? history[i - period]
                             : (int32_t)(test_random(&random) % 8);
        int64_t last_n = (int64_t)(test_random(&random) % 500) - 1;
        size_t allowed = 1 + test_random(&random) % 5;
        size_t window = last_n < 0 || (size_t)last_n > n ? n : (size_t)last_n;
        random_logits(&random, 0, logits, 8);
        oracle_load(&o, logits, 8);
        for (int32_t id = 0; id < 8; id++) {
            size_t length = repetition(history + n - window, window, id, SIZE_MAX);
            if (length > allowed + 256)
                length = allowed + 256;
            if (length >= allowed)
                o.logit[id] -= 0.5 * pow(1.2, (double)(length - allowed));
        }
        lm_chain *chain;
        assert_ok(lm_chain_create(&m.alloc, &chain));
        add(chain, "dry", F("multiplier", 0.5), F("base", 1.2), I("last_n", last_n),
            I("allowed_length", (int64_t)allowed));
        show(chain, logits, 8, history, n, NULL, &s);
        assert_shown(&s, &o);
        lm_chain_destroy(chain);
    }
    test_memory_check(&m);
}

static void test_dry__huge_penalty_stays_finite(void **state)
{
    (void)state;
    static int32_t history[2000];
    static const float logits[2] = {0};
    test_memory_init(&m);
    lm_chain *chain;
    int32_t token;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    add(chain, "dry", F("multiplier", 1e6), F("base", 1e3));
    assert_ok(lm_chain_add(chain, "dist", NULL, 0));
    assert_ok(lm_chain_reserve(chain, 2));
    assert_ok(lm_chain_pick(chain, logits, 2, history, 2000, NULL, &token));
    assert_int_equal(token, 1);
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

static void test_dry__bad_breakers(void **state)
{
    (void)state;
    char longer[70];
    memset(longer, 'x', 65);
    longer[65] = '\0';
    test_memory_init(&m);
    lm_chain *chain;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    const char *const bad[] = {"\\", "a\\q", "ok\n\\", longer};
    for (size_t i = 0; i < 4; i++) {
        llm_param param = S("breakers", bad[i]);
        assert_status(lm_chain_add(chain, "dry", &param, 1), LLM_E_INVALID);
    }
    longer[64] = '\0';
    const char *const good[] = {"", "\n\n\n", "\\\\\n\\t", longer, "a\n", "\na"};
    for (size_t i = 0; i < 6; i++) {
        llm_param param = S("breakers", good[i]);
        assert_ok(lm_chain_add(chain, "dry", &param, 1));
    }
    lm_chain_destroy(chain);
    test_memory_check(&m);
}

/* --- breakers ------------------------------------------------------------------------------- */

/* A byte-level vocabulary: pieces as bytes and as the vocabulary writes them. */
static const struct {
    const char *bytes, *text;
} pieces[] = {
    {"a", "a"},
    {"b", "b"},
    {"ab", "ab"},
    {"ba", "ba"},
    {"\n", "\xc4\x8a"},
    {":", ":"},
    {"b:a", "b:a"},
    {"aab", "aab"},
    {" a", "\xc4\xa0"
           "a"},
    {"bb", "bb"},
    {"\\", "\\"},
};
#define N_PIECES (sizeof pieces / sizeof pieces[0])

static lm_tokenizer *make_tokenizer(void)
{
    lm_str tokens[N_PIECES];
    for (size_t i = 0; i < N_PIECES; i++)
        tokens[i] = (lm_str){pieces[i].text, strlen(pieces[i].text)};
    lm_vocab vocab = {.model = "gpt2", .pre = "gpt-2", .tokens = tokens, .n_tokens = N_PIECES};
    static const lm_str merge = {"a b", 3};
    vocab.merges = &merge;
    vocab.n_merges = 1;
    for (size_t i = 0; i < LM_SPECIAL_COUNT; i++)
        vocab.special[i] = -1;
    vocab.add_bos = vocab.add_eos = vocab.add_sep = vocab.add_space_prefix = LM_RULE_ABSENT;
    vocab.remove_extra_whitespaces = vocab.escape_whitespaces = LM_RULE_ABSENT;
    vocab.ignore_merges = vocab.clean_spaces = LM_RULE_ABSENT;
    lm_tokenizer *tokenizer = NULL;
    lm_log log = {0};
    assert_ok(lm_tokenizer_create(&m.alloc, &log, &vocab, &tokenizer));
    return tokenizer;
}

/* Tokens behind the one with which the last breaker of the text ends. */
static size_t behind_breaker(const int32_t *window, size_t n, const char *const *breakers)
{
    static char text[4000];
    static size_t owner[4000];
    size_t size = 0, last = 0, found = 0;
    for (size_t i = 0; i < n; i++)
        for (const char *b = pieces[window[i]].bytes; *b != '\0'; b++) {
            owner[size] = i;
            text[size++] = *b;
        }
    text[size] = '\0';
    for (; *breakers != NULL; breakers++)
        for (const char *at = text; (at = strstr(at, *breakers)) != NULL; at++) {
            size_t end = owner[(size_t)(at - text) + strlen(*breakers) - 1];
            last = end > last ? end : last;
            found = 1;
        }
    return found ? n - 1 - last : n;
}

static void test_dry__breakers(void **state)
{
    (void)state;
    static const char *const sets[][5] = {
        {"\n", ":", NULL},
        {"ab", NULL},
        {"abab", "a:", NULL},
        {"a", NULL},
        {"bbbb", "b\na", "\\a", NULL},
        {"aabaabaab", "abb", NULL},
        {"zzz", NULL},
        {NULL},
    };
    static const char *const params[] = {
        "\\n\n:", "ab", "abab\na:", "a", "bbbb\nb\\na\n\\\\a\n", "aabaabaab\nabb", "\nzzz", ""};
    static int32_t history[300];
    static float logits[N_PIECES];
    static oracle o;
    uint64_t random = 21;
    test_memory_init(&m);
    lm_tokenizer *tokenizer = make_tokenizer();
    unsigned broken = 0;
    for (unsigned round = 0; round < 2000; round++) {
        size_t n = test_random(&random) % 300, period = 1 + test_random(&random) % 40;
        for (size_t i = 0; i < n; i++)
            history[i] = i >= period && test_random(&random) % 40 != 0
                             ? history[i - period]
                             : (int32_t)(test_random(&random) % N_PIECES);
        const char *const *set = sets[round % 8];
        size_t limit = behind_breaker(history, n, set);
        random_logits(&random, 0, logits, N_PIECES);
        oracle_load(&o, logits, N_PIECES);
        for (int32_t id = 0; id < (int32_t)N_PIECES; id++) {
            size_t length = repetition(history, n, id, limit);
            bool is_breaker = false;
            for (size_t b = 0; set[b] != NULL; b++)
                is_breaker = is_breaker || strstr(pieces[id].bytes, set[b]) != NULL;
            if (length >= 2 && !is_breaker)
                o.logit[id] -= 0.5 * pow(1.1, (double)(length - 2 < 256 ? length - 2 : 256));
            broken += length < repetition(history, n, id, SIZE_MAX);
        }
        lm_chain *chain;
        assert_ok(lm_chain_create(&m.alloc, &chain));
        add(chain, "dry", F("multiplier", 0.5), F("base", 1.1), S("breakers", params[round % 8]));
        show(chain, logits, N_PIECES, history, n, tokenizer, &s);
        assert_shown(&s, &o);
        lm_chain_destroy(chain);
    }
    assert_true(broken > 1000); /* the breakers did matter */
    lm_tokenizer_destroy(tokenizer);
    test_memory_check(&m);
}

static void test_dry__breakers_allocate_nothing(void **state)
{
    (void)state;
    static int32_t history[200];
    static const float logits[N_PIECES] = {0};
    int32_t token;
    test_memory_init(&m);
    lm_tokenizer *tokenizer = make_tokenizer();
    lm_chain *chain, *copy;
    assert_ok(lm_chain_create(&m.alloc, &chain));
    assert_ok(lm_chain_add(chain, "dry", NULL, 0));
    assert_ok(lm_chain_reserve(chain, N_PIECES));
    assert_ok(lm_chain_clone(chain, &copy));
    history[10] = 77; /* foreign ids are no text */
    history[11] = -3;
    uint64_t calls = m.alloc.calls;
    assert_ok(lm_chain_pick(chain, logits, N_PIECES, history, 200, tokenizer, &token));
    assert_ok(lm_chain_pick(copy, logits, N_PIECES, history, 200, tokenizer, &token));
    assert_int_equal(m.alloc.calls, calls);
    lm_chain_destroy(chain);
    lm_chain_destroy(copy);
    lm_tokenizer_destroy(tokenizer);
    test_memory_check(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dry__crafted),
        cmocka_unit_test(test_dry__random_histories),
        cmocka_unit_test(test_dry__huge_penalty_stays_finite),
        cmocka_unit_test(test_dry__bad_breakers),
        cmocka_unit_test(test_dry__breakers),
        cmocka_unit_test(test_dry__breakers_allocate_nothing),
    };
    return cmocka_run_group_tests_name("dry", tests, NULL, NULL);
}
