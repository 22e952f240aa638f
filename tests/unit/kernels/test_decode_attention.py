"""The kernel beside plain attention, in Triton's interpreter, which needs no GPU."""

import subprocess
import sys

import pytest

pytest.importorskip("triton")

PROGRAM = """
import torch
from ray_ft.kernels.decode_attention import decode_attention

def plain(q, k, v, scaling, window, softcap):
    groups = q.shape[0] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = torch.einsum("hd,thd->ht", q, k) * (q.shape[1] ** -0.5 if scaling is None else scaling)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if window:
        scores[:, : max(len(k) - window, 0)] = float("-inf")
    return torch.einsum("ht,thd->hd", scores.softmax(-1), v)

torch.manual_seed(0)
for rows, heads, kv_heads, width, options in [
    (3, 4, 2, 32, {}), (1, 2, 2, 24, {"scaling": 0.3}), (2, 6, 1, 16, {"window": 70}), (2, 2, 1, 16, {"softcap": 2.0}),
]:
    starts, lengths = torch.tensor([5, 140, 333][:rows]), torch.tensor([130, 1, 190][:rows])
    keys, values = torch.randn(600, kv_heads, width), torch.randn(600, kv_heads, width)
    query = torch.randn(rows, heads, width)
    found = decode_attention(query, keys, values, starts, lengths, **options)
    for row in range(rows):
        span = slice(int(starts[row]), int(starts[row] + lengths[row]))
        asked = {"scaling": None, "window": None, "softcap": None} | options
        expected = plain(query[row], keys[span], values[span], **asked)
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)
print("same")
"""


def test_the_kernel_computes_plain_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout == "same\n", done.stderr[-2000:]
