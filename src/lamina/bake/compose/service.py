"""The build section of a service as a target."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, Any

from lamina.bake.compose.merge import as_list, scalar_text
from lamina.bake.locations import is_remote
from lamina.bake.options.credentials import (
    Secret,
    Ssh,
    last_secrets,
    last_ssh,
    parse_secret,
    parse_ssh,
)
from lamina.bake.options.entries import (
    Entries,
    attest_flag,
    parse_attest,
    parse_caches,
    parse_output,
    without_equals,
)
from lamina.bake.selection import target_name
from lamina.bake.target import Pairs, Target, sorted_pairs, unique
from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.units import size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KEYS = frozenset(
    (
        *("additional_contexts", "args", "cache_from", "cache_to", "context", "dockerfile"),
        *("dockerfile_inline", "entitlements", "extra_hosts", "isolation", "labels", "network"),
        *("no_cache", "no_cache_filter", "platforms", "privileged", "provenance", "pull", "sbom"),
        *("secrets", "shm_size", "ssh", "tags", "target", "ulimits"),
    )
)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def service_target(
    name: str,
    service: Mapping[str, Any],
    secrets: Mapping[str, Any],
    look_up: Callable[[str], str | None],
) -> Target:
    """Raises InvalidInput for options that Compose does not have, or of another type."""
    build = service["build"]
    if isinstance(build, str):
        build = {"context": build}
    if not isinstance(build, dict):
        raise InvalidInput(f"services.{name}.build is a string or a mapping")
    unknown = [key for key in build if key not in _KEYS and not str(key).startswith("x-")]
    if unknown:
        raise InvalidInput(f"services.{name}.build has no option {unknown[0]}")
    reader = _Reader(f"services.{name}.build", build)
    context = reader.text("context") or "."
    image = service.get("image")
    target = Target(
        name=target_name(name),
        context=_resolved(context),
        contexts=_contexts(reader.pairs("additional_contexts")),
        dockerfile=reader.text("dockerfile"),
        dockerfile_inline=reader.text("dockerfile_inline"),
        tags=reader.texts("tags"),
        labels=sorted_pairs({k: v or "" for k, v in reader.pairs("labels").items()}),
        args=_arguments(reader.pairs("args"), look_up),
        cache_from=_caches(reader.texts("cache_from")),
        cache_to=_caches(reader.texts("cache_to")),
        network=reader.text("network"),
        platforms=reader.texts("platforms"),
        ssh=tuple(sorted(map(_agent, reader.items("ssh")))) or None,
        secret=tuple(_secret(each, secrets) for each in reader.items("secrets")) or None,
        shm_size=_size(reader.text("shm_size")),
        ulimits=_ulimits(reader.mapping("ulimits")),
        extra_hosts=_hosts(reader.items("extra_hosts")),
        attest=_attests(reader),
        no_cache=reader.truth("no_cache") or None,
        pull=reader.truth("pull") or None,
        target=reader.text("target"),
    )
    target = _extended(target, build.get("x-bake"), f"services.{name}.build.x-bake")
    if not target.tags and image:
        target = target._replace(tags=(str(image),))
    return target


class _Reader:
    """Reads options of the types that they have. Raises InvalidInput."""

    def __init__(self, path: str, options: Mapping[str, Any]) -> None:
        self._path = path
        self._options = options

    def text(self, key: str) -> str | None:
        value = self._options.get(key)
        if value is None or value == "":
            return None
        if isinstance(value, dict | list):
            raise InvalidInput(f"{self._path}.{key} is a string")
        return scalar_text(value)

    def truth(self, key: str) -> bool | None:
        value = self._options.get(key)
        if isinstance(value, str) and value:
            parsed = parse_bool(value)
            value = value if parsed is None else parsed
        if value is not None and not isinstance(value, bool):
            raise InvalidInput(f"{self._path}.{key} is true or false")
        return value

    def items(self, key: str) -> list[Any]:
        value = self._options.get(key)
        if isinstance(value, str):
            raise InvalidInput(f"{self._path}.{key} is a list")
        return as_list(value)

    def texts(self, key: str) -> tuple[str, ...] | None:
        value = self._options.get(key)
        if value is not None and not isinstance(value, list):
            raise InvalidInput(f"{self._path}.{key} is a list")
        return None if value is None else tuple(map(scalar_text, value))

    def mapping(self, key: str) -> dict[Any, Any]:
        value = self._options.get(key)
        if value is not None and not isinstance(value, dict):
            raise InvalidInput(f"{self._path}.{key} is a mapping")
        return value or {}

    def pairs(self, key: str) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for item in self.items(key):
            name, equals, text = scalar_text(item).partition("=")
            found[name] = text if equals else None
        return found


def _resolved(path: str) -> str:
    return path if is_remote(path) or os.path.isabs(path) else posixpath.normpath(path)


def _contexts(given: Mapping[str, str | None]) -> Pairs | None:
    found: dict[str, str | None] = {}
    for name, value in given.items():
        kind, colon, rest = (value or "").partition(":")
        if colon and kind in ("service", "target"):
            found[name] = f"target:{target_name(rest)}"
        else:
            found[name] = value if colon or value is None else _resolved(value)
    return sorted_pairs(found) or None


def _arguments(given: Mapping[str, str | None], look_up: Callable[[str], str | None]) -> Pairs:
    resolved = {k: look_up(k) if value is None else value for k, value in given.items()}
    return sorted_pairs({key: value for key, value in resolved.items() if value is not None})


def _caches(texts: tuple[str, ...] | None) -> Entries | None:
    return None if not texts else tuple(entry for text in texts for entry in parse_caches(text))


def _agent(item: Any) -> Ssh:
    return parse_ssh(scalar_text(item))


def _secret(item: Any, secrets: Mapping[str, Any]) -> Secret:
    source = item.get("source") if isinstance(item, dict) else item
    if (name := str(source)) not in secrets:
        raise InvalidInput(f'the build secret "{name}" is not defined in secrets')
    known = _Reader("secrets", secrets).mapping(name)
    if known.get("external"):
        raise InvalidInput(f'the secret "{source}" is external, which bake does not support')
    path = str(known.get("file") or "")
    return Secret(
        str(source or ""), _resolved(path) if path else "", str(known.get("environment") or "")
    )


def _size(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        value = float(size_of(text))
    except (ValueError, OverflowError):
        raise InvalidInput(f'shm_size is "{text}", which is no size') from None
    if value <= 0:
        return None
    step = 0
    while value >= 1024 and step < len(_UNITS) - 1:
        value /= 1024
        step += 1
    return f"{value:.4g}{_UNITS[step]}"


def _ulimits(given: Mapping[str, Any]) -> tuple[str, ...] | None:
    found = []
    for name, limit in sorted(given.items(), key=lambda item: str(item[0])):
        if isinstance(limit, dict):
            found.append(f"{name}={limit.get('soft', 0)}:{limit.get('hard', 0)}")
        else:
            found.append(f"{name}={limit}:{limit}")
    return tuple(found) or None


def _hosts(items: list[Any]) -> Pairs:
    found: dict[str, list[str]] = {}
    for item in items:
        text = scalar_text(item)
        name, _, address = text.partition("=" if "=" in text else ":")
        found.setdefault(name, []).append(address.removeprefix("[").removesuffix("]"))
    return sorted_pairs({name: ",".join(addresses) for name, addresses in found.items()})


def _attests(reader: _Reader) -> Entries | None:
    found: Entries = ()
    for kind in ("sbom", "provenance"):
        if text := reader.text(kind):
            found += parse_attest(attest_flag(kind, text))
    return found or None


def _extended(target: Target, extension: Any, path: str) -> Target:
    """The target with what `x-bake` adds. Raises InvalidInput."""
    if extension is None:
        return target
    if not isinstance(extension, dict):
        raise InvalidInput(f"{path} is a mapping")
    lists = {
        key: tuple(value.split()) if isinstance(value, str) else tuple(map(scalar_text, value))
        for key, value in extension.items()
        if isinstance(value, str | list)
    }
    reader = _Reader(path, extension)
    caches = _caches(lists.get("cache-from"))
    stores = _caches(lists.get("cache-to"))
    secrets = tuple(map(parse_secret, filter(None, lists.get("secret", ()))))
    agents = tuple(map(parse_ssh, filter(None, lists.get("ssh", ()))))
    outputs = tuple(entry for text in lists.get("output", ()) for entry in parse_output(text))
    contexts = reader.mapping("contexts")
    more = _contexts({scalar_text(key): scalar_text(value) for key, value in contexts.items()})
    pull, no_cache = reader.truth("pull"), reader.truth("no-cache")
    return target._replace(
        tags=unique((*(target.tags or ()), *lists.get("tags", ()))) or target.tags,
        cache_from=without_equals((*(target.cache_from or ()), *(caches or ()))) or None,
        cache_to=without_equals((*(target.cache_to or ()), *(stores or ()))) or None,
        secret=last_secrets((*(target.secret or ()), *secrets)) or None,
        ssh=tuple(sorted(last_ssh((*(target.ssh or ()), *agents)))) or None,
        platforms=unique((*(target.platforms or ()), *lists.get("platforms", ()))),
        output=without_equals((*(target.output or ()), *outputs)) or None,
        pull=target.pull if pull is None else pull,
        no_cache=target.no_cache if no_cache is None else no_cache,
        no_cache_filter=unique(
            (*(target.no_cache_filter or ()), *lists.get("no-cache-filter", ()))
        ),
        contexts=sorted_pairs({**dict(more or ()), **dict(target.contexts or ())}) or None,
    )
