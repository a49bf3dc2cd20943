"""Questions about a Dockerfile that are answered without building it.

They are BuildKit's subrequests: a client gets JSON, and the same as text for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lamina.base.errors import UnknownRequest

if TYPE_CHECKING:
    from typing import Any

    from lamina.dockerfile.contract import Bridge, FrontendRequest

VERSION = "1.0.0"
_DESCRIBE = "frontend.subrequests.describe"
_REQUESTS = (
    ("frontend.lint", "Lint a Dockerfile", ()),
    (
        "frontend.outline",
        "List all parameters current build target supports",
        (("target", "Target build stage"),),
    ),
    ("frontend.targets", "List all targets current build supports", ()),
    (_DESCRIBE, "List available subrequest types", ()),
)


class Answer(NamedTuple):
    """`status` is the exit status that a command should end with."""

    json: str
    text: str
    status: int = 0
    error: str = ""

    def metadata(self) -> dict[str, bytes]:
        """As a frontend's result carries it."""
        found = {
            "result.json": self.json.encode(),
            "result.txt": self.text.encode("utf-8", "surrogateescape"),
            "version": VERSION.encode(),
        }
        if self.status:
            found["result.statuscode"] = b"%d" % self.status
        return found


def answer(name: str, request: FrontendRequest, bridge: Bridge) -> Answer:
    """Answer `frontend.lint`, `frontend.outline`, `frontend.targets` or `…describe`.

    Raises UnknownRequest for other names, and for an outline what a build raises.
    """
    match name:
        case "frontend.lint":
            from lamina.dockerfile.checks.report import check

            report = check(request, bridge)
            error = report.error
            stopped = ""
            if error is not None:
                hint = f"\nhint: {error.hint}" if error.hint else ""
                place = f"\n{error.location.excerpt()}" if error.location is not None else ""
                stopped = f"{error.reason}{hint}{place}"
            return Answer(_json(report.to_json()), report.to_text(), report.status, stopped)
        case "frontend.outline":
            from lamina.dockerfile.outline import make_outline

            outline = make_outline(request, bridge)
            return Answer(_json(outline.to_json()), outline.to_text())
        case "frontend.targets":
            from lamina.dockerfile.targets import list_targets

            targets = list_targets(bridge.read_dockerfile())
            return Answer(_json(targets.to_json()), targets.to_text())
        case "frontend.subrequests.describe":
            return _describe()
    known = ", ".join(request[0] for request in _REQUESTS)
    raise UnknownRequest(name, hint=f"known are {known}")


def _describe() -> Answer:
    from lamina.dockerfile.places import columns

    requests = [
        {
            "name": name,
            "version": VERSION,
            "type": "rpc",
            "description": about,
            "opts": [{"name": option, "description": text} for option, text in options],
            "metadata": [{"name": "result.json"}, {"name": "result.txt"}],
        }
        for name, about, options in _REQUESTS
    ]
    rows = [("NAME", "VERSION", "DESCRIPTION")]
    rows += [(name.removeprefix("frontend."), VERSION, about) for name, about, _ in _REQUESTS]
    return Answer(_json(requests), columns(rows, 1))


def _json(document: Any) -> str:
    import json

    text = json.dumps(document, ensure_ascii=False, indent=2)
    # Bytes that are no UTF-8 become what Go makes of them.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
