"""Builds a case with a command, and converts the result to the format of a case."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from tests.corpus.corpus_case import Case, lay_out
from tests.corpus.corpus_image import IMAGES, make_bases, read_built

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.corpus.corpus_image import Tree

_PLACE = re.compile(r"^Dockerfile:(\d+)$", re.MULTILINE)
_ERROR = re.compile(r"^ERROR: (.*)$", re.MULTILINE)


class Bench(NamedTuple):
    """The resources that all cases share: bases, their content, the web server's address."""

    folder: Path
    bases: Path
    tree: Tree
    web: str
    server: subprocess.Popen[str]

    def close(self) -> None:
        self.server.terminate()
        self.server.wait()
        assert self.server.stdout is not None
        self.server.stdout.close()


def open_bench(folder: Path) -> Bench:
    script = os.path.join(os.path.dirname(__file__), "corpus_web.py")
    server = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    web = server.stdout.readline().strip()
    bases = folder / "bases"
    return Bench(folder, bases, make_bases(bases), web, server)


def run_case(
    case: Case, bench: Bench, build: Callable[[Sequence[str], Path, Path], int]
) -> dict[str, str]:
    """The sections for the result of a case.

    `build` is called with the flags and the context of `build`, a working directory, and a file for
    standard error; it returns the exit status.
    """
    work = bench.folder / "case"
    shutil.rmtree(work, ignore_errors=True)
    context, out, log = work / "context", work / "out", work / "log"
    lay_out(case, context, bench.web)
    flags = ["--progress=rawjson", "-o", f"type=oci,dest={out},tar=false"]
    for name in IMAGES:
        flags += ["--build-context", f"{name}=oci-layout://{bench.bases}:{name}"]
    for option in case.lines("options"):
        flags.append(option.replace("@HTTP@", bench.web).replace("@SELF@", str(context)))
    status = build([*flags, str(context)], context, log)
    shown = log.read_text(errors="replace")
    sections: dict[str, str] = {}
    if status:
        place, error = _PLACE.search(shown), _ERROR.search(shown)
        lines = [f"line {place[1]}"] if place else []
        lines.append(error[1] if error else "no message")
        sections["error"] = "\n".join(lines)
    else:
        built = read_built(out, bench.tree)
        sections["tree"] = "\n".join(built.tree)
        sections["config"] = built.config
        sections["history"] = "\n".join(built.history)
    sections["checks"] = "\n".join(_checks(shown))
    return {
        name: text.replace(bench.web, "@HTTP@").replace(str(context), "@SELF@")
        for name, text in sections.items()
        if text
    }


def _checks(log: str) -> list[str]:
    found = []
    for line in log.splitlines():
        if line.startswith("{"):
            for warning in json.loads(line).get("warnings") or ():
                found.append(base64.b64decode(warning["short"]).decode())
    return sorted(
        found, key=lambda text: (int((re.findall(r"\(line (\d+)\)", text) or "0")[-1]), text)
    )


def forked_lamina(
    store: Path, command: str = "build"
) -> Callable[[Sequence[str], Path, Path], int]:
    """The command in a fork of this process: all modules are imported, nothing is shared."""
    import importlib
    import pkgutil

    import lamina
    from lamina.cli.main import main

    for module in pkgutil.walk_packages(lamina.__path__, "lamina."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("base64", "csv", "difflib", "ipaddress", "shutil", "sqlite3", "subprocess"):
        importlib.import_module(name)

    def build(flags: Sequence[str], folder: Path, log: Path) -> int:
        child = os.fork()
        if not child:
            status = 70
            try:
                with open(log, "wb", buffering=0) as file:
                    os.dup2(file.fileno(), 1)
                    os.dup2(file.fileno(), 2)
                # The replacements of the test runner would capture the output.
                sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False))
                sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False))
                os.chdir(folder)
                os.environ["LAMINA_CORPUS"] = "secret of the client"
                status = main(["--root", str(store), command, *flags])
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return build
