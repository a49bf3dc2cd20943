"""The comparison of two images as text: `+` is added, `-` removed, `~` changed."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

from lamina.cli.units import show_nanoseconds, show_size
from lamina.layers.entry import OPAQUE, WHITEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.imagediff.files import File
    from lamina.imagediff.result import (
        ConfigurationChange,
        FileChange,
        ImageDiff,
        ImageSummary,
        LayerChange,
        LayerSummary,
        PackageChange,
    )

_FILES = 100
_FILES_OF_LAYER = 10
_VALUE = 200


def image_diff_lines(diff: ImageDiff, *, verbose: bool) -> Iterator[str]:
    """The lines of the comparison. Without `verbose`, long lists of files are truncated."""
    yield _image("before", diff.before)
    yield _image("after ", diff.after)
    if diff.configuration:
        yield from ("", "Configuration:")
        yield from map(_configuration, diff.configuration)
    if diff.packages:
        yield from ("", "Packages:")
        yield from map(_package, diff.packages)
    if any(not layer.same for layer in diff.layers):
        yield from ("", "Layers:")
        for layer in diff.layers:
            yield from _layer(layer, verbose)
    if diff.files:
        yield from ("", "Files:")
        yield from _files(diff.files, "  ", None if verbose else _FILES)
    yield ""
    for name, reason in diff.problems:
        yield f"Packages of {printable(name)} were not compared: {printable(reason)}."
    yield from _summary(diff)


def printable(text: str) -> str:
    """A text on one line. Control characters, and bytes that are not UTF-8, are escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def display_path(path: str) -> tuple[str, str]:
    """The absolute path for a path of a layer or a tree, and the kind of whiteout, "" for a
    file."""
    parent, slash, name = path.rpartition("/")
    if name == OPAQUE:
        return f"/{parent}", "opaque whiteout"
    if name.startswith(WHITEOUT):
        return f"/{parent}{slash}{name[len(WHITEOUT) :]}", "whiteout"
    return f"/{path}", ""


def _image(title: str, image: ImageSummary) -> str:
    digest = image.digest or image.config_digest
    what = f"{digest.algorithm}:{digest.short}"
    parts = (printable(image.name), what, printable(image.platform), show_size(image.size))
    return f"{title}  " + "  ".join(part for part in parts if part)


def _configuration(change: ConfigurationChange) -> str:
    name = printable(f"{change.field} {change.key}".rstrip())
    if change.before is None:
        return f"  + {name}{_value(': ', change.after)}"
    if change.after is None:
        return f"  - {name}{_value(': ', change.before)}"
    return f"  ~ {name}{_value(': ', change.before)}{_value(' → ', change.after)}"


def _value(before: str, value: Any) -> str:
    if value == {}:
        return ""  # ports and volumes have only a name
    return before + _shortened(json.dumps(value, ensure_ascii=False))


def _package(change: PackageChange) -> str:
    name = f"{change.manager} {printable(change.name)}"
    old, new = (printable(", ".join(versions)) for versions in (change.before, change.after))
    if not change.before:
        return f"  + {name} {new}"
    if not change.after:
        return f"  - {name} {old}"
    return f"  ~ {name} {old} → {new}"


def _layer(change: LayerChange, verbose: bool) -> Iterator[str]:
    before, after = change.before, change.after
    if before is not None and after is not None:
        sign = "=" if change.same else "~"
        digests = _either(_digest(before), _digest(after))
        sizes = _either(show_size(before.size), show_size(after.size))
        number = _either(str(before.number), str(after.number))
        step = after.step if before.step == after.step else ""
    else:
        sign, layer = ("+", after) if before is None else ("-", before)
        assert layer is not None
        number, digests, sizes = str(layer.number), _digest(layer), show_size(layer.size)
        step = layer.step
    yield f"  {sign} {number}  {digests}  {sizes}  {_shortened(step)}".rstrip()
    if not change.same:
        if before is not None and after is not None and before.step != after.step:
            yield f"      step {_shortened(before.step) or 'unknown'}"
            yield f"         → {_shortened(after.step) or 'unknown'}"
        if change.changes:
            yield from _files(change.changes, "      ", None if verbose else _FILES_OF_LAYER)
        else:
            yield "      no file differs"


def _shortened(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _VALUE else f"{shown[:_VALUE]}…"


def _digest(layer: LayerSummary) -> str:
    return layer.digest.short


def _either(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _files(changes: Sequence[FileChange], indent: str, limit: int | None) -> Iterator[str]:
    for change in changes[:limit]:
        yield indent + _file(change)
    if limit is not None and len(changes) > limit:
        yield f"{indent}… and {len(changes) - limit} more (--verbose lists all)"


def _file(change: FileChange) -> str:
    path, kind = display_path(change.path)
    name = printable(path)
    before, after = change.before, change.after
    if before is None or after is None:
        sign = "+" if before is None else "-"
        file = after if before is None else before
        link = change.after_link if before is None else change.before_link
        assert file is not None
        return f"{sign} {name}  {kind or _described(file, link, change.path)}"
    parts = [_difference(name, before, after, change) for name in change.differs]
    return f"~ {name}  {', '.join(parts)}"


def _described(file: File, link: str, path: str) -> str:
    if link and link != path:
        return f"hard link to {printable(f'/{link}')}"
    if file.kind == stat.S_IFREG:
        return show_size(file.size)
    if file.kind == stat.S_IFLNK:
        return f"symlink to {printable(file.target)}"
    return file.type


def _difference(name: str, before: File, after: File, change: FileChange) -> str:
    match name:
        case "type":
            return f"{before.type} → {after.type}"
        case "content":
            return f"content {_either(show_size(before.size), show_size(after.size))}"
        case "mode":
            modes = (f"{stat.S_IMODE(file.mode):04o}" for file in (before, after))
            return f"mode {' → '.join(modes)}"
        case "owner":
            owners = (f"{file.uid}:{file.gid}" for file in (before, after))
            return f"owner {' → '.join(owners)}"
        case "target":
            return f"target {printable(before.target)} → {printable(after.target)}"
        case "device":
            numbers = (":".join(map(str, file.device)) for file in (before, after))
            return f"device {' → '.join(numbers)}"
        case "xattrs":
            old, new = dict(before.xattrs), dict(after.xattrs)
            names = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
            return f"xattrs {printable(', '.join(names))}"
        case "hard link":
            links = (change.before_link, change.after_link)
            shown = (printable(f"/{link}") if link else "none" for link in links)
            return f"hard link {' → '.join(shown)}"
        case "time":
            times = (show_nanoseconds(file.mtime_ns or 0) for file in (before, after))
            return f"time {' → '.join(times)}"
    raise AssertionError(name)


def _summary(diff: ImageDiff) -> Iterator[str]:
    if diff.equal:
        yield f"The images are equal{_identity(diff)}."
    else:
        added = [change.after for change in diff.files if change.before is None]
        removed = [change.before for change in diff.files if change.after is None]
        changed = len(diff.files) - len(added) - len(removed)
        noun = "file" if len(added) == 1 else "files"
        yield (
            f"Total: {len(added)} {noun} added ({_total(added)}), {len(removed)} removed"
            f" ({_total(removed)}), {changed} changed."
        )
    if diff.time_only:
        plural = "files differ" if diff.time_only > 1 else "file differs"
        yield f"{diff.time_only} more {plural} only in time (--times compares times)."


def _identity(diff: ImageDiff) -> str:
    if diff.before.digest == diff.after.digest and diff.before.digest is not None:
        return ": they have the same digest"
    if None not in (diff.before.digest, diff.after.digest):
        return " in everything compared, but have different digests"
    return ""


def _total(files: Sequence[File | None]) -> str:
    return show_size(sum(file.size for file in files if file is not None))


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, f"\\u{code:04x}")
