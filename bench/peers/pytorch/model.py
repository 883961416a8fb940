"""The mixture-of-experts model as one would write it in PyTorch, with three ways of running the experts:

loop    one after the other, each on just its rows
padded  on rows padded to a multiple of 64, so that oneDNN meets few shapes
bmm     as one batched product over equal room for each
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), 1e-5)


def rope(x, cos, sin):
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class Attention(nn.Module):
    """Causal grouped-query attention with RoPE; the odd layer of each pair reuses the even layer's K and V."""

    def __init__(self, work, owns_kv):
        super().__init__()
        self.heads, self.kv_heads = work["heads"], work["keyValueHeads"]
        hidden = work["hidden"]
        self.head_dim = hidden // self.heads
        self.owns_kv = owns_kv
        self.q = nn.Linear(hidden, hidden, bias=False)
        self.o = nn.Linear(hidden, hidden, bias=False)
        if owns_kv:
            self.kv = nn.Linear(hidden, 2 * self.kv_heads * self.head_dim, bias=False)

    def forward(self, x, cos, sin, kv):
        rows, length, hidden = x.shape
        q = rope(self.q(x).view(rows, length, self.heads, self.head_dim).transpose(1, 2), cos, sin)
        if self.owns_kv:
            both = self.kv(x).view(rows, length, 2 * self.kv_heads, self.head_dim)
            k, v = both.transpose(1, 2).chunk(2, 1)
            kv = (rope(k, cos, sin), v)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in kv)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(y.transpose(1, 2).reshape(rows, length, hidden)), kv


class SwiGLU(nn.Module):
    def __init__(self, hidden, ffn):
        super().__init__()
        self.gate_up = nn.Linear(hidden, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, hidden, bias=False)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class Experts(nn.Module):
    """One shared expert plus top-1 of the specialised experts, tokens sorted by expert, none dropped."""

    def __init__(self, work, way):
        super().__init__()
        hidden, ffn = work["hidden"], work["ffn"]
        self.count, self.way = work["experts"], way
        self.router = nn.Linear(hidden, self.count, bias=False)
        self.shared = SwiGLU(hidden, ffn)
        self.balance = None
        if way == "bmm":
            self.gate_up = nn.Parameter(torch.randn(self.count, hidden, 2 * ffn) / math.sqrt(hidden) / 1.7)
            self.down = nn.Parameter(torch.randn(self.count, ffn, hidden) / math.sqrt(ffn) / 1.7)
        else:
            self.experts = nn.ModuleList(SwiGLU(hidden, ffn) for _ in range(self.count))

    def forward(self, x):
        shape = x.shape
        x = x.reshape(-1, shape[-1])
        probability = self.router(x).float().softmax(-1)
        gate, chosen = probability.max(-1)
        load = F.one_hot(chosen, self.count).float().mean(0)
        self.balance = self.count * (load * probability.mean(0)).sum()
        order = chosen.argsort(stable=True)
        counts = torch.bincount(chosen, minlength=self.count)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(order.numel())
        routed = self.batched(x, order, chosen, counts) if self.way == "bmm" else self.one_by_one(x[order], counts)
        return (self.shared(x) + routed[inverse] * gate[:, None].to(routed.dtype)).view(shape)

    def batched(self, x, order, chosen, counts):
        dtype = torch.bfloat16 if torch.is_autocast_cpu_enabled() else x.dtype
        room = -(-int(counts.max()) // 64) * 64
        starts = counts.cumsum(0) - counts
        slot = torch.arange(order.numel()) - starts[chosen[order]] + chosen[order] * room
        empty = x.new_zeros(self.count * room, x.shape[-1], dtype=dtype)
        rows = empty.index_copy(0, slot, x[order].to(dtype)).view(self.count, room, -1)
        gate, up = torch.bmm(rows, self.gate_up).chunk(2, -1)
        return torch.bmm(F.silu(gate) * up, self.down).view(-1, x.shape[-1])[slot]

    def one_by_one(self, rows, counts):
        parts = []
        for expert, part in zip(self.experts, rows.split(counts.tolist())):
            more = -len(part) % 64 if self.way == "padded" else 0
            parts.append(expert(F.pad(part, (0, 0, 0, more)))[: len(part)])
        return torch.cat(parts)


class Model(nn.Module):
    def __init__(self, work, way):
        super().__init__()
        hidden, layers = work["hidden"], range(work["layers"])
        self.head_dim = hidden // work["heads"]
        self.embed = nn.Embedding(work["vocabulary"], hidden)
        self.input_norms = nn.ModuleList(Norm(hidden) for _ in layers)
        self.attention = nn.ModuleList(Attention(work, layer % 2 == 0) for layer in layers)
        self.expert_norms = nn.ModuleList(Norm(hidden) for _ in layers)
        self.experts = nn.ModuleList(Experts(work, way) for _ in layers)
        self.norm = Norm(hidden)
        self.head = nn.Linear(hidden, work["vocabulary"], bias=False)
        self.head.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(self, tokens):
        frequencies = 10000.0 ** (-torch.arange(0, self.head_dim, 2).float() / self.head_dim)
        angles = torch.arange(tokens.shape[1]).float()[:, None] * frequencies
        dtype = torch.bfloat16 if torch.is_autocast_cpu_enabled() else torch.float32
        cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
        x = self.embed(tokens)
        kv, balance = None, 0.0
        for layer, experts in enumerate(self.experts):
            y, kv = self.attention[layer](self.input_norms[layer](x), cos, sin, kv)
            x = x + y
            x = x + experts(self.expert_norms[layer](x))
            balance = balance + experts.balance
        return self.head(self.norm(x)), balance
