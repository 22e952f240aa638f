"""`bench`: how fast the run's model answers, in how much memory and how well, by how it is held."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray_ft import artifacts
from ray_ft.api.base_model import base_path
from ray_ft.api.fingerprints import bench_inputs
from ray_ft.api.run_folder import existing_artifact, if_there
from ray_ft.api.session import ray_session
from ray_ft.artifacts import Bench, TrainingSet, TunedModel
from ray_ft.config import Config
from ray_ft.errors import RayFTError
from ray_ft.hardware import configured_price


def bench(config: Config, *, force: bool = False) -> Bench:
    """Measure speed, memory and quality of base, adapter and merged model, by how their weights are held.

    What the run has not got yet, a tuned model or questions, is left out. Writes bench.json, bench.html, bench.md and
    every answer. Raises DataError where nothing can be measured.
    """
    from ray_ft.evaluation.bench.page import render_html, render_markdown
    from ray_ft.evaluation.bench.run import exam_of, gather, measure_variants
    from ray_ft.evaluation.bench.variants import engine_of, loads_of
    from ray_ft.evaluation.report.samples import write_lines

    engine = engine_of(config.engine)
    training_set, tuned = if_there(TrainingSet, config), if_there(TunedModel, config)
    inputs = bench_inputs(config, training_set, tuned)
    existing = existing_artifact(Bench, config, inputs, verb="bench", force=force)
    if existing is not None and Path(existing.html_path).is_file():
        return existing
    folder = config.run_path.resolve() / "bench"
    with ray_session(config):
        base = tuned.base_path if tuned is not None else base_path(config)
        merged, refused = _merged(config, tuned, folder / "merged")
        questions = []
        if training_set is not None:
            asked = config.bench.num_questions
            questions = exam_of(training_set, config.evaluation, num_questions=asked, seed=config.seed)
        loads = list(
            loads_of(
                config.bench, engine, base_path=base, tuned=tuned, merged_path=merged, merge_refused=refused,
                dtype=_dtype(engine),
            )
        )  # fmt: skip
        answers: list[dict[str, Any]] = []
        try:
            rows = measure_variants(
                loads,
                bench=config.bench,
                questions=questions,
                model=config.model,
                evaluation=config.evaluation,
                seed=config.seed,
                price_per_hour=configured_price(config.plan, num_gpus=engine.num_gpus),
                on_row=lambda variant, done: answers.extend(
                    {"variant": variant.name, "id": questions[d.index].id, "answer": d.answer} for d in done
                ),
            )
        finally:
            shutil.rmtree(folder / "merged", ignore_errors=True)
    notes = _notes(training_set, tuned, len(questions))
    made = gather(
        rows,
        model=config.model.name,
        bench=config.bench,
        num_questions=len(questions),
        fingerprint=artifacts.digest(inputs),
        notes=notes,
    )
    made = replace(made, html_path=str(config.run_path.resolve() / "bench.html"))
    write_lines(folder / "answers.jsonl", answers)
    artifacts.write_text(Path(made.html_path), render_html(made))
    artifacts.write_text(Path(made.html_path).with_suffix(".md"), render_markdown(made))
    artifacts.save(made, config.run_path, inputs)
    return made


def _merged(config: Config, tuned: TunedModel | None, path: Path) -> tuple[str, str]:
    """Folder of the merged model, made for as long as it is measured; or why there is none."""
    if tuned is None or not tuned.is_adapter or "merged" not in config.bench.forms:
        return "", ""
    from ray_ft.training.export.model_folder import export_model

    shutil.rmtree(path, ignore_errors=True)  # of a call that was killed
    try:
        return str(export_model(tuned, path=str(path), merge=True, chat_template=config.model.chat_template)), ""
    except RayFTError as error:
        return "", str(error)


def _dtype(engine: Any) -> str:
    """In which unquantised weights are held, in torch's words."""
    import ray

    return (
        str(engine.dtype) if engine.dtype != "auto" else "bfloat16" if ray.cluster_resources().get("GPU") else "float32"
    )


def _notes(training_set: TrainingSet | None, tuned: TunedModel | None, num_questions: int) -> list[str]:
    notes = ["Intervals are over repeats in one process: another machine, or a busy one, is not in them."]
    if training_set is None:
        notes.append("Quality is not measured: the run has no questions yet, which `ray-ft prepare CONFIG` makes.")
    elif num_questions:
        notes.append(
            f"Quality is of {num_questions} questions, seen and held out together: it tells variants apart, and not "
            "how well the model does, which `ray-ft evaluate CONFIG` tells."
        )
    if tuned is None:
        notes.append("The run has no tuned model yet, so only its base is measured.")
    return notes
