"""Lists of definitions are cut at their terms, whatever marks them."""

from ray_ft.recipes.chunking.entries import ends_with_term, groups, named


def _terms(text: str, min_words: int = 3) -> list[tuple[str, ...]]:
    return [group.terms for group in groups(text, 0, len(text), min_words=min_words)]


def test_terms_stand_alone_above_their_text_or_at_the_head_of_an_item() -> None:
    html = "It takes these.\n\n-f\n\n--fast\n\nOpens it in two seconds.\n\n`speed` (`integer`)\n\nHow fast it opens."
    assert _terms(html) == [(), ("-f", "--fast"), ("speed (integer)",)]
    items = (
        "- -f\n- --fast=<seconds>: Opens the ramp so fast.\n- `slow` takes twenty seconds.\n- **Bell**: rings it twice."
    )
    assert _terms(items) == [("-f", "--fast=<seconds>"), ("slow",), ("Bell",)]
    rst = "``open(ramp)``\n\n    Opens it at once.\n\n    Note:\n\n    Bell.\n\n``close(ramp)``\n    Closes it at once."
    assert _terms(rst) == [("open(ramp)",), ("close(ramp)",)]


def test_terms_in_lines_of_one_paragraph_have_one_text() -> None:
    text = "`SPEED`\n\nHow fast the ramp opens.\n\n`WIDTH`\n`LENGTH`\n\nBoth sides of the ramp."
    assert _terms(text) == [("SPEED",), ("WIDTH", "LENGTH")]


def test_what_is_no_list_of_definitions_stays_whole() -> None:
    assert _terms("Note:\n\nThe ramp is steep.\n\nExample\n\nIt is opened by hand.") == [()]
    assert _terms("- Open the ramp.\n- Close the ramp.\n- Ring the bell.") == [()]
    assert _terms("`ramp`\n\nIt is one term, which may be anything.") == [()]
    assert _terms("```\n--fast\n\nx\n\n--slow\n\ny\n```") == [()]


def test_an_item_without_a_term_ends_the_entry_before_it() -> None:
    text = "- `ramp` now opens twice as fast.\n- The bell rings no more.\n- `horn` is a new option of it."
    assert [text[g.start : g.end].strip() for g in groups(text, 0, len(text), min_words=3)] == text.split("\n")


def test_small_neighbours_stand_together_and_the_text_is_all_there() -> None:
    text = "`a1`\n\nOne.\n\n`b2`\n\nTwo.\n\n`c3`\n\nThree words are here, and some more of them.\n\n"
    found = groups(text, 0, len(text), min_words=5)
    assert [group.terms for group in found] == [("a1", "b2", "c3")]
    assert (found[0].start, found[-1].end) == (0, len(text))


def test_options_that_come_again_are_those_of_several_commands() -> None:
    one = "-d\n\nEnds the ramp's line.\n\n-f\n\nOpens it fast.\n\n"
    assert _terms(one) == [("-d",), ("-f",)]
    assert _terms(one + "bell\n\nRings it twice.\n\n" + one) == [()]


def test_a_prompt_names_few_terms() -> None:
    assert named(("-f", "--fast", "-f")) == "“-f” and “--fast”"
    assert named(("a1", "b2", "c3")) == "“a1”, “b2” and “c3”"
    assert named(("a1", "b2", "c3", "d4", "e5")) == ""
    text = f"``open(ramp, {'speed=None, ' * 5})``\n\n    Opens it at once.\n\n``close``\n\n    Closes it at once."
    assert _terms(text)[0] == ("open()",)


def test_a_term_without_its_entry_is_seen_at_the_end() -> None:
    assert ends_with_term("It opens the ramp.\n\n``close(ramp)``")
    assert ends_with_term("- `ramp`: it opens.\n- `bell`")
    assert not ends_with_term("It opens the ramp.\n\nIt closes.")
    assert not ends_with_term("`ramp`")
