"""Splits: by content, stable, in the asked shares, and never without training."""

from collections import Counter

from ray_ft.data.dedup.splits import Bounds, content_key, position

BOUNDS = Bounds.of(validation_fraction=0.05, test_fraction=0.1)


def test_copies_land_together_whatever_their_white_space() -> None:
    assert content_key("a  b\n\nc") == content_key("a b c\n")
    assert content_key("a b c") != content_key("a b d")


def test_many_documents_are_divided_as_asked() -> None:
    counts = Counter(BOUNDS.split(position(f"document {i}", seed=0)) for i in range(10_000))
    # Standard deviation of the test share is sqrt(0.1 * 0.9 / 10,000) = 0.003; four of them are 0.012.
    assert abs(counts["test"] / 10_000 - 0.10) < 0.012
    assert abs(counts["validation"] / 10_000 - 0.05) < 0.012


def test_the_seed_moves_documents_between_splits() -> None:
    def moved(seed: int) -> list[str]:
        return [BOUNDS.split(position(f"document {i}", seed=seed)) for i in range(200)]

    assert moved(0) == moved(0)
    assert moved(0) != moved(1)


def test_three_documents_give_a_test_document_and_keep_one_to_train_on() -> None:
    places = (0.4, 0.6, 0.9)
    fitted = BOUNDS.fitted(lowest=0.4, highest=0.9, num_documents=3)
    assert [fitted.split(p) for p in places] == ["test", "train", "train"]


def test_one_document_is_trained_on() -> None:
    assert BOUNDS.split(0.03) == "test"
    assert BOUNDS.fitted(lowest=0.03, highest=0.03, num_documents=1).split(0.03) == "train"


def test_when_all_would_be_held_out_the_highest_is_trained_on() -> None:
    fitted = BOUNDS.fitted(lowest=0.01, highest=0.12, num_documents=3)
    assert [fitted.split(p) for p in (0.01, 0.02, 0.12)] == ["test", "test", "train"]


def test_copies_of_one_document_are_not_torn_apart_for_a_test_split() -> None:
    assert BOUNDS.fitted(lowest=0.5, highest=0.5, num_documents=5) == BOUNDS


def test_no_test_split_is_made_when_none_is_wanted() -> None:
    wanted = Bounds.of(validation_fraction=0.0, test_fraction=0.0)
    assert wanted.fitted(lowest=0.0, highest=0.9, num_documents=50) == wanted


def test_a_corpus_that_has_all_it_needs_keeps_its_bounds() -> None:
    assert BOUNDS.fitted(lowest=0.02, highest=0.97, num_documents=300) == BOUNDS
