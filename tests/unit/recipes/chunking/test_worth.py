"""Which passages are worth an example, and how one is shown that was cut out of a listing."""

import pytest

from ray_ft.data.formats.html import parse_html
from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown
from ray_ft.data.formats.rst import parse_rst
from ray_ft.recipes import QA, Heading, Keyword, Paragraph
from ray_ft.recipes.chunking.worth import as_read, is_worth_it
from ray_ft.rows import Chunk, Document


def _chunk(text: str) -> Chunk:
    return Chunk("0#a-0", "0", text, len(text.split()), ("Ferry", "Ramp"), metadata={"path": "a.md"})


@pytest.mark.parametrize(
    "text",
    [
        "## Acknowledgements of the people who helped us with it",
        "Ways to the ramp and to the other ramps\n~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
        "## Modules\n\n- mod_alias\n- mod_cache\n- mod_dir\n- mod_env\n- mod_file\n- mod_ident\n- mod_info\n- mod_log",
        "See the map.",
        "The ramp has to be opened by the mate in one of these ways:",
        "### N\n\n### O\n\n### P\n\n### Q\n\n### R\n\n### S",
    ],
)
def test_titles_names_and_a_few_words_are_not(text: str) -> None:
    assert not is_worth_it(_chunk(text))
    for recipe in (Paragraph(), Heading(), Keyword(), QA()):
        assert recipe.examples([_chunk(text), _chunk(text)], None) == []


@pytest.mark.parametrize(
    "text",
    [
        "The ramp is opened by the second mate.",
        "```\nferry open --ramp 2 --slow --with-bell --and-light\n```",
        "a | The first ramp, in the bow\nb | The second",
        "坡道由大副打开，并且在渡轮离开之前关闭。",
    ],
)
def test_sentences_listings_and_tables_are(text: str) -> None:
    assert is_worth_it(_chunk(text))


def test_a_short_document_gives_its_only_passage() -> None:
    chunk = _chunk("The ramp is steep.")
    assert [e.completion for e in Paragraph().examples([chunk], None)] == ["Ferry > Ramp\n\nThe ramp is steep."]
    assert Paragraph().examples([chunk, chunk], None) == []


def test_a_cut_listing_has_both_its_fences_and_an_underline_is_none() -> None:
    assert as_read("x = 1\n```\n\nThen run it.") == "```\nx = 1\n```\n\nThen run it."
    assert as_read("Then:\n\n```\nx = 1") == "Then:\n\n```\nx = 1\n```"
    assert as_read("```\nx\n```") == "```\nx\n```"
    assert as_read("State C\n~~~~~~~\n\nText.") == "State C\n~~~~~~~\n\nText."


def test_no_part_of_a_listing_that_is_longer_than_a_passage_gives_an_example() -> None:
    rows = "\n".join(f"ramp {i} opens slowly and closes fast" for i in range(60))
    prose = "The ramps are opened by the mate before the cars come to the ferry."
    parsed = parse_html(
        f"<h1>Ramps</h1><p>{prose * 4}</p><p>{prose * 4} The following does it.</p><pre>{rows}</pre><p>{prose * 4}</p>"
    )
    document = Document("0:a.html", parsed.text, "a.html", "html", blocks=parsed.blocks)
    recipe = Paragraph(max_chunk_tokens=90)
    chunks = recipe.chunk(document, lambda text: len(text.split()))
    assert len(chunks) > 5
    made = [e.completion for e in recipe.examples(chunks, None)]
    assert len(made) == 2
    assert not any("opens slowly" in text for text in made)


def test_a_listing_without_the_words_above_it_gives_no_example() -> None:
    rows = "\n".join(f"ramp {i} opens slowly" for i in range(10))
    words = "The mate opens all the ramps of the ferry with this, one after the other."
    parsed = parse_html(f"<h1>Ramps</h1><p>{words}</p><pre>{rows}</pre>")
    document = Document("0:a.html", parsed.text, "a.html", "html", blocks=parsed.blocks)
    for max_tokens, num_examples in ((80, 1), (44, 0)):
        recipe = Paragraph(max_chunk_tokens=max_tokens)
        assert len(recipe.examples(recipe.chunk(document, lambda text: len(text.split())), None)) == num_examples


def test_a_part_of_a_sentence_gives_no_example_and_a_text_without_marks_does() -> None:
    long = "The ramp " + "is opened by the mate of the ferry and " * 12 + "closed."
    short = "It is steep. It is long and wide. It is red, and it is green where the cars stand, and it is new."
    text = f"# Ramps\n\n{short}\n\n{long}\n\nThe bell rings twice. Then it goes."
    parsed = parse_html("".join(f"<p>{part}</p>" for part in text.split("\n\n")))
    document = Document("0:a.html", parsed.text, "a.html", "html", blocks=parsed.blocks)
    recipe = Paragraph(max_chunk_tokens=40)
    made = recipe.examples(recipe.chunk(document, lambda text: len(text.split())), None)
    assert [e.completion.split()[-1] for e in made] == ["new."]
    words = parse_html(f"<p>{'word ' * 115}</p>")
    document = Document("0:b.html", words.text, "b.html", "html", blocks=words.blocks)
    assert len(recipe.examples(recipe.chunk(document, lambda text: len(text.split())), None)) == 3


def test_the_beginning_of_what_is_not_in_the_passage_is_left_out() -> None:
    text = "The ramp is opened before the cars come. It is closed when:"
    assert as_read(text) == "The ramp is opened before the cars come."
    assert as_read("The ramp is opened before the cars come and go:\n\n- one").endswith("- one")
    assert as_read("It is closed when:") == "It is closed when:"
    for name in (
        "`--with-bell`",
        "**Ancestors**",
        "## Ramps",
        "`open` ( `text`, `text` ) → `date`",
        "--bell\n\n--no-bell",
    ):
        assert (
            as_read(f"The ramp is opened before the cars come.\n\n{name}") == "The ramp is opened before the cars come."
        )
    assert as_read("The ramp is opened before the cars come.\n\nBells\n-----\n\n``RING``\n\n\n----").endswith("come.")
    assert as_read("The ramp is steep.\n\n\n\nIt is red.") == "The ramp is steep.\n\nIt is red."
    assert as_read("The ramps of the ferry are\n\n`bow`").endswith("`bow`")
    wrapped = "The ramp is opened before the cars\ncome to the ferry. It is closed\nby the mate when:"
    assert as_read(wrapped) == "The ramp is opened before the cars\ncome to the ferry."


LONG = "The mate opens the ramp when all the cars have come, and he closes it before the ferry leaves the pier at noon."


def _chunks(*texts: str) -> list[Chunk]:
    return [
        Chunk(f"0#a-{i}", "0", text, 1, ("Ferry", "Ramp"), metadata={"path": "a.md"}) for i, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "It opens slowly. It closes fast, and the bell rings.",  # eleven words
        f"## Links\n\n- [{LONG}](https://example.org/ramps/of/the/ferry)\n- [{LONG}](https://example.org/b)",
        "- The ramp is now opened with the bell on ([ferry/ramp#12](https://example.org/12), [@mate](https://example.org))",
        f"```\nopen(ramp)\n```\n\n{LONG} {LONG}",
        "``int ramp_open(ferry* f, ramp* r, bell* b, char* name, int slow, int fast)``\n\nOpens it. Rings, too.",
        f"    {LONG}\n    {LONG}\n\n`close`\n\n    {LONG}",
        f"  - {LONG}\n  - {LONG}\n- {LONG}",
        "\n".join(f"- Ramp number {i} of the ferry - ramps.html#ramp{i}" for i in range(6)),
        f"{LONG}\nbow | {LONG}\nstern | {LONG}\nside | {LONG}",
        f"{LONG} {LONG} The ramp of the other ferry is opened by the mate and by the captain of the",
    ],
)
def test_a_passage_among_others_that_does_not_stand_alone_gives_no_example(text: str) -> None:
    made = Paragraph().examples(_chunks(text, f"## Ramp\n\n{LONG} {LONG}"), None)
    assert [e.chunk_id for e in made] == ["0#a-1"]


def test_a_table_with_the_names_of_its_columns_and_an_item_without_a_full_stop_stand_alone() -> None:
    table = f"| place | what |\n|---|---|\n| bow | {LONG} |\n| stern | {LONG} |"
    items = f"- {LONG}\n- the ramp of the other ferry, which is opened by the mate and by the captain"
    assert len(Paragraph().examples(_chunks(table, items), None)) == 2


def test_a_passage_within_a_section_stands_below_the_names_of_its_section() -> None:
    inside, head = Paragraph().examples(_chunks(f"{LONG} {LONG}", f"## Ramp\n\n{LONG} {LONG}"), None)
    assert inside.completion == f"Ferry > Ramp\n\n{LONG} {LONG}"
    assert head.completion == f"## Ramp\n\n{LONG} {LONG}"
    ruled = f"====\nRamp\n====\n\n{LONG} {LONG}"
    assert Paragraph().examples(_chunks(ruled, LONG), None)[0].completion == ruled
    above = f"{LONG}\n\n## Ramp\n\n{LONG}"
    assert Paragraph().examples(_chunks(above, LONG), None)[0].completion == above
    twice = Chunk("0#a-0", "0", LONG, 1, ("Ramp", "Ramp"), metadata={"path": "b/a.txt"})
    assert Paragraph().examples([twice], None)[0].completion == f"Ramp\n\n{LONG}"
    untitled = Chunk("0#a-0", "0", LONG, 1, ("a.txt",), metadata={"path": "b/a.txt"})
    assert Paragraph().examples([untitled], None)[0].completion == LONG


def test_the_text_of_a_licence_gives_no_example_and_what_is_said_of_one_does() -> None:
    for title, num_examples in (("GNU Free Documentation License", 0), ("License of your code", 2)):
        chunks = [
            Chunk(f"0#a-{i}", "0", f"{LONG} {LONG}", 1, ("Ferry", title), metadata={"path": "a.md"}) for i in range(2)
        ]
        assert len(Paragraph().examples(chunks, None)) == num_examples


def test_a_sentence_that_a_page_tears_into_two_paragraphs_is_no_example() -> None:
    first = f"{LONG} The mate knows all of the ramps of the ferry and of the other ferry, which"
    parsed = parse_html(f"<h1>A</h1><p>{first}</p><p>is new. {LONG}</p><h1>B</h1><p>{LONG} {LONG}</p>")
    document = Document("0:a.html", parsed.text, "a.html", "html", blocks=parsed.blocks)
    recipe = Paragraph(max_chunk_tokens=60)
    made = recipe.examples(recipe.chunk(document, lambda text: len(text.split())), None)
    assert [e.completion.split()[1] for e in made] == ["B"]


def test_a_text_that_is_set_in_as_a_whole_or_by_its_first_lines_gives_examples() -> None:
    whole = f"   {LONG}\n   {LONG}\n\n   {LONG}"
    first = f"  {LONG}\n{LONG}\n\n  {LONG}\n{LONG}"
    assert len(Paragraph().examples(_chunks(whole, first), None)) == 2


def test_headings_above_nothing_are_left_out() -> None:
    text = f"## Ramps\n\n### Bow\n\n{LONG}\n\n### Stern\n\n### Side\n\n## Bells\n\n{LONG}"
    assert as_read(text) == f"## Ramps\n\n### Bow\n\n{LONG}\n\n## Bells\n\n{LONG}"


def test_only_the_first_part_of_a_table_gives_an_example() -> None:
    rows = "\n".join(f"| ramp {i} | opens slowly and closes fast when the bell rings |" for i in range(20))
    text = f"# Ramps\n\n| name | what it does |\n|---|---|\n{rows}\n"
    parsed = parse_markdown(text)
    document = Document("0:a.md", parsed.text, "a.md", "markdown", blocks=parsed.blocks)
    recipe = Paragraph(max_chunk_tokens=90)
    chunks = recipe.chunk(document, lambda text: len(text.split()))
    assert len(chunks) > 2
    assert [e.chunk_id for e in recipe.examples(chunks, None)] == [chunks[0].id]


def test_what_goes_on_within_a_definition_or_behind_a_listing_gives_no_example() -> None:
    inside = f"Ramps\n=====\n\n``open``\n\n    {LONG} {LONG}\n\n    {LONG} {LONG}\n"
    behind = f"# Ramps\n\n{LONG} It is opened with the words\n\n```\nopen {LONG}\n```\n\nwhich the mate says. {LONG}\n"
    for name, parse, text in (("a.rst", parse_rst, inside), ("a.md", parse_markdown, behind)):
        parsed = parse(text)
        document = Document(f"0:{name}", parsed.text, name, "", blocks=parsed.blocks)
        recipe = Paragraph(max_chunk_tokens=60)
        chunks = recipe.chunk(document, lambda text: len(text.split()))
        assert [e.chunk_id for e in recipe.examples(chunks, None)] == [chunks[0].id]
        assert len(chunks) == 2
