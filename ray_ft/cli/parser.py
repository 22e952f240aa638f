"""The grammar of `ray-ft`: its verbs, and the flags that each takes."""

import argparse

VERBS = {
    "prepare": "turn documents and code into a training set",
    "inspect": "show what the training set holds; write it for others",
    "advise": "say what to start with for this corpus and goal, and why",
    "plan": "predict memory, time and cost; choose the strategy",
    "train": "tune the model",
    "evaluate": "compare base, tuned and retrieval; write the report",
    "review": "look through the exam's questions: keep, mend or drop each",
    "compare": "compare two runs on the questions that both were asked",
    "gate": "say by an exit code whether a run may go on: 0 yes, 3 no",
    "bench": "measure speed, memory and quality by how weights are held",
    "serve": "serve the base and its adapters over HTTP",
    "run": "prepare, plan, train and evaluate; skips what is done",
    "sweep": "train a trial for every setting of sweep.parameters; tell which did best",
    "submit": "run a verb as a job on a Ray cluster that is there",
    "export": "write the tuned model in plain PEFT or Hugging Face format",
    "show": "list the recipes, strategies, engines, retrievers and trackers; or a config and its run",
}
JOB_VERBS = ("prepare", "plan", "train", "evaluate", "bench", "serve", "run", "sweep", "show")
RESUMED_VERBS = ("train", "run", "sweep")


def build_parser() -> argparse.ArgumentParser:
    """The parser of `ray-ft`; one sub-parser per verb."""
    parser = argparse.ArgumentParser(
        prog="ray-ft",
        description="Fine-tune open language models on your own documents and code, on your own Ray cluster.",
        epilog="What a run is lives in CONFIG and its key=value overrides; flags only say how the command behaves.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_VerbParser)
    for verb, text in VERBS.items():
        sub = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        if verb in ("compare", "gate"):
            sub.add_argument("config", metavar="RUN", help="run folder, or the YAML file of its run")
            if verb == "compare":
                sub.add_argument("other", metavar="RUN_B", help="the run that is held against it")
        elif verb in ("show", "submit"):  # `submit --stop ID` needs none
            sub.add_argument("config", nargs="?", metavar="CONFIG", help="YAML file")
        else:
            sub.add_argument("config", metavar="CONFIG", help="YAML file")
        if verb == "submit":
            sub.add_argument("job_verb", nargs="?", metavar="verb", help=f"one of {', '.join(JOB_VERBS)}; default run")
            sub.add_argument("--detach", action="store_true", help="return once the job is submitted")
            sub.add_argument("--stop", metavar="ID", help="stop a submitted job instead of submitting one")
        sub.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="override a key of CONFIG")
        if verb == "gate":
            sub.add_argument("--min-gain", type=float, default=0.0, metavar="X", help="share of key facts; default 0")
            sub.add_argument("--max-loss", type=float, default=0.05, metavar="X", help="the same; default 0.05")
            sub.add_argument("--against", metavar="RUN", help="a run that this one must not fall behind")
        if verb == "serve":
            sub.add_argument("--detach", action="store_true", help="return once the endpoint answers")
        if verb in ("prepare", "train", "evaluate", "bench", "run", "sweep"):
            sub.add_argument("--force", action="store_true", help="rebuild what is there")
        if verb == "inspect":
            sub.add_argument("--examples", type=int, default=3, metavar="N", help="examples shown; default 3")
            sub.add_argument("--dropped", action="store_true", help="show examples that were left out")
            sub.add_argument("--to", metavar="FOLDER", help="write JSONL, Parquet and a dataset card")
        if verb == "prepare":
            sub.add_argument("--retry-quarantined", action="store_true", help="read files again whose parsers failed")
        if verb == "evaluate":
            sub.add_argument("--plan", action="store_true", help="only say what the exam can show; asks nothing")
        if verb == "review":
            sub.add_argument("--page", metavar="FILE", help="write a page to do it in a browser; asks nothing here")
            sub.add_argument("--to", metavar="FILE", help="where kept ones go; default RUN/questions.reviewed.jsonl")
        if verb in RESUMED_VERBS:
            sub.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
        if verb == "train":
            sub.add_argument(
                "--dry-run", action="store_true", help="prepare, plan, check and show examples; no training"
            )
        if verb == "advise":
            sub.add_argument("--goal", help="facts, style, code or format; default CONFIG's goal, else guessed")
            sub.add_argument("--write", metavar="FILE", help="write the suggested configuration, which `plan` takes")
        if verb == "plan":
            sub.add_argument("--check", action="store_true", help="trace the chosen row's memory too (10 seconds)")
        if verb == "plan":
            sub.add_argument("--max-hours", type=float, metavar="N", help="the smallest clusters that train in N hours")
        if verb == "export":
            sub.add_argument("--to", required=True, metavar="FOLDER", help="where to write")
            sub.add_argument("--merge", action="store_true", help="fold the adapter into its base")
            dtypes = ("bf16", "fp16", "fp32")
            sub.add_argument("--dtype", choices=dtypes, help="of whole weights; default bf16 after training on GPUs")
        sub.add_argument("--address", metavar="URL", help="Ray cluster; default RAY_ADDRESS, else one on this machine")
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--verbose", action="store_true", help="more log lines, and tracebacks")
    return parser


class _VerbParser(argparse.ArgumentParser):
    """Takes flags and key=value in any order: `plan CONFIG --json plan.gpu=L4`."""

    _inside = False

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        if self._inside:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False
