"""`--allow`: the privileges that bake files request, and what is granted.

Bake files can come from others, so what they read and write outside of the working directory needs
a grant, as do host networking, privileged containers, devices and SSH agents.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.bake.locations import ELSEWHERE, dockerfile_path, is_remote, local_path
from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lamina.bake.overrides import Overrides
    from lamina.bake.target import Target

_PLAIN = {
    "network.host": "use the host's network",
    "security.insecure": "run privileged containers",
    "device": "use all CDI devices",
}
_SWITCHES = (*_PLAIN, "ssh", "local.delete")
_PATHS = ("fs", "fs.read", "fs.write")
_IMAGES = ("image", "image.push", "image.load")
_FILES_SWITCH = "BUILDX_BAKE_ENTITLEMENTS_FS"


class Grants(NamedTuple):
    """`switches` are entitlements without a path; paths are as they were given, `*` for all."""

    switches: frozenset[str] = frozenset()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


class Privilege(NamedTuple):
    """Something that was not granted: the argument of `--allow` for it, and what it permits."""

    entitlement: str
    permits: str


def parse_grants(given: Sequence[str]) -> Grants:
    """Read `--allow`. Raises InvalidInput."""
    switches: set[str] = set()
    read: list[str] = []
    write: list[str] = []
    for text in given:
        kind, equals, value = text.partition("=")
        if kind in _PATHS and equals:
            read += [value] if kind != "fs.write" else []
            write += [value] if kind != "fs.read" else []
        elif (kind in _SWITCHES and not equals) or (kind == "device" and value):
            switches.add(text)
        elif kind not in _IMAGES:
            raise InvalidInput(
                f'invalid --allow "{text}"',
                hint=f"one of {', '.join(_SWITCHES)}, fs=PATH, fs.read=PATH, fs.write=PATH",
            )
    return Grants(frozenset(switches), tuple(read), tuple(write))


def with_overrides(grants: Grants, overrides: Overrides) -> Grants:
    """What the command line itself sets needs no further grant."""
    from lamina.bake.overrides import overridden
    from lamina.bake.target import Target

    read, write, switches = list(grants.read), list(grants.write), set(grants.switches)
    kinds = ("cache-from", "cache-to", "output", "secrets", "ssh", "entitlements")
    for options in overrides.values():
        given = {key: each for key, each in options.items() if key in kinds}
        target = overridden(Target(), given)
        read += _read_files(target)
        write += _written(target)
        switches |= set(target.entitlements or ())
    return Grants(frozenset(switches), tuple(read), tuple(write))


def missing_privileges(
    targets: Iterable[Target], grants: Grants, environ: Mapping[str, str]
) -> list[Privilege]:
    """What targets need and nothing grants, in a fixed order."""
    needed: dict[str, str] = {}
    read: set[str] = set()
    write: set[str] = set()
    for target in targets:
        needed |= dict(_switches(target))
        read |= {*_contexts(target), *_read_files(target)}
        write |= set(_written(target))
    found = [
        Privilege(entitlement, permits)
        for entitlement, permits in sorted(needed.items())
        if not _is_granted(entitlement, grants)
    ]
    if parse_bool(environ.get(_FILES_SWITCH, "1")) is False:
        return [p for p in found if p.entitlement != "ssh"]
    here = os.getcwd()
    reads, writes = _outside(read, (here, *grants.read)), _outside(write, (here, *grants.write))
    both = sorted(reads & writes)
    found += [Privilege(f"fs={path}", f"read and write {path}") for path in both]
    found += [Privilege(f"fs.read={path}", f"read {path}") for path in sorted(reads - writes)]
    found += [Privilege(f"fs.write={path}", f"write {path}") for path in sorted(writes - reads)]
    return found


def _is_granted(entitlement: str, grants: Grants) -> bool:
    kind = entitlement.partition("=")[0]
    return entitlement in grants.switches or kind in grants.switches


def _switches(target: Target) -> Iterator[tuple[str, str]]:
    for entitlement in target.entitlements or ():
        kind, _, device = entitlement.partition("=")
        if kind == "device" and device:
            yield entitlement, f"use the device {device}"
        elif kind in _PLAIN:
            yield kind, _PLAIN[kind]
    if any(not agent.paths for agent in target.ssh or ()):
        yield "ssh", "use the SSH agent"
    if any(o.type == "local" and o.get("mode") == "delete" for o in target.output or ()):
        yield "local.delete", "delete files in output directories"


def _contexts(target: Target) -> Iterator[str]:
    context = target.context or "."
    if not is_remote(context):
        yield context
        if target.dockerfile_inline is None and not is_remote(target.dockerfile or ""):
            yield dockerfile_path(target)
    for _, value in target.contexts or ():
        if value and not is_remote(value) and not value.startswith(ELSEWHERE):
            yield local_path(value)


def _read_files(target: Target) -> Iterator[str]:
    for cache in target.cache_from or ():
        if cache.type == "local" and cache.get("src"):
            yield cache.get("src")
    for secret in target.secret or ():
        if secret.src:
            yield secret.src
    for agent in target.ssh or ():
        yield from agent.paths


def _written(target: Target) -> Iterator[str]:
    for entry in (*(target.output or ()), *(target.cache_to or ())):
        if entry.get("dest") not in ("", "-"):
            yield entry.get("dest")


def _outside(paths: set[str], granted: Sequence[str]) -> set[str]:
    """The paths that are below none of the granted ones, without those below others."""
    if "*" in granted:
        return set()
    roots = list(map(_real, granted))
    wanted = {
        _existing(path)
        for path in map(_real, paths)
        if not any(_is_below(path, root) for root in roots)
    }
    found: set[str] = set()
    for path in sorted(wanted, key=len):
        if not any(_is_below(path, other) for other in found):
            found.add(path)
    return found


def _real(path: str) -> str:
    return os.path.realpath(os.path.expanduser(path))


def _existing(real: str) -> str:
    """What exists of a path: a grant for it lets the rest be created."""
    while not os.path.lexists(real):
        real = os.path.dirname(real)
    return real


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
