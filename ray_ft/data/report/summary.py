"""What prepare says about its work: what became of every file, line and example, and why nothing may be left."""

import logging
from collections import Counter
from pathlib import PurePosixPath

from ray_ft.artifacts import Share, TrainingSet
from ray_ft.config import DataConfig
from ray_ft.data.build.job import MAX_NAMED_LINES, GroupResult
from ray_ft.data.ingest.listing import UNKNOWN_FORMAT
from ray_ft.data.report.inspection import table
from ray_ft.data.schemas import DOCUMENTS
from ray_ft.errors import DataError
from ray_ft.overlap import LOOKED_AT
from ray_ft.rows import REHEARSAL

MAX_SUFFIXES = 8
log = logging.getLogger("ray_ft")


def require_examples(total: GroupResult, data: DataConfig) -> None:
    """Raise DataError, with the counts of what went wrong, when nothing is left to train on but rehearsal."""
    if total.documents.total() == total.formats[REHEARSAL]:  # what the base rehearses is nothing to learn
        files, lines = _counts(_skipped(total.files)), _counts(_skipped(total.records))
        first = f", e.g. {total.bad_lines[0]}" if total.bad_lines else ""
        problems = [f"no file of data.sources can be used: {files}"] if data.sources else []
        problems += (
            [f"no line of data.datasets can be used: {lines or 'they are empty'}{first}"] if data.datasets else []
        )
        raise DataError("; ".join(problems))
    rehearsed = total.mixture.shares.get(REHEARSAL, Share(1.0)).num_examples
    if total.examples["train"] > rehearsed:
        return
    usable = total.documents.total() - total.formats[REHEARSAL]
    why = f"; {_counts(total.dropped)} dropped" if total.dropped else ""
    if not data.sources:
        raise DataError(
            f"{usable} lines of data.datasets gave no training example{why}. Raise model.max_seq_len "
            "where they are too long, and leave something to train on in data.datasets[].split."
        )
    names = ", ".join(r.name for r in data.recipes)
    raise DataError(
        f"{usable} documents gave no training example with data.recipes {names}{why}. "
        "Add recipes for what the sources hold: paragraph for text, code_raw for code."
    )


def report(total: GroupResult, made: TrainingSet, seconds: float) -> None:
    """Say what was made, what was skipped and why, and name the first bad lines."""
    skipped = _skipped(total.files + total.records)
    log.info(
        "prepared %s examples from %s documents (%s) in %.0f s",
        f"{total.examples.total():,}",
        f"{total.documents.total():,}",
        f"{skipped.total()} skipped: {_counts(skipped)}" if skipped else "0 skipped",
        seconds,
    )
    if skipped[UNKNOWN_FORMAT] and (suffixes := _unread_suffixes(made)):
        log.info("not read: %s", suffixes)
    for line in sorted(total.bad_lines)[:MAX_NAMED_LINES]:
        log.warning("skipped %s", line)
    if num_more := max(0, _skipped(total.records).total() - MAX_NAMED_LINES):
        log.warning("skipped %d more lines; documents.parquet in %s lists them all", num_more, made.path)
    for recipe, line in _kept_rates(total.generated).items():
        log.info("%s: %s", recipe, line)
    if total.redacted:
        log.info("redacted %s", _counts(total.redacted))
    if total.notes:
        log.info("in %s", _counts(total.notes).replace(" ", " lines: ", 1))
    if total.guessed:
        log.info("encodings that were not plain: %s; the column note of documents.parquet tells which",
                 _counts(total.guessed))  # fmt: skip
    if common := total.common:
        log.info("left out %s short lines at the head or foot of %s documents, each of which another document keeps",
                 f"{common['blocks']:,}", f"{common['files']:,}")  # fmt: skip
    if scans := total.scanned:
        log.warning("%s of %s pages need OCR, in %s PDF files that are read without them: documents.parquet names each",
                    f"{scans['unread']:,}", f"{scans['pages']:,}", f"{scans['files']:,}")  # fmt: skip
    _report_rows(total, made)
    for stratum, row in made.overlap.items():
        lost = sum(row.values()) - row[LOOKED_AT]
        if lost > row[LOOKED_AT] / 2:
            log.warning(
                "%d of the %d questions on %s documents were left out of the exam, since training holds them or eight "
                "words in a row of their answers: name texts that documents share in data.common, or give questions "
                "of yours as evaluation.questions", lost, row[LOOKED_AT], stratum.replace("_", " "),
            )  # fmt: skip


def _unread_suffixes(made: TrainingSet) -> str:
    """How many files of each suffix have a format that is not read, the most frequent first."""
    import pyarrow.compute as pc

    counts: Counter[str] = Counter()
    unread = pc.field("reason") == UNKNOWN_FORMAT
    for batch in table(made, DOCUMENTS).to_batches(columns=["path"], filter=unread):
        counts.update(PurePosixPath(path).suffix.lower() or "no suffix" for path in batch.column("path").to_pylist())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {suffix}" for suffix, count in ranked[:MAX_SUFFIXES]]
    rest = counts.total() - sum(count for _, count in ranked[:MAX_SUFFIXES])
    return ", ".join([*shown, f"{rest:,} others"] if rest else shown)


def _report_rows(total: GroupResult, made: TrainingSet) -> None:
    filled = made.num_tokens["train"] / max(1, made.num_rows["train"] * made.max_seq_len)
    log.info(
        "packed %s training tokens into %s rows of %s, %.1f%% full",
        f"{made.num_tokens['train']:,}",
        f"{made.num_rows['train']:,}",
        f"{made.max_seq_len:,}",
        100 * filled,
    )
    if len(made.mixture) > 1 or any(share.weight != 1 for share in made.mixture.values()):
        shares = (_share(name, share, made.num_tokens["train"]) for name, share in made.mixture.items())
        log.info("an epoch's tokens: %s", ", ".join(shares))
    if total.shortened:
        log.info("ended %d conversations at the last assistant turn that fits model.max_seq_len=%d",
                 total.shortened, made.max_seq_len)  # fmt: skip
    if total.dropped or total.truncated:
        log.info(
            "left out %s; cut %d answers at model.max_seq_len=%d (a smaller max_chunk_tokens keeps them whole)",
            _counts(total.dropped) or "no example",
            total.truncated,
            made.max_seq_len,
        )


def _share(name: str, share: Share, num_tokens: int) -> str:
    """`qa 13.8%`, and what a weight made of its examples."""
    part = f"{name} {share.num_tokens / max(1, num_tokens):.1%}"
    if share.weight == 1:
        return part
    return f"{part} (weight {share.weight:g}: {share.num_examples:,} of {share.num_available:,} examples)"


def _kept_rates(generated: Counter[str]) -> dict[str, str]:
    """What of each recipe's generated examples was kept, and why the others were not."""
    lines: dict[str, str] = {}
    for recipe in sorted({key.split(": ", 1)[0] for key in generated}):
        counts = Counter({key.split(": ", 1)[1]: n for key, n in generated.items() if key.startswith(f"{recipe}: ")})
        total, kept = counts.total(), counts.pop("kept", 0)
        why = f"; {_counts(counts)}" if counts else ""
        lines[recipe] = f"kept {kept:,} of {total:,} generated examples ({kept / total:.1%}){why}"
    return lines


def _skipped(files: Counter[str]) -> Counter[str]:
    return Counter({k.removeprefix("skipped: "): n for k, n in files.items() if k != "ok"})


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
