"""Advice: do not keep files in a layer that a later layer deletes."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.advise.advice import Advice, Edit, Kind, Saving
from lamina.advise.clearing import cut_commands, cut_words, rm_paths
from lamina.dockerfile import instruction as ast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.advise.programs import Invocation
    from lamina.advise.shell import Word
    from lamina.advise.stages import Plan, Situation, Stage, Step

_MOST_STEPS = 3
_READING = frozenset(
    (
        *("tar", "unzip", "dpkg", "rpm", "apt", "apt-get", "yum", "dnf", "apk", "pip", "pip3"),
        *("sh", "bash", "cat", "cp", "python", "python3", "java", "mysql", "psql", "install"),
    )
)
"""Programs that do not change the files among their arguments."""
_DOWNLOADING = frozenset(("curl", "wget", "git", "aria2c"))
_KEPT_BY_SHELL = frozenset(
    ("pushd", "exit", "exec", "trap", "set", "export", "unset", "umask", "source", ".", "cd")
)
_PACKAGES = {
    "apt-get": ("install", frozenset(("remove", "purge", "autoremove"))),
    "apt": ("install", frozenset(("remove", "purge", "autoremove"))),
    "apk": ("add", frozenset(("del",))),
    "dnf": ("install", frozenset(("remove", "erase"))),
    "yum": ("install", frozenset(("remove", "erase"))),
}


def deleted_files(plan: Plan) -> Iterator[Advice]:
    """One item for each RUN in the image's own layers that deletes files of an earlier one."""
    for stage in plan.chain(plan.stages[plan.target]):
        for number, step in enumerate(stage.steps):
            if isinstance(step.instruction, ast.Run) and step.script is not None:
                found = _copied(plan, stage, number) or _made(plan, stage, number)
                if found is not None:
                    yield found


def _made(plan: Plan, stage: Stage, number: int) -> Advice | None:
    """Merge a RUN with those directly before it, if it deletes files of the first of them."""
    last = stage.steps[number]
    for first in range(number - 1, max(-1, number - _MOST_STEPS), -1):
        if not isinstance(stage.steps[first].instruction, ast.Run):
            return None
        what = _deletes(stage.steps[first], last)
        if what:
            steps = stage.steps[first : number + 1]
            edits = _merge(plan, steps)
            if edits is None:
                return None
            reason = (
                f"{what} is deleted here, but stays in the layer of line {steps[0].line}. In one"
                " step, it never gets into a layer."
            )
            saving = Saving("space", "in the image")
            return Advice(Kind.DELETED_FILES, last.line, last.text, reason, saving, edits)
    return None


def _deletes(first: Step, last: Step) -> str:
    """The files or packages of another RUN that a RUN deletes; "" for none."""
    for found in last.invocations or ():
        for _, path in rm_paths(found, last):
            if _makes(first, path):
                return path
        if found.program in _PACKAGES:
            adding, removing = _PACKAGES[found.program]
            values = {w.value for w in found.arguments if not w.value.startswith("-")}
            if not values & removing:
                continue
            for other in first.invocations or ():
                added = [word.value for word in other.arguments]
                if other.program == found.program and adding in added:
                    common = sorted((values - removing) & set(added))
                    if common:
                        return common[0]
    return ""


def _makes(step: Step, path: str) -> bool:
    """Whether a step writes files at a path or, for a pattern, in its directory."""
    pattern = "*" in posixpath.basename(path)
    place = posixpath.dirname(path) if pattern else path
    if any(char in place for char in "*?[$") or place in ("/", ""):
        return False
    directory = step.before
    for found in step.invocations or ():
        if found.program == "cd" and found.arguments:
            directory = directory._replace(directory=directory.path(found.arguments[0].value))
            continue
        if found.program in ("rm", "rmdir", "ls", "cat", "test", "["):
            continue
        for word in (*found.command.targets, *found.arguments):
            named = _named(found, word, directory)
            if named is None or _is_mounted(step, named):
                continue
            if named.startswith(f"{place}/") or (named == place and not pattern):
                return True
    return False


def _named(found: Invocation, word: Word, directory: Situation) -> str | None:
    """The path that a word may refer to; None if it is none."""
    value = directory.expand(word.value)
    if found.program in _DOWNLOADING:
        if "://" in value:
            return directory.path(posixpath.basename(value.partition("?")[0]))
    elif "/" not in value and word not in found.command.targets:
        return None
    return directory.path(value)


def _is_mounted(step: Step, path: str) -> bool:
    return any(
        f"{path}/".startswith(f"{step.before.path(mount.target)}/")
        for mount in step.mounts
        if mount.target
    )


def _merge(plan: Plan, steps: Sequence[Step]) -> tuple[Edit, ...] | None:
    """Join RUN instructions with `&&`; None if that changes what they do."""
    first, *rest = steps
    nodes = [step.instruction.node for step in steps]
    if any(node.flags != nodes[0].flags or node.heredocs for node in nodes):
        return None
    if any(step.before.user != first.before.user for step in rest):
        return None
    programs = {one.program for step in steps[:-1] for one in step.invocations or ()}
    if programs & _KEPT_BY_SHELL and not (len(steps) == 2 and _only_deletes(steps[-1])):
        return None
    for step in rest:
        if not step.invocations or any(
            one.command.nested or one.command.before not in ("", "&&") for one in step.invocations
        ):
            return None
    source = plan.source
    edits = []
    for before, after in zip(steps, rest, strict=False):
        if before.script is None or after.script is None or not before.invocations:
            return None
        trailing = before.script.text[before.invocations[-1].command.end :]
        if "#" in trailing or "&" in trailing:
            return None
        begin = before.script.source(0, len(before.script.text))[1]
        end = after.script.offsets[0]
        between = source.text[begin:end].split("\n")
        comments = [line for line in between[1:-1] if line.lstrip().startswith("#")]
        indent = source.indent(before.instruction.node)
        joined = [f" && {source.document.escape}{source.newline}"]
        joined += [f"{indent}{line.strip()}{source.newline}" for line in comments]
        edits.append(Edit(begin, end, "".join((*joined, indent))))
    return tuple(edits)


def _only_deletes(step: Step) -> bool:
    return all(
        one.program in _PACKAGES
        or (
            one.program in ("rm", "rmdir")
            and all(w.value.startswith(("-", "/")) for w in one.arguments)
        )
        for one in step.invocations or ()
    )


def _copied(plan: Plan, stage: Stage, number: int) -> Advice | None:
    """Mount a file that is only copied to be read and deleted."""
    last = stage.steps[number]
    for found in last.invocations or ():
        paths = rm_paths(found, last)
        for word, path in paths:
            for copy in stage.steps[:number]:
                if _copies_file(copy, path):
                    edits = _mount_edits(plan, stage, copy, number, found, path)
                    if edits is None:
                        continue
                    if len(paths) > 1:
                        assert last.script is not None
                        edits += cut_words(found.command, (word,), last.script)
                    reason = (
                        f"{path} is deleted here, but stays in the layer of line {copy.line}."
                        " A bind mount shows it to the step without a layer."
                    )
                    saving = Saving("space", "in the image")
                    return Advice(
                        Kind.DELETED_FILES, last.line, last.text, reason, saving, tuple(edits)
                    )
    return None


def _copies_file(step: Step, path: str) -> bool:
    """Whether a step copies one file, to this path, and does nothing else with it."""
    one = step.instruction
    if not isinstance(one, ast.Copy) or one.node.keyword != "COPY" or len(one.sources) != 1:
        return False
    if one.inline or one.chown or one.chmod or one.parents or one.excludes:
        return False
    (name,) = one.sources
    if any(char in name for char in '*?[$ ,"') or name[-1:] == "/" or name in (".", ".."):
        return False
    to = step.before.expand(one.destination)
    if to.endswith("/") or to in (".", ".."):
        to = posixpath.join(to, posixpath.basename(name))
    return step.before.path(to) == path and "." in posixpath.basename(path)


def _mount_edits(
    plan: Plan, stage: Stage, copy: Step, number: int, deleting: Invocation, path: str
) -> list[Edit] | None:
    one = copy.instruction
    assert isinstance(one, ast.Copy)
    source, name = plan.source, posixpath.basename(path)
    start = stage.steps.index(copy)
    edits = [source.remove(one.node)]
    origin = f"from={one.origin}," if one.origin else ""
    flag = f"--mount=type=bind,{origin}source={one.sources[0]},target={path}"
    uses = 0
    for at, step in enumerate(stage.steps[start + 1 :], start + 1):
        node = step.instruction.node
        if name not in node.original and not any(name in h.content for h in node.heredocs):
            continue
        if step.script is None or step.invocations is None or at > number:
            return None
        reading = [
            found
            for found in step.invocations
            if found != deleting and re.search(re.escape(name), _text(found, step))
        ]
        if any(found.program not in _READING for found in reading):
            return None
        if reading:
            uses += 1
            added = source.add_flags(node, [flag])
            if added is None:
                return None
            edits.append(added)
    last = stage.steps[number]
    if len(rm_paths(deleting, last)) == 1:
        if len(last.invocations or ()) == 1:
            edits.append(source.remove(last.instruction.node))
        else:
            cut = cut_commands(source, (deleting,), last)
            if cut is None:
                return None
            edits += cut
    return edits if uses else None


def _text(found: Invocation, step: Step) -> str:
    assert step.script is not None
    return step.script.text[found.command.start : found.command.end]
