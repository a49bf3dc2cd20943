"""Finds out why a step produced a different file when it ran again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.imagediff.files import File

TIMES_HINT = (
    "set SOURCE_DATE_EPOCH (--build-arg SOURCE_DATE_EPOCH=…) and rewrite the times of files"
    " (--output type=image,rewrite-timestamp=true)"
)
_CONTENT_HINT = "let the step write SOURCE_DATE_EPOCH instead of the current time"
_GZIP = b"\x1f\x8b"
_GZIP_TIME = slice(4, 8)

_MOMENT = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
    rb"|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    rb"|\d{1,2}:\d{2}(?::\d{2})?"  # times
    rb"|(?<!\d)1\d{9}(?:\d{3}|\d{6}|\d{9})?(?!\d)"  # since 1970
    rb"|(?<!\d)20\d{6}(?:\d{6})?(?!\d)"
)
_NUMBER = re.compile(rb"\d+")
_TIME_COMMAND = re.compile(r"\bdate\b|\bstrftime\b|\btime\.time\b|\bnow\(\)")
_RANDOM_COMMAND = re.compile(
    r"/dev/u?random|\$RANDOM\b|\buuidgen\b|\bmktemp\b|\bopenssl rand\b|\bssh-keygen\b|\bgenrsa\b"
    r"|\bgenpkey\b|\brandom\b|\bshuf\b"
)
_NETWORK_COMMAND = re.compile(
    r"\b(?:curl|wget|git|apt|apt-get|apk|dnf|yum|pip|pip3|uv|poetry|npm|pnpm|yarn|cargo|gem|bundle"
    r"|composer|mvn|gradle|nuget)\b|\bgo (?:get|mod|install|build)\b|https?://"
)


class Cause(NamedTuple):
    """A cause of a difference.

    `kind` is `timestamp`, `ordering`, `randomness`, `network` or `unknown`; `evidence` is the
    reason for this conclusion; `hint` what to do, if that is known.
    """

    kind: str
    evidence: str
    hint: str = ""


def time_cause(what: str) -> Cause:
    """The cause if only times differ."""
    return Cause("timestamp", f"only {what} differs", TIMES_HINT)


def content_cause(before: bytes, after: bytes, step: str) -> Cause:
    """The cause of a difference in content, from both contents and the step's command."""
    if sorted(before.splitlines()) == sorted(after.splitlines()):
        return Cause("ordering", "it has the same lines in another order", "sort the output")
    if sorted(before.split()) == sorted(after.split()):
        return Cause("ordering", "it has the same words in another order", "sort the output")
    if before[:2] == after[:2] == _GZIP and _without_gzip_time(before) == _without_gzip_time(after):
        return Cause(
            "timestamp", "only the time in the header of the gzip file differs", "use `gzip -n`"
        )
    if _timeless(before) == _timeless(after):
        return Cause("timestamp", "it differs only in dates or times", _CONTENT_HINT)
    return command_cause(step)


def command_cause(step: str) -> Cause:
    """The cause that the step's command suggests."""
    for kind, pattern, evidence, hint in (
        ("randomness", _RANDOM_COMMAND, "random data", "use a fixed seed or a fixed value"),
        ("timestamp", _TIME_COMMAND, "the current time", _CONTENT_HINT),
        ("network", _NETWORK_COMMAND, "the network", "pin versions, and check digests"),
    ):
        found = pattern.search(step)
        if found is not None:
            return Cause(kind, f"the step probably uses {evidence} (`{found[0]}`)", hint)
    return Cause("unknown", "neither the content nor the command suggests a cause")


def metadata_cause(differs: tuple[str, ...], step: str) -> Cause:
    """The cause if other metadata than times differs."""
    cause = command_cause(step)
    if cause.kind == "unknown":
        return cause._replace(evidence=f"{', '.join(differs)} differs")
    return cause


def presence_cause(path: str, others: Sequence[File | None], file: File, step: str) -> Cause:
    """The cause if only one of the images has a file. `others` are the files that only the other
    one has."""
    if any(other is not None and _same_content(other, file) for other in others):
        name = path.rpartition("/")[2].encode("utf-8", "surrogateescape")
        if _MOMENT.search(name) or _TIME_COMMAND.search(step):
            return Cause("timestamp", "the same content has another name, with a time in it")
        cause = command_cause(step)
        if cause.kind == "unknown":
            return Cause("randomness", "the same content has another name")
        return cause
    return command_cause(step)


def _same_content(one: File, other: File) -> bool:
    return (one.kind, one.digest, one.target) == (other.kind, other.digest, other.target)


def _without_gzip_time(data: bytes) -> bytes:
    return data[: _GZIP_TIME.start] + data[_GZIP_TIME.stop :]


def _timeless(data: bytes) -> bytes:
    """The text without times: all numbers are removed from a line with a time."""
    return b"\n".join(
        b" ".join(_NUMBER.sub(b"", _MOMENT.sub(b"", line)).split())
        if _MOMENT.search(line)
        else line
        for line in data.splitlines()
    )
