"""Parts of a section that is too long are asked for by what its structure and its words tell, or not at all."""

from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown
from ray_ft.recipes import Heading
from ray_ft.recipes.questions.parts import stands_alone
from ray_ft.rows import Document

OPTIONS = """# ferry(1)

## OPTIONS

The ferry takes the following options, which may be given in any order before the name of a ramp, or after it, as the
mate likes it best on that day.

`--fast`

Opens the ramp in two seconds, rings the bell twice, and waits for nobody who is still on the ramp when the ferry leaves
the pier for the other bank.

`--slow`

Opens the ramp in twenty seconds, so that nobody falls from it, and waits for all who are still on the ramp when the
ferry could leave the pier again.
"""
PROSE = """# Ferry

## Ramps

All ramps are opened by the mate of the ferry before the first car comes, and they stay open until the last one has left
the deck at noon.

The emergency bell is beside the ramp. Who rings the emergency bell stops the ferry, and the mate has to look for the
reason before it goes on again, whatever that is.

This is not so at night, when nobody is at the pier and the door stays closed for all who come too late, by order of the
master of the whole harbour.

Cars wait in two rows behind the red line until somebody waves, and lorries stand to the left of them with their engines
off and lights on until called.
"""


def _prompts(text: str, max_tokens: int) -> list[tuple[str, str]]:
    parsed = parse_markdown(text)
    document = Document("0:a.md", parsed.text, "a.md", "markdown", "", parsed.blocks)
    recipe = Heading(max_chunk_tokens=max_tokens)
    chunks = recipe.chunk(document, lambda words: len(words.split()))
    return [(e.prompt, e.completion) for e in recipe.examples(chunks, None)]


def test_entries_are_asked_for_by_their_terms() -> None:
    section = "the section “ferry(1) > OPTIONS” of a.md"
    made = _prompts(OPTIONS, 40)
    assert [prompt for prompt, _ in made] == [
        f"Write the beginning of {section}.",
        f"Write what {section} says about “--fast”.",
        f"Write what {section} says about “--slow”.",
    ]
    assert made[1][1].startswith("`--fast`\n\nOpens")
    assert made[1][1].endswith("other bank.")
    assert [prompt for prompt, _ in _prompts(OPTIONS, 400)] == [f"Write {section}."]


def test_a_term_that_comes_twice_asks_for_neither_entry() -> None:
    made = _prompts(OPTIONS.replace("--slow", "--fast"), 40)
    assert [prompt for prompt, _ in made] == ["Write the beginning of the section “ferry(1) > OPTIONS” of a.md."]


def test_a_part_is_asked_for_by_what_it_says_again_and_others_are_left_out() -> None:
    assert [prompt for prompt, _ in _prompts(PROSE, 36)] == [
        "Write the beginning of the section “Ferry > Ramps” of a.md.",
        "Write what the section “Ferry > Ramps” of a.md says about “emergency bell”.",
    ]  # the third goes on from the second, and nothing tells the fourth


def test_links_a_few_words_and_a_title_that_names_nothing_give_no_example() -> None:
    links = "# Ferry\n\n## Ways\n\n- [All the ramps of the ferry](ramps.md)\n- [All the bells of the ferry](bells.md)\n"
    few = "# Ferry\n\n## Ramps\n\nThe ramps are opened by the second mate at noon.\n"
    unnamed = (
        "# Notes\n\nThe ramp is opened by the mate before the first car comes, and closed by him when all have left.\n"
    )
    assert _prompts(links, 400) == _prompts(few, 400) == _prompts(unnamed, 400) == []


def test_the_label_of_what_comes_next_is_left_out() -> None:
    ramps = "The ramp is opened by the mate before the first car comes, and closed by him when all have left."
    made = _prompts(f"# Ferry\n\n## Ramps\n\n{ramps}\n\n``ferry-bells``\n\n## Bells\n\n{ramps}\n", 400)
    assert [text for _, text in made] == [ramps, ramps]


def test_one_line_of_a_release_gives_no_example() -> None:
    text = (
        "# Changelog\n\n## v1.2.0\n\n### Ramps\n\n- The ramp opens again where the bell of the ferry rings at noon.\n"
    )
    parsed = parse_markdown(text)
    for path, number in (("CHANGELOG.md", 0), ("handbook.md", 1)):
        document = Document("0:a.md", parsed.text, path, "markdown", "", parsed.blocks)
        recipe = Heading()
        chunks = recipe.chunk(document, lambda words: len(words.split()))
        assert len(recipe.examples(chunks, None)) == number


def test_a_beginning_that_ends_within_a_list_is_left_out() -> None:
    lead = "The ramp of the ferry is opened in two ways, of which the mate takes the one that he likes best:\n\n"
    items = "".join(
        f"- Way {i} is to pull the lever {i} times and to wait until the lamp is lit again.\n" for i in range(9)
    )
    assert _prompts(f"# Ferry\n\n## Ramps\n\n{lead}{items}", 60) == []


def test_a_title_that_is_an_item_of_a_list_or_the_end_of_a_sentence_heads_nothing() -> None:
    text = "The ramp is opened by the mate before the first car comes, and closed by him when all have left."
    assert _prompts(f"# Ferry\n\n## • ramps\n\n{text}\n\n## of the ferry.\n\n{text}\n", 400) == []


def test_a_text_that_goes_on_or_breaks_off_does_not_stand_alone() -> None:
    assert stands_alone("The ramp is opened by the mate.")
    assert stands_alone("`open` opens the ramp.")
    for text in (
        "This ramp is steep.",
        "In this case it rings.",
        "and closes it.",
        "For example, it rings.",
        "It is a",
    ):
        assert not stands_alone(text)
    assert not stands_alone("The ramp is opened by the mate of")
    assert stands_alone("The ramp is opened.\n\n`close`")  # which is left out
