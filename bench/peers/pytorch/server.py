"""PyTorch as a peer of `rookery bench`: answers one JSON object a line (see ../README.md), and stays alive between rounds."""
import json
import os
import sys
import time

# Libraries may print; only answers go to the real standard output.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import torch  # noqa: E402

from attention import AttentionWork  # noqa: E402
from gemm import GemmWork  # noqa: E402
from train import TrainWork  # noqa: E402

WORKS = {"gemm": GemmWork, "attention": AttentionWork, "train": TrainWork}


def peak_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def timed(work, repetitions):
    """Seconds of each part of the work, summed."""
    sums = {}
    for _ in range(repetitions):
        for part, seconds in work.run().items():
            sums[part] = sums.get(part, 0.0) + seconds
    return sums


def measure(work, seconds):
    """Median seconds of each part over timings of at least a millisecond, for about `seconds` altogether."""
    start = time.perf_counter()
    first = timed(work, 1)
    repetitions = max(1, int(1e-3 / max(sum(first.values()), 1e-7)) + 1)
    timings = [first] if time.perf_counter() - start >= seconds else []
    while time.perf_counter() - start < seconds:
        timings.append({part: total / repetitions for part, total in timed(work, repetitions).items()})
    middle = {}
    for part in timings[0]:
        values = sorted(timing[part] for timing in timings)
        middle[part] = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
    return middle


class Server:
    def __init__(self):
        self.work = None

    def hello(self, question):
        torch.set_num_threads(question["threads"])
        return {"name": "pytorch", "version": torch.__version__}

    def prepare(self, question):
        work = question["work"]
        self.work = None
        self.work = WORKS[work["kind"]](work)
        self.work.run()
        return {}

    def round(self, question):
        return {"seconds": measure(self.work, question["seconds"])}

    def memory(self, _question):
        return {"peakBytes": peak_bytes()}


server = Server()
for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"id": question["id"], "result": getattr(server, question["method"])(question)}
    except Exception as error:  # one variant that fails must not end the others
        answer = {"id": question["id"], "error": f"{type(error).__name__}: {error}"[:500]}
    print(json.dumps(answer), file=answers, flush=True)
