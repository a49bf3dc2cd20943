"""`lamina advise --prove`: builds both versions, before and after an edit, and measures the
times."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from lamina.advise.edit_file import choose_file, comment_for
from lamina.advise.source import SourceText
from lamina.advise.stages import read_plan
from lamina.base.errors import CommandFailed, InvalidInput, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.base.patterns import PatternMatcher
from lamina.cli.opening import store_root
from lamina.cli.tables import json_lines, table
from lamina.dockerfile.ignore import read_patterns
from lamina.system.removal import temporary_folder

if TYPE_CHECKING:
    from lamina.advise.advisor import Improved, Request
    from lamina.advise.stages import Plan
    from lamina.cli.advise_files import Files
    from lamina.cli.flags import Parsed

_LAST_LINES = 15


class Times(NamedTuple):
    """The times in seconds of a version's builds: in an empty store, and after an edit."""

    version: str
    first: float
    edited: float


def prove(
    parsed: Parsed, files: Files, request: Request, improved: Improved, *, as_json: bool
) -> None:
    """Build both versions in separate stores, and print the times.

    The context is copied, so the user's files do not change. Raises CommandFailed if a build fails,
    InvalidInput or NotFound if there is no file to edit.
    """
    plan = read_plan(SourceText(files.text, files.name), dict(request.build_args), request.target)
    edited = _edited(parsed, files, request, plan)
    with temporary_folder("lamina-advise-") as folder:
        bases = _export_local_bases(parsed, plan, folder)
        times = []
        for version, text, ignore in (
            ("as it is", files.text, files.ignore_text),
            ("with the advice", improved.dockerfile, improved.ignore_file),
        ):
            place = os.path.join(folder, version.replace(" ", "-"))
            times.append(_measure(parsed, files, version, text, ignore, place, edited, bases))
    if as_json:
        print(json_lines(_document(one, edited) for one in times))
        return
    rows = [(one.version, f"{one.first:.1f}s", f"{one.edited:.1f}s") for one in times]
    print(table(("DOCKERFILE", "FIRST BUILD", f"AFTER AN EDIT OF {edited}"), rows))
    print()


def _document(times: Times, edited: str) -> dict[str, object]:
    return {
        "Dockerfile": times.version,
        "Edited": edited,
        "FirstSeconds": round(times.first, 3),
        "SecondSeconds": round(times.edited, 3),
    }


def _edited(parsed: Parsed, files: Files, request: Request, plan: Plan) -> str:
    """The file to edit, relative to the context."""
    chosen = parsed.text("edit")
    if not chosen:
        return choose_file(plan, request.files)
    for path in (os.path.join(files.folder, chosen), os.path.abspath(chosen)):
        if os.path.isfile(path):
            relative = os.path.relpath(path, files.folder)
            if relative.startswith("../"):
                raise InvalidInput(f"--edit {chosen} is outside of the context")
            return relative
    raise NotFound(f"--edit {chosen}: no such file in the context")


def _export_local_bases(parsed: Parsed, plan: Plan, folder: str) -> list[str]:
    """Export the base images in the local store. Returns the flags that a build needs to use
    them."""
    from lamina.base.reference import parse_reference
    from lamina.client.embedded import open_builder

    wanted = {stage.image for stage in plan.stages if stage.image != "scratch"}
    root = store_root(parsed)
    if not wanted or not os.path.isdir(root):
        return []
    with open_builder(root) as builder:
        known = {image.name for image in builder.images()}
    flags = []
    for number, image in enumerate(sorted(wanted)):
        try:
            name = str(parse_reference(image))
        except InvalidInput:
            continue
        if name not in known:
            continue
        layout = os.path.join(folder, f"base-{number}")
        output = f"type=oci,tar=false,dest={layout}"
        _lamina(root, ["build", "-o", output, "-"], f"the export of {image}", f"FROM {image}\n")
        flags += ["--build-context", f"{image}=oci-layout://{layout}"]
    return flags


def _measure(
    parsed: Parsed,
    files: Files,
    version: str,
    text: str,
    ignore: str,
    place: str,
    edited: str,
    bases: list[str],
) -> Times:
    context = os.path.join(place, "context")
    _copy_context(files, context)
    inside = os.path.relpath(files.path, files.folder) if files.path else "../Dockerfile"
    if inside.startswith("../"):
        inside = "../Dockerfile"
    dockerfile = os.path.normpath(os.path.join(context, inside))
    for path, content in (
        (dockerfile, text),
        # This name has precedence over .dockerignore.
        (f"{dockerfile}.dockerignore", ignore),
    ):
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(content)
    flags = ["--progress=plain", "-f", dockerfile, *bases]
    for name in ("target", "build-arg"):
        flags += [word for value in parsed.all(name) for word in (f"--{name}", value)]
    store = os.path.join(place, "store")
    seconds = []
    for what in ("first build", "build after an edit"):
        began = time.monotonic()
        _lamina(store, ["build", *flags, context], f"the {what} of the Dockerfile {version}")
        seconds.append(time.monotonic() - began)
        print(f"{version}: {what} {seconds[-1]:.1f}s", file=sys.stderr, flush=True)
        with open(os.path.join(context, edited), "a", encoding="utf-8") as file:
            file.write(f"\n{comment_for(edited)}\n")
    return Times(version, *seconds)


def _copy_context(files: Files, to: str) -> None:
    """Copy the context without excluded files, sockets and pipes."""
    matcher = PatternMatcher(read_patterns(files.ignore_text.encode("utf-8", "surrogateescape")))

    def left_out(folder: str, names: list[str]) -> list[str]:
        paths = {name: os.path.join(folder, name) for name in names}
        return [
            name
            for name, path in paths.items()
            if not (os.path.isdir(path) or os.path.isfile(path) or os.path.islink(path))
            or (not matcher.has_exceptions and matcher.matches(os.path.relpath(path, files.folder)))
        ]

    shutil.copytree(files.folder, to, symlinks=True, ignore=left_out)


def _lamina(root: str, arguments: list[str], what: str, stdin: str = "") -> None:
    """Run lamina as a process on a store. Raises CommandFailed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LAMINA_HOST", "BUILDKIT_HOST", "LAMINA_ROOT")
    }
    done = subprocess.run(
        [sys.executable, "-m", "lamina", "--root", root, *arguments],
        input=stdin.encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
    )
    if done.returncode:
        log = done.stderr.decode("utf-8", "replace").rstrip().splitlines()
        shown = "\n".join(log[-_LAST_LINES:])
        print(shown, file=sys.stderr)
        raise CommandFailed(
            f"{what} failed",
            exit_code=done.returncode,
            hint="the last lines of its log are above",
        )
