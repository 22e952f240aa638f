"""A mixed workload on a CPU: answers of 8 to 96 tokens, the base and four adapters in turns, in three ways.

One at a time and in batches of sixteen by transformers and PEFT's `adapter_names`, and by the engine.
"""

import os
import random
import time
from pathlib import Path
from typing import Any

from bench.answers.models import make_adapters, make_base

NUM_REQUESTS = 48
BATCH = 16


def measure(folder: Path, *, repeats: int, threads: int) -> list[dict[str, Any]]:
    """A row for each way: new tokens a second of wall and of CPU time, the best of some turns, and equal answers."""
    import torch

    torch.set_num_threads(threads)
    base = make_base(folder / "tiny", "tiny", dtype="float32")
    adapters = make_adapters(folder / "adapters", base, 4, ranks=(8, 4, 16, 8))
    work = _work(sorted(adapters))
    ways = {"one at a time": OneByOne, f"batches of {BATCH}": Batches, "engine": OurEngine}
    loaded = {name: way(base, adapters) for name, way in ways.items()}
    rows = {name: {"way": name, "wall": 0.0, "cpu": 0.0} for name in ways}
    answers: dict[str, list[list[int]]] = {}
    for _ in range(repeats):
        for name, way in loaded.items():
            wall, cpu = time.perf_counter(), time.process_time()
            answers[name] = way.answer(work)
            seconds = (time.perf_counter() - wall, time.process_time() - cpu)
            made = sum(length for _, length, _ in work)
            for key, took in zip(("wall", "cpu"), seconds, strict=True):
                rows[name][key] = max(rows[name][key], round(made / took, 1))
    first = answers["one at a time"]
    for name, row in rows.items():
        row["equal"] = sum(a == b for a, b in zip(answers[name], first, strict=True))
        row["requests"], row["load"] = NUM_REQUESTS, round(os.getloadavg()[0], 1)
    return list(rows.values())


def _work(adapters: list[str]) -> list[tuple[list[int], int, str | None]]:
    """Prompts of 16 to 64 tokens, the length of each answer, and who is asked."""
    draw = random.Random(0)
    asked = [None, *adapters]
    return [
        ([draw.randrange(300, 4096) for _ in range(draw.randrange(16, 65))], draw.randrange(8, 97), asked[i % 5])
        for i in range(NUM_REQUESTS)
    ]


class OneByOne:
    """transformers' generate on PEFT's model, request by request."""

    def __init__(self, base: str, adapters: dict[str, str]) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        names = list(adapters)
        self.model: Any = PeftModel.from_pretrained(model, adapters[names[0]], adapter_name=names[0])
        for name in names[1:]:
            self.model.load_adapter(adapters[name], adapter_name=name)
        self.model.eval()

    def generate(self, prompts: list[list[int]], length: int, names: list[str | None]) -> list[list[int]]:
        import torch

        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        options: dict[str, Any] = {"max_new_tokens": length, "min_new_tokens": length, "do_sample": False}
        with torch.inference_mode():
            if len(prompts) > 1:
                options["adapter_names"] = [name or "__base__" for name in names]
                out = self.model.generate(input_ids=ids, attention_mask=mask, **options)
            elif names[0] is None:
                with self.model.disable_adapter():
                    out = self.model.generate(input_ids=ids, attention_mask=mask, **options)
            else:
                self.model.set_adapter(names[0])
                out = self.model.generate(input_ids=ids, attention_mask=mask, **options)
        return [row[longest:].tolist() for row in out]

    def answer(self, work: list[tuple[list[int], int, str | None]]) -> list[list[int]]:
        return [self.generate([prompt], length, [name])[0] for prompt, length, name in work]


class Batches(OneByOne):
    """The same in batches, each as long as its longest answer."""

    def answer(self, work: list[tuple[list[int], int, str | None]]) -> list[list[int]]:
        answers = []
        for start in range(0, len(work), BATCH):
            batch = work[start : start + BATCH]
            prompts, lengths, names = (list(column) for column in zip(*batch, strict=True))
            rows = self.generate(prompts, max(lengths), names)
            answers += [row[:length] for row, length in zip(rows, lengths, strict=True)]
        return answers


class OurEngine:
    """The engine, asked for everything at once."""

    def __init__(self, base: str, adapters: dict[str, str]) -> None:
        from ray_ft.engines import TransformersEngine

        self.model = TransformersEngine(batch_size=BATCH).load(base, adapters)

    def answer(self, work: list[tuple[list[int], int, str | None]]) -> list[list[int]]:
        from ray_ft.engines import GenerateRequest

        requests = [
            GenerateRequest(tuple(prompt), adapter=name, max_new_tokens=length, ignore_end=True)
            for prompt, length, name in work
        ]
        return [list(result.token_ids) for result in self.model.generate(requests)]
