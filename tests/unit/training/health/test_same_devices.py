"""Workers on another kind of device, or in another precision, are named before weights are loaded."""

from ray_ft.training.health.same_devices import NO_BF16, what_differs


def test_ranks_alike_give_no_line() -> None:
    assert what_differs([("a", "L4 in bf16"), ("b", "L4 in bf16")]) is None


def test_ranks_machines_and_kinds_are_named_with_what_would_work() -> None:
    line = what_differs([("a", "L4 in bf16"), ("a", "L4 in bf16"), ("b", "T4 in fp16"), ("c", "L4 in bf16")])
    assert line == (
        "ranks 0, 1, 3 on a, c compute on L4 in bf16; rank 2 on b computes on T4 in fp16: a run uses one kind of "
        "device; name one with plan.gpu, or set train.num_workers"
    )


def test_ranks_whose_gpus_have_no_bf16_for_a_plan_in_bf16_are_told_together() -> None:
    old = ("b", f"T4 in bf16{NO_BF16}")
    line = what_differs([("a", "L4 in bf16"), old])
    assert line is not None
    assert line.startswith("rank 0 on a computes on L4 in bf16; rank 1 on b computes on T4 in bf16, which it does not")
    said = "train.precision: all workers compute on T4 in bf16, which it does not have; fp16 would work"
    assert what_differs([old, old]) == said
