"""Which keywords name the subject of a passage: those with evidence in how it is written, and none by chance."""

import random

import pytest

from ray_ft.recipes import Keyword
from ray_ft.recipes.questions.subjects import MANY, MIN_PASSAGES, WORDS, _stem, _words, common_words, subjects
from ray_ft.rows import Chunk

PROSE = "A crew that has little time can leave it to the master, who looks after it in the same way as before."


def _chunk(text: str, *path: str, number: int = 0) -> Chunk:
    return Chunk(f"0#k-{number}", "0", text, 1, path or ("Overview", "Notes"), metadata={"path": "a.md"})


def test_what_comes_again_or_is_set_as_code_names_the_subject_and_what_stands_once_does_not() -> None:
    text = f"The bow ramp opens with `open_ramp`. {PROSE} The bow ramp is closed by a **ramp motor** at the pier."
    found = subjects(_chunk(text), 6)
    assert {"bow ramp", "open_ramp", "ramp motor"} <= set(found)
    assert not any("time" in words or "crew" in words or "way" in words for words in found)


def test_the_heading_above_comes_first_unless_any_document_has_it() -> None:
    text = f"The bow ramp opens slowly. {PROSE} The bow ramp closes fast with `close_ramp`."
    assert subjects(_chunk(text, "Ferry", "Loading of cars"), 6)[0] == "Loading of cars"
    assert "Overview" not in subjects(_chunk(text, "Ferry", "Overview"), 6)
    assert "Why does the ramp open?" not in subjects(_chunk(text, "Ferry", "Why does the ramp open?"), 6)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("The ramp opens.\n\n```\nlever_arm = 1\nlever_arm += 1\n```\n\nThe ramp closes.", "lever_arm"),
        ("The ramp opens.\n\n    lever_arm = 1\n    lever_arm += 1\n\nThe ramp closes.", "lever_arm"),
        (
            "- Ramp opens (ferry/ramp#12, @janedoe) [Deck Crew]\n- Ramp closes (ferry/ramp#13, @janedoe) [Deck Crew]",
            "Deck Crew",
        ),
        (
            "- Ramp opens ([#12](https://e.org), [@janedoe](https://e.org))\n- Ramp closes [@janedoe](https://e.org)",
            "janedoe",
        ),
        ("Ramp opens.\n\nContributed by **Jane Doe**.\n\nRamp closes. Contributed by **Jane Doe**.", "Jane"),
        (":release-by: Jane\n:release-date: today\n\nThe ramp opens, :release-by: Jane.", "release-date"),
        ("Module: | ramp\nStatus: | ramp\n\nThe ramp opens.", "Module"),
    ],
)
def test_listings_labels_and_credits_give_no_keywords(text: str, wrong: str) -> None:
    assert not any(wrong in words for words in subjects(_chunk(text), 6))


def test_spellings_of_one_name_count_once() -> None:
    text = (
        "Use `--pre` for it. The pre flag is slow. The pre flag is new. `visible_fields()` is what visible_fields was."
    )
    assert sorted(subjects(_chunk(text), 6)) == ["--pre", "visible_fields()"]


def test_a_word_of_the_whole_document_tells_no_passage_from_another() -> None:
    chunks = [_chunk(f"The ferry has a ramp{i}. The ferry opens ramp{i} slowly.", number=i) for i in range(8)]
    assert {"ferry", "ramp"} & common_words(chunks) == {"ferry"}
    assert common_words(chunks[:3]) == frozenset()


def test_a_passage_without_three_names_or_thirty_words_gives_no_keyword_example() -> None:
    good = f"The bow ramp opens with `open_ramp`. {PROSE} The bow ramp is closed by a **side motor** at the pier."
    made = Keyword().examples([_chunk(good), _chunk(f"{PROSE} {PROSE}", number=1), _chunk(good[:90], number=2)], None)
    assert [e.chunk_id for e in made] == ["0#k-0"]
    assert made[0].prompt.startswith("Write a passage about: ")


def test_of_other_languages_only_names_marked_words_and_those_of_the_heading_are_taken() -> None:
    text = (
        "La rampe de proue est ouverte par `open_ramp`, et la directive suivante la ferme. Dans la directive suivante, "
        "le moteur de la rampe est celui du bord, et les voitures sont dans le port avec le capitaine."
    )
    assert set(subjects(_chunk(text, "Rampe de proue"), 6)) == {"Rampe de proue", "open_ramp"}


def test_what_only_warns_and_a_single_word_with_little_evidence_fill_no_prompt() -> None:
    text = "**WARNING:** The bow ramp opens with `open_ramp`. The bow ramp is old. It is for crews, and those crews."
    assert set(subjects(_chunk(text), 6)) == {"bow ramp", "open_ramp"}


def test_words_of_ascii_are_those_that_the_pattern_finds() -> None:
    rng = random.Random(5)
    for _ in range(2_000):
        text = "".join(rng.choices("ab1''_-. \n\t\x1f\x7f\x00/", k=rng.randint(0, 30)))
        assert _words(text) == WORDS.findall(text)
    assert _words("the crew’s ramp") == ["the", "crew’s", "ramp"]


def test_common_words_are_those_of_more_than_half_of_the_passages_wherever_these_stand() -> None:
    rng = random.Random(7)
    for _ in range(200):
        chunks = [
            _chunk(" ".join(rng.choices(["ramps", "ramp", "bow", "pier", "deck", "crew's"], k=3)), number=i)
            for i in range(rng.randint(MIN_PASSAGES, 15))
        ]
        stems = [{_stem(word) for word in WORDS.findall(chunk.text)} for chunk in chunks]
        often = {word for word in set().union(*stems) if sum(word in one for one in stems) > MANY * len(chunks)}
        assert common_words(chunks) == often
