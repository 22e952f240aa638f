"""One page, without a server, on which the questions of an exam are kept, mended or dropped."""

import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path

from ray_ft.artifacts import ReviewItem
from ray_ft.errors import ConfigError
from ray_ft.evaluation.review.items import as_line


def render_page(items: Sequence[ReviewItem], *, run_name: str, file_name: str) -> str:
    """The page. What browsers remember belongs to these questions in these words."""
    from jinja2 import Environment, StrictUndefined

    rows = [
        {
            "number": number,
            "line": as_line(item.question),
            "path": item.path,
            "passage": item.passage,
            "headings": list(item.headings),
        }
        for number, item in enumerate(items, 1)
    ]
    # Within a script nothing is escaped, so that no text may end it.
    text = json.dumps(rows, ensure_ascii=True).replace("<", "\\u003c")
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(_template())
    return template.render(
        items=text,
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        run_name=html.escape(run_name),
        file_name=json.dumps(file_name)[1:-1].replace("<", "\\u003c"),
    )


def write_page(path: Path, items: Sequence[ReviewItem], *, run_name: str, file_name: str) -> None:
    """Write the page. Raises ConfigError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_page(items, run_name=run_name, file_name=file_name), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def _template() -> str:
    return (Path(__file__).parent / "page.html.jinja").read_text(encoding="utf-8")
