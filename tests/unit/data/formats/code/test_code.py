"""Source code: what is found in each language, with exact places, and in damaged text too."""

import random

import pytest

from ray_ft.data.formats import FORMATS
from ray_ft.data.formats.code import parse_code
from ray_ft.grammars import GRAMMARS
from ray_ft.recipes.chunking.uses import place_of, uses_of
from ray_ft.rows import Definition, Document

# language: (source, (kind, name, signature, docstring) of each definition)
SAMPLES: dict[str, tuple[str, list[tuple[str, str, str, str]]]] = {
    "python": (
        "import os\n\nclass Ferry(Base):\n    '''Carries cars.'''\n\n    @cache\n"
        "    def board(\n        self,\n    ):\n"
        "        r'''Board.\n\n        Once.'''\n        return os.sep\n",
        [
            ("class", "Ferry", "class Ferry(Base)", "Carries cars."),
            ("method", "Ferry.board", "def board(self)", "Board.\n\nOnce."),
        ],
    ),
    "javascript": (
        "import a from 'b';\n/** Adds. */\nexport const add = (x, y) => { return a(x + y); };\n"
        "class Ferry { static board(car) { return car; } }\nconst n = 1;\n",
        [
            ("function", "add", "export const add = (x, y)", "Adds."),
            ("class", "Ferry", "class Ferry", ""),
            ("method", "Ferry.board", "static board(car)", ""),
        ],
    ),
    "typescript": (
        "// A ferry.\nexport class Ferry<T> extends Base {\n  board(car: T): void { this.n += 1; }\n}\n"
        "interface Car { wheels: number }\n",
        [
            ("class", "Ferry", "export class Ferry<T> extends Base", "A ferry."),
            ("method", "Ferry.board", "board(car: T): void", ""),
            ("class", "Car", "interface Car", ""),
        ],
    ),
    "tsx": (
        "export function Ferry(p: P) { return <b>{p.name}</b>; }\n",
        [("function", "Ferry", "export function Ferry(p: P)", "")],
    ),
    "java": (
        "import java.util.List;\n\n/**\n * A ferry.\n */\npublic class Ferry extends Ship {\n"
        "  /** Boards one. */\n  int board(List<Car> cars) { return 1; }\n  abstract void sink();\n}\n",
        [
            ("class", "Ferry", "public class Ferry extends Ship", "A ferry."),
            ("method", "Ferry.board", "int board(List<Car> cars)", "Boards one."),
        ],
    ),
    "go": (
        'package a\n\nimport (\n\t"fmt"\n)\n\n// Ferry carries.\ntype Ferry struct { n int }\n\n'
        "// Board boards.\nfunc (f *Ferry) Board(n int) string { return fmt.Sprint(n) }\n",
        [
            ("class", "Ferry", "type Ferry", "Ferry carries."),
            ("method", "Ferry.Board", "func (f *Ferry) Board(n int) string", "Board boards."),
        ],
    ),
    "c": (
        "#include <stdio.h>\n\n/* Boards\n * one. */\nstatic int *board(struct car *c)\n{\n    return 0;\n}\n"
        "typedef struct { int n; } ferry;\nint later(void);\n",
        [
            ("function", "board", "static int *board(struct car *c)", "Boards\none."),
            ("class", "ferry", "typedef struct", ""),
        ],
    ),
    "cpp": (
        "namespace sea {\n/// A ferry.\ntemplate <class T>\nclass Ferry : public Ship {\n"
        "  int board() const { return 1; }\n};\nint Ferry::sink() { return 2; }\n}\n",
        [
            ("class", "Ferry", "template <class T> class Ferry : public Ship", "A ferry."),
            ("method", "Ferry.board", "int board() const", ""),
            ("method", "Ferry.sink", "int Ferry::sink()", ""),
        ],
    ),
    "csharp": (
        "using System;\nnamespace Sea {\n  /// <summary>A ferry.</summary>\n  public class Ferry : Ship {\n"
        "    public int Board(int n) => n + 1;\n  }\n}\n",
        [
            ("class", "Ferry", "public class Ferry : Ship", "A ferry."),
            ("method", "Ferry.Board", "public int Board(int n)", ""),
        ],
    ),
    "rust": (
        "use std::io::Read;\n\n/// A ferry.\n#[derive(Debug)]\npub struct Ferry { n: u8 }\n\n"
        "impl<T> Ship for Ferry {\n    fn board(&self, r: Read) -> u8 { self.n }\n}\n",
        [
            ("class", "Ferry", "pub struct Ferry", "A ferry."),
            ("method", "Ferry.board", "fn board(&self, r: Read) -> u8", ""),
        ],
    ),
    "ruby": (
        "module Sea\n  # A ferry.\n  class Ferry < Ship\n    def board(car)\n      car\n    end\n  end\nend\n",
        [
            ("class", "Sea", "module Sea", ""),
            ("class", "Sea.Ferry", "class Ferry < Ship", "A ferry."),
            ("method", "Sea.Ferry.board", "def board(car)", ""),
        ],
    ),
    "php": (
        "<?php\nuse A\\B;\n/** Boards. */\nfunction board($car) { return B::of($car); }\n",
        [("function", "board", "function board($car)", "Boards.")],
    ),
    "kotlin": (
        "import a.b\n\n/** A ferry. */\nclass Ferry(val n: Int) : Ship() {\n"
        "    // Boards.\n    override fun board(car: Car): Int = b(car)\n}\n\nfun <T> List<T>.sink() {\n}\n",
        [
            ("class", "Ferry", "class Ferry(val n: Int) : Ship()", "A ferry."),
            ("method", "Ferry.board", "override fun board(car: Car): Int", "Boards."),
            ("method", "List.sink", "fun <T> List<T>.sink()", ""),
        ],
    ),
    "swift": (
        "import Foundation\n\n/// A ferry.\npublic struct Ferry: Ship {\n  /** Cars. */\n"
        "  var size: Int { cars.count }\n  init(cars: [Car]) { self.cars = cars }\n}\n"
        "extension Ferry<Car> {\n  func board() -> Int { 1 }\n}\n",
        [
            ("class", "Ferry", "public struct Ferry: Ship", "A ferry."),
            ("method", "Ferry.size", "var size: Int", "Cars."),
            ("method", "Ferry.init", "init(cars: [Car])", ""),
            ("class", "Ferry", "extension Ferry<Car>", ""),
            ("method", "Ferry.board", "func board() -> Int", ""),
        ],
    ),
    "scala": (
        "package sea\n\nimport a.b\n\n/** A ferry. */\nclass Ferry(n: Int) extends Ship {\n"
        "  /** Boards. */\n  def board(car: Car): Int = b(car)\n  def later: Int\n}\n\ncase class Car(wheels: Int)\n\n"
        "def sink(x: Int) =\n  x + 1\n",
        [
            ("class", "Ferry", "class Ferry(n: Int) extends Ship", "A ferry."),
            ("method", "Ferry.board", "def board(car: Car): Int", "Boards."),
            ("class", "Car", "case class Car(wheels: Int)", ""),
            ("function", "sink", "def sink(x: Int)", ""),
        ],
    ),
    "lua": (
        'local b = require("a.b")\n\n--- Boards.\n-- Once.\nfunction Ferry:board(car)\n  return b(car)\nend\n\n'
        "--[[ Sinks. ]]\nlocal sink = function(x) return x end\nlocal M = { run = function() sink() end }\n",
        [
            ("method", "Ferry.board", "function Ferry:board(car)", "Boards.\nOnce."),
            ("function", "sink", "local sink = function(x)", "Sinks."),
            ("method", "M.run", "run = function()", ""),
        ],
    ),
    "terraform": (
        '# The network.\nresource "aws_vpc" "main" {\n  cidr = var.cidr\n}\n\nvariable "cidr" {\n'
        '  description = "Range of \\"addresses\\"."\n}\n\ndata "aws_ami" "sea" { owners = ["self"] }\n'
        'module "sea" {\n  source = "./sea"\n}\noutput "id" {\n  description = <<-EOT\n    Its name.\n  EOT\n'
        "  value = aws_vpc.main.id\n}\n",
        [
            ("resource", "aws_vpc.main", 'resource "aws_vpc" "main"', "The network."),
            ("variable", "var.cidr", 'variable "cidr"', 'Range of "addresses".'),
            ("data source", "data.aws_ami.sea", 'data "aws_ami" "sea"', ""),
            ("module", "module.sea", 'module "sea"', ""),
            ("output", "output.id", 'output "id"', "Its name."),
        ],
    ),
    "bash": ("# Boards.\nboard() { echo $1; }\n", [("function", "board", "board()", "Boards.")]),
}


def _definitions(language: str, text: str | None = None) -> tuple[Definition, ...]:
    return parse_code(SAMPLES[language][0] if text is None else text, language=language).definitions


def test_every_grammar_has_a_sample_and_a_format() -> None:
    assert len(GRAMMARS) >= 12
    assert set(GRAMMARS) == set(SAMPLES) == {f.language for f in FORMATS.values() if f.name in GRAMMARS}


@pytest.mark.parametrize("language", SAMPLES)
def test_definitions_are_found_with_header_and_documentation(language: str) -> None:
    found = [(d.kind, d.name, d.signature, d.docstring) for d in _definitions(language)]
    assert found == SAMPLES[language][1]


def test_a_definition_knows_its_class_its_imports_and_what_it_calls() -> None:
    text = (
        "import os, sys\nfrom a.b import (c as d)\n\nclass K:\n    def f(self):\n        return os.sep + g()\n\n"
        "def g():\n    return d\n"
    )
    parsed = parse_code(text, language="python")
    uses = uses_of(Document("1", text, "a.py", "python", "python", (), parsed.metadata, parsed.definitions))
    f, g = (d for d in parsed.definitions if d.kind != "class")
    assert (f.enclosing, *uses[place_of(f)]) == ("class K", ("import os, sys",), ("g",))
    assert (g.enclosing, *uses[place_of(g)]) == ("", ("from a.b import (c as d)",), ())


def test_the_words_of_the_comment_above_are_no_use_of_a_name() -> None:
    text = "#include <sea.h>\n\nint g(void) { return 1; }\n\n/* Unlike g. */\nint f(void) { return 2; }\n"
    parsed = parse_code(text, language="c")
    uses = uses_of(Document("1", text, "a.c", "c", "c", (), parsed.metadata, parsed.definitions))
    assert [uses[place_of(d)].calls for d in parsed.definitions] == [(), ()]


def test_what_stands_inside_functions_and_what_has_no_body_is_no_definition_of_its_own() -> None:
    assert [d.name for d in _definitions("python", "def f():\n    def g():\n        return 1\n")] == ["f"]
    assert _definitions("c", "struct s;\nint f(void);\n") == ()


@pytest.mark.parametrize(
    ("text", "trivial"),
    [
        ("def f(): ...\n", True),
        ("def f():\n    'Doc.'\n    pass\n", True),
        ("def f():\n    'Doc.'\n    return 1\n", False),
    ],
)
def test_a_body_of_nothing_is_trivial(text: str, trivial: bool) -> None:
    assert [d.is_trivial for d in _definitions("python", text)] == [trivial]


def test_documentation_that_is_no_string_is_none() -> None:
    assert [d.docstring for d in _definitions("python", "def f():\n    f'{x}'\ndef g():\n    b'x'\n")] == ["", ""]


def test_places_count_characters_and_lines_not_bytes() -> None:
    text = "# é\n\n\n@d\ndef f():\n    return 'ü'\n"
    (f,) = _definitions("python", text)
    assert text[f.start : f.end] == "@d\ndef f():\n    return 'ü'"
    assert (text[f.body_start :], f.line_start, f.line_end) == ("return 'ü'\n", 4, 6)


@pytest.mark.parametrize("language", SAMPLES)
def test_spans_hold_in_damaged_text(language: str) -> None:
    rng = random.Random(0)
    sample = SAMPLES[language][0]
    for _ in range(60):
        text = list(sample)
        for _ in range(rng.randrange(0, 10)):
            i = rng.randrange(len(text))
            text[i] = rng.choice(["", "\n", "é", "'", "}", "\t", "{", "(", text[i] * 3, "\u2028"])
        parsed = parse_code("".join(text), language=language)
        position = 0
        for block in parsed.blocks:
            assert block.text == parsed.text[block.start : block.end]
            assert position <= block.start < block.end
            position = block.end
        for d in parsed.definitions:
            assert 0 <= d.start <= d.body_start <= d.end <= len(parsed.text)
            assert parsed.text.count("\n", 0, d.end) + 1 <= d.line_end


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "php",
            "<?php\n// A call is cheaper than an operator.\n/**\n * Opens it.\n */\nfunction f() { return g(); }\n",
        ),
        ("rust", "/// Opens it.\n#[allow(dead_code)] // unused on some systems\nfn f() { g() }\n"),
        ("java", "class A {\n  /** Opens it. */\n  // Guarded by this\n  int f() { return g(); }\n}\n"),
        ("cpp", "///////////////////\n// Opens it.\n///////////////////\nint f() { return g(); }\n"),
    ],
)
def test_a_remark_beside_documentation_is_none(language: str, text: str) -> None:
    assert parse_code(text, language=language).definitions[-1].docstring.strip() == "Opens it."


def test_closing_brackets_at_the_end_of_a_line_belong_to_an_example() -> None:
    ruby = parse_code('# Answers:\n#\n#   [200, {}, ["OK"]]\ndef f\n  g(1)\nend\n', language="ruby").definitions[0]
    assert ruby.docstring == 'Answers:\n\n[200, {}, ["OK"]]'
    ruby = parse_code(
        "# Takes what is accepted, e.g. a/*\n# or */*/\n#\ndef f\n  g(1)\nend\n", language="ruby"
    ).definitions[0]
    assert ruby.docstring == "Takes what is accepted, e.g. a/*\nor */*/"
    lua = parse_code("--[==[ Adds x[y[1]]\nto all. ]==]\nfunction f(x) return g(x) end\n", language="lua").definitions[
        0
    ]
    assert lua.docstring == "Adds x[y[1]]\nto all."
