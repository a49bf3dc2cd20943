"""The outputs of a request, with the attributes that the request sets for all of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.reference import full_name
from lamina.client.contract import OutputSpec
from lamina.dockerfile.args import SOURCE_DATE_EPOCH, parse_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.client.contract import BuildRequest

_IMAGES = ("image", "registry", "oci", "docker")
_UNDATED = ("cacheonly",)


def wanted_outputs(request: BuildRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """Each output's type and attributes, with tags and SOURCE_DATE_EPOCH where they apply.

    Without outputs, an image in the store. Raises InvalidInput.
    """
    names = ",".join(map(full_name, request.tags))
    args = dict(request.frontend.build_args)
    epoch = parse_epoch(args.get(SOURCE_DATE_EPOCH, os.environ.get(SOURCE_DATE_EPOCH, "")))
    for output in request.outputs or (OutputSpec("image"),):
        pairs = dict(output.attributes)
        if epoch is not None and output.type not in _UNDATED:
            pairs.setdefault("source-date-epoch", str(epoch))
        if names and output.type in _IMAGES:
            pairs.setdefault("name", names)
        yield output.type, pairs
