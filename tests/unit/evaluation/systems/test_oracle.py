"""+oracle is shown the passage that answers: the question's own, or the one of its document that holds the facts."""

from dataclasses import replace

from ray_ft.config import EvaluationConfig
from ray_ft.evaluation.compare import Exam, _tasks
from ray_ft.evaluation.systems.gold import with_gold
from ray_ft.rows import Chunk, Question

DOGS = Chunk("pets#passage-0", "pets", "Dogs travel on a lead in the aft lounge.", 10, ("Pets", "Dogs"))
CATS = Chunk("pets#passage-1", "pets", "Cats travel in a closed basket.", 8, ("Pets", "Cats"))
OTHER = Chunk("ship#passage-0", "ship", "The aft lounge is on deck 3.", 8, ("Ship",))
PASSAGES = [CATS, OTHER, DOGS]
ASKED = Question("q1", "pets", "", "Where should my puppy sit?", "Dogs travel in the aft lounge.", ("aft lounge",))


def test_a_question_finds_the_passage_of_its_document_that_holds_its_facts() -> None:
    assert with_gold(ASKED, PASSAGES).chunk_id == DOGS.id
    assert with_gold(replace(ASKED, chunk_id=CATS.id), PASSAGES).chunk_id == CATS.id
    assert with_gold(replace(ASKED, key_facts=("hen house",)), PASSAGES).chunk_id == ""
    assert with_gold(replace(ASKED, answerable=False), PASSAGES).chunk_id == ""


def test_an_oracle_sees_the_right_passage_alone_and_retrieval_what_it_found() -> None:
    unknown = Question("q2", "line 2", "", "What does a bottle of water cost?", "", answerable=False)
    systems = ("base", "base+rag", "base+oracle")
    questions = [with_gold(ASKED, PASSAGES), unknown]
    exam = Exam(systems, questions, 2, PASSAGES, [[CATS, DOGS, OTHER], [OTHER]], [], num_passages=2)
    shown = {(task.system, task.index): task.passages for task in _tasks(exam, EvaluationConfig())}
    dogs, cats = f"Pets > Dogs\n{DOGS.text}", f"Pets > Cats\n{CATS.text}"
    assert [shown[system, 0] for system in systems] == [(), (cats, dogs), (dogs,)]
    assert [shown[system, 1] for system in systems] == [(), (f"Ship\n{OTHER.text}",), ()]
