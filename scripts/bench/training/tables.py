"""Rows of results as Markdown: a table per part, and what follows from the rows of one run."""

from collections.abc import Iterator
from typing import Any

from bench.timed_steps.shapes import SHAPES, needed_flops

Row = dict[str, Any]


def with_shares(row: Row, rate: float) -> Row:
    """The row with its FLOPs over `rate`, a bf16 product's FLOPs per second on one such GPU."""
    if "tokens_per_second" not in row:
        return row
    shares = {}
    for name, embedding in (("share", False), ("share_with_embedding", True)):
        flops = needed_flops(
            SHAPES[row["shape"]], full=row["strategy"] == "full", sequence=row["sequence"], embedding=embedding
        )
        shares[name] = flops * row["tokens_per_second"] / row["world_size"] / rate
    return row | shares


def beside_one_worker(row: Row, earlier: list[Row]) -> Row:
    """A row of the part `workers` with its largest relative difference to a loss of the same run on one worker."""
    if row["part"] != "workers" or row["world_size"] == 1 or "losses" not in row:
        return row
    alone = next((r for r in earlier if "losses" in r and r["contender"] == f"{run_of(row)}-1"), None)
    if alone is None:
        return row | {"error": "nothing to compare with: the run on one worker failed"}
    pairs = zip(row["losses"], alone["losses"], strict=True)
    difference = max(abs(one - other) / abs(other) for one, other in pairs)
    return row | {"difference": difference, "within": difference <= row["tolerance"]}


def run_of(row: Row) -> str:
    return f"{row['strategy']}-zero{row['zero_stage']}"


def markdown(runs: list[Row]) -> str:
    """All runs, each with the rate that its shares are of."""
    lines: list[str] = []
    for run in runs:
        rate = run["rate"].get("flops_per_second", 0.0)
        about = ", ".join(f"{name} {version}" for name, version in run["rate"].get("versions", {}).items())
        lines += [f"Run on {run['rate'].get('device', '?')}: {about}.", "", rates(run["rate"], rate), ""]
        for part in dict.fromkeys(row["part"] for row in run["rows"]):
            rows = [row for row in run["rows"] if row["part"] == part]
            lines += [f"### {part}", "", *table(rows), "", *(f"- {finding}" for finding in findings(rows)), ""]
    return "\n".join(lines).rstrip() + "\n"


def rates(measured: Row, rate: float) -> str:
    """The rate that shares are of, and what they would be of a burst's."""
    burst = measured.get("burst_flops_per_second", 0.0)
    by_burst = f", {burst / 1e12:.0f} in a burst (shares by that: times {rate / burst:.3f})" if burst else ""
    return f"8192-cubed bf16 product: {rate / 1e12:.0f} TFLOP/s over 200 in a row{by_burst}."


def table(rows: list[Row]) -> Iterator[str]:
    if rows[0]["part"] == "curves":
        yield "| strategy | steps | loss | largest difference to Trainer | to unpacked | tolerance | within |"
        yield "|---|---|---|---|---|---|---|"
        yield from (curve_line(row) for row in rows)
        return
    if rows[0]["part"] == "workers":
        yield "| run | loss | largest difference to one worker | tolerance | within |"
        yield "|---|---|---|---|---|"
        yield from (workers_line(row) for row in rows)
        return
    yield "| stack | micro-batch | tokens/s | share | with embedding | peak GiB (reserved) | ms/step | warm-up | loss |"
    yield "|---|---|---|---|---|---|---|---|---|"
    yield from (speed_line(row) for row in rows)


def speed_line(row: Row) -> str:
    if "error" in row:
        return f"| {row['stack']} | {row['micro_batch']} | {row['error'].replace('|', '/')} | | | | | | |"
    losses = row.get("losses") or [float("nan")]
    memory = f"{row['peak_gib']:.1f} ({row.get('reserved_gib', 0):.1f})" if row.get("peak_gib") else "-"
    short = row["part"] == "short"
    shares = ["-", "-"] if short else [f"{row[name]:.3f}" for name in ("share", "share_with_embedding")]
    cells = [
        row["stack"], row["micro_batch"], f"{row['tokens_per_second']:,.0f}", *shares, memory,
        f"{1000 * row['seconds_per_step']:.1f}", f"{row['warmup_seconds']:.0f} s",
        f"{losses[0]:.3f} → {losses[-1]:.3f}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def workers_line(row: Row) -> str:
    if "error" in row:
        return f"| {row['stack']} | {row['error'].replace('|', '/')} | | | |"
    cells = [row["stack"], f"{row['losses'][0]:.4f} → {row['losses'][-1]:.4f}"]
    if "within" in row:
        cells += [f"{row['difference']:.1e}", f"{row['tolerance']:.0e}", "yes" if row["within"] else "NO"]
    return f"| {' | '.join(cells)} |{' | | |' if 'within' not in row else ''}"


def curve_line(row: Row) -> str:
    if "error" in row:
        return f"| {row['strategy']} | {row['steps']} | {row['error'].replace('|', '/')} | | | | |"
    cells = [
        row["strategy"], len(row["losses"]), f"{row['losses'][0]:.3f} → {row['losses'][-1]:.3f}",
        f"{row['trainer_difference']:.1e}", f"{row['unpacked_difference']:.1e}", f"{row['tolerance']:.0e}",
        "yes" if row["within"] else "NO",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def findings(rows: list[Row]) -> Iterator[str]:
    """Ratios between rows of one run: speed and memory beside the rivals, the loop's cost, packing, scaling."""
    there = {row["contender"]: row for row in rows if "tokens_per_second" in row}
    for name, other in (
        ("ours", "peft"), ("ours", "peft-liger"), ("ours", "unsloth"), ("ours-checkpointing", "unsloth-checkpointing"),
        ("ours", "liger"),
    ):  # fmt: skip
        if name in there and other in there:
            yield beside(there[name], there[other])
    if "ours" in there and "bare" in there:
        cost = there["ours"]["seconds_per_step"] / there["bare"]["seconds_per_step"] - 1
        yield f"the loop adds {100 * cost:.1f}% to a bare loop over the same model and kernels"
    if "packed" in there and "padded" in there:
        packed, padded = there["packed"]["loss_per_token"], there["padded"]["loss_per_token"]
        # No ratio of speeds: the steps are not of one size, and a GPU needs many tokens to be busy.
        slots = there["packed"]["micro_batch"] * there["packed"]["sequence"]
        yield f"packed in steps of {slots:,} token slots, padded of {there['padded']['slots_per_step']:,.0f}"
        yield (
            f"loss per token before training: packed {packed:.5f}, padded {padded:.5f}, "
            f"difference {abs(packed - padded) / padded:.1e}; "
            f"{100 * there['padded']['filled']:.0f}% of the padded batches are tokens"
        )
    for row in rows:
        single = there.get(f"{run_of(row)}-1") if row["part"] == "scaling" else None
        if single is not None and row["world_size"] > 1 and "tokens_per_second" in row:
            efficiency = row["tokens_per_second"] / row["world_size"] / single["tokens_per_second"]
            yield f"{row['stack']}: scaling efficiency {efficiency:.3f}"


def beside(row: Row, other: Row) -> str:
    ratio = row["tokens_per_second"] / other["tokens_per_second"]
    memory = ""
    if row.get("peak_gib") and other.get("peak_gib"):
        memory = f", {row['peak_gib']:.1f} GiB beside {other['peak_gib']:.1f}"
    return f"{row['stack']}: {ratio:.2f}x {other['stack']}{memory}"
