"""Workers on another kind of device, or in another precision, are named before weights are loaded."""

from ray_ft.training.health.same_devices import what_differs


def test_ranks_alike_give_no_line() -> None:
    assert what_differs([("a", "L4 in bf16"), ("b", "L4 in bf16")]) is None


def test_ranks_machines_and_kinds_are_named_with_what_would_work() -> None:
    line = what_differs([("a", "L4 in bf16"), ("a", "L4 in bf16"), ("b", "T4 in fp16"), ("c", "L4 in bf16")])
    assert line == (
        "ranks 0, 1, 3 on a, c compute on L4 in bf16; rank 2 on b computes on T4 in fp16: a run uses one kind of "
        "device; name one with plan.gpu, or set train.num_workers"
    )
