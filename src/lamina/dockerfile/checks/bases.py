"""Checks of FROM lines, with their variables filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, LaminaError
from lamina.dockerfile.checks import rules
from lamina.dockerfile.expand import Expander

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.base.location import Location
    from lamina.base.platform import Platform
    from lamina.dockerfile import instruction as ast
    from lamina.dockerfile.checks.checker import Checker
    from lamina.dockerfile.stage import StageText

_TARGET = "TARGETPLATFORM"


def check_undefined(
    unset: Iterable[str], known: Sequence[str], place: Location, checker: Checker
) -> None:
    """Check for variables of a FROM that no ARG above it declares."""
    for name in sorted(unset):
        if name in known:
            continue
        from lamina.dockerfile.suggest import nearest

        near = nearest(name, known)
        more = f" (did you mean {near}?)" if near else ""
        checker.report(
            rules.UNDEFINED_ARG_IN_FROM, place, f"FROM argument '{name}' is not declared{more}"
        )


def check_platform_flag(head: ast.From, value: str, expander: Expander, checker: Checker) -> None:
    """`--platform` of a FROM, which expanded to `value`."""
    place = head.node.location
    if expander.used == {_TARGET} and not expander.unset:
        if value == expander.variables.get(_TARGET):
            checker.report(
                rules.REDUNDANT_TARGET_PLATFORM,
                place,
                f"Setting platform to predefined {head.platform} in FROM is redundant as this is "
                "the default behavior",
            )
        return
    if expander.used or expander.unset:
        return
    from lamina.base.platform import parse_platform

    try:
        platform = parse_platform(value)
    except InvalidInput:
        return  # the conversion reports it
    # A stage that is named after its platform has it intentionally.
    if platform.os in head.name or platform.architecture in head.name:
        return
    checker.report(
        rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED,
        place,
        f'FROM --platform flag should not use constant value "{value}"',
    )


def check_defaults(
    stages: Sequence[StageText], defaults: Mapping[str, str], escape: str, checker: Checker
) -> None:
    """Whether each FROM names an image when no build argument is given."""
    from lamina.base.reference import parse_reference

    for stage in stages:
        try:
            image = Expander(defaults, escape).word(stage.head.image)
        except InvalidInput:
            return
        try:
            parse_reference(image)
        except LaminaError:
            checker.report(
                rules.INVALID_DEFAULT_ARG_IN_FROM,
                stage.head.node.location,
                f"Default value for ARG {stage.head.image} results in empty or invalid base "
                "image name",
            )


def check_base_platform(
    image: str, actual: Platform, wanted: Platform, place: Location, checker: Checker
) -> None:
    """Check that a base image is for the requested platform."""
    if (actual.os, actual.architecture) != (wanted.os, wanted.architecture):
        checker.report(
            rules.INVALID_BASE_IMAGE_PLATFORM,
            place,
            f'Base image {image} was pulled with platform "{actual}", expected "{wanted}" for '
            "current build",
        )
