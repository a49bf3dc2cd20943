"""`RUN --mount=…` and `--device=…`: every type and option."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.instruction import Device

if TYPE_CHECKING:
    from collections.abc import Callable

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
KEYS = (
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
)
_SAME = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_SAME["rw"] = "readwrite"
_SWITCHES = frozenset(("readonly", "readwrite", "required"))
_SIZE = r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?"
_UINT32 = 1 << 32


class RunMount(NamedTuple):
    """One mount as written, with what its type implies filled in.

    `mode`, `uid`, `gid` and `env` are None if they are not set. `size` is in bytes, 0 for
    no limit.
    """

    type: str
    origin: str = ""
    source: str = ""
    target: str = ""
    id: str = ""
    readonly: bool = False
    sharing: str = "shared"
    required: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None

    @property
    def secret_name(self) -> str:
        """The name of the secret at its source."""
        return self.source or self.id or posixpath.basename(self.target.rstrip("/"))

    @property
    def cache_name(self) -> str:
        """The ID of the cache."""
        return self.id or (posixpath.normpath(self.target) if self.target else ".")


def mount_origin(text: str) -> str:
    """The `from` of a mount, before anything is expanded. Raises InvalidInput."""
    origin = ""
    for field in _fields(text):
        key, _, value = field.partition("=")
        if key.lower() == "from":
            if "$" in value[:-1]:
                raise InvalidInput(
                    "'from' doesn't support variable expansion, define alias stage instead",
                    hint="write FROM ${NAME} AS alias above, and from=alias here",
                )
            origin = value
    return origin


def parse_mount(text: str, expand: Callable[[str], str]) -> RunMount:
    """Read one `--mount` value. Raises InvalidInput."""
    values: dict[str, str] = {}
    for field in _fields(text):
        written, equals, value = field.partition("=")
        key = _SAME.get(written.lower(), written.lower())
        if not equals and key not in _SWITCHES:
            raise InvalidInput(
                f"invalid field '{field}' must be a key=value pair", hint=f"write {key}=value"
            )
        if key not in KEYS:
            raise _unexpected(f"unexpected key '{written.lower()}' in '{field}'", written, KEYS)
        values[key] = expand(value) if equals else "true"
        if key in ("readonly", "readwrite"):
            # They are one switch; the last one counts.
            values.pop("readwrite" if key == "readonly" else "readonly", None)
    kind = values.get("type", "bind").lower()
    if kind not in TYPES:
        raise _unexpected(f'unsupported mount type "{values["type"]}"', kind, TYPES)
    _check_keys(kind, values)
    switches = {key: _switch(key, values[key]) for key in _SWITCHES & values.keys()}
    readonly = switches.get("readonly", not switches.get("readwrite", kind in ("cache", "tmpfs")))
    sharing = values.get("sharing", "shared").lower()
    if sharing not in SHARING:
        raise _unexpected(f'unsupported sharing value "{values["sharing"]}"', sharing, SHARING)
    source, target, identity = (values.get(key, "") for key in ("source", "target", "id"))
    if kind == "secret":
        if not (source or target or identity):
            raise InvalidInput(
                "invalid secret mount. one of source, target required",
                hint="name the secret: --mount=type=secret,id=name",
            )
        if source and identity:
            raise InvalidInput("both source and id can't be set")
    if kind == "ssh" and source:
        raise InvalidInput("ssh does not support source")
    return RunMount(
        kind,
        values.get("from", ""),
        source,
        target,
        identity,
        readonly,
        sharing,
        switches.get("required", False),
        _size(values["size"]) if "size" in values else 0,
        _number(values, "mode", 8),
        _number(values, "uid", 10),
        _number(values, "gid", 10),
        values.get("env"),
    )


def parse_device(text: str) -> Device:
    """Read one `--device` value: `name[,required]`. Raises InvalidInput."""
    name, required = "", False
    for field in _fields(text):
        key, equals, value = field.partition("=")
        match key.lower():
            case "required":
                required = _switch("required", value) if equals else True
            case "name" if equals:
                if name:
                    raise InvalidInput(f"device name already set to {name}")
                name = value
            case _:
                if name:
                    raise InvalidInput(
                        f"unexpected field '{field}'", hint="write --device=name[,required]"
                    )
                name = field
    return Device(name, required)


def _check_keys(kind: str, values: dict[str, str]) -> None:
    for key, kinds in (
        ("required", ("secret", "ssh")),
        ("size", ("tmpfs",)),
        ("mode", ("secret", "ssh", "cache")),
        ("uid", ("secret", "ssh", "cache")),
        ("gid", ("secret", "ssh", "cache")),
        ("sharing", ("cache",)),
    ):
        if key in values and kind not in kinds:
            raise InvalidInput(
                f"unexpected key '{key}' for mount type '{kind}'",
                hint=f"{key} is for {' and '.join(kinds)} mounts",
            )
    if kind == "secret" and values.get("from"):
        raise InvalidInput("secret mount should not have a from")


def _fields(text: str) -> list[str]:
    """Comma-separated values. One that contains a comma is in double quotes."""
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise InvalidInput(f"failed to parse csv mounts: {error}") from None


def _unexpected(reason: str, word: str, known: tuple[str, ...]) -> InvalidInput:
    from lamina.dockerfile.suggest import suggest

    return InvalidInput(reason, hint=suggest(word, known) or f"known are {', '.join(known)}")


def _switch(key: str, value: str) -> bool:
    chosen = parse_bool(value)
    if chosen is None:
        raise InvalidInput(f"invalid value for {key}: {value}", hint="use true or false")
    return chosen


def _number(values: dict[str, str], key: str, base: int) -> int | None:
    if key not in values:
        return None
    text = values[key]
    digits = "01234567" if base == 8 else "0123456789"
    if not text or text.strip(digits) or len(text) > 40 or int(text, base) >= _UINT32:
        raise InvalidInput(f"invalid value {text} for {key}")
    return int(text, base)


def _size(text: str) -> int:
    """Bytes of `64m`, `1GB`, `1.5g`, `1024`."""
    match = re.fullmatch(_SIZE, text, re.IGNORECASE)
    if match is None or len(match[1]) > 20:
        raise InvalidInput(f"invalid value for size: {text}", hint="use a size like 64m or 1g")
    power = " kmgtp".index(match[2].lower() or " ")
    return int(float(match[1]) * 1024**power)
