/* test_pretokenize.c - the pieces of every pattern against stored ones of the `tokenizers` package
 * (splits.txt, made by make_splits.py), the table of names, any bytes, linear time. */
#include "support/support.h"

#include "text/pretokenize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- stored pieces ---------------------------------------------------------------------------- */

/* Undoes \xhh in place; the new length. */
static size_t unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] == 'x') {
            char hex[3] = {from[2], from[3], '\0'};
            *to = (char)strtol(hex, NULL, 16);
            from += 4;
        } else {
            *to = *from++;
        }
    }
    return (size_t)(to - text);
}

static void check_line(const lm_pretokenizer *pre, unsigned number, char *line)
{
    char *lengths = strchr(line, '\t');
    assert_non_null(lengths);
    *lengths++ = '\0';
    size_t size = unescape(line), start, end;
    lm_split split;
    lm_split_init(&split, pre->pattern, line, size);
    while (lm_split_next(&split, &start, &end)) {
        unsigned long wanted = strtoul(lengths, &lengths, 10);
        if (end - start != wanted)
            fail_msg("line %u, %s: the piece at byte %zu has %zu bytes, not %lu", number, pre->name,
                     start, end - start, wanted);
    }
    assert_int_equal(strtoul(lengths, NULL, 10), 0);
}

static void test_pretokenize__stored_pieces(void **state)
{
    (void)state;
    size_t size;
    char *file = (char *)test_read(test_file_path("text/splits.txt"), &size);
    const lm_pretokenizer *pre = NULL;
    unsigned number = 0, patterns = 0;
    for (char *line = file; *line != '\0';) {
        char *next = strchr(line, '\n');
        assert_non_null(next);
        *next = '\0';
        number++;
        if (line[0] == '=' && line[1] == ' ') {
            pre = lm_pretokenizer_find(line + 2);
            assert_non_null(pre);
            patterns++;
        } else {
            assert_non_null(pre);
            check_line(pre, number, line);
        }
        line = next + 1;
    }
    assert_int_equal(patterns, 28);
    free(file);
}

/* --- the table -------------------------------------------------------------------------------- */

static void test_pretokenize__names_are_unique(void **state)
{
    (void)state;
    size_t n = 0;
    for (const lm_pretokenizer *row; (row = lm_pretokenizer_at(n)) != NULL; n++) {
        assert_ptr_equal(lm_pretokenizer_find(row->name), row);
        assert_in_range(row->pattern->n_stages, 1, LM_MAX_STAGES);
    }
    assert_true(n > 80);
    assert_null(lm_pretokenizer_find("llama-bpe2"));
    assert_null(lm_pretokenizer_find(""));
}

/* Every pattern of the table is in the stored pieces under some name. */
static void test_pretokenize__patterns_are_stored(void **state)
{
    (void)state;
    size_t size;
    char *file = (char *)test_read(test_file_path("text/splits.txt"), &size);
    const lm_pretokenizer *row, *other;
    for (size_t i = 0; (row = lm_pretokenizer_at(i)) != NULL; i++) {
        bool found = false;
        for (size_t k = 0; (other = lm_pretokenizer_at(k)) != NULL; k++) {
            char heading[64];
            snprintf(heading, sizeof heading, "= %s\n", other->name);
            found = found || (other->pattern == row->pattern && strstr(file, heading) != NULL);
        }
        if (!found)
            fail_msg("no stored pieces for the pattern of '%s'", row->name);
    }
    free(file);
}

/* --- any bytes -------------------------------------------------------------------------------- */

/* Pieces must follow one another without gap or overlap. */
static size_t count_pieces(const lm_pattern *pattern, const char *text, size_t size)
{
    size_t n = 0, at = 0, start, end;
    lm_split split;
    lm_split_init(&split, pattern, text, size);
    for (; lm_split_next(&split, &start, &end); n++) {
        assert_true(start == at && end > start && end <= size);
        at = end;
    }
    assert_int_equal(at, size);
    return n;
}

static void test_pretokenize__random_bytes(void **state)
{
    (void)state;
    uint64_t random = 7;
    const lm_pretokenizer *row;
    for (size_t i = 0; (row = lm_pretokenizer_at(i)) != NULL; i++) {
        for (int round = 0; round < 40; round++) {
            size_t size = (size_t)(test_random(&random) % 200);
            /* An exact block, so that a sanitizer sees each byte read too many. */
            char *text = malloc(size + (size == 0));
            assert_non_null(text);
            for (size_t k = 0; k < size; k++) {
                uint64_t r = test_random(&random);
                text[k] = (char)(r % 4 == 0 ? r >> 8 : (r >> 8) % 128);
            }
            count_pieces(row->pattern, text, size);
            free(text);
        }
    }
}

static void test_pretokenize__invalid_bytes_are_symbols(void **state)
{
    (void)state;
    const lm_pattern *gpt2 = lm_pretokenizer_find("gpt-2")->pattern;
    assert_int_equal(count_pieces(gpt2,
                                  "a\xff\xfe"
                                  "b",
                                  4),
                     3);
    assert_int_equal(count_pieces(gpt2, " \xe4\xb8", 3), 1); /* cut off in a character */
    assert_int_equal(count_pieces(gpt2,
                                  "\xed\xa0\x80"
                                  "1",
                                  4),
                     2); /* a surrogate */
    assert_int_equal(count_pieces(gpt2, "a\0b", 3), 3);
    assert_int_equal(count_pieces(gpt2, "", 0), 0);
}

/* --- linear time ------------------------------------------------------------------------------ */

/* A quadratic scanner would take minutes for these and run into the test's time limit. */
static void test_pretokenize__long_runs(void **state)
{
    (void)state;
    static const char *const units[] = {
        "a",
        "A",
        " ",
        "\n",
        "\t\r",
        "1",
        "\xc2\xb2",
        "\xe4\xb8\xad",
        "\xcc\x81",
        "\xff",
        "'",
        "/",
        " a",
        "\xe4\xb8\xad"
        "A",
        "\xcc\x81"
        "A",
        "\n ",
        "1a",
        "1\xc2\xb2",
        "'s",
        "<sentinel:1",
        "IMGIMGA",
        "a ",
    };
    enum { SIZE = 200000 };
    char *text = malloc(SIZE + 1);
    assert_non_null(text);
    const lm_pretokenizer *row;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t unit = strlen(units[u]), size = SIZE / unit * unit;
        for (size_t at = 0; at < size; at += unit)
            memcpy(text + at, units[u], unit);
        const lm_pattern *last = NULL;
        for (size_t i = 0; (row = lm_pretokenizer_at(i)) != NULL; last = row->pattern, i++)
            if (row->pattern != last)
                count_pieces(row->pattern, text, size);
    }
    /* One line end, then only spaces: looked for again and again by a careless scanner. */
    memset(text, ' ', SIZE);
    text[0] = '\n';
    for (size_t i = 0; (row = lm_pretokenizer_at(i)) != NULL; i++)
        count_pieces(row->pattern, text, SIZE);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pretokenize__stored_pieces),
        cmocka_unit_test(test_pretokenize__names_are_unique),
        cmocka_unit_test(test_pretokenize__patterns_are_stored),
        cmocka_unit_test(test_pretokenize__random_bytes),
        cmocka_unit_test(test_pretokenize__invalid_bytes_are_symbols),
        cmocka_unit_test(test_pretokenize__long_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
