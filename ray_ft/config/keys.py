"""Every YAML key as a frozen dataclass, with its default and what it means; `load` fills them, `checks` bounds them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from omegaconf import MISSING

from ray_ft.config.quality_keys import QualityConfig
from ray_ft.config.serving_keys import ServingConfig
from ray_ft.config.variants import BenchConfig, SweepConfig
from ray_ft.engines import AutoEngine, Engine
from ray_ft.recipes import Recipe
from ray_ft.retrievers import BM25, Retriever
from ray_ft.strategies import Strategy
from ray_ft.trackers import TensorBoard, Tracker

System = Literal["base", "tuned", "base+rag", "tuned+rag", "base+oracle", "tuned+oracle"]
Goal = Literal["facts", "style", "code", "format"]
REHEARSAL_PROMPTS = 900
"""General prompts that the package has for `data.rehearsal`."""
PROMPT_TOKENS = 40  # of one of them in a chat template, about


@dataclass(frozen=True)
class ModelConfig:
    """The base model."""

    name: str = MISSING
    """Hugging Face hub id, local folder or GGUF file; builtin:smollm2, a small real model, or builtin:tiny to try."""
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
    """JSONL (also .gz, .bz2, .xz, .zst) or Parquet file, a folder of them, or what datasets.save_to_disk wrote."""
    format: Literal["auto", "messages", "prompt", "text"] = "auto"
    """What a line holds, by these or other tools' names: messages; prompt and completion; text; auto tells by keys."""
    split: Literal["auto", "train", "validation", "test"] = "auto"
    """Where its lines go; auto takes what the folder names its files, else draws by data.validation_fraction."""
    weight: float = 1.0
    """How often an epoch shows each training example: 2 shows it twice, 0.5 a drawn half of them once."""
    turns: Literal["together", "apart"] = "together"
    """together: a conversation is one example; apart: one for each assistant turn, with the turns before as prompt."""


@dataclass(frozen=True)
class RehearsalConfig:
    """General prompts of the package's own that the base answers itself: training on its answers keeps what it can."""

    num_examples: int = 400
    """Prompts that the base answers, at most 900; each answer becomes an example of the train split."""
    weight: float = 1.0
    """How often an epoch shows each of them: 2 shows it twice, 0.5 a drawn half of them once."""
    max_new_tokens: int = 128
    """Longest answer, in tokens; what is cut there is trained on without an end of turn."""
    temperature: float = 0.0
    """Of drawing the answers; 0 takes the likeliest ones."""

    @property
    def num_tokens(self) -> int:
        """Most tokens that an epoch has of it, for plans made before there are answers."""
        return round(self.weight * self.num_examples * (PROMPT_TOKENS + self.max_new_tokens))


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
    """Longest time without a sign of life that reading, cleaning or cutting one file may take; then it is left out."""
    parse_memory_gib: float = 1.5
    """Memory that reading, cleaning or cutting one file may take."""
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
    common: tuple[str, ...] = ()
    """Text files of passages, such as legal notices, that questions may share with training; others they must not."""
    rehearsal: RehearsalConfig | None = None
    """General prompts that the base answers itself, mixed into training against forgetting; null mixes none in."""
    max_file_share: float = 1.0
    """Largest share of one file in all that is trained, by characters; of a larger one a drawn part is trained."""
    quality: QualityConfig | None = None
    """Rules that documents have to pass, as Gopher, FineWeb and C4 have them; null, and a rule at null, take all."""
    common_lines: int = 0
    """Short paragraphs and lists at the head or foot of this many documents are left out of all but one; 0: of none."""
    storage_uri: str | None = None
    """Where the set and what is finished of it lie: a URI of pyarrow or fsspec such as s3://bucket/sets; null: here."""
    trust_times: bool = True
    """Take a file for unchanged where size, times and inode are what they were when it was read; false hashes all."""


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
    attention: Literal["auto", "flash2", "flash4"] = "auto"
    """Attention kernel to plan for: flash2 is PyTorch's own FlashAttention-2, flash4 the hopper extra's
    FlashAttention-4; auto is flash2 for a plan.gpu, and else what is installed here."""


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
    """Fewest workers to go on with when machines leave; null waits for all to come back. Native backend only."""
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
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What the model computes in; auto: fp32 on a CPU, bf16 on a GPU, fp16 where the GPU has no bf16."""
    backend: Literal["auto", "deepspeed", "native"] = "auto"
    """Who runs the steps: DeepSpeed, any ZeRO stage; our own engines, ZeRO 0 to 2 without offload; auto: the faster."""


@dataclass(frozen=True)
class CodeTestsConfig:
    """How answers that are code are run with the tests of their questions: in a sandbox of yours, or not at all."""

    command: str | None = None
    """Command that runs a program with its test and exits with 0 where it passes; {program}, {test} and {folder} are
    replaced by their paths, the first two are added where none is named. null: nothing is run."""
    num_samples: int = 1
    """Programs drawn for each question; 1 takes the answer itself."""
    k: tuple[int, ...] = (1,)
    """Of so many programs one has to pass: pass@k, without bias for k up to num_samples (arXiv 2107.03374)."""
    temperature: float = 0.8
    """Of drawing, where num_samples is more than 1."""
    timeout_s: float = 30.0
    """Longest that the command may take for one program; then it has failed."""
    max_parallel: int = 2
    """Programs that run at the same time."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How the tuned model is compared with its base and with retrieval."""

    systems: tuple[System, ...] = ("base", "tuned", "base+rag", "tuned+rag")
    """What is compared; +rag puts retrieved passages in front of the question, +oracle the right one."""
    questions: str | None = None
    """JSONL of user questions (question, reference, optional key_facts); null takes those that prepare made."""
    num_questions: int = 200
    """Questions asked, at most; half of them about documents that were trained on."""
    retriever: Retriever = field(default_factory=BM25)
    """How passages are found."""
    num_passages: int | None = 3
    """Passages put in front of a question; null chooses them on questions about validation documents."""
    max_new_tokens: int = 128
    """Longest answer, in tokens."""
    num_documents: int = 50
    """Held-out documents for bits per byte, at most."""
    num_bootstrap: int = 10_000
    """Bootstrap draws for the intervals."""
    margin: float = 0.02
    """Smallest difference that matters, on a scale of 0 to 1; for bits per byte, as a fraction of the base's."""
    judge: Engine | None = None
    """A server's model that says of pairs of answers which is better, in both orders; null asks none."""
    preferences: str | None = None
    """JSONL of what people preferred (id, systems, preferred), to hold the judge against."""
    code_tests: CodeTestsConfig = field(default_factory=CodeTestsConfig)
    """Whether and how answers that are code are run with the tests of their questions."""
    passage_tokens: tuple[int, ...] = ()
    """Longest passages to choose from, on the questions that num_passages is chosen on; empty: as prepared."""
    num_retention: int = 0
    """General questions of the package's own, 200 at most, asked of base and tuned beside the others to see what tuning
    cost, and as many texts of the base's that tuned is held against; 0 asks none."""
    lm_eval_tasks: tuple[str, ...] = ()
    """Tasks of lm-evaluation-harness that base and tuned do too, to see what tuning cost. Needs the extra lm-eval."""
    lm_eval_path: str | None = None
    """Folder of more tasks, as YAML, and of the data files that they name; null: those that the package knows."""


@dataclass(frozen=True)
class Config:
    """One run: a model, its data, and how it is planned, trained, evaluated, measured and served."""

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
    engine: Engine = field(default_factory=AutoEngine)
    """Engine that answers in evaluation and serving; auto is vllm on GPUs where it is installed, else transformers."""
    serving: ServingConfig = field(default_factory=ServingConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    bench: BenchConfig = field(default_factory=BenchConfig)
    goal: Goal | None = None
    """What tuning is for, which `ray-ft advise` goes by: facts to know, a style or a format to keep to, or code to
    write; null lets it guess from the corpus."""

    @property
    def run_path(self) -> Path:
        """The run's folder."""
        return Path(self.output_dir) / self.run_name
