"""`--set`: overrides of options, `target-pattern.key[.name][+]=value`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.bake.options.credentials import Secret, last_secrets, last_ssh, parse_secret, parse_ssh
from lamina.bake.options.entries import (
    Entry,
    last_of_type,
    parse_attest,
    parse_caches,
    parse_output,
    without_equals,
)
from lamina.bake.options.policies import parse_policy
from lamina.bake.options.resources import Resources
from lamina.bake.patterns import matches
from lamina.bake.target import Pairs, Target, sorted_pairs
from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput, NotFound
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.bake.definition import Definition

_LISTS = frozenset(
    (
        *("output", "cache-to", "cache-from", "tags", "platform", "secrets", "ssh", "attest"),
        *("entitlements", "network", "annotations", "policy"),
    )
)
_NAMED = frozenset(("args", "contexts", "labels", "extra-hosts", "resources", "secret"))


class Override(NamedTuple):
    """`values` are all that were given for one key; `append` is the `+` of the last one."""

    values: tuple[str, ...]
    append: bool = False

    @property
    def value(self) -> str:
        return self.values[-1] if self.values else ""


Overrides = dict[str, dict[str, Override]]
"""By the names of targets, then by keys."""


def parse_overrides(
    definition: Definition, given: Sequence[str], environ: Mapping[str, str]
) -> Overrides:
    """Raises InvalidInput, NotFound."""
    found: Overrides = {}
    for text in given:
        left, equals, value = text.partition("=")
        key = left.removesuffix("+")
        parts = key.split(".", 2)
        if len(parts) < 2:
            raise InvalidInput(f'invalid --set "{text}"', hint="--set target.key=value")
        option = parts[1]
        if not equals and option != "args":
            raise InvalidInput(f'invalid --set "{text}": the value is missing')
        if option in ("args", "contexts", "resources", "secret") and len(parts) != 3:
            raise InvalidInput(f'invalid --set "{text}": {option} needs a name: {option}.NAME')
        append = left.endswith("+")
        if append and option in ("resources", "secret"):
            raise InvalidInput(f'invalid --set "{text}": {option} cannot be appended to')
        names = _expanded(definition, parts[0])
        if not equals:
            if parts[2] not in environ:
                continue
            value = environ[parts[2]]
        for name in names:
            options = found.setdefault(name, {})
            joined = ".".join(parts[1:])
            before = options[joined].values if option in _LISTS and joined in options else ()
            options[joined] = Override((*before, value), append)
    return found


def _expanded(definition: Definition, pattern: str) -> list[str]:
    if definition.target(pattern) is not None:
        return [pattern]
    found = [target.name for target in definition.targets if matches(pattern, target.name)]
    if not found:
        known = ", ".join(target.name for target in definition.targets) or "none"
        raise NotFound(f'--set: no target matches "{pattern}"', hint=f"targets: {known}")
    return found


def overridden(target: Target, overrides: Mapping[str, Override]) -> Target:
    """The target with other options. Raises InvalidInput."""
    for key, override in sorted(overrides.items(), key=lambda item: item[0].startswith("secret.")):
        option, _, name = key.partition(".")
        if option in _NAMED and not name:
            raise InvalidInput(f"--set: {option} needs a name: {option}.NAME=value")
        target = _changed(target, option, name, override)
    return target


def _changed(target: Target, option: str, name: str, override: Override) -> Target:
    value, values = override.value, override.values
    match option:
        case "context" | "dockerfile" | "target" | "call" | "shm-size" | "network":
            changes: dict[str, Any] = {option.replace("-", "_"): value}
            return target._replace(**changes)
        case "args":
            return target._replace(args=_with(target.args, name, value))
        case "contexts":
            return target._replace(contexts=_with(target.contexts, name, value))
        case "labels":
            return target._replace(labels=_with(target.labels, name, value))
        case "extra-hosts":
            return target._replace(extra_hosts=_with(target.extra_hosts, name, value))
        case "resources":
            limits = target.resources or Resources()
            return target._replace(resources=limits.with_limit(name, value))
        case "secret":
            return target._replace(secret=_with_secret(target.secret or (), name, value))
        case "tags":
            return target._replace(tags=_list(target.tags, override))
        case "platform":
            return target._replace(platforms=_list(target.platforms, override))
        case "no-cache-filter":
            return target._replace(no_cache_filter=_list(target.no_cache_filter, override))
        case "ulimits":
            return target._replace(ulimits=_list(target.ulimits, override))
        case "entitlements":
            return target._replace(entitlements=(*(target.entitlements or ()), *values))
        case "annotations":
            return target._replace(annotations=(*(target.annotations or ()), *values))
        case "no-cache":
            return target._replace(no_cache=_truth(option, value))
        case "pull":
            return target._replace(pull=_truth(option, value))
        case "push":
            return target._replace(output=_pushed(target.output or (), _truth(option, value)))
        case "load":
            return target._replace(output=_loaded(target.output or (), _truth(option, value)))
    return _changed_entries(target, option, override)


def _changed_entries(target: Target, option: str, override: Override) -> Target:
    given = list(filter(None, override.values))
    append = override.append
    match option:
        case "cache-from":
            caches = tuple(entry for text in given for entry in parse_caches(text))
            before = target.cache_from or () if append else ()
            return target._replace(cache_from=without_equals((*before, *caches)))
        case "cache-to":
            caches = tuple(entry for text in given for entry in parse_caches(text))
            before = target.cache_to or () if append else ()
            return target._replace(cache_to=without_equals((*before, *caches)))
        case "output":
            outputs = tuple(entry for text in given for entry in parse_output(text))
            before = target.output or () if append else ()
            return target._replace(output=without_equals((*before, *outputs)))
        case "attest":
            attests = tuple(entry for text in given for entry in parse_attest(text))
            return target._replace(attest=last_of_type((*(target.attest or ()), *attests)))
        case "secrets":
            secrets = tuple(map(parse_secret, given))
            kept = target.secret or () if append else ()
            return target._replace(secret=last_secrets((*kept, *secrets)))
        case "ssh":
            agents = tuple(map(parse_ssh, given))
            ours = target.ssh or () if append else ()
            return target._replace(ssh=last_ssh((*ours, *agents)))
        case "policy":
            policies = tuple(map(parse_policy, override.values))
            those = target.policy or () if append else ()
            return target._replace(policy=(*those, *policies))
    raise InvalidInput(
        f'--set: there is no option "{option}"',
        hint="options: https://docs.docker.com/build/bake/reference/#target",
    )


def _with(pairs: Pairs | None, name: str, value: str) -> Pairs:
    return sorted_pairs({**dict(pairs or ()), name: value})


def _list(before: tuple[str, ...] | None, override: Override) -> tuple[str, ...]:
    return (*(before or ()), *override.values) if override.append else override.values


def _truth(option: str, value: str) -> bool:
    truth = parse_bool(value)
    if truth is None:
        raise InvalidInput(f'--set: {option} is "{value}", neither true nor false')
    return truth


def _with_secret(secrets: tuple[Secret, ...], name: str, value: str) -> tuple[Secret, ...]:
    given = parse_secret(value)
    if given.id not in ("", name):
        raise InvalidInput(f'--set: the ID of secret "{name}" cannot become "{given.id}"')
    if name not in (secret.id for secret in secrets):
        raise InvalidInput(f'--set: secret "{name}" is not declared')
    changed = given._replace(id=name)
    first = next(index for index, secret in enumerate(secrets) if secret.id == name)
    return (*secrets[:first], changed, *secrets[first + 1 :])


def _pushed(outputs: tuple[Entry, ...], push: bool) -> tuple[Entry, ...]:
    if not push:
        left = [entry for entry in outputs if entry.type != "registry"]
        return tuple(e.with_attribute("push", "false") if e.type == "image" else e for e in left)
    changed = tuple(
        entry.with_attribute("push", "true") if entry.type == "image" else entry
        for entry in outputs
    )
    if all(entry.type == "docker" for entry in outputs):
        return (*changed, Entry("image", (("push", "true"),)))
    return changed


def _loaded(outputs: tuple[Entry, ...], load: bool) -> tuple[Entry, ...]:
    """The outputs and one to Docker; not if there is one that is no image."""
    if not load:
        return outputs
    for entry in outputs:
        if entry.type == "docker" and not entry.get("dest"):
            return outputs
        if entry.type not in ("docker", "image", "registry", "oci"):
            return outputs
    return (*outputs, Entry("docker"))
