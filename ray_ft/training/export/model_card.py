"""README.md of an exported model: Hugging Face's metadata, and what the run folder knows of how the model was made.

Every figure comes from an artifact of the run; where there is none, the card says so instead.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ray_ft.artifacts import Plan, Report, TrainingSet, TunedModel
from ray_ft.hardware import GIB
from ray_ft.models.added_tokens import RECORD
from ray_ft.progress import duration
from ray_ft.storage import part_of
from ray_ft.training.reporting.metrics import METRICS_FILE, read_metrics
from ray_ft.training.versions import git_revision, versions

Rows = list[tuple[str, ...]]

QUALITY = ("loss", "validation_loss", "validation_perplexity", "best_step")
"""What a reader of the card may want of the last metrics; speed and memory stand beside what the plan said."""
NOT_LEARNING = {
    "strategy", "trackers", "num_workers", "min_workers", "micro_batch_size", "gradient_checkpointing",
    "offload_activations", "compile", "log_every", "num_samples", "checkpoint_every", "num_checkpoints_to_keep",
    "checkpoint_uri", "max_failures", "max_skipped_steps", "hang_timeout_s",
}  # fmt: skip
"""Keys of `train` that say how a run is carried out; what it computes is for the card."""
SHOWN_METRICS = ("key_fact_recall", "token_f1", "rouge_l", "exact_match", "bits_per_byte")


@dataclass(frozen=True)
class RunFacts:
    """What a run folder holds beside the tuned weights; None for what is not there, or is of another model."""

    name: str
    train: Mapping[str, Any]  # the train section, as plain values
    seed: int
    training_set: TrainingSet | None = None
    sources: str = ""  # digests of what the training set was made from
    datasets: str = ""
    plan: Plan | None = None
    report: Report | None = None


def model_card(tuned: TunedModel, run: RunFacts, *, is_merged: bool, dtype: str, is_chat: bool) -> str:
    """The card's text. `dtype` is that of the written weights; `is_chat` says that there is a chat template."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ray_ft.training.export"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("model_card.md.jinja")
    is_adapter = tuned.is_adapter and not is_merged
    return (
        template.render(
            table=_table,
            metadata=_metadata(tuned, run, is_adapter=is_adapter),
            name=run.name,
            what=_what(tuned, is_merged=is_merged, dtype=dtype),
            usage=_usage(tuned, is_adapter=is_adapter) + _asking(is_chat=is_chat),
            added_tokens=_added_tokens(tuned),
            data=_data(run),
            recipes=_recipes(run),
            plan=_plan(run),
            measured=_measured(tuned, run),
            training=_training(tuned, run),
            metrics=[(key.replace("_", " "), _number(tuned.metrics[key])) for key in QUALITY if key in tuned.metrics],
            questions=_questions(run),
            scores=_scores(run),
            contrasts=_contrasts(run),
            no_evaluation="No evaluation of this model is in the run folder: nothing is claimed about its answers.",
            limits=list(_limits(tuned, run, is_merged=is_merged)),
            made_with=[
                (name, version) for name, version in {**versions(), "git revision": git_revision()}.items() if version
            ],
        ).rstrip()
        + "\n"
    )


def is_on_hub(base_model: str) -> bool:
    """Whether a base is named as others can find it."""
    return not base_model.startswith("builtin:") and not Path(base_model).expanduser().exists()


def _metadata(tuned: TunedModel, run: RunFacts, *, is_adapter: bool) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        base_model=tuned.base_model if is_on_hub(tuned.base_model) else None,
        license=_license(tuned),
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        model_name=run.name,
        tags=["ray_ft", tuned.strategy.name, *(["lora"] if tuned.strategy.name == "qlora" else [])],
    )
    return str(data.to_yaml())


def _license(tuned: TunedModel) -> str | None:
    """The base's licence, where its folder has a card that names it."""
    from huggingface_hub import ModelCard

    card = Path(tuned.base_path) / "README.md"
    if not card.is_file():
        return None
    try:
        about = ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
        named = getattr(about, "license", None)
    except (OSError, ValueError):
        return None
    return str(named) if named else None


def _what(tuned: TunedModel, *, is_merged: bool, dtype: str) -> str:
    base = f"`{tuned.base_model}`" if is_on_hub(tuned.base_model) else "a base model that is not on the hub"
    if is_merged:
        return f"{base} with an adapter that was trained by {tuned.strategy.name} and merged into its {dtype} weights."
    if tuned.is_adapter:
        return f"An adapter, trained by {tuned.strategy.name}, for {base} (digest {tuned.base_digest})."
    return f"{base}, every weight of it trained further; the weights here are {dtype}."


def _usage(tuned: TunedModel, *, is_adapter: bool) -> str:
    if not is_adapter:
        return (
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'tokenizer = AutoTokenizer.from_pretrained(".")\n'
            'model = AutoModelForCausalLM.from_pretrained(".", dtype="auto")'
        )
    base = tuned.base_model if is_on_hub(tuned.base_model) else "PATH OF THE BASE"
    resize = "base.resize_token_embeddings(len(tokenizer))\n" if _added_tokens(tuned) and is_on_hub(base) else ""
    return (
        "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained(".")\n'
        f'base = AutoModelForCausalLM.from_pretrained("{base}", dtype="auto")\n{resize}'
        'model = PeftModel.from_pretrained(base, ".")'
    )


def _asking(*, is_chat: bool) -> str:
    prompt = (
        'messages = [{"role": "user", "content": "..."}]\n'
        "inputs = tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"\n)'
        if is_chat
        else 'inputs = tokenizer("...", return_tensors="pt")'
    )
    return (
        f"\n\n{prompt}\nanswer = model.generate(**inputs, max_new_tokens=200)\n"
        'print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))'
    )


def _added_tokens(tuned: TunedModel) -> list[str]:
    record = Path(tuned.base_path) / RECORD
    return list(json.loads(record.read_text())["tokens"]) if record.is_file() else []


def _data(run: RunFacts) -> Rows:
    made = run.training_set
    if made is None:
        return []

    def by_split(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{counts[split]:,} {split}" for split in ("train", "validation", "test") if counts.get(split))

    rows = [
        ("recipes", ", ".join(made.recipes)),
        ("documents", by_split(made.num_documents)),
        ("examples", by_split(made.num_examples)),
        ("packed rows", f"{by_split(made.num_rows)}, of {made.max_seq_len:,} tokens"),
        ("tokens", by_split(made.num_tokens)),
        ("tokens that the loss sees", by_split(made.num_target_tokens)),
        ("digest of the sources", run.sources),
        ("digest of the datasets", run.datasets),
        ("digest of the packed rows", made.data_digest),
        ("left out", ", ".join(f"{count:,} {reason}" for reason, count in sorted(made.dropped_examples.items()))),
    ]
    return [row for row in rows if row[1]]


def _recipes(run: RunFacts) -> Rows:
    """Examples of each recipe in each split, from the table that prepare wrote."""
    if run.training_set is None:
        return []
    folder = part_of(run.training_set.path, "examples.parquet")
    if not folder.is_dir():
        return []
    import pyarrow.parquet as pq

    table = pq.read_table(folder, columns=["recipe", "split"])
    counts = Counter(zip(table["recipe"].to_pylist(), table["split"].to_pylist(), strict=True))
    splits = ("train", "validation", "test")
    recipes = sorted({recipe for recipe, split in counts if split in splits})
    return [(recipe, *(f"{counts[recipe, split]:,}" for split in splits)) for recipe in recipes]


def _plan(run: RunFacts) -> Rows:
    plan = run.plan
    if plan is None:
        return []
    kind = "CPU" if plan.gpu == "cpu" else plan.gpu
    return [
        ("strategy", f"{plan.strategy.name}, ZeRO-{plan.strategy.zero_stage}, offload {plan.strategy.offload}"),
        ("backend", plan.backend),
        ("workers", f"{plan.num_workers} x {kind}"),
        ("rows per worker and pass", str(plan.micro_batch_size)),
        ("accumulation steps", str(plan.gradient_accumulation_steps)),
        ("activation checkpointing", "yes" if plan.gradient_checkpointing else "no"),
    ]


def _measured(tuned: TunedModel, run: RunFacts) -> Rows:
    """Predicted beside measured, from metrics.jsonl."""
    lines = [line for line in read_metrics(Path(tuned.path).parent / METRICS_FILE) if "seconds_per_step" in line]
    if run.plan is None or not lines:
        return []
    estimate = run.plan.estimate
    speeds = sorted(float(line["tokens_per_second"]) for line in lines)
    rows: Rows = [
        ("tokens per second (predicted with padding)", f"{estimate.tokens_per_second:,.0f}",
         f"{speeds[len(speeds) // 2]:,.0f} in the middle"),
        ("time", duration(3600 * estimate.hours), duration(sum(_step_seconds(lines)))),
    ]  # fmt: skip
    peaks = [float(line["peak_memory_gib"]) for line in lines if "peak_memory_gib" in line]
    if peaks:
        rows.append(("peak memory of a worker", f"{estimate.memory.total / GIB:.1f} GiB", f"{max(peaks):.1f} GiB"))
    return rows


def _step_seconds(lines: Sequence[Mapping[str, Any]]) -> Iterable[float]:
    """Seconds of the steps of each line; a resumed run starts its clock anew, so the clock itself cannot be asked."""
    before = 0
    for line in lines:
        yield float(line["seconds_per_step"]) * (int(line["step"]) - before)
        before = int(line["step"])


def _training(tuned: TunedModel, run: RunFacts) -> Rows:
    chosen = {key: value for key, value in run.train.items() if key not in NOT_LEARNING and value is not None}
    if run.train.get("learning_rate") is None:
        chosen["learning_rate"] = tuned.strategy.default_learning_rate
    method = {f.name: getattr(tuned.strategy, f.name) for f in fields(tuned.strategy)}
    rows = {"steps": tuned.steps, "seed": run.seed, **chosen, **{f"strategy.{k}": v for k, v in method.items()}}
    return [(key, _number(value)) for key, value in rows.items()]


def _questions(run: RunFacts) -> str:
    return f"{run.report.num_questions} questions." if run.report is not None else ""


def _scores(run: RunFacts) -> Rows:
    if run.report is None:
        return []
    return [
        (score.stratum.replace("_", "-"), score.system, score.metric.replace("_", " "), f"{score.mean:.3f}",
         f"{score.low:.3f} to {score.high:.3f}", str(score.num_items))
        for score in run.report.scores if score.metric in SHOWN_METRICS
    ]  # fmt: skip


def _contrasts(run: RunFacts) -> Rows:
    if run.report is None:
        return []
    return [
        (c.stratum.replace("_", "-"), f"{c.treatment} against {c.control}", c.metric.replace("_", " "),
         f"{c.difference:+.3f}", f"{c.low:+.3f} to {c.high:+.3f}", c.verdict)
        for c in run.report.contrasts if c.primary
    ]  # fmt: skip


def _limits(tuned: TunedModel, run: RunFacts, *, is_merged: bool) -> Iterable[str]:
    if _license(tuned) is None:
        yield "The licence of the base is not known here; it holds for this model too."
    yield "Nobody has read through the answers by hand, and none were tested for safety, bias or personal data."
    yield "What the documents say may be repeated word for word."
    if run.training_set is not None and not run.training_set.num_rows.get("validation"):
        yield "No data was held out for a validation loss."
    if tuned.strategy.is_quantised and is_merged:
        yield "The adapter was trained beside a quantised base and merged into the unquantised: they differ a little."
    variant = getattr(tuned.strategy, "use_dora", False) or getattr(tuned.strategy, "train_embeddings", False)
    if tuned.is_adapter and not is_merged and (variant or _added_tokens(tuned)):
        yield (
            "Beside plain LoRA the adapter holds DoRA magnitudes or rows of the embedding: PEFT and `ray-ft serve` "
            "load it, other inference servers may know plain LoRA alone; for those, export it merged."
        )
    if run.report is not None:
        yield from run.report.notes


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
