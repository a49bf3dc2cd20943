"""Stages as written: how FROM lines divide a Dockerfile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile import instruction as ast
from lamina.dockerfile.checks.text import check_description, check_node
from lamina.dockerfile.parse import parse_instruction

if TYPE_CHECKING:
    from typing import Final

    from lamina.base.location import Location
    from lamina.base.platform import Platform
    from lamina.dockerfile.checks.checker import Checker
    from lamina.dockerfile.contract import NamedContext
    from lamina.dockerfile.lexer import Document

SCRATCH = "scratch"


class StageText(NamedTuple):
    """One FROM and its instructions, as written."""

    head: ast.From
    body: tuple[ast.Instruction, ...]


class DockerfileParts(NamedTuple):
    """The ARG lines above the first FROM, and the stages."""

    args: tuple[ast.Arg, ...]
    stages: tuple[StageText, ...]


class Stage:
    """A stage, or an image or context that a COPY or a mount names.

    Immutable, compared by identity. `StageTable` links stages, and `StageState` is the conversion
    of one.

    Args:
        image: what its FROM names, with variables expanded.
        head: its FROM; None for an image or a context that only a COPY or a mount names.
        location: the instruction that names it.
        label: its name in messages: that of its FROM, or `stage-N`.
        platform: that of `FROM --platform`.
        context: the named context that replaces the stage.
        base: the stage above that its FROM names.
        ignore_cache: whether its instructions run even if their results are cached.
    """

    __slots__ = (
        "base",
        "context",
        "head",
        "ignore_cache",
        "image",
        "label",
        "location",
        "platform",
    )

    def __init__(
        self,
        image: str,
        *,
        head: ast.From | None = None,
        location: Location,
        label: str = "",
        platform: Platform | None = None,
        context: NamedContext | None = None,
        base: Stage | None = None,
        ignore_cache: bool = False,
    ) -> None:
        self.image: Final = image
        self.head: Final = head
        self.location: Final = location
        self.label: Final = label
        self.platform: Final = platform
        self.context: Final = context
        self.base: Final = base
        self.ignore_cache: Final = ignore_cache

    @property
    def name(self) -> str:
        """The name that its FROM gives it, or ""."""
        return self.head.name if self.head is not None else ""

    @property
    def has_instructions(self) -> bool:
        """Whether there is anything to convert after its base is resolved."""
        return self.head is not None and self.context is None


class Task(NamedTuple):
    """One instruction of a stage, and the stages whose files it uses: for RUN, one for each mount.

    `triggered` instructions are ONBUILD triggers of the base.
    """

    instruction: ast.Instruction
    sources: tuple[Stage, ...] = ()
    triggered: bool = False


def read_stages(document: Document, checker: Checker | None = None) -> DockerfileParts:
    """Parse all instructions and divide them into stages. Raises InvalidInput, located."""
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
