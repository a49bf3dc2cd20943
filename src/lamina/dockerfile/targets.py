"""The stages of a Dockerfile, which `--target` can name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.named_tuple import NamedTuple
from lamina.dockerfile.json_text import (
    base64_text,
    columns,
    description,
    json_location,
    without_empty,
)
from lamina.dockerfile.lexer import parse_document
from lamina.dockerfile.stage import read_stages

if TYPE_CHECKING:
    from lamina.base.location import Location
    from lamina.dockerfile.contract import DockerfileText


class Target(NamedTuple):
    """A stage. `base` and `platform` are as written, not expanded."""

    name: str
    default: bool
    description: str
    base: str
    platform: str
    location: Location


class Targets(NamedTuple):
    """All stages in order, and their text."""

    targets: tuple[Target, ...]
    data: bytes

    def to_json(self) -> dict[str, Any]:
        """The document of BuildKit's `frontend.targets`."""
        targets = [
            without_empty({**target._asdict(), "location": json_location(target.location)})
            for target in self.targets
        ]
        return {"targets": targets, "sources": [base64_text(self.data)]}

    def to_text(self) -> str:
        """A table as text."""
        rows = [("TARGET", "DESCRIPTION")]
        for target in self.targets:
            name = target.name
            if target.default:
                name = f"{name} (default)" if name else "(default)"
            rows.append((name, target.description))
        return columns(rows, 1)


def list_targets(text: DockerfileText) -> Targets:
    """Read the stages of a Dockerfile. Raises InvalidInput, located."""
    document = parse_document(text.data.decode("utf-8", "surrogateescape"), text.filename)
    heads = [stage.head for stage in read_stages(document).stages]
    return Targets(
        tuple(
            Target(
                head.name,
                head is heads[-1],
                description(head.node, head.name),
                head.image,
                head.platform,
                head.node.location,
            )
            for head in heads
        ),
        text.data,
    )
