"""`lamina push` and `lamina pull`: images of the local store to registries, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.oci import Descriptor
from lamina.engine.steps import step
from lamina.engine.transfers.image_upload import push
from lamina.refs.content import StoreContent
from lamina.sources.image import ResolveMode
from lamina.sources.manifests import image_ref

if TYPE_CHECKING:
    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.engine.engine import Engine
    from lamina.stores.images import StoredImage
    from lamina.system.cancel import Cancellation


def push_image(
    engine: Engine,
    reference: Reference,
    image: StoredImage,
    *,
    insecure: bool,
    events: EventSink,
    cancel: Cancellation,
) -> dict[str, Any]:
    """Push a stored image under a name. Returns what `--metadata-file` gets of it."""
    with (
        engine.store.shared(),
        engine.pulls.watched(events),
        step(f"pushing {reference.familiar}", events) as shown,
    ):
        push(
            [reference],
            image.target,
            StoreContent(engine.refs, engine.store.blobs),
            lambda domain: engine.registry_of(domain, insecure=insecure),
            shown,
            cancel,
        )
    return {
        "containerimage.descriptor": image.target.to_json(),
        "containerimage.digest": str(image.target.digest),
        "image.name": str(reference),
    }


def pull_image(
    engine: Engine,
    reference: Reference,
    platform: Platform,
    *,
    events: EventSink,
    cancel: Cancellation,
) -> StoredImage:
    """Bring one platform's image, whole, and name it."""
    with engine.store.shared(), engine.pulls.watched(events):
        with step(f"[internal] load metadata for {reference}", events):
            resolved = engine.resolver(ResolveMode.PULL).resolve(reference, platform, cancel)
        image_ref(engine.refs, resolved, str(reference))
        engine.refs.fetch(resolved.manifest.layers, cancel)
        size = engine.store.blobs.size(resolved.own)
        target = Descriptor(resolved.manifest.media_type, resolved.own, size)
        engine.images.put(str(reference), target)
    stored = engine.images.get(str(reference))
    assert stored is not None
    return stored
