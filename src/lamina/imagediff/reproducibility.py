"""Compares two builds of the same inputs: which file differs first, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.imagediff.causes import (
    Cause,
    content_cause,
    metadata_cause,
    presence_cause,
    time_cause,
)
from lamina.imagediff.compare import compare_images
from lamina.imagediff.content import read_content
from lamina.imagediff.result import Options

if TYPE_CHECKING:
    from lamina.imagediff.image import Image
    from lamina.imagediff.result import FileChange, ImageDiff, LayerChange
    from lamina.system.cancel import Cancellation

_LIMIT = 16 << 20


class Finding(NamedTuple):
    """The first difference in a layer, or in the configuration (`layer` is 0).

    `path` is as in the layer, "" for the configuration; `differs` as in `FileChange`, or `added` or
    `removed`; `more` is how many other files of the layer differ.
    """

    layer: int
    step: str
    path: str
    differs: tuple[str, ...]
    cause: Cause
    more: int = 0


class Verdict(NamedTuple):
    """Whether two builds gave the same image. `findings` are in the order of the layers."""

    platform: str
    before: str
    after: str
    findings: tuple[Finding, ...]

    @property
    def reproducible(self) -> bool:
        return self.before == self.after


def verdict_on(before: Image, after: Image, cancel: Cancellation) -> Verdict:
    """Compare two builds. Raises as `compare_images` does."""
    assert before.digest is not None
    assert after.digest is not None
    findings: list[Finding] = []
    if before.digest != after.digest:
        diff = compare_images(before, after, Options(times=True, history=True), cancel)
        for change in diff.layers:
            found = _layer_finding(before, after, change, cancel)
            if found is not None:
                findings.append(found)
        if not findings:
            findings.append(_document_finding(diff))
    platform = after.platform
    return Verdict(platform, str(before.digest), str(after.digest), tuple(findings))


def _layer_finding(
    before: Image, after: Image, change: LayerChange, cancel: Cancellation
) -> Finding | None:
    if change.same:
        return None
    layer = change.after or change.before
    assert layer is not None
    if change.before is None or change.after is None:
        which = "second" if change.before is None else "first"
        cause = Cause("unknown", f"only the {which} build has this layer")
        return Finding(layer.number, layer.step, "", (), cause)
    if not change.changes:
        cause = Cause("ordering", "only the order or the encoding of the layer's entries differs")
        return Finding(layer.number, layer.step, "", (), cause)
    # A difference in content is more informative than times, which differ in every build.
    first = min(change.changes, key=lambda file: _weight(file.differs))
    cause = _cause(before, after, change, first, cancel)
    what = ("added",) if first.before is None else ("removed",)
    differs = first.differs or what
    return Finding(layer.number, layer.step, first.path, differs, cause, len(change.changes) - 1)


def _weight(differs: tuple[str, ...]) -> int:
    return 1 if differs == ("time",) else 0


def _cause(
    before: Image, after: Image, layer: LayerChange, change: FileChange, cancel: Cancellation
) -> Cause:
    assert layer.before is not None
    assert layer.after is not None
    step = layer.after.step
    old, new = change.before, change.after
    if old is None or new is None:
        file = new or old
        assert file is not None
        if old is None:
            others = [one.before for one in layer.changes if one.after is None]
        else:
            others = [one.after for one in layer.changes if one.before is None]
        return presence_cause(change.path, others, file, step)
    if change.differs == ("time",):
        return time_cause("the modification time of files")
    if "content" in change.differs and max(old.size, new.size) <= _LIMIT:
        was = read_content(before, before.layers[layer.before.number - 1], change.path, cancel)
        now = read_content(after, after.layers[layer.after.number - 1], change.path, cancel)
        return content_cause(was, now, step)
    return metadata_cause(change.differs, step)


def _document_finding(diff: ImageDiff) -> Finding:
    """The difference of the documents, if the layers are equal."""
    for change in diff.configuration:
        name = f"{change.field} {change.key}".rstrip()
        if "created" in f"{change.field} {change.key}":
            return Finding(0, "", "", (name,), time_cause("the time of creation"))
        if change.field != "history":
            old, new = (json.dumps(value) for value in (change.before, change.after))
            cause = Cause("unknown", f"{name} is {old} and {new}")
            return Finding(0, "", "", (name,), cause)
    if diff.configuration:
        return Finding(0, "", "", ("history",), time_cause("the times in the history"))
    cause = Cause("unknown", "only the encoding of the configuration or the manifest differs")
    return Finding(0, "", "", (), cause)
