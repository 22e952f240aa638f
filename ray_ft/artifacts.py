"""The frozen dataclasses that stages hand to each other, and their JSON form in a run folder."""

import dataclasses
import hashlib
import json
import os
import types
import typing
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from ray_ft.errors import ConfigError, MissingArtifactError
from ray_ft.rows import stratum_named
from ray_ft.strategies import STRATEGIES, Strategy


@dataclass(frozen=True)
class Share:
    """What one recipe or dataset gives to an epoch of training."""

    weight: float
    num_available: int = 0  # examples that could be shown
    num_examples: int = 0  # examples that an epoch shows, each as often as it is shown
    num_tokens: int = 0
    num_target_tokens: int = 0


@dataclass(frozen=True)
class TrainingSet:
    """What prepare made: packed shards, retrieval passages, evaluation questions, and the account of every file.

    Layout below `path`:
      documents.parquet/   one row per source file and per line of a dataset: id, path, format, language, split, status,
                           reason, note, cluster (shared by copies), encoding, num_bytes, text; parts are named by
                           groups of files, as those of the other tables
      examples.parquet/    one row per example: Example's fields, num_tokens, copies (how often an epoch shows it) and
                           split; where `dropped` says why it is left out of training, split is ""
      passages.parquet/    one row per passage of every document that was read: Chunk's fields and split
      questions.jsonl      Question rows (held-out and seen strata)
      shards/manifest.json {"version", "max_seq_len", "tokenizer_digest", "template_digest", "data_digest",
                            "mixture": {recipe or dataset: Share's fields},
                            "splits": {split: {"num_rows", "num_tokens", "num_target_tokens", "num_chat_examples",
                                               "shards": [{"file", "num_rows", "sha256"}]}}}
      shards/SPLIT-GROUP-NN.npy  int32 [rows, 3, max_seq_len]: input_ids, labels, position_ids. Labels are unshifted
                               (label i is token i, or -100); position_ids restart at 0 with each example, and the
                               label there is -100, so nothing is predicted across a border. Padding, at the end of
                               a row, is one more example: pad ids, positions from 0, labels -100.
      shards/SPLIT-GROUP-NN.chunks.jsonl   line i: the chunk ids packed into row i, for error messages and lineage
    """

    path: str
    recipes: tuple[str, ...]
    num_documents: dict[str, int]  # per split
    num_examples: dict[str, int]  # per split, as an epoch shows them
    num_rows: dict[str, int]  # packed rows per split
    num_tokens: dict[str, int]  # tokens in packed rows, padding excluded
    num_target_tokens: dict[str, int]  # tokens that the loss sees
    num_questions: int
    files: dict[str, int]  # ok, and "skipped: reason" -> number of files
    max_seq_len: int
    tokenizer_digest: str
    template_digest: str
    data_digest: str  # of the shards' bytes: what training's resume relies on
    fingerprint: str
    dropped_examples: dict[str, int] = field(default_factory=dict)  # reason -> examples left out of training
    num_truncated: int = 0  # examples whose answer was cut at max_seq_len; they end without end of turn
    num_shortened: int = 0  # conversations that lost the turns behind max_seq_len
    records: dict[str, int] = field(default_factory=dict)  # lines of datasets: ok, and "skipped: reason"
    mixture: dict[str, Share] = field(default_factory=dict)  # recipe or dataset -> its share of an epoch


@dataclass(frozen=True)
class SourcedExample:
    """One example of a training set beside the passage that it was made from."""

    recipe: str
    split: str  # "" for one that is left out of training
    origin: str
    dropped: str
    prompt: str
    completion: str
    evidence: str
    path: str
    line: int  # of the passage's first line in the document's text; 0 where there is no document
    passage: str


@dataclass(frozen=True)
class Inspection:
    """What a training set holds."""

    path: str
    examples: dict[str, dict[str, int]]  # recipe -> split -> examples, as an epoch shows them
    dropped: dict[str, dict[str, int]]  # recipe -> reason -> examples left out of training
    kept_rates: dict[str, float]  # recipe -> share of an engine's examples that was kept
    files: dict[str, int]  # what became of files and lines: ok, "skipped: reason", ...
    token_histogram: dict[str, int]  # lower end of a bin, in tokens -> examples
    samples: tuple[SourcedExample, ...]
    leaks: tuple[str, ...] = ()  # what stands in two splits, one line each


@dataclass(frozen=True)
class Workload:
    """What is to be trained, for the estimator."""

    num_tokens: int  # per epoch, padding excluded
    num_epochs: float
    max_seq_len: int
    global_batch_size: int  # packed rows per optimizer step
    mean_example_tokens: float | None = None  # of the example that a token is in, mean over tokens; None: the row
    num_validation_tokens: float = 0.0  # held out, of each evaluation


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU at the phase that binds; `total` is what the device must hold then."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    transient: int
    fixed: int
    total: int
    phase: str
    phases: dict[str, int] = field(default_factory=dict)  # phase -> bytes on the device
    allocated: int = 0  # what tensors take at most, as torch.cuda.max_memory_allocated says
    reserved: int = 0  # what torch takes for them at most, on a GPU with room to spare
    device: int = 0  # the same with the driver's and NCCL's; what is above `total` is given back when memory is short
    parts: dict[str, dict[str, int]] = field(default_factory=dict)  # phase -> its components; of the chosen row


@dataclass(frozen=True)
class Estimate:
    """One candidate of the plan: what it needs, how long it takes, and why it lost (empty for the chosen one)."""

    strategy: Strategy
    num_workers: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    memory: Memory
    host_memory_bytes: int  # per node
    tokens_per_second: float  # all GPUs
    hours: float
    cost: float  # US dollars
    fits: bool
    reason: str = ""
    gpu: str = ""
    host: dict[str, int] = field(default_factory=dict)  # what host_memory_bytes is made of


@dataclass(frozen=True)
class Plan:
    """How training will run, and why not otherwise."""

    model: str
    gpu: str
    strategy: Strategy
    num_workers: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    gradient_checkpointing: bool
    estimate: Estimate
    rejected: tuple[Estimate, ...] = ()
    notes: tuple[str, ...] = ()  # assumptions, e.g. a token count before there is a training set
    memory_limit_bytes: int = 0  # of one GPU (of the host for "cpu"), after plan.headroom_fraction
    flops_per_token: float = 0.0  # that the method needs, nothing computed twice; padding excluded
    peak_flops: float = 0.0  # of one GPU in 16 bits; 0 where it is not known well, as on a CPU

    @property
    def runner_up(self) -> Estimate | None:
        """The best of the rows that fit and were not chosen; None where no other does."""
        return next((row for row in self.rejected if row.fits), None)


@dataclass(frozen=True)
class Sizing:
    """The smallest cluster of each kind of GPU that trains a model in time."""

    model: str
    max_hours: float
    clusters: tuple[Estimate, ...]  # fewest GPUs first, of those the cheapest run
    rejected: tuple[Estimate, ...] = ()  # the nearest row of every kind that is not in time or does not fit
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gate:
    """What was found before training: counts of what was looked at, all of it in order."""

    num_rows: int
    num_examples: int
    num_ends_of_turn: int  # trained tokens that end a turn
    packing_difference: float | None  # of an example's loss packed and alone, relative; None: not packed, or not tried
    seconds: float


@dataclass(frozen=True)
class Passage:
    """A stretch of an example, all of it trained or none."""

    text: str
    trained: bool


@dataclass(frozen=True)
class ShownExample:
    """One example of a packed row, decoded."""

    chunk_id: str  # chunk, or file and line
    row: int
    number: int  # its place in the row, from 1
    num_in_row: int
    num_tokens: int
    num_target_tokens: int
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class DryRun:
    """What training would do, without having done it."""

    plan: Plan
    training_set: str  # its folder
    num_steps: int
    num_warmup_steps: int
    num_epochs: float
    num_tokens: int  # that all steps see together, padding excluded
    num_target_tokens: int
    learning_rate: float  # at its peak
    num_parameters: int  # of the base
    num_trained_parameters: int
    gate: Gate
    examples: tuple[ShownExample, ...]


@dataclass(frozen=True)
class TunedModel:
    """What train made: an adapter beside its base, or a whole model."""

    base_model: str  # as the config names it
    base_path: str  # local folder of the base's weights
    base_digest: str
    path: str  # adapter folder, or model folder
    is_adapter: bool
    strategy: Strategy
    metrics: dict[str, float]
    steps: int
    fingerprint: str


@dataclass(frozen=True)
class Score:
    """One metric of one system: mean over questions (or documents) with a 95% interval over documents."""

    system: str
    metric: str
    mean: float
    low: float
    high: float
    num_items: int
    stratum: str = "all"
    num_documents: int = 0


@dataclass(frozen=True)
class Contrast:
    """A paired difference between two systems on the same items."""

    metric: str
    treatment: str
    control: str
    difference: float
    low: float
    high: float
    p_value: float
    num_items: int
    verdict: Literal["better", "worse", "no meaningful difference", "undecided"]
    stratum: str = "all"
    num_documents: int = 0
    primary: bool = False  # fixed in advance, and part of the family that `p_holm` adjusts
    p_holm: float | None = None  # None outside the family
    margin: float = 0.0  # differences within +-margin do not matter
    num_more: int | None = None  # for "undecided": about how many more items would decide


@dataclass(frozen=True)
class Report:
    """How the tuned model compares with its base and with retrieval."""

    model: str
    scores: tuple[Score, ...]
    contrasts: tuple[Contrast, ...]
    num_questions: int
    samples_path: str
    html_path: str
    fingerprint: str
    notes: tuple[str, ...] = ()  # warnings and limits, as sentences
    details: dict[str, str] = field(default_factory=dict)  # how it was made: digests, seeds, counts, versions


@dataclass(frozen=True)
class Standing:
    """One setting of a sweep: its figure over its trials, and how that compares with the winner's."""

    setting: str
    parameters: dict[str, Any]
    verdict: Literal["winner", "worse", "within noise", "not known", "not finished"]
    value: float | None  # mean over the seeds that finished; None where none did
    spread: float | None = None  # standard deviation over seeds; None for one seed
    low: float | None = None  # 95% interval over documents; None for the validation loss
    high: float | None = None
    p_value: float | None = None  # of the difference to the winner, allowing for the winner having been picked
    num_seeds: int = 0  # trials that finished
    trials: tuple[str, ...] = ()  # their run folders
    reasons: tuple[str, ...] = ()  # why trials did not finish


@dataclass(frozen=True)
class Sweep:
    """Which setting of a sweep did best, and whether that is more than chance."""

    metric: str
    standings: tuple[Standing, ...]  # best first; those without a figure last
    statements: tuple[str, ...]  # what the figures say, in sentences
    winner: dict[str, Any]  # configuration keys of the winning setting, for an ordinary run
    path: str  # folder of the trials
    csv_path: str
    plot_path: str | None  # None where matplotlib is not installed


@dataclass(frozen=True)
class Endpoint:
    """A running HTTP endpoint."""

    url: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """A submitted cluster job."""

    id: str
    address: str
    status: str


Artifact = TypeVar("Artifact", TrainingSet, Plan, TunedModel, Report)

FILES: dict[type, tuple[str, str]] = {
    TrainingSet: ("training_set.json", "prepare"),
    Plan: ("plan.json", "plan"),
    TunedModel: ("tuned_model.json", "train"),
    Report: ("report.json", "evaluate"),
}
"""File in the run folder, and the verb that makes it."""


def digest(*parts: Any) -> str:
    """First 16 hex digits of the SHA-256 of the parts' JSON; equal for equal values on every machine."""
    text = json.dumps([to_json(p) for p in parts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save(artifact: Any, run_path: str | Path, inputs: dict[str, Any] | None = None) -> Path:
    """Write an artifact into its run folder, atomically; `inputs` are the config values that its fingerprint covers."""
    file, _ = FILES[type(artifact)]
    path = Path(run_path) / file
    write_text(path, json.dumps({"inputs": to_json(inputs or {}), "artifact": to_json(artifact)}, indent=1) + "\n")
    return path


def load(cls: type[Artifact], run_path: str | Path, *, config_path: str = "CONFIG") -> Artifact:
    """Read an artifact; MissingArtifactError names the verb that makes it."""
    file, verb = FILES[cls]
    path = Path(run_path) / file
    try:
        value = json.loads(path.read_text())["artifact"]
        return typing.cast(Artifact, from_json(cls, _strata_named(value) if cls is Report else value))
    except FileNotFoundError:
        name = file.removesuffix(".json").replace("_", " ")
        raise MissingArtifactError(f"No {name} in {run_path}. Run `ray-ft {verb} {config_path}` first.") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise MissingArtifactError(
            f"{path} is damaged or from another version ({error}). Run `ray-ft {verb} {config_path} --force`."
        ) from None


def _strata_named(report: dict[str, Any]) -> dict[str, Any]:
    """A report's JSON with today's names of strata."""
    named = {
        rows: [{**row, "stratum": stratum_named(row["stratum"])} if "stratum" in row else row for row in report[rows]]
        for rows in ("scores", "contrasts")
    }
    return {**report, **named}


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"output_dir: cannot read {path}: {error.strerror}")


def remove(cls: type, run_path: str | Path) -> None:
    """Forget an artifact, so that a rebuild that breaks off does not leave the old one looking finished."""
    (Path(run_path) / FILES[cls][0]).unlink(missing_ok=True)


def load_inputs(cls: type, run_path: str | Path) -> dict[str, Any] | None:
    """The config values an existing artifact was made from; None where there is no artifact."""
    path = Path(run_path) / FILES[cls][0]
    try:
        inputs = json.loads(path.read_text())["inputs"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    assert isinstance(inputs, dict)
    return inputs


def changed_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted keys in which two JSON values differ, as `key: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [line for k in keys for line in changed_keys(old.get(k), new.get(k), f"{prefix}.{k}" if prefix else k)]
    if old == new:
        return []
    return [f"{prefix}: {json.dumps(old)} -> {json.dumps(new)}"]


def write_text(path: Path, text: str) -> None:
    """Write a file so that a crash or a full disk leaves either the old content or the new, never half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def to_json(value: Any) -> Any:
    """JSON form of dataclasses, tuples and paths."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value


def from_json(annotation: Any, value: Any) -> Any:
    """Inverse of `to_json` for a type: rebuilds dataclasses, tuples and strategies."""
    origin = typing.get_origin(annotation)
    if annotation is Strategy:
        annotation = STRATEGIES[value["name"]]
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        return annotation(**{k: from_json(hints[k], v) for k, v in value.items()})
    if origin is tuple:
        return tuple(from_json(typing.get_args(annotation)[0], v) for v in value)
    if origin is dict:
        return {k: from_json(typing.get_args(annotation)[1], v) for k, v in value.items()}
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return from_json(next(a for a in typing.get_args(annotation) if a is not type(None)), value)
    return value
