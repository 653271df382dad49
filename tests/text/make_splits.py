#!/usr/bin/env python3
"""Makes splits.txt: python3 make_splits.py > splits.txt

The expected pieces of the pre-tokenizers, from the expressions that the models' tokenizer.json files
(or the code published with them) hold, run by the `tokenizers` package. One block per distinct
pattern: a line "= name", then per text a line of the text, escaped as in a C string, a tab, and the
lengths of its pieces in bytes.
"""
import random
import sys

from tokenizers import Regex, pre_tokenizers

TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
MARKS = r"| ?[^\s\p{L}\p{N}]+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"


def large(number, word=r"\p{L}+", tail=r"[\r\n]*", end=TAIL):
    return CONTRACTION + r"|[^\r\n\p{L}\p{N}]?" + word + "|" + number + MARKS + tail + end


def cased(number, suffix=CONTRACTION + "?", tail=r"[\r\n/]*", minus="", before=""):
    upper, lower, lead = f"[{UPPER}{minus}]", f"[{LOWER}{minus}]", r"[^\r\n\p{L}\p{N}]?"
    return (before + f"{lead}{upper}*{lower}+{suffix}|{lead}{upper}+{lower}*{suffix}|" + number +
            MARKS + tail + TAIL)


DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*" + TAIL)
DEEPSEEK_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅ"
    "Ὀ-Ὅὐ-ὗὙὛὝ\u1f5f-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌ\u1fd0-\u1fd3\u1fd6-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤ"
    "Ⳬ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")
CHINESE = "[一-龥\u3040-ゟ゠-ヿ]+"
CJK = "[一-龥ࠀ-一가-\ud7ff]+"
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
ASIAN = ("[一-鿿㐀-䶿\uf900-\ufaff\u3040-ゟ゠-ヿ\uff65-ﾟ\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff"
         "\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff가-\ud7afᄀ-ᇿ]+")
WORD = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]"
HALVES = "".join(r"|\s{%d}(?!\S)" % (1 << n) for n in range(9, 1, -1))

# The name of the first row of pretokenizers.c that has the pattern, and the expressions in order.
PATTERNS = {
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
    "gpt-2": [GPT2],
    "llama-bpe": [large(r"\p{N}{1,3}")],
    "jais-2": [large(r"\p{N}{1,3}", end=r"|\s*[\r\n]+" + HALVES + r"|\s{1,2}(?!\S)|\s{1}")],
    "qwen2": [large(r"\p{N}")],
    "qwen35": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" +
               TAIL],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
                   r"|\s*[\r\n]|\s+(?!\S)|\s+"],
    "seed-coder": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + TAIL],
    "minicpm5": [r"\p{N}{1,3}", large(r"\p{N}+")],
    "laguna": [("merged_with_next", r"(?:\r?\n)+(?!\r?\n)"), large(r"\p{N}")],
    "exaone-moe": [CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}" + MARKS +
                   r"[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"],
    "gpt-4o": [cased(r"\p{N}{1,3}")],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", cased(r"\p{N}{1,3}")],
    "tekken": [cased(r"\p{N}", suffix="")],
    "kimi-k2": [cased(r"\p{N}{1,3}", tail=r"[\r\n]*", minus=r"&&[^\p{Han}]", before=r"[\p{Han}]+|")],
    "youtu": ["[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + CHINESE, cased(r"\p{N}")],
    "deepseek-llm": ["[\r\n]", r"\s?[" + DEEPSEEK_LETTERS + "]+", r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+$",
                     CJK, r"\p{N}"],
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", CHINESE, DEEPSEEK3],
    # Digits in threes from the right, an expression of our own for what the published code does.
    "afmoe": [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", ASIAN, DEEPSEEK3],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"],
    "starcoder": [r"\p{N}", GPT2],
    "poro-chat": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    # The cut before every three digits, written so that the match is not empty.
    "superbpe": [r"\p{N}+", ("merged_with_next", r"\d(?=\d{2}(?:\d{3})*(?!\d))")],
    "chameleon": [r"<sentinel:[0-9]+>", r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", r"([\t\n]|    |  )", r"\p{N}",
                  r"[\p{P}!-/:-@\[-`{-~]", GPT2],
    "gemma4": [r"[^\n]+|[\n]+"],
    "whitespace": [r"\S+"],
}


def splitter(expressions):
    stages = []
    for e in expressions:
        behavior, expression = e if isinstance(e, tuple) else ("isolated", e)
        stages.append(pre_tokenizers.Split(Regex(expression), behavior))
    return pre_tokenizers.Sequence(stages)


def pieces(split, text):
    return [piece for piece, _ in split.pre_tokenize_str(text)]


# Words and characters on which the patterns differ.
PARTS = [
    "Hello", "world", "HTTPServer", "camelCaseWord", "ÀÉÎ", "naïve", "straße", "ǅ", "ʰ", "don't", "WE'LL",
    "it'S", "I'\u017f", "'d", "'", "''re", "’s", "1", "12", "123", "1234567", "3.14", "²", "½", "٣٤", "ⅷ", "_",
    "snake_case", "foo123bar", "日本語", "ひらがな", "カタカナ", "中文", "々", "〇", "한국어", "ㄱ", "ㄅㄆ", "हिन्दी", "ไทย",
    "عربى", "e\u0301", "\u0301", "\u0903", "\u20dd", "ﬁ", "Ａ", "𐐀", "𝔘", "🦙", "😶\u200d🌫\ufe0f", "…", "。", "，", "、", "۔",
    "।", "(", ")", "|", "$", "+", "~", "`", "^", "<=", "://", "/", "//", "...", "!!", "?", "#", "--", "<sentinel:12>",
    "<sentinel:>", "IMGIMGABZ", "IMGIMGABCDEZ", " ", "  ", "   ", "    ", "\t", "\n", "\r\n", "\r", "\n\n", " \n", "\n ",
    "\u00a0", "\u3000", "\u2028", "\x85", "\x0b", "\x00", "\x7f", "\u200b", "\ufeff", "\ue000", " a", " A", " 1", " !", "a", "Z",
]


def texts(seed):
    pick = random.Random(seed)
    for n in range(24):
        yield "".join(pick.choice(PARTS) for _ in range(pick.randint(1, 14)))


def escape(text):
    out = ""
    for byte in text.encode():
        plain = 0x20 <= byte < 0x7f and byte not in b'\\"'
        out += chr(byte) if plain else "\\x%02x" % byte
    return out


def main():
    for number, (name, expressions) in enumerate(PATTERNS.items()):
        split = splitter(expressions)
        print("= " + name)
        for text in texts(number):
            lengths = [len(piece.encode()) for piece in pieces(split, text)]
            assert sum(lengths) == len(text.encode()), (name, text)
            print(escape(text) + "\t" + " ".join(map(str, lengths)))
    print(f"{len(PATTERNS)} patterns", file=sys.stderr)


if __name__ == "__main__":
    main()
