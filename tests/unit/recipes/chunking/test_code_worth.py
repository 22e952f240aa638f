"""Which definitions are asked for, and what of their file is told."""

import pytest

from ray_ft.data.formats.code import parse_code
from ray_ft.recipes import QA, CodeMetadata, CodeSummary
from ray_ft.recipes.chunking.code_worth import is_plain
from ray_ft.recipes.chunking.functions import dedented
from ray_ft.rows import Document, Example

PLAIN = [
    ("php", "<?php class A { function f() { return $this->callable; } }"),
    ("php", "<?php class A { function f() { return 0; } }"),
    ("php", "<?php class A { function f() { return []; } }"),
    ("ruby", "class A\n  def f(app)\n    @app = app\n  end\nend"),
    ("python", "class A:\n    def f(self, a, b):\n        self.a = a\n        self.b = b\n"),
    ("python", "class A:\n    def f(self):\n        raise NotImplementedError()\n"),
    ("java", "class A { int f() { return this.size; } }"),
    ("java", "class A { int f() { throw new UnsupportedOperationException(); } }"),
    ("rust", "impl A {\n    fn f(&mut self, yes: bool) -> &mut A {\n        self.a.yes = yes;\n        self\n    }\n}"),
    ("cpp", "class A { void f() { ++refs_; } };"),
    ("go", "func (a *A) f(c Ctx) {\n\ta.ctx = c\n}"),
    ("javascript", "class A { f() { return this.x.y; } }"), ("csharp", "class A { int F() { return size; } }"),
]  # fmt: skip
NOT_PLAIN = [
    ("php", "<?php class A { function f() { return $this->a + 1; } }"),
    ("ruby", "class A\n  def f\n    status == 200\n  end\nend"),
    ("python", "def f(x):\n    return g(x)\n"), ("java", "class A { int f() { return map.size(); } }"),
    ("rust", "fn f(d: D) -> f64 {\n    d.secs() * 2.0\n}"), ("cpp", "void f() { --refs_; assert(refs_ > 0); }"),
    ("go", "func f(n int) bool {\n\treturn n > 2\n}"), ("javascript", "function f(a) { return a.map(b); }"),
]  # fmt: skip


def _document(text: str, language: str, path: str = "a") -> Document:
    parsed = parse_code(text, language=language)
    return Document(f"0:{path}", text, path, language, language, parsed.blocks, parsed.metadata, parsed.definitions)


def _metadata(text: str, language: str) -> dict[str, str]:
    """The prompts of code_metadata, by the names of definitions."""
    recipe = CodeMetadata()
    made = recipe.examples(recipe.chunk(_document(text, language), len), None)
    return {e.prompt.split("`")[1]: e.prompt for e in made}


def _summaries(text: str, language: str) -> list[Example]:
    recipe = CodeSummary()
    return recipe.examples(recipe.chunk(_document(text, language), len), None)


@pytest.mark.parametrize(("language", "text"), PLAIN)
def test_a_body_that_only_gives_or_sets_a_field_is_plain(language: str, text: str) -> None:
    document = _document(text, language)
    assert is_plain(document, document.definitions[-1])


@pytest.mark.parametrize(("language", "text"), NOT_PLAIN)
def test_a_body_that_does_something_is_not_plain(language: str, text: str) -> None:
    document = _document(text, language)
    assert not is_plain(document, document.definitions[-1])


def test_getters_and_what_nothing_tells_of_are_not_asked_for() -> None:
    text = (
        "class Pump:\n    def hours(self):\n        return self._hours\n\n    def left(self):\n"
        "        return 9 - self.hours()\n\n    def op(self):\n        return op('=')\n\n"
        "    def wait(self):\n        '''Wait until all pumps of the hall stand still.'''\n        return stop(9)\n\n"
        "    def drain(self, halls, limit):\n        for hall in halls:\n            if hall.level > limit:\n"
        "                hall.open(self.left(), limit)\n        return self.wait()\n\n"
        "    def alone(self, a, b):\n        c = fill(a, b)\n        d = fill(b, c)\n        return fill(c, d)\n"
    )
    assert set(_metadata(text, "python")) == {"Pump.wait", "Pump.drain"}


def test_a_function_of_one_line_is_asked_for_where_much_is_told_of_it() -> None:
    text = (
        "/** Stops the pump. */\nfunction stop(p) { return halt(p); }\n\n"
        "/** Lets water of the upper hall into the canal. */\nfunction drain(p) { return halt(p); }\n\n"
        "/** Turns all valves by one. */\nfunction turn(p) { return p.valves.map(v => v.turn(v.angle + 1)); }\n"
    )
    assert set(_metadata(text, "javascript")) == {"drain", "turn"}
    assert [e.prompt.split("`")[1] for e in _summaries(text, "javascript")] == ["drain", "turn"]


def test_a_test_is_asked_for_where_its_name_or_its_words_tell_of_it() -> None:
    code = "    a = b()\n    c = a.d(1)\n    assert a\n    assert c\n\n\n"
    text = (
        f"def b():\n    return run(1)\n\n\ndef test_commit():\n{code}def test_commit_in_a_block():\n{code}"
        f"def test_of_what_nothing_tells():\n{code.replace('b()', 'c()')}"
        "def test_rollback_in_a_block():\n    assert b()\n\n\n"
        f"def setup_module():\n{code}"
        f"def test_other():\n    '''A commit in a block holds until its end comes.'''\n{code}"
    )
    assert set(_metadata(text, "python")) == {"test_commit_in_a_block", "test_other"}


def test_a_module_that_only_holds_classes_is_no_code_of_its_own() -> None:
    text = (
        "module Rack\n  class Head\n    def call(env)\n      x = app(env)\n      y = x.body(env, 1)\n"
        "      y.write(name)\n    end\n\n    def name\n      call(1)\n    end\n  end\n\n"
        "  class Tail\n    def call(env)\n      Head.new(env)\n    end\n  end\nend\n"
    )
    assert set(_metadata(text, "ruby")) == {"Rack.Head", "Rack.Head.call"}


def test_a_class_of_one_line_is_asked_for_where_it_is_described() -> None:
    text = "class A(B):\n    name = 'a'\n\n\nclass C(B):\n    'Opens the big valve.'\n\n    name = 'c'\n"
    assert set(_metadata(text, "python")) == {"C"}


def test_the_comment_above_is_told_once() -> None:
    prompt = _metadata("// Opens big valves.\nfunc open(v V) {\n\t// Slowly.\n\tv.n = 1\n\tv.turn()\n}\n", "go")["open"]
    assert prompt.split("\n")[2:] == ["Docstring: Opens big valves.", "Comments: Slowly."]


def test_a_method_is_used_where_it_is_called_not_where_a_variable_has_its_name() -> None:
    text = (
        "class It {\n  // Cuts what is left.\n  Slice key() const {\n    n = 1;\n    return cut(rep_);\n  }\n"
        "  // Looks.\n  bool ok() const { return key().size() > 0; }\n};\n"
        "int put(Slice key) { return store(key); }\nclass Other {\n"
        "  // Counts.\n  int key() {\n    n = 1;\n    return ok() + 1;\n  }\n};\n"
        "class Third {\n  // Opens valves.\n  int turn() {\n    n = 1;\n    return n + 2;\n  }\n};\n"
        "int run(Third* t) {\n  return t->turn();\n}\nint go(Fourth* f) {\n  return f->turn();\n}\n"
    )
    prompts = _metadata(text, "cpp")
    assert "Used by: It.ok" in prompts["It.key"]
    assert "put" not in prompts["It.key"]
    assert "It.ok" not in prompts["Other.key"]  # two classes have such a method
    assert "Used by: run\n" in prompts["Third.turn"] + "\n"  # `go` speaks of no Third
    assert "Uses" not in prompts["It"]  # its members are no others


def test_imports_are_told_once_and_self_is_none() -> None:
    text = (
        "use std::io::{self, Write};\nuse a::B;\nmod t {\n    use a::B;\n}\n"
        "/// Makes it.\nfn f(self) -> B {\n    let x = B::new(self);\n    x\n}\n"
    )
    assert "Imports: use a::B;\n" in _metadata(text, "rust")["f"]


def test_a_class_is_told_without_its_annotations() -> None:
    text = (
        '@Gwt(emulated = true)\n@Suppress("raw (types)")\npublic final class Pump {\n'
        "  /** Opens valves of the hall. */\n  int f(int a) {\n    int b = g(a);\n    return g(b);\n  }\n}\n"
    )
    assert "Enclosing class: public final class Pump\n" in _metadata(text, "java")["Pump.f"]


def test_a_definition_is_called_what_its_language_calls_it() -> None:
    assert "Write the struct `Pump`" in _metadata("// Moves water.\nstruct Pump { int a; int b; };", "cpp")["Pump"]
    go = _metadata("// Pump moves water from hall to hall.\ntype Pump struct {\n\ta int\n\tb int\n}\n", "go")
    assert "Write the struct `Pump`" in go["Pump"]
    swift = _metadata("/// Moves water from hall to hall.\nprotocol Pump { func run() }\n", "swift")
    assert "Write the protocol `Pump`" in swift["Pump"]
    recipe = QA()
    document = _document("/** Moves water from one hall to the next. */\ninterface Pump { }", "java", "P.java")
    assert [e.prompt for e in recipe.examples(recipe.chunk(document, len), None)] == [
        "What is the interface `Pump` in P.java?"
    ]


def test_overloads_that_are_told_alike_are_asked_for_once_and_short_summaries_not_at_all() -> None:
    text = (
        "class A {\n/** Returns a sorted map of the entries of a table. */\nM of(K a) { return m(a); }\n"
        "/** Returns a sorted map of the entries of a table. */\nM of(K a, K b) { return m(a, b); }\n"
        "/** Opens it. */\nM open(K a) { return m(a); }\n}"
    )
    assert [e.completion.split("\n")[1] for e in _summaries(text, "java")] == ["M of(K a) { return m(a); }"]


def test_code_with_directives_at_the_margin_is_dedented() -> None:
    assert dedented("  void f() {\n#if A\n    g();\n#endif\n  }") == "void f() {\n#if A\n  g();\n#endif\n}"
