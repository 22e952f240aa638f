"""What `import ray_ft` offers is what it declares, types, and documents."""

import ast
import inspect
from pathlib import Path

import pytest

import ray_ft
from ray_ft import api, errors

REPOSITORY = Path(__file__).parents[2]


def names_for_type_checkers() -> set[str]:
    """Names imported under TYPE_CHECKING, which is all that editors and mypy see."""
    tree = ast.parse(Path(ray_ft.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_the_declared_names_are_sorted_and_all_can_be_imported() -> None:
    assert list(ray_ft.__all__) == sorted(ray_ft.__all__)
    assert [name for name in ray_ft.__all__ if getattr(ray_ft, name, None) is None] == []


def test_type_checkers_see_the_declared_names() -> None:
    assert names_for_type_checkers() == set(ray_ft.__all__)


def test_a_name_that_is_not_declared_cannot_be_imported() -> None:
    with pytest.raises(AttributeError, match="module 'ray_ft' has no attribute 'trian'"):
        ray_ft.trian  # noqa: B018


def test_every_public_function_and_every_error_is_declared() -> None:
    raised = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert (raised | set(api.__all__)) - set(ray_ft.__all__) == set()


def test_every_declared_name_explains_itself_and_is_on_the_reference_page() -> None:
    page = (REPOSITORY / "docs" / "reference" / "api.md").read_text()
    for name in ray_ft.__all__:
        assert (getattr(ray_ft, name).__doc__ or "").strip(), name
        assert f"### {name}\n" in page or f"- `{name}`:" in page, name
