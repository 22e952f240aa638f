"""A repository whose owner means harm: nothing that it names is run, and nothing outside it is read."""

import os
import subprocess
from pathlib import Path

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.documents import SourceFile
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.ingest.reading import read_file
from ray_ft.data.sources import git as git_source
from ray_ft.data.sources import read_bytes
from ray_ft.errors import ConfigError, DataError

WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def _git(folder: Path, *arguments: str, stdin: bytes | None = None) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, input=stdin, env={**os.environ, **WHO})
    return done.stdout.decode().strip()


def _repository(folder: Path, text: str = "# Pump\n\nStop the pump before the valve is shut.\n") -> Path:
    folder.mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")
    (folder / "a.md").write_text(text)
    (folder / "b.md").write_text("# Valve\n\nThe valve is shut by hand.\n")
    (folder / "link.md").symlink_to("a.md")
    (folder / ".gitattributes").write_text("*.md filter=evil diff=evil merge=evil\n")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return _repository(tmp_path / "private", "# Payroll\n\nNobody else may read this.\n")


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Path, Path]:
    """The repository, and a file that is there once one of its programs ran. A blob of it is missing."""
    repository, ran = _repository(tmp_path / "shared"), tmp_path / "ran"
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\necho $0 $@ >> {ran}\n")
    program.chmod(0o755)
    (tmp_path / "included").write_text(f"[core]\n\tfsmonitor = {program}\n\tpager = {program}\n")
    settings = {
        "core.repositoryformatversion": "1", "extensions.partialClone": "origin", "core.fsmonitor": str(program),
        "core.sshCommand": str(program), "core.gitProxy": str(program), "core.askPass": str(program),
        "core.pager": str(program), "pager.ls-tree": str(program), "core.editor": str(program),
        "core.hooksPath": str(tmp_path / "hooks"), "remote.origin.url": f"ext::{program} %S",
        "remote.origin.promisor": "true", "remote.origin.partialclonefilter": "blob:none",
        "protocol.ext.allow": "always",
        "protocol.allow": "always", "filter.evil.smudge": str(program), "filter.evil.clean": str(program),
        "filter.evil.process": str(program), "diff.evil.textconv": str(program), "diff.external": str(program),
        "merge.evil.driver": str(program), "credential.helper": f"!{program}",
        "uploadpack.packObjectsHook": str(program),
        "core.alternateRefsCommand": str(program), "gpg.program": str(program), "alias.ls-tree": f"!{program}",
        "include.path": str(tmp_path / "included"), "includeIf.gitdir:**.path": str(tmp_path / "included"),
        "submodule.sub.url": f"ext::{program}", "submodule.sub.update": f"!{program}",
    }  # fmt: skip
    for key, value in settings.items():
        _git(repository, "config", "--file", str(repository / ".git" / "config"), key, value)
    for folder in (repository / ".git" / "hooks", tmp_path / "hooks"):
        folder.mkdir(exist_ok=True)
        for name in ("post-checkout", "pre-commit", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
            (folder / name).write_text(program.read_text())
            (folder / name).chmod(0o755)
    blob = _blob(repository, "b.md")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    return repository, ran


def _blob(repository: Path, name: str) -> str:
    index = subprocess.run(
        ["git", "-C", repository, "-c", "core.fsmonitor=false", "ls-files", "-s"], capture_output=True
    )
    return next(line.split()[1] for line in index.stdout.decode().splitlines() if line.endswith(f"\t{name}"))


def _list(source: str) -> list[SourceFile]:
    return list_files(DataConfig(sources=(source,), recipes=()))


def test_nothing_that_a_repository_names_is_run(hostile: tuple[Path, Path]) -> None:
    repository, ran = hostile
    for revision in ("", "@HEAD", "@main", "@main^{tree}^{commit}", "@" + "0" * 40, "@origin/main", "@nowhere"):
        try:
            files = _list(f"git+{repository}{revision}")
        except ConfigError:
            continue
        found = {f.path: f.reason or read_file(f).reason for f in files}
        assert found["shared/a.md"] == ""
        assert found["shared/link.md"] == "link"
        assert found["shared/b.md"].startswith("unreadable: no blob")
    assert not ran.exists(), ran.read_text()


def test_the_fixture_would_run_a_program_through_plain_git(hostile: tuple[Path, Path]) -> None:
    repository, ran = hostile
    subprocess.run(["git", "-C", repository, "ls-tree", "-r", "-l", "HEAD"], stdin=subprocess.DEVNULL, check=False)
    assert ran.exists()


def test_the_users_own_settings_and_environment_run_nothing_either(
    hostile: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, ran = hostile
    (tmp_path / ".gitconfig").write_bytes((repository / ".git" / "config").read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(tmp_path / "evil"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert [f.path for f in _list(f"git+{repository}")][-3:] == ["shared/a.md", "shared/b.md", "shared/link.md"]
    assert not ran.exists(), ran.read_text()


@pytest.mark.parametrize(
    "place", ["objects", "refs", "refs/heads", "objects/pack", "packed-refs", "HEAD", ".git", "alternates"]
)
def test_a_repository_that_leads_into_another_one_is_refused(tmp_path: Path, victim: Path, place: str) -> None:
    _git(victim, "pack-refs", "--all")
    (victim / ".git" / "refs" / "heads").mkdir(exist_ok=True)
    repository = _repository(tmp_path / "shared")
    own, theirs = repository / ".git", victim / ".git"
    if place == "alternates":  # not even by way of a folder inside
        (own / "more" / "info").mkdir(parents=True)
        (own / "objects" / "info" / "alternates").write_text("../more\n")
        (own / "more" / "info" / "alternates").write_text(f"{theirs / 'objects'}\n")
    elif place == ".git":
        own.rename(tmp_path / "old")
        own.symlink_to(theirs)
    else:
        if (own / place).exists():
            (own / place).rename(tmp_path / "old")
        (own / place).symlink_to(theirs / place)
    with pytest.raises(ConfigError, match=r"out of the repository; give git\+ that repository itself"):
        _list(f"git+{repository}")


def test_a_git_file_that_points_at_another_repository_is_refused(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "shared").mkdir()
    forged = tmp_path / "shared" / "worktrees" / "x"
    forged.mkdir(parents=True)
    (forged / "gitdir").write_text(f"{tmp_path / 'shared' / '.git'}\n")
    (forged / "commondir").write_text(f"{victim / '.git'}\n")
    for target in (victim / ".git", forged):
        (tmp_path / "shared" / ".git").write_text(f"gitdir: {target}\n")
        with pytest.raises(ConfigError, match=r"data\.sources: 'git\+.*shared'"):
            _list(f"git+{tmp_path / 'shared'}")


def test_worktrees_bare_clones_and_clones_inside_are_read(tmp_path: Path, victim: Path) -> None:
    _git(victim, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    _git(tmp_path, "clone", "-q", "--bare", str(victim), str(tmp_path / "bare"))
    for name in ("side", "bare"):
        files = [f for f in _list(f"git+{tmp_path / name}") if not f.reason]
        assert [f.path for f in files] == [f"{name}/a.md", f"{name}/b.md"]
        assert b"Payroll" in read_bytes(files[0].kind, files[0].location)


def test_a_tree_that_holds_itself_many_times_over_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_source, "MAX_MEMBERS", 1000)
    repository = _repository(tmp_path / "bomb")
    made = _git(repository, "hash-object", "-w", "--stdin", stdin=b"x")
    kind, mode = "blob", "100644"
    for _ in range(8):  # 10^8 files
        entries = "".join(f"{mode} {kind} {made}\tn{i}{'.md' if kind == 'blob' else ''}\n" for i in range(10))
        made = _git(repository, "mktree", stdin=entries.encode())
        kind, mode = "tree", "040000"
    commit = _git(repository, "commit-tree", made, "-m", "bomb")
    with pytest.raises(DataError, match="more than 1,000 files"):
        _list(f"git+{repository}@{commit}")


def test_a_tool_that_does_not_answer_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = _repository(tmp_path / "slow")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(git_source, "SECONDS", 0.2)
    with pytest.raises(ConfigError, match=r"git does not answer within 0\.2 s"):
        _list(f"git+{repository}")
