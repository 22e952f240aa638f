"""Rules on how to train and what to weigh it against: retrieval, rank, rate, batch, method, GPU."""

from ray_ft.advising.case import FEW_TOKENS, MANY_TOKENS, RAW_TOKENS, Case, counted
from ray_ft.advising.corpus_rules import Rule
from ray_ft.artifacts import Estimate, Remark
from ray_ft.hardware.gpus import GIB, automatic_precision

STEPS_PER_EPOCH, LARGEST_BATCH = 20, 16
SHORTEST_ROW = 512
SHORT_RUN = 100  # steps
NOTICED = 0.01  # share of the examples
MAX_HOURS = 24.0  # in which the GPUs that are proposed end


def retrieve_first(case: Case) -> Remark | None:
    """Facts."""
    if case.goal != "facts":
        return None
    return Remark(
        "retrieve_first", "retrieval", "compare with base+rag first, which may do",
        "Mistral-7B on new events: .481, with retrieval .875, tuned .588, both .830",
        ("2312.05934 T2",), "A",
        "in agriculture tuning added 6 points, and retrieval 5 more; test tuned+rag too", ("2401.08406",),
        {"evaluation.systems": ["base", "tuned", "base+rag", "tuned+rag"]},
    )  # fmt: skip


def tune_for_style(case: Case) -> Remark | None:
    """A manner, and facts that are not part of it."""
    if case.goal not in ("style", "format"):
        return None
    return Remark(
        "tune_for_style", "retrieval", f"tuning is for the {case.goal}; leave facts to retrieval",
        "only tuned+rag wrote numbered steps in the guide's form", ("2404.10779 T6",), "C",
    )  # fmt: skip


def retrieve_code(case: Case) -> Remark | None:
    """Code."""
    if case.goal != "code":
        return None
    return Remark(
        "retrieve_code", "retrieval", "retrieve code too (BM25), and tune beside it",
        "over 160,000 C++ files retrieval beat tuning alone, and both together beat either", ("2505.15179",), "A",
        "for an API that stays, tuning was as similar and invented 1 to 2 points fewer names", ("2407.02742",),
    )  # fmt: skip


def length_of_rows(case: Case) -> Remark:
    """The longest example, else what the configuration has."""
    longest, given = case.profile.long_tokens, case.config.model.max_seq_len
    length = _power_of_two(longest) if longest > given else given
    length = min(max(length, min(SHORTEST_ROW, given)), case.shape.max_position_embeddings)
    settings = {"model.max_seq_len": length}
    if case.profile.long_share >= NOTICED:
        return Remark(
            "length_of_rows", "rows",
            f"max_seq_len {length:,}; {case.profile.long_share:.0%} of the examples are longer than {given:,} tokens",
            "a conversation ends with its last turn that fits", ("chat.md",), "B",
            settings=settings,
        )  # fmt: skip
    return Remark(
        "length_of_rows", "rows", f"max_seq_len {length:,}, packed", "the paper's rows were 88% padding",
        ("2404.10779 s6",), "B",
        settings=settings,
    )  # fmt: skip


def rank(case: Case) -> Remark:
    """As much room as there is to learn; the scale alpha / r, or alpha / sqrt(r), stays 2."""
    tokens = case.profile.num_tokens
    if tokens >= RAW_TOKENS:
        return Remark(
            "rank", "rank", "r 256, lora_alpha 32, rsLoRA, all linear layers",
            "adapters run full: raise the rank with the data, and alpha / r starves high ranks",
            ("no-regret", "2312.03732"), "A",
            settings=_adapter(r=256, lora_alpha=32, use_rslora=True),
        )  # fmt: skip
    if tokens >= MANY_TOKENS:
        return Remark(
            "rank", "rank", "r 64, lora_alpha 16, rsLoRA, all linear layers",
            "raise the rank with the data, and alpha / r starves high ranks", ("no-regret", "2312.03732"), "A",
            settings=_adapter(r=64, lora_alpha=16, use_rslora=True),
        )  # fmt: skip
    other, sources = "", tuple[str, ...]()
    if tokens < FEW_TOKENS and case.goal == "facts":
        other = "for facts r 1 to 8 at alpha 512 was best, alpha / r moving along; sweep both apart"
        sources = ("2404.10779 T3",)
    return Remark(
        "rank", "rank", "r 16, lora_alpha 32, all linear layers",
        "best of four on code; attention alone learns less", ("2404.10779 T10", "2405.09673"), "B",
        other, sources, _adapter(r=16, lora_alpha=32),
    )  # fmt: skip


def learning_rate(case: Case) -> Remark:
    """By the method, and for adapters by how many steps there are."""
    if case.settings.get("train.strategy", {}).get("name") == "full":
        return Remark(
            "learning_rate", "rate", "1e-5", "1e-6 to 5e-5 was searched for full tuning on raw text",
            ("2312.05934 s5",), "B",
            settings={"train.learning_rate": 1e-5},
        )  # fmt: skip
    steps = case.num_rows / case.settings["train.global_batch_size"] * case.settings["train.num_epochs"]
    times, rate = (15, 3e-4) if steps < SHORT_RUN else (10, 2e-4)
    return Remark(
        "learning_rate", "rate", f"{rate:.0e}".replace("e-0", "e-") + ", then a sweep from 1e-5 to 5e-4",
        f"{times} times the rate of full tuning {f'under {SHORT_RUN} steps' if times == 15 else 'at any rank'}",
        ("no-regret",) if times == 15 else ("no-regret", "2405.09673"), "A",
        settings={"train.learning_rate": rate},
    )  # fmt: skip


def epochs(case: Case) -> Remark:
    """Three, and an eye on the loss."""
    is_small = case.goal == "facts" and case.profile.num_tokens < FEW_TOKENS
    enough = case.profile.num_documents + case.profile.num_records >= 40
    settings: dict[str, object] = {"train.num_epochs": 3}
    if enough:
        settings["train.early_stopping_patience"] = 2
    return Remark(
        "epochs", "epochs", f"3{', ended early by the held-out loss' if enough else ''}",
        "the paper's; facts learnt late raise invention", ("2404.10779 T2", "2405.05904"), "B",
        "the 75% of four wordings took 5" if is_small else "", ("wordings",) if is_small else (), settings,
    )  # fmt: skip


def batch(case: Case) -> Remark:
    """Some steps an epoch, however small the corpus."""
    size = _power_of_two(case.num_rows / STEPS_PER_EPOCH, up=False)
    size = min(max(size, 1), LARGEST_BATCH)
    steps = -(-case.num_rows // size)
    return Remark(
        "batch", "batch", f"{size}, so {counted(steps, 'step')} an epoch of {counted(case.num_rows, 'row')}",
        "adapters bear large ones less well", ("no-regret",), "A",
        "larger ones converge faster, below the memory's limit", ("2404.10779 s6",),
        {"train.global_batch_size": size},
    )  # fmt: skip


def forgetting(case: Case) -> Remark | None:
    """What the base could do before."""
    if case.config.data.rehearsal is not None or (case.config.data.datasets and case.has_documents):
        return None  # something else is mixed in already
    return Remark(
        "forgetting", "forget", "mix general examples in: data.rehearsal has the base answer some itself",
        "replay keeps what the base knew, and its own answers keep more", ("2403.08763", "2403.01244"), "B",
    )  # fmt: skip


def answer_whole(case: Case) -> Remark | None:
    """Answers by quantised weights."""
    if getattr(case.config.engine, "quantization", "none") != "int8":
        return None
    return Remark(
        "answer_whole", "serve", "answer with 16-bit weights where they fit, instead of engine.quantization=int8",
        "8 bits took 2.9 times as long for an answer, of unequal lengths", ("2404.10779 F2",), "B",
    )  # fmt: skip


def method(case: Case) -> Remark | None:
    """Adapters where they fit, 4 bits where 16 do not; all weights for hundreds of megabytes."""
    lora, qlora, full = (case.estimates.get(name) for name in ("lora", "qlora", "full"))
    if case.is_raw and full is not None:
        return Remark(
            "method", "method", f"full: {case.profile.num_tokens / 1e6:,.0f} million tokens to read on",
            "LoRA trails full tuning in continued pre-training", ("2405.09673",), "A",
            "LoRA forgets less there, and equals it while the data fit the adapter", ("2405.09673", "no-regret"),
            {"train.strategy": {"name": "full"}},
        )  # fmt: skip
    if lora is not None and (qlora is None or lora.num_workers <= qlora.num_workers):
        return Remark(
            "method", "method", "lora",
            "adapters, unless data abound; 7B takes 36.5 GiB beside 111.6 for all weights",
            ("2404.10779 s6", "training-h200.md"), "B",
            settings={"train.strategy": {"name": "lora"}},
        )  # fmt: skip
    if qlora is not None:
        return Remark(
            "method", "method", "qlora, as 16-bit weights want more GPUs",
            "70B in 65 GB of one GPU; 7B takes 27.6 GiB beside LoRA's 36.5",
            ("2404.10779 T2", "training-h200.md"), "B",
            settings={"train.strategy": {"name": "qlora"}},
        )  # fmt: skip
    return Remark(
        "method", "method", "a smaller base: not even qlora fits or ends in time on any GPUs that the plan knows",
        f"by the plan's memory and time, for up to 64 GPUs and {MAX_HOURS:g} hours", ("estimator-h200.md",), "A",
    )  # fmt: skip


def gpu(case: Case) -> Remark | None:
    """What the plan says of the chosen method."""
    row = _chosen(case)
    if row is None:
        return None
    where = "this machine's CPU" if row.gpu == "cpu" else f"{row.num_workers} x {row.gpu}"
    cost = "" if row.gpu == "cpu" else f", {row.cost:,.2f} USD"
    memory = f"{row.memory.total / GIB:.1f} GiB {'each' if row.num_workers > 1 else ''}".strip()
    return Remark(
        "gpu", "gpu", f"{where}: {memory}, {_hours(row.hours)}{cost}",
        "fewest GPUs, then least cost",
        ("estimator-h200.md",), "A",
        settings={"plan.gpu": row.gpu} | ({} if row.gpu == "cpu" else {"plan.num_gpus": row.num_workers}),
    )  # fmt: skip


def precision(case: Case) -> Remark | None:
    """Half, wherever the machine can."""
    row = _chosen(case)
    if row is None or row.gpu == "cpu":
        return None
    return Remark(
        "precision", "precision", f"auto, which is {automatic_precision(row.gpu)} on {row.gpu}",
        "half precision is enough", ("2404.10779 s6",), "B",
        settings={"train.precision": "auto"},
    )  # fmt: skip


RUN_RULES: tuple[Rule, ...] = (
    retrieve_first, tune_for_style, retrieve_code, length_of_rows, rank, epochs, batch, forgetting, answer_whole,
)  # fmt: skip
"""In the order in which they are told."""

PLAN_RULES: tuple[Rule, ...] = (method, learning_rate, gpu, precision)
"""Told once the settings of the others are planned for."""


def _chosen(case: Case) -> Estimate | None:
    """The estimate of the method that was settled."""
    strategy = case.settings.get("train.strategy", {})
    return case.estimates.get(strategy.get("name", ""))


def _adapter(**keys: object) -> dict[str, object]:
    return {"train.strategy": keys}


def _hours(hours: float) -> str:
    return f"{60 * hours:.0f} min" if hours < 1.95 else f"{hours:.1f} hours"


def _power_of_two(value: float, *, up: bool = True) -> int:
    """The next one that is at least the value, or the last one that is at most it."""
    size = 1
    while size < value if up else 2 * size <= value:
        size *= 2
    return size
