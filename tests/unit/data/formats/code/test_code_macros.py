"""Macros of C++ that no grammar knows, and what stands around definitions."""

import pytest

from ray_ft.data.formats.code import parse_code
from ray_ft.data.formats.code.macros import without_macros


def _found(text: str, language: str = "cpp") -> list[tuple[str, str, str]]:
    return [(d.kind, d.name, d.signature) for d in parse_code(text, language=language).definitions]


def test_a_macro_before_its_name_does_not_make_a_class_a_function() -> None:
    text = "class LEVELDB_EXPORT Logger : public Base {\n public:\n  int size() const { return n_ + 1; }\n};\n"
    assert _found(text) == [
        ("class", "Logger", "class LEVELDB_EXPORT Logger : public Base"),
        ("method", "Logger.size", "int size() const"),
    ]


def test_a_macro_behind_the_brackets_is_not_the_name() -> None:
    text = (
        "class A {\n  void set(bool x) LOCKS_EXCLUDED(mutex_) {\n    x_ = x;\n  }\n"
        "  int get() const\n      EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return x_; }\n};\n"
    )
    assert [name for _, name, _ in _found(text)] == ["A", "A.set", "A.get"]


def test_tests_are_called_by_their_suite_and_name() -> None:
    text = "TEST_F(Harness, Empty) {\n  Run(1);\n}\n\nTEST(Coding, Varint32) {\n  Run(2);\n}\n"
    assert [name for _, name, _ in _found(text)] == ["Harness.Empty", "Coding.Varint32"]


@pytest.mark.parametrize(
    "text",
    ["struct Pump p = {1};", "class A : B {};", "int f(int a) { return A_B(a); }", "FOO(x)\n\nTEST_F(A, B) { }"],
)
def test_other_code_stays(text: str) -> None:
    assert without_macros(text.encode()) == text.encode()


def test_blanks_have_the_length_of_what_they_stand_for() -> None:
    text = b"class A_B(x) C {\n  void f()\n      C_D(x,\n y) {}\n};"
    blank = without_macros(text)
    assert len(blank) == len(text)
    assert blank.count(b"\n") == text.count(b"\n")
    assert b"A_B" not in blank
    assert b"C_D" not in blank


def test_a_class_of_cpp_ends_with_its_semicolon() -> None:
    text = "class A {\n  int a;\n};\n"
    (found,) = parse_code(text, language="cpp").definitions
    assert text[found.start : found.end] == "class A {\n  int a;\n};"


def test_a_comment_on_the_line_of_another_is_not_what_follows() -> None:
    text = (
        "class Key {\n public:\n  Key() {}  // Left empty, to tell\n            // that it is invalid\n"
        "  Key(int a) { set(a); }\n  // Frees it.\n  ~Key() { go(); }\n};\n"
    )
    assert [d.docstring for d in parse_code(text, language="cpp").definitions[1:]] == ["", "", "Frees it."]
    text = "class A { // of all\n  int f() { return g() + 1; }\n}\n"
    assert parse_code(text, language="java").definitions[1].docstring == ""


def test_documentation_of_javascript_may_have_a_blank_line_below() -> None:
    text = "/**\n * Sends it.\n */\n\nres.send = function (a) { go(a) }\n\n/* A part. */\n\nfunction g() { go() }\n"
    assert [d.docstring for d in parse_code(text, language="javascript").definitions] == ["Sends it.", ""]


def test_a_signature_has_no_comments_and_all_its_brackets() -> None:
    java = '@Doc("http://x") // serial\nclass A {\n  @B // no\n  int f(int a /* b */) { return g(a); }\n}\n'
    assert [s for _, _, s in _found(java, "java")] == ['@Doc("http://x") class A', "@B int f(int a)"]
    assert _found("class H < Hash # :nodoc\n  def ok?; a == 2; end\nend", "ruby") == [
        ("class", "H", "class H < Hash"), ("method", "H.ok?", "def ok?"),
    ]  # fmt: skip
    assert _found("defineGetter(req, 'ips', function ips() { return a(1); });", "javascript") == [
        ("method", "req.ips", "defineGetter(req, 'ips', function ips())")
    ]


def test_what_has_no_name_is_no_definition() -> None:
    assert _found("class A {\n  enum { kMax = 12 };\n  int f() { return g(1); }\n};")[1:] == [
        ("method", "A.f", "int f()")
    ]
