"""Licences at the head of source files: no content, while what says something of the file stays."""

import pytest

from ray_ft.data.formats import FORMATS

APACHE = (
    "Copyright 2020 The Pumps.\n\nLicensed under the Apache License, Version 2.0 (the \"License\");\n"
    "you may not use this file except in compliance with the License.\n\n"
    "Unless required by applicable law or agreed to in writing, software\n"
    "distributed under the License is distributed on an \"AS IS\" BASIS.\n"
)  # fmt: skip


def marked(words: str, mark: str) -> str:
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in words.splitlines())


@pytest.mark.parametrize(
    ("suffix", "head", "rest"),
    [
        (".py", "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n" + marked(APACHE, "#"), '"""Doc."""\nimport os\n'),
        (".java", "/*\n" + marked(APACHE, " *") + " */\n", "package a;\nclass A { int a() { return 1; } }\n"),
        (".go", marked(APACHE, "//") + "\n", "// Package a pumps.\npackage a\n"),
        (".js", "/*! @license MIT Copyright (c) A */\n", "/** Reads. */\nfunction f() { return 1; }\n"),
        (".c", "/* SPDX-License-Identifier: GPL-2.0 */\n/*\n * Copyright A\n */\n",
         "#include <a.h>\nint f(void) { return 1; }\n"),
        (".sql", marked(APACHE, "--") + "\n", "select 1;\n"),
        (".yaml", marked(APACHE, "#") + "\n", "a: 1\n"),
        (".rb", "# frozen_string_literal: true\n\n# Copyright (c) A. All rights reserved.\n\n",
         "# Adds.\ndef f\n  1\nend\n"),
        (".cs", "// Copyright (c) A. Licensed under the MIT license.\n\n",
         "/// <summary>One.</summary>\nclass A { }\n"),
    ],
)  # fmt: skip
def test_a_licence_is_in_no_block(suffix: str, head: str, rest: str) -> None:
    parsed = FORMATS[suffix].parse(head + rest)
    shown = "\n".join(block.text for block in parsed.blocks)
    assert not any(word in shown for word in ("opyright", "icense", "AS IS"))
    assert rest.strip().split("\n")[0] in shown
    for block in parsed.blocks:
        assert block.text == parsed.text[block.start : block.end]
        assert parsed.text.count("\n", 0, block.start) + 1 == block.line_start


def test_what_a_comment_says_of_the_file_stays() -> None:
    text = (
        "/*\n * pump.c - drives the pump of the hall\n *\n * Copyright (c) 2020 A. All rights reserved.\n *\n"
        " * The pump turns left.\n */\nint f(void) { return 1; }\n"
    )
    shown = "\n".join(block.text for block in FORMATS[".c"].parse(text).blocks)
    assert "drives the pump" in shown
    assert "turns left" in shown
    assert "Copyright" not in shown


def test_a_licence_right_above_a_definition_is_not_its_documentation() -> None:
    (found,) = FORMATS[".cs"].parse("// Copyright (c) A\nclass A { }\n").definitions
    assert (found.docstring, found.line_start) == ("", 2)


@pytest.mark.parametrize(
    "text",
    [
        "# Checks the licence of a pump.\nx = 1\n",
        "# The pump.\n\nNOTE = 'Copyright'\n",
        "import os\n# Copyright of the pictures is asked for here.\nx = 1\n",
    ],
)
def test_words_of_licences_elsewhere_stay(text: str) -> None:
    shown = "\n".join(block.text for block in FORMATS[".py"].parse(text).blocks)
    assert all(line in shown for line in text.split("\n"))
