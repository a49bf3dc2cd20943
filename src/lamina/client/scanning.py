"""Scans images and results of builds for packages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.client.stored import manifest_of
from lamina.engine.credential_scoped_op import material_of
from lamina.sbom.scanner import scan
from lamina.sbom.subject import Subject
from lamina.sources.manifests import ResolvedManifest, image_ref
from lamina.sources.material import ImageMaterial

if TYPE_CHECKING:
    from lamina.base.platform import Platform
    from lamina.engine.build import Build
    from lamina.engine.build_result import BuildResult
    from lamina.engine.engine import Engine
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.sbom.package import Scan
    from lamina.stores.images import StoredImage
    from lamina.system.cancel import Cancellation


class ScannedImage(NamedTuple):
    """What a scan found, and what it is about."""

    scan: Scan
    subject: Subject


def scan_stored(
    engine: Engine, image: StoredImage, name: str, platform: Platform, cancel: Cancellation
) -> ScannedImage:
    """Scan an image of the local store. Raises NotFound (no image for the platform)."""
    blobs = engine.store.blobs
    with engine.store.shared():
        digest, manifest = manifest_of(blobs, image.target.digest, name, platform)
        config = blobs.read(manifest.config.digest)
        ref = image_ref(engine.refs, ResolvedManifest(digest, manifest, config, digest), name)
        layers = tuple(str(layer.digest) for layer in manifest.layers)
        subject = Subject(name, time.time(), str(digest), layers)
        return ScannedImage(_scan(engine.refs, ref, cancel), subject)


def scan_base(build: Build, result: BuildResult, name: str, cancel: Cancellation) -> ScannedImage:
    """Scan the result of a build that only has a base image."""
    files = result.parts[0].files
    ref = files.ref(cancel)
    stack = build.refs.snapshots.stack(ref.snapshot)
    known = [build.refs.layers.of(each.id) for each in stack]
    layers = tuple(str(layers[0].descriptor.digest) for layers in known if layers)
    used = [material_of(node.op) for node in list(build.job.nodes.values())]
    digest = next((str(one.digest) for one in used if isinstance(one, ImageMaterial)), "")
    subject = Subject(name, time.time(), digest, layers if len(layers) == len(stack) else ())
    return ScannedImage(_scan(build.refs, ref, cancel), subject)


def _scan(refs: RefManager, ref: Ref, cancel: Cancellation) -> Scan:
    return scan(refs.tree(ref, cancel), refs.differences(ref, cancel), cancel)
