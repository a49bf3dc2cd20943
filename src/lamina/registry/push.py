"""Writes to registries (OCI distribution spec v1.1, "Push")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.registry.blob_upload import ACTIONS, BlobUpload, has_blob
from lamina.registry.exchange import Call, refusal

if TYPE_CHECKING:
    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.registry.blob_upload import BlobContent
    from lamina.registry.client import RegistryClient
    from lamina.system.cancel import Cancellation

_UNSETTLED = ("blob unknown", "did not match uploaded content")


def push_blob(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    content: BlobContent,
    cancel: Cancellation,
    mount_from: str = "",
) -> bool:
    """Make sure that the repository has the blob. Returns whether its bytes were sent.

    Args:
        mount_from: the path of a repository on the same registry that may have it.

    Raises NotFound, PermissionDenied, Unavailable, Cancelled, and the errors of `content`.
    """
    if has_blob(client, reference, descriptor, cancel):
        return False
    return BlobUpload(client, reference, descriptor, content, cancel).send(mount_from)


def push_manifest(
    client: RegistryClient,
    reference: Reference,
    media_type: str,
    data: bytes,
    cancel: Cancellation,
) -> None:
    """Push a manifest under the reference's tag, or its digest if it has none.

    Raises as `push_blob` does.
    """
    name = reference.tag or reference.digest or digest_of(data)
    call = Call(
        "PUT",
        client.push_target(reference),
        reference,
        f"/{reference.path}/manifests/{name}",
        (("Content-Type", media_type),),
        ACTIONS,
        lambda: (data,),
        len(data),
    )
    retry_policy = client.retry_policy
    for attempt in range(1, retry_policy.attempts + 1):
        with client.exchange.ask(call, cancel) as response:
            if response.status in (200, 201, 202):
                response.read_all(1 << 16)
                return
            error = refusal(response, reference.familiar)
        # With two concurrent uploads of a blob, some registries have neither for a moment.
        unsettled = any(words in error.reason for words in _UNSETTLED)
        if not unsettled or attempt == retry_policy.attempts:
            raise error
        if cancel.wait(min(retry_policy.longest, retry_policy.pause * 2.0**attempt)):
            cancel.check()
