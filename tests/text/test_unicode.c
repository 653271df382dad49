/* test_unicode.c - characters: reading and writing UTF-8, categories, case, decomposition. */
#include "support/support.h"

#include "text/unicode.h"
#include "text/utf8.h"

#include <string.h>

static void test_utf8__every_character(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        char bytes[4];
        uint32_t back;
        size_t size = lm_utf8_encode(c, bytes);
        size_t read = lm_utf8_decode(bytes, size, &back);
        if (read != size || back != c)
            fail_msg("U+%04X came back as U+%04X", (unsigned)c, (unsigned)back);
        if (size > 1 && lm_utf8_decode(bytes, size - 1, &back) != 1)
            fail_msg("U+%04X was read beyond its end", (unsigned)c);
    }
}

static void test_utf8__malformed(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc3(",
        "\xe4\xb8(",
        "\xf0\x9f\xa6(",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        uint32_t c;
        assert_int_equal(lm_utf8_decode(malformed[i], strlen(malformed[i]), &c), 1);
        assert_int_equal(c, LM_UTF8_INVALID);
    }
    char bytes[4];
    assert_int_equal(lm_utf8_encode(0xd800, bytes), 3);
    assert_memory_equal(bytes, "\xef\xbf\xbd", 3);
    assert_int_equal(lm_utf8_encode(0x110000, bytes), 3);
    assert_memory_equal(bytes, "\xef\xbf\xbd", 3);
}

static void test_unicode__classes(void **state)
{
    (void)state;
    static const struct {
        uint32_t c, bits;
    } known[] = {
        {'A', LM_CHAR_LU | LM_CHAR_WORD},
        {'z', LM_CHAR_LL | LM_CHAR_WORD},
        {'5', LM_CHAR_ND | LM_CHAR_WORD},
        {'_', LM_CHAR_PC | LM_CHAR_WORD},
        {'!', LM_CHAR_PO},
        {'$', LM_CHAR_S},
        {' ', LM_CHAR_Z | LM_CHAR_SPACE},
        {'\n', LM_CHAR_CC | LM_CHAR_SPACE},
        {0, LM_CHAR_CC},
        {0x1f, LM_CHAR_CC}, /* the separators of ASCII are no White_Space */
        {0x85, LM_CHAR_CC | LM_CHAR_SPACE},
        {0xa0, LM_CHAR_Z | LM_CHAR_SPACE},
        {0xad, LM_CHAR_CF},
        {0xb2, LM_CHAR_NO | LM_CHAR_WORD},
        {0x1c5, LM_CHAR_LT | LM_CHAR_WORD},
        {0x2b0, LM_CHAR_LM | LM_CHAR_WORD},
        {0x301, LM_CHAR_MN | LM_CHAR_WORD},
        {0x903, LM_CHAR_MC | LM_CHAR_WORD},
        {0x20dd, LM_CHAR_MC | LM_CHAR_WORD},
        {0x200b, LM_CHAR_CF},
        {0x2177, LM_CHAR_NL | LM_CHAR_WORD},
        {0x3000, LM_CHAR_Z | LM_CHAR_SPACE},
        {0x3007, LM_CHAR_NL | LM_CHAR_HAN | LM_CHAR_WORD},
        {0x3042, LM_CHAR_LO | LM_CHAR_WORD},
        {0x4e2d, LM_CHAR_LO | LM_CHAR_HAN | LM_CHAR_WORD},
        {0xe000, LM_CHAR_CX},
        {0xfffd, LM_CHAR_S},
        {0x1d400, LM_CHAR_LU | LM_CHAR_WORD},
        {0x1f999, LM_CHAR_S},
        {0x20000, LM_CHAR_LO | LM_CHAR_HAN | LM_CHAR_WORD},
        {0x10ffff, LM_CHAR_CX},
        {0x110000, LM_CHAR_CX},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (lm_unicode_class(known[i].c) != known[i].bits)
            fail_msg("U+%04X has the bits %x, not %x", (unsigned)known[i].c,
                     (unsigned)lm_unicode_class(known[i].c), (unsigned)known[i].bits);
}

static void test_unicode__one_category_each(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint32_t category = lm_unicode_class(c) & (LM_CHAR_SPACE - 1);
        if (category == 0 || (category & (category - 1)) != 0)
            fail_msg("U+%04X has no category or several", (unsigned)c);
    }
}

static void test_unicode__case(void **state)
{
    (void)state;
    static const uint32_t pairs[][2] = {
        {'A', 'a'},       {'Z', 'z'},         {0xc0, 0xe0},       {0x100, 0x101}, {0x17d, 0x17e},
        {0x391, 0x3b1},   {0x410, 0x430},     {0x531, 0x561},     {0x1e9e, 0xdf}, {0x24b6, 0x24d0},
        {0xff21, 0xff41}, {0x10400, 0x10428}, {0x1e900, 0x1e922},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(lm_unicode_lower(pairs[i][0]), pairs[i][1]);
        assert_int_equal(lm_unicode_lower(pairs[i][1]), pairs[i][1]);
        if (pairs[i][1] != 0xdf) /* has no single upper case */
            assert_int_equal(lm_unicode_upper(pairs[i][1]), pairs[i][0]);
    }
    static const uint32_t same[] = {'1', '[', '@', 0xd7, 0xf7, 0x4e2d, 0x1f999, 0x10ffff};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(lm_unicode_lower(same[i]), same[i]);
        assert_int_equal(lm_unicode_upper(same[i]), same[i]);
    }
}

static void check_decomposition(uint32_t c, const uint32_t *wanted, uint32_t n)
{
    uint32_t parts[LM_DECOMPOSED_MAX];
    assert_int_equal(lm_unicode_decompose(c, parts), n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(parts[i], wanted[i]);
}

static void test_unicode__decomposition(void **state)
{
    (void)state;
    check_decomposition('a', (uint32_t[]){'a'}, 1);
    check_decomposition(0xe9, (uint32_t[]){'e', 0x301}, 2);
    check_decomposition(0x1ee9, (uint32_t[]){'u', 0x31b, 0x301}, 3);
    check_decomposition(0x1f82, (uint32_t[]){0x3b1, 0x313, 0x300, 0x345}, 4);
    check_decomposition(0x212b, (uint32_t[]){'A', 0x30a}, 2);
    check_decomposition(0xac00, (uint32_t[]){0x1100, 0x1161}, 2);
    check_decomposition(0xd7a3, (uint32_t[]){0x1112, 0x1175, 0x11c2}, 3);
    check_decomposition(0x2fa1d, (uint32_t[]){0x2a600}, 1);
    check_decomposition(0x4e2d, (uint32_t[]){0x4e2d}, 1);
    check_decomposition(0x10ffff, (uint32_t[]){0x10ffff}, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8__every_character),
        cmocka_unit_test(test_utf8__malformed),
        cmocka_unit_test(test_unicode__classes),
        cmocka_unit_test(test_unicode__one_category_each),
        cmocka_unit_test(test_unicode__case),
        cmocka_unit_test(test_unicode__decomposition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
