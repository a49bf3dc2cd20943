"""Checks of the text, before variables are expanded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.dockerfile import instruction as ast
from lamina.dockerfile.checks import rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.location import Location
    from lamina.dockerfile.checks.checker import Checker
    from lamina.dockerfile.lexer import Node
    from lamina.dockerfile.stage import StageText

_RESERVED = ("context", "scratch")


def check_node(node: Node, checker: Checker) -> None:
    """An instruction that is not parsed yet."""
    if node.keyword == "MAINTAINER":
        checker.within(node.comments).report(
            rules.MAINTAINER_DEPRECATED,
            node.location,
            "Maintainer instruction is deprecated in favor of using label",
        )
    elif node.keyword == "FROM":
        _check_from(node, checker.within(node.comments))


def _check_from(node: Node, checker: Checker) -> None:
    words = node.rest.split()
    if len(words) == 3 and words[2] != words[2].lower():
        checker.report(
            rules.STAGE_NAME_CASING,
            node.location,
            f"Stage name '{words[2]}' should be lowercase",
        )
    written = node.written
    if len(words) < 3 or written not in (written.lower(), written.upper()):
        return
    matching = words[1].lower() if written == written.lower() else words[1].upper()
    if words[1] != matching:
        checker.report(
            rules.FROM_AS_CASING,
            node.location,
            f"'{words[1]}' and '{written}' keywords' casing do not match",
        )


def check_description(instruction: ast.Instruction | ast.From, checker: Checker) -> None:
    """Whether the comment above an ARG or a FROM begins with the name that it defines."""
    if isinstance(instruction, ast.Arg):
        names = [name for name, _ in instruction.args]
    elif isinstance(instruction, ast.From) and instruction.name:
        names = [instruction.name]
    else:
        return
    node = instruction.node
    if not node.comments or node.comments[-1].split(" ")[0] in names:
        return
    example = names[0] if len(names) == 1 else "<arg_key>"
    checker.within(node.comments).report(
        rules.INVALID_DEFINITION_DESCRIPTION,
        node.location,
        f"Comment for {node.keyword} should follow the format: `# {example} <description>`",
    )


def check_continuations(locations: Iterable[Location], checker: Checker) -> None:
    """Blank lines inside of instructions."""
    for location in locations:
        checker.report(rules.NO_EMPTY_CONTINUATION, location, "Empty continuation line")


def check_stages(stages: Sequence[StageText], checker: Checker) -> None:
    """Names of stages, and the case of keywords."""
    seen: set[str] = set()
    for head in (stage.head for stage in stages if stage.head.name):
        if head.name in _RESERVED:
            checker.report(
                rules.RESERVED_STAGE_NAME,
                head.node.location,
                f'Stage name should not use the same name as reserved stage "{head.name}"',
            )
        if head.name in seen:
            checker.report(
                rules.DUPLICATE_STAGE_NAME,
                head.node.location,
                f'Duplicate stage name "{head.name}", stage names should be unique',
            )
        seen.add(head.name)
    nodes = [one.node for stage in stages for one in (stage.head, *stage.body)]
    lower = sum(node.written == node.written.lower() for node in nodes)
    upper = sum(node.written == node.written.upper() for node in nodes)
    for node in nodes:
        if lower > upper:
            right, casing = node.written.lower(), "lowercase"
        else:
            right, casing = node.written.upper(), "uppercase"
        if node.written != right:
            checker.report(
                rules.CONSISTENT_INSTRUCTION_CASING,
                node.location,
                f"Command '{node.written}' should match the case of the command majority "
                f"({casing})",
            )
