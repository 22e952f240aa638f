"""Secrets and personal data become typed placeholders, likeness does not, and every span moves along."""

from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.documents import ReadFile, SourceFile
from ray_ft.data.filters.apply import Cleaning, clean_file, clean_record, find, language_of
from ray_ft.data.filters.license import UNKNOWN, folder_licences, is_allowed, licence_of_file, licence_of_text
from ray_ft.data.filters.redaction import redact_document
from ray_ft.data.filters.secrets import Found
from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown
from ray_ft.data.ingest.records import Origin, read_value
from ray_ft.rows import Definition, Document

AWS = "AKIA" + "Q7XJ4ZP2M9TLW3KD"
GITHUB = "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"
KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" * 3


def _kinds(text: str, **settings: Any) -> list[str]:
    return [found.kind for found in find(text, Cleaning(**settings))]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (f"key = '{AWS}'", ["AWS_KEY"]),
        (f"token: {GITHUB}\n", ["GITHUB_TOKEN"]),
        ("SLACK=xoxb-" + "123456789012-123456789012-abcdefABCDEF".lower(), ["SLACK_TOKEN"]),
        ("stripe sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc", ["STRIPE_KEY"]),
        ("AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q", ["GOOGLE_KEY"]),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk", ["JWT"]),
        ("postgres://app:k3Jx9-Lq2vTz@db/main", ["PASSWORD"]),
        ('api_key = "q8Zr2Lw9Xc4Vb7Nm1Kj6"', ["SECRET"]),
        ("write to anna.berg@ferries.no or call +47 22 34 56 78", ["EMAIL", "PHONE"]),
        ("call (555) 010-9834 or 212-555-0187.", ["PHONE", "PHONE"]),
        ("card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00", ["CARD_NUMBER", "IBAN"]),
        ("her number is 536-22-8726", ["SOCIAL_SECURITY_NUMBER"]),
    ],
)
def test_what_is_secret_or_personal_is_found(text: str, kinds: list[str]) -> None:
    assert _kinds(text) == kinds


@pytest.mark.parametrize(
    "text",
    [
        "password = os.environ['DB_PASSWORD']",
        'password = "changeme-please-now1"',
        'token = "{{ secrets.TOKEN }}"',
        'secret_name = "projects/main/secrets"',
        "git clone git@github.com:ferries/app.git",
        "icon@2x.png and @pytest.mark.slow and user@example.com",
        "2026-11-22 10:15:30.123456, 192.168.10.255, version 1.22.333.4444",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "4111 1111 1111 1112 fails Luhn; DE88 3704 0044 0532 0130 00 fails modulo 97",
        "eyJhbGciOi.notjson12.abc",
        "range 100-200-300, 000-12-3456, 123-00-4567",
        "x = 1234567890123456789",
        "0x1234567890abcdef, 3.14159265358979, +1, 12+345678",
        "awesome laws and claws: aws s3 cp",
        "AC" + "0" * 31,
    ],
)
def test_what_only_looks_like_it_is_kept(text: str) -> None:
    assert _kinds(text) == []


def test_each_can_be_kept() -> None:
    text = f"{AWS} of anna@ferries.no"
    assert _kinds(text, secrets="keep") == ["EMAIL"]
    assert _kinds(text, personal_data="keep") == ["AWS_KEY"]


def _read(text: str, path: str = "docs/a.md", language: str = "") -> ReadFile:
    parsed = parse_markdown(text)
    document = Document("1:a", parsed.text, path, "markdown", language, parsed.blocks, {"author": "anna@ferries.no"})
    return ReadFile(SourceFile(path, f"/{path}", len(text)), "ok", document=document)


def test_spans_metadata_and_counts_follow_the_placeholders() -> None:
    read = clean_file(_read(f"# Ask anna@ferries.no\n\nUse {AWS} here.\n\nOr bob@ferries.no, then stop.\n"), Cleaning())
    assert read.document is not None
    assert read.document.text == "# Ask <EMAIL>\n\nUse <AWS_KEY> here.\n\nOr <EMAIL>, then stop.\n"
    assert [b.text for b in read.document.blocks] == ["Ask <EMAIL>", "Use <AWS_KEY> here.", "Or <EMAIL>, then stop."]
    assert all(read.document.text[b.start : b.end] == b.text for b in read.document.blocks)
    assert read.document.metadata == {"author": "<EMAIL>"}
    assert (read.redacted, read.note) == ((("AWS_KEY", 1), ("EMAIL", 2)), "redacted 1 AWS_KEY, 2 EMAIL")


def test_definitions_move_and_lose_the_secret_too() -> None:
    text = f'x = 1\n\ndef f(key="{AWS}"):\n    """Ask anna@ferries.no."""\n    return key\n'
    start, body = text.index("def"), text.index("    return")
    made = Definition("f", "function", start, len(text), body, 3, 5, f'def f(key="{AWS}")', "Ask anna@ferries.no.")
    document = Document("1:a", text, "a.py", "code", "python", definitions=(made,))
    clean = redact_document(document, find(text, Cleaning()))
    (moved,) = clean.definitions
    assert clean.text[moved.start : moved.body_start] == 'def f(key="<AWS_KEY>"):\n    """Ask <EMAIL>."""\n'
    assert clean.text[moved.body_start : moved.end] == "    return key\n"
    assert (moved.signature, moved.docstring) == ('def f(key="<AWS_KEY>")', "Ask <EMAIL>.")


def test_spans_that_begin_or_end_in_what_is_replaced_take_in_the_placeholder() -> None:
    from ray_ft.data.filters.redaction import Redaction

    redaction = Redaction.of("ab12345cd", [Found(2, 7, "X")])
    assert redaction.text == "ab<X>cd"
    assert [redaction.place(i) for i in (0, 2, 4, 7, 9)] == [0, 2, 2, 5, 7]
    assert [redaction.place(i, is_end=True) for i in (2, 4, 7, 9)] == [2, 5, 5, 7]


def test_a_private_key_leaves_the_file_out_but_its_first_line_alone_does_not() -> None:
    head = "-----BEGIN RSA PRIVATE KEY-----"
    assert clean_file(_read(f"# Key\n\n{head}\n{KEY_BODY}\n"), Cleaning()).reason == "private key"
    assert clean_file(_read(f'KEY = "{head}\\n{KEY_BODY}"'), Cleaning()).reason == "private key"
    assert clean_file(_read(f"# Key\n\nIt begins with {head} and more.\n"), Cleaning()).reason == ""


def test_secrets_can_leave_the_file_out() -> None:
    assert clean_file(_read(f"Use {AWS}."), Cleaning(secrets="drop")).reason == "secret"
    assert clean_file(_read("Use none."), Cleaning(secrets="drop")).status == "ok"


def test_lines_of_datasets_are_cleaned_as_well() -> None:
    origin = Origin("a.jsonl:1", "a.jsonl")
    chat = {"messages": [{"role": "user", "content": "Mail bob@ferries.no"}, {"role": "assistant", "content": "Done."}]}
    record = clean_record(read_value(chat, origin, num_bytes=1), Cleaning())
    assert record.examples[0].messages[0].content == "Mail <EMAIL>"
    assert record.note == "redacted EMAIL"
    key = f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY}"
    assert clean_record(read_value({"text": key}, origin, num_bytes=1), Cleaning()).reason == "private key"


def test_documents_in_other_languages_are_left_out_and_code_and_short_texts_are_not() -> None:
    german = "Die Fähre fährt jeden Morgen über die Meerenge und die Mannschaft öffnet die Rampe. " * 4
    assert language_of(german) == "de"
    assert language_of("Die Fähre.") == ""
    assert clean_file(_read(german), Cleaning(languages=("en",))).reason == "language de"
    assert clean_file(_read(german), Cleaning(languages=("en", "de"))).reason == ""
    assert clean_file(_read(german, language="python"), Cleaning(languages=("en",))).reason == ""


def test_what_the_repository_marks_is_left_out(tmp_path: Path) -> None:
    (tmp_path / ".gitattributes").write_text(
        "# marks\n*.snap.md linguist-generated=true text\nlib/** linguist-vendored\nlib/ours/** -linguist-vendored\n"
    )
    files = [SourceFile("app/.gitattributes", str(tmp_path / ".gitattributes"), 99, "unknown format")]
    how = Cleaning.of(DataConfig(sources=("app",)), files)

    def reason(path: str) -> str:
        return clean_file(_read("Words.", path), how).reason

    assert reason("app/docs/a.snap.md") == "generated"
    assert reason("app/lib/deep/a.md") == "vendored"
    assert [reason(path) for path in ("app/lib/ours/a.md", "app/docs/a.md", "other/lib/a.md")] == ["", "", ""]


MIT = "Permission is hereby granted, free of charge, to any person\nobtaining a copy of this software"
GPL = "GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007"


def test_a_files_licence_is_that_of_its_header_or_of_the_folders_above(tmp_path: Path) -> None:
    for name, text in {"LICENSE": MIT, "lib/COPYING": GPL, "odd/LICENSE.txt": "Ask us."}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    files = [SourceFile(f"app/{n}", str(tmp_path / n), 9) for n in ("LICENSE", "lib/COPYING", "odd/LICENSE.txt")]
    folders = folder_licences(files)
    assert folders == {"app": "MIT", "app/lib": "GPL-3.0"}
    assert licence_of_file("app/lib/deep/x.py", "", folders) == "GPL-3.0"
    assert licence_of_file("app/odd/x.py", "", folders) == "MIT"
    assert (
        licence_of_file("app/lib/x.py", "# SPDX-License-Identifier: MIT OR Apache-2.0\n", folders)
        == "MIT OR Apache-2.0"
    )
    assert licence_of_file("elsewhere/x.py", "", folders) == UNKNOWN
    how = Cleaning(licenses=("MIT", "Apache-*"), folder_licences=folders)
    assert clean_file(_read("Words.", "app/lib/x.md"), how).reason == "licence GPL-3.0"
    assert clean_file(_read("Words.", "app/x.md"), how).reason == ""
    assert clean_file(_read("Words.", "elsewhere/x.md"), how).reason == "licence unknown"


@pytest.mark.parametrize(
    ("licence", "allowed", "expected"),
    [
        ("MIT", ["mit"], True),
        ("GPL-3.0-or-later", ["GPL-3.0"], True),
        ("BSD-3-Clause", ["BSD-*"], True),
        ("MIT OR GPL-3.0", ["MIT"], True),
        ("MIT AND GPL-3.0", ["MIT"], False),
        ("Apache-2.0 WITH LLVM-exception", ["Apache-2.0"], True),
        (UNKNOWN, ["MIT"], False),
        (UNKNOWN, ["MIT", "unknown"], True),
    ],
)
def test_licences_are_allowed_by_pattern(licence: str, allowed: list[str], expected: bool) -> None:
    assert is_allowed(licence, allowed) is expected


def test_licences_are_known_by_their_words() -> None:
    bsd = "Redistribution and use in source and binary forms, with or without modification"
    assert licence_of_text(f"{bsd}\n... Neither the name of") == "BSD-3-Clause"
    assert licence_of_text(bsd) == "BSD-2-Clause"
    assert licence_of_text("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1, February 1999") == "LGPL-2.1"
    assert licence_of_text("All rights reserved.") == UNKNOWN
