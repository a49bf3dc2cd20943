"""Subrequests: requests about a Dockerfile that need no build.

They are those of BuildKit. A client gets JSON, and the same as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import UnknownRequest
from lamina.base.named_tuple import NamedTuple
from lamina.llb.op import Definition

if TYPE_CHECKING:
    from typing import Any

    from lamina.dockerfile.contract import Bridge, FrontendRequest

VERSION = "1.0.0"
_DESCRIBE = "frontend.subrequests.describe"
_BOTH = ("result.json", "result.txt")


class _Request(NamedTuple):
    """A subrequest, and its description for clients."""

    name: str
    about: str
    options: tuple[tuple[str, str], ...] = ()
    answers: tuple[str, ...] = _BOTH
    version: str = VERSION


_CONVERT = _Request(
    "frontend.convertllb", "Convert Dockerfile to LLB", (), ("result.json",), "0.1.0"
)
_REQUESTS = (
    _CONVERT,
    _Request("frontend.lint", "Lint a Dockerfile"),
    _Request(
        "frontend.outline",
        "List all parameters current build target supports",
        (("target", "Target build stage"),),
    ),
    _Request("frontend.targets", "List all targets current build supports"),
    _Request(_DESCRIBE, "List available subrequest types"),
)


class Answer(NamedTuple):
    """`text` is None if there is only JSON. `status` is the exit status for a command."""

    json: str
    text: str | None
    status: int = 0
    error: str = ""
    version: str = VERSION

    def metadata(self) -> dict[str, bytes]:
        """The answer as metadata of a frontend's result."""
        found = {"result.json": self.json.encode(), "version": self.version.encode()}
        if self.text is not None:
            found["result.txt"] = self.text.encode("utf-8", "surrogateescape")
        if self.status:
            found["result.statuscode"] = b"%d" % self.status
        return found


def answer(name: str, request: FrontendRequest, bridge: Bridge) -> Answer:
    """Answer `frontend.lint`, `…outline`, `…targets`, `…convertllb` or `…describe`.

    Raises UnknownRequest for other names; an outline and a conversion raise the errors of a build.
    """
    match name:
        case "frontend.convertllb":
            from lamina.dockerfile.build import build

            (converted,) = build([request], bridge)
            return Answer(_json(_llb(converted.definition)), None, version=_CONVERT.version)
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
    known = ", ".join(request.name for request in _REQUESTS)
    raise UnknownRequest(name, hint=f"supported: {known}")


def _describe() -> Answer:
    from lamina.dockerfile.json_text import columns

    requests = [
        {
            "name": name,
            "version": version,
            "type": "rpc",
            "description": about,
            "opts": [{"name": option, "description": text} for option, text in options],
            "metadata": [{"name": answer} for answer in answers],
        }
        for name, about, options, answers, version in _REQUESTS
    ]
    rows = [("NAME", "VERSION", "DESCRIPTION")]
    rows += [(r.name.removeprefix("frontend."), r.version, r.about) for r in _REQUESTS]
    return Answer(_json(requests), columns(rows, 1))


def _llb(definition: Definition | None) -> dict[str, Any]:
    """A definition as JSON: its decoded ops by digest."""
    from lamina.base.digest import digest_of
    from lamina.llb.codec import decode_op
    from lamina.llb.gojson import message
    from lamina.llb.protojson import protojson

    ops, metadata, source = definition or Definition()
    found = {str(digest_of(data)): decode_op(data) for data in ops}
    return {
        "def": {digest: protojson(found[digest]) for digest in sorted(found)},
        "metadata": {digest: message(of) for digest, of in sorted(metadata)},
        "source": protojson(source) if source is not None else {},
    }


def _json(document: Any) -> str:
    import json

    text = json.dumps(document, ensure_ascii=False, indent=2)
    # Bytes that are not UTF-8 become replacement characters, as in Go.
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
