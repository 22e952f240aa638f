"""What only leads elsewhere says nothing itself."""

import pytest

from ray_ft.recipes.chunking.pointers import own_words, says_enough


@pytest.mark.parametrize(
    "text",
    [
        "See the manual of the ferry for all of its ramps and bells.",
        "For more information on when to open which ramp, consult the [manual of the ramps](ramps.md).",
        "- [The ramps](ramps.md)\n- [The bells of the ferry](bells.md)\n- [Times](https://ferry.example/times)",
        "If you find a ramp that is open, please see [who closes ramps](who.md).",
        "Beschreibung: | Opens it\n\nDie Dokumentation zu dieser Rampe wurde noch nicht übersetzt.",
    ],
)
def test_links_and_ways_to_other_pages_are_no_words_of_a_text(text: str) -> None:
    assert own_words(text) == 0


def test_what_stands_beside_a_link_counts() -> None:
    assert own_words("The [ramp](ramps.md) is opened by the mate. See also the bells.") == 7
    assert own_words("Seen from the bridge, the ramp is small.") == 8
    assert own_words("The ramp is steep.\n\n1. [How it opens](a.md)") == 4


def test_a_listing_needs_few_words_beside_it() -> None:
    assert not says_enough("The ramp is opened by the mate.", min_words=12)
    assert says_enough("Open it:\n\n```\nferry open --ramp 2\n```", min_words=12)
