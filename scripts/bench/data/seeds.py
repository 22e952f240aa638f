# ruff: noqa: E501 - files as they stand
"""Small files of every format, with everything in them that its parser tells apart: what fuzzing starts from."""

import io
import json
import zipfile
from typing import Any

from ray_ft.data.formats import FORMATS

MARKDOWN = """---
title: "Pump"
---
# Pump

<!-- a --><!-- b --> [![badge](a.png)](b) ![x](y)

Stop the pump *before* the `valve` is shut, see [the guide](guide.md "t") or <https://host/a?b=c>.

- one\n- two\n  1. three

| a | b |\n|---|---|\n| 1 | 2 |

```python\nx = 1\n```

> quoted {#id}

Setext\n------\n\nQ: Why?\nA: So that 3.5 % of 1,000 GB/s stay; mail me@company.com or +49 30 1234567, DE89370400440532013000.
password = "Zx9-kQ2v7Lp0aB4t"  sk-abcdefghij0123456789T3BlbkFJabcdefghij0123456789
-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ\n
eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl https://user:s3cretpassw0rd@host/
"""
RST = """Pump
====

See :class:`~a.b.C <x>` and `link <https://host>`_ or ``code``.

.. note:: Stop.\n\n   Body of it.

.. code-block:: python\n\n   x = 1

.. toctree::\n\n   a

+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+

=== ===\na   b\n=== ===\n1   2\n=== ===

1. one\n2. two

Deeper\n------\n\nText::\n\n   literal
"""
HTML = """<!DOCTYPE html><html><head><title>Pump</title><script>x</script></head><body><nav>menu</nav><main>
<h1>Pump</h1><p>Stop the pump&nbsp;<b>before</b> the valve is shut.<br>Then wait.</p><ul><li>one<li>two</ul>
<table><tr><th>a</th><td rowspan=2>b</td></tr><tr><td>1</td></tr></table><pre><code>x = 1\n</code></pre>
<h2 id=a>Deeper ¶</h2><div><div><p>Words.</div><template><p>t</p></template><!-- c --></main></body></html>
"""
CODE = {
    "python": '''"""Module."""\nimport os\nfrom a import (b,\n    c as d)\n\n\nclass Pump(Base):\n    """A pump."""\n
    def stop(self, x: int = 1, *rest) -> str:\n        """Stop.\n\n        Args: x."""\n        # why\n        return f"{os.sep}{x}"\n
    @property\n    def y(self): ...\n''',
    "javascript": """/** Stop. */\nimport {a} from 'b';\nexport class Pump extends Base { stop(x = 1) { return `${x}`; } }
const f = async (a, b) => { /* c */ return a; };\nmodule.exports.g = function () {};\n""",
    "java": """package a;\nimport java.util.*;\n/** {@inheritDoc} */\npublic class Pump<T> {\n  /** Stop.\n   * @param x it */
  public int stop(int x) { return x; }\n  interface I { void m(); }\n}\n""",
    "go": 'package a\n\nimport (\n\t"fmt"\n)\n\n// Stop it.\nfunc (p *Pump) Stop(x int) (int, error) {\n\treturn x, nil\n}\n',
    "c": "#include <a.h>\n/* Stop. */\nstatic int stop(struct pump *p, int x)\n{\n    return x; // y\n}\ntypedef struct { int a; } b;\n",
    "rust": "use a::b;\n/// Stop.\nimpl<T> Pump<T> {\n    pub fn stop(&self, x: i32) -> i32 { x }\n}\ntrait A { fn b(); }\n",
    "ruby": "require 'a'\n# Stop.\nmodule A\n  class Pump < B\n    def stop(x = 1)\n      x\n    end\n  end\nend\n",
    "php": "<?php\nuse A\\B;\n/** Stop. */\nclass Pump {\n  public function stop(int $x): int { return $x; }\n}\n",
    "bash": "#!/bin/bash\n# Stop.\nstop() {\n  local x=$1\n  cat <<EOF\n$x\nEOF\n}\nfunction go { :; }\n",
    "kotlin": """package a\nimport b.c as d\n/** Stop. */\n@A data class Pump(val x: Int) : Base() {\n  companion object { const val Y = "${x}" }
  override fun <T> stop(x: T?): Int = when (x) { null -> 1\n else -> 2 }\n  constructor(y: String) : this(1) { z { it } }\n}\nfun List<Int>.f() {\n}\n""",
    "swift": """import A\n/// Stop.\n@objc public class Pump<T>: Base {\n  var x: Int { return 1 }\n  init(y: Int) throws { self.y = y }
  func stop(_ x: Int = 1) -> String { #if DEBUG\n return "\\(x)"\n #endif }\n}\nextension Pump where T: B { }\nprotocol P { func m() }\n""",
    "scala": """package a\nimport b.{c, d => e}\n/** Stop. */\ncase class Pump[T](x: Int)(implicit y: T) extends Base with I {
  def stop(x: Int): String = s"$x ${y}"\n}\nobject Pump:\n  given A[Int] with\n    def b = 1\nenum C:\n  case D, E\nend C\n""",
    "lua": """local a = require("b")\n--- Stop.\n-- @param x it\nfunction Pump:stop(x, ...)\n  return a.c(x) .. [[d]]\nend
local M = { e = function() return 1 end }\nM.f = function(g) --[[ h ]] return g end\nreturn M\n""",
    "terraform": """# Stop.\nresource "a_b" "pump" {\n  count = var.x > 1 ? 1 : 0\n  tags = { for k, v in local.y : k => upper(v) }\n}
variable "x" {\n  description = <<-EOT\n    It.\n  EOT\n  type = list(string)\n}\nmodule "m" { source = "./${path.module}" }\n""",
    "sql": """-- Stop.\nCREATE OR REPLACE FUNCTION a.stop(x INT) RETURNS INT AS $b$\nBEGIN\n  RETURN CASE WHEN x > 1 THEN 'a''b' END;\nEND;
$b$ LANGUAGE plpgsql;\nDELIMITER //\nCREATE PROCEDURE `p`()\nBEGIN\n  SELECT 1;\nEND //\nDELIMITER ;\nCREATE TABLE [d].[t] (x INT);\nGO
CREATE PACKAGE BODY q AS\n  FUNCTION f RETURN INT IS\n  BEGIN\n    RETURN 1;\n  END;\nEND q;\n/\nCOMMENT ON TABLE t IS 'it';\n""",
}
LANGUAGES = {"typescript": "javascript", "tsx": "javascript", "cpp": "c", "csharp": "java"}
OTHERS = {
    "text": "Pump\n\n- one\n- two\n\n1. Stop the pump.\n2) Wait.\n\nA paragraph of words, and more.\n",
    "csv": 'a,b\n1,"two\nlines"\n3;4\n' + "5,6\n" * 60,
    "code": "[pump]\nstop = true  # why\n\n[valve]\nname: 'x'\n",
}
LIGHTWEIGHT = {
    "asciidoc": """= Pump: {v}\n:v: 2\n\n[[a]]\n== Stop *it*\n\n[source,bash]\n----\n$ stop # <1>\n----\n<1> it
\nNOTE: See <<a,b>>, xref:c.adoc#d[e] and https://host[f].\n\n[TIP]\n====\n* one\n+\nmore\n** two\n. three\n====\n
[cols="1,2"]\n|===\n|a |b\n\n|1\n|2\n|===\n\nTerm:: words\n\n////\nno\n////\nOld\n---\nkbd:[A] `+x+` _y_ ^z^ footnote:[n]\n""",
    "org": """#+TITLE: Pump\n* TODO [#A] Stop /it/ [1/2] :a:b:\nSCHEDULED: <2024-01-01 Mon>\n:PROPERTIES:\n:ID: 1\n:END:
See [[https://host][it]] =a= ~b~ [fn:1] <2024-01-01>.\n#+BEGIN_SRC sh\nx\n#+END_SRC\n| a | b |\n|---+---|\n| 1 | 2 |
- one\n  - two :: words\n: fixed\n** COMMENT no\n# no\n#+BEGIN_QUOTE\nq\n#+END_QUOTE\n""",
    "mediawiki": """{{Box|a={{b}}}}\n'''Pump''' of [[A|b]] [https://host c].<ref>d</ref> 10<sup>3</sup>\n== Stop ==\n* a\n** b\n; c : d
{| class="x"\n! a !! b\n|-\n| 1 || 2\n|}\n<syntaxhighlight lang="sh">\nx\n</syntaxhighlight>[[File:a.png|b]]<!-- c -->\n""",
    "latex": r"""\documentclass{a}\title{Pump}\begin{document}\section{Stop}\label{s} See \ref{s}~\cite{a}: $x^2$, M\"u, \'e \verb|a|.
\begin{itemize}\item a \item[b] c\end{itemize}\begin{tabular}{l}a & b \\ 1 & 2\end{tabular}\begin{verbatim}x\end{verbatim}
\href{https://host}{b} \texttt{c} \footnote{d} % e
\end{document}""",
    "mdx": "import A from 'b';\n\n# Pump {x}\n\n<A b={[{c: 'd'}]} label=\"e\">\n\n`{f}` words\n\n</A>\n{/* g */}\n",
    "json": json.dumps(
        {
            "openapi": "3.0.0",
            "info": {"title": "Pump", "description": "It *stops*."},
            "paths": {
                "/a": {
                    "get": {
                        "parameters": [{"name": "b", "in": "query", "schema": {"$ref": "#/components/schemas/S"}}],
                        "responses": {"200": {"description": "c"}},
                    }
                }
            },
            "components": {"schemas": {"S": {"properties": {"d": {"type": "array", "items": {"enum": [1, 2]}}}}}},
        }
    ),
    "yaml": "openapi: 3.0.0\ninfo: {title: Pump}\npaths:\n  /a:\n    get: {summary: Stop, responses: {200: {description: b}}}\n",
    "mail": """From a@host Mon Jan  1 10:00:00 2024\nSubject: Re: =?utf-8?q?P=C3=BCmp?=\nContent-Type: text/plain; charset=utf-8

Stop it.\n\nOn Monday, b wrote:\n> Why?\n-- \nme\n\nFrom b@host Mon Jan  1 10:00:00 2024\nSubject: c\nMIME-Version: 1.0
Content-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/html\n\n<p>d</p>\n--x--\n""",
    "wiki export": """<mediawiki><page><title>A</title><ns>0</ns><revision><text>''b'' [[c]]</text></revision></page></mediawiki>""",
}
LINES = (
    {"text": "Stop the pump."},
    {"prompt": "Why?", "completion": "So."},
    {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "q"}]},
                  {"role": "assistant", "content": "a", "weight": 1}]},
    {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]},
)  # fmt: skip


def seeds_of() -> dict[str, list[bytes]]:
    """By suffix."""
    made = {
        "markdown": [MARKDOWN.encode()], "rst": [RST.encode()], "html": [HTML.encode()], "notebook": [_notebook()],
        "pdf": [_pdf()], "docx": [_docx()], "pptx": [_pptx()], "xlsx": [_xlsx()],
        "epub": [_epub()], **{name: [text.encode()] for name, text in {**CODE, **OTHERS, **LIGHTWEIGHT}.items()},
    }  # fmt: skip
    found = {suffix: made[LANGUAGES.get(kind.name, kind.name)] for suffix, kind in FORMATS.items()}
    for suffix, kind in FORMATS.items():
        if kind.name == "text":  # and as other systems write them
            found[suffix] = [*found[suffix], found[suffix][0].decode().replace("\n", "\r\n").encode("utf-16")]
    return {**found, ".jsonl": [json.dumps(line).encode() for line in LINES]}


def _notebook() -> bytes:
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Pump\n", "Stop it."]},
        {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": "x = 1",
         "outputs": [{"output_type": "stream", "name": "stdout", "text": "\x1b[31m1\n"}]},
    ]  # fmt: skip
    about = {"kernelspec": {"name": "python3", "language": "python", "display_name": "p"}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": about, "cells": cells}).encode()


def _pdf() -> bytes:
    words = b"BT /F1 18 Tf 50 780 Td (1 Pump) Tj ET BT /F1 10 Tf 50 740 Td (Stop the pump before the valve.) Tj ET "
    words += b"50 700 m 300 700 l S 50 660 m 300 660 l S 50 700 m 50 660 l S 300 700 m 300 660 l S"
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(words), words),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]  # fmt: skip
    data, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(data)
    return data + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def _docx() -> bytes:
    import docx

    document = docx.Document()
    document.add_heading("Pump", 1)
    document.add_paragraph("Stop the pump.")
    document.add_paragraph("one", style="List Bullet")
    document.add_table(2, 2).cell(0, 0).text = "a"
    return _saved(document)


def _pptx() -> bytes:
    import pptx

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text, slide.placeholders[1].text = "Pump", "Stop it."
    return _saved(show)


def _xlsx() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (("a", "b"), (1, "two"), (None, 3.5)):
        book.active.append(row)
    return _saved(book)


def _epub() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("META-INF/container.xml", '<container><rootfile full-path="a.opf"/></container>')
        item = '<item id="b" href="b.xhtml" media-type="application/xhtml+xml"/>'
        archive.writestr("a.opf", f'<package><title>A</title>{item}<itemref idref="b"/></package>')
        archive.writestr("b.xhtml", "<html><body><h1>Pump</h1><p>Stop it.</p></body></html>")
    return stream.getvalue()


def _saved(document: Any) -> bytes:
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()
