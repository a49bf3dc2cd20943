"""`lamina build --verify`: repeats a build, and reports whether the image is reproducible."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput, Unsupported
from lamina.cli.image_diff_text import printable
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import builder_address, open_local_store
from lamina.cli.progress.choose import open_display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.cli.flags import Parsed
    from lamina.client.contract import BuildRequest
    from lamina.imagediff.reproducibility import Finding, Verdict

_STDERR = 2
_STEP = 200


def check_verifiable(parsed: Parsed, request: BuildRequest) -> None:
    """Raise Unsupported for a build in a daemon, InvalidInput for conflicting flags."""
    address = builder_address(parsed)
    if address:
        raise Unsupported(
            f"--verify: the daemon at {address} cannot build in an empty store",
            hint="build without a daemon: --root DIR, or unset LAMINA_HOST and BUILDKIT_HOST",
        )
    for flag in ("call", "check"):
        if parsed.given(flag):
            raise InvalidInput(f"--verify and --{flag} cannot be combined")
    if any(dict(output.attributes).get("dest") == "-" for output in request.outputs):
        raise InvalidInput("--verify cannot be combined with an output to standard output")


def verify(parsed: Parsed, request: BuildRequest, mode: str) -> int:
    """Repeat a build, and print a verdict per platform.

    Returns 1 if one of the images is not reproducible.
    """
    if mode not in ("quiet", "rawjson"):
        print("\nBuilding again in an empty store to verify the image:", file=sys.stderr)
    with (
        open_local_store(parsed, "verify builds", "build without --verify") as builder,
        interruptible(builder.hurry) as interruption,
    ):
        try:
            with closing(open_display(mode, _STDERR, os.environ)) as display:
                verdicts = builder.verify(request, display, interruption.cancel)
        except Cancelled as error:
            return interruption.exit_status(error)
    if parsed.text("format") == "json":
        import json

        print(json.dumps(list(map(_document, verdicts)), indent=2))
    else:
        for verdict in verdicts:
            print("\n".join(verdict_lines(verdict)))
    return 0 if all(verdict.reproducible for verdict in verdicts) else 1


def _document(verdict: Verdict) -> dict[str, object]:
    return {
        "platform": verdict.platform,
        "reproducible": verdict.reproducible,
        "before": verdict.before,
        "after": verdict.after,
        "findings": [
            finding._asdict() | {"cause": finding.cause._asdict()} for finding in verdict.findings
        ],
    }


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """The lines of a verdict."""
    platform = printable(verdict.platform)
    if verdict.reproducible:
        yield f"Reproducible ({platform}): both builds gave {verdict.before}."
        return
    yield f"Not reproducible ({platform}): the builds gave"
    yield f"{verdict.before} and"
    yield f"{verdict.after}."
    for finding in verdict.findings:
        yield from _finding(finding)


def _finding(finding: Finding) -> Iterator[str]:
    yield ""
    if finding.layer:
        step = printable(finding.step) or "unknown step"
        yield f"Layer {finding.layer}: {step if len(step) <= _STEP else f'{step[:_STEP]}…'}"
    else:
        yield "Image configuration"
    differs = ", ".join(map(printable, finding.differs))
    if finding.path:
        more = f", and {finding.more} more" if finding.more else ""
        yield f"  differs:  {printable(f'/{finding.path}')} ({differs}){more}"
    elif differs:
        yield f"  differs:  {differs}"
    cause = finding.cause
    yield f"  cause:    {cause.kind}: {printable(cause.evidence)}"
    if cause.hint:
        yield f"  hint:     {cause.hint}"
