"""Stages: how FROM lines divide a Dockerfile, and which of them a target needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lamina.base.errors import InvalidInput, NotFound
from lamina.dockerfile.expand import Expander
from lamina.dockerfile.instruction import Flags, From, check_keyword, parse_from, suggest
from lamina.dockerfile.mounts import parse_mount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.dockerfile.lexer import Document, Node


class Stage(NamedTuple):
    """One FROM and what follows it. `image` is the expanded base; `name` may be ""."""

    number: int
    image: str
    name: str
    platform: str
    node: Node
    body: tuple[Node, ...]

    @property
    def label(self) -> str:
        return self.name or f"stage-{self.number}"


class Stages(NamedTuple):
    """All stages, and the ARG lines before the first."""

    all: tuple[Stage, ...]
    global_args: tuple[tuple[str, str | None], ...]

    def find(self, name: str) -> Stage | None:
        """By name (the last of that name), or by index."""
        for stage in reversed(self.all):
            if stage.name and stage.name == name.lower():
                return stage
        if name.isdecimal() and int(name) < len(self.all):
            return self.all[int(name)]
        return None

    def before(self, name: str, index: int) -> Stage | None:
        """A stage that stage `index` may refer to: one above it."""
        found = None
        for stage in self.all[:index]:
            if stage.name and stage.name == name.lower():
                found = stage
        if found is None and name.isdecimal() and int(name) < index:
            found = self.all[int(name)]
        return found


def divide(
    document: Document, build_args: Mapping[str, str], predefined: Mapping[str, str]
) -> Stages:
    """Split a document into stages. Raises InvalidInput."""
    global_args: dict[str, str | None] = {}
    stages: list[Stage] = []
    current: tuple[From, Node] | None = None
    body: list[Node] = []

    def close() -> None:
        if current is None:
            return
        head, node = current
        known = {**predefined, **{k: v for k, v in global_args.items() if v is not None}}
        expander = Expander(known, document.escape)
        try:
            image = expander.word(head.image)
            platform = expander.word(head.platform)
        except InvalidInput as error:
            raise error.at(node.location) from None
        if not image:
            raise InvalidInput(
                f"base name ({head.image}) should not be blank",
                hint="give the ARG a default value before FROM, or pass it with --build-arg",
                location=node.location,
            )
        stages.append(Stage(len(stages), image, head.name, platform, node, tuple(body)))

    for node in document.nodes:
        check_keyword(node)
        if node.keyword == "FROM":
            close()
            current, body = (parse_from(node), node), []
        elif current is None:
            if node.keyword != "ARG":
                raise InvalidInput(
                    "no build stage in current context",
                    hint=f"{node.keyword} comes before the first FROM; only ARG may",
                    location=node.location,
                )
            from lamina.dockerfile.args import parse_args

            expander = Expander(
                {**predefined, **{k: v for k, v in global_args.items() if v is not None}},
                document.escape,
            )
            for name, default in parse_args(node, expander, document.escape):
                global_args[name] = build_args.get(name, default)
        else:
            body.append(node)
    close()
    if not stages:
        raise InvalidInput("the Dockerfile has no FROM line", location=document.nodes[0].location)
    return Stages(tuple(stages), tuple(global_args.items()))


def choose_target(stages: Stages, target: str) -> Stage:
    """The stage to build: the last, or the one named. Raises NotFound."""
    if not target:
        return stages.all[-1]
    found = stages.find(target)
    if found is None:
        names = [stage.name for stage in stages.all if stage.name]
        raise NotFound(
            f'target stage "{target}" could not be found',
            hint=suggest(target.lower(), names) or f"stages are: {', '.join(names) or 'unnamed'}",
        )
    return found


def needed(stages: Stages, target: Stage, named: Sequence[str]) -> list[Stage]:
    """The stages that `target` needs, in the file's order. Raises InvalidInput on a circle."""
    wanted: set[int] = set()
    todo = [target]
    while todo:
        stage = todo.pop()
        if stage.number in wanted:
            continue
        wanted.add(stage.number)
        for reference in references(stage):
            if reference in named:
                continue
            found = stages.before(reference, stage.number)
            if found is not None:
                todo.append(found)
                continue
            later = stages.find(reference)
            if later is not None:
                raise InvalidInput(
                    f'circular dependency detected on stage: "{reference}"',
                    hint="a stage can only use stages that come before it",
                    location=stage.node.location,
                )
    return [stage for stage in stages.all if stage.number in wanted]


def references(stage: Stage) -> list[str]:
    """Names that a stage takes files or its base from: stages, images or named contexts."""
    found = [stage.image]
    for node in stage.body:
        if node.keyword == "COPY":
            origin = Flags(node).text("from")
            if origin:
                found.append(origin)
        elif node.keyword == "RUN":
            for text in Flags(node).all("mount"):
                mount = parse_mount(text, lambda value: value, node.location)
                if mount.origin:
                    found.append(mount.origin)
    return found
