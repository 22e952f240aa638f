"""Questions about sections that every manual has: nobody asks what a command says about its “Options”."""

import re

from ray_ft.recipes.chunking.chunks import clean_title
from ray_ft.recipes.questions.topics import Topic, named
from ray_ft.rows import Chunk
from ray_ft.words import num_words

_WORDINGS = {
    "What does {subject} do?": ("description",),
    "What is {subject} about?": ("overview",),
    "Which options does {subject} take?": ("options", "command line options", "command-line options"),
    "Which parameters does {subject} have?": ("parameters", "parameter", "arguments"),
    "What does {subject} return?": ("return value", "return values", "returns", "return type"),
    "Which commands does {subject} have?": ("commands", "subcommands", "sub-commands"),
    "Which environment variables does {subject} use?": ("environment", "environment variables"),
    "Which exit status does {subject} give?": ("exit status", "exit code", "exit codes", "exit values"),
    "Which files does {subject} use?": ("files",),
    "How is {subject} configured?": ("configuration", "configuration parameters"),
    "Which configuration variables does {subject} read?": ("configuration variables",),
    "What does {subject} print?": ("output",),
    "Which outputs does {subject} have?": ("outputs",),
    "How is {subject} used?": ("usage",),
    "How compatible is {subject}, and with what?": ("compatibility",),
    "Which limits does {subject} have?": ("limitations", "restrictions"),
    "What does {subject} require?": ("requirements", "prerequisites"),
}
USUAL = {title: wording for wording, titles in _WORDINGS.items() for title in titles}
"""By title in small letters: how one asks for it."""
ASKED_WHOLE = frozenset({"How is {subject} configured?"})
ENTRY = re.compile(r"^(?:[-*+] \S|`[^`\n]+`|--?\w|<\w|[\w.-]+(?:::)?$|\S.* \| )", re.MULTILINE)
"""A line of a list or of terms."""
FEW_WORDS = 5
ASKING = frozenset(
    {"what", "how", "why", "when", "where", "which", "who", "can", "do", "does", "is", "are", "should", "will", "must"}
)


def usual_question(chunk: Chunk) -> str:
    """The question for a section such as “Options”, about what stands above it; "" for other sections.

    What is asked for one by one has to stand there: several terms or items, and all of them.
    """
    path = [named(clean_title(title)) for title in chunk.heading_path]
    wording = USUAL.get(path[-1].lower(), "") if len(path) > 1 else ""
    is_list = "part" not in chunk.metadata and len(ENTRY.findall(chunk.text)) > 1
    is_listed = wording.startswith("Which") or wording in ASKED_WHOLE
    if not wording or (is_listed and not is_list):
        return ""
    of_document = f" according to “{path[0]}”" if len(path) > 2 else ""
    return wording.format(subject=f"“{path[-2]}”").removesuffix("?") + f"{of_document}?"


def of_its_document(topic: Topic) -> str:
    """A heading that asks; a short one such as `What happens when you save?` is asked of its document."""
    first, _, rest = topic.title.partition(" ")
    if num_words(topic.title) > FEW_WORDS or first.lower() not in ASKING:
        return topic.title
    return f"According to “{topic.document}”, {first.lower()} {rest}"
