"""Equal values are told equal on every machine, and others by the keys in which they differ."""

from ray_ft.artifacts import changed_keys, digest


def test_digests_are_equal_for_equal_values_and_differ_otherwise() -> None:
    assert digest({"b": 1, "a": (1, 2)}) == digest({"a": [1, 2], "b": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_changed_keys_name_the_dotted_key_and_both_values() -> None:
    assert changed_keys({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 0}) == ["a.c: 2 -> 3", "d: null -> 0"]
