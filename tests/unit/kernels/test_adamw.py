"""The AdamW that also writes 16-bit weights, in Triton's interpreter, beside torch's."""

from collections.abc import Callable

COMPARE = """
import torch
from ray_ft.kernels import adamw

torch.manual_seed(0)
for shape, dtype in (((7, 1031), torch.bfloat16), ((5,), torch.float32), ((64, 128), torch.float16)):
    weight = torch.randn(shape).to(dtype)
    master = weight.detach().float().clone()
    reference = torch.nn.Parameter(master.clone())
    group = {"lr": 3e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    optimizer = torch.optim.AdamW([reference], **group)
    state = {"step": torch.zeros(()), "exp_avg": torch.zeros(shape), "exp_avg_sq": torch.zeros(shape)}
    for number in range(60):
        gradient = torch.randn(shape).to(dtype) * 10 ** (number % 3)
        skipped, divisor = torch.tensor(float(number == 4)), torch.tensor(1.0 + number)
        state["step"] += 1 - skipped
        adamw.update(weight, master, state, gradient, group=group, divisor=divisor, skipped=skipped)
        if number != 4:
            reference.grad = gradient.float() / divisor
            optimizer.step()
        torch.testing.assert_close(master, reference.detach(), rtol=2e-6, atol=2e-6)
    # The interpreter cuts what a GPU rounds: up to 2^-7 of a bf16 with 8 bits.
    torch.testing.assert_close(weight.float(), master, rtol=2**-7, atol=1e-6)
print("equal")
"""


def test_the_kernel_updates_as_torch_does_and_rounds_the_weights(interpret: Callable[[str], None]) -> None:
    interpret(COMPARE)
