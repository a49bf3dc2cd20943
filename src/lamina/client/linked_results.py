"""Results of frontends that are inputs of other frontends, from those of engines and gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.json_document import items, load_json, members, text
from lamina.base.oci import IMAGE_CONFIG_KEY
from lamina.client.build_group import LinkedPart, LinkedResult

if TYPE_CHECKING:
    from lamina.api.gateway import Ref, Result
    from lamina.engine.build_result import BuildResult

_PLATFORMS = "refs.platforms"


def linked_result(result: BuildResult) -> LinkedResult:
    """The result of a frontend in an engine of this process."""
    parts = (LinkedPart(part.key, part.files.definition, part.config) for part in result.parts)
    return LinkedResult(tuple(parts), result.several)


def linked_gateway_result(result: Result) -> LinkedResult:
    """The result of a frontend that a gateway returned. Raises Corrupt."""
    metadata = dict(result.metadata)
    if result.refs is None:
        config = metadata.get(IMAGE_CONFIG_KEY, b"")
        definition = None if result.ref is None else result.ref.definition
        return LinkedResult((LinkedPart("", definition, config),), several=False)
    listed = load_json(metadata.get(_PLATFORMS, b"null"), "list of platforms")
    refs = dict(result.refs.refs)
    keys = [text(members(entry).get("ID")) for entry in items(members(listed).get("Platforms"))]
    parts = (
        LinkedPart(key, refs[key].definition, metadata.get(f"{IMAGE_CONFIG_KEY}/{key}", b""))
        for key in keys or refs
        if key in refs
    )
    return LinkedResult(tuple(parts), several=True)


def refs_of(result: Result) -> list[Ref]:
    """The refs of a gateway's result that are no empty file systems."""
    found = [result.ref] if result.ref is not None else []
    if result.refs is not None:
        found += [ref for _, ref in result.refs.refs]
    return [ref for ref in found if ref.id]
