"""What is done with a document once it is read: secrets and personal data become placeholders, and some are left out.

A private key, the wrong language or licence leave it out; what is told by paths and bytes alone is rules.py's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

from ray_ft.config import DataConfig, QualityConfig
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.filters.gitattributes import ATTRIBUTES, Marked, marked_files, reason_of
from ray_ft.data.filters.license import LICENCE_FILE, folder_licences, is_allowed, licence_of_file
from ray_ft.data.filters.notices import without_notice
from ray_ft.data.filters.pii import find_by_presidio, find_pii
from ray_ft.data.filters.quality import broken_rule
from ray_ft.data.filters.redaction import Redaction, disjoint, redact_document
from ray_ft.data.filters.secrets import Found, find_secrets, has_private_key
from ray_ft.errors import MissingDependencyError
from ray_ft.rows import Example

PRIVATE_KEY = "private key"
MIN_LETTERS = 200  # of a document whose language is told
TOLD_CHARACTERS = 5000
MIN_CERTAINTY = 0.9


@dataclass(frozen=True)
class Cleaning:
    """What of the configuration cleaning needs; travels to the workers."""

    secrets: Literal["redact", "drop", "keep"] = "redact"
    personal_data: Literal["redact", "presidio", "keep"] = "redact"
    languages: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    folder_licences: Mapping[str, str] = field(default_factory=dict)
    quality: QualityConfig | None = None
    marks: tuple[Marked, ...] = ()  # of files that their repository calls generated or vendored

    @staticmethod
    def of(data: DataConfig, files: Iterable[SourceFile]) -> "Cleaning":
        """The settings, and what the licence files of the sources say. Raises MissingDependencyError."""
        if data.languages:
            _language_identifier()
        if data.personal_data == "presidio":
            list(find_by_presidio(""))
        files = [file for file in files if tells_of_others(file)]
        return Cleaning(
            data.secrets,
            data.personal_data,
            data.languages,
            data.licenses,
            folder_licences(files) if data.licenses else {},
            data.quality,
            marked_files(files),
        )


def tells_of_others(file: SourceFile) -> bool:
    """Whether a file may say something of those around it, read itself or not: a licence, or .gitattributes."""
    name = file.path.rpartition("/")[2]
    return name == ATTRIBUTES or bool(LICENCE_FILE.match(name))


def clean_file(read: ReadFile, how: Cleaning) -> ReadFile:
    """The file with placeholders in it, or with the reason why it is left out."""
    document = read.document
    if document is None:
        return read
    text = document.text
    reason, note = _unwanted(read.file.path, text, document.language, how)
    if reason:
        return replace(read, status="skipped", reason=reason, note=note or read.note, document=None)
    without = without_notice(document)
    if without is not document:
        read, document, text = replace(read, document=without), without, without.text
    found = find(text, how, is_code=bool(document.language))
    if how.secrets == "drop" and any(True for _ in find_secrets(text)):
        return replace(read, status="skipped", reason="secret", document=None)
    if not found:
        return read
    counts = tuple(sorted(Counter(one.kind for one in found).items()))
    note = "; ".join(part for part in (read.note, _note(counts)) if part)
    return replace(read, document=redact_document(document, found), note=note, redacted=counts)


def clean_record(record: Record, how: Cleaning) -> Record:
    """The line with placeholders in its texts, or with the reason why it is left out."""
    if record.reason:
        return record
    texts = [record.text, *(text for example in record.examples for text in _texts(example))]
    if how.secrets != "keep" and any(has_private_key(text) for text in texts):
        return replace(record, reason=PRIVATE_KEY, text="", examples=())
    if record.text and how.quality is not None:
        reason, note = broken_rule(record.text, how.quality)
        if reason:
            return replace(record, reason=reason, note=note, text="", examples=())
    counts: Counter[str] = Counter()

    def clean(text: str) -> str:
        found = find(text, how)
        counts.update(one.kind for one in found)
        return Redaction.of(text, found).text if found else text

    if how.secrets == "drop" and any(True for text in texts for _ in find_secrets(text)):
        return replace(record, reason="secret", text="", examples=())
    examples = tuple(_clean_example(example, clean) for example in record.examples)
    text = clean(record.text)
    if not counts:
        return record
    note = "; ".join(part for part in (record.note, f"redacted {', '.join(sorted(counts))}") if part)
    return replace(record, text=text, examples=examples, note=note)


def find(text: str, how: Cleaning, *, is_code: bool = False) -> list[Found]:
    """What is to be replaced in a text, in order; numbers mean other things in code."""
    found: list[Found] = [*find_secrets(text)] if how.secrets == "redact" else []
    if how.personal_data != "keep":
        found += find_pii(text, is_code=is_code)
    if how.personal_data == "presidio":
        found += find_by_presidio(text)
    return disjoint(found, text)


def language_of(text: str) -> str:
    """ISO 639-1 code of the natural language; "" where the text is too short or the answer uncertain."""
    head = text[:TOLD_CHARACTERS]
    if sum(c.isalpha() for c in head) < MIN_LETTERS:
        return ""
    name, certainty = _language_identifier().classify(head)
    return str(name) if certainty >= MIN_CERTAINTY else ""


def _unwanted(path: str, text: str, code: str, how: Cleaning) -> tuple[str, str]:
    """Why a document is left out as a whole, and by what; `code` is the programming language of code."""
    if marked := reason_of(path, how.marks):
        return marked, ""
    if how.secrets != "keep" and has_private_key(text):
        return PRIVATE_KEY, ""
    if how.licenses:
        licence = licence_of_file(path, text, how.folder_licences)
        if not is_allowed(licence, how.licenses):
            return f"licence {licence}", ""
    if how.languages and not code:
        language = language_of(text)
        if language and language not in how.languages:
            return f"language {language}", ""
    return broken_rule(text, how.quality) if how.quality is not None and not code else ("", "")


def _clean_example(example: Example, clean: Any) -> Example:
    return replace(
        example,
        prompt=clean(example.prompt),
        completion=clean(example.completion),
        messages=tuple(replace(m, content=clean(m.content)) for m in example.messages),
    )


def _texts(example: Example) -> tuple[str, ...]:
    return (example.prompt, example.completion, *(message.content for message in example.messages))


def _note(counts: Iterable[tuple[str, int]]) -> str:
    return f"redacted {', '.join(f'{n} {kind}' for kind, n in counts)}"


@cache
def _language_identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingDependencyError(
            "data.languages needs the package py3langid: pip install 'ray_ft[language]'"
        ) from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
