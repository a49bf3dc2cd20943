"""`RUN --mount=…`: every type and option."""

from __future__ import annotations

import csv
import posixpath
from typing import TYPE_CHECKING, NamedTuple

from lamina.base.errors import InvalidInput
from lamina.dockerfile.instruction import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.location import Location

_OPTIONS = {
    "bind": ("from", "source", "target", "readonly", "readwrite"),
    "cache": (
        "id",
        "from",
        "source",
        "target",
        "readonly",
        "readwrite",
        "sharing",
        "mode",
        "uid",
        "gid",
    ),
    "tmpfs": ("target", "size"),
    "secret": ("id", "target", "required", "mode", "uid", "gid", "env"),
    "ssh": ("id", "target", "required", "mode", "uid", "gid"),
}
_SAME = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_SAME.update(rw="readwrite")
_SHARING = ("shared", "private", "locked")
_BOOLEAN = frozenset(("readonly", "readwrite", "required"))
_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class RunMount(NamedTuple):
    """One mount as written, with defaults filled in.

    `mode`, `uid` and `gid` are None where they were not given; `target` is "" for a secret that
    is passed in the environment alone.
    """

    type: str
    target: str = ""
    source: str = ""
    origin: str = ""
    id: str = ""
    readonly: bool = False
    sharing: str = "shared"
    required: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str = ""


def parse_mount(text: str, expand: Callable[[str], str], location: Location) -> RunMount:
    """Read one `--mount` value. Raises InvalidInput, located."""

    def refuse(reason: str, hint: str = "") -> InvalidInput:
        return InvalidInput(reason, hint=hint, location=location)

    fields = next(csv.reader([text]), [])
    values: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        name = _SAME.get(name.strip().lower(), name.strip().lower())
        if not equals and name not in _BOOLEAN:
            raise refuse(f"invalid field '{field}' must be a key=value pair")
        values[name] = expand(value) if equals else "true"
    kind = values.pop("type", "bind")
    if kind not in _OPTIONS:
        raise refuse(f'unsupported mount type "{kind}"', suggest(kind, tuple(_OPTIONS)))
    for name in values:
        if name not in _OPTIONS[kind]:
            raise refuse(
                f"unexpected key '{name}' for mount type '{kind}'", suggest(name, _OPTIONS[kind])
            )
    switches = {}
    for name in _BOOLEAN & values.keys():
        if values[name].lower() not in ("true", "false", "1", "0"):
            raise refuse(f"invalid value for {name}: {values[name]}")
        switches[name] = values[name].lower() in ("true", "1")
    readonly = switches.get("readonly", kind == "bind" and not switches.get("readwrite", False))
    numbers: dict[str, int | None] = {}
    for name, base in (("mode", 8), ("uid", 10), ("gid", 10)):
        try:
            numbers[name] = int(values[name], base) if name in values else None
        except ValueError:
            raise refuse(f"invalid value {values[name]} for {name}") from None
    sharing = values.get("sharing", "shared")
    if sharing not in ("shared", "private", "locked"):
        raise refuse(
            f'unsupported sharing value "{sharing}"',
            suggest(sharing, ("shared", "private", "locked")),
        )
    target = values.get("target", "")
    source = values.get("source", "")
    mount_id = values.get("id", "")
    env = values.get("env", "")
    if kind == "secret":
        mount_id = mount_id or posixpath.basename(target) or env
        if not mount_id:
            raise refuse("invalid empty secret id", "give the mount an id=")
        if not target and not env:
            target = f"/run/secrets/{posixpath.basename(mount_id)}"
    elif kind == "ssh":
        mount_id = mount_id or "default"
    elif not target:
        raise refuse("missing required field 'target'", "say where to mount it: target=/path")
    if kind in ("bind", "cache") and posixpath.normpath(target) == "/":
        raise refuse('invalid mount target "/"')
    return RunMount(
        kind,
        target,
        source,
        values.get("from", ""),
        mount_id,
        readonly,
        sharing,
        switches.get("required", False),
        _size(values["size"], refuse) if "size" in values else 0,
        numbers["mode"],
        numbers["uid"],
        numbers["gid"],
        env,
    )


def _size(text: str, refuse: Callable[[str], InvalidInput]) -> int:
    """Bytes of `64m`, `1gb`, `1024`."""
    digits = text.lower().removesuffix("b").removesuffix("i")
    unit = 1
    if digits and digits[-1] in _SIZES:
        unit = _SIZES[digits[-1]]
        digits = digits[:-1]
    try:
        return int(float(digits) * unit)
    except ValueError:
        raise refuse(f"invalid value for size: {text}") from None
