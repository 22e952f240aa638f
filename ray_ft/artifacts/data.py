"""What data hands over: the training set with its layout on disk, and a look into it."""

from dataclasses import dataclass, field


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
    # stratum -> questions looked at, and those left out since training holds the question, the answer or a run of words
    overlap: dict[str, dict[str, int]] = field(default_factory=dict)


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
class RuleSpread:
    """How the documents of a set do at one rule of data.quality."""

    key: str
    paper: str
    usual: float  # the paper's threshold
    quantiles: tuple[float, ...]  # at 0.01, 0.05, 0.25, 0.5, 0.75, 0.95 and 0.99
    usual_share: float  # of the documents looked at, what the paper's threshold would leave out
    num_dropped: int  # documents that the set's own threshold left out


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
    quality: tuple[RuleSpread, ...] = ()
    num_rated: int = 0  # documents that `quality` is told of
