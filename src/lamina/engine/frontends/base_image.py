"""Resolves base images for the Dockerfile frontend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.gojson import encode
from lamina.dockerfile.contract import ResolvedImage
from lamina.engine.steps import step
from lamina.sources.material import ImageMaterial

if TYPE_CHECKING:
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.engine.frontends.contract import SourceContext
    from lamina.sources.image import ImageResolver


def resolve_base(
    build: SourceContext,
    images: ImageResolver,
    reference: Reference,
    platform: Platform,
    title: str,
) -> ResolvedImage:
    """Resolve an image name, in a step called `title`. Policies may convert it to another image.

    Raises NotFound, PermissionDenied, Unavailable, Unsupported (platform), Cancelled.
    """
    allowed = build.image_by_policy(reference, platform)
    if allowed is None:
        config = encode({"architecture": platform.architecture, "os": platform.os})
        return ResolvedImage(None, config, reference)
    with step(title, build.events):
        found = images.resolve(allowed, platform, build.cancel)
    build.note(ImageMaterial(str(allowed), platform, found.digest))
    return ResolvedImage(found.digest, found.config, allowed)
