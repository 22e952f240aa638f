"""Kotlin, Swift, Scala, Lua and Terraform: what only they have, and what grammars cannot read."""

import pytest

from ray_ft.data.formats import FORMATS
from ray_ft.data.formats.code import parse_code
from ray_ft.data.formats.code.respelled import CHANGES, respelled
from ray_ft.grammars import GRAMMARS
from ray_ft.recipes.chunking.functions import comments
from ray_ft.recipes.chunking.uses import place_of, uses_of
from ray_ft.rows import Document


def _found(language: str, text: str) -> list[tuple[str, str]]:
    return [(d.kind, d.name) for d in parse_code(text, language=language).definitions]


def test_kotlins_objects_constructors_and_properties_have_names() -> None:
    text = (
        "class A {\n  companion object {\n    fun of() = A()\n  }\n  constructor(x: Int) : this() {\n    y()\n  }\n"
        "  val size: Int\n    get() = 1\n  val plain = 2\n}\nobject B {\n  fun x() = 1\n}\n"
    )
    assert _found("kotlin", text) == [
        ("class", "A"),
        ("class", "A.Companion"),
        ("method", "A.Companion.of"),
        ("method", "A.constructor"),
        ("method", "A.size"),
        ("class", "B"),
        ("method", "B.x"),
    ]


@pytest.mark.parametrize(
    ("language", "text", "name"),
    [
        ("kotlin", "interface A { fun b() }\nclass C {\n  fun d() { e() }\n}\n", "C.d"),
        ("kotlin", 'class A\n@Inject\ninternal constructor(val b: Int) : B {\n  fun c() = "${b }"\n}\n', "A.c"),
        ("kotlin", "class A {\n  fun b(dynamic: Int) {\n    when (dynamic) {\n      1 -> c()\n    }\n  }\n}\n", "A.b"),
        ("kotlin", "@A(b = [])\nclass C {\n  fun d() = 1\n}\n", "C.d"),
        ("kotlin", "class A<\n    T : B,\n>(val c: T) {\n  fun d() = 1\n}\n", "A.d"),
        (
            "swift",
            "class A {\n  func b() {\n    switch c {\n    #if os(iOS)\n    case .d:\n      e()\n    #endif\n"
            "    default:\n      return\n    }\n  }\n  func f() { g() }\n}\n",
            "A.f",
        ),
    ],
)
def test_right_code_that_a_grammar_cannot_read_is_spelled_otherwise_in_its_place(
    language: str, text: str, name: str
) -> None:
    parsed = parse_code(text, language=language)
    assert "syntax" not in parsed.metadata
    one = next(d for d in parsed.definitions if d.name == name)
    assert text[one.head_start : one.end].lstrip().startswith(("fun ", "func "))  # the file's own words
    assert all(block.text == text[block.start : block.end] for block in parsed.blocks)


@pytest.mark.parametrize("package", CHANGES)
def test_another_spelling_takes_as_many_bytes_and_lines(package: str) -> None:
    text = b"class A\n@B(c)\nconstructor(d) { e }\n x dynamic ([]) <T,\n>\n  #if os(a)\n#endif\n  #elseif b\n@X\n"
    other = respelled(text, package)
    assert other != text
    assert [len(line) for line in other.split(b"\n")] == [len(line) for line in text.split(b"\n")]


def test_what_is_broken_costs_one_definition_and_not_the_file() -> None:
    for language, text, left in [
        ("kotlin", "fun a( {\n\n}\n\nfun b() {\n  c()\n}\n", "b"),
        ("swift", "func a( -> {\n\nfunc b() {\n  c()\n}\n", "b"),
        ("scala", "def a( = {\n\ndef b(): Int = {\n  c()\n}\n", "b"),
        ("lua", "function a(\n\nfunction b()\n  c()\nend\n", "b"),
        ("terraform", 'resource "a" {{\n\nresource "b" "c" {\n  d = 1\n}\n', "b.c"),
    ]:
        parsed = parse_code(text, language=language)
        assert parsed.metadata["syntax"] == "has errors"
        assert left in [d.name for d in parsed.definitions], language


def test_scalas_extensions_givens_and_packages_are_looked_into() -> None:
    text = (
        "package object q {\n  def z = 1\n}\ngiven A[Int] with\n  def b = 1\nextension (s: String)\n  def c = s\n"
        "trait D:\n  def e = 1\nenum F {\n  case G\n  def h = 1\n}\n"
    )
    names = ["q", "q.z", "b", "c", "D", "D.e", "F", "F.h"]
    assert [name for _, name in _found("scala", text)] == names


def test_lua_imports_are_what_is_required() -> None:
    text = 'local a = require("b")\nrequire "c.d"\nlocal e = require("f").g\nlocal function h() return e(a) end\n'
    parsed = parse_code(text, language="lua")
    document = Document("1", text, "a.lua", "lua", "lua", (), parsed.metadata, parsed.definitions)
    (h,) = parsed.definitions
    assert parsed.metadata["imports"] == 'local a = require("b")\nrequire "c.d"\nlocal e = require("f").g'
    assert uses_of(document)[place_of(h)].imports == ('local a = require("b")', 'local e = require("f").g')


def test_comments_of_each_language_are_told() -> None:
    assert comments("x = 1\n-- Why.\n", "lua") == ["Why."]
    assert comments("SELECT 1;\n-- Why.\n", "sql") == ["Why."]
    assert comments("# Why.\nx = 1\n", "terraform") == ["Why."]


def test_a_licence_at_the_head_is_no_content() -> None:
    licence = "Copyright 2020 Sea Inc. Licensed under the Apache License, Version 2.0."
    for language, mark, code in [
        ("kotlin", "// ", "fun a() {\n}\n"),
        ("swift", "// ", "func a() {\n}\n"),
        ("scala", "// ", "def a() = 1\n"),
        ("lua", "-- ", "function a() return 1 end\n"),
        ("terraform", "# ", 'variable "a" {\n}\n'),
    ]:
        parsed = parse_code(f"{mark}{licence}\n{code}", language=language)
        assert "Copyright" not in "".join(block.text for block in parsed.blocks), language
        assert parsed.definitions[0].docstring == "", language


def test_perl_stays_lines_since_its_grammar_never_ends_at_an_open_here_document() -> None:
    assert FORMATS[".pl"].parse('print <<"E";\nx\n=cut\n').definitions == ()
    assert "perl" not in GRAMMARS
