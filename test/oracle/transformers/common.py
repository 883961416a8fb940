"""What the two scripts share: loading without a missing or left-over tensor, logits, and where a fixture comes from."""

import hashlib
import json
from pathlib import Path

import numpy
import torch
import transformers

HERE = Path(__file__).resolve().parent
TOKENS = 24


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(directory):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation="eager",
        experts_implementation="eager",  # the grouped product wants sizes that are multiples of 16 bytes
        local_files_only=True,
        output_loading_info=True,
    )
    problems = {kind: sorted(map(str, names)) for kind, names in info.items() if names}
    if problems:
        raise SystemExit(f"{directory}: the tensors do not fit the configuration: {problems}")
    return model.eval()


def logits_of(model, tokens):
    """[tokens][vocabulary], as the shortest decimals that are the same float32."""
    with torch.no_grad():
        rows = model(torch.tensor([tokens]), use_cache=False).logits[0].float().numpy()
    return [[float(numpy.format_float_positional(value, unique=True, trim="0")) for value in row] for row in rows]


def provenance(script):
    return {
        "tool": "transformers",
        "version": transformers.__version__,
        "torch": torch.__version__,
        "command": f"python test/oracle/transformers/{script}",
        "scriptSha256": sha256(HERE / script),
        "dtype": "float32",
    }


def write_json(path, value):
    lines = json.dumps({**value, "models": None}, indent=1).removesuffix('"models": null\n}')
    models = ",\n".join(json.dumps(model, separators=(",", ":")) for model in value["models"])
    path.write_text(f'{lines}"models": [\n{models}\n]}}\n')
