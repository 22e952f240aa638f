"""The proof that what is loaded is what was trained: training writes down what its model says, loading asks again.

`probe.json` beside an adapter holds a few prompts' token ids and, at some of their places, the likeliest next tokens
with their log-probabilities as the trained model gave them. PEFT, and engines built on it, load adapters that match
nothing without a word; asking tells.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.engines.base import LoadedModel
from ray_ft.engines.requests import GenerateRequest
from ray_ft.errors import GenerationError, first_line

PROBE_FILE = "probe.json"
TEXTS = (
    "Question: How do I set it up, and what should I check first?\nAnswer: Before you begin, make sure that",
    "def load(path: str) -> dict[str, int]:\n    with open(path) as file:\n        words = file.read().split()\n",
    "The following table lists every option with its default value and its meaning. When an option is missing, the",
    "1. Introduction\n\nThis document describes how the service starts, who may use it, and why a request may fail. In",
)
"""What is asked: nothing of the run's own data, because adapters are handed on."""
MAX_TOKENS = 32
"""Of one prompt."""
NUM_LIKELIEST = 8
SEARCHED = 20
"""Among so many of the likeliest the engine's answer is looked through for those."""


@dataclass(frozen=True)
class Tolerance:
    """Mean differences of log-probabilities, in nats."""

    largest: float  # no sound adapter differs by more
    noise: float  # what rounding alone may do: below it, being as far from the trained model as the base says nothing


TOLERANCES = {
    "float32": Tolerance(0.01, 0.01),
    "16 bits": Tolerance(0.15, 0.05),
    "quantised": Tolerance(0.5, 0.1),
}
"""By the coarser of both sides' arithmetic; measured in docs/guides/serve.md."""


@dataclass(frozen=True)
class Place:
    """A prompt, and the likeliest tokens behind it: ids with log-probabilities, the likeliest first."""

    prompt: tuple[int, ...]
    likeliest: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Probe:
    """What `probe.json` says."""

    places: tuple[Place, ...]
    arithmetic: str  # a key of TOLERANCES
    about_base: dict[str, str]  # base_model, base_digest and tokenizer_digest of what was trained
    weights_sha256: str = ""


def write_probe(folder: Path, probe: Probe, *, weights: Path) -> None:
    """Write what the trained model says beside its adapter, whose weights lie in the file `weights`."""
    about = {"weights_sha256": file_sha256(weights), "arithmetic": probe.arithmetic, **probe.about_base}
    places = [{"prompt": place.prompt, "likeliest": place.likeliest} for place in probe.places]
    (folder / PROBE_FILE).write_text(json.dumps({**about, "places": places}) + "\n")


def read_probe(folder: Path) -> Probe | None:
    """The probe beside an adapter; None where there is none. Raises ValueError where it is damaged."""
    try:
        value = json.loads((folder / PROBE_FILE).read_text())
        places = tuple(
            Place(tuple(map(int, row["prompt"])), tuple((int(i), float(p)) for i, p in row["likeliest"]))
            for row in value.pop("places")
        )
        if not places or not all(place.prompt and place.likeliest for place in places):
            raise ValueError("it asks nothing")
        sha256, arithmetic = str(value.pop("weights_sha256")), str(value.pop("arithmetic"))
        return Probe(places, arithmetic, value, sha256)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{PROBE_FILE} is damaged: {first_line(error)}") from None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replay(model: LoadedModel, adapter: str, probe: Probe, *, arithmetic: str) -> dict[str, Any]:
    """Ask a loaded adapter what it was asked when it was trained: the verdict, and by how much the answers differ.

    `mean_difference` is over all tokens that were written down, in nats; `base_difference` is the same for the base
    alone. An adapter passes that differs little enough for both sides' `arithmetic`, and less than half as much as the
    base does where more than rounding tells them apart. `agreement` is the share of places where both find the same
    token likeliest. Raises GenerationError where the engine cannot be asked.
    """
    places = [place for place in probe.places if len(place.prompt) < model.max_seq_len]
    if not places:
        raise GenerationError("every prompt of the probe is longer than the model's context")
    results = model.generate([
        GenerateRequest(place.prompt, adapter=name, max_new_tokens=1, num_logprobs=SEARCHED)
        for name in (adapter, None)
        for place in places
    ])  # fmt: skip
    if not all(result.logprobs and result.logprobs[0].top for result in results):
        raise GenerationError("the engine gives no log-probabilities")
    tops = [result.logprobs[0].top for result in results]
    own, base = tops[: len(places)], tops[len(places) :]
    differences = [d for place, top in zip(places, own, strict=True) for d in _differences(place, top)]
    of_base = [d for place, top in zip(places, base, strict=True) for d in _differences(place, top)]
    mean, base_mean = sum(differences) / len(differences), sum(of_base) / len(of_base)
    kinds = [TOLERANCES.get(kind, TOLERANCES["quantised"]) for kind in (arithmetic, probe.arithmetic)]
    tolerance = max(kinds, key=lambda kind: kind.largest)
    return {
        "passed": mean <= tolerance.largest and (mean <= tolerance.noise or mean <= base_mean / 2),
        "mean_difference": round(mean, 6),
        "max_difference": round(max(differences), 6),
        "base_difference": round(base_mean, 6),
        "tolerance": tolerance.largest,
        "noise": tolerance.noise,
        "agreement": sum(t[0][0] == p.likeliest[0][0] for p, t in zip(places, own, strict=True)) / len(places),
        "num_places": len(places),
    }


def _differences(place: Place, top: Sequence[tuple[int, str, float]]) -> list[float]:
    """One for each token that was written down.

    A token that the engine does not find among the likeliest has at most the least likely one's log-probability.
    """
    found = {token: logprob for token, _, logprob in top}
    least = min(found.values())
    return [abs(found[i] - p) if i in found else max(0.0, p - least) for i, p in place.likeliest]


def arithmetic_of(dtype: str, *, is_quantised: bool) -> str:
    """How coarse a model computes, in the words of TOLERANCES; `dtype` as torch or a config names it."""
    if is_quantised:
        return "quantised"
    return "float32" if dtype in ("float32", "fp32") else "16 bits"
