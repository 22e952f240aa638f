"""What advising takes and hands over: the profile of a corpus, and remarks with their reasons and sources."""

from dataclasses import dataclass, field
from typing import Any, Literal

Strength = Literal["A", "B", "C"]
"""A: controlled figures; B: a limited experiment, or several sources that agree; C: an opinion or a few examples."""


@dataclass(frozen=True)
class CorpusProfile:
    """What of a corpus advice depends on; of a large one by a sample, scaled up to all of it."""

    origin: Literal["prepared", "sources"]
    num_documents: int  # files of data.sources that can be used
    num_records: int  # lines of data.datasets that can be used
    num_looked_at: int  # of both together, that the shares below are of
    num_words: int  # a character of a script without spaces counts as a word
    num_tokens: int  # of the texts; by the sample's tokens per word
    num_train_tokens: int  # of an epoch's packed rows; 0 before there is a training set
    num_rows: int  # of max_seq_len tokens in an epoch; before there is a training set, of the texts once
    num_held_out: int  # documents and conversations of the test split, drawn or to be drawn
    tokens_per_word: float  # 0: no tokenizer at hand, so that tokens are guessed
    formats: dict[str, int] = field(default_factory=dict)  # of the files looked at; code by its language
    scripts: dict[str, float] = field(default_factory=dict)  # shares of the letters
    script_tokens: dict[str, float] = field(default_factory=dict)  # tokens per word of documents mostly in a script
    code_share: float = 0.0  # of the characters
    table_share: float = 0.0  # of the characters of documents
    heading_share: float = 0.0  # of the documents, those with headings
    transcript_share: float = 0.0  # of the characters of documents, in files that read like a chat
    docstring_share: float = 0.0  # of functions and classes, those with a docstring
    duplicate_share: float = 0.0  # of the files, copies and near copies of another
    mean_turns: float = 0.0  # assistant turns of a conversation; 0 where there are none
    long_share: float = 0.0  # of the records or examples, those longer than max_seq_len
    long_tokens: int = 0  # the 99th percentile of the records' lengths; 0 where there are none
    wordings: float = 0.0  # different prompts for one answer, mean; 0 where there is nothing to count
    has_chat_template: bool = True


@dataclass(frozen=True)
class Remark:
    """One piece of advice: what to do or to expect, why, who says so, and who says otherwise."""

    rule: str
    topic: str
    say: str
    because: str
    sources: tuple[str, ...]  # label of a source, and the place in it
    strength: Strength
    other_side: str = ""
    other_sources: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)  # dotted keys of the suggested configuration


@dataclass(frozen=True)
class Advice:
    """What to start with for one corpus and goal."""

    model: str
    goal: str
    goal_is_guessed: bool
    profile: CorpusProfile
    remarks: tuple[Remark, ...]
    suggested: dict[str, Any]  # a configuration that `ray-ft plan` takes
    sources: dict[str, str]  # label -> title, of all that is named
