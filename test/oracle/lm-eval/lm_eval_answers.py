"""lm-eval's own pipeline (tasks, few-shot draws, request adapters, filters, metrics) against a served model.

    python lm_eval_answers.py SETS URL OUT.json      URL: http://host:port of `rookery serve`

Modules that lm-eval imports and that nothing here uses are left empty. Its task files are used as they are; only where their
data comes from is changed: the JSON lines of SETS instead of the hub.
"""

import glob
import hashlib
import json
import math
import sys
import types
from importlib.machinery import ModuleSpec


class Anything(types.ModuleType):
    def __init__(self, name):
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.__path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        # a decorator, a base class or a callable, whatever is asked for
        return lambda *args, **kwargs: (args[0] if args and callable(args[0]) else (lambda function: function))


for missing in ["sacrebleu", "evaluate", "tenacity", "word2number", "more_itertools", "pytablewriter", "jsonlines", "sqlitedict", "sklearn", "sklearn.metrics"]:
    try:
        __import__(missing)
    except ImportError:
        sys.modules[missing] = Anything(missing)

import lm_eval
from lm_eval.evaluator import evaluate
from lm_eval.models import openai_completions
from lm_eval.tasks import TaskManager

# TemplateAPI only knows that retrying and tqdm are there if all its imports succeed
import lm_eval.models.api_models as api_models
import requests
from tqdm import tqdm

api_models.requests = requests
api_models.tqdm = tqdm


def retry(**_):
    return lambda function: function


api_models.retry = retry
api_models.stop_after_attempt = api_models.wait_exponential = lambda *args, **kwargs: None
api_models.RetryError = RuntimeError

SETS, URL, OUT = sys.argv[1:4]
SHOTS = {"mmlu_high_school_biology": 5, "hellaswag": 10, "arc_challenge": 3, "winogrande": 5, "gsm8k": 4}
FOLDERS = {"mmlu_high_school_biology": "mmlu"}


def files(task):
    folder = f"{SETS}/{FOLDERS.get(task, task)}"
    found = {}
    for split in ["train", "validation", "dev", "test"]:
        paths = glob.glob(f"{folder}/*{split}.jsonl")
        if paths:
            found[split] = paths
    return found


def main():
    name_of_model = requests.get(f"{URL}/v1/models").json()["data"][0]["id"]
    model = openai_completions.LocalCompletionsAPI(
        base_url=f"{URL}/v1/completions", model=name_of_model, tokenizer_backend="remote", max_length=8192, batch_size=1
    )
    manager = TaskManager()
    report = {"tool": f"lm-eval {lm_eval.__version__}", "script": hashlib.sha256(open(__file__, "rb").read()).hexdigest(), "tasks": {}}
    for name, shots in SHOTS.items():
        overrides = {
            "num_fewshot": shots,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": files(name)},
        }
        # the registered task with its data elsewhere
        task = manager._factory.build(manager._entry(name), overrides=overrides, registry=manager._index)
        loaded = manager.load([task])
        task.set_fewshot_seed(seed=1234)
        results = evaluate(lm=model, task_dict=loaded, log_samples=True, bootstrap_iters=0)
        samples = results["samples"][name]
        kept = {}
        for sample in samples:
            item = kept.setdefault(sample["doc_id"], {})
            first = sample["arguments"] if isinstance(sample["arguments"], list) else list(sample["arguments"].values())
            item["prompts"] = hashlib.sha256(json.dumps([str(one[0]) for one in first], ensure_ascii=False).encode()).hexdigest()
            if name == "gsm8k":
                item["answer"] = sample["resps"][0][0]
                item[sample["filter"]] = sample["exact_match"]
            else:
                item["logprobs"] = [round(float(one[0]), 6) for one in sample["filtered_resps"]]
                item["greedy"] = [bool(one[1]) for one in sample["filtered_resps"]]
                item["acc"] = sample["acc"]
                if "acc_norm" in sample:
                    item["acc_norm"] = sample["acc_norm"]
        scores = {key: value for key, value in results["results"][name].items() if isinstance(value, float) and not math.isnan(value)}
        report["tasks"][name] = {"shots": shots, "scores": scores, "items": [kept[key] for key in sorted(kept)]}
        print(name, len(kept), scores, flush=True)
    with open(OUT, "w", encoding="utf-8") as file:
        json.dump(report, file, ensure_ascii=False)


if __name__ == "__main__":
    main()
