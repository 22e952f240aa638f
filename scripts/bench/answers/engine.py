"""An engine by itself: new tokens a second by the number of requests, for the base, one adapter and sixteen."""

import random
import time
from pathlib import Path
from typing import Any

from bench.answers.models import SHAPES, make_adapters, make_base

NUM_ADAPTERS = 16


def measure(
    folder: Path, *, shape: str, dtype: str, counts: tuple[int, ...], prompt: int, new: int, repeats: int
) -> list[dict[str, Any]]:
    """A row for each number of requests and each way of asking; the median of some repeats, after one to warm up.

    Each repeat has prompts of its own, since engines keep what they have read; `again` asks the last ones once more.
    """
    from ray_ft.engines import ENGINES, GenerateRequest

    base = make_base(folder / shape, shape, dtype=dtype)
    adapters = make_adapters(folder / f"{shape}-adapters", base, NUM_ADAPTERS)
    started = time.perf_counter()
    model = ENGINES["transformers"]().load(base, adapters)
    print({"load_s": round(time.perf_counter() - started, 1)}, flush=True)
    asked = {"base": [None], "one adapter": ["adapter00"], "16 adapters": sorted(adapters)}
    rows = []
    for count in counts:
        draw = random.Random(1)
        for who, names in asked.items():
            if count < len(names):
                continue
            seconds = []
            for repeat in range(repeats + 2):
                if repeat <= repeats:
                    requests = [
                        GenerateRequest(
                            tuple(draw.randrange(300, SHAPES[shape]["vocab_size"]) for _ in range(prompt)),
                            adapter=names[i % len(names)], max_new_tokens=new, ignore_end=True,
                        )
                        for i in range(count)
                    ]  # fmt: skip
                started = time.perf_counter()
                results = model.generate(requests)
                seconds.append(time.perf_counter() - started)
                assert all(result.num_completion_tokens == new for result in results)
            first, *measured, again = seconds
            took = sorted(measured)[repeats // 2]
            row = {"requests": count, "who": who, "prompt_tokens": prompt, "new_tokens": new,
                   "new_tokens_per_s": round(count * new / took, 1), "first_s": round(first, 2),
                   "again_new_tokens_per_s": round(count * new / again, 1)}  # fmt: skip
            print(row, flush=True)
            rows.append(row)
    model.close()
    return rows


def measure_evaluation(
    folder: Path, *, engine: str, shape: str, dtype: str, num_questions: int
) -> list[dict[str, Any]]:
    """Seconds of an evaluation's answers: base and adapter, each with and without five passages of 300 tokens."""
    from ray_ft.engines import ENGINES
    from ray_ft.evaluation.exam.tasks import TUNED, Task
    from ray_ft.evaluation.systems.answering import TASKS_PER_BATCH
    from ray_ft.evaluation.systems.prompts import perform

    base = make_base(folder / shape, shape, dtype=dtype)
    adapter = make_adapters(folder / f"{shape}-adapters", base, 1)["adapter00"]
    started = time.perf_counter()
    model = ENGINES[engine]().load(base, {TUNED: adapter})
    load_s = round(time.perf_counter() - started, 1)
    draw = random.Random(2)

    def words(length: int) -> str:
        return "".join(draw.choice("abcdefghijklmnop ") for _ in range(length))  # a letter is a token

    tasks = []
    for index in range(num_questions):
        question, passages = words(80), tuple(words(300) for _ in range(5))
        for system in ("base", "tuned", "base+rag", "tuned+rag"):
            shown = passages if system.endswith("+rag") else ()
            tasks.append(Task(index=index, kind="question", system=system, text=question, passages=shown))
    size = TASKS_PER_BATCH["GPU"]
    started = time.perf_counter()
    done = [
        answer
        for at in range(0, len(tasks), size)
        for answer in perform(tasks[at : at + size], model, tuned_adapter=TUNED, system_prompt=None, max_new_tokens=128)
    ]
    row = {"evaluation": engine, "answers": len(done), "seconds": round(time.perf_counter() - started, 1),
           "new_tokens": sum(d.num_completion_tokens for d in done), "load_s": load_s}  # fmt: skip
    print(row, flush=True)
    model.close()
    return [row]
