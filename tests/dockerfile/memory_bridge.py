"""A bridge with texts in memory, and conversions decoded from their bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina.base.digest import digest_of
from lamina.base.errors import NotFound
from lamina.base.platform import Platform, parse_platform
from lamina.dockerfile.build import build
from lamina.dockerfile.contract import (
    DockerfileText,
    FrontendRequest,
    FrontendResult,
    ResolvedImage,
    Warned,
)
from lamina.dockerfile.options import FrontendOptions
from lamina.llb.codec import decode_definition, decode_op, encode_definition
from lamina.llb.op import DESCRIPTION_NAME, Definition, ExecOp, FileOp, Op

if TYPE_CHECKING:
    from lamina.base.reference import Reference

AMD64 = parse_platform("linux/amd64")
BASE_ENV = "PATH=/usr/bin:/bin"


def image_config(**settings: Any) -> bytes:
    """The configuration of an image with one layer."""
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": [BASE_ENV], **settings},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "base"}],
        }
    ).encode()


class MemoryBridge:
    """Resolves `base`, and the given images."""

    def __init__(self, text: str, images: dict[str, bytes], ignore: bytes | None) -> None:
        self._text = text
        self._images = {"base": image_config(), **images}
        self._ignore = ignore
        self.asked: list[tuple[str, Platform]] = []
        self.titles: list[str] = []
        self.warnings: list[Warned] = []

    def read_dockerfile(self) -> DockerfileText:
        data = self._text.encode("utf-8", "surrogateescape")
        return DockerfileText("Dockerfile", data, self._ignore)

    def resolve_image(self, reference: Reference, platform: Platform, title: str) -> ResolvedImage:
        self.titles.append(title)
        name = reference.familiar.removesuffix(":latest")
        self.asked.append((name, platform))
        if name not in self._images:
            raise NotFound(f"{reference}: not found")
        return ResolvedImage(digest_of(name.encode()), self._images[name])

    def resolve_layout(self, name: str, location: str, platform: Platform) -> ResolvedImage:
        return ResolvedImage(digest_of(location.encode()), image_config())

    def made_at(self, source: Definition) -> int | None:
        """The time is a hundred for each letter of the source's name."""
        op = decode_op(source.ops[0]).source
        assert op is not None
        return 100 * len(op.identifier)

    def warn(self, warning: Warned) -> None:
        self.warnings.append(warning)


class Converted(NamedTuple):
    """A decoded result. Ops are in order, without the last one (which only names the result)."""

    result: FrontendResult
    bridge: MemoryBridge
    ops: list[Op]
    names: list[str]
    config: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.config["config"]
        return settings

    @property
    def history(self) -> list[str]:
        return [entry["created_by"] for entry in self.config.get("history", [])]

    @property
    def execs(self) -> list[ExecOp]:
        return [op.exec for op in self.ops if op.exec is not None]

    @property
    def files(self) -> list[FileOp]:
        return [op.file for op in self.ops if op.file is not None]

    @property
    def sources(self) -> dict[str, dict[str, str]]:
        found = [op.source for op in self.ops if op.source is not None]
        return {source.identifier: dict(source.attrs) for source in found}

    def named(self, part: str) -> Op:
        """The op whose display name holds a text."""
        return next(op for op, name in zip(self.ops, self.names, strict=True) if part in name)


Convert = Callable[..., Converted]


def run_conversion(
    text: str,
    images: dict[str, bytes] | None = None,
    ignore: bytes | None = None,
    **fields: Any,
) -> Converted:
    """Convert a text; `fields` are those of the request and of its options."""
    bridge = MemoryBridge(text, images or {}, ignore)
    of_request = {k: v for k, v in fields.items() if k in FrontendRequest._fields}
    options = FrontendOptions(**{k: v for k, v in fields.items() if k not in of_request})
    given: dict[str, Any] = {"platform": AMD64, "build_platform": AMD64, **of_request}
    (result,) = build([FrontendRequest(options, **given)], bridge)
    ops: list[Op] = []
    names: list[str] = []
    if result.definition is not None:
        definition = decode_definition(encode_definition(result.definition))
        metadata = dict(definition.metadata)
        for data in definition.ops[:-1]:
            ops.append(decode_op(data))
            description = dict(metadata[str(digest_of(data))].description)
            names.append(description.get(DESCRIPTION_NAME, ""))
    return Converted(result, bridge, ops, names, json.loads(result.config))
