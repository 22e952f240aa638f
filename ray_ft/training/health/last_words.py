"""Notes that a worker leaves in the run folder when it cannot speak to the others any more, for whoever comes next.

A worker that hangs, or whose GPU is full, leaves the rest waiting in a collective, so it ends; what it had to say would
end with it. The driver puts a hang's line in front of people; a note that another try would fail the same way makes the
workers of that try stop at once, together.
"""

from pathlib import Path

from ray_ft.training.checkpoints.record import FOLDER

HANG = "hang.txt"
FATAL = "fatal.txt"


def leave_note(run_path: str | Path, name: str, line: str) -> None:
    """The first worker to leave a note is right; where the disk is full, the line is lost."""
    try:
        with (Path(run_path) / FOLDER / name).open("x") as file:
            file.write(line + "\n")
    except OSError:
        pass


def read_note(run_path: str | Path, name: str) -> str | None:
    """What was left, or None."""
    path = Path(run_path) / FOLDER / name
    return path.read_text().strip() if path.is_file() else None


def remove_notes(run_path: str | Path) -> None:
    """Before a run starts or goes on."""
    for name in (HANG, FATAL):
        (Path(run_path) / FOLDER / name).unlink(missing_ok=True)
