"""Rules on what the corpus holds: recipes, what to expect, and what to mend first. Each says one thing, or None."""

from collections.abc import Callable

from ray_ft.advising.case import FEW_ROWS, MANY_TOKENS, Case, counted
from ray_ft.artifacts import Remark

Rule = Callable[[Case], Remark | None]

PHRASINGS = 4
CONTEXT = 0.5  # share of the examples that are also shown with passages
WELL_READ = 2.5  # tokens a word, signs among them, above which a tokenizer hardly knows a text
NOTABLE = 0.05  # share of the letters
FEW_HELD_OUT = 20  # documents, below which an exam finds a gain of 30 points in less than two of three times
CURATED = 1000  # examples


def few_rows(case: Case) -> Remark | None:
    """A corpus like the paper's."""
    rows = case.profile.num_rows
    if case.goal != "facts" or rows > FEW_ROWS:
        return None
    return Remark(
        "few_rows", "expect", f"gist, not detail, from {counted(rows, 'row')}",
        "with 33 rows answers were right in gist and wrong in fact", ("2404.10779 T4,T7",), "B",
    )  # fmt: skip


def one_wording(case: Case) -> Remark | None:
    """Each fact is asked for in one way."""
    if case.goal != "facts" or not case.has_documents or case.is_raw or case.profile.wordings >= PHRASINGS - 1:
        return None
    engine = "" if case.config.data.generator is not None else ", by data.generator"
    return Remark(
        "one_wording", "expect", f"little from one wording of a fact; have {PHRASINGS} or more written{engine}",
        "28% of key facts with one, 75% with four; each paraphrase helped",
        ("wordings", "2312.05934 T2"), "A",
        settings={"data.recipes": [{"name": "qa", "phrasings": PHRASINGS}]},
    )  # fmt: skip


def rare_facts(case: Case) -> Remark | None:
    """Much text says most things once."""
    if case.goal != "facts" or case.profile.num_tokens < MANY_TOKENS:
        return None
    return Remark(
        "rare_facts", "expect", "facts that stand in one place only to be missed",
        "it took hundreds of varied mentions of a fact, made by an engine, to learn a small corpus", ("2409.07431",),
        "A",
    )  # fmt: skip


def ask_questions(case: Case) -> Remark | None:
    """People will ask."""
    if case.goal not in ("facts", "style", "format") or not case.has_documents or case.is_raw:
        return None
    return Remark(
        "ask_questions", "recipe", "qa",
        "prompts look like what users ask; the paper's choice, without scores",
        ("2404.10779 s4.1",), "C",
        settings={"data.recipes": ["qa"]},
    )  # fmt: skip


def train_with_passages(case: Case) -> Remark | None:
    """Who will answer with passages in front of the question has to have seen some."""
    if case.goal != "facts" or not case.has_documents or case.is_raw:
        return None
    if "tuned+rag" not in case.config.evaluation.systems:
        return None
    return Remark(
        "train_with_passages", "recipe", f"context {CONTEXT:g} of qa, for answers with retrieval",
        "trained with passages and distractors it learns to quote and to ignore noise; the share is open",
        ("2403.10131",), "A",
        settings={"data.recipes": [{"name": "qa", "context": CONTEXT}]},
    )  # fmt: skip


def follow_headings(case: Case) -> Remark | None:
    """Structure says what a passage is about."""
    if not case.has_documents or case.is_raw or case.profile.heading_share < 0.3:
        return None
    return Remark(
        "follow_headings", "recipe", f"heading: {case.profile.heading_share:.0%} of the documents have headings",
        "the path names the topic; answers were fuller", ("2404.10779 s4.1,s5.1",), "C",
        settings={"data.recipes": ["heading"]},
    )  # fmt: skip


def keywords(case: Case) -> Remark | None:
    """Nothing else says what a passage is about."""
    bare = case.profile.heading_share < 0.3 and case.config.data.generator is None
    if not case.has_documents or case.is_raw or not bare or case.profile.transcript_share > 0.5:
        return None
    return Remark(
        "keywords", "recipe", f"keyword: {case.profile.heading_share:.0%} of the documents have headings",
        "it needs neither headings nor an engine; answers get terse", ("2404.10779 s4.1",), "C",
        settings={"data.recipes": ["keyword"]},
    )  # fmt: skip


def read_on(case: Case) -> Remark | None:
    """Hundreds of megabytes."""
    if not case.has_documents or not case.is_raw:
        return None
    return Remark(
        "read_on", "recipe", f"paragraph: {case.profile.num_tokens / 1e6:,.0f} million tokens of text",
        "from hundreds of megabytes on, packed passages go on with pre-training", ("2404.10779 s4.1,s6",), "C",
        settings={"data.recipes": ["paragraph"]},
    )  # fmt: skip


def describe_code(case: Case) -> Remark | None:
    """Docstrings are summaries that somebody wrote."""
    share = case.profile.docstring_share
    if not case.has_code or share < 0.3:
        return None
    return Remark(
        "describe_code", "recipe", f"code_summary, code_metadata: {share:.0%} of functions have docstrings",
        "a description, then the body; shown on 13,807 Java functions", ("2404.10779 s4.2,T11-12",), "C",
        settings={"data.recipes": ["code_summary", "code_metadata"]},
    )  # fmt: skip


def complete_code(case: Case) -> Remark | None:
    """Code without words about it, or code to be completed."""
    share = case.profile.docstring_share
    if not case.has_code or (share >= 0.3 and case.goal != "code"):
        return None
    return Remark(
        "complete_code", "recipe", "code_raw, for completion",
        "it needs no docstrings and has the task's own form", ("2404.10779 s4.2",), "C",
        settings={"data.recipes": ["code_raw"]},
    )  # fmt: skip


def mixed_corpus(case: Case) -> Remark | None:
    """Each recipe takes what it is for."""
    if not (case.has_code and case.has_documents):
        return None
    share = case.profile.code_share
    return Remark(
        "mixed_corpus", "recipe", f"recipes of both kinds, as {share:.0%} of the text is code",
        "each takes documents or code alone; weight says how often an epoch shows it", ("recipes.md",), "B",
    )  # fmt: skip


def curated_chats(case: Case) -> Remark | None:
    """Conversations that are written already."""
    count = case.profile.num_records
    if not count or case.goal not in ("style", "format"):
        return None
    enough = "enough for a style" if count >= CURATED else f"curate towards {CURATED:,}"
    return Remark(
        "curated_chats", "recipe", f"the given examples as they are, {count:,}: {enough}",
        f"{CURATED:,} curated ones taught a 65B model its manner", ("2305.11206",), "A",
    )  # fmt: skip


def transcripts(case: Case) -> Remark | None:
    """Chats among the documents."""
    share = case.profile.transcript_share
    if share < 0.2:
        return None
    return Remark(
        "transcripts", "mend", f"{share:.0%} of the documents' text reads like a chat; make it JSONL with messages",
        "data.datasets trains the assistant's turns alone; a recipe would train every line", ("chat.md",), "B",
    )  # fmt: skip


def duplicates(case: Case) -> Remark | None:
    """Copies and near copies."""
    share = case.profile.duplicate_share
    if share < 0.05:
        return None
    return Remark(
        "duplicates", "mend", f"keep data.deduplicate at near: {share:.0%} of the files are copies",
        "without copies a model recites a tenth as often, and the exam leaks less", ("2107.06499",), "A",
        settings={"data.deduplicate": "near"},
    )  # fmt: skip


def tables(case: Case) -> Remark | None:
    """Rows of figures."""
    share = case.profile.table_share
    if share < 0.15:
        return None
    return Remark(
        "tables", "mend", f"look at the tables by `ray-ft inspect`; they are {share:.0%} of the documents' text",
        "a table stays whole only where max_chunk_tokens holds it", ("recipes.md",), "B",
    )  # fmt: skip


def foreign_script(case: Case) -> Remark | None:
    """The tokenizer cuts words of a script to pieces."""
    shares, tokens = case.profile.scripts, case.profile.script_tokens
    torn = [name for name in tokens if tokens[name] > WELL_READ and shares.get(name, 0) >= NOTABLE]
    if not torn:
        return None
    worst = max(torn, key=lambda name: tokens[name])
    return Remark(
        "foreign_script", "model",
        f"compare bases; here {worst} text, {shares[worst]:.0%} of it, takes {tokens[worst]:.1f} tokens a word",
        "tokens of the same text differ up to 15 times between languages", ("2305.15425",), "A",
    )  # fmt: skip


def no_template(case: Case) -> Remark | None:
    """A base that never chatted."""
    if case.profile.has_chat_template or case.is_raw:
        return None
    return Remark(
        "no_template", "model", "take the model's instruct version, or give model.chat_template",
        "questions and answers need a chat template, and this tokenizer has none", ("chat.md",), "B",
    )  # fmt: skip


def code_base(case: Case) -> Remark | None:
    """Code, and a base for everything."""
    name = case.config.model.name.lower()
    if case.goal != "code" or any(word in name for word in ("code", "starcoder", "devstral")):
        return None
    return Remark(
        "code_base", "model", "try a code model of the same size beside this base",
        "the paper took Code Llama for its code", ("2404.10779 s4.2,T8",), "C",
    )  # fmt: skip


def few_held_out(case: Case) -> Remark | None:
    """An exam that cannot tell."""
    count = case.profile.num_held_out
    if count >= FEW_HELD_OUT:
        return None
    return Remark(
        "few_held_out", "exam",
        f"add questions of yours (evaluation.questions) to {counted(count, 'document')} held out",
        "a gain of 30 points shows in 1% of exams of 6, 64% of 20, 97% of 50", ("verdicts.md",),
        "A",
    )  # fmt: skip


CORPUS_RULES: tuple[Rule, ...] = (
    few_rows, rare_facts, one_wording, ask_questions, train_with_passages, follow_headings, keywords, read_on,
    describe_code, complete_code, mixed_corpus, curated_chats, transcripts, duplicates, tables, foreign_script,
    no_template, code_base, few_held_out,
)  # fmt: skip
"""In the order in which they are told."""
