"""Definitions around and behind what does not parse."""

import pytest

from ray_ft.data.formats.code import parse_code
from ray_ft.data.formats.code.recover import MAX_BEGINNINGS

BROKEN = {
    "python": ("def broken(:\n    return (1\n\n", "class A:\n    def m(self):\n        return [1, 2\n\n\n",
               '@cached\ndef fine(x):\n    """Is fine."""\n    return x\n'),
    "javascript": ("function broken( {\n  if (x\n\n", "class A { m( { return 1; }\n\n",
                   "/** Is fine. */\nfunction fine(x) { return x; }\n"),
    "typescript": ("function broken(a: {\n  if (x\n\n", "",
                   "/** Is fine. */\nexport function fine(x: number) { return x; }\n"),
    "c": ("int broken(int a)\n{\n    if (a {\n        return 1;\n\n", "",
          "/* Is fine. */\nint fine(int x)\n{\n    return x;\n}\n"),
    "cpp": ("int broken(int a) {\n  if (a {\n    return 1;\n\n", "", "/// Is fine.\nint fine(int x) { return x; }\n"),
    "java": ("class A {\n    int broken() { if (x { return 1; }\n\n", "",
             "/** Is a class. */\nclass F {\n    /** Is fine. */\n    int fine(int x) { return x; }\n}\n"),
    "go": ("package a\n\nfunc broken(a int) int {\n\tif a > 1 {\n\t\treturn 1\n\n", "",
           "// Is fine.\nfunc fine(x int) int {\n\treturn x\n}\n"),
    "rust": ("fn broken(a: i32) {\n    if a {\n        (1\n\n", "",
             "/// Is fine.\nfn fine(x: i32) -> i32 {\n    x\n}\n"),
    "php": ("<?php\nfunction broken($a) {\n  if ($a {\n    return 1;\n\n", "",
            "/** Is fine. */\nfunction fine($x) { return $x; }\n"),
}  # fmt: skip


@pytest.mark.parametrize("language", BROKEN)
def test_a_definition_behind_a_syntax_error_is_found_whole(language: str) -> None:
    text = "".join(BROKEN[language])
    parsed = parse_code(text, language=language)
    assert parsed.metadata["syntax"] == "has errors"
    last = parsed.definitions[-1]
    assert (last.name.rpartition(".")[2], last.docstring) == ("fine", "Is fine.")
    fine = BROKEN[language][2]
    assert text[last.start : last.end].strip() in fine
    assert text[last.start : last.end].count("return") == fine.count("return")
    assert parsed.text.count("\n", 0, last.end) + 1 == last.line_end


def test_what_stands_before_the_error_stays() -> None:
    text = "def first():\n    return 1\n\n\ndef broken(:\n    return (1\n\n\ndef last():\n    return 2\n"
    names = [d.name for d in parse_code(text, language="python").definitions]
    assert (names[0], names[-1]) == ("first", "last")
    assert len(names) == len(set(names))


def test_small_errors_inside_a_function_cost_nothing() -> None:
    text = (
        "class A { m() { return ) }\n  /** N. */\n  n() { return 3; } }\nexports.z = function () { return 1; };\n}}\n"
    )
    names = [d.name for d in parse_code(text + "exports.w = () => 1;\n", language="javascript").definitions]
    assert names == ["A", "A.m", "A.n", "z", "w"]


def test_many_errors_end() -> None:
    text = "".join(f"int broken{i}(int a)\n{{\n  if (a {{\n\n" for i in range(4 * MAX_BEGINNINGS))
    parsed = parse_code(text, language="c")
    position = 0
    for block in parsed.blocks:
        assert block.text == text[block.start : block.end]
        assert position <= block.start
        position = block.end
