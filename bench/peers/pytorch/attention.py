"""Causal scaled_dot_product_attention, forward and backward; KV heads repeated, or shared where PyTorch can (`enable_gqa`)."""
import time

import torch
import torch.nn.functional as F

from gemm import DTYPES


class AttentionWork:
    def __init__(self, work):
        dtype = DTYPES[work["computeType"]]
        torch.manual_seed(1)

        def tensor(heads):
            shape = (work["sequences"], work["length"], heads, work["headDim"])
            values = (torch.rand(shape) * 2 - 1).to(dtype).transpose(1, 2)
            return values.detach().requires_grad_()

        self.q = tensor(work["heads"])
        self.k = tensor(work["keyValueHeads"])
        self.v = tensor(work["keyValueHeads"])
        self.dout = torch.rand_like(self.q)
        self.groups = work["heads"] // work["keyValueHeads"]
        self.repeats = True
        self.repeats = self.seconds_of(True) < self.seconds_of(False)

    def seconds_of(self, repeats):
        self.repeats = repeats
        try:
            self.run()
            return sum(self.run().values())
        except Exception:
            return float("inf")

    def run(self):
        start = time.perf_counter()
        if self.repeats:
            k, v = (t.repeat_interleave(self.groups, 1) if self.groups > 1 else t for t in (self.k, self.v))
            out = F.scaled_dot_product_attention(self.q, k, v, is_causal=True)
        else:
            out = F.scaled_dot_product_attention(self.q, self.k, self.v, is_causal=True, enable_gqa=True)
        middle = time.perf_counter()
        torch.autograd.grad(out, (self.q, self.k, self.v), self.dout)
        return {"forward": middle - start, "backward": time.perf_counter() - middle}
