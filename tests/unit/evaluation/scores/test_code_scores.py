"""Answers that should be code: what parses, which names are invented, how near they are; worked out by hand."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.scores.code.reading import code_in, made_and_used, names, read_code
from ray_ft.evaluation.scores.code.scoring import score_code, with_code_scores
from ray_ft.evaluation.scores.code.similarity import (
    edit_similarity,
    identifier_f1,
    same_code,
    subtrees,
    tree_match,
)
from ray_ft.fences import fenced_in, fenced_language
from ray_ft.grammars import GRAMMARS
from ray_ft.rows import Question

REFERENCE = json.loads((Path(__file__).parents[3] / "data/reference_scores.json").read_text(encoding="utf-8"))

# a function in each language; what it makes, and what it uses of others
FUNCTIONS = {
    "python": (
        "def board(self, ferry, *rest, late=False):\n    count, self.seats = harbour.count(ferry, key=rest)\n"
        "    with open(ferry) as file:\n        return [line.strip() for line in file]",
        {"board", "self", "ferry", "rest", "late", "count", "seats", "file", "line"} - {"count"},
        {"harbour", "key", "open", "strip"},
    ),
    "java": (
        "public List<String> board(Ferry ferry) {\n  for (Seat seat : ferry.seats()) { seat.fill(); }\n"
        "  int left = ferry.left;\n  return names(left);\n}",
        {"board", "ferry", "seat"},
        {"List", "String", "Ferry", "Seat", "seats", "fill", "names"},
    ),
    "cpp": (
        "template <typename T> int board(std::vector<T>& seats) {\n  auto free = harbour::count(seats);\n"
        "  for (auto& seat : seats) { seat.fill(); }\n  return free;\n}",
        {"board", "T", "seats", "free", "seat"},
        {"std", "vector", "harbour", "count", "fill"},
    ),
    "c": ("int board(struct ferry *f, int n) {\n  int left = count(f);\n  return f->seats - left;\n}",
          {"board", "f", "n", "left"}, {"ferry", "count", "seats"}),
    "go": ("func (h *Harbour) Board(f Ferry) (int, error) {\n  n, err := f.Count(h.Name)\n  return n, err\n}",
           {"Board", "h", "f", "n", "err"}, {"Harbour", "Ferry", "int", "error", "Count", "Name"}),
    "rust": ("pub fn board(&self, ferry: &Ferry) -> usize {\n  let left = ferry.seats.iter().count();\n  left\n}",
             {"board", "ferry", "left"}, {"Ferry", "seats", "iter", "count"}),
    "javascript": ("board(ferry, {late}) {\n  const left = ferry.seats.map((seat) => seat.free);\n"
                   "  return sum(left);\n}",
                   {"board", "ferry", "late", "left", "seat", "A"}, {"seats", "map", "free", "sum"}),
    "typescript": ("board(ferry: Ferry): number {\n  const left: Seat[] = ferry.seats();\n  return left.length;\n}",
                   {"board", "ferry", "left", "A"}, {"Ferry", "Seat", "seats", "length"}),
    "csharp": ("public int Board(Ferry ferry) {\n  var left = ferry.Seats.Where(s => s.Free).Count();\n"
               "  return left;\n}",
               {"Board", "ferry", "left", "s"}, {"Ferry", "Seats", "Where", "Free", "Count"}),
    "ruby": ("def board(ferry, late = false)\n  left = ferry.seats.select { |seat| seat.free }\n  Log.write(left)\nend",
             {"board", "ferry", "late", "left", "seat"}, {"seats", "select", "free", "Log", "write"}),
    "php": ("function board($ferry) {\n  $left = $ferry->seats();\n  return Harbour::count($left) + spare($left);\n}",
            {"board"}, {"seats", "Harbour", "count", "spare"}),
    "kotlin": ("fun board(ferry: Ferry): Int {\n  val left = ferry.seats()\n  return count(left)\n}",
               {"board", "ferry", "left"}, {"Ferry", "Int", "seats", "count"}),
    "swift": ("func board(ferry: Ferry) -> Int {\n  let left = ferry.seats()\n  return count(left)\n}",
              {"board", "ferry", "left"}, {"Ferry", "Int", "seats", "count"}),
    "scala": ("def board(ferry: Ferry): Int = {\n  val left = ferry.seats()\n  count(left)\n}",
              {"board", "ferry", "left"}, {"Ferry", "Int", "seats", "count"}),
    "lua": ("function board(ferry)\n  local left = ferry.seats()\n  return count(left)\nend",
            {"board", "ferry", "left"}, {"seats", "count"}),
    "bash": ("board() {\n  local left=$(count_seats \"$1\")\n  report --left \"$left\"\n}",
             {"board"}, {"count_seats", "report"}),
}  # fmt: skip


@pytest.mark.parametrize("language", FUNCTIONS)
def test_names_that_code_makes_and_names_of_others_are_told_apart(language: str) -> None:
    text, made, used = FUNCTIONS[language]
    code = read_code(text, language)
    assert code.is_whole
    assert made_and_used(code)[1] == used
    assert made <= made_and_used(code)[0]


@pytest.mark.parametrize("language", FUNCTIONS)
def test_a_function_is_itself_whatever_its_layout_and_another_when_a_name_changes(language: str) -> None:
    text, _, used = FUNCTIONS[language]
    name = max(used)
    code, other = read_code(text, language), read_code(text.replace(name, "zz_other"), language)
    looser = read_code(text.replace("  ", "      ") + "\n\n", language)
    assert same_code(looser, code) == identifier_f1(looser, code) == tree_match(looser, code) == 1
    assert same_code(other, code) == 0
    assert tree_match(other, code) == 1  # a name is not in the tree
    assert identifier_f1(other, code) < 1
    broken = read_code(text[: -len(text) // 3], language)
    assert not broken.is_whole or language in ("python", "ruby", "bash")  # what is cut may still be whole there


@pytest.mark.parametrize("language", sorted(GRAMMARS))
def test_prose_and_nothing_are_no_code(language: str) -> None:
    assert not read_code("", language).is_whole
    assert not read_code("I don't know how (sorry) to {do that.", language).is_whole
    assert score_code("The documents do not say.", reference="x = 1", language="python").scores["parses"] == 0


def test_code_that_speaks_of_what_is_unknown_declines_nothing() -> None:
    code = 'def seats(ferry):\n    """Seats left; -1 where the ferry is unknown."""\n    return ferry.left'
    assert score_code(code, reference=code, language="python").scores["parses"] == 1
    assert score_code("It is not mentioned.", reference="echo ferry", language="bash").scores["parses"] == 0


def test_where_the_reference_does_not_parse_no_answer_is_asked_to() -> None:
    macros = "FERRY_API(int) seats( {\n  return LEFT\n}"
    scores = score_code("int seats() { return 1; }", reference=macros, language="cpp").scores
    assert "parses" not in scores
    assert 0 < scores["identifier_f1"] < 1


def test_figures_by_hand() -> None:
    code, other = read_code("def f(a):\n    return a", "python"), read_code("def f(a):\n    return a + a", "python")
    # names: f, a, a and f, a, a, a: three in common, 2 * 3 / 7
    assert identifier_f1(code, other) == pytest.approx(6 / 7)
    # Subtrees of the first: module, function, parameters, block, return. Of the second: a binary operation more. Only
    # the parameters are alike: what holds the return statement is another tree. 2 * 1 / (5 + 6).
    assert tree_match(code, other) == pytest.approx(2 / 11)
    # "abcd" and "abd": 3 characters in common, 2 * 3 / 7; blank lines and spaces at line ends do not count
    assert edit_similarity("abcd  \n\n", "abd") == pytest.approx(6 / 7)
    assert edit_similarity("x\n\n  y", "x\n  y") == 1


def test_code_is_taken_from_its_fences_and_from_a_plain_answer() -> None:
    assert code_in("Here:\n```python\nx = 1\n```\nand\n~~~\ny = 2\n~~~\n") == "x = 1\n\ny = 2\n"
    assert code_in("```py\nx = 1\ny = ") == "x = 1\ny = "  # cut off
    assert code_in("x = 1") == "x = 1"
    assert [fenced_language(text) for text in ("```C++\nint x;\n```", "So: ```c\nint x;\n```", "int x;")] == [
        "cpp",
        "",
        "",
    ]


@pytest.mark.parametrize("case", REFERENCE["code"], ids=lambda case: f"{case['language']}: {case['answer'][:20]}")
def test_code_scores_as_other_programs_have_it(case: dict[str, object]) -> None:
    answer, reference, language = str(case["answer"]), str(case["reference"]), str(case["language"])
    given, wanted = (subtrees(read_code(text, language)) for text in (answer, reference))
    recall = sum(number for tree, number in wanted.items() if tree in given) / wanted.total()
    assert recall == pytest.approx(case["codebleu_syntax_match"], abs=1e-12)
    assert round(100 * edit_similarity(answer, reference)) == pytest.approx(case["thefuzz_ratio"], abs=1)


def corpus(folder: Path) -> Path:
    rows = [
        {
            "language": "python",
            "text": "def moor(ferry):\n    # a quay, and no tide_gauge\n    return quay_of(ferry)\n",
        },
        {
            "language": "",
            "text": "Call `lower_ramp` first.\n\n```python\nstow(cars)\n```\n\nThen capsize them by hand.",
        },
    ]
    (folder / "documents.parquet").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "documents.parquet" / "part-0.parquet")
    return folder


def test_invented_names_are_those_that_nothing_has(tmp_path: Path) -> None:
    answer = (
        "```python\nimport json, seaport\ndef load(ferry):\n    cars = quay_of(ferry)\n    lower_ramp(cars)\n"
        "    stow(cars)\n    capsize(cars)\n    tide_gauge()\n    return json.dumps(sorted(cars, key=dock_rank))\n```"
    )
    question = Question("q", "d", "", "Write load.", "def load(ferry):\n    return None", language="python")
    prose = Question("p", "d", "", "Who?", "The mate.", ("mate",))
    asked = Done(0, "question", "base", answer=answer, prompt="Write load with dock_rank.", scores={"token_f1": 0.5})
    other = Done(1, "question", "base", answer="The mate.", scores={"token_f1": 1.0})
    scored = with_code_scores([asked, other], [question, prose], corpus(tmp_path))
    # Used: json, seaport, quay_of, lower_ramp, stow, capsize, tide_gauge, dumps, sorted, key, dock_rank. Python has
    # json, dumps, sorted and key, the prompt dock_rank, the code quay_of, the prose lower_ramp and stow as code. What a
    # comment or plain prose says is no name: capsize, seaport and tide_gauge are invented, 3 of 11.
    assert scored[0].invented == "capsize, seaport, tide_gauge"
    assert scored[0].scores["invented_symbols"] == pytest.approx(3 / 11)
    assert scored[0].scores["parses"] == 1
    assert scored[0].scores["token_f1"] == 0.5
    assert scored[1] is other


def test_names_are_counted_and_garbage_as_deep_as_it_is_long_is_read() -> None:
    assert names(read_code("a.b(a)", "python")) == {"a": 2, "b": 1}
    deep = read_code("f(" * 5000, "python")
    assert not deep.is_whole
    assert tree_match(deep, read_code("f(x)", "python")) < 1


def test_fences_are_found_line_by_line() -> None:
    text = "Before\n```python\na = 1\n```\nbetween\n~~~~ c++ x\n```\n~~~\n~~~~\n  ```\nopen"
    assert [(b.first, b.last, b.name, b.body) for b in fenced_in(text)] == [
        (1, 3, "python", "a = 1\n"), (5, 8, "c++", "```\n~~~\n"), (9, 10, "", "open"),
    ]  # fmt: skip
    assert fenced_in("```") == []
    texts = ("```py\nx\n```\n", "```py\nx", "```py\nx\n```\nmore", "```py\n~~~\n1\n~~~\n```")
    assert [fenced_language(text) for text in texts] == ["python", "python", "", ""]
