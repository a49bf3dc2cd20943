"""Splits a build for several platforms into one for each node, and joins the pushed images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.platform import parse_platform
from lamina.base.reference import full_name, parse_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.client.contract import BuildOutcome, BuildRequest, OutputSpec
    from lamina.system.cancel import Cancellation

_SINGLE = ("oci", "docker", "tar")
_FORCED = ("BUILDKIT_MULTI_PLATFORM", "1")
"""The build argument that makes an index, or directories for platforms, of a single one, too."""


def assign(
    platforms: Sequence[str],
    fixed: Sequence[Sequence[Platform]],
    supported: Sequence[Sequence[Platform]],
) -> dict[int, list[str]]:
    """The platforms that each node builds, by the node's index.

    A platform goes to the node that is fixed to it, else to the first one that runs it, natively if
    possible, else to the first node.
    """
    assigned: dict[int, list[str]] = {}
    for wanted in platforms:
        platform = parse_platform(wanted)
        able = [
            *(index for index, node in enumerate(fixed) if platform in node),
            *(index for index, node in enumerate(supported) if platform in node),
            *(
                index
                for index, node in enumerate(supported)
                if any(offered.accepts(platform) for offered in node)
            ),
        ]
        assigned.setdefault(able[0] if able else 0, []).append(wanted)
    return assigned


def part_of(request: BuildRequest, platforms: Sequence[str]) -> BuildRequest:
    """The part of a build that one node does. Pushed images get no tag yet: see `join`.

    Raises Unsupported for outputs that cannot be joined, InvalidInput.
    """
    frontend = request.frontend._replace(
        platforms=tuple(platforms), build_args=(*request.frontend.build_args, _FORCED)
    )
    outputs = tuple(_part_of_output(output, request.tags) for output in request.outputs)
    return request._replace(frontend=frontend, outputs=outputs)


def pushed_names(request: BuildRequest) -> list[Reference]:
    """The names that the outputs of a build push."""
    names = [
        name
        for output in request.outputs
        if _is_pushed(output)
        for name in _names(output, request.tags)
    ]
    return [parse_reference(name) for name in dict.fromkeys(names)]


def join(
    request: BuildRequest,
    names: Sequence[Reference],
    outcomes: Sequence[BuildOutcome],
    cancel: Cancellation,
) -> dict[str, Any]:
    """Push an index of the images that the nodes have pushed. Returns the metadata of the build.

    Raises NotFound, PermissionDenied, Unavailable, Unsupported.
    """
    from lamina.exporters.index import Source, combine, publish
    from lamina.registry.client import RegistryClient
    from lamina.registry.hosts import configured_hosts

    digests = [str(outcome.metadata.get("containerimage.digest", "")) for outcome in outcomes]
    sources = [Source(parse_reference(f"{names[0].name}@{digest}")) for digest in digests]
    hosts = configured_hosts()
    if any(
        dict(output.attributes).get("registry.insecure") == "true" for output in request.outputs
    ):
        for name in names:
            hosts = hosts.trusting(name.domain)
    with RegistryClient(hosts) as client:
        made = combine(client, sources, cancel)
        publish(client, made, names, cancel)
    return {
        "containerimage.digest": str(made.target.digest),
        "containerimage.descriptor": made.target.to_json(),
        "image.name": ",".join(map(str, names)),
    }


def _part_of_output(output: OutputSpec, tags: Sequence[str]) -> OutputSpec:
    if output.type in _SINGLE:
        raise Unsupported(
            f"output type={output.type} cannot have the platforms of several nodes",
            hint="push the image, or build one platform at a time",
        )
    if not _is_pushed(output):
        return output
    names = _names(output, tags)
    if not names:
        raise InvalidInput("an image that is pushed needs a name", hint="add -t NAME")
    repositories = {parse_reference(name).name for name in names}
    changed = {
        **dict(output.attributes),
        "name": ",".join(sorted(repositories)),
        "push-by-digest": "true",
    }
    return output._replace(attributes=tuple(changed.items()))


def _is_pushed(output: OutputSpec) -> bool:
    pushed = dict(output.attributes).get("push") == "true"
    return output.type == "registry" or (output.type == "image" and pushed)


def _names(output: OutputSpec, tags: Sequence[str]) -> list[str]:
    said = dict(output.attributes).get("name", "")
    return said.split(",") if said else [full_name(tag) for tag in tags]
