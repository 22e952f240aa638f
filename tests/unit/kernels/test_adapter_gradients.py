"""The kernel that makes two gradients of one reading, in Triton's interpreter, beside the two products."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from ray_ft.kernels import compiler
from ray_ft.kernels.adapter_gradients import has_kernel

COMPARE = """
import torch
from ray_ft.kernels import adapter_gradients

generator = torch.Generator().manual_seed(0)
draw = lambda *shape: torch.randn(*shape, generator=generator).half()
for tokens, outputs, rank in ((64, 512, 16), (200, 700, 8), (129, 1030, 12), (70, 140, 64), (1, 1, 1)):
    grad, b, middles = draw(tokens, outputs), draw(outputs, rank), draw(tokens, 3 * rank)
    grads = torch.full((tokens, 3 * rank), 7.0).half()
    mine = slice(rank, 2 * rank)  # between its neighbours' columns
    grad_b = adapter_gradients.gradients(grad, b, middles[:, mine], grads[:, mine], scale=0.5)
    # fp16 keeps 11 digits; sums that cancel are off by that part of what they were made of.
    torch.testing.assert_close(grads[:, mine].double(), 0.5 * grad.double() @ b.double(), rtol=2**-10, atol=2**-9)
    expected = 0.5 * grad.double().t() @ middles[:, mine].double()
    torch.testing.assert_close(grad_b.double(), expected, rtol=2**-10, atol=2**-9)
    assert (grads[:, :rank] == 7).all() and (grads[:, 2 * rank :] == 7).all()
print("equal")
"""


def test_both_gradients_are_those_of_two_products(interpret: Callable[[str], None]) -> None:
    interpret(COMPARE)


@pytest.mark.parametrize(("compilers", "expected"), [(["gcc"], True), ([], False)])
def test_a_machine_without_a_c_compiler_multiplies_twice(
    compilers: list[str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr(compiler.shutil, "which", lambda name: name if name in compilers else None)
    compiler.can_build_kernels.cache_clear()
    grad = SimpleNamespace(is_cuda=True, dtype=torch.bfloat16)
    try:
        assert has_kernel(grad, rank=16) is expected
        assert not has_kernel(grad, rank=128)
    finally:
        compiler.can_build_kernels.cache_clear()
