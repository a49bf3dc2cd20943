"""Links between stages: the base of each, and those that it copies from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.stage import SCRATCH, Stage, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.dockerfile.lexer import Node

_LAYERED = (ast.Run, ast.Copy, ast.Workdir)


class StageTable:
    """All stages in order; those that only COPY or mounts name come last.

    Filled while the Dockerfile is read. `tasks` are the linked instructions of each stage. They are
    replaced when ONBUILD triggers of a base image are added.
    """

    def __init__(self) -> None:
        self.all: list[Stage] = []
        self.tasks: dict[Stage, tuple[Task, ...]] = {}
        self._by_name: dict[str, Stage] = {}
        self._written = 0
        self._labelled = True

    def add(self, stage: Stage) -> None:
        self.all.append(stage)
        if stage.head is not None:
            self._written = len(self.all)
            if stage.name:
                self._by_name[stage.name] = stage

    def find(self, name: str) -> Stage | None:
        """The last stage of a name."""
        return self._by_name.get(name.lower())

    def at(self, index: int) -> Stage | None:
        """The stage with the number of `COPY --from`."""
        return self.all[index] if index < self._written else None

    def names(self) -> list[str]:
        return list(self._by_name)

    def target(self, name: str) -> Stage:
        """The stage to build: the last, or the one of a name. Raises NotFound.

        Numbers are not accepted here, unlike in `COPY --from`.
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

    def link_all(self, bodies: Sequence[Sequence[ast.Instruction]]) -> None:
        """Link the instructions of the stages written. Raises InvalidInput, located, also for a
        stage that needs itself."""
        for stage, body in zip(tuple(self.all), bodies, strict=True):
            if stage.has_instructions:
                self.tasks[stage] = tuple(self.link(instruction) for instruction in body)
        self._check_circles()
        self._labelled = len(self.all) > 1

    def link(self, instruction: ast.Instruction) -> Task:
        """Find the stages that an instruction takes files from. Raises InvalidInput, located.

        Names that are not stages are added to the table as images. A mount without `from` counts as
        one from `scratch`: nothing is read, but BuildKit numbers it, too.
        """
        sources: list[Stage] = []
        if isinstance(instruction, ast.Copy) and instruction.origin:
            sources.append(self._copy_source(instruction))
        elif isinstance(instruction, ast.Run):
            for origin in instruction.origins:
                name = origin or SCRATCH
                sources.append(self.find(name) or Stage(name, location=instruction.node.location))
        for source in sources:
            if source.head is None and source not in self.all:
                self.add(source)
        return Task(instruction, tuple(sources))

    def label(self, stage: Stage) -> str:
        """The label of a stage in step names, "" if the Dockerfile has only one stage."""
        return stage.label if self._labelled else ""

    def total(self, stage: Stage) -> int:
        """The number of steps that are numbered, 0 for a stage without instructions."""
        if not stage.has_instructions:
            return 0
        from_image = stage.image != SCRATCH and stage.base is None
        return from_image + sum(
            isinstance(task.instruction, _LAYERED) for task in self.tasks[stage]
        )

    def dependencies(self, stage: Stage) -> dict[Stage, ast.Instruction]:
        """The stages that a stage takes files from, each with the last instruction that does."""
        return {
            source: task.instruction
            for task in self.tasks.get(stage, ())
            for source in task.sources
        }

    def reachable(self, target: Stage) -> set[Stage]:
        """The target, its bases, and all stages that they copy from."""
        found: set[Stage] = set()
        stack = [target]
        while stack:
            stage = stack.pop()
            if stage in found:
                continue
            found.add(stage)
            if stage.base is not None:
                stack.append(stage.base)
            stack.extend(self.dependencies(stage))
        return found

    def _copy_source(self, copy: ast.Copy) -> Stage:
        from lamina.dockerfile.expand import Expander

        origin = copy.origin
        location = copy.node.location
        if Expander({}).word(origin) != origin:
            raise InvalidInput(
                "variable expansion is not supported for --from, define a new stage with FROM using"
                " ARG from global scope as a workaround",
                hint="write FROM ${NAME} AS alias above, and --from=alias here",
                location=location,
            )
        if origin.isascii() and origin.isdecimal() and len(origin) < 6:
            found = self.at(int(origin))
            if found is None:
                raise InvalidInput(
                    f"invalid stage index {origin}",
                    hint="stages are numbered from 0",
                    location=location,
                )
            return found
        return self.find(origin) or Stage(origin, location=location)

    def _check_circles(self) -> None:
        visited: set[Stage] = set()
        for start in self.all:
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
                for dependency, instruction in self.dependencies(stage).items():
                    if dependency in path:
                        raise _circle(start, dependency, instruction.node)
                    stack.append((dependency, False))


def _circle(start: Stage, dependency: Stage, node: Node) -> InvalidInput:
    return InvalidInput(
        f"circular dependency detected on stage: {start.label or dependency.label}",
        hint=f"through this line, stage {dependency.label} needs its own result",
        location=node.location,
    )
