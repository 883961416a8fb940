"""Makes tiny random hunyuan_v1_moe and hunyuan_v1_dense models with transformers, and the logits that they give.

    python test/oracle/transformers/theirs.py        # writes moe-0 … dense-5 and theirs.json beside this file

The settings are drawn at random from a fixed seed, except that top-k goes through 1, 2 and 8, every other model ties its
head, and every other file is bfloat16. The logits are of float32 arithmetic on the weights as they are in the file.
"""

import random
import shutil

import torch
import transformers
from common import HERE, TOKENS, load, logits_of, provenance, sha256, write_json

MODELS = 6


def settings(kind, index):
    draw = random.Random(f"{kind} {index}")
    kv_heads = draw.choice([1, 2, 3])
    heads = kv_heads * draw.choice([1, 2, 3])
    alpha = [1000.0, None, 37.5][index % 3]
    rope = {"rope_type": "default", "rope_theta": draw.choice([1e4, 5e5])}
    if alpha is not None:
        rope = {**rope, "rope_type": "dynamic", "alpha": alpha, "factor": 1.0}
    common = dict(
        vocab_size=draw.randrange(40, 64),
        hidden_size=draw.randrange(15, 30),
        intermediate_size=draw.randrange(7, 15),
        num_hidden_layers=draw.choice([1, 2]),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=draw.choice([4, 6, 10, 16]),
        max_position_embeddings=64,
        rms_norm_eps=draw.choice([1e-5, 1e-6]),
        rope_parameters=rope,
        tie_word_embeddings=index % 2 == 0,
    )
    if kind == "dense":
        return transformers.HunYuanDenseV1Config(**common)
    top_k = [1, 2, 8][index % 3]
    layers = common["num_hidden_layers"]
    return transformers.HunYuanMoEV1Config(
        **common,
        num_experts=draw.randrange(max(2, top_k), top_k + 4),
        moe_topk=[top_k] * layers if index >= 3 else top_k,
    )


def make(kind, index):
    torch.manual_seed(index)
    config = settings(kind, index)
    classes = {"moe": transformers.HunYuanMoEV1ForCausalLM, "dense": transformers.HunYuanDenseV1ForCausalLM}
    model = classes[kind](config)
    with torch.no_grad():  # far from the initial values, so that a part left out shows
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                weight.uniform_(0.6, 1.4)
            else:
                weight.normal_(0.0, 0.5 if "gate.wg" in name else 0.2)
    if index % 2 == 1:
        model = model.to(torch.bfloat16)
    directory = HERE / f"{kind}-{index}"
    shutil.rmtree(directory, ignore_errors=True)
    # The last mixture keeps the names that transformers 5 has in memory: all experts of a layer in one tensor.
    model.save_pretrained(directory, save_original_format=not (kind == "moe" and index == MODELS - 1))
    (directory / "model.safetensors").chmod(0o644)  # safetensors leaves it readable by its owner only
    tokens = torch.randint(config.vocab_size, (TOKENS,), generator=torch.Generator().manual_seed(index)).tolist()
    return {
        "directory": directory.name,
        "sha256": sha256(directory / "model.safetensors"),
        "tokens": tokens,
        "logits": logits_of(load(directory), tokens),
    }


def main():
    torch.set_num_threads(1)
    models = [make(kind, index) for kind in ("moe", "dense") for index in range(MODELS)]
    write_json(HERE / "theirs.json", {"source": provenance("theirs.py"), "models": models})


if __name__ == "__main__":
    main()
