"""What a recipe is told about a definition."""

import random
import textwrap

from ray_ft.data.formats.code import parse_code
from ray_ft.recipes import CodeMetadata
from ray_ft.recipes.chunking.functions import comments, dedented, definition_spans, whole_chunks
from ray_ft.rows import Document

SOURCE = '''import os


def path_of(a, b):
    """Join them.

    More.
    """
    # Why: the disk is slow.
    return os.path.join(str(a), b)  # noqa: PTH118


class Store:
    """A store."""

    def get(self, key):
        return path_of(self, key)
'''
PARSED = parse_code(SOURCE, language="python")
DOCUMENT = Document("0:m.py", SOURCE, "m.py", "python", "python", (), PARSED.metadata, PARSED.definitions)


def test_a_definition_tells_its_imports_class_docstring_and_callers() -> None:
    spans = {s.metadata["name"]: s for s in definition_spans(DOCUMENT, DOCUMENT.definitions, with_context=True)}
    assert spans["path_of"].metadata["imports"] == "import os"
    assert spans["path_of"].metadata["docstring"] == "Join them.\n\nMore."
    assert spans["path_of"].metadata["callers"] == "Store.get"
    assert spans["Store.get"].metadata["enclosing"] == "class Store"
    assert spans["Store.get"].metadata["calls"] == "path_of"
    assert spans["Store.get"].heading_path == ("m.py", "Store.get")


def test_the_head_ends_with_the_docstring() -> None:
    head = next(definition_spans(DOCUMENT, DOCUMENT.definitions, head_only=True))
    assert SOURCE[head.start : head.end].endswith('More.\n    """')


def test_only_definitions_that_fit_become_chunks_and_these_are_counted() -> None:
    spans = list(definition_spans(DOCUMENT, DOCUMENT.definitions))
    fitting = whole_chunks(DOCUMENT, spans, recipe="r", max_tokens=100, count_tokens=len)
    # The first function is 155 characters long, the class 82 and its method 47.
    assert [(c.id, c.metadata["name"]) for c in fitting] == [("0:m.py#r-0", "Store"), ("0:m.py#r-1", "Store.get")]
    assert all(c.text == SOURCE[c.start : c.end] and c.num_tokens == len(c.text) for c in fitting)


def test_comments_are_words_for_readers() -> None:
    assert comments("x = 1\n# Why: the disk is slow.\n# noqa: F401\n#!/usr/bin/env\n#####\n", "python") == [
        "Why: the disk is slow.",
        "usr/bin/env",
    ]
    assert comments("int a;\n  // The buffer is shared.\n#include <stdio.h>\n/// Doc line.\n", "c") == [
        "The buffer is shared.",
        "Doc line.",
    ]


def test_all_that_is_known_of_a_function_asks_for_it() -> None:
    recipe = CodeMetadata()
    first = recipe.examples(recipe.chunk(DOCUMENT, len), None)[0]
    assert first.prompt.split("\n") == [
        "Write the function `path_of` of m.py.",
        "Imports: import os",
        "Signature: def path_of(a, b)",
        "Docstring:",
        "  Join them.",
        "",
        "  More.",
        "Used by: Store.get",
        "Comments: Why: the disk is slow.",
    ]


def test_code_is_dedented_as_the_standard_library_does() -> None:
    rng = random.Random(0)
    parts = ["\n", "\n    ", "\n  ", " ", "\t", "a", "b ", "\n\n", "\r", "\f", "\u2028", "    "]
    for _ in range(5000):
        code = "".join(rng.choices(parts, k=rng.randrange(9)))
        assert dedented(code) == textwrap.dedent(code)
