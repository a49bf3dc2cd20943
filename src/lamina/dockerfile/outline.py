"""The parameters of a target: arguments, secrets and SSH agents; and the cache mounts it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.build import DockerfileConverter
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.json_text import (
    base64_text,
    columns,
    description,
    json_location,
    without_empty,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.location import Location
    from lamina.dockerfile.build import ConvertedStages
    from lamina.dockerfile.contract import Bridge, FrontendRequest
    from lamina.dockerfile.stage import Stage


class OutlineArg(NamedTuple):
    """A build argument, its value, and what the comment above it says."""

    name: str
    description: str
    value: str
    location: Location


class OutlineMount(NamedTuple):
    """A secret or an SSH agent, by the name that the client must provide."""

    name: str
    required: bool
    location: Location


class OutlineCache(NamedTuple):
    """A cache mount."""

    id: str
    location: Location


class Outline(NamedTuple):
    """The outline, in the order of the text. `name` is that of the target."""

    name: str
    description: str
    args: tuple[OutlineArg, ...]
    secrets: tuple[OutlineMount, ...]
    agents: tuple[OutlineMount, ...]
    caches: tuple[OutlineCache, ...]
    data: bytes

    def to_json(self) -> dict[str, Any]:
        """The document of BuildKit's `frontend.outline`."""
        return without_empty(
            {
                "name": self.name,
                "description": self.description,
                "args": [_json(arg) for arg in self.args],
                "secrets": [_json(mount) for mount in self.secrets],
                "ssh": [_json(mount) for mount in self.agents],
                "cache": [
                    {"ID": cache.id, "location": json_location(cache.location)}
                    for cache in self.caches
                ],
                "sources": [base64_text(self.data)],
            }
        )

    def to_text(self) -> str:
        """Tables for people, each with a blank line after it."""
        tables = []
        if self.name or self.description:
            rows = [("TARGET:", self.name or "(default)")]
            if self.description:
                rows.append(("DESCRIPTION:", self.description))
            tables.append(columns(rows, 1))
        if self.args:
            args = [(arg.name, arg.value, arg.description) for arg in self.args]
            tables.append(columns([("BUILD ARG", "VALUE", "DESCRIPTION"), *args], 3))
        for title, mounts in (("SECRET", self.secrets), ("SSH", self.agents)):
            if mounts:
                needs = [(mount.name, "true" if mount.required else "") for mount in mounts]
                tables.append(columns([(title, "REQUIRED"), *needs], 3))
        return "".join(f"{table}\n" for table in tables)


def make_outline(request: FrontendRequest, bridge: Bridge) -> Outline:
    """Convert a Dockerfile's target, and list its parameters. Raises what a build raises."""
    text = bridge.read_dockerfile()
    converter = DockerfileConverter(request, bridge, text, bridge.warn)
    converted = converter.convert()
    target, _, states = converted
    stages = list(_stages(converted))
    args: dict[str, OutlineArg] = {}
    before = _global_args(converter)
    for stage in stages:
        for arg in _stage_args(stage, before, converter, converted):
            args.setdefault(arg.name, arg)
    mounts = [(mount, place) for stage in stages for mount, place in states[stage].mounts]
    secrets: dict[str, OutlineMount] = {}
    agents: dict[str, OutlineMount] = {}
    caches: dict[str, OutlineCache] = {}
    for mount, place in mounts:
        if mount.type == "secret":
            name = mount.secret_name
            secrets.setdefault(name, OutlineMount(name, mount.required, place))
        elif mount.type == "ssh":
            name = mount.id or "default"
            agents.setdefault(name, OutlineMount(name, mount.required, place))
        elif mount.type == "cache":
            caches.setdefault(mount.cache_name, OutlineCache(mount.cache_name, place))
    head = target.head
    return Outline(
        target.name,
        description(head.node, head.name) if head is not None else "",
        tuple(sorted(args.values(), key=_start)),
        tuple(sorted(secrets.values(), key=_start)),
        tuple(sorted(agents.values(), key=_start)),
        tuple(sorted(caches.values(), key=_start)),
        text.data,
    )


class _GlobalArg(NamedTuple):
    """An ARG above the first FROM, and the arguments that its default names."""

    arg: OutlineArg
    needs: frozenset[str]


def _stages(converted: ConvertedStages) -> Iterator[Stage]:
    """The target, its bases and the stages that it copies from, each once."""
    seen: set[Stage] = set()
    stack = [converted.target]
    while stack:
        stage = stack.pop()
        if stage in seen:
            continue
        seen.add(stage)
        yield stage
        stack.extend(reversed(converted.table.dependencies(stage)))
        if stage.base is not None:
            stack.append(stage.base)


def _global_args(converter: DockerfileConverter) -> dict[str, _GlobalArg]:
    found: dict[str, _GlobalArg] = {}
    for arg in converter.parts.args:
        for name, default in arg.args:
            expander = Expander(converter.global_args, converter.escape)
            given = converter.given(name)
            if given is None and default is not None:
                expander.word(default)
            needs = expander.used - {name}
            if name in expander.used and name in found:
                # `ARG A=$A-more` also needs what the first A needs.
                needs |= found[name].needs
            value = converter.global_args.get(name, "")
            about = description(arg.node, name)
            found[name] = _GlobalArg(
                OutlineArg(name, about, value, arg.node.location), frozenset(needs)
            )
    return found


def _stage_args(
    stage: Stage,
    before: dict[str, _GlobalArg],
    converter: DockerfileConverter,
    converted: ConvertedStages,
) -> Iterator[OutlineArg]:
    """Arguments that the stage declares, and global ones that its FROM or those arguments refer
    to."""
    own: dict[str, OutlineArg] = {}
    used: dict[str, None] = {}
    if stage.head is not None and stage.context is None:
        expander = Expander(converter.global_args, converter.escape)
        expander.word(stage.head.image)
        expander.word(stage.head.platform)
        used.update(dict.fromkeys(expander.used))
    states = converted.states
    inherited = len(states[stage.base].args) if stage.base is not None else 0
    values = iter(states[stage].args[inherited:])
    for task in converted.table.tasks.get(stage, ()):
        if not isinstance(task.instruction, ast.Arg):
            continue
        node = task.instruction.node
        for name, default in task.instruction.args:
            _, value = next(values)
            used[name] = None
            if default is None and converter.given(name) is None and value is not None:
                continue  # that of the ARG above, if there is one
            own[name] = OutlineArg(name, description(node, name), value or "", node.location)
    waiting = list(reversed(used))
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in own:
            yield own[name]
        elif name in before:
            yield before[name].arg
            waiting.extend(before[name].needs)


def _json(entry: OutlineArg | OutlineMount) -> dict[str, Any]:
    return without_empty({**entry._asdict(), "location": json_location(entry.location)})


def _start(entry: OutlineArg | OutlineMount | OutlineCache) -> int:
    return entry.location.start
