"""An independent PyTorch model and trainer of the Hunyuan-Large layer, small enough to read, used as an oracle.

It shares no code with Rookery. It computes in float32 on one thread, with one plain function a part, and
writes fixtures that a test replays: the same weights and batches must give the same logits, gradients and losses.

    python test/oracle/pytorch/tiny_hunyuan.py                    # writes tiny-a.* and tiny-b.* beside this file
    python test/oracle/pytorch/tiny_hunyuan.py --search a 200     # looks for a seed without near-ties in routing

Conventions (R = rows of the flattened batch, H = hidden, E = specialised experts):
  * Weights are [out, in], named as in the official state dict; y = x @ W.T; there are no biases.
  * A batch is R tokens in a row. `sequences` cuts it into documents [start, length]; attention never leaves a
    document and positions restart at 0 in each.
  * A target of -1 leaves the loss; the row still passes the router and counts in its losses.
"""

import argparse
import hashlib
import json
import math
import platform
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
SCRIPT = "test/oracle/pytorch/tiny_hunyuan.py"

SHAPE = {
    "architectures": ["HunYuanForCausalLM"],
    "model_type": "hunyuan",
    "vocab_size": 101,
    "hidden_size": 64,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "use_qk_norm": True,
    "use_cla": True,
    "cla_share_factor": 2,
    "num_experts": 6,
    "use_mixed_mlp_moe": True,
    "num_shared_expert": 1,
}

TRAINING = {
    "steps": 50,
    "warmupSteps": 5,
    "specializedExpertLearningRateRatio": 0.5,
    "beta1": 0.9,
    "beta2": 0.95,
    "epsilon": 1e-8,
    "weightDecay": 0.1,
    "loadBalanceLossCoefficient": 0.01,
}

FIXTURES = {
    "a": {
        "about": "top-1 with raw gates, tied embeddings, NTK alpha 1000",
        "seed": 1117,
        "config": {
            **SHAPE,
            "moe_topk": 1,
            "tie_word_embeddings": True,
            "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0},
        },
        "training": {**TRAINING, "learningRate": 2e-3, "maxGradientNorm": 1.0, "zLossCoefficient": 0.0},
        "initialStd": {"embedding": 0.1, "router": 0.25, "projection": 0.1},
        "batches": 6,
    },
    "b": {
        "about": "top-2 with renormalised gates, separate output head, z-loss, NTK alpha 1 (plain frequencies)",
        "seed": 1300,
        "config": {
            **SHAPE,
            "moe_topk": 2,
            "tie_word_embeddings": False,
            "rope_scaling": {"type": "dynamic", "alpha": 1.0, "factor": 1.0},
        },
        # A limit that the norm of some steps exceeds and of others does not; A exceeds its own at every step.
        "training": {**TRAINING, "learningRate": 1e-3, "maxGradientNorm": 2.5, "zLossCoefficient": 0.001},
        "initialStd": {"embedding": 0.2, "router": 0.3, "projection": 0.08, "head": 0.05},
        "batches": 4,
    },
}

LOGIT_ROWS = [0, 6, 7, 20, 32, 33, 47, 65]  # document starts and ends among them
FINAL_EXPERTS = 2  # final weights are stored for the first experts of each layer only, to keep the file small


# --- the layer mathematics -------------------------------------------------------------------------------------------


def rms_norm(x, weight, eps):
    """[..., n] -> [..., n]: x / sqrt(mean(x^2) + eps), then the weight as it is (not 1 + weight)."""
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def rope_inverse_frequencies(config, dtype):
    """[head_dim / 2]: the base is theta * alpha^(d / (d - 2)) at every length; `factor` plays no part."""
    d = config["hidden_size"] // config["num_attention_heads"]
    base = config["rope_theta"] * config["rope_scaling"]["alpha"] ** (d / (d - 2))
    return 1.0 / (base ** (torch.arange(0, d, 2).to(dtype) / d))


def rotate(x, positions, inverse_frequencies):
    """[R, heads, d] -> [R, heads, d]: pairs are (j, j + d/2), the rotate-half layout."""
    angles = positions.to(x.dtype)[:, None] * inverse_frequencies[None, :]
    cos, sin = angles.cos()[:, None, :], angles.sin()[:, None, :]
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def attend(query, key, value, sequences):
    """Causal softmax attention within each document. query [R, nH, d]; key and value [R, nKV, d] -> [R, nH * d]."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    outputs = []
    for start, length in sequences:
        q, k, v = (t[start : start + length].transpose(0, 1) for t in (query, key, value))
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        probabilities = scores.masked_fill(future, -math.inf).softmax(-1)
        outputs.append((probabilities @ v).transpose(0, 1).flatten(1))
    return torch.cat(outputs)


def swiglu(weights, prefix, x):
    gate = F.linear(x, weights[prefix + "gate_proj.weight"])
    up = F.linear(x, weights[prefix + "up_proj.weight"])
    return F.linear(F.silu(gate) * up, weights[prefix + "down_proj.weight"])


def mixture(weights, prefix, x, config):
    """Shared expert plus the chosen specialised experts. Returns (output [R, H], what the router did)."""
    top_k, experts = config["moe_topk"], config["num_experts"]
    logits = F.linear(x, weights[prefix + "gate.wg.weight"])
    probabilities = logits.softmax(-1)
    chosen = probabilities.detach().topk(top_k, dim=-1).indices
    gates = probabilities.gather(1, chosen)
    if top_k > 1:  # a single gate stays the raw probability
        gates = gates / gates.sum(-1, keepdim=True)

    output = swiglu(weights, prefix + "shared_mlp.", x)
    for expert in range(experts):
        rows, slots = (chosen == expert).nonzero(as_tuple=True)
        # An expert without rows still takes part, so that its gradient is zero rather than absent.
        contribution = swiglu(weights, f"{prefix}experts.{expert}.", x[rows]) * gates[rows, slots][:, None]
        output = output.index_add(0, rows, contribution)

    share = F.one_hot(chosen, experts).sum(1).to(x.dtype).mean(0)  # [E], sums to top_k; carries no gradient
    ranked = probabilities.detach().sort(-1, descending=True).values
    return output, {
        "loadBalance": experts * (share * probabilities.mean(0)).sum(),
        "zLoss": logits.logsumexp(-1).pow(2).mean(),
        "chosen": chosen,
        "margin": (ranked[:, top_k - 1] - ranked[:, top_k]).min().item(),
    }


def forward(weights, config, tokens, positions, sequences):
    """tokens [R] -> (logits [R, vocabulary], the routers' records, one a layer)."""
    eps = config["rms_norm_eps"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    d = config["hidden_size"] // heads
    factor = config["cla_share_factor"] if config["use_cla"] else 1
    x = weights["model.embed_tokens.weight"][tokens]
    frequencies = rope_inverse_frequencies(config, x.dtype)
    routers = []
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        attention = prefix + "self_attn."
        normed = rms_norm(x, weights[prefix + "input_layernorm.weight"], eps)
        query = F.linear(normed, weights[attention + "q_proj.weight"]).view(-1, heads, d)
        if layer % factor == 0:  # an owner; the layers after it in its group reuse these projections as they are
            raw_key = F.linear(normed, weights[attention + "k_proj.weight"]).view(-1, kv_heads, d)
            value = F.linear(normed, weights[attention + "v_proj.weight"]).view(-1, kv_heads, d)
        # Rotation first, then the norm of each head: every layer norms the shared keys with its own weight.
        query = rms_norm(rotate(query, positions, frequencies), weights[attention + "query_layernorm.weight"], eps)
        key = rms_norm(rotate(raw_key, positions, frequencies), weights[attention + "key_layernorm.weight"], eps)
        x = x + F.linear(attend(query, key, value, sequences), weights[attention + "o_proj.weight"])
        normed = rms_norm(x, weights[prefix + "post_attention_layernorm.weight"], eps)
        output, router = mixture(weights, prefix + "mlp.", normed, config)
        x = x + output
        routers.append(router)
    x = rms_norm(x, weights["model.norm.weight"], eps)
    head = weights["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return F.linear(x, head), routers


def losses_of(logits, routers, targets, training):
    """total = cross-entropy (mean over targets other than -1) + coefficient * (sum over layers of each router loss)."""
    cross_entropy = F.cross_entropy(logits, targets, ignore_index=-1)
    load_balance = sum(router["loadBalance"] for router in routers)
    z_loss = sum(router["zLoss"] for router in routers)
    auxiliary = training["loadBalanceLossCoefficient"] * load_balance + training["zLossCoefficient"] * z_loss
    return {
        "total": cross_entropy + auxiliary,
        "crossEntropy": cross_entropy,
        "auxiliary": auxiliary,
        "loadBalance": load_balance,
        "zLoss": z_loss,
    }


# --- weights, batches, training --------------------------------------------------------------------------------------


def weight_shapes(config):
    """Every tensor of the official layout: k_proj and v_proj on the owners only, both QK norms on every layer."""
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    d = hidden // config["num_attention_heads"]
    kv = config["num_key_value_heads"] * d
    factor = config["cla_share_factor"] if config["use_cla"] else 1
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        shapes[prefix + "input_layernorm.weight"] = (hidden,)
        shapes[prefix + "self_attn.q_proj.weight"] = (hidden, hidden)
        if layer % factor == 0:
            shapes[prefix + "self_attn.k_proj.weight"] = (kv, hidden)
            shapes[prefix + "self_attn.v_proj.weight"] = (kv, hidden)
        shapes[prefix + "self_attn.o_proj.weight"] = (hidden, hidden)
        shapes[prefix + "self_attn.query_layernorm.weight"] = (d,)
        shapes[prefix + "self_attn.key_layernorm.weight"] = (d,)
        shapes[prefix + "post_attention_layernorm.weight"] = (hidden,)
        shapes[prefix + "mlp.gate.wg.weight"] = (config["num_experts"], hidden)
        shared_ffn = ffn * config["num_shared_expert"]
        experts = [("shared_mlp", shared_ffn)] + [(f"experts.{n}", ffn) for n in range(config["num_experts"])]
        for name, width in experts:
            shapes[f"{prefix}mlp.{name}.gate_proj.weight"] = (width, hidden)
            shapes[f"{prefix}mlp.{name}.up_proj.weight"] = (width, hidden)
            shapes[f"{prefix}mlp.{name}.down_proj.weight"] = (hidden, width)
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return shapes


def make_weights(config, std, seed):
    """Large enough that every part matters: a router that decides, norms other than one, weights well off zero."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in weight_shapes(config).items():
        if len(shape) == 1:
            weights[name] = 0.6 + 0.8 * torch.rand(shape, generator=generator)
        else:
            kinds = {"embed_tokens": "embedding", "lm_head": "head", "wg": "router"}
            kind = kinds.get(name.split(".")[-2], "projection")
            weights[name] = std[kind] * torch.randn(shape, generator=generator)
    return weights


def make_batches(config, count, seed, rows=2, row_length=33):
    """Batches of 2 x 33 tokens; each row is cut into one to four documents, even of a single token."""
    random = np.random.default_rng(seed)
    cuts = [[7, 15, 11], [33], [1, 19, 13], [5, 9, 3, 16], [21, 12], [17, 1, 15], [29, 4], [3, 30]]
    batches = []
    for index in range(count):
        tokens, targets, positions, sequences = [], [], [], []
        for row in range(rows):
            for length in cuts[(index * rows + row) % len(cuts)]:
                # Small numbers are common, and half of the time a token repeats one from earlier in its document.
                document = []
                for place in range(length):
                    if place > 0 and random.random() < 0.5:
                        document.append(document[random.integers(place)])
                    else:
                        document.append(int(config["vocab_size"] * random.random() ** 2))
                following = [*document[1:], -1]
                sequences.append([len(tokens), length])
                tokens += document
                targets += [target if random.random() > 0.1 else -1 for target in following]
                positions += range(length)
        assert len(tokens) == rows * row_length
        batches.append({"tokens": tokens, "targets": targets, "positions": positions, "sequences": sequences})
    return batches


def parameter_groups(weights, training):
    """Decay on matrices (embeddings and router too), none on norms; a slower rate for specialised experts only."""
    dense, experts, norms = [], [], []
    for name, weight in weights.items():
        (norms if weight.dim() < 2 else experts if ".mlp.experts." in name else dense).append(weight)
    decay = training["weightDecay"]
    return [
        {"params": dense, "weight_decay": decay, "ratio": 1.0},
        {"params": experts, "weight_decay": decay, "ratio": training["specializedExpertLearningRateRatio"]},
        {"params": norms, "weight_decay": 0.0, "ratio": 1.0},
    ]


def train(config, training, initial, batches, dtype=torch.float32, smallest_margin=0.0):
    """Runs the steps. Returns (record, gradients of step 1 before clipping, final weights), or None once a routing
    decision is closer than `smallest_margin`."""
    weights = {name: weight.to(dtype, copy=True).requires_grad_() for name, weight in initial.items()}
    optimizer = torch.optim.AdamW(
        parameter_groups(weights, training),
        lr=training["learningRate"],
        betas=(training["beta1"], training["beta2"]),
        eps=training["epsilon"],
        foreach=False,
    )
    record = {"steps": [], "margin": math.inf}
    first_gradients = {}
    for step in range(1, training["steps"] + 1):
        batch = batches[(step - 1) % len(batches)]
        logits, routers = forward(
            weights, config, torch.tensor(batch["tokens"]), torch.tensor(batch["positions"]), batch["sequences"]
        )
        losses = losses_of(logits, routers, torch.tensor(batch["targets"]), training)
        record["margin"] = min([record["margin"], *(router["margin"] for router in routers)])
        if record["margin"] < smallest_margin:
            return None
        optimizer.zero_grad()
        losses["total"].backward()
        assert all(weight.grad is not None for weight in weights.values())
        if step == 1:
            first_gradients = {name: weight.grad.clone() for name, weight in weights.items()}
            record["firstLogits"] = {row: logits[row].tolist() for row in LOGIT_ROWS}
            record["firstChosen"] = [router["chosen"].tolist() for router in routers]
        norm = torch.nn.utils.clip_grad_norm_(list(weights.values()), training["maxGradientNorm"], foreach=False)
        rate = training["learningRate"] * min(1.0, step / training["warmupSteps"])
        for group in optimizer.param_groups:
            group["lr"] = rate * group["ratio"]
        optimizer.step()
        record["steps"].append(
            {
                "step": step,
                "batch": (step - 1) % len(batches),
                "learningRate": rate,
                **{name: loss.item() for name, loss in losses.items()},
                "gradientNorm": norm.item(),
                "tokensPerExpert": [
                    torch.bincount(router["chosen"].flatten(), minlength=config["num_experts"]).tolist()
                    for router in routers
                ],
            }
        )
    return record, first_gradients, {name: weight.detach() for name, weight in weights.items()}


# --- fixtures --------------------------------------------------------------------------------------------------------


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def float32(value):
    """The shortest decimal that reads back as the same float32, so that JSON stays small and exact."""
    if isinstance(value, float):
        return float(str(np.float32(value)))
    if isinstance(value, dict):
        return {key: float32(item) for key, item in value.items()}
    return [float32(item) for item in value] if isinstance(value, list) else value


def write_json(path, fields):
    """One top-level field a line; lists of objects one object a line."""
    lines = []
    for key, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n    " + ",\n    ".join(json.dumps(item) for item in value) + "\n  ]"
        else:
            text = json.dumps(value)
        lines.append(f"  {json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def is_stored_finally(name):
    expert = name.partition(".mlp.experts.")[2]
    return not expert or int(expert.partition(".")[0]) < FINAL_EXPERTS


def largest_relative(left, right, field):
    return max(abs(a[field] - b[field]) / abs(b[field]) for a, b in zip(left["steps"], right["steps"]))


def write_fixture(name):
    fixture = FIXTURES[name]
    config, training, seed = fixture["config"], fixture["training"], fixture["seed"]
    initial, batches = make_weights(config, fixture["initialStd"], seed), make_batches(config, fixture["batches"], seed)
    record, gradients, final = train(config, training, initial, batches)
    exact, exact_gradients, _ = train(config, training, initial, batches, dtype=torch.float64)
    gradient_error = max(
        ((gradient - exact_gradients[key]).norm() / exact_gradients[key].norm().clamp(min=1e-30)).item()
        for key, gradient in gradients.items()
    )

    tensors = dict(initial)
    tensors |= {"grad." + key: gradient for key, gradient in gradients.items()}
    tensors |= {"final." + key: weight for key, weight in final.items() if is_stored_finally(key)}
    tensors_path = HERE / f"tiny-{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tensors_path)
    tensors_path.chmod(0o644)  # safetensors leaves it readable by its owner only

    write_json(
        HERE / f"tiny-{name}.json",
        {
            "about": fixture["about"],
            "source": {
                "tool": "PyTorch",
                "version": torch.__version__,
                "python": platform.python_version(),
                "command": f"python {SCRIPT}",
                "script": Path(SCRIPT).name,
                "scriptSha256": sha256(Path(__file__)),
                "tensors": tensors_path.name,
                "tensorsSha256": sha256(tensors_path),
                "seed": seed,
                "dtype": "float32",
            },
            "config": config,
            "training": training,
            "routing": {"mode": "dropless", "smallestMargin": float32(record["margin"])},
            # The same run in float64: how far plain float32 arithmetic alone moves the figures below.
            "float64": {
                "largestRelativeDifferenceOfTotal": largest_relative(record, exact, "total"),
                "largestRelativeDifferenceOfGradientNorm": largest_relative(record, exact, "gradientNorm"),
                "largestRelativeDifferenceOfFirstGradients": gradient_error,
                "sameTokensPerExpert": all(
                    a["tokensPerExpert"] == b["tokensPerExpert"] for a, b in zip(record["steps"], exact["steps"])
                ),
            },
            "batches": batches,
            "steps": [float32(step) | {"learningRate": step["learningRate"]} for step in record["steps"]],
            # Of step 1: what each layer's router chose [layer][row][k], and the logits of some rows.
            "firstChosen": record["firstChosen"],
            "firstLogits": [{"row": row, "logits": float32(record["firstLogits"][row])} for row in LOGIT_ROWS],
        },
    )
    report(name, training, record, exact)


def report(name, training, record, exact):
    first, last = record["steps"][0], record["steps"][-1]
    norms = [step["gradientNorm"] for step in record["steps"]]
    clipped = sum(norm > training["maxGradientNorm"] for norm in norms)
    print(
        f"{name}: loss {first['total']:.4f} -> {last['total']:.4f}, gradient norm {min(norms):.3f}..{max(norms):.3f} "
        f"({clipped} of {len(norms)} clipped), smallest margin {record['margin']:.2e}, "
        f"float64 differs by {largest_relative(record, exact, 'total'):.1e}"
    )


def search(name, count):
    """Prints the seeds with the widest margin between the last chosen and the first refused expert."""
    fixture, best = FIXTURES[name], 0.0
    for seed in range(count):
        initial = make_weights(fixture["config"], fixture["initialStd"], seed)
        batches = make_batches(fixture["config"], fixture["batches"], seed)
        result = train(fixture["config"], fixture["training"], initial, batches, smallest_margin=best)
        if result:
            best = result[0]["margin"]
            print(f"seed {seed}: margin {best:.2e}", flush=True)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--search", nargs=2, metavar=("FIXTURE", "SEEDS"))
    arguments = parser.parse_args()
    if arguments.search:
        search(arguments.search[0], int(arguments.search[1]))
        return
    for name in FIXTURES:
        write_fixture(name)


if __name__ == "__main__":
    main()
