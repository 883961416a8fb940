"""Makes a tiny random hunyuan_v1_moe model with transformers, and the logits it gives for 40 tokens.

    python test/oracle/pytorch/transformers_tiny.py        # writes hunyuan-v1-moe-tiny/ beside this file

Then holds tiny_hunyuan.py, with cross-layer attention off and top-2, against those logits.
"""

import json
import shutil

import torch
import transformers
from safetensors.torch import load_file
from tiny_hunyuan import HERE, float32, forward, sha256, write_json
from transformers_check import load, logits_of

SEED = 0
TOKENS = 40
TOLERANCE = 1e-4
DIRECTORY = HERE / "hunyuan-v1-moe-tiny"


def make_model():
    torch.manual_seed(SEED)
    config = transformers.HunYuanMoEV1Config(
        vocab_size=97,
        hidden_size=64,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "alpha": 1000.0, "factor": 1.0},
        num_experts=4,
        moe_topk=2,
        tie_word_embeddings=True,
        bos_token_id=93,
        eos_token_id=94,
        pad_token_id=95,
        eod_token_id=96,
        sep_token_id=None,
    )
    model = transformers.HunYuanMoEV1ForCausalLM(config)
    with torch.no_grad():  # far from the initial values, so that a part left out shows
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                weight.uniform_(0.6, 1.4)
            else:
                weight.normal_(0.0, 0.25 if "gate.wg" in name else 0.1)
    return model


def plain_config(directory):
    """The saved configuration under the names that tiny_hunyuan.py reads."""
    config = json.loads((directory / "config.json").read_text())
    rope = config["rope_parameters"]
    return {**config, "use_cla": False, "rope_theta": rope["rope_theta"], "rope_scaling": rope}


def main():
    torch.set_num_threads(1)
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    make_model().save_pretrained(DIRECTORY)
    (DIRECTORY / "model.safetensors").chmod(0o644)  # safetensors leaves it readable by its owner only

    tokens = torch.randint(97, (TOKENS,), generator=torch.Generator().manual_seed(SEED)).tolist()
    logits = logits_of(load(DIRECTORY, torch.float32), tokens)

    weights = load_file(DIRECTORY / "model.safetensors")
    plain, routers = forward(
        weights, plain_config(DIRECTORY), torch.tensor(tokens), torch.arange(TOKENS), [[0, TOKENS]]
    )
    difference = (plain - logits).abs().max().item()
    margin = min(router["margin"] for router in routers)
    print(f"{len(weights)} tensors, largest logit {logits.abs().max():.2f}, plain model differs by {difference:.1e}")
    if not difference <= TOLERANCE:
        raise SystemExit(f"the plain model differs by {difference}, more than {TOLERANCE}")

    write_json(
        DIRECTORY / "logits.json",
        {
            "source": {
                "tool": "transformers",
                "version": transformers.__version__,
                "torch": torch.__version__,
                "command": "python test/oracle/pytorch/transformers_tiny.py",
                "scriptSha256": sha256(HERE / "transformers_tiny.py"),
                "tensorsSha256": sha256(DIRECTORY / "model.safetensors"),
                "seed": SEED,
                "dtype": "float32",
            },
            "routing": {"smallestMargin": float32(margin)},
            "largestDifferenceOfPlainModel": float32(difference),
            "tokens": tokens,
            "logits": float32(logits.tolist()),
        },
    )


if __name__ == "__main__":
    main()
