"""Answers to questions about a build file: `--call=targets`, `outline` and `check`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.errors import UnknownRequest
from lamina.base.location import Location
from lamina.dockerfile.calls import Answer
from lamina.dockerfile.outline import Outline, OutlineArg
from lamina.dockerfile.targets import Target as ListedTarget
from lamina.dockerfile.targets import Targets
from lamina.frontend.targets import argument_of, choose_target, default_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.frontend.targets import Target

_NO_WARNINGS = "Check complete, no warnings found.\n"
_KNOWN = ("frontend.targets", "frontend.outline", "frontend.lint")


def answer(
    question: str,
    targets: tuple[Target, ...],
    name: str,
    build_args: Mapping[str, str],
    filename: str,
    source: bytes,
) -> Answer:
    """Raises UnknownRequest for other questions than `targets`, `outline` and `lint`."""
    match question:
        case "frontend.targets":
            listed = _listed(targets, source)
            return Answer(_json(listed.to_json()), listed.to_text())
        case "frontend.outline":
            chosen = choose_target(targets, name, filename)
            outline = _outline(chosen, build_args, source)
            return Answer(_json(outline.to_json()), outline.to_text())
        case "frontend.lint":
            for target in targets:
                _ = target.parameters  # raises for wrong annotations
            choose_target(targets, name, filename)
            return Answer(
                _json({"warnings": [], "sources": []}), "Check complete, no warnings found.\n"
            )
    raise UnknownRequest(question, hint=f"supported: {', '.join(_KNOWN)}")


def _listed(targets: tuple[Target, ...], source: bytes) -> Targets:
    default = default_target(targets) if targets else None
    return Targets(
        tuple(
            ListedTarget(target.name, target is default, target.description, "", "", _place(target))
            for target in targets
        ),
        source,
    )


def _outline(target: Target, build_args: Mapping[str, str], source: bytes) -> Outline:
    place = _place(target)
    args = tuple(
        OutlineArg(
            parameter.name,
            "" if parameter.default is not None else "required",
            argument_of(build_args, parameter.name) or parameter.default or "",
            place,
        )
        for parameter in target.parameters
    )
    return Outline(target.name, target.description, args, (), (), (), source)


def _place(target: Target) -> Location:
    return target.location() or Location("", 1, 1)


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2)
