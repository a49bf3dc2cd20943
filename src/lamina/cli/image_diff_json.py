"""The comparison of two images as JSON. docs/reference/diff.md has the schema."""

from __future__ import annotations

import json
import stat
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from lamina.cli.image_diff_text import display_path
from lamina.cli.units import show_nanoseconds

if TYPE_CHECKING:
    from lamina.imagediff.files import File
    from lamina.imagediff.result import (
        ConfigurationChange,
        FileChange,
        ImageDiff,
        ImageSummary,
        LayerChange,
        LayerSummary,
    )

Document = dict[str, Any]


def image_diff_json(diff: ImageDiff) -> str:
    """One document, indented, in ASCII. Bytes of names that are not UTF-8 are lone surrogates."""
    document = {
        "equal": diff.equal,
        "before": _image(diff.before),
        "after": _image(diff.after),
        "compared": diff.options._asdict(),
        "configuration": [_configuration(change) for change in diff.configuration],
        "packages": [
            {
                "manager": change.manager,
                "name": change.name,
                "before": change.before,
                "after": change.after,
            }
            for change in diff.packages
        ],
        "layers": [_layer(change) for change in diff.layers],
        "files": [_file_change(change) for change in diff.files],
        "timeOnly": diff.time_only,
        "problems": [{"image": image, "reason": reason} for image, reason in diff.problems],
    }
    return json.dumps(document, indent=2)


def _image(image: ImageSummary) -> Document:
    return {
        "name": image.name,
        "digest": image.digest,
        "configDigest": image.config_digest,
        "platform": image.platform,
        "size": image.size,
    }


def _configuration(change: ConfigurationChange) -> Document:
    document: Document = {"field": change.field}
    if change.key:
        document["key"] = change.key
    return {**document, "before": change.before, "after": change.after}


def _layer(change: LayerChange) -> Document:
    return {
        "same": change.same,
        "before": _layer_summary(change.before),
        "after": _layer_summary(change.after),
        "changes": [_file_change(file) for file in change.changes],
    }


def _layer_summary(layer: LayerSummary | None) -> Document | None:
    if layer is None:
        return None
    return {
        "number": layer.number,
        "digest": layer.digest,
        "diffID": layer.diff_id,
        "size": layer.size,
        "step": layer.step,
        "files": layer.files,
        "content": layer.content,
    }


def _file_change(change: FileChange) -> Document:
    path, kind = display_path(change.path)
    if change.before is None:
        what = "added"
    else:
        what = "removed" if change.after is None else "changed"
    document: Document = {"path": path, "change": what}
    if change.differs:
        document["differs"] = change.differs
    for name, file, layer, link in (
        ("before", change.before, change.before_layer, change.before_link),
        ("after", change.after, change.after_layer, change.after_link),
    ):
        if file is not None:
            document[name] = {"type": kind} if kind else _file(file, layer, link)
    return document


def _file(file: File, layer: int, link: str) -> Document:
    document: Document = {"type": file.type}
    if layer:
        document["layer"] = layer
    if link:
        document["hardLink"] = f"/{link}"
    if file.hard_link:
        return document  # all other fields are those of the target
    document |= {"mode": f"{stat.S_IMODE(file.mode):04o}", "uid": file.uid, "gid": file.gid}
    if file.mtime_ns is not None:
        document["mtime"] = show_nanoseconds(file.mtime_ns)
    if file.kind == stat.S_IFREG:
        document |= {"size": file.size, "digest": f"sha256:{file.digest.hex()}"}
    if file.kind == stat.S_IFLNK:
        document["target"] = file.target
    if file.kind in (stat.S_IFCHR, stat.S_IFBLK):
        document["device"] = ":".join(map(str, file.device))
    if file.xattrs:
        document["xattrs"] = {name: b64encode(value).decode() for name, value in file.xattrs}
    return document
