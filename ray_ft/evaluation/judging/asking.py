"""A judge is asked which of two answers is better, twice, so that either stands first; its answers are kept."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ray_ft.artifacts import TunedModel
from ray_ft.config import ModelConfig
from ray_ft.engines import Engine, WriteRequest
from ray_ft.errors import ConfigError, GenerationError
from ray_ft.recipes.questions.written import objects_with

Verdict = Literal["first", "second", "tie"]
VERDICTS: tuple[Verdict, ...] = ("first", "second", "tie")
SCHEMA = json.dumps({
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 400}, "better": {"enum": list(VERDICTS)}},
    "required": ["reason", "better"],
    "additionalProperties": False,
})  # fmt: skip
MAX_NEW_TOKENS = 1024  # some think before they say
MAX_CHARS = 8192  # of an answer that are looked through, its end
PROMPT = """\
Which of two answers to a question is better? Judge by the reference alone: what is right by it counts, what is missing
or invented counts against an answer. Neither length, nor style, nor which one stands first matters.

Question:
{question}

Reference:
{reference}

First answer:
{first}

Second answer:
{second}

Answer with JSON alone: {{"reason": "one sentence", "better": "first", "second" or "tie"}}"""


def refuse_own_model(judge: Engine, model: ModelConfig, tuned: TunedModel, engine: Engine) -> None:
    """ConfigError where the judge is a model under test, by any of the names that it is known by."""
    names = {model.name, tuned.base_model, tuned.base_path, tuned.path, str(getattr(engine, "model", ""))}
    names |= set(getattr(engine, "adapters", {}).values())
    asked = str(getattr(judge, "model", ""))
    if _short(asked) in {_short(name) for name in names if name}:
        raise ConfigError(
            f"evaluation.judge.model: {asked!r} is under test here, and a model prefers its own answers; name another"
        )


def _short(name: str) -> str:
    """A model's name without its owner or folder."""
    return name.rstrip("/").rpartition("/")[2].casefold()


def prompt_of(*, question: str, reference: str, first: str, second: str) -> str:
    """What the judge is shown."""
    empty = "(nothing)"
    return PROMPT.format(question=question, reference=reference, first=first or empty, second=second or empty)


def ask(judge: Engine, prompts: Sequence[str], kept: Path) -> dict[str, str]:
    """The judge's answer to each prompt, "" where it refused one; `kept` has those of earlier runs and gets these.

    Raises GenerationError where the judge does not answer at all; what it said until then is kept.
    """
    identity = json.dumps(judge.writer_identity(""), sort_keys=True)
    keys = {prompt: _key(identity, prompt) for prompt in prompts}
    known = _read(kept)
    left = [prompt for prompt in dict.fromkeys(prompts) if keys[prompt] not in known]
    if left:
        kept.parent.mkdir(parents=True, exist_ok=True)
        requests = [WriteRequest(prompt, SCHEMA, MAX_NEW_TOKENS) for prompt in left]
        try:
            with kept.open("a", encoding="utf-8") as file:
                file.write("\n")  # what a kill cut short must not take the next line with it
                for place, written in judge.load_writer("").write(requests):
                    if written.error:
                        continue
                    key = keys[left[place]]
                    known[key] = written.text
                    file.write(json.dumps({"key": key, "answer": written.text}) + "\n")
                    file.flush()
        except OSError as error:
            raise GenerationError(f"cannot write {kept}: {error.strerror}") from None
    return {prompt: known.get(keys[prompt], "") for prompt in prompts}


def _key(identity: str, prompt: str) -> str:
    return hashlib.sha256(f"{identity}\0{prompt}".encode("utf-8", "replace")).hexdigest()[:32]


def _read(kept: Path) -> dict[str, str]:
    """Answers by key; a line that a kill cut short is no answer."""
    found: dict[str, str] = {}
    for line in kept.read_text(encoding="utf-8").split("\n") if kept.exists() else ():
        try:
            row = json.loads(line)
            found[str(row["key"])] = str(row["answer"])
        except (ValueError, TypeError, KeyError):
            continue
    return found


def read_verdict(text: str) -> tuple[Verdict | None, str]:
    """The verdict of a judge's answer with its reason, the last one where it thinks aloud; None for none."""
    found = [value for value in objects_with(text[-MAX_CHARS:], "better") if value["better"] in VERDICTS]
    return (found[-1]["better"], str(found[-1].get("reason", ""))) if found else (None, "")
