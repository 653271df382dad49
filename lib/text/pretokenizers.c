/* pretokenizers.c - the names that tokenizer.ggml.pre may have and what each stands for. A pattern
 * is what the tokenizer.json of the models says; the expression is written above each rule. */
#include "text/pretokenize.h"

#include "text/unicode.h"

#include <string.h>

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

/* [^\s\p{L}\p{N}] */
#define MARKS .mark_any = ~0u, .mark_none = LM_CHAR_SPACE | LM_CHAR_L | LM_CHAR_N

/* --- words ------------------------------------------------------------------------------------ */

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static const lm_words_rule gpt2_words = {
    .contraction = LM_CONTRACTION_LOWER,
    .word = lm_word_plain,
    .letters = LM_CHAR_L,
    .lead_blank = true,
    .numbers = true,
    .number_blank = true,
    MARKS,
};

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 * \s*[\r\n]+|\s+(?!\S)|\s+ */
#define LLAMA3                                                                                     \
    .contraction = LM_CONTRACTION_ANY, .word = lm_word_plain, .letters = LM_CHAR_L,                \
    .lead_none = LM_CHAR_L | LM_CHAR_N, .numbers = true, MARKS, .newlines = true

static const lm_words_rule llama3_words = {LLAMA3, .number_most = 3, .tail = LM_TAIL_NEWLINES};
/* \p{N} */
static const lm_words_rule qwen2_words = {LLAMA3, .number_most = 1, .tail = LM_TAIL_NEWLINES};
/* \p{N}+ */
static const lm_words_rule minicpm5_words = {LLAMA3, .tail = LM_TAIL_NEWLINES};
/* \p{N} and no [\r\n]* */
static const lm_words_rule seed_coder_words = {LLAMA3, .number_most = 1};
/* \p{N}{1,3} and \s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1} for spaces */
static const lm_words_rule jais2_words = {LLAMA3, .number_most = 3, .tail = LM_TAIL_NEWLINES,
                                          .halving = true};

/* ...|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|... */
static const lm_words_rule qwen35_words = {
    .contraction = LM_CONTRACTION_ANY,
    .word = lm_word_plain,
    .letters = LM_CHAR_L | LM_CHAR_M,
    .lead_none = LM_CHAR_L | LM_CHAR_N,
    .numbers = true,
    .number_most = 1,
    .mark_any = ~0u,
    .mark_none = LM_CHAR_SPACE | LM_CHAR_L | LM_CHAR_M | LM_CHAR_N,
    .tail = LM_TAIL_NEWLINES,
    .newlines = true,
};

/* ...|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|
 * \s*[\r\n]|... */
static const lm_words_rule exaone_moe_words = {
    .contraction = LM_CONTRACTION_ANY,
    .word = lm_word_phrase,
    .lead_none = LM_CHAR_L | LM_CHAR_N,
    .numbers = true,
    .number_most = 1,
    MARKS,
    .tail = LM_TAIL_ONE,
    .newlines = true,
};

/* [!-/:-@[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|
 * \s*[\r\n]+|\s+(?!\S)|\s+ */
static const lm_words_rule deepseek3_words = {
    .marked_word = true,
    .word = lm_word_plain,
    .letters = LM_CHAR_L | LM_CHAR_M,
    .lead_none = LM_CHAR_L | LM_CHAR_P | LM_CHAR_S,
    .mark_any = LM_CHAR_P | LM_CHAR_S,
    .tail = LM_TAIL_NEWLINES,
    .newlines = true,
};

/* With U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], L = [\p{Ll}\p{Lm}\p{Lo}\p{M}] and P =
 * [^\r\n\p{L}\p{N}]: P?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|P?U+L*(?i:'s|...)?|\p{N}{1,3}|
 * ?[^\s\p{L}\p{N}]+[\r\n/]*| \s*[\r\n]+|\s+(?!\S)|\s+ */
#define CASED                                                                                      \
    .word = lm_word_cased, .lead_none = LM_CHAR_L | LM_CHAR_N, .numbers = true, MARKS,             \
    .newlines = true

static const lm_words_rule o200k_words = {CASED, .suffix = LM_CONTRACTION_ANY, .number_most = 3,
                                          .tail = LM_TAIL_SLASHES};
/* \p{N} */
static const lm_words_rule youtu_words = {CASED, .suffix = LM_CONTRACTION_ANY, .number_most = 1,
                                          .tail = LM_TAIL_SLASHES};
/* \p{N} and no contractions */
static const lm_words_rule tekken_words = {CASED, .number_most = 1, .tail = LM_TAIL_SLASHES};
/* [\p{Han}]+|..., U and L without Han, and [\r\n]* */
static const lm_words_rule kimi_words = {CASED,
                                         .han = true,
                                         .letters_none = LM_CHAR_HAN,
                                         .suffix = LM_CONTRACTION_ANY,
                                         .number_most = 3,
                                         .tail = LM_TAIL_NEWLINES};

/* --- runs ------------------------------------------------------------------------------------- */

#define RANGES(array) .ranges = (array), .n_ranges = COUNT(array)

static const lm_char_set numbers = {.any = LM_CHAR_N};
static const lm_run_rule each_number = {&numbers, LM_LEAD_NONE, 1, 1};
static const lm_run_rule number_run = {&numbers, LM_LEAD_NONE, 1, 0};
static const lm_run_rule number_threes = {&numbers, LM_LEAD_NONE, 1, 3};

static const lm_char_range ascii_digit_ranges[] = {{'0', '9'}};
static const lm_char_set ascii_digits = {RANGES(ascii_digit_ranges)};
/* [0-9][0-9][0-9] */
static const lm_run_rule three_digits = {&ascii_digits, LM_LEAD_NONE, 3, 3};

/* [\p{P}\$\+<=>\^~\|]+ and the same with ` */
static const lm_char_range default_mark_ranges[] = {{'$', '$'}, {'+', '+'}, {'<', '>'},
                                                    {'^', '^'}, {'|', '|'}, {'~', '~'}};
static const lm_char_set default_marks = {.any = LM_CHAR_P, RANGES(default_mark_ranges)};
static const lm_run_rule default_mark_run = {&default_marks, LM_LEAD_NONE, 1, 0};
static const lm_char_range ascii_mark_ranges[] = {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}};
static const lm_char_set ascii_marks = {.any = LM_CHAR_P, RANGES(ascii_mark_ranges)};
static const lm_run_rule mark_run = {&ascii_marks, LM_LEAD_NONE, 1, 0};
/* [\p{P}!-/:-@\[-`{-~] */
static const lm_run_rule each_mark = {&ascii_marks, LM_LEAD_NONE, 1, 1};

/* [\r\n] */
static const lm_char_range line_end_ranges[] = {{'\n', '\n'}, {'\r', '\r'}};
static const lm_char_set line_ends = {RANGES(line_end_ranges)};
static const lm_run_rule each_line_end = {&line_ends, LM_LEAD_NONE, 1, 1};

/* [^\n]+|[\n]+ */
static const lm_char_range line_feed_ranges[] = {{'\n', '\n'}};
static const lm_char_set line_feeds = {RANGES(line_feed_ranges)};
static const lm_run_rule line_feed_run = {&line_feeds, LM_LEAD_NONE, 1, 0};

/* \s?\p{L}+ and \s?\p{P}+ */
static const lm_char_set letters = {.any = LM_CHAR_L};
static const lm_run_rule spaced_letters = {&letters, LM_LEAD_SPACE, 1, 0};
static const lm_char_set punctuation = {.any = LM_CHAR_P};
static const lm_run_rule spaced_punctuation = {&punctuation, LM_LEAD_SPACE, 1, 0};

/* [一-龥ࠀ-一가-퟿]+ */
static const lm_char_range cjk_ranges[] = {{0x800, 0x9fa5}, {0xac00, 0xd7ff}};
static const lm_char_set cjk = {RANGES(cjk_ranges)};
static const lm_run_rule cjk_run = {&cjk, LM_LEAD_NONE, 1, 0};

/* [一-龥぀-ゟ゠-ヿ]+ */
static const lm_char_range chinese_ranges[] = {{0x3040, 0x30ff}, {0x4e00, 0x9fa5}};
static const lm_char_set chinese = {RANGES(chinese_ranges)};
static const lm_run_rule chinese_run = {&chinese, LM_LEAD_NONE, 1, 0};

/* \s?[A-Za-zµÀ-ÖØ-öø-ƺ...]+: the cased letters as one model's authors listed them. */
static const lm_char_range deepseek_letter_ranges[] = {
    {0x41, 0x5a},       {0x61, 0x7a},       {0xb5, 0xb5},       {0xc0, 0xd6},
    {0xd8, 0xf6},       {0xf8, 0x1ba},      {0x1bc, 0x1bf},     {0x1c4, 0x293},
    {0x295, 0x2af},     {0x370, 0x373},     {0x376, 0x377},     {0x37b, 0x37d},
    {0x37f, 0x37f},     {0x386, 0x386},     {0x388, 0x38a},     {0x38c, 0x38c},
    {0x38e, 0x3a1},     {0x3a3, 0x3f5},     {0x3f7, 0x481},     {0x48a, 0x52f},
    {0x531, 0x556},     {0x10a0, 0x10c5},   {0x13a0, 0x13f5},   {0x13f8, 0x13fd},
    {0x1c90, 0x1cba},   {0x1cbd, 0x1cbf},   {0x1d00, 0x1d2b},   {0x1d6b, 0x1d77},
    {0x1d79, 0x1d9a},   {0x1e00, 0x1f15},   {0x1f18, 0x1f1d},   {0x1f20, 0x1f45},
    {0x1f48, 0x1f4d},   {0x1f50, 0x1f57},   {0x1f59, 0x1f59},   {0x1f5b, 0x1f5b},
    {0x1f5d, 0x1f5d},   {0x1f5f, 0x1f7d},   {0x1f80, 0x1fb4},   {0x1fb6, 0x1fbc},
    {0x1fbe, 0x1fbe},   {0x1fc2, 0x1fc4},   {0x1fc6, 0x1fcc},   {0x1fd0, 0x1fd3},
    {0x1fd6, 0x1fdb},   {0x1fe0, 0x1fec},   {0x1ff2, 0x1ff4},   {0x1ff6, 0x1ffc},
    {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210a, 0x2113},   {0x2115, 0x2115},
    {0x2119, 0x211d},   {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},
    {0x212a, 0x212d},   {0x212f, 0x2134},   {0x2139, 0x2139},   {0x213c, 0x213f},
    {0x2145, 0x2149},   {0x214e, 0x214e},   {0x2183, 0x2184},   {0x2c00, 0x2c7b},
    {0x2c7e, 0x2ce4},   {0x2ceb, 0x2cee},   {0x2cf2, 0x2cf3},   {0xa640, 0xa66d},
    {0xa680, 0xa69b},   {0xa722, 0xa76f},   {0xa771, 0xa787},   {0xa78b, 0xa78e},
    {0xab70, 0xabbf},   {0xfb00, 0xfb06},   {0xfb13, 0xfb17},   {0xff21, 0xff3a},
    {0xff41, 0xff5a},   {0x10400, 0x1044f}, {0x104b0, 0x104d3}, {0x104d8, 0x104fb},
    {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df}, {0x1e900, 0x1e943},
};
static const lm_char_set deepseek_letters = {RANGES(deepseek_letter_ranges)};
static const lm_run_rule deepseek_letter_run = {&deepseek_letters, LM_LEAD_SPACE, 1, 0};

/* \s?[!-/:-~！-／：-～‘-‟　-。]+ */
static const lm_char_range deepseek_mark_ranges[] = {
    {'!', '/'}, {':', '~'}, {0x2018, 0x201f}, {0x3000, 0x3002}, {0xff01, 0xff0f}, {0xff1a, 0xff5e}};
static const lm_char_set deepseek_marks = {RANGES(deepseek_mark_ranges)};
static const lm_run_rule deepseek_mark_run = {&deepseek_marks, LM_LEAD_SPACE, 1, 0};

/* [가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+: no character is in two
 * of the sets, so one after the other cuts alike. */
static const lm_char_range youtu_hangul_ranges[] = {{0x3131, 0x318e}, {0xac00, 0xd7a3}};
static const lm_char_set youtu_hangul = {RANGES(youtu_hangul_ranges)};
static const lm_run_rule youtu_hangul_run = {&youtu_hangul, LM_LEAD_NONE, 1, 0};
static const lm_char_range youtu_mark_ranges[] = {
    {0x2014, 0x2014}, {0x2018, 0x2019}, {0x201c, 0x201d}, {0x2026, 0x2026}, {0x3001, 0x303f},
    {0xfe30, 0xfe4f}, {0xff01, 0xff01}, {0xff0c, 0xff0c}, {0xff1a, 0xff1b}};
static const lm_char_set youtu_marks = {RANGES(youtu_mark_ranges)};
static const lm_run_rule youtu_mark_run = {&youtu_marks, LM_LEAD_NONE, 1, 0};
static const lm_char_range bopomofo_ranges[] = {{0x3105, 0x312f}};
static const lm_char_set bopomofo = {RANGES(bopomofo_ranges)};
static const lm_run_rule bopomofo_run = {&bopomofo, LM_LEAD_NONE, 1, 0};

/* Han, kana, Thai from U+0E40 on, Lao, Khmer, Myanmar, Hangul: [一-鿿㐀-䶿...ᄀ-ᇿ]+ */
static const lm_char_range asian_ranges[] = {
    {0xe40, 0xeff},   {0x1000, 0x109f}, {0x1100, 0x11ff}, {0x1780, 0x17ff}, {0x2f00, 0x2fdf},
    {0x3040, 0x30ff}, {0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xa9e0, 0xa9ff}, {0xaa60, 0xaa7f},
    {0xac00, 0xd7af}, {0xf900, 0xfaff}, {0xff65, 0xff9f}};
static const lm_char_set asian = {RANGES(asian_ranges)};
static const lm_run_rule asian_run = {&asian, LM_LEAD_NONE, 1, 0};

/* " ?[^(\s|.,!?…。，、।۔،)]+" */
static const lm_char_range bloom_ranges[] = {{'!', '!'},       {'(', ')'},       {',', ','},
                                             {'.', '.'},       {'?', '?'},       {'|', '|'},
                                             {0x60c, 0x60c},   {0x6d4, 0x6d4},   {0x964, 0x964},
                                             {0x2026, 0x2026}, {0x3001, 0x3002}, {0xff0c, 0xff0c}};
static const lm_char_set bloom = {.any = LM_CHAR_SPACE, RANGES(bloom_ranges), .inverted = true};
static const lm_run_rule bloom_run = {&bloom, LM_LEAD_BLANK, 1, 0};

/* \S+ */
static const lm_char_set visible = {.any = ~0u, .none = LM_CHAR_SPACE};
static const lm_run_rule visible_run = {&visible, LM_LEAD_NONE, 1, 0};

/* Digits in threes from the right; (?=(\d{3})+(?!\d)); \d{1,3}(?=(?:\d{3})*\b) */
static const lm_group_rule number_groups = {.digits = LM_CHAR_N};
static const lm_group_rule joined_groups = {.digits = LM_CHAR_ND, .joined = true};
static const lm_group_rule word_end_groups = {.digits = LM_CHAR_ND, .before_end = true};

/* --- patterns --------------------------------------------------------------------------------- */

#define WORDS(rule)                                                                                \
    {                                                                                              \
        lm_stage_words, &(rule)                                                                    \
    }
#define RUN(rule)                                                                                  \
    {                                                                                              \
        lm_stage_run, &(rule)                                                                      \
    }
#define GROUPS(rule)                                                                               \
    {                                                                                              \
        lm_stage_groups, &(rule)                                                                   \
    }
#define PATTERN(name, ...)                                                                         \
    static const lm_pattern name = {{__VA_ARGS__},                                                 \
                                    sizeof((lm_stage[]){__VA_ARGS__}) / sizeof(lm_stage)}

PATTERN(fallback, RUN(default_mark_run), WORDS(gpt2_words), RUN(number_run), RUN(three_digits));
PATTERN(gpt2, WORDS(gpt2_words));
PATTERN(llama3, WORDS(llama3_words));
PATTERN(qwen2, WORDS(qwen2_words));
PATTERN(qwen35, WORDS(qwen35_words));
PATTERN(jais2, WORDS(jais2_words));
PATTERN(seed_coder, WORDS(seed_coder_words));
PATTERN(minicpm5, RUN(number_threes), WORDS(minicpm5_words));
PATTERN(exaone_moe, WORDS(exaone_moe_words));
PATTERN(o200k, WORDS(o200k_words));
PATTERN(tekken, WORDS(tekken_words));
PATTERN(kimi, WORDS(kimi_words));
PATTERN(tiny_aya, GROUPS(word_end_groups), WORDS(o200k_words));
PATTERN(falcon, RUN(mark_run), WORDS(gpt2_words), RUN(three_digits));
PATTERN(starcoder, RUN(each_number), WORDS(gpt2_words));
PATTERN(deepseek_llm, RUN(each_line_end), RUN(deepseek_letter_run), RUN(deepseek_mark_run),
        {lm_stage_trailing_space, NULL}, RUN(cjk_run), RUN(each_number));
PATTERN(deepseek_coder, RUN(each_line_end), RUN(spaced_letters), RUN(spaced_punctuation),
        RUN(cjk_run), RUN(each_number));
PATTERN(deepseek3, RUN(number_threes), RUN(chinese_run), WORDS(deepseek3_words));
PATTERN(afmoe, GROUPS(number_groups), RUN(asian_run), WORDS(deepseek3_words));
PATTERN(youtu, RUN(youtu_hangul_run), RUN(youtu_mark_run), RUN(bopomofo_run), RUN(chinese_run),
        WORDS(youtu_words));
PATTERN(superbpe, RUN(number_run), GROUPS(joined_groups));
PATTERN(poro, RUN(bloom_run));
PATTERN(viking, RUN(bloom_run), RUN(each_number));
PATTERN(chameleon, {lm_stage_sentinels, NULL}, {lm_stage_images, NULL}, {lm_stage_indents, NULL},
        RUN(each_number), RUN(each_mark), WORDS(gpt2_words));
PATTERN(laguna, {lm_stage_lines, NULL}, WORDS(qwen2_words));
PATTERN(lines, RUN(line_feed_run));
PATTERN(white_space, RUN(visible_run));

/* --- names ------------------------------------------------------------------------------------ */

#define LLAMA3_FLAGS LM_PRE_WHOLE | LM_PRE_BOS
#define GEMMA4_FLAGS LM_PRE_RAW | LM_PRE_META_SPACE | LM_PRE_ALWAYS_BOS | LM_PRE_WHOLE_NEWLINES

static const lm_pretokenizer rows[] = {
    {"default", &fallback, 0},
    {"gpt-2", &gpt2, 0},
    {"llama-bpe", &llama3, LLAMA3_FLAGS},
    {"llama3", &llama3, LLAMA3_FLAGS},
    {"llama-v3", &llama3, LLAMA3_FLAGS},
    {"falcon3", &llama3, LLAMA3_FLAGS},
    {"falcon-h1", &llama3, LLAMA3_FLAGS},
    {"pixtral", &llama3, LLAMA3_FLAGS},
    {"midm-2.0", &llama3, LLAMA3_FLAGS},
    {"lfm2", &llama3, LLAMA3_FLAGS},
    {"jina-v5-nano", &llama3, LLAMA3_FLAGS},
    {"dbrx", &llama3, 0},
    {"smaug-bpe", &llama3, 0},
    {"glm4", &llama3, 0},
    {"chatglm-bpe", &llama3, 0},
    {"jais-2", &jais2, 0},
    {"qwen2", &qwen2, 0},
    {"deepseek-r1-qwen", &qwen2, 0},
    {"kormo", &qwen2, 0},
    {"f2llmv2", &qwen2, 0},
    {"megrez", &qwen2, 0},
    {"stablelm2", &qwen2, 0},
    {"hunyuan", &qwen2, 0},
    {"solar-open", &qwen2, 0},
    {"grok-2", &qwen2, 0},
    {"bailingmoe", &qwen2, 0},
    {"bailingmoe2", &qwen2, 0},
    {"llada-moe", &qwen2, 0},
    {"qwen35", &qwen35, 0},
    {"seed-coder", &seed_coder, 0},
    {"minicpm5", &minicpm5, LM_PRE_WHOLE},
    {"laguna", &laguna, 0},
    {"exaone-moe", &exaone_moe, 0},
    {"gpt-4o", &o200k, 0},
    {"llama4", &o200k, 0},
    {"kanana2", &o200k, 0},
    {"talkie", &o200k, 0},
    {"minimax-m2", &o200k, 0},
    {"granite-embed-multi-97m", &o200k, LM_PRE_WHOLE},
    {"tiny_aya", &tiny_aya, 0},
    {"cohere2moe", &tiny_aya, 0},
    {"tekken", &tekken, LM_PRE_WHOLE | LM_PRE_BOS},
    {"kimi-k2", &kimi, 0},
    {"youtu", &youtu, LM_PRE_WHOLE},
    {"deepseek-llm", &deepseek_llm, 0},
    {"deepseek-coder", &deepseek_coder, 0},
    {"deepseek-v3", &deepseek3, 0},
    {"hunyuan-dense", &deepseek3, 0},
    {"joyai-llm", &deepseek3, 0},
    {"afmoe", &afmoe, 0},
    {"falcon", &falcon, 0},
    {"starcoder", &starcoder, 0},
    {"refact", &starcoder, 0},
    {"command-r", &starcoder, 0},
    {"smollm", &starcoder, 0},
    {"codeshell", &starcoder, 0},
    {"exaone", &starcoder, 0},
    {"minerva-7b", &starcoder, 0},
    {"mellum2", &starcoder, 0},
    {"mpt", &gpt2, 0},
    {"olmo", &gpt2, 0},
    {"jais", &gpt2, 0},
    {"trillion", &gpt2, 0},
    {"granite-docling", &gpt2, 0},
    {"exaone4", &gpt2, 0},
    {"phi-2", &gpt2, 0},
    {"gigachat", &gpt2, 0},
    {"a.x-4.0", &gpt2, 0},
    {"mellum", &gpt2, 0},
    {"modern-bert", &gpt2, 0},
    {"roberta-bpe", &gpt2, 0},
    {"jina-es", &gpt2, 0},
    {"jina-de", &gpt2, 0},
    {"jina-v1-en", &gpt2, 0},
    {"jina-v2-es", &gpt2, 0},
    {"jina-v2-de", &gpt2, 0},
    {"jina-v2-code", &gpt2, 0},
    {"poro-chat", &poro, 0},
    {"bloom", &poro, 0},
    {"gpt3-finnish", &poro, 0},
    {"viking", &viking, 0},
    {"superbpe", &superbpe, 0},
    {"chameleon", &chameleon, LM_PRE_BOS},
    {"gemma4", &lines, GEMMA4_FLAGS},
    {"granite-embed-multi-311m", &lines, GEMMA4_FLAGS},
    {"sarvam-moe", &lines, LM_PRE_RAW | LM_PRE_META_SPACE},
    {"whitespace", &white_space, LM_PRE_RAW | LM_PRE_DROP_SPACE},
};

const lm_pretokenizer *lm_pretokenizer_find(const char *name)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

const lm_pretokenizer *lm_pretokenizer_at(size_t index)
{
    return index < COUNT(rows) ? &rows[index] : NULL;
}
