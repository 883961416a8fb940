"""Loads in transformers the model directories that Rookery writes, and keeps the logits that they give there.

    node test/oracle/transformers/write-ours.ts FOLDER
    python test/oracle/transformers/ours.py FOLDER        # writes ours.json beside this file
"""

import sys
from pathlib import Path

import torch
from common import HERE, TOKENS, load, logits_of, provenance, sha256, write_json


def check(directory):
    model = load(directory)
    size = model.config.vocab_size
    tokens = torch.randint(size, (TOKENS,), generator=torch.Generator().manual_seed(len(directory.name))).tolist()
    return {
        "directory": directory.name,
        "modelType": model.config.model_type,
        "sha256": {name: sha256(directory / name) for name in ("config.json", "model.safetensors")},
        "tokens": tokens,
        "logits": logits_of(model, tokens),
    }


def main():
    torch.set_num_threads(1)
    models = [check(directory) for directory in sorted(Path(sys.argv[1]).iterdir())]
    source = provenance("ours.py")
    write_json(HERE / "ours.json", {"source": {**source, "command": f"{source['command']} FOLDER"}, "models": models})


if __name__ == "__main__":
    main()
