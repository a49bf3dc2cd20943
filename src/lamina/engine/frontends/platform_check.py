"""Checks that a result has the platforms that the client requested, as frontends may ignore
them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.platform import Platform, host_platform, normalise, parse_platform
from lamina.engine.frontends.wire_result import PLATFORMS
from lamina.engine.steps import step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.base.events import EventSink
    from lamina.engine.build_result import BuildResult


def check_platforms(requested: str | None, result: BuildResult, events: EventSink) -> None:
    """Warn if platforms differ; `requested` is the frontend's attribute `platform`."""
    warnings = platform_warnings(requested, result)
    if not warnings:
        return
    with step("Verifying build result", events) as shown:
        for text in warnings:
            shown.warn(text)


def platform_warnings(requested: str | None, result: BuildResult) -> list[str]:
    """The warnings of BuildKit's `exporter/verifier`."""
    if PLATFORMS not in result.metadata and all(p.files.graph is None for p in result.parts):
        return []  # the answer to a subrequest, not a file system
    texts = [str(host_platform())] if requested is None else requested.split(",")
    wanted: list[Platform] = []
    warnings = []
    for text in texts:
        try:
            platform = parse_platform(text)
        except InvalidInput as error:
            warnings.append(f'Invalid platform result requested "{text}": {error.reason}')
            continue
        if platform in wanted:
            warnings.append(f'Duplicate platform result requested "{text}"')
        wanted.append(platform)
    if warnings:
        return warnings
    found = [normalise(part.platform) for part in result.parts]
    if len(wanted) == len(found) == 1:
        if _same(wanted[0], found[0]):
            return []
        return [f'Requested platform "{texts[0]}" does not match result platform "{found[0]}"']
    if not result.several and len(wanted) > 1:
        return ["Multiple platforms requested but result is not multi-platform"]
    if set(wanted) != set(found):
        reason = f"Requested platforms {_listed(wanted)} do not match result platforms"
        return [f"{reason} {_listed(found)}"]
    return []


def _same(wanted: Platform, found: Platform) -> bool:
    """The version of the operating system is compared only if it was requested."""
    return wanted in (found, found._replace(os_version=""))


def _listed(platforms: Iterable[Platform]) -> str:
    return ",".join(sorted(map(str, platforms)))
