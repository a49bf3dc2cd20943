"""Pushes images to registries, with progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.registry.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.engine.steps import Step
    from lamina.registry.client import RegistryClient
    from lamina.registry.upload import Content
    from lamina.system.cancel import Cancellation


def push(
    references: Sequence[Reference],
    target: Descriptor,
    content: Content,
    client_of: Callable[[str], RegistryClient],
    shown: Step,
    cancel: Cancellation,
) -> None:
    """Push one image under several names. Names in one registry share the uploaded blobs.

    Raises as `lamina.registry.upload.Upload` does.
    """
    done: list[Reference] = []
    clients: dict[str, RegistryClient] = {}
    for reference in references:
        domain = reference.domain
        if domain not in clients:
            clients[domain] = client_of(domain)
        upload = Upload(clients[domain], reference, target, content, mirrors=done)
        try:
            if not any(other.name == reference.name for other in done):
                with shown.doing("pushing layers"):
                    upload.blobs(cancel, shown.meter("pushing"))
            canonical = reference._replace(digest=target.digest)
            with shown.doing(f"pushing manifest for {canonical}"):
                upload.manifests(cancel)
        except LaminaError as error:
            during = error.during or f"failed to push {reference}"
            raise error.with_context(during=during) from error
        done.append(reference)
