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


def test_of_a_long_import_only_the_names_that_are_used_are_told() -> None:
    names = ", ".join(f"Name{i:02}" for i in range(30))
    text = (
        f"from a.models import ({names})\n\n\ndef f(x, y):\n    'Joins two of them.'\n    return Name07(x, Name21(y))\n"
    )
    parsed = parse_code(text, language="python")
    document = Document("0:m.py", text, "m.py", "python", "python", (), parsed.metadata, parsed.definitions)
    (span,) = definition_spans(document, parsed.definitions, with_context=True)
    assert span.metadata["imports"] == "from a.models import (Name07, Name21)"
    code = f"import {{ {names} }} from './models'\nfunction f(x) {{ return Name07(Name21(x)) }}\n"
    parsed = parse_code(code, language="javascript")
    document = Document("0:m.js", code, "m.js", "javascript", "javascript", (), parsed.metadata, parsed.definitions)
    (span,) = definition_spans(document, parsed.definitions, with_context=True)
    assert span.metadata["imports"] == "import { Name07, Name21 } from './models'"


def test_comments_within_a_docstring_are_no_comments_and_a_letter_of_it_is_no_use() -> None:
    text = "def f(x):\n    '''Day, i.e. 1.\n\n    # call it\n    '''\n    return g(x)\n\n\ndef e():\n    return 1\n"
    parsed = parse_code(text, language="python")
    document = Document("0:m.py", text, "m.py", "python", "python", (), parsed.metadata, parsed.definitions)
    span = next(definition_spans(document, parsed.definitions, with_context=True))
    assert "comments" not in span.metadata
    assert "calls" not in span.metadata
