"""Writes fixtures/tokenizer-transformers.json: what transformers makes of a tokenizer directory that Rookery wrote.

Run from the repository root:
    python test/oracle/tokenizer_transformers.py
Needs transformers and tokenizers (5.18.0 and 0.23.2 made the committed file). The directory is fixtures/tokenizer; a
test in src/text keeps it equal to what Rookery writes now.
"""

import hashlib
import json

import tokenizers
import transformers
from transformers import AutoTokenizer

FOLDER = "test/oracle/fixtures/tokenizer"
FIXTURE = "test/oracle/fixtures/tokenizer-transformers.json"

TEXTS = [
    "",
    "Hello, world! It's 2024; they'll say I'd've known.",
    "WE'LL it'ſ 'sun don''t",
    "腾讯混元大模型。海水为什么是咸的？",
    "こんにちは、世界！안녕하세요 세계 مرحبا بالعالم नमस्ते",
    "🙂🙂 👨‍👩‍👧 🇫🇷 ①½٣ 𝐀",
    "e\u0301 é n\u0303 \u1100\u1161 가 Å \u212b ﬁ",
    "for (let i = 0; i < 10; i++) {\n\tconsole.log(`i is ${i}`);\n}\r\n\r\n   end   ",
    "a\u0085\u0085b \ufeff\ufeff c\u00a0\u00a0d\u2028e\u3000f",
    "\u0000\u0001\u007f \t\t\n \n\n  \n x",
    "\ufeffbyte order mark",
    "user text with <|eos|> and <|extra_0|><|startoftext|> in it, <|nonsense|> too",
    "<|endoftext|>",
    "lone <|eos and |> and <||>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]

CHATS = [
    ["system:You are kind.", "user:Why is the sea salty?"],
    ["user:Hi"],
    ["system:S", "user:U1", "assistant:A1", "user:U2"],
    ["user:U1", "assistant:A1", "user:U2"],
    ["system:", "user:U"],
    ["user:U1", "user:U2"],
    ["user:", "user:U2"],
    ["user:U1", "system:late", "user:U2"],
    ["system:S", "user:call it", "assistant:called", "tool:42", "user:and?"],
    ["system:S", "tool:e", "tool:\u0301 joined"],
    ["user:  spaces and\n\nlines  ", "assistant:\tyes\n", "user:海水为什么是咸的？ 🙂"],
    ["assistant:first", "user:then"],
]


def main():
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    plain = AutoTokenizer.from_pretrained(FOLDER, split_special_tokens=True)
    texts = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.encode(text) == ids, "nothing may be added by default"
        texts.append(
            {
                "text": text,
                "withSpecials": ids,
                "asText": plain.encode(text, add_special_tokens=False),
                "decoded": tokenizer.decode(ids),
                "decodedWithoutSpecials": tokenizer.decode(ids, skip_special_tokens=True),
            }
        )
    chats = []
    for chat in CHATS:
        messages = [dict(zip(("role", "content"), message.split(":", 1))) for message in chat]
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        chats.append({"messages": messages, "rendered": rendered, "ids": tokenizer.encode(rendered)})
    # Ids that split characters: decoding replaces what is no UTF-8.
    partial = tokenizer.encode("龘𝐀 ok 龘")[2:-1]
    cases = {
        "length": len(tokenizer),
        "class": type(tokenizer).__name__,
        "special": {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")},
        "texts": texts,
        "chats": chats,
        "partial": {"ids": partial, "decoded": tokenizer.decode(partial)},
    }
    fixture = {
        "tool": "transformers",
        "version": transformers.__version__,
        "tokenizersVersion": tokenizers.__version__,
        "command": "python test/oracle/tokenizer_transformers.py",
        "tokenizerSha256": hashlib.sha256(open(f"{FOLDER}/tokenizer.json", "rb").read()).hexdigest(),
        **cases,
    }
    with open(FIXTURE, "w", encoding="utf-8") as file:
        json.dump(fixture, file, ensure_ascii=False, indent=1)
        file.write("\n")


main()
