"""Every YAML key as a frozen dataclass, and `load_config`, the one front door; imports neither torch nor ray."""

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ray_ft.engines import ENGINES, Engine, TransformersEngine
from ray_ft.errors import ConfigError, first_line
from ray_ft.recipes import RECIPES, Recipe
from ray_ft.registry import Registry
from ray_ft.retrievers import BM25, RETRIEVERS, Retriever
from ray_ft.strategies import STRATEGIES, Strategy
from ray_ft.trackers import TRACKERS, TensorBoard, Tracker

System = Literal["base", "tuned", "base+rag", "tuned+rag"]
SweepMetric = Literal["validation_loss", "bits_per_byte", "key_fact_recall", "token_f1", "rouge_l", "exact_match"]


@dataclass(frozen=True)
class ModelConfig:
    """The base model."""

    name: str = MISSING
    """Hugging Face hub id, local folder, or builtin:NAME for a small model that is made on the spot."""
    revision: str | None = None
    """Branch, tag or commit on the hub; null takes the default branch."""
    max_seq_len: int = 2048
    """Tokens per packed training row, and the context that the estimator plans for."""
    chat_template: str | None = None
    """Path of a Jinja chat template; null takes the tokenizer's own."""
    added_tokens: tuple[str, ...] = ()
    """Words of yours that become tokens of their own; their embeddings are trained beside the adapters."""
    system_prompt: str | None = None
    """System message of every training example and every question; null sends none."""


@dataclass(frozen=True)
class DatasetConfig:
    """Examples that are written already: conversations, prompts with their completions, or plain text."""

    path: str = MISSING
    """JSONL or Parquet file, a folder of such files, or one that datasets.save_to_disk wrote."""
    format: Literal["auto", "messages", "prompt", "text"] = "auto"
    """What a line holds: messages; prompt and completion; text; auto tells by the keys of each line."""
    split: Literal["auto", "train", "validation", "test"] = "auto"
    """Where its lines go; auto takes what the folder names its files, else draws by data.validation_fraction."""
    weight: float = 1.0
    """How often an epoch shows each training example: 2 shows it twice, 0.5 a drawn half of them once."""
    turns: Literal["together", "apart"] = "together"
    """together: a conversation is one example; apart: one for each assistant turn, with the turns before as prompt."""


@dataclass(frozen=True)
class DataConfig:
    """How documents, code and datasets become the training set."""

    sources: tuple[str, ...] = ()
    """Files, folders, archives, git+PATH@REVISION of local repositories, and URIs such as s3://bucket/docs."""
    datasets: tuple[DatasetConfig, ...] = ()
    """Examples to train on as they are; a bare path is short for {path: ...}."""
    include: tuple[str, ...] = ()
    """Glob patterns of paths to keep, relative to their source; empty keeps every known format."""
    exclude: tuple[str, ...] = ()
    """Glob patterns of paths to drop."""
    max_file_bytes: int = 20_000_000
    """Larger files are skipped and counted."""
    parse_seconds: float = 60.0
    """Longest time that a parser in a child process may be silent, before its file is put in quarantine."""
    parse_memory_gib: float = 1.5
    """Memory that a parser in a child process may take for one file."""
    recipes: tuple[Recipe, ...] = ()
    """How documents of data.sources become examples; each takes the documents or the code it applies to."""
    generator: Engine | None = None
    """Engine that recipes may ask to write questions or summaries; null uses extractive fallbacks."""
    answers_path: str | None = None
    """Folder of all that the generator answered, which runs may share; null keeps it in the run's folder."""
    deduplicate: Literal["near", "exact", "none"] = "near"
    """Which duplicates of a file are left out: near ones too, only equal ones, or none; duplicates share a split."""
    near_copy_similarity: float = 0.8
    """Share of common runs of five words (Jaccard) from which two documents are near copies."""
    decontaminate: tuple[str, ...] = ()
    """Evaluation sets, as JSONL, Parquet or text; what shares a run of 13 words with one is left out of training."""
    secrets: Literal["redact", "drop", "keep"] = "redact"
    """Keys, tokens and passwords: replaced by <KIND>, or their file is left out; a private key always leaves it out."""
    personal_data: Literal["redact", "presidio", "keep"] = "redact"
    """Addresses, telephone and account numbers: replaced by <KIND>; presidio, an extra, finds more."""
    languages: tuple[str, ...] = ()
    """Codes of the languages, such as en, that documents may be in; empty takes all. Needs the extra language."""
    licenses: tuple[str, ...] = ()
    """Licences that files may have, as SPDX identifiers, * allowed, and unknown; empty takes all."""
    keep_parsed: bool = True
    """Keep what was read beside the training set, so that preparing again reads only files that changed."""
    validation_fraction: float = 0.05
    """Fraction of documents and conversations held out for the loss during training."""
    test_fraction: float = 0.1
    """Fraction of documents and conversations held out for evaluation."""
    passage_tokens: int = 256
    """Longest passage of the retrieval index, in tokens."""


@dataclass(frozen=True)
class PlanConfig:
    """What the estimator may assume and choose."""

    gpu: str | None = None
    """Catalogue name such as A100-80GB; null asks Ray which GPUs are there."""
    num_gpus: int | None = None
    """Number of GPUs; null takes all that Ray reports, or 1 when plan.gpu is set."""
    gpus_per_node: int | None = None
    """GPUs in one machine; null takes min(num_gpus, 8)."""
    host_memory_gib: float | None = None
    """Host memory of one machine; null takes what Ray reports, or the catalogue's usual."""
    price_per_hour: float | None = None
    """US dollars per GPU and hour; null takes those of plan.prices."""
    prices: str | None = None
    """YAML of your own prices, GPU name: US dollars per hour; null, and GPUs not in it, take the package's."""
    objective: Literal["cost", "time", "memory"] = "cost"
    """What the chosen row minimises among those that fit."""
    headroom_fraction: float = 0.02
    """Fraction of GPU memory that a fitting row leaves free, beside what the estimate may be off."""
    confidence: float = 0.95
    """How sure a row has to be to fit, by the errors of the figures measured on the GPU, from 0.5 to 0.999."""
    profile: str | None = None
    """YAML of figures measured on your GPUs, as scripts/calibrate writes it; null takes those of the package."""
    num_tokens: int | None = None
    """Training tokens to plan for; null takes the prepared training set's, or 10 million before there is one."""


@dataclass(frozen=True)
class TrainConfig:
    """How the model is tuned."""

    strategy: Strategy | None = None
    """full, lora or qlora; null lets the plan choose."""
    num_epochs: float = 3.0
    """Passes over the training set."""
    max_steps: int | None = None
    """Optimizer steps; null takes num_epochs."""
    learning_rate: float | None = None
    """Peak learning rate; null takes the strategy's: 2e-4 for adapters, 1e-5 for full."""
    lr_scheduler: Literal["cosine", "linear", "constant", "wsd", "inverse_sqrt"] = "cosine"
    """Shape after warm-up; wsd stays at the peak and falls at the end."""
    warmup_ratio: float = 0.03
    """Fraction of the steps in which the learning rate rises from 0."""
    decay_ratio: float = 0.2
    """Fraction of the steps, the last ones, in which wsd falls."""
    min_lr_ratio: float = 0.0
    """Where the learning rate ends, as a fraction of its peak."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradient-norm clip; 0 turns it off."""
    neftune_alpha: float = 0.0
    """Noise on the embeddings in training (NEFTune, arXiv 2310.05914; 5 to 15 are usual); 0 turns it off."""
    global_batch_size: int = 8
    """Packed rows per optimizer step, over all workers and accumulation steps."""
    micro_batch_size: int | None = None
    """Rows per worker and forward pass; null lets the plan choose."""
    num_workers: int | None = None
    """Ray Train workers, one per GPU; null lets the plan choose."""
    gradient_checkpointing: bool | None = None
    """Recompute activations in the backward pass; null lets the plan choose."""
    offload_activations: bool | None = None
    """With gradient_checkpointing, keep the activations that are kept in host memory; null: on a GPU."""
    compile: bool | None = None
    """Compile the decoder layers with torch.compile; null: on a GPU where there is a C compiler."""
    log_every: int = 1
    """Steps between log lines."""
    eval_every: int | None = None
    """Steps between validation losses; null: four times in a run."""
    early_stopping_patience: int | None = None
    """Evaluations without a better validation loss after which training stops; null never stops early."""
    early_stopping_min_delta: float = 0.0
    """How much lower a validation loss has to be to count as better."""
    num_samples: int = 0
    """Held-out prompts answered at each evaluation, into samples.jsonl."""
    checkpoint_every: int | None = None
    """Steps between checkpoints; null: ten times in a run."""
    num_checkpoints_to_keep: int = 2
    """Older checkpoints are deleted."""
    checkpoint_uri: str | None = None
    """Where checkpoints are also sent, any URI of pyarrow or fsspec such as s3://bucket/runs; null keeps them here."""
    load_best: bool = False
    """Write the weights with the lowest validation loss, not the last ones; keeps a checkpoint of each new best."""
    max_failures: int = 3
    """Worker failures that are survived by going on from the last checkpoint."""
    min_workers: int | None = None
    """Fewest workers to go on with when machines leave; null waits for all to come back. ZeRO-0 only."""
    on_non_finite: Literal["stop", "skip"] = "stop"
    """When a loss or gradient is not finite: stop, or leave that update out. bad_batches.jsonl names the rows."""
    max_grad_norm_ratio: float | None = None
    """A gradient norm this many times the median of the last 32 counts as not finite; null turns the rule off."""
    max_skipped_steps: int = 10
    """Updates left out one after the other that stop the run after all."""
    hang_timeout_s: float = 1800.0
    """Longest that a worker may stay in one place; then the run says which worker did not arrive, and starts again."""
    trackers: tuple[Tracker, ...] = (TensorBoard(),)
    """Where the numbers go beside metrics.jsonl; an empty list: nowhere."""
    seed: int | None = None
    """Seed of adapters, dropout and the order of rows; null takes the run's, which also draws splits and questions."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How the tuned model is compared with its base and with retrieval."""

    systems: tuple[System, ...] = ("base", "tuned", "base+rag", "tuned+rag")
    """What is compared; +rag puts retrieved passages in front of the question."""
    questions: str | None = None
    """JSONL of your own questions (question, reference, optional key_facts); null takes those that prepare made."""
    num_questions: int = 200
    """Questions asked, at most; half of them about documents that were trained on."""
    retriever: Retriever = field(default_factory=BM25)
    """How passages are found."""
    num_passages: int = 3
    """Passages put in front of a question."""
    max_new_tokens: int = 128
    """Longest answer, in tokens."""
    num_documents: int = 50
    """Held-out documents for bits per byte, at most."""
    num_bootstrap: int = 10_000
    """Bootstrap draws for the intervals."""
    margin: float = 0.02
    """Smallest difference that matters, on a scale of 0 to 1; for bits per byte, as a fraction of the base's."""


@dataclass(frozen=True)
class ServingConfig:
    """Where and what the endpoint serves."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on."""
    adapters: dict[str, str] = field(default_factory=dict)
    """More adapters, as name: folder; this run's own is always served under run_name."""
    max_new_tokens: int = 512
    """Longest answer when a request names none, and the most that it may ask for."""
    num_replicas: int = 1
    """Copies of the model."""
    num_gpus: float | None = None
    """GPUs of one copy, fractions share one; null takes 1 where the cluster has any and else 0."""


@dataclass(frozen=True)
class SweepConfig:
    """Many trials of one run, each with other values of some keys, and how the best one is told."""

    parameters: dict[str, Any] = field(default_factory=dict)
    """Keys below train, each with a list of values, or with {min, max, log} for random search to draw from."""
    search: Literal["grid", "random"] = "grid"
    """grid tries every combination of the lists; random draws num_settings of them."""
    num_settings: int | None = None
    """Settings that random search draws; required there."""
    num_seeds: int = 1
    """Trials of each setting, with train.seed counted up; two or more can tell a difference from noise."""
    metric: SweepMetric = "validation_loss"
    """What the winner is picked by; all but validation_loss evaluate every trial on the same questions."""
    stratum: Literal["held_out", "seen", "own"] = "held_out"
    """Questions that the metric is taken from: documents never trained on, trained on, or your own questions."""
    scheduler: Literal["none", "asha"] = "none"
    """asha stops trials whose validation loss falls behind (arXiv 1810.05934); none trains all to the end."""
    grace_fraction: float = 0.25
    """Part of a trial that asha lets pass before it may stop it."""
    reduction_factor: int = 2
    """Of the trials that reach a rung of asha, the best 1 / reduction_factor go on to the next."""
    max_concurrent: int | None = None
    """Trials at once on GPUs; null: as many as the cluster's GPUs hold. On CPUs each trial takes all cores in turn."""


@dataclass(frozen=True)
class Config:
    """One run: a model, its data, and how it is planned, trained, evaluated and served."""

    run_name: str = MISSING
    """Name of the run and of its folder."""
    output_dir: str = "outputs"
    """Folder of all runs; on a cluster, storage that every node sees."""
    seed: int = 0
    """Seed of the split, the order of batches, the adapters and the bootstrap."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    engine: Engine = field(default_factory=TransformersEngine)
    """Engine that answers in evaluation and serving."""
    serving: ServingConfig = field(default_factory=ServingConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)

    @property
    def run_path(self) -> Path:
        """The run's folder."""
        return Path(self.output_dir) / self.run_name


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply `key=value` overrides, fill the slots and check every key and value.

    Raises ConfigError naming the file, the key, what was given and what would work.
    """
    source = str(path)
    try:
        raw = OmegaConf.load(path)
    except FileNotFoundError:
        raise ConfigError(f"{source}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{source}: is a folder; give a YAML file") from None
    except Exception as error:  # yaml's scanner and parser errors share no base with OmegaConf's
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    return parse_config(raw, overrides, source=source)


def parse_config(raw: Any, overrides: Iterable[str] = (), *, source: str = "config") -> Config:
    """As `load_config`, for a mapping that is already in memory."""
    try:
        tree = OmegaConf.create(raw) if not OmegaConf.is_config(raw) else raw
        if not OmegaConf.is_dict(tree):
            raise ConfigError(f"{source}: a configuration is a mapping of keys, e.g. `run_name: handbook`")
        overrides = list(overrides)
        for override in overrides:
            if "=" not in override:
                raise ConfigError(f"{override!r} is no override; write key=value, e.g. train.num_epochs=2")
        given = OmegaConf.from_dotlist(overrides)
        _drop_replaced_slots(Config, tree, given)
        merged = OmegaConf.merge(tree, given)
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{source}: {first_line(error)}") from None
    assert isinstance(plain, dict)
    config: Config = _build(Config, plain, key="", source=source)
    _require_all(config, key="", source=source)
    _check_values(config, source)
    return config


def to_plain(value: Any) -> Any:
    """The YAML form of a config or one of its sections: dicts, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: to_plain(v) for k, v in value.items()}
    return value


# --- slots ------------------------------------------------------------------------------------------------------------

SLOTS: dict[type, Registry[Any]] = {
    Recipe: RECIPES,
    Strategy: STRATEGIES,
    Engine: ENGINES,
    Retriever: RETRIEVERS,
    Tracker: TRACKERS,
}
Section = TypeVar("Section")


def slot_of(annotation: Any) -> tuple[Registry[Any], bool] | None:
    """The registry behind a field's type, and whether it is a list of slots; None for ordinary fields."""
    if isinstance(annotation, type) and annotation in SLOTS:
        return SLOTS[annotation], False
    arguments = typing.get_args(annotation)
    for base, registry in SLOTS.items():
        if base in arguments:
            return registry, typing.get_origin(annotation) is tuple
    return None


def _build(cls: type[Section], raw: Any, *, key: str, source: str) -> Section:
    """One section: its slots and sub-sections are built on their own, its plain keys are checked by OmegaConf."""
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: {key}: expected a mapping of keys, got {raw!r}")
    hints = typing.get_type_hints(cls)
    slots = {name: slot for name, hint in hints.items() if (slot := slot_of(hint)) is not None}
    sections = {n for n, h in hints.items() if n not in slots and isinstance(h, type) and dataclasses.is_dataclass(h)}
    lists = {name: item for name, hint in hints.items() if (item := section_list_of(hint)) is not None}
    apart = {*slots, *sections, *lists}
    ordinary = {k: v for k, v in raw.items() if k not in apart}
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in (n for n in raw if n not in names):
        raise ConfigError(f"{source}: {f'{key}.{name}' if key else name}: no such key.{_hint(str(name), names, key)}")
    built = _checked(cls, ordinary, hints, skip=frozenset(apart), key=key, source=source)
    for name, slot in slots.items():
        if name in raw:
            here = f"{key}.{name}" if key else name
            built[name] = _fill_slot(slot, raw[name], hints[name], key=here, source=source)
    for name in sections:
        built[name] = _build(hints[name], raw.get(name), key=f"{key}.{name}" if key else name, source=source)
    for name in lists.keys() & raw.keys():
        built[name] = _build_list(lists[name], raw[name], key=f"{key}.{name}" if key else name, source=source)
    return cls(**built)


def _hint(name: str, names: Sequence[str], key: str) -> str:
    """What a mistyped or misplaced key may have meant; else the keys there are."""
    if near := difflib.get_close_matches(name, names, n=1):
        return f" Did you mean {near[0]!r}?"
    sections = {n: h for n, h in typing.get_type_hints(Config).items() if dataclasses.is_dataclass(h)}
    if places := [f"{n}.{name}" for n, h in sections.items() if name in typing.get_type_hints(h)]:
        return f" Did you mean {' or '.join(places)}?"
    return f" {key or 'A configuration'} takes {', '.join(names)}."


def section_list_of(annotation: Any) -> type | None:
    """The dataclass that a field lists, as in `tuple[DatasetConfig, ...]`; None for slots and ordinary fields."""
    item = next(iter(typing.get_args(annotation)), None)
    is_list = typing.get_origin(annotation) is tuple and slot_of(annotation) is None
    return item if is_list and isinstance(item, type) and dataclasses.is_dataclass(item) else None


def _build_list(cls: type[Section], raw: Any, *, key: str, source: str) -> tuple[Section, ...]:
    """A list of sections; a bare text stands for a section's first key."""
    first = dataclasses.fields(cls)[0].name  # type: ignore[arg-type]
    if not isinstance(raw, list):
        raise ConfigError(f"{source}: {key}: expected a list, e.g. [{{{first}: ...}}], got {raw!r}")
    items = [{first: item} if isinstance(item, str) else item for item in raw]
    return tuple(_build(cls, item, key=f"{key}.{i}", source=source) for i, item in enumerate(items))


def _checked(
    cls: type, given: dict[str, Any], hints: dict[str, Any], *, skip: frozenset[str], key: str, source: str
) -> dict[str, Any]:
    """The given plain keys of a section, checked against their fields' types; unnamed ones keep their defaults."""
    if not given:
        return {}
    try:
        merged: Any = OmegaConf.merge(_schema(cls, skip), given)
        values = {name: merged[name] for name in given}
    except (OmegaConfBaseException, TypeError) as error:  # a TypeError for a list in place of a mapping
        where = ".".join(part for part in (key, getattr(error, "full_key", None) or "") if part)
        raise ConfigError(f"{source}: {where}: {first_line(error)}") from None
    plain = {n: OmegaConf.to_object(v) if OmegaConf.is_config(v) else v for n, v in values.items()}
    return {name: _tuples(value, hints[name]) for name, value in plain.items()}


@functools.cache  # a sweep reads one configuration per trial; `merge` copies what it merges into
def _schema(cls: type, skip: frozenset[str]) -> Any:
    """A section's plain fields alone: OmegaConf would build every sub-section of the real class again."""
    hints = typing.get_type_hints(cls)
    fields = [(f.name, hints[f.name], _default(f)) for f in dataclasses.fields(cls) if f.name not in skip]
    return OmegaConf.structured(dataclasses.make_dataclass(cls.__name__, fields))


def _default(f: dataclasses.Field[Any]) -> Any:
    """A field's default in the form that OmegaConf takes: no bare tuples, "???" where a value is required."""
    if f.default_factory is not dataclasses.MISSING:
        return field(default_factory=f.default_factory)
    if isinstance(f.default, tuple):
        items = list(f.default)
        return field(default_factory=lambda: list(items))
    return MISSING if f.default is dataclasses.MISSING else f.default


def _require_all(section: Any, *, key: str, source: str) -> None:
    """Required values, asked for last so that a mistyped key is named before the one it left empty."""
    hints = typing.get_type_hints(type(section))
    for f in dataclasses.fields(section):
        value = getattr(section, f.name)
        here = f"{key}.{f.name}" if key else f.name
        if isinstance(value, str) and value == MISSING:
            doc = field_docs(type(section)).get(f.name, "")
            raise ConfigError(f"{source}: {here} is required: {doc}")
        if dataclasses.is_dataclass(value):
            _require_all(value, key=here, source=source)
        for i, item in enumerate(value if section_list_of(hints[f.name]) is not None else ()):
            _require_all(item, key=f"{here}.{i}", source=source)


def _drop_replaced_slots(cls: type, tree: Any, given: Any) -> None:
    """An override that picks another choice for a slot takes none of the keys that belonged to the old one."""
    for name, hint in typing.get_type_hints(cls).items():
        if not (OmegaConf.is_dict(tree) and OmegaConf.is_dict(given) and name in tree and name in given):
            continue
        old, new = tree[name], given[name]
        if slot_of(hint) is None:
            if isinstance(hint, type) and dataclasses.is_dataclass(hint):
                _drop_replaced_slots(hint, old, new)
        elif OmegaConf.is_dict(old) and OmegaConf.is_dict(new) and new.get("name", old.get("name")) != old.get("name"):
            del tree[name]


def _fill_slot(slot: tuple[Registry[Any], bool], raw: Any, annotation: Any, *, key: str, source: str) -> Any:
    registry, is_list = slot
    if is_list:
        if not isinstance(raw, list):
            raise ConfigError(f"{source}: {key}: expected a list, e.g. [{{name: {next(iter(registry))}}}], got {raw!r}")
        return tuple(
            _fill_slot((registry, False), item, annotation, key=f"{key}[{i}]", source=source)
            for i, item in enumerate(raw)
        )
    if raw is None and type(None) in typing.get_args(annotation):
        return None
    if isinstance(raw, str):
        raw = {"name": raw}  # `strategy: lora` is short for `strategy: {name: lora}`
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        raise ConfigError(f"{source}: {key}.name is required; choose one of {', '.join(registry)}")
    try:
        cls = registry[raw["name"]]
    except ConfigError as error:
        raise ConfigError(f"{source}: {key}.name: {error}") from None
    return _build(cls, raw, key=key, source=source)


def _tuples(value: Any, annotation: Any) -> Any:
    """OmegaConf hands lists back for tuple fields; frozen sections hold tuples."""
    if isinstance(value, list) and typing.get_origin(annotation) is tuple:
        return tuple(value)
    return value


def _check_plan(plan: PlanConfig, require: Callable[[bool, str, object, str], None]) -> None:
    """Clusters that cannot be, and shares beyond all or nothing."""
    for name in ("num_gpus", "gpus_per_node", "num_tokens"):
        count = getattr(plan, name)
        require(count is None or count >= 1, f"plan.{name}", count, "at least 1")
    if plan.num_gpus is not None and plan.gpus_per_node is not None and plan.num_gpus > plan.gpus_per_node:
        whole = plan.num_gpus % plan.gpus_per_node == 0
        require(whole, "plan.num_gpus", plan.num_gpus, f"a multiple of plan.gpus_per_node={plan.gpus_per_node}")
    require(plan.host_memory_gib is None or plan.host_memory_gib > 0, "plan.host_memory_gib", plan.host_memory_gib,
            "above 0")  # fmt: skip
    require(plan.price_per_hour is None or plan.price_per_hour >= 0, "plan.price_per_hour", plan.price_per_hour,
            "0 or more")  # fmt: skip
    require(0 <= plan.headroom_fraction < 1, "plan.headroom_fraction", plan.headroom_fraction, "in [0, 1)")
    require(0.5 <= plan.confidence <= 0.999, "plan.confidence", plan.confidence, "from 0.5 to 0.999")


def _check_values(config: Config, source: str) -> None:
    """Ranges that types cannot say."""

    def require(condition: bool, key: str, given: object, wanted: str) -> None:
        if not condition:
            raise ConfigError(f"{source}: {key}: {given!r} must be {wanted}")

    train, data, evaluation = config.train, config.data, config.evaluation
    require(
        bool(config.run_name) and "/" not in config.run_name and config.run_name not in (".", ".."),
        "run_name", config.run_name, "a folder name without '/'",
    )  # fmt: skip
    require(config.model.max_seq_len >= 16, "model.max_seq_len", config.model.max_seq_len, "at least 16")
    require(
        len(data.sources) + len(data.datasets) > 0, "data.sources", list(data.sources),
        "a list with at least one file or folder, or data.datasets one with at least one dataset",
    )  # fmt: skip
    for name in ("validation_fraction", "test_fraction"):
        require(0 <= getattr(data, name) < 1, f"data.{name}", getattr(data, name), "in [0, 1)")
    similar = data.near_copy_similarity
    require(0 < similar <= 1, "data.near_copy_similarity", similar, "above 0 and at most 1")
    held_out = data.validation_fraction + data.test_fraction
    require(held_out < 1, "data.validation_fraction + data.test_fraction", held_out, "below 1")
    require(
        not data.sources or len(data.recipes) > 0, "data.recipes", list(data.recipes), f"a list of {', '.join(RECIPES)}"
    )
    for i, dataset in enumerate(data.datasets):
        require(0 < dataset.weight <= 100, f"data.datasets.{i}.weight", dataset.weight, "above 0 and at most 100")
        twice = [d.path for d in data.datasets].count(dataset.path) > 1
        require(not twice, f"data.datasets.{i}.path", dataset.path, "named once; weight says how often it is seen")
    require(data.max_file_bytes >= 1, "data.max_file_bytes", data.max_file_bytes, "at least 1")
    require(data.passage_tokens >= 16, "data.passage_tokens", data.passage_tokens, "at least 16")
    for i, recipe in enumerate(data.recipes):
        require(0 < recipe.weight <= 100, f"data.recipes.{i}.weight", recipe.weight, "above 0 and at most 100")
        for f in dataclasses.fields(recipe):
            least = {"max_chunk_tokens": 16, "overlap_tokens": 0}.get(f.name, 1)
            given = getattr(recipe, f.name)
            require(
                not isinstance(given, int) or isinstance(given, bool) or given >= least,
                f"data.recipes.{i}.{f.name}",
                given,
                f"at least {least}",
            )
        for key, given, wanted in recipe.problems():
            require(False, f"data.recipes.{i}.{key}", given, wanted)
        most = recipe.max_chunk_tokens // 2
        require(
            recipe.overlap_tokens <= most, f"data.recipes.{i}.overlap_tokens", recipe.overlap_tokens, f"at most {most}"
        )
    require(train.num_epochs > 0, "train.num_epochs", train.num_epochs, "above 0")
    _check_plan(config.plan, require)
    for name in (
        "max_steps", "global_batch_size", "micro_batch_size", "num_workers", "log_every", "eval_every",
        "checkpoint_every", "num_checkpoints_to_keep", "early_stopping_patience", "min_workers", "max_skipped_steps",
    ):  # fmt: skip
        value = getattr(train, name)
        require(value is None or value >= 1, f"train.{name}", value, "at least 1")
    require(0 <= train.warmup_ratio < 1, "train.warmup_ratio", train.warmup_ratio, "in [0, 1)")
    require(0 < train.decay_ratio <= 1, "train.decay_ratio", train.decay_ratio, "in (0, 1]")
    require(0 <= train.min_lr_ratio < 1, "train.min_lr_ratio", train.min_lr_ratio, "in [0, 1)")
    require(train.hang_timeout_s > 0, "train.hang_timeout_s", train.hang_timeout_s, "above 0")
    ratio = train.max_grad_norm_ratio
    require(ratio is None or ratio > 1, "train.max_grad_norm_ratio", ratio, "above 1")
    for name in ("neftune_alpha", "early_stopping_min_delta", "num_samples"):
        require(getattr(train, name) >= 0, f"train.{name}", getattr(train, name), "at least 0")
    names = [tracker.name for tracker in train.trackers]
    require(len(set(names)) == len(names), "train.trackers", names, "each named once")
    rate = train.learning_rate
    require(rate is None or rate > 0, "train.learning_rate", rate, "above 0")
    for key, given, wanted in train.strategy.problems() if train.strategy is not None else ():
        require(False, f"train.strategy.{key}", given, wanted)
    tokens = list(config.model.added_tokens)
    distinct = len(set(tokens)) == len(tokens) and all(token.strip() == token != "" for token in tokens)
    require(distinct, "model.added_tokens", tokens, "distinct words without spaces around them")
    answering = ", ".join(name for name in ENGINES if ENGINES[name].answers)
    require(config.engine.answers, "engine.name", config.engine.name, f"one that loads adapters: {answering}")
    require(len(evaluation.systems) > 0, "evaluation.systems", list(evaluation.systems), "a list of systems")
    for name in ("num_questions", "num_passages", "max_new_tokens"):
        require(getattr(evaluation, name) >= 1, f"evaluation.{name}", getattr(evaluation, name), "at least 1")
    require(evaluation.num_documents >= 0, "evaluation.num_documents", evaluation.num_documents, "at least 0")
    require(evaluation.num_bootstrap >= 100, "evaluation.num_bootstrap", evaluation.num_bootstrap, "at least 100")
    require(0 <= evaluation.margin < 1, "evaluation.margin", evaluation.margin, "in [0, 1)")
    require(1 <= config.serving.port <= 65535, "serving.port", config.serving.port, "in 1..65535")
    for name in ("max_new_tokens", "num_replicas"):
        require(getattr(config.serving, name) >= 1, f"serving.{name}", getattr(config.serving, name), "at least 1")
    sweep = config.sweep
    for name in ("num_settings", "num_seeds", "max_concurrent"):
        value = getattr(sweep, name)
        require(value is None or value >= 1, f"sweep.{name}", value, "at least 1")
    require(0 < sweep.grace_fraction < 1, "sweep.grace_fraction", sweep.grace_fraction, "between 0 and 1")
    require(sweep.reduction_factor >= 2, "sweep.reduction_factor", sweep.reduction_factor, "at least 2")
    num_gpus = config.serving.num_gpus
    require(num_gpus is None or num_gpus >= 0, "serving.num_gpus", num_gpus, "at least 0")


def field_docs(cls: type) -> dict[str, str]:
    """The one-line docstring beneath each field, of the class and its bases; the reference page is made from it."""
    import ast
    import inspect
    import textwrap

    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                docs[node.target.id] = " ".join(following.value.value.split())
    return docs


def type_name(annotation: Any) -> str:
    """A field's type as a user reads it: `int | null`, `one of a, b`, `list of str`."""
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(str(v) for v in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " | ".join("null" if a is type(None) else type_name(a) for a in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return f"list of {type_name(typing.get_args(annotation)[0])}"
    if typing.get_origin(annotation) is dict:
        return "mapping of " + " to ".join(type_name(a) for a in typing.get_args(annotation))
    return str(getattr(annotation, "__name__", annotation))
