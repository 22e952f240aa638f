"""Five small corpora that advice is asked about, and what it said: `python tests/advice_corpora.py` writes that again.

Everything is made by rule from a seed. Tokens are counted by a stand-in that cuts words into pieces of six letters, so
that the pages depend on no vocabulary.
"""

import json
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray_ft
from ray_ft.advising.advise import advise as ask_rules
from ray_ft.advising.case import Case
from ray_ft.advising.show import render_advice, render_yaml
from ray_ft.api import advising as api_advising
from ray_ft.api.base_model import shape_of_base
from ray_ft.api.planning import cheapest_row
from ray_ft.artifacts import Advice, CorpusProfile
from ray_ft.config import parse_config

PAGES = Path(__file__).parent / "data" / "advice"
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
WORDS = [
    "ferry", "rope", "helm", "mate", "crew", "diesel", "anchor", "tide", "lamp", "chart", "harbour", "engine", "deck",
    "ticket", "cabin", "galley", "radio", "storm", "bridge", "captain", "signal", "cargo", "propeller", "rudder",
]  # fmt: skip
GREEK = "το πλοίο φεύγει από το λιμάνι στις εννέα και ο καπετάνιος κρατάει το τιμόνι"


class PieceTokenizer:
    """Counts as a tokenizer does: six letters of a word are a token, and each letter beyond ASCII is two."""

    def __init__(self, chat_template: str = "{{ messages }}") -> None:
        self.chat_template = chat_template

    def __call__(self, texts: list[str], *, add_special_tokens: bool) -> dict[str, list[list[int]]]:
        return {"input_ids": [[0] * sum(map(_pieces, re.findall(r"\w+", text))) for text in texts]}


def _pieces(word: str) -> int:
    foreign = sum(not character.isascii() for character in word)
    return 2 * foreign + -(-(len(word) - foreign) // 6)


def sentences(rng: random.Random, number: int) -> str:
    """Text of no meaning, in words of a ferry's crew."""
    made = (" ".join(rng.choices(WORDS, k=rng.randint(8, 14))).capitalize() + "." for _ in range(number))
    return " ".join(made)


def manual(folder: Path) -> dict[str, Any]:
    """Three chapters with headings: about as much as the paper's user guide."""
    rng = random.Random(1)
    for chapter in ("boarding", "engine", "safety"):
        parts = [f"# {chapter.title()}"]
        for word in rng.sample(WORDS, 12):
            parts += [f"## The {word}", sentences(rng, 22)]
        _write(folder / "manual" / f"{chapter}.md", "\n\n".join(parts))
    return {"model": {"name": LLAMA}, "data": {"sources": [str(folder / "manual")]}}


def code(folder: Path) -> dict[str, Any]:
    """Modules with functions, four of five with a docstring; the base is a code model that was not taught to chat."""
    rng = random.Random(2)
    for number in range(40):
        functions = []
        for place, word in enumerate(rng.sample(WORDS, 8)):
            docstring = f'    """{sentences(rng, 1)}"""\n' if place % 5 else ""
            body = "".join(
                f"    {a} = {b}_of({word}, {rng.randint(1, 99)})\n"
                for a, b in zip(WORDS[:6], rng.sample(WORDS, 6), strict=True)
            )
            functions.append(f"def {word}_{number}({word}):\n{docstring}{body}    return {WORDS[0]}\n")
        _write(folder / "repository" / f"module_{number}.py", "\n\n".join(functions))
    return {
        "model": {"name": "Qwen/Qwen2.5-Coder-7B"},
        "data": {"sources": [str(folder / "repository")], "recipes": ["code_summary"]},
        "plan": {"gpu": "L4"},
    }


def mixed(folder: Path) -> dict[str, Any]:
    """Notes without headings, copies of them, Greek ones, a table, a chat and some code."""
    rng, root = random.Random(3), folder / "share"
    for number in range(30):
        _write(root / f"note_{number}.txt", sentences(rng, 30))
    for number in range(5):
        _write(root / "old" / f"note_{number}.txt", (root / f"note_{number}.txt").read_text())
        _write(root / f"greek_{number}.txt", "\n".join(f"{GREEK} {number} {line}." for line in range(120)))
    rows = [",".join(rng.sample(WORDS, 6)) for _ in range(1500)]
    _write(root / "timetable.csv", "\n".join(["a,b,c,d,e,f", *rows]))
    for number in range(12):
        lines = [f"[{9 + i // 60}:{i % 60:02d}] {('Ann', 'Bo')[i % 2]}: {sentences(rng, 1)}" for i in range(60)]
        _write(root / f"chat_{number}.txt", "\n".join(lines))
    for number in range(24):
        body = "".join(f"def {w}_{number}(x):\n    y = x * {rng.randint(2, 9)}\n    return y\n\n\n" for w in WORDS)
        _write(root / f"tool_{number}.py", body)
    return {"goal": "code", "model": {"name": LLAMA}, "data": {"sources": [str(root)]}}


def chats(folder: Path) -> dict[str, Any]:
    """Conversations of a help desk, a few of them long, and a base that 16 bits are too many for."""
    rng = random.Random(4)
    lines = []
    for number in range(300):
        turns = 30 if number % 25 == 0 else rng.randint(1, 3)
        messages = []
        for _ in range(turns):
            messages.append({"role": "user", "content": sentences(rng, 1)})
            messages.append({"role": "assistant", "content": sentences(rng, 2)})
        lines.append(json.dumps({"messages": messages}))
    _write(folder / "helpdesk.jsonl", "\n".join(lines) + "\n")
    return {
        "model": {"name": "meta-llama/Llama-3.1-70B-Instruct", "max_seq_len": 512},
        "data": {"datasets": [{"path": str(folder / "helpdesk.jsonl")}]},
        "plan": {"gpu": "A100-80GB"},
        "engine": {"name": "transformers", "quantization": "int8"},
    }


WIKI = CorpusProfile(
    origin="sources",
    num_documents=220_000,
    num_records=0,
    num_looked_at=1000,
    num_words=140_000_000,
    num_tokens=189_000_000,
    num_train_tokens=0,
    num_rows=92_286,
    num_held_out=22_000,
    tokens_per_word=1.35,
    formats={"markdown": 950, "html": 50},
    scripts={"Latin": 1.0},
    heading_share=0.92,
    table_share=0.06,
)
"""A wiki of hundreds of megabytes, as its sample would tell of it."""


def wiki(folder: Path) -> dict[str, Any]:
    """The configuration of one whose profile is WIKI."""
    return {"model": {"name": LLAMA}, "data": {"sources": [str(folder)]}}


CORPORA: dict[str, Callable[[Path], dict[str, Any]]] = {
    "manual": manual,
    "wiki": wiki,
    "code": code,
    "mixed": mixed,
    "chats": chats,
}


@contextmanager
def piece_tokenizer(chat_template: str = "{{ messages }}") -> Iterator[None]:
    """Let `advise` count by the stand-in."""
    before, api_advising._tokenizer = api_advising._tokenizer, lambda config: PieceTokenizer(chat_template)
    try:
        yield
    finally:
        api_advising._tokenizer = before


def advice(name: str, folder: Path, **sections: Any) -> Advice:
    """What is said of one corpus, made below a folder; `sections` join its configuration."""
    plain = CORPORA[name](folder)
    for key, value in sections.items():
        plain[key] = plain.get(key, {}) | value if isinstance(value, dict) else value
    config = parse_config({"run_name": name, "output_dir": str(folder / "outputs"), **plain}, draft=True)
    if name == "wiki":
        case = Case(config, WIKI, shape_of_base(config))
        return ask_rules(case, lambda plain: cheapest_row(parse_config(plain), max_hours=24))
    with piece_tokenizer("" if name == "code" else "{{ messages }}"):
        return ray_ft.advise(config)


def pages(made: Advice, folder: Path) -> dict[str, str]:
    """Page of the terminal and suggested YAML, without the folder."""
    return {
        "txt": render_advice(made).replace(str(folder), "CORPUS") + "\n",
        "yaml": render_yaml(made).replace(str(folder), "CORPUS"),
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    PAGES.mkdir(exist_ok=True)
    for corpus in CORPORA:
        with tempfile.TemporaryDirectory() as made_in:
            for suffix, page in pages(advice(corpus, Path(made_in)), Path(made_in)).items():
                (PAGES / f"{corpus}.{suffix}").write_text(page, encoding="utf-8")
