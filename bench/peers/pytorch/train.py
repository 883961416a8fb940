"""One training step of the same mixture of experts: bf16 autocast or f32, fused AdamW, clipping, perhaps compiled."""
import time

import torch
import torch.nn.functional as F

from model import Model

# too small to move a token to another expert: every round meets the loads of the first one
LEARNING_RATE = 1e-6


class TrainWork:
    def __init__(self, work):
        variant = work["variant"]
        torch.manual_seed(work["seed"])
        self.autocasts = work["computeType"] == "bf16"
        self.vocabulary = work["vocabulary"]
        self.net = Model(work, variant["experts"])
        self.forward = torch.compile(self.net) if variant["compile"] else self.net
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True
        )
        self.tokens = torch.randint(0, self.vocabulary, (work["batch"], work["sequenceLength"] + 1))

    def run(self):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocasts):
            logits, balance = self.forward(self.tokens[:, :-1])
        loss = F.cross_entropy(logits.float().view(-1, self.vocabulary), self.tokens[:, 1:].reshape(-1))
        (loss + 0.01 * balance).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"step": time.perf_counter() - start}
