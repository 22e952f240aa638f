"""What is found out about Python definitions."""

from ray_ft.recipes.functions import find_definitions
from ray_ft.rows import Document

SOURCE = '''import os
from pathlib import Path as P

# About f.
@decorate
def f(a: int, *, b="é") -> str:
    """Do it.

    More.
    """
    # Why: the disk is slow.
    return os.path.join(str(a), b)  # noqa: PTH118


class A(Base):
    """An A."""

    async def g(self): ...

    class Inner:
        def h(self):
            def nested():
                pass
            return P(nested())
'''


def _found(text: str = SOURCE, language: str = "python"):
    document = Document("0:m.py", text, "m.py", "python", language)
    return document, {d.name: d for d in find_definitions(document)}


def test_functions_methods_and_classes_are_found_but_not_what_is_nested_in_functions() -> None:
    kinds = {name: d.kind for name, d in _found()[1].items()}
    assert kinds == {"f": "function", "A": "class", "A.g": "method", "A.Inner": "class", "A.Inner.h": "method"}


def test_a_definition_spans_whole_lines_with_its_decorators() -> None:
    document, found = _found()
    text = document.text[found["f"].start : found["f"].end]
    assert text.startswith("@decorate\ndef f(")
    assert text.endswith("# noqa: PTH118")
    assert document.text[found["A.g"].start : found["A.g"].end] == "    async def g(self): ..."


def test_the_head_ends_with_the_docstring() -> None:
    document, found = _found()
    assert document.text[found["f"].start : found["f"].head_end].endswith('More.\n    """')


def test_what_is_said_about_a_function_is_collected() -> None:
    f = _found()[1]["f"]
    assert f.signature == "def f(a: int, *, b='é') -> str"
    assert f.docstring == "Do it.\n\nMore."
    assert f.imports == ("import os",)
    assert f.comments == ("Why: the disk is slow.",)


def test_a_method_knows_its_class_and_stubs_are_trivial() -> None:
    found = _found()[1]
    assert found["A.g"].enclosing == "class A(Base)"
    assert found["A.g"].is_trivial
    assert not found["A.Inner.h"].is_trivial
    assert found["A.Inner.h"].imports == ("from pathlib import Path as P",)


def test_a_docstring_that_is_no_utf_8_is_made_so() -> None:
    found = _found('def f():\n    "Half \\ud800 a pair."\n')[1]
    assert found["f"].docstring == "Half ? a pair."


def test_what_is_no_python_3_gives_nothing() -> None:
    assert _found("print 'hello'")[1] == {}
    assert _found("int main() {}", "c")[1] == {}
