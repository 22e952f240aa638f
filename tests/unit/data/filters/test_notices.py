"""Licences at the head of documents are no content; pages about licences are."""

import pytest

from ray_ft.data.documents import ReadFile, SourceFile
from ray_ft.data.filters.apply import Cleaning, clean_file
from ray_ft.data.filters.notices import without_notice
from ray_ft.data.formats import FORMATS
from ray_ft.rows import Document

APACHE = (
    'Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance '
    "with the License. You may obtain a copy of the License at\n\nhttp://www.apache.org/licenses/LICENSE-2.0\n\n"
    "Unless required by applicable law or agreed to in writing, software distributed under the License is distributed "
    'on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.\n\n'
)
BODY = "The pump stops once the valve is shut, and starts again when the pressure is below two bar. " * 9


def document(suffix: str, text: str) -> Document:
    kind = FORMATS[suffix]
    parsed = kind.parse(text)
    return Document("1", parsed.text, f"a{suffix}", kind.name, kind.language, tuple(parsed.blocks), parsed.metadata)


def words(text: str, suffix: str = ".md") -> str:
    return "\n".join(block.text for block in without_notice(document(suffix, text)).blocks)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".md", f"# Pump\n\n{APACHE}{BODY}\n"),
        (".md", f"{APACHE}# Pump\n\n{BODY}\n"),
        (".md", f"Copyright (c) 2020 Sea Inc. All rights reserved.\n\n# Pump\n\n{BODY}\n"),
        (".txt", f"Copyright 2020 Sea Inc.\nLicensed under the MIT license.\n\n{BODY}\n"),
        (".html", f"<h1>Pump</h1><p>© 2020 Sea Inc. This page is licensed under CC-BY-4.0.</p><p>{BODY}</p>"),
        (".rst", f"Pump\n====\n\nSPDX-License-Identifier: MIT\n\n{BODY}\n"),
        (".txt", f"# Licensed to the Apache Software Foundation under one licence.\n\n{BODY}\n"),
    ],
)
def test_a_licence_at_the_head_of_a_page_is_no_content(suffix: str, text: str) -> None:
    left = words(text, suffix)
    assert BODY.strip() in left.replace("\n", " ")
    assert not any(word in left for word in ("icense", "icence", "Copyright", "©", "WARRANT"))


@pytest.mark.parametrize(
    "text",
    [
        f"# Licence\n\n{APACHE}{BODY}\n",  # a page on it
        APACHE,  # the licence itself
        f"# Pump\n\nA pump for ferries, licensed under the MIT license.\n\n{BODY}\n",  # says what it is
        f"# Pump\n\nCopyright 2020 Sea Inc. The valve has to be shut first.\n\n{BODY}\n",  # says more
        f"# Pump\n\n{BODY}\n\n{APACHE}",  # not at the head
        f"# Trucks\n\nLicensed to drive trucks are those with a class C card.\n\n{BODY}\n",
    ],
)
def test_what_says_more_than_a_licence_stays(text: str) -> None:
    one = document(".md", text)
    assert without_notice(one) is one


def test_what_is_left_keeps_its_lines_and_places() -> None:
    before = document(".md", f"# Pump\n\n{APACHE}{BODY}\n\n- one\n- two\n")
    after = without_notice(before)
    lines = {block.text: block.line_start for block in before.blocks}
    assert len(after.blocks) == len(before.blocks) - 3
    for block in after.blocks:
        assert block.text == after.text[block.start : block.end]
        assert block.line_start == lines[block.text] == after.text.count("\n", 0, block.start) + 1


def test_the_licence_that_is_cut_still_tells_whether_a_file_is_taken() -> None:
    one = document(".md", f"SPDX-License-Identifier: GPL-3.0-only\n\n{BODY}\n")
    read = ReadFile(SourceFile("a.md", "", 1), "ok", document=one)
    assert clean_file(read, Cleaning(licenses=("MIT",))).reason == "licence GPL-3.0-only"
    kept = clean_file(read, Cleaning(licenses=("GPL-*",))).document
    assert kept is not None
    assert [block.text for block in kept.blocks] == [BODY.strip()]
