"""Resolves the requested targets: groups, patterns, inheritance, overrides and linked targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.options.entries import Entry
from lamina.bake.overrides import Overrides, overridden
from lamina.bake.patterns import matches
from lamina.bake.target import Group, Target, unique
from lamina.base.errors import InvalidInput, NotFound
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.bake.definition import Definition

_LINK = "target:"
_CACHE_ONLY = (Entry("cacheonly"),)


class Selection(NamedTuple):
    """Resolved targets and groups, by name; the group `default` contains the requested ones."""

    targets: dict[str, Target]
    groups: dict[str, Group]


def target_name(name: str) -> str:
    """A name of a target, as services of Compose files get it: without dots."""
    return name.replace(".", "_")


def select(definition: Definition, names: Sequence[str], overrides: Overrides) -> Selection:
    """Resolve targets and groups by name or pattern. Raises InvalidInput, NotFound."""
    wanted = unique(found for name in names for found in _matching(definition, target_name(name)))
    selector = _Selector(definition, overrides)
    targets: dict[str, Target] = {}
    groups: dict[str, Group] = {}
    for name in wanted or ():
        for inner in selector.targets_of(name, frozenset()):
            targets[inner] = selector.resolved(inner)
        for inner in selector.groups_of(name, frozenset()):
            groups[inner] = definition.group(inner) or Group(inner)
    for name in wanted or ():
        if name == "default" and "default" in groups:
            continue
        default = groups.get("default", Group("default"))
        groups["default"] = default._replace(targets=(*(default.targets or ()), name))
    if (default_group := groups.get("default")) is not None:
        ordered = tuple(sorted(set(default_group.targets or ())))
        groups["default"] = default_group._replace(targets=ordered or default_group.targets)
    for name in list(targets):
        selector.link(name, targets, ())
    return Selection(targets, groups)


def linked_targets(selection: Selection, names: Iterable[str]) -> dict[str, Target]:
    """Targets by name, and those that are their contexts."""
    found: dict[str, Target] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = target = selection.targets[name]
            links = (context or "" for _, context in target.contexts or ())
            waiting += [link.removeprefix(_LINK) for link in links if link.startswith(_LINK)]
    return found


def _matching(definition: Definition, pattern: str) -> list[str]:
    if not any(char in pattern for char in "*?[]"):
        return [pattern]
    known = [group.name for group in definition.groups]
    known += [target.name for target in definition.targets]
    found = [name for name in known if matches(pattern, name)]
    if not found:
        raise NotFound(f'no target matches "{pattern}"', hint=_known(definition))
    return found


def _known(definition: Definition) -> str:
    names = sorted({t.name for t in definition.targets} | {g.name for g in definition.groups})
    return f"targets: {', '.join(names)}" if names else "the bake files define no targets"


class _Selector:
    def __init__(self, definition: Definition, overrides: Overrides) -> None:
        self._definition = definition
        self._overrides = overrides

    def targets_of(self, name: str, seen: frozenset[str]) -> list[str]:
        """The targets of a group and of the groups in it, in order; or the target."""
        group = self._definition.group(name)
        if group is None or name in seen:
            return [name]
        found = (each for t in group.targets or () for each in self.targets_of(t, seen | {name}))
        return list(dict.fromkeys(found))

    def groups_of(self, name: str, seen: frozenset[str]) -> list[str]:
        group = self._definition.group(name)
        if group is None or name in seen:
            return []
        return [name, *(g for t in group.targets or () for g in self.groups_of(t, seen | {name}))]

    def resolved(self, name: str) -> Target:
        """A target with its inherited attributes. Raises InvalidInput, NotFound."""
        target = self._merged(name, {})
        assert target is not None
        return target._replace(
            inherits=(),
            context="." if target.context is None else target.context,
            dockerfile=target.dockerfile or "Dockerfile",
        )

    def _merged(self, name: str, visited: dict[str, Target | None]) -> Target | None:
        """None while it is being merged: a target that inherits from itself."""
        if name in visited:
            return visited[name]
        visited[name] = None
        target = self._definition.target(name)
        if target is None:
            raise NotFound(f'there is no target "{name}"', hint=_known(self._definition))
        inherited = Target()
        for parent in target.inherits:
            if (merged := self._merged(parent, visited)) is not None:
                inherited = inherited.merged(merged)
        made = Target(name).merged(inherited).merged(target)
        made = overridden(made, self._overrides.get(name, {})).normalized()
        visited[name] = made
        return made

    def link(self, name: str, targets: dict[str, Target], visited: tuple[str, ...]) -> None:
        """Add the targets that are contexts of a target. Raises InvalidInput, NotFound."""
        visited = (*visited, name)
        for _, context in targets[name].contexts or ():
            if context is None or not context.startswith(_LINK):
                continue
            other = context.removeprefix(_LINK)
            if other == name:
                raise InvalidInput(f'target "{name}" has itself as a context')
            if other in visited:
                raise InvalidInput(f'targets "{name}" and "{other}" are contexts of each other')
            if other not in targets:
                linked = self.resolved(other)
                targets[other] = linked._replace(output=_CACHE_ONLY, linked=True)
            self.link(other, targets, visited)
            self._check_link(name, other, targets)

    def _check_link(self, name: str, other: str, targets: dict[str, Target]) -> None:
        """Entitlements are inherited, and platforms have to fit."""
        target, linked = targets[name], targets[other]
        more = [e for e in linked.entitlements or () if e not in (target.entitlements or ())]
        if more:
            entitlements = (*(target.entitlements or ()), *more)
            targets[name] = target = target._replace(entitlements=entitlements)
        ours, theirs = target.platforms or (), linked.platforms or ()
        if len(ours) > 1 and len(theirs) > 1 and not set(ours) <= set(theirs):
            raise InvalidInput(
                f'target "{other}" is built for {", ".join(theirs)}, but "{name}",'
                f" which has it as a context, for {', '.join(ours)}"
            )
