"""How a report was made, what proves its split, and where its limits are."""

import hashlib
import importlib.metadata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ray_ft.artifacts import TrainingSet, TunedModel
from ray_ft.config import EvaluationConfig, ModelConfig
from ray_ft.engines import Engine
from ray_ft.evaluation.exam.questions import MAX_DOCUMENT_CHARS, trained_documents
from ray_ft.evaluation.exam.retention import is_packed
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.exam.user_questions import SourceDocument
from ray_ft.evaluation.report.samples import Sample
from ray_ft.evaluation.scores.abstaining import LANGUAGES
from ray_ft.models.fetched.cache import provenance_of
from ray_ft.overlap import KINDS, LOOKED_AT, RUN_WORDS, overlaps
from ray_ft.overlap import table as overlap_table
from ray_ft.rows import Question


@dataclass(frozen=True)
class SplitProof:
    """What was checked to show that nothing held out was trained on."""

    statement: str
    leaks: tuple[str, ...]  # one sentence each; empty when the split holds


def split_proof(
    training_set: TrainingSet,
    sources: Sequence[SourceDocument],
    questions: Sequence[Question],
    documents: Sequence[SourceDocument],
    *,
    are_users: bool = False,
    common: Sequence[str] = (),
) -> SplitProof:
    """Hold the documents of the training examples against those of the held-out questions and texts, by id and content.

    It reads the examples that were packed, not the split that was meant. Questions that prepare made it has held
    against training, span by span; the user's and the pack's are held against it here, outside
    `common` passages.
    """
    trained = trained_documents(training_set)
    known = {source.id: source for source in sources}
    held_out = {q.document_id for q in questions if q.stratum == "held_out"} | {d.id for d in documents}
    trained_contents = {known[i].content for i in trained if i in known}
    copies = {i for i in held_out - trained if i in known and known[i].content in trained_contents}
    leaks = []
    if shared := held_out & trained:
        leaks.append(
            f"Leak: {len(shared)} held-out documents are in the training examples, e.g. {_name(known, shared)}."
        )
    if copies:
        leaks.append(f"Leak: {len(copies)} held-out documents have copies in training, e.g. {_name(known, copies)}.")
    table, asked = dict(training_set.overlap), dict[str, dict[str, int]]()
    if new := [question for question in questions if are_users or is_packed(question)]:
        found = overlaps(new, training_set.path, common=common)
        asked = overlap_table(new, found)
        table = ({} if are_users else table) | asked
        leaks += [
            f"Leak: {n} {stratum.replace('_', ' ')} questions overlap with the training examples ({kind}), "
            f"e.g. {next(q.id for q, k in zip(new, found, strict=True) if k == kind and q.stratum == stratum)}."
            for stratum, row in asked.items()
            for kind, n in row.items()
            if n and kind in KINDS
        ]
    statement = (
        f"{len(trained)} documents with training examples, {len(held_out)} held-out documents asked about or scored: "
        f"{len(shared)} in both by id, {len(copies)} more by content"
        + "".join(f"; {line}" for line in _spans(table, left_out=table.keys() - asked.keys()))
    )
    return SplitProof(statement, tuple(leaks))


def _spans(table: Mapping[str, Mapping[str, int]], *, left_out: Collection[str]) -> Iterator[str]:
    """The overlap of questions with training, span by span, a line for each stratum."""
    for stratum, row in table.items():
        yield (
            f"of {row[LOOKED_AT]} {stratum.replace('_', ' ')} questions, {row['question']} stood in training, the "
            f"short answers of {row['reference']} did, and {row['run']} shared {RUN_WORDS} words in a row"
            f"{': left out' if stratum in left_out else ''}"
        )


def _name(known: Mapping[str, SourceDocument], ids: set[str]) -> str:
    first = min(ids)
    return known[first].path if first in known else first


def prompt_differences(done: Sequence[Done]) -> list[str]:
    """A sentence when base and tuned were not asked the same: whole tuned models may bring another template."""
    prompts: dict[tuple[int, str], set[str]] = {}
    for d in (d for d in done if d.kind == "question"):
        prompts.setdefault((d.index, d.system.partition("+")[2]), set()).add(d.prompt_sha256)
    different = sum(len(hashes) > 1 for hashes in prompts.values())
    if not different:
        return []
    return [
        f"Base and tuned saw different prompts for {different} of {len(prompts)} questions: their templates differ."
    ]


def limits(
    questions: Sequence[Question],
    documents: Sequence[SourceDocument],
    samples: Sequence[Sample],
    evaluation: EvaluationConfig,
) -> list[str]:
    """What this report cannot show, said of this report."""
    origins = Counter[str](question.origin for question in questions)
    found = [
        "The model was trained once, with one seed: the intervals hold for other questions, not for other trainings. "
        "`ray-ft sweep` with sweep.num_seeds=3 shows how far trainings differ."
    ]
    for origin, made in (("extractive", "by rule from the documents' own text"), ("generated", "by a language model")):
        if origins[origin]:
            found.append(
                f"{origins[origin]} of {len(questions)} questions were made {made}: "
                "people ask differently, so measure with user questions as evaluation.questions."
            )
    if any(not question.answerable for question in questions):
        found.append(f"Declining is recognised in {', '.join(LANGUAGES)}; in other languages it counts as an answer.")
    found.append(
        "Metrics compare words, not sense: a negated or invented statement can score, a good paraphrase can miss."
    )
    if dropped := sum(_left_out(sample) for sample in samples):
        found.append(f"Retrieved passages did not all fit into the context for {dropped} of {len(samples)} questions.")
    if any(document.split != "test" for document in documents):
        found.append(
            "There are no test documents: bits per byte are of validation documents, on which the loss was watched."
        )
    if any(len(document.text) >= MAX_DOCUMENT_CHARS for document in documents):
        found.append(f"Long held-out documents are scored by their first {MAX_DOCUMENT_CHARS:,} characters.")
    if packed := sum(map(is_packed, questions)):
        found.append(
            f"What was kept is told by {packed} English questions of the package's own and by what the base says to "
            "generic prompts: what other abilities became of is not seen."
        )
    if len(questions) - packed < evaluation.num_questions:
        found.append(
            f"{len(questions) - packed} questions were asked, of {evaluation.num_questions} wanted: there are no more."
        )
    return found


def _left_out(sample: Sample) -> bool:
    """Whether a system with retrieval saw fewer passages than were found."""
    return any(a.num_passages < len(sample.passages) for s, a in sample.answers.items() if s.endswith("+rag"))


def details(
    training_set: TrainingSet,
    tuned: TunedModel,
    *,
    model: ModelConfig,
    evaluation: EvaluationConfig,
    engine: Engine,
    seed: int,
    done: Sequence[Done],
) -> dict[str, str]:
    """How it was made, as names and values that a reader can check against the run folder."""
    answers = [d for d in done if d.kind == "question"]
    prompts = hashlib.sha256("".join(sorted({d.prompt_sha256 for d in answers})).encode()).hexdigest()[:16]
    with_passages = [d.num_passages for d in answers if d.system.endswith("+rag")]
    made = {
        "base model": _base_model(model, tuned),
        "tuned model": f"{tuned.strategy.name}, {tuned.steps} steps, "
        f"{'an adapter beside the base' if tuned.is_adapter else 'a whole model'}",
        "tuned weights": f"sha256 {weights_digest(Path(tuned.path))}",
        "training set": f"data digest {training_set.data_digest}, fingerprint {training_set.fingerprint}",
        "decoding": f"greedy, at most {evaluation.max_new_tokens} new tokens, the same chat template for all systems",
        "engine": _settings(engine),
        "system prompt": model.system_prompt or "none",
        "prompts": f"{len({d.prompt_sha256 for d in answers})} different ones, digest {prompts}",
        "statistics": f"{evaluation.num_bootstrap:,} bootstrap draws over documents and one more, sign-flip "
        f"and equivalence tests, Holm, margin {evaluation.margin:g}",
        "seed": str(seed),
        "versions": ", ".join(
            f"{name} {_version(name)}" for name in ("ray_ft", "ray", "torch", "transformers", "peft")
        ),
    }
    if with_passages:
        shown = sum(with_passages) / len(with_passages)
        made["retrieval"] = (
            f"{_settings(evaluation.retriever)}; {shown:.2f} of {evaluation.num_passages} passages shown"
        )
    return made


def _base_model(model: ModelConfig, tuned: TunedModel) -> str:
    """Its name, where its weights are from where there is a choice, and what tells it from others."""
    about = provenance_of(tuned.base_path)
    source = f", from {about['source']}: {about['weights']}" if about else ""
    return f"{model.name}{f' at {model.revision}' if model.revision else ''}{source}, digest {tuned.base_digest}"


def describe_questions(questions: Sequence[Question], *, num_candidates: int) -> str:
    """How many were asked, of how many, in which strata."""
    strata = Counter(question.stratum.replace("_", " ") for question in questions)
    return f"{len(questions)} of {num_candidates}: {', '.join(f'{n} {name}' for name, n in sorted(strata.items()))}"


def weights_digest(folder: Path) -> str:
    """First 16 hex digits of the SHA-256 over the safetensors files of an adapter or model, by name and content."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            total.update(f"{file.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def _settings(choice: object) -> str:
    """A registry choice with its settings: `bm25 (k1=1.5, b=0.75)`."""
    values = {f.name: getattr(choice, f.name) for f in fields(choice)}  # type: ignore[arg-type]
    name = str(values.pop("name"))
    return f"{name} ({', '.join(f'{k}={v}' for k, v in values.items())})" if values else name


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
