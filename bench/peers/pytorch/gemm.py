"""Matrix products: y = x Wᵀ, grouped over experts, and weight gradients."""
import time

import torch

DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}


class GemmWork:
    def __init__(self, work):
        dtype = DTYPES[work["computeType"]]
        m, k, n, offsets = work["m"], work["k"], work["n"], work["offsets"]
        groups = len(offsets) - 1
        torch.manual_seed(1)
        x = (torch.rand(m, k) * 2 - 1).to(dtype)
        spans = list(zip(offsets[:-1], offsets[1:]))
        if work["operation"] == "product":
            weight = (torch.rand(groups, n, k) * 2 - 1).to(dtype)
            if groups == 1:
                ways = [lambda: torch.mm(x, weight[0].t())]
            else:
                loop = lambda: torch.cat([torch.mm(x[a:b], weight[g].t()) for g, (a, b) in enumerate(spans)])
                ends = torch.tensor(offsets[1:], dtype=torch.int32)
                grouped = lambda: torch.nn.functional.grouped_mm(x, weight.transpose(1, 2), offs=ends)
                ways = [loop, grouped]
        else:
            dy = (torch.rand(m, n) * 2 - 1).to(dtype)
            ways = [lambda: [torch.mm(dy[a:b].t(), x[a:b]) for a, b in spans]]
        self.way = fastest(ways)

    @torch.no_grad()
    def run(self):
        start = time.perf_counter()
        self.way()
        return {"product": time.perf_counter() - start}


def fastest(ways):
    """The quickest of several ways to the same result; one that this PyTorch does not have is left out."""
    best, best_seconds = None, float("inf")
    for way in ways:
        try:
            with torch.no_grad():
                way()
                start = time.perf_counter()
                for _ in range(3):
                    way()
                seconds = time.perf_counter() - start
        except Exception:
            continue
        if seconds < best_seconds:
            best, best_seconds = way, seconds
    if best is None:
        raise RuntimeError("no way to this product in this PyTorch")
    return best
