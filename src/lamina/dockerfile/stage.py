"""Stages: how FROM lines divide a Dockerfile, what each needs, and how far each has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import normalise, parse_platform
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.checks.text import check_description, check_node
from lamina.dockerfile.parse import parse_instruction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.base.location import Location
    from lamina.base.platform import Platform
    from lamina.dockerfile.checks.checker import Checker
    from lamina.dockerfile.contract import NamedContext
    from lamina.dockerfile.graph import Step
    from lamina.dockerfile.image_config import ImageConfig
    from lamina.dockerfile.lexer import Document, Node
    from lamina.dockerfile.mounts import RunMount

SCRATCH = "scratch"


class StageText(NamedTuple):
    """One FROM and what follows it, as written."""

    head: ast.From
    body: tuple[ast.Instruction, ...]


class DockerfileParts(NamedTuple):
    """The ARG lines above the first FROM, and the stages."""

    args: tuple[ast.Arg, ...]
    stages: tuple[StageText, ...]


class Task(NamedTuple):
    """One instruction of a stage, and the stages whose files it takes, by mount for RUN."""

    instruction: ast.Instruction
    sources: tuple[Stage, ...] = ()
    triggered: bool = False


class Stage:
    """A stage, or an image or context that a COPY or a mount names (then `head` is None).

    The first half is what was written, the second the state of its conversion: `tree` is its
    file system so far, `env` the variables that instructions see, in the order they were last
    set, `args` those that ARG declared. `needed` are the paths of its result that others read,
    shared with the stage it builds on; `context_paths` what it reads of the build context.
    `only_once` are the places of instructions that a stage should have no second time, `entered`
    says that a WORKDIR was there. `mounts` are those of its RUN instructions.
    """

    def __init__(self, image: str, *, head: ast.From | None = None, location: Location) -> None:
        self.image = image
        self.head = head
        self.location = location
        self.name = head.name if head is not None else ""
        self.label = ""
        self.platform: Platform | None = None
        self.context: NamedContext | None = None
        self.base: Stage | None = None
        self.tasks: list[Task] = []
        self.dependencies: dict[Stage, ast.Instruction] = {}
        self.total = 0

        self.resolved = False
        self.done = False
        self.triggers_read = False
        self.position = 0
        self.ignore_cache = False
        self.several = False
        self.tree: Step | None = None
        self.config: ImageConfig | None = None
        self.base_config = b""
        self.env: dict[str, str] = {}
        self.args: list[tuple[str, str | None]] = []
        self.directory = "/"
        self.only_once: dict[str, Location] = {}
        self.entered = False
        self.mounts: list[tuple[RunMount, Location]] = []
        self.needed: set[str] = set()
        self.context_paths: set[str] = set()

    def set_env(self, name: str, value: str) -> None:
        self.env.pop(name, None)
        self.env[name] = value

    def step_name(self, text: str, *, triggered: bool = False) -> str:
        """The next step's display name: `[builder 3/7] RUN …`; one of several platforms is named:
        `[linux/amd64->arm64 builder 3/7] RUN …`."""
        if not self.total:
            return text
        self.position += 1
        width = len(str(self.total))
        label = f"{self.label} " if self.label else ""
        if self.several and self.platform is not None:
            label = f"{self.platform}{_made_for(self.platform, self.env)} {label}"
        on_build = "ONBUILD " if triggered else ""
        return f"[{label}{self.position:>{width}}/{self.total}] {on_build}{text}"


def _made_for(platform: Platform, env: Mapping[str, str]) -> str:
    """The platform that a stage compiles for, as far as its arguments tell of another one."""
    whole = env.get("TARGETPLATFORM")
    try:
        target = parse_platform(whole) if whole else None
    except InvalidInput:
        target = None
    if target is None:
        target = normalise(
            platform._replace(
                os=env.get("TARGETOS") or platform.os,
                architecture=env.get("TARGETARCH") or platform.architecture,
                variant=env.get("TARGETVARIANT", ""),
            )
        )
    if target.os != platform.os:
        return f"->{target}"
    if target.architecture == platform.architecture:
        return ""
    return "->" + "/".join(filter(None, (target.architecture, target.variant)))


class StageTable:
    """All stages in order; those that only COPY or mounts name come last."""

    def __init__(self) -> None:
        self.all: list[Stage] = []
        self._by_name: dict[str, Stage] = {}
        self._written = 0

    def add(self, stage: Stage) -> None:
        """Add a stage, on top of the one above that its FROM names."""
        self.all.append(stage)
        stage.base = self._by_name.get(stage.image.lower())
        if stage.head is not None:
            self._written = len(self.all)
            if stage.name:
                self._by_name[stage.name] = stage

    def find(self, name: str) -> Stage | None:
        return self._by_name.get(name.lower())

    def at(self, index: int) -> Stage | None:
        return self.all[index] if index < self._written else None

    def names(self) -> list[str]:
        return list(self._by_name)

    def target(self, name: str) -> Stage:
        """The stage to build: the last, or the one of a name. Raises NotFound.

        Numbers are no names here, other than in `COPY --from`.
        """
        if not name:
            return self.all[-1]
        found = self.find(name)
        if found is None:
            from lamina.dockerfile.suggest import suggest

            names = self.names()
            known = f"stages are {', '.join(names)}" if names else "no stage has a name"
            raise NotFound(
                f'target stage "{name}" could not be found', hint=suggest(name, names) or known
            )
        return found


def read_stages(document: Document, checker: Checker | None = None) -> DockerfileParts:
    """Parse every instruction and divide them. Raises InvalidInput, located."""
    args: list[ast.Arg] = []
    stages: list[StageText] = []
    head: ast.From | None = None
    body: list[ast.Instruction] = []
    for node in document.nodes:
        if checker is not None:
            check_node(node, checker)
        instruction = parse_instruction(node, document.escape)
        if checker is not None:
            check_description(instruction, checker)
        if isinstance(instruction, ast.From):
            if head is not None:
                stages.append(StageText(head, tuple(body)))
            head, body = instruction, []
        elif head is not None:
            body.append(instruction)
        elif isinstance(instruction, ast.Arg):
            args.append(instruction)
        else:
            raise InvalidInput(
                "no build stage in current context",
                hint=f"{node.keyword} comes before the first FROM; only ARG may",
                location=node.location,
            )
    if head is None:
        raise InvalidInput(
            "dockerfile contains no stages to build",
            hint="add a FROM line",
            location=document.nodes[-1].location,
        )
    stages.append(StageText(head, tuple(body)))
    return DockerfileParts(tuple(args), tuple(stages))


def link(stage: Stage, instruction: ast.Instruction, table: StageTable) -> Task:
    """Find the stages that an instruction takes files from. Raises InvalidInput, located.

    Names that are no stages are added to the table as images. A mount without `from` counts as
    one from `scratch`: nothing is read, but it is numbered like BuildKit's.
    """
    sources: list[Stage] = []
    if isinstance(instruction, ast.Copy) and instruction.origin:
        sources.append(_copy_source(instruction, table))
    elif isinstance(instruction, ast.Run):
        for origin in instruction.origins:
            name = origin or SCRATCH
            sources.append(table.find(name) or Stage(name, location=instruction.node.location))
    for source in sources:
        stage.dependencies[source] = instruction
        if source.head is None and source not in table.all:
            table.add(source)
    return Task(instruction, tuple(sources))


def _copy_source(copy: ast.Copy, table: StageTable) -> Stage:
    from lamina.dockerfile.expand import Expander

    origin = copy.origin
    place = copy.node.location
    if Expander({}).word(origin) != origin:
        raise InvalidInput(
            "variable expansion is not supported for --from, define a new stage with FROM using"
            " ARG from global scope as a workaround",
            hint="write FROM ${NAME} AS alias above, and --from=alias here",
            location=place,
        )
    if origin.isascii() and origin.isdecimal() and len(origin) < 6:
        found = table.at(int(origin))
        if found is None:
            raise InvalidInput(
                f"invalid stage index {origin}",
                hint="stages are numbered from 0",
                location=place,
            )
        return found
    return table.find(origin) or Stage(origin, location=place)


def check_circles(stages: Iterable[Stage]) -> None:
    """Raises InvalidInput, located, if a stage needs itself."""
    visited: set[Stage] = set()
    for start in stages:
        # A depth-first walk without recursion: a file may have thousands of stages.
        path: dict[Stage, None] = {}
        stack: list[tuple[Stage, bool]] = [(start, False)]
        while stack:
            stage, leaving = stack.pop()
            if leaving:
                del path[stage]
                continue
            if stage in visited:
                continue
            visited.add(stage)
            path[stage] = None
            stack.append((stage, True))
            for dependency, instruction in stage.dependencies.items():
                if dependency in path:
                    raise _circle(start, dependency, instruction.node)
                stack.append((dependency, False))


def _circle(start: Stage, dependency: Stage, node: Node) -> InvalidInput:
    return InvalidInput(
        f"circular dependency detected on stage: {start.label or dependency.label}",
        hint=f"stage {dependency.label} needs, by way of this line, its own result",
        location=node.location,
    )


def reachable(target: Stage) -> set[Stage]:
    """The target, what it builds on, and all that they take files from."""
    found: set[Stage] = set()
    stack = [target]
    while stack:
        stage = stack.pop()
        if stage in found:
            continue
        found.add(stage)
        if stage.base is not None:
            stack.append(stage.base)
        stack.extend(stage.dependencies)
    return found
