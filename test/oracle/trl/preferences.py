"""Losses and gradients of TRL's DPO and reward trainers on the tiny model of ../pytorch, for preferences.json and .safetensors.

    oracle-env/bin/pip install torch transformers trl
    oracle-env/bin/python test/oracle/trl/preferences.py

The policy is the reference with some matrices multiplied by 1.0625, which any side can do exactly. Texts are token ids as words,
so that TRL's own data pipeline makes the batches; what it made is in the fixture.
"""

import json
import tempfile
from pathlib import Path

import torch
import transformers
import trl
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

HERE = Path(__file__).parent
MODEL = HERE.parent / "pytorch" / "hunyuan-v1-moe-tiny"
BETA, SFT_WEIGHT = 0.1, 0.2
EOS, PAD = 94, 95
KEPT = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.gate.wg.weight",
        "model.layers.1.mlp.experts.0.down_proj.weight", "model.norm.weight"]


def official_gradients(model):
    """Every gradient under its official name, experts apart; transformers may keep them fused."""
    named = {}
    for name, parameter in model.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if name.endswith("experts.gate_up_proj"):
            half = gradient.shape[1] // 2
            for e in range(gradient.shape[0]):
                named[name.replace("gate_up_proj", f"{e}.gate_proj.weight")] = gradient[e, :half]
                named[name.replace("gate_up_proj", f"{e}.up_proj.weight")] = gradient[e, half:]
        elif name.endswith("experts.down_proj"):
            for e in range(gradient.shape[0]):
                named[name.replace("down_proj", f"{e}.down_proj.weight")] = gradient[e]
        else:
            named[name] = gradient
    return {name: gradient.detach().clone().contiguous() for name, gradient in named.items()}


def tokenizer():
    words = {f"t{i}": i for i in range(97)}
    base = Tokenizer(models.WordLevel(words, unk_token="t0"))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=base, eos_token=f"t{EOS}", pad_token=f"t{PAD}")


def words(ids):
    return " ".join(f"t{i}" for i in ids)


def pairs():
    generator = torch.Generator().manual_seed(4)
    made = []
    for prompt, chosen, rejected in [(5, 3, 6), (1, 7, 2), (9, 1, 1), (4, 12, 5)]:
        ids = lambda n: torch.randint(0, 93, (n,), generator=generator).tolist()
        made.append((ids(prompt), ids(chosen), ids(rejected)))
    return made


def model_of(kind, change):
    model = kind.from_pretrained(MODEL, dtype=torch.float32, **({"num_labels": 1} if "Sequence" in kind.__name__ else {}))
    if change:
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "o_proj" in name or "down_proj" in name:
                    weight.mul_(1.0625)
    return model


def arguments(kind, **more):
    return kind(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=4, use_cpu=True, report_to=[], bf16=False,
                gradient_checkpointing=False, **more)


def measure(trainer, model):
    model.train()
    batch = next(iter(trainer.get_train_dataloader()))
    model.zero_grad()
    loss = trainer.compute_loss(model, dict(batch))
    loss.backward()
    return batch, loss.item(), official_gradients(model)


def main():
    made = pairs()
    text = Dataset.from_list([{"prompt": words(p) + " ", "chosen": words(c), "rejected": words(r)} for p, c, r in made])
    fixture, tensors = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__,
                        "beta": BETA, "sftCoefficient": SFT_WEIGHT, "factor": 1.0625,
                        "pairs": [{"prompt": p, "chosen": c + [EOS], "rejected": r + [EOS]} for p, c, r in made]}, {}
    settings = {"dpo": (["sigmoid"], [1.0]), "dpoWithSft": (["sigmoid", "sft"], [1.0, SFT_WEIGHT])}
    for name, (types, weights) in settings.items():
        policy, reference = (model_of(transformers.HunYuanMoEV1ForCausalLM, change) for change in (True, False))
        config = arguments(trl.DPOConfig, beta=BETA, loss_type=types, loss_weights=weights, max_length=64)
        trainer = trl.DPOTrainer(policy, reference, args=config, train_dataset=text, processing_class=tokenizer())
        batch, loss, gradients = measure(trainer, policy)
        keep(name, batch, loss, gradients, fixture, tensors)
    judge = model_of(transformers.HunYuanMoEV1ForSequenceClassification, True)
    judge.config.pad_token_id = PAD
    with torch.no_grad():
        judge.score.weight.copy_(torch.linspace(-1, 1, judge.score.weight.numel()).reshape(judge.score.weight.shape))
    whole = Dataset.from_list([{"chosen": words(p + c), "rejected": words(p + r)} for p, c, r in made])
    config = arguments(trl.RewardConfig, max_length=64)
    trainer = trl.RewardTrainer(judge, args=config, train_dataset=whole, processing_class=tokenizer())
    batch, loss, gradients = measure(trainer, judge)
    keep("reward", batch, loss, gradients, fixture, tensors)
    (HERE / "preferences.json").write_text(json.dumps(fixture, indent=1) + "\n")
    save_file(tensors, HERE / "preferences.safetensors")


def keep(name, batch, loss, gradients, fixture, tensors):
    fixture[name] = {
        "loss": loss,
        "inputIds": batch["input_ids"].tolist(),
        "gradientNorms": {key: value.norm().item() for key, value in gradients.items()},
    }
    print(name, loss, batch["input_ids"].tolist()[0], batch.get("completion_mask", batch["attention_mask"]).tolist()[0])
    for key in KEPT + ["score.weight"]:
        if key in gradients:
            tensors[f"{name}.{key}"] = gradients[key]


if __name__ == "__main__":
    main()
