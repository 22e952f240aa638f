"""Code that is trained on is asked for: the exam of a run with code_summary holds questions whose answer is code."""

from ray_ft.data.build.questions import make_questions
from ray_ft.data.formats.code import parse_code
from ray_ft.recipes import CodeSummary, Heading, Recipe
from ray_ft.rows import Document, Question

CODE = '''def board(ferry, cars):
    """Put cars on the ferry, heaviest first."""
    for car in sorted(cars, key=weight_of):
        ferry.stow_below(car)


def silent(ferry):
    return ferry.seats
'''


def asked(recipes: tuple[Recipe, ...], prompts: tuple[str, ...] = ()) -> list[Question]:
    parsed = parse_code(CODE, language="python")
    document = Document("d:ferry.py", CODE, "ferry.py", "python", "python", parsed.blocks, {}, parsed.definitions)
    return make_questions(
        document, split="test", passages=[], prompts=prompts, recipes=recipes, max_tokens=64,
        count_tokens=lambda text: len(text.split()), generate=None,
    )  # fmt: skip


def test_a_function_that_says_what_it_does_is_asked_for_in_words_that_training_has_not() -> None:
    described, written = asked((CodeSummary(),))
    assert (described.kind, described.language) == ("summarise", "")
    assert (written.kind, written.language, written.stratum) == ("implement", "python", "held_out")
    assert written.reference == CODE.split("\n\n\n")[0]
    assert "board" in written.question
    assert "heaviest first" in written.question
    # What the question says already is no fact: its own name is not, the functions that it must know of are.
    assert "weight_of" in written.key_facts
    assert not [fact for fact in written.key_facts if fact in written.question]
    recipe = CodeSummary()
    parsed = parse_code(CODE, language="python")
    document = Document("d:ferry.py", CODE, "ferry.py", "python", "python", parsed.blocks, {}, parsed.definitions)
    (example,) = recipe.examples(recipe.chunk(document, lambda text: len(text.split())), None)
    assert example.prompt != written.question
    assert written not in asked((recipe,), (written.question,))


def test_code_is_not_asked_for_where_it_is_not_trained_on() -> None:
    assert [question.kind for question in asked((Heading(),))] == ["summarise"]
