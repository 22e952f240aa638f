"""`scripts/bench_data`: what preparing data costs, what it survives, and how it does beside others.

scripts/bench_data PART ...        PART --help says more

"""

from importlib import import_module

PARTS = {
    "pdf": ("reading", "pages a second of one core, beside other readers of PDF"),
    "code": ("reading", "megabytes of source code a second of one core"),
    "formats": ("reading", "megabytes of each text format a second of one core"),
    "make-pdf": ("reading", "write a manual to read"),
    "copies": ("copies", "what telling copies costs, and how many of the true pairs it finds"),
    "tree": ("tree", "prepare over a whole source tree, step by step"),
    "trees": ("trees", "examples of whole trees drawn for a reader, graded, and searched for bad ones"),
    "cores": ("cores", "prepare on more and more processors"),
    "fuzz": ("fuzz", "texts that nobody writes through every parser, filter, recipe and pattern"),
    "rivals": ("rivals.main", "prepare beside datatrove and data-juicer"),
    "redaction": ("redaction", "precision and recall of redaction on labelled snippets"),
    "content": ("rivals.content", "words of marked pages that are kept, beside trafilatura"),
    "kills": ("kills", "prepare with workers, nodes and drivers killed"),
    "size": ("size", "what the driver holds at any number of documents"),
    "large": ("large", "what single inputs of a gigabyte take, of each kind"),
    "autoscaling": ("autoscaling", "prepare on a cluster that grows"),
}
"""By part: the module below bench.data whose `main` takes the arguments, and what it measures."""


def main(arguments: list[str]) -> int:
    """Exit status of the part that the first argument names."""
    part = arguments[0] if arguments else ""
    if part not in PARTS:
        parts = "\n".join(f"  {name:12} {says}" for name, (_, says) in PARTS.items())
        wanted = part in ("", "-h", "--help")
        print(f"{__doc__}{parts}" if wanted else f"no part {part!r}; choose from {', '.join(PARTS)}")
        return 0 if part in ("-h", "--help") else 2
    module, _ = PARTS[part]
    reads = module == "reading"  # which has several parts, and takes their names itself
    return int(import_module(f"bench.data.{module}").main(arguments if reads else arguments[1:]))
