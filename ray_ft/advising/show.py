"""Advice as lines for a terminal, and the suggested configuration as YAML with the reason behind each key."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ray_ft.advising.case import counted
from ray_ft.advising.sources import SOURCES, label_of
from ray_ft.artifacts import Advice, CorpusProfile, Remark, write_text
from ray_ft.errors import ConfigError

WIDTH, MOST_LINES = 100, 40
INDENT = 10
SUGGESTED = "# Suggested by `ray-ft advise`"
KEY = "A controlled figures, B limited ones or several sources, C opinion; --json has titles"


def render_advice(advice: Advice) -> str:
    """At most 40 lines of 100 columns; what does not fit is counted, the least urgent first."""
    guessed = " (guessed; set goal)" if advice.goal_is_guessed else ""
    head = _wrapped(f"{advice.model} for {advice.goal}{guessed}: {_corpus(advice.profile)}", 2)
    entries = [_entry(remark) for remark in advice.remarks]
    room = MOST_LINES - len(head) - 2
    shown: list[str] = []
    left = 0
    for entry in entries:
        if len(shown) + len(entry) <= room and not left:
            shown += entry
        else:
            left += 1
    more = f"{left} more with --json; " if left else ""
    return "\n".join([*head, *shown, *_wrapped(f"{more}{KEY}", 2)])


def write_yaml(advice: Advice, path: Path) -> None:
    """Write the suggested configuration. Raises ConfigError where `refuse_to_replace` does, or it cannot be written."""
    refuse_to_replace(path)
    write_text(path, render_yaml(advice))


def refuse_to_replace(path: Path) -> None:
    """ConfigError for a file that somebody else wrote."""
    try:
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(SUGGESTED):
            raise ConfigError(f"--write: {path} is there and is no suggestion of `advise`; give another name")
    except OSError as error:
        raise ConfigError(f"--write: cannot write {path}: {error.strerror}") from None


def render_yaml(advice: Advice) -> str:
    """The suggested configuration, with who is cited behind each key that a remark set."""
    cited = {key: remark for remark in advice.remarks for key in remark.settings}
    lines = [f"{SUGGESTED} for {advice.goal}; each comment names the source and its strength."]
    for name, value in advice.suggested.items():
        if not isinstance(value, Mapping) or not value:
            lines += _keyed(name, value, cited.get(name), 0)
            continue
        lines.append(f"{name}:")
        for key, inner in value.items():
            lines += _keyed(key, inner, cited.get(f"{name}.{key}"), 2)
    return "\n".join(lines) + "\n"


def _keyed(key: str, value: Any, remark: Remark | None, indent: int) -> list[str]:
    text = yaml.safe_dump(
        {key: value},
        default_flow_style=isinstance(value, (dict, list)) or None,
        sort_keys=False,
        allow_unicode=True,
        width=10_000,
    ).strip()
    if text.startswith("{"):
        text = text[1:-1]
    lines = [" " * indent + line for line in text.splitlines()]
    if key == "num_tokens":
        lines[0] += "  # a guess; leave it out once `ray-ft prepare` has counted"
    if remark is not None:
        lines[0] += f"  # {_cited(remark.sources, remark.strength)}"
    return lines


def _entry(remark: Remark) -> list[str]:
    """The topic, what to do, why and by whom; who says otherwise on a line of its own."""
    cited = _cited(remark.sources, remark.strength)
    lines = _wrapped(f"{remark.topic:<{INDENT}}{remark.say} ({remark.because}) [{cited}]", INDENT)
    if remark.other_side:
        lines += _wrapped(f"{'':<{INDENT}}but {remark.other_side} [{'; '.join(remark.other_sources)}]", INDENT)
    return lines


def _cited(sources: tuple[str, ...], strength: str) -> str:
    assert all(label_of(one) in SOURCES for one in sources)
    return f"{'; '.join(sources)}; {strength}"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False)


def _corpus(profile: CorpusProfile) -> str:
    """The corpus in a sentence."""
    counts = ((profile.num_documents, "document"), (profile.num_records, "given example"))
    parts = [counted(number, name) for number, name in counts if number]
    kinds = ", ".join(list(profile.formats)[:4])
    scripts = ", ".join(f"{name} {share:.0%}" for name, share in list(profile.scripts.items())[:3])
    per_word = f"{profile.tokens_per_word:.1f} a word" if profile.tokens_per_word else "guessed without a tokenizer"
    tokens = f"{_short(profile.num_words)} words, {_short(profile.num_tokens)} tokens ({per_word})"
    rows = counted(profile.num_rows, "row") + ("" if profile.origin == "prepared" else " if read once")
    seen = profile.num_looked_at
    looked = f"; by {seen:,} of them" if seen < profile.num_documents + profile.num_records else ""
    return "; ".join(part for part in (
        " and ".join(parts) + (f" ({kinds})" if kinds else ""), scripts, tokens, rows,
    ) if part) + looked  # fmt: skip


def _short(number: int) -> str:
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number:,}"
