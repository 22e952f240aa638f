"""What comes again in a document or a set is trained once, and one file's share of the set can be capped."""

import pytest

from ray_ft.data.build.packing import Edged
from ray_ft.data.build.repeats import REPEATED, TOO_MUCH, within_share, without_repeated
from ray_ft.data.build.stage import make_examples
from ray_ft.data.dedup.clusters import Placing, place
from ray_ft.data.dedup.file_share import most_characters
from ray_ft.data.dedup.heads import heads_of
from ray_ft.data.dedup.splits import Bounds
from ray_ft.data.documents import ReadFile, SourceFile
from ray_ft.data.formats import FORMATS
from ray_ft.overlap import Runs
from ray_ft.recipes import CodeMetadata, CodeSummary, Paragraph, Recipe
from ray_ft.rows import Document, Example

BODY = (
    '    def __str__(self):\n        """The names of all parts, in the order of the alphabet."""\n'
    "        names = sorted(part.name for part in self.parts)\n        return self.joint.join(names)\n"
)
NOTICE = "Copies of this manual need the written consent of the maker, who is not liable for damage.\n\n"


def document(name: str, text: str) -> Document:
    kind = FORMATS["." + name.rpartition(".")[2]]
    parsed = kind.parse(text)
    return Document(name, parsed.text, name, kind.name, kind.language, tuple(parsed.blocks), {}, parsed.definitions)


def made(name: str, text: str, recipe: Recipe, repeated: tuple[int, ...] = ()) -> list[Edged]:
    found = document(name, text)
    return without_repeated(make_examples(found, [recipe], lambda words: len(words) // 4, None), found, repeated)


def kept(edged: list[Edged]) -> list[str]:
    return [one.example.completion for one in edged if not one.example.dropped]


def test_equal_bodies_of_one_file_count_once() -> None:
    text = "".join(f'class Pump{i}:\n    """Pump {i} of a ferry."""\n\n    size = {i}\n\n{BODY}\n' for i in range(133))
    answers = kept(made("a.py", text, CodeMetadata()))
    assert sum(answer.startswith("def __str__") for answer in answers) == 1
    assert sum(answer.startswith("class ") for answer in answers) == 133


def test_summaries_of_equal_methods_count_once_and_others_stay() -> None:
    doc = (
        '    def to_dict(self):\n        """Returns the model as a dict."""\n'
        "        found = dict(self.items)\n        return found | self.more\n\n"
    )
    run = "    def run{0}(self):\n        'Runs the pump of ferry {0}.'\n        open_valve()\n        start({0})\n\n"
    text = "".join(f"class Pump{i}:\n{doc}{run.format(i)}" for i in range(9))
    answers = kept(made("a.py", text, CodeSummary()))
    assert sum("to_dict" in answer for answer in answers) == 1
    assert sum("run" in answer for answer in answers) == 9


def test_equal_methods_of_several_files_count_once() -> None:
    texts = [f"class Pump{i}:\n    size = {i}\n\n    def run(self):\n        return {i}\n\n{BODY}" for i in range(8)]
    files = [
        ReadFile(SourceFile(f"{i}.py", "", len(t)), "ok", sha256=str(i), document=document(f"{i}.py", t))
        for i, t in enumerate(texts)
    ]
    how = Placing(Bounds.of(validation_fraction=0, test_fraction=0), seed=0)
    placed = place(list(heads_of(files, Runs({}))), how=how, text_of=texts.__getitem__).all
    answers = [
        a for i, t in enumerate(texts) if not placed[i].reason
        for a in kept(made(f"{i}.py", t, CodeMetadata(), placed[i].repeated))
    ]  # fmt: skip
    assert sum(a.startswith("def __str__") for a in answers) == 1


def test_a_paragraph_that_comes_again_in_a_document_is_told_once() -> None:
    words = "".join(
        f"## Part {i}\n\nPart {i} of the pump is greased every {i + 2} days by the mate of the ferry.\n\n{NOTICE}"
        for i in range(5)
    )
    found = document("a.md", words)
    spans = [(b.start, b.end) for b in found.blocks if b.type == "paragraph"]
    edged = [Edged(Example("", found.text[a:b], "c", "d", "paragraph"), False, span=(a, b)) for a, b in spans]
    left = without_repeated(edged, found, ())
    assert [one.example.dropped for one in left] == ["", ""] + ["", REPEATED] * 4
    assert made("b.md", NOTICE, Paragraph())[0].example.dropped == ""


@pytest.mark.parametrize(
    ("sizes", "share", "most"),
    [
        ([10, 10, 10, 970], 0.5, 30),  # 30 of 60
        ([100, 100, 100, 100], 0.25, 100),
        ([10, 20, 400, 600], 0.4, 60),  # 60 of 150 each: 2 * 60 + 30
        ([5, 50], 0.1, 5),  # too few files for the share
    ],
)
def test_the_largest_part_of_a_file_is_its_share_of_what_is_kept(sizes: list[int], share: float, most: float) -> None:
    assert most_characters(sizes, share) == pytest.approx(most)


def test_a_file_with_more_than_its_share_is_cut_by_lot_and_off_by_default() -> None:
    texts = [f"Page {i} tells of pump {i} and of nothing else at all, since it is short.\n" for i in range(9)]
    texts.append("\n".join(f"Paragraph {i} of the long page speaks of hose {i}.\n" for i in range(400)))
    files = [
        ReadFile(SourceFile(f"{i}.txt", "", len(t)), "ok", sha256=str(i), document=document(f"{i}.txt", t))
        for i, t in enumerate(texts)
    ]
    heads = list(heads_of(files, Runs({})))
    bounds = Bounds.of(validation_fraction=0, test_fraction=0)
    capped = place(heads, how=Placing(bounds, 0, max_file_share=0.25), text_of=texts.__getitem__).all
    assert [p.kept for p in capped[:9]] == [1.0] * 9
    # a quarter of what is kept: a third of the nine short ones
    assert capped[9].kept == pytest.approx(sum(map(len, texts[:9])) / 3 / len(texts[9]))
    assert {p.kept for p in place(heads, how=Placing(bounds, 0), text_of=texts.__getitem__).all} == {1.0}

    edged = [Edged(Example("", "x", f"c-{i}", "d", "paragraph"), False) for i in range(1000)]
    left = [one for one in within_share(edged, 0.2) if one.example.dropped == TOO_MUCH]
    assert 750 < len(left) < 850
    assert within_share(edged, 1.0) is edged


def test_of_near_duplicates_the_better_structured_one_stays() -> None:
    plain = " ".join(f"Sentence {i} tells what the mate of ferry {i} does." for i in range(60))
    marked = plain.replace("Sentence 20 ", "\n\n## More\n\nSentence 20 ").replace(
        "Sentence 40 ", "\n\n## Rest\n\nSentence 40 "
    )
    texts = [f"{plain} And one more sentence, so that this is the longer one.", marked]
    files = [
        ReadFile(SourceFile(name, "", len(t)), "ok", sha256=name, document=document(name, t))
        for name, t in zip(("a.txt", "b.md"), texts, strict=True)
    ]
    how = Placing(Bounds.of(validation_fraction=0, test_fraction=0), seed=0)
    made_of = [file.document.text if file.document else "" for file in files]
    first, second = place(list(heads_of(files, Runs({}))), how=how, text_of=made_of.__getitem__).all
    assert (first.reason, first.note) == ("near copy of another file", "of b.md")
    assert second.reason == ""
