"""What a group of documents is made of and with, and the counts that come back from it."""

import json
from collections import Counter
from dataclasses import dataclass, field

from ray_ft.artifacts import to_json
from ray_ft.data.build.mixture import Mixture
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.generation.response_cache import ResponseCache
from ray_ft.data.ingest.items import Item
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.run.journal import Ref
from ray_ft.recipes import Recipe
from ray_ft.rows import Split

RESULT = "result.json"  # of a group's folder; it is there when the group is whole
QUESTION_PARTS = "questions"  # folder of one JSONL per group, merged at the end
NUMBER = 0  # of every group in its own folder; publishing gives them their places
MAX_NAMED_LINES = 5
COUNTERS = (
    "files", "documents", "examples", "dropped", "chats", "records", "formats", "notes", "generated", "redacted",
    "guessed", "scanned", "common",
)  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """An item of a group: where its parsed documents lie, and what becomes of each."""

    item: Item
    ref: Ref | None
    placements: tuple[Placement, ...]


@dataclass(frozen=True)
class GroupJob:
    """Everything a group is made with; travels to the workers."""

    output_path: str  # folder of the groups' folders
    model_path: str
    chat_template: str | None
    system_prompt: str | None
    max_seq_len: int
    recipes: tuple[Recipe, ...]
    passage_tokens: int
    seed: int
    seen_fraction: float  # of trained documents that get questions
    drops_repeats: bool = True  # sections that come again are trained once
    chat_problem: str = ""  # why the chat template cannot be used at all
    multi_turn_problem: str = ""  # why it cannot be used for conversations of several assistant turns
    answers: ResponseCache | None = None  # of the engine that recipes may ask; None: there is none
    tokenizer_path: str | None = None  # a copy that loads faster (tokenizer_cache.py)
    limits: Limits = field(default_factory=Limits)  # of what recipes take for one document


@dataclass(frozen=True)
class Shard:
    """One file of packed rows, as the manifest lists it."""

    split: Split
    file: str
    num_rows: int
    num_tokens: int  # padding excluded
    num_target_tokens: int
    sha256: str


@dataclass
class GroupResult:
    """What one group became: counts, and the shards it wrote. All of it that reaches the driver."""

    files: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)  # per split
    examples: Counter[str] = field(default_factory=Counter)  # per split
    dropped: Counter[str] = field(default_factory=Counter)  # examples, by reason
    chats: Counter[str] = field(default_factory=Counter)  # examples per split that have a masked prompt
    truncated: int = 0
    shortened: int = 0
    num_bytes: int = 0
    num_items: int = 0  # files, and slices of datasets
    records: Counter[str] = field(default_factory=Counter)  # lines of datasets, "ok" or why they were skipped
    formats: Counter[str] = field(default_factory=Counter)  # usable lines by what they hold
    notes: Counter[str] = field(default_factory=Counter)  # what of usable lines was ignored
    generated: Counter[str] = field(default_factory=Counter)  # what engines wrote, "recipe: kept" or "recipe: reason"
    redacted: Counter[str] = field(default_factory=Counter)  # secrets and personal data in files, by kind
    guessed: Counter[str] = field(default_factory=Counter)  # files by what is told of their encoding
    scanned: Counter[str] = field(default_factory=Counter)  # files, pages and unread pages of PDFs with scans
    common: Counter[str] = field(default_factory=Counter)  # files, and blocks left out that many begin or end with
    bad_lines: list[str] = field(default_factory=list)  # the first few that were skipped, named
    mixture: Mixture = field(default_factory=Mixture)
    shards: list[Shard] = field(default_factory=list)
    error: str = ""  # a failure that ends the job, as one line

    def to_text(self) -> str:
        """JSON, which passes through Arrow as it is."""
        return json.dumps(to_json(self))

    @staticmethod
    def from_text(text: str) -> "GroupResult":
        """Inverse of `to_text`."""
        raw = json.loads(text)
        for key in COUNTERS:
            raw[key] = Counter(raw.get(key, {}))
        raw["mixture"] = Mixture.from_json(raw["mixture"])
        return GroupResult(**{**raw, "shards": [Shard(**s) for s in raw["shards"]]})

    def add(self, one: "GroupResult") -> None:
        """Add another group's counts to these."""
        for key in COUNTERS:
            getattr(self, key).update(getattr(one, key))
        for key in ("truncated", "shortened", "num_bytes", "num_items", "bad_lines", "shards"):
            setattr(self, key, getattr(self, key) + getattr(one, key))
        self.mixture.add(one.mixture)
