"""What every rule is told of a run, and the few numbers at which rules begin to speak."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ray_ft.artifacts import CorpusProfile, Estimate
from ray_ft.config import Config, Goal
from ray_ft.models.shape import ModelShape
from ray_ft.recipes import RECIPES

FEW_ROWS = 60  # twice the paper's 33, with which answers were right in gist and wrong in fact
FEW_TOKENS, MANY_TOKENS, RAW_TOKENS = 1_000_000, 10_000_000, 100_000_000
"""A manual or two; a wiki; hundreds of megabytes of text."""
MIXED = 0.05  # share of code, or of documents, from which both have recipes


def counted(number: int, name: str) -> str:
    """`1 row`, `33 rows`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Case:
    """One corpus, goal and base model, and what rules before this one settled."""

    config: Config
    profile: CorpusProfile
    shape: ModelShape
    settings: Mapping[str, Any] = field(default_factory=dict)  # dotted keys
    estimates: Mapping[str, Estimate | None] = field(default_factory=dict)  # by method; None: fits nowhere in time

    @property
    def goal(self) -> Goal:
        """What tuning is for: as given, else code for code, style for conversations, facts for documents."""
        if self.config.goal is not None:
            return self.config.goal
        if self.profile.code_share > 0.5:
            return "code"
        talks = self.profile.num_documents == 0 or self.profile.transcript_share > 0.5
        return "style" if talks else "facts"

    @property
    def has_code(self) -> bool:
        """Whether there is code worth a recipe."""
        return self.profile.num_documents > 0 and self.profile.code_share >= MIXED

    @property
    def has_documents(self) -> bool:
        """Whether there are documents worth a recipe."""
        return self.profile.num_documents > 0 and self.profile.code_share <= 1 - MIXED

    @property
    def is_raw(self) -> bool:
        """Whether there is so much text that it is read on rather than asked about."""
        return self.profile.num_tokens >= RAW_TOKENS

    @property
    def num_epoch_tokens(self) -> int:
        """Of an epoch: the training set's, or a guess by which every recipe reads what it takes once."""
        profile = self.profile
        if profile.num_train_tokens:
            return profile.num_train_tokens
        if not profile.num_documents:
            return profile.num_tokens + self.num_rehearsed_tokens
        shares = {True: profile.code_share, False: 1 - profile.code_share}
        recipes = self.settings.get("data.recipes", [])
        read = profile.num_tokens * sum(shares[RECIPES[one["name"]].handles_code] for one in recipes)
        return round(read) + self.num_rehearsed_tokens

    @property
    def num_rehearsed_tokens(self) -> int:
        """Of an epoch: what the base will have answered, at most."""
        rehearsal = self.config.data.rehearsal
        return rehearsal.num_tokens if rehearsal is not None else 0

    @property
    def num_rows(self) -> int:
        """Packed rows of an epoch, of the length that was settled; at least one."""
        given = self.config.model.max_seq_len
        length: int = self.settings.get("model.max_seq_len", given)
        num_tokens = self.profile.num_rows * given
        if self.profile.origin == "sources":  # a training set has them already
            num_tokens += self.num_rehearsed_tokens
        return max(-(-num_tokens // length), 1)
