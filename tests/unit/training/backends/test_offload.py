"""An offloaded optimizer says beforehand what keeps it from being fast."""

import pytest

from ray_ft.training.backends.deepspeed import missing_for_cpu_adam


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    assert missing_for_cpu_adam() == "no C++ compiler (c++) was found"
    monkeypatch.setenv("CXX", "clang++")
    assert missing_for_cpu_adam() == "no C++ compiler (clang++) was found"
