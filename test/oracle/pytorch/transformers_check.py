"""Runs a hunyuan_v1_moe model directory in transformers and prints its logits as JSON.

    python test/oracle/pytorch/transformers_check.py MODEL_DIR --tokens 1,2,3 [--last 1] [--dtype float32] [--out FILE]

`--tokens` is a list of ids, or the name of a JSON file that holds one. The model sees exactly those ids. Tensors that
are missing, left over or of another shape than the configuration says are an error, not a warning.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers


def load(directory, dtype):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager", local_files_only=True, output_loading_info=True
    )
    problems = {kind: sorted(map(str, names)) for kind, names in info.items() if names}
    if problems:
        raise SystemExit(f"{directory}: the tensors do not fit the configuration: {problems}")
    if model.config.model_type != "hunyuan_v1_moe":
        raise SystemExit(f"{directory}: model_type is {model.config.model_type}, expected hunyuan_v1_moe")
    return model.eval()


def logits_of(model, tokens):
    """[tokens] -> [tokens, vocabulary] in float32."""
    with torch.no_grad():
        return model(torch.tensor([tokens]), use_cache=False).logits[0].float()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--tokens", required=True)
    parser.add_argument("--last", type=int, default=0, help="only the last N rows; all by default")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    text = arguments.tokens
    tokens = json.loads(Path(text).read_text()) if text.endswith(".json") else [int(part) for part in text.split(",")]

    torch.set_num_threads(1)
    logits = logits_of(load(arguments.directory, getattr(torch, arguments.dtype)), tokens)
    first = max(0, len(tokens) - arguments.last) if arguments.last else 0
    output = json.dumps(
        {
            "source": {"tool": "transformers", "version": transformers.__version__, "torch": torch.__version__},
            "dtype": arguments.dtype,
            "tokens": tokens,
            "firstRow": first,
            "logits": logits[first:].tolist(),
        }
    )
    if arguments.out:
        arguments.out.write_text(output + "\n")
    else:
        sys.stdout.write(output + "\n")


if __name__ == "__main__":
    main()
