"""One page, without a server, on which the questions of an exam are kept, mended or dropped."""

import hashlib
import json
from collections.abc import Sequence

from ray_ft.artifacts import ReviewItem
from ray_ft.evaluation.review.items import as_line


def render_page(items: Sequence[ReviewItem], *, run_name: str, file_name: str) -> str:
    """The page. What browsers remember belongs to these questions in these words."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

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
    loader = PackageLoader("ray_ft.evaluation.review", package_path="")
    template = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template("page.html.jinja")
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return template.render(items=text, digest=digest, run_name=run_name, file_name=file_name)
