#!/usr/bin/env python3
"""Makes mixed.txt, mixed_*.ids and the tables of corpora in test_*.c: python3 make_mixed.py TESTDATA

The ids are those of the publishers' own programs: the packages `sentencepiece` (Mistral v1 and the
1000-piece Unigram) and `tokenizers` (BERT and BPE, with the vocabularies of the GGUF files, which needs
`gguf`), and the greedy longest match that defines RWKV's World vocabulary, written out below.
"""
import ast
import pathlib
import random
import sys

import gguf
import sentencepiece
import tokenizers

import make_splits

HERE = pathlib.Path(__file__).parent
CORPORA = ("botchan.txt", "tinyshakespeare.txt", "war-and-peace.txt", "wikitext-2-raw-test.txt")
SENTENCES = (
    "Hello, y'all! We don't know what they're up to; it's 10:45 p.m. already...",
    "Der schnelle braune Fuchs springt über den faulen Hund; Größe & Maßstäbe!",
    "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë.",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy. İstanbul ıIiİ",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак ґанок",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία; ΣΊΣΥΦΟΣ ς",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "نص حكيم له سر قاطع وذو شأن عظيم ﷺ ٣٤٥",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है।",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามหมาขี้เกียจ",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "いろはにほへと ちりぬるを。テスト、ｶﾀｶﾅ ㍿ ㎏",
    "快速的棕色狐狸跳过了懒狗，随后睡着了。龍馬 豈更",
    "x = [i**2 for i in range(10)]  # code; if (a && b) { return 0x1F; }",
    "https://example.com/?q=a%20b&c=d#e <b>bold</b> user@example.org C:\\dir\\file",
    "1 22 333 4444 55555 666666 1,000,000.50 € ½ ² ³ ① Ⅷ 3⁄4 −5 ±7 ½",
    "   leading, trailing   and    many     spaces      ",
    "tab\there\ttoo, zero\u200bwidth\u200djoin\ufeff no\u00a0break ideographic\u3000em\u2003space",
    "control\x01 \x7f \x85 \x0b\x0c characters",
    "😀 👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ™ ℌ Å é ﬁ ﬀ ſ ß ẞ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ========================== -- ____",
    "supercalifragilisticexpialidocious antidisestablishmentarianism" + "z" * 101,
    "<s> </s> <unk> <0x41> [INST] are text here, not tokens",
    "!\"#$%&'()*+,-./:;<=>?@\\]^_`{|}~ «guillemets» “quotes” ‘single’ – — … ¿ ¡ · • § ¶ † ‡",
    "",
    " ",
    "  ",
)
# Characters whose classes have not changed since Unicode 8.
BLOCKS = (
    (0x21, 0x7E), (0x21, 0x7E), (0xA1, 0x17F), (0x391, 0x3A1), (0x3B1, 0x3C9), (0x410, 0x44F),
    (0x5D0, 0x5EA), (0x627, 0x63A), (0x905, 0x939), (0xE01, 0xE2E), (0x1E00, 0x1EF9),
    (0x2190, 0x21FF), (0x2200, 0x22FF), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5),
    (0xAC00, 0xD7A3), (0xF900, 0xFA2D), (0xFF01, 0xFF5E), (0x1D400, 0x1D454), (0x1F300, 0x1F320),
    (0x20000, 0x20100),
)


def mixed_lines():
    r = random.Random(20)
    lines = list(SENTENCES)
    for _ in range(50):
        words = " ".join(r.sample(SENTENCES, 3)).split(" ")
        r.shuffle(words)
        lines.append(" ".join(words[:24]))
    for _ in range(50):
        characters = [chr(r.randint(*r.choice(BLOCKS))) for _ in range(r.randint(1, 40))]
        for _ in range(len(characters) // 6):
            characters.insert(r.randint(0, len(characters)), " ")
        lines.append("".join(characters))
    return lines


def rwkv_encoder(path):
    ids = {}
    for line in open(path, encoding="utf-8"):
        number, rest = line.split(" ", 1)
        token = ast.literal_eval(rest.rsplit(" ", 1)[0])
        ids[token.encode() if isinstance(token, str) else token] = int(number)
    longest = max(map(len, ids))

    def encode(text):
        data, at, out = text.encode(), 0, []
        while at < len(data):
            size = next(n for n in range(longest, 0, -1) if data[at:at + n] in ids)
            out.append(ids[data[at:at + size]])
            at += size
        return out

    return encode


def strings(path, key):
    field = gguf.GGUFReader(path).fields["tokenizer.ggml." + key]
    return [bytes(field.parts[part]).decode() for part in field.data]


def bpe_encoder(path, pattern):
    vocab = {token: number for number, token in enumerate(strings(path, "tokens"))}
    merges = [tuple(merge.split(" ")) for merge in strings(path, "merges")]
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=merges))
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        make_splits.splitter(make_splits.PATTERNS[pattern]),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return lambda text: bpe.encode(text, add_special_tokens=False).ids


def bert_encoder(path):
    vocab = {}
    for number, token in enumerate(strings(path, "tokens")):
        marked = token.startswith("[") and token.endswith("]") and len(token) > 2
        own = token[1:] if token.startswith("\u2581") else token if marked else "##" + token
        vocab[own] = number
    bert = tokenizers.BertWordPieceTokenizer(vocab, lowercase=True)
    return lambda text: bert.encode(text, add_special_tokens=False).ids


def fnv(ids):
    value = 0xCBF29CE484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


def main():
    data = pathlib.Path(sys.argv[1])
    spm = data / "vocab" / "spm"
    mistral = sentencepiece.SentencePieceProcessor(model_file=str(spm / "mistral-tokenizer.model.v1"))
    unigram = sentencepiece.SentencePieceProcessor(
        model_file=str(spm / "sentencepiece-test_model-unigram1000.model"))
    encoders = {
        "mistral": mistral.encode, "unigram": unigram.encode,
        "rwkv": rwkv_encoder(data / "vocab" / "rwkv" / "rwkv_vocab_v20230424.txt"),
        "bge": bert_encoder(data / "vocab" / "ggml-vocab-bert-bge.gguf"),
        "gpt2": bpe_encoder(data / "vocab" / "ggml-vocab-gpt-2.gguf", "gpt-2"),
        "qwen2": bpe_encoder(data / "vocab" / "made-vocab-qwen2.gguf", "qwen2"),
    }
    lines = mixed_lines()
    (HERE / "mixed.txt").write_text("".join(line + "\n" for line in lines), "utf-8", newline="")
    for name, encode in encoders.items():
        ids = "".join(" ".join(map(str, encode(line))) + "\n" for line in lines)
        (HERE / f"mixed_{name}.ids").write_text(ids, "ascii")
        print(name)
        for corpus in CORPORA:
            text = (data / "text" / corpus).read_bytes().decode("utf-8")
            ids = encode(text)
            print(f'    {{"{corpus}", {len(ids)}, 0x{fnv(ids):016x}u}},')


if __name__ == "__main__":
    main()
