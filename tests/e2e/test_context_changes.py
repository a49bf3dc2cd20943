"""A context that changes during its build: no result is cached under a wrong key."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina

    Write = Callable[..., Path]
    Machines = Callable[[str], Lamina]

SLOW = 'RUN ["/bin/sh", "-c", "echo now && sleep 0.8"]\n'
BIND = (
    'RUN --mount=type=bind,target=/ctx ["/bin/sh", "-c", '
    '"cp -a /ctx/src /early && echo now && sleep 0.8 && cp -a /ctx/src /late"]\n'
)
WRITABLE = BIND.replace("target=/ctx", "target=/ctx,rw")

STEPS = {
    "copy": SLOW + "COPY src /src\n",
    "link": SLOW + "COPY --link src /src\n",
    "pattern": SLOW + "COPY src/[f]*[e2] src/d /src/\n",
    "used": SLOW + 'COPY src /src\nRUN ["/bin/cp", "-a", "/src", "/used"]\n',
    "other stage": SLOW + "COPY src /src\nFROM base\nCOPY --from=1 /src /src\n",
    "bind": BIND,
    "writable bind": WRITABLE,
}


def _content(src: Path) -> None:
    (src / "file").write_text("two")


def _same_size_and_time(src: Path) -> None:
    status = os.stat(src / "file")
    (src / "file").write_text("eno")
    os.utime(src / "file", ns=(status.st_atime_ns, status.st_mtime_ns))


def _add(src: Path) -> None:
    (src / "fresh").write_text("new")


def _remove(src: Path) -> None:
    (src / "file").unlink()


def _mode(src: Path) -> None:
    (src / "file").chmod(0o755)


def _folder_mode(src: Path) -> None:
    (src / "d").chmod(0o700)


def _link_target(src: Path) -> None:
    (src / "flink").unlink()
    (src / "flink").symlink_to("other")


def _rename(src: Path) -> None:
    (src / "file").rename(src / "f2")


def _folder_for_file(src: Path) -> None:
    (src / "file").unlink()
    (src / "file").mkdir()
    (src / "file" / "in").write_text("in")


def _hard_link_apart(src: Path) -> None:
    (src / "d" / "again").unlink()
    (src / "d" / "again").write_text("apart")


EDITS = [
    _content,
    _same_size_and_time,
    _add,
    _remove,
    _mode,
    _folder_mode,
    _link_target,
    _rename,
    _folder_for_file,
    _hard_link_apart,
]


def _source(context: Path) -> None:
    src = context / "src"
    shutil.rmtree(src, ignore_errors=True)
    (src / "d").mkdir(parents=True)
    (src / "file").write_text("one")
    os.link(src / "file", src / "d" / "again")
    (src / "flink").symlink_to("file")
    for path in (src, src / "d"):
        path.chmod(0o755)
    (src / "file").chmod(0o644)


def _found(root: Path) -> dict[str, tuple[str, str]]:
    """The files below a directory, without times: (mode, content or target of a link)."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if path.is_symlink():
            found[str(path.relative_to(root))] = ("link", os.readlink(path))
        else:
            text = path.read_text(errors="replace") if path.is_file() else ""
            found[str(path.relative_to(root))] = (oct(mode), text)
    return found


def _build(lamina: Lamina, context: Path, out: Path, *args: str) -> dict[str, tuple[str, str]]:
    shutil.rmtree(out, ignore_errors=True)
    lamina.build(context, "--builder=", "-o", str(out), *args)
    return _results(out)


def _results(out: Path) -> dict[str, tuple[str, str]]:
    names = ("src", "used", "early", "late", "added")
    return {
        f"{name}/{path}": what
        for name in names
        if (out / name).exists()
        for path, what in _found(out / name).items()
    }


def _build_during(
    lamina: Lamina, context: Path, out: Path, edit: Callable[[], object], *args: str
) -> dict[str, tuple[str, str]]:
    """Build, and call `edit` when the waiting step prints `now`."""
    shutil.rmtree(out, ignore_errors=True)
    command = lamina.command(
        *("build", "--builder=", "--progress=plain", "-o", str(out), *args, str(context))
    )
    with subprocess.Popen(
        command, env=lamina.environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        log = []
        for line in process.stderr:
            log.append(line)
            if line.endswith(" now\n"):
                edit()
    assert process.returncode == 0, "".join(log)
    return _results(out)


@pytest.mark.parametrize("step", STEPS)
def test_content_edited_during_a_build_is_not_cached_for_the_old_content(
    step: str, machine: Machines, context: Write, tmp_path: Path
) -> None:
    folder = context("FROM base\n" + STEPS[step])
    _source(folder)
    right = _build(machine("right"), folder, tmp_path / "right-out")
    assert right
    wrong = []
    edits = EDITS if step == "copy" else (_content, _same_size_and_time, _rename)
    for edit in edits:
        name = edit.__name__
        lamina = machine(name)
        _source(folder)
        cache = tmp_path / f"{name}-cache"
        edited = _build_during(
            *(lamina, folder, tmp_path / "during", lambda edit=edit: edit(folder / "src")),
            *("--cache-to", f"type=local,dest={cache},mode=max"),
        )
        # The final content of the directory is not stored under the earlier digest, either.
        now = _build(lamina, folder, tmp_path / "now")
        assert now == _build(machine(f"{name}-right"), folder, tmp_path / "now-right")
        if step in ("copy", "pattern", "used"):
            assert edited == now, name
        _source(folder)
        if _build(lamina, folder, tmp_path / "after") != right:
            wrong.append(f"{name} from the store")
        imported = ("--cache-from", f"type=local,src={cache}")
        if _build(machine(f"{name}-other"), folder, tmp_path / "other", *imported) != right:
            wrong.append(f"{name} from the exported cache")
    assert wrong == []


@pytest.mark.parametrize("step", ["bind", "writable bind"])
def test_bind_mounts_of_a_context_with_ignored_files(
    step: str, lamina: Lamina, context: Write, tmp_path: Path
) -> None:
    folder = context("FROM base\n" + STEPS[step], {".dockerignore": "ignored\n", "ignored": "x"})
    _source(folder)
    _build_during(lamina, folder, tmp_path / "one", lambda: _content(folder / "src"))
    _source(folder)
    after = _build(lamina, folder, tmp_path / "two")
    assert after["early/file"][1] == after["late/file"][1] == "one"


def _archive(path: Path, text: str) -> None:
    member = path.parent / "member"
    member.write_text(text)
    with tarfile.open(path, "w:gz") as tar:
        tar.add(member, "member")
    member.unlink()


def test_an_archive_that_is_replaced_during_a_build(
    machine: Machines, context: Write, tmp_path: Path
) -> None:
    folder = context("FROM base\n" + SLOW + "ADD a.tgz /added/\n")
    edits: dict[str, Callable[[], object]] = {
        "other": lambda: _archive(folder / "a.tgz", "two"),
        "none": lambda: (folder / "a.tgz").write_text("no archive"),
    }
    for name, edit in edits.items():
        lamina = machine(name)
        _archive(folder / "a.tgz", "one")
        before = (folder / "a.tgz").read_bytes()
        edited = _build_during(lamina, folder, tmp_path / "out", edit)
        assert "one" not in [text for _, text in edited.values()]
        (folder / "a.tgz").write_bytes(before)
        after = _build(lamina, folder, tmp_path / "out")
        assert after["added/member"][1] == "one"


def test_a_file_that_never_rests(lamina: Lamina, context: Write, tmp_path: Path) -> None:
    """The build continues with the content that it reads, warns, and caches nothing of it."""
    folder = context("FROM base\nCOPY src /src\n")
    _source(folder)
    (folder / "src" / "pad").write_bytes(bytes(32 << 20))
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nn = 0\nwhile True:\n n += 1\n"
            " with open(sys.argv[1], 'r+b') as f: f.write(b'%9d' % n)",
            str(folder / "src" / "pad"),
        ]
    )
    try:
        log = lamina.build(folder, "--builder=", "-o", str(tmp_path / "out"))
    finally:
        writer.kill()
        writer.wait()
    assert "changed while this step read it" in log
    assert (tmp_path / "out/src/file").read_text() == "one"
    assert "COPY src /src\n#5 CACHED" not in lamina.build(folder, "--builder=")
