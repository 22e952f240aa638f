"""Headers with the suffix .h: C or C++, by what stands in them."""

import pytest

from ray_ft.data.documents import SourceFile
from ray_ft.data.formats import FORMATS, format_by_text
from ray_ft.data.formats.code.dialect import is_cpp
from ray_ft.data.ingest.reading import read_file

CPP = [
    "class A;\n",
    "class A final : public B {\n};\n",
    "class EXPORT Widget\n{\npublic:\n};\n",
    "enum class E { A };\n",
    "namespace a {\n}\n",
    "namespace a::b\n{\n}\n",
    "#include <string>\nint f(void);\n",
    "template <class T>\nT f(T a);\n",
    "struct A {\n  A();\n  virtual ~A();\n};\n",
    "struct A {\n public:\n  int a;\n};\n",
    "struct A { int x() const; };\n",
    "struct A { bool operator==(A b); };\n",
    "struct A { A(int a) noexcept; A() = default; };\n",
    "int f(const A& a);\n",
    "typedef std::vector V;\n",
    "using T = int;\n",
    "inline int *p(void) { return static_cast<int *>(0); }\n",
    "#ifdef __cplusplus\n#include <x.h>\n#endif\nnamespace a {\n}\n",
]
C = [
    "int f(void);\n",
    "#include <stdio.h>\n#include <sys/types.h>\nint f(const char *a);\n",
    "/* class of a device: x */\nint a;\n",
    "/*\n class A;\n namespace b {\n*/\nint a;\n",
    "// namespace a {\nint a;\n",
    "struct class { int a; };\n",
    "struct s {\n  int class;\n  int new;\n};\n",
    '#define A "std::x"\nint a;\n',
    '#ifdef __cplusplus\nextern "C" {\n#endif\nint f(int a);\n#ifdef __cplusplus\n}\n#endif\n',
    "#if defined(__cplusplus)\n# if A\nclass B;\n# endif\n#else\ntypedef struct B B;\n#endif\n",
    "static inline int f(int a, int b) { return a & b; }\n",
    '#ifdef __cplusplus\nextern "C" {\n#endif\n\nclass (a);\nusing namespace;\n\n#ifdef __cplusplus\n}\n#endif\n',
]


@pytest.mark.parametrize("text", CPP)
def test_what_only_cpp_has_tells_cpp(text: str) -> None:
    assert is_cpp(text)
    assert format_by_text(FORMATS[".h"], "a/pump.h", text) == FORMATS[".hpp"]


@pytest.mark.parametrize("text", C)
def test_all_else_is_c(text: str) -> None:
    assert not is_cpp(text)
    assert format_by_text(FORMATS[".h"], "a/pump.h", text) is FORMATS[".h"]
    assert format_by_text(FORMATS[".c"], "a/pump.c", CPP[0]) is FORMATS[".c"]


def test_a_header_of_cpp_gives_its_classes_and_whole_functions(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "pump.h"
    path.write_text(
        "#pragma once\n#include <string>\n\nnamespace hall {\n\n/// A pump.\ntemplate <typename T>\n"
        "class Pump final : public Machine<T> {\n public:\n  /// Starts it.\n  bool Start(int seconds) override {\n"
        "    return seconds > 0;\n  }\n  /// Its name.\n  const std::string& name() const noexcept { return name_; }\n"
        "  Pump& operator+=(const Pump& other) { n += other.n; return *this; }\n};\n\n"
        "/// Sums the hours.\ninline int SumHours(const std::vector<int>& hours) {\n  int sum = 0;\n"
        "  for (auto h : hours) sum += h;\n  return sum;\n}\n\n}  // namespace hall\n"
    )
    document = read_file(SourceFile("pump.h", str(path), 1)).document
    assert document is not None
    assert (document.language, document.format) == ("cpp", "cpp")
    assert [(d.kind, d.name, d.docstring) for d in document.definitions] == [
        ("class", "Pump", "A pump."),
        ("method", "Pump.Start", "Starts it."),
        ("method", "Pump.name", "Its name."),
        ("method", "Pump.operator+=", ""),
        ("function", "SumHours", "Sums the hours."),
    ]
    last = document.definitions[-1]
    assert document.text[last.start : last.end].endswith("  return sum;\n}")
    assert document.text[last.start : last.end].count("}") == 1


OPENED = '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
CLOSED = '#if defined(__cplusplus)\n} // extern "C"\n#else\nint last(void) { return 2; }\n#endif\n'
GUARDED = (
    f"/* Größe */\n{OPENED}/* Opens. */\nstatic int open_it(int a)\n{{\n  return a;\n}}\n\n"
    f"struct pump {{ int hours; }};\n\n{CLOSED}"
)


def test_what_c_keeps_for_cpp_is_no_error_and_stays_in_the_text() -> None:
    parse = FORMATS[".h"].parse
    parsed = parse(GUARDED)
    assert "syntax" not in parsed.metadata
    assert [(d.name, d.docstring, d.line_start) for d in parsed.definitions] == [
        ("open_it", "Opens.", 6), ("pump", "", 12), ("last", "", 17),
    ]  # fmt: skip
    assert [parsed.text[d.start : d.end].splitlines()[-1] for d in parsed.definitions] == [
        "}", "struct pump { int hours; };", "int last(void) { return 2; }",
    ]  # fmt: skip
    assert any('extern "C" {' in block.text for block in parsed.blocks)
    assert [d.name for d in parse("int f(void) { return 1; }\nint g(void) { return 1; }\n").definitions] == ["f", "g"]
