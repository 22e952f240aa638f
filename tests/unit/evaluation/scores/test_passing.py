"""pass@k: the estimator by hand, and programs that are run by a command alone, within its bounds."""

import itertools
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ray_ft.config import CodeTestsConfig
from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.tasks import Done, Task
from ray_ft.evaluation.scores.code.passing import pass_at_k, sample_tasks, with_pass_scores
from ray_ft.evaluation.scores.code.sandbox import MAX_OUTPUT, command_words, run_program
from ray_ft.rows import Question

TESTED = Question(
    "q1", "d", "", "Add.", "def add(a, b):\n    return a + b", language="python", test="assert add(1, 2) == 3"
)
SANDBOX = CodeTestsConfig(
    command=f"{sys.executable} -c 'import sys; exec(open(sys.argv[1]).read() + open(sys.argv[2]).read())'"
)
RIGHT, WRONG = "```python\ndef add(x, y):\n    return x + y\n```", "def add(x, y):\n    return x - y"


def test_the_estimator_is_the_share_of_draws_with_a_program_that_passes() -> None:
    # Counted over all draws of k programs, of which the first c pass.
    for n, c, k in ((5, 2, 1), (5, 2, 2), (5, 2, 4), (5, 0, 3), (5, 5, 1), (10, 3, 5)):
        draws = list(itertools.combinations(range(n), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(min(d) < c for d in draws) / len(draws))


def test_answers_that_pass_their_test_are_told_and_nothing_runs_without_a_command(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    harm = f"open({str(mark)!r}, 'w')"
    done = [Done(0, "question", "base", answer=harm), Done(0, "question", "tuned", answer=RIGHT)]
    kept = with_pass_scores(done, [TESTED], CodeTestsConfig())
    assert kept.done == done
    assert "1 questions bring a test that was not run" in kept.notes[0]
    assert not mark.exists()
    passed = with_pass_scores(done, [TESTED], SANDBOX)
    assert [d.scores for d in passed.done] == [{"pass@1": 0.0}, {"pass@1": 1.0}]
    assert mark.exists()
    assert [(row["system"], row["passed"]) for row in passed.rows] == [
        ("reference", True), ("base", False), ("tuned", True),
    ]  # fmt: skip


def test_of_drawn_programs_any_may_pass_and_the_answer_itself_is_not_counted() -> None:
    tests = replace(SANDBOX, num_samples=3, k=(1, 2))
    task = Task(0, "question", "base", "Add.")
    plain = Question("q2", "d", "", "Who?", "The mate.")
    tasks = sample_tasks([task, replace(task, index=1)], [TESTED, plain], tests)
    assert [(t.index, t.kind, t.sample, t.temperature) for t in tasks] == [(0, "sample", i, 0.8) for i in (1, 2, 3)]
    assert sample_tasks([task], [TESTED], SANDBOX) == []
    done = [Done(0, "question", "base", answer=WRONG)]
    done += [Done(0, "sample", "base", sample=i + 1, answer=text) for i, text in enumerate((RIGHT, WRONG, WRONG))]
    (answer,) = with_pass_scores(done, [TESTED, plain], tests).done
    # 1 of 3: pass@1 = 1/3, pass@2 = 1 - C(2, 2) / C(3, 2) = 2/3
    assert answer.scores == {"pass@1": pytest.approx(1 / 3), "pass@2": pytest.approx(2 / 3)}


def test_a_test_that_the_reference_fails_says_nothing_of_the_systems() -> None:
    broken = replace(TESTED, id="q3", test="assert add(1, 2) == 4, 'bad test'")
    done = [Done(i, "question", "base", answer=RIGHT) for i in range(2)]
    passed = with_pass_scores(done, [TESTED, broken], SANDBOX)
    assert [dict(d.scores) for d in passed.done] == [{"pass@1": 1.0}, {}]
    assert passed.notes[0].startswith(
        "1 of 2 questions with a test have no pass@k: their own reference fails it, e.g. q3:"
    )


def test_a_command_that_is_not_there_costs_its_figures_alone() -> None:
    done = [Done(0, "question", "base", answer=RIGHT, scores={"token_f1": 1.0})]
    passed = with_pass_scores(done, [TESTED], CodeTestsConfig(command="no-such-sandbox --net none"))
    assert passed.done == done
    assert "there is no program 'no-such-sandbox'" in passed.notes[0]
    with pytest.raises(ConfigError, match="is no command"):
        command_words(CodeTestsConfig(command="python '"))


def test_programs_see_no_environment_end_in_time_and_print_no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "x")
    words = command_words(SANDBOX)

    def run(program: str, timeout_s: float = 20) -> tuple[bool, str]:
        ran = run_program(program, "", language="python", words=words, timeout_s=timeout_s)
        return ran.passed, ran.said

    assert run("import os; assert not {'SECRET_OF_OURS', 'PATH'} & set(os.environ); print('ok')") == (True, "ok")
    passed, said = run("for _ in range(100000): print('flood' * 10)")
    assert passed
    assert len(said) <= MAX_OUTPUT
    started = time.monotonic()
    assert run("import time; time.sleep(60)", timeout_s=0.5) == (False, "stopped after 0.5 s")
    assert time.monotonic() - started < 20
    assert run("raise SystemExit(3)") == (False, "exit code 3")


def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    program = f"""import os, time
if os.fork() == 0:
    open({str(mark)!r}, 'w').write(str(os.getpid()))
    time.sleep(60)
while not os.path.exists({str(mark)!r}):
    time.sleep(0.01)
"""
    words = command_words(SANDBOX)
    assert run_program(program, "", language="python", words=words, timeout_s=20).passed
    pid = int(mark.read_text())
    until = time.monotonic() + 10
    while time.monotonic() < until and Path(f"/proc/{pid}/stat").exists():
        if Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z":
            break
        os.sched_yield()
    else:
        assert not Path(f"/proc/{pid}").exists()
