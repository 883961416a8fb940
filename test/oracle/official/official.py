"""Runs Tencent's own code of Hunyuan-Large on tiny random models, and keeps the models and the logits that it gives.

    git clone https://github.com/Tencent/Tencent-Hunyuan-Large && git -C Tencent-Hunyuan-Large checkout cdc3735
    node test/oracle/official/write-ours.ts FOLDER
    python test/oracle/official/official.py Tencent-Hunyuan-Large/models FOLDER    # writes large-0 … and official.json

The code is not part of this repository: only what it answers is. It was written for transformers 4.41.2; it runs unchanged
under 4.57.6 without a cache (`use_cache=False`), where it needs `requests` beside the packages of the other oracles. Its
`auto_map` is not used: the classes are imported from the folder that is given.
"""

import hashlib
import importlib
import importlib.metadata
import json
import shutil
import sys
from pathlib import Path

# transformers 4.57.6 asks for older versions of these two; what the model code uses of them has not changed.
version = importlib.metadata.version
importlib.metadata.version = lambda name: {"huggingface-hub": "0.36.0", "tokenizers": "0.22.0"}.get(name) or version(name)

import numpy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

HERE = Path(__file__).resolve().parent
TOKENS = 24
ALPHA = {"type": "dynamic", "factor": 1.0, "alpha": 1000.0}
COMMON = dict(vocab_size=53, max_position_embeddings=64, intermediate_size=11, num_hidden_layers=4, use_qk_norm=True)
MODELS = [
    # the released model in small: cross-layer attention, a shared and a raw top-1 expert, QK-norm, alpha
    dict(hidden_size=24, num_attention_heads=6, num_key_value_heads=2, use_cla=True, cla_share_factor=2, num_experts=5,
         moe_topk=1, use_mixed_mlp_moe=True, rope_scaling=ALPHA, tie_word_embeddings=True),
    # several experts with their sum divided out, two shared ones, frequencies rounded to bfloat16, groups of three layers
    dict(hidden_size=32, num_attention_heads=4, num_key_value_heads=4, use_cla=True, cla_share_factor=3, num_experts=6,
         moe_topk=2, use_mixed_mlp_moe=True, num_shared_expert=2, rope_scaling=None, tie_word_embeddings=False),
    # no shared expert, no QK-norm, a share factor that use_cla switches off
    dict(hidden_size=20, num_attention_heads=2, num_key_value_heads=1, use_cla=False, cla_share_factor=2, num_experts=3,
         moe_topk=3, use_mixed_mlp_moe=False, use_qk_norm=False, rope_scaling={**ALPHA, "alpha": 50.0},
         tie_word_embeddings=True),
    # dense layers that share keys and values
    dict(hidden_size=24, num_attention_heads=4, num_key_value_heads=2, use_cla=True, cla_share_factor=2, num_experts=1,
         rope_scaling=ALPHA, tie_word_embeddings=False),
]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def official_code(folder):
    sys.path.insert(0, str(folder.resolve().parent))
    package = importlib.import_module(f"{folder.resolve().name}.modeling_hunyuan")
    configuration = importlib.import_module(f"{folder.resolve().name}.configuration_hunyuan")
    return package.HunYuanForCausalLM, configuration.HunYuanConfig


def logits_of(model, tokens):
    with torch.no_grad():
        rows = model(torch.tensor([tokens]), use_cache=False).logits[0].float().numpy()
    return [[float(numpy.format_float_positional(value, unique=True, trim="0")) for value in row] for row in rows]


def tokens_of(seed):
    return torch.randint(COMMON["vocab_size"], (TOKENS,), generator=torch.Generator().manual_seed(seed)).tolist()


def load(model_class, config_class, directory):
    config = config_class.from_pretrained(directory)
    config._attn_implementation = "eager"
    model, info = model_class.from_pretrained(
        directory, config=config, torch_dtype=torch.float32, local_files_only=True, output_loading_info=True
    )
    problems = {kind: sorted(map(str, names)) for kind, names in info.items() if names}
    if problems:
        raise SystemExit(f"{directory}: the tensors do not fit the configuration: {problems}")
    return model.eval()


def theirs(model_class, config_class, index):
    torch.manual_seed(index)
    config = config_class(**{**COMMON, **MODELS[index]}, architectures=["HunYuanForCausalLM"])
    config._attn_implementation = "eager"
    model = model_class(config)
    with torch.no_grad():  # far from the initial values, so that a part left out shows
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                weight.uniform_(0.6, 1.4)
            else:
                weight.normal_(0.0, 0.5 if "gate.wg" in name else 0.2)
    directory = HERE / f"large-{index}"
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    tokens = tokens_of(index)
    logits = logits_of(load(model_class, config_class, directory), tokens)
    return {"directory": directory.name, "sha256": sha256(directory / "model.safetensors"), "tokens": tokens, "logits": logits}


def ours(model_class, config_class, directory):
    tokens = tokens_of(len(directory.name))
    logits = logits_of(load(model_class, config_class, directory), tokens)
    hashes = {name: sha256(directory / name) for name in ("config.json", "model.safetensors")}
    return {"directory": directory.name, "sha256": hashes, "tokens": tokens, "logits": logits}


def main():
    torch.set_num_threads(1)
    code, written = Path(sys.argv[1]), Path(sys.argv[2])
    classes = official_code(code)
    source = {
        "tool": "Tencent/Tencent-Hunyuan-Large, models/modeling_hunyuan.py",
        "commit": "cdc3735",
        "codeSha256": {name: sha256(code / name) for name in ("modeling_hunyuan.py", "configuration_hunyuan.py")},
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "command": "python test/oracle/official/official.py Tencent-Hunyuan-Large/models FOLDER",
        "scriptSha256": sha256(Path(__file__)),
        "dtype": "float32",
    }
    fixture = {
        "theirs": [theirs(*classes, index) for index in range(len(MODELS))],
        "ours": [ours(*classes, directory) for directory in sorted(written.iterdir())],
    }
    lines = [f'{{\n"source": {json.dumps(source, indent=1)}']
    for kind, models in fixture.items():
        rows = ",\n".join(json.dumps(model, separators=(",", ":")) for model in models)
        lines.append(f'"{kind}": [\n{rows}\n]')
    (HERE / "official.json").write_text(",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
