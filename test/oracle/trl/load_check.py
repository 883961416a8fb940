"""Loads a model directory of `rookery sft` or `rookery reward` in transformers and prints what it says of some token ids.

    oracle-env/bin/python test/oracle/trl/load_check.py MODEL_DIR --tokens 1,2,3

A reward model gives its score, any other the logits of the last token's first eight ids.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers

parser = argparse.ArgumentParser()
parser.add_argument("directory", type=Path)
parser.add_argument("--tokens", required=True)
arguments = parser.parse_args()

name = json.loads((arguments.directory / "config.json").read_text())["architectures"][0]
model = getattr(transformers, name).from_pretrained(arguments.directory, dtype=torch.float32).eval()
with torch.no_grad():
    logits = model(input_ids=torch.tensor([[int(i) for i in arguments.tokens.split(",")]])).logits
print(name, "score" if logits.dim() == 2 else "logits", logits.reshape(-1, logits.shape[-1])[-1, :8].tolist())
