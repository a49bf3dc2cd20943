"""Checks of a Dockerfile without a build: all warnings, and the error that ended the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import Cancelled, LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.build import DockerfileConverter
from lamina.dockerfile.json_text import base64_text, json_location, without_empty

if TYPE_CHECKING:
    from lamina.dockerfile.contract import Bridge, DockerfileText, FrontendRequest, Warned


class CheckReport(NamedTuple):
    """The result of checks. `error` is the error with which a build would fail before its first
    step."""

    finds: tuple[Warned, ...]
    text: DockerfileText
    error: LaminaError | None = None

    @property
    def status(self) -> int:
        """The exit status: 1 if there is any warning or error."""
        return int(bool(self.finds) or self.error is not None)

    def to_json(self) -> dict[str, Any]:
        """The document of BuildKit's `frontend.lint`."""
        warnings = [
            without_empty(
                {
                    "ruleName": find.rule,
                    "description": find.description,
                    "url": find.url,
                    "detail": find.detail,
                    "location": json_location(find.location),
                }
            )
            for find in self.finds
        ]
        source = {
            "filename": self.text.filename,
            "data": base64_text(self.text.data),
            "language": "Dockerfile",
        }
        # Go writes a list of nothing as null.
        document: dict[str, Any] = {"warnings": warnings or None, "sources": [source]}
        if self.error is not None:
            document["buildError"] = {
                "message": self.error.message,
                "location": json_location(self.error.location),
            }
        return document

    def to_text(self) -> str:
        """The warnings in the order of the text, each with an excerpt."""
        shown = []
        for find in sorted(self.finds, key=_line):
            shown.append(f"\nWARNING: {find.rule} - {find.url}\n{find.detail}\n")
            if find.location is not None:
                shown.append(f"{find.location.excerpt()}\n")
        return "".join(shown)


def check(request: FrontendRequest, bridge: Bridge) -> CheckReport:
    """Check the target and what it needs, or every stage if the request names no target.

    Raises NotFound if there is no Dockerfile, and Cancelled; other errors are in the report.
    """
    text = bridge.read_dockerfile()
    finds: list[Warned] = []
    try:
        converter = DockerfileConverter(request, bridge, text, finds.append)
        converter.convert(every_stage=not request.options.target)
    except Cancelled:
        raise
    except LaminaError as error:
        return CheckReport(tuple(finds), text, error)
    return CheckReport(tuple(finds), text)


def _line(find: Warned) -> int:
    return find.location.start if find.location is not None else 0
