"""Texts for the causes of a step's cache miss."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from lamina.records.causes import (
    CacheIgnored,
    CacheLacks,
    CredentialsChanged,
    DependsOn,
    DownloadChanged,
    FilesChanged,
    InputReplaced,
    NeverBuilt,
    NewStep,
    NotCompleted,
    NotRecorded,
    OnlyThisBuild,
    OptionChanged,
    PlatformChanged,
    RefMoved,
    ResultMissing,
    ResultPruned,
    SourceMoved,
    SourceReplaced,
    StepMoved,
    StepRemoved,
    TextChanged,
    Unexplained,
    VariableChanged,
)
from lamina.records.matching import label_of

if TYPE_CHECKING:
    from lamina.records.causes import Cause, Explanation
    from lamina.records.content_changes import PathChange
    from lamina.records.steps import Step

_COMMIT = 12  # characters of a commit's name
_DIGEST = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
_NAME = 60  # characters of a step's text in the explanation of another one
_VALUE = 80
_KINDS = {
    "-": "file",
    "d": "folder",
    "l": "link",
    "c": "device",
    "b": "device",
    "p": "pipe",
    "s": "socket",
}


def short_text(explanation: Explanation) -> str:
    """All causes of a step in one line."""
    own = own_causes(explanation)
    texts = [cause_text(cause) for cause in own]
    named = {
        c.source.digest
        for c in explanation.causes
        if isinstance(c, FilesChanged) and c.source is not None
    }
    others: dict[str, tuple[Step, list[Cause]]] = {}
    # An ADD of a URL is two steps of one name: the download and the copy.
    alike = {r.step.digest for r in explanation.roots if r.step.name == explanation.step.name}
    for root in explanation.roots:
        if root.step.digest in alike and root.step.digest != explanation.step.digest:
            texts.append(cause_text(root.cause))
        elif root.step.digest not in (explanation.step.digest, *named):
            others.setdefault(root.step.digest, (root.step, []))[1].append(root.cause)
    direct = [cause.step for cause in explanation.causes if isinstance(cause, DependsOn)]
    if others or any(step.digest not in named | alike for step in direct):
        texts.append(_dependence(others, direct))
    return ", ".join(texts)


def own_causes(explanation: Explanation) -> list[Cause]:
    """The causes of a step that are not those of the steps that it depends on.

    For a here-document that a step copies, the change of its text: a step of its own makes it.
    """
    found: list[Cause] = []
    for cause in explanation.causes:
        texts = [
            root.cause
            for root in explanation.roots
            if isinstance(cause, FilesChanged)
            and cause.source is not None
            and root.step.digest == cause.source.digest
            and isinstance(root.cause, TextChanged)
            and not label_of(root.step.name).number
        ]
        if texts:
            found += texts
        elif not isinstance(cause, DependsOn):
            found.append(cause)
    return found


def _dependence(others: dict[str, tuple[Step, list[Cause]]], steps: list[Step]) -> str:
    """The steps of the root causes of a step; `steps` if they are not known."""
    if not others:
        return "depends on " + " and ".join(f"{_text_of(s)}, which changed" for s in steps)
    return "depends on " + " and on ".join(
        f"{_text_of(step)}, {_what_happened(causes)}" for step, causes in others.values()
    )


def _what_happened(causes: list[Cause]) -> str:
    match causes:
        case [NewStep(), *_]:
            return "which is new"
        case [CacheIgnored(), *_]:
            return "which ran without the cache"
        case [SourceMoved(_, before, after), *_] if before or after:
            return "which moved"
        case [RefMoved(), *_]:
            return "which moved"
        case [ResultPruned() | ResultMissing() | CacheLacks() | NotCompleted(), *_]:
            return "which ran again with another output"
        case _:
            return "which changed"


def cause_text(cause: Cause) -> str:
    """One cause, in one line."""
    match cause:
        case NeverBuilt(text) | ResultMissing(text) | OnlyThisBuild(text) | NewStep(text):
            return text
        case CacheIgnored(text) | CredentialsChanged(text) | Unexplained(text) | NotRecorded(text):
            return text
        case ResultPruned(when):
            moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
            return f"result was pruned on {moment}"
        case CacheLacks(known):
            more = ": it has the key, but not the result" if known else ""
            return f"imported cache lacks this step{more}"
        case NotCompleted(ref, failed):
            return f"it {'failed' if failed else 'was stopped'} in build {ref}"
        case TextChanged(subject):
            return f"{subject} changed"
        case VariableChanged(origin, name, before, after):
            return f"{origin} {name} {_change(before, after)}"
        case OptionChanged(option, before, after):
            return f"{option} {_change(before or None, after or None)}"
        case PlatformChanged(before, after):
            return f"platform {_change(before, after)}"
        case SourceMoved():
            return _moved(cause)
        case RefMoved(ref, before, after):
            return f"{_ref(ref)} moved from {_commit(before)} to {_commit(after)}"
        case DownloadChanged(_, before, after):
            return f"content changed from {_digest(before)} to {_digest(after)}"
        case SourceReplaced(before, after):
            return f"source {_change(before, after)}"
        case FilesChanged():
            return _files(cause)
        case DependsOn(step):
            return f"depends on {_text_of(step)}"
        case StepRemoved(name):
            return f"{_text(name)} was removed before it"
        case StepMoved(name):
            return f"{_text(name)} was moved"
        case InputReplaced(before, after):
            return f"builds on {_text(after)} instead of {_text(before)}"


def step_text(step: Step) -> str:
    """The instruction of a step, without the stage and the number."""
    return _DIGEST.sub(r"sha256:\1…", label_of(step.name).text)


def diff_lines(cause: TextChanged) -> list[str]:
    """The lines of a text that changed: `- ` before, `+ ` after, `  ` around them."""
    from difflib import unified_diff

    lines = unified_diff(cause.before.splitlines(), cause.after.splitlines(), n=1, lineterm="")
    return [f"{line[:1]} {line[1:]}" for line in lines if not line.startswith(("---", "+++", "@@"))]


def path_text(change: PathChange) -> str:
    """The change of one path."""
    path = change.path
    match change.change:
        case "mode" | "owner":
            return f"{change.change} of {path} changed from {change.before} to {change.after}"
        case "type":
            kinds = (_KINDS.get(kind, "file") for kind in (change.before, change.after))
            return f"{path} changed from a {' to a '.join(kinds)}"
        case _:
            return f"{path} {change.change}"


def _files(cause: FilesChanged) -> str:
    where = "" if cause.source is None else f" in the output of {_text_of(cause.source)}"
    changes = cause.changes
    if changes is None or not changes.total:
        return f"the files that it reads changed{where}"
    texts = [path_text(change) for change in changes.first]
    more = changes.total - len(texts)
    if more:
        texts.append(f"and {more} more")
    return ", ".join(texts) + where


def _moved(cause: SourceMoved) -> str:
    if not (cause.before and cause.after):
        return "its source has changed" if not cause.after else "its digest was pinned"
    name = cause.name.rpartition("/")[2]
    kind = "tag moved" if ":" in name else "digest changed"
    return f"{kind} from {_digest(cause.before)} to {_digest(cause.after)}"


def _digest(text: str) -> str:
    return _DIGEST.sub(r"sha256:\1…", text)


def _ref(name: str) -> str:
    for prefix, kind in (("refs/heads/", "branch"), ("refs/tags/", "tag")):
        if name.startswith(prefix):
            return f"{kind} {name.removeprefix(prefix)}"
    return name


def _commit(name: str) -> str:
    return f"{name[:_COMMIT]}…"


def _change(before: str | None, after: str | None) -> str:
    if before is None:
        return f"added ({_clip(after or '')})"
    if after is None:
        return f"removed (it was {_clip(before)})"
    return f"changed from {_clip(before)} to {_clip(after)}"


def _clip(text: str) -> str:
    line = " ".join(text.split())
    shown = line if len(line) <= _VALUE else line[: _VALUE - 1] + "…"
    return shown or '""'


def _text(name: str) -> str:
    text = _DIGEST.sub(r"sha256:\1…", label_of(name).text)
    text = re.sub(r"^(FROM \S+?)@sha256:\S+", r"\1", text)
    line = " ".join(text.split())
    return line if len(line) <= _NAME else line[: _NAME - 1] + "…"


def _text_of(step: Step) -> str:
    return _text(step.name)
