"""`lamina push` and `lamina pull`: transfer images between the local store and registries."""

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
    from lamina.engine.contract import EngineServices
    from lamina.engine.transfers.layer_pulls import LayerPulls
    from lamina.stores.images import StoredImage
    from lamina.system.cancel import Cancellation


def push_image(
    services: EngineServices,
    pulls: LayerPulls,
    reference: Reference,
    image: StoredImage,
    *,
    insecure: bool,
    events: EventSink,
    cancel: Cancellation,
) -> dict[str, Any]:
    """Push a stored image under a name. Returns its metadata for `--metadata-file`."""
    with (
        services.store.shared(),
        pulls.watched(events),
        step(f"pushing {reference.familiar}", events) as shown,
    ):
        push(
            [reference],
            image.target,
            StoreContent(services.refs, services.store.blobs),
            lambda domain: services.registry_of(domain, insecure=insecure),
            shown,
            cancel,
        )
    return {
        "containerimage.descriptor": image.target.to_json(),
        "containerimage.digest": str(image.target.digest),
        "image.name": str(reference),
    }


def pull_image(
    services: EngineServices,
    pulls: LayerPulls,
    reference: Reference,
    platform: Platform,
    *,
    events: EventSink,
    cancel: Cancellation,
) -> StoredImage:
    """Pull one platform's image with all layers, and name it."""
    with services.store.shared(), pulls.watched(events):
        with step(f"[internal] load metadata for {reference}", events):
            resolved = services.resolver(ResolveMode.PULL).resolve(reference, platform, cancel)
        image_ref(services.refs, resolved, str(reference))
        services.refs.fetch(resolved.manifest.layers, cancel)
        size = services.store.blobs.size(resolved.own)
        target = Descriptor(resolved.manifest.media_type, resolved.own, size)
        services.images.put(str(reference), target)
    stored = services.images.get(str(reference))
    assert stored is not None
    return stored
