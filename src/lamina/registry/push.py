"""Writing to registries (OCI distribution spec v1.1, "Push")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import Unavailable
from lamina.registry.exchange import Call, refusal
from lamina.registry.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient
    from lamina.registry.transport import Response
    from lamina.system.cancel import Cancellation

_ACTIONS = "pull,push"


def push_blob(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    content: Callable[[], Iterable[bytes]],
    cancel: Cancellation,
    mount_from: str = "",
) -> bool:
    """Have the blob in the repository; returns whether its bytes had to be sent.

    Args:
        content: gives the bytes anew for every attempt.
        mount_from: the path of a repository on the same registry that may have it.

    Raises NotFound, PermissionDenied, Unavailable, Cancelled, and what `content` raises.
    """
    if _has(client, reference, descriptor, cancel):
        return False
    attempt = 0
    while True:
        attempt += 1
        location = _begin(client, reference, descriptor, mount_from, cancel)
        if not location:
            return False
        try:
            _put(client, reference, descriptor, location, content, cancel)
            return True
        except Unavailable:
            # A broken upload cannot be trusted to be where we think; begin a new one.
            patience = client.patience
            if attempt >= patience.attempts:
                raise
            if cancel.wait(min(patience.longest, patience.pause * 2.0**attempt)):
                cancel.check()


def push_manifest(
    client: RegistryClient,
    reference: Reference,
    media_type: str,
    data: bytes,
    cancel: Cancellation,
) -> None:
    """Put a manifest under the reference's tag, or its digest if it has none.

    Raises as `push_blob` does.
    """
    name = reference.tag or reference.digest or digest_of(data)
    call = Call(
        "PUT",
        client.push_target(reference),
        reference,
        f"/{reference.path}/manifests/{name}",
        (("Content-Type", media_type),),
        _ACTIONS,
        lambda: (data,),
        len(data),
    )
    with client.exchange.ask(call, cancel) as response:
        if response.status not in (200, 201, 202):
            raise refusal(response, reference.familiar)
        _finish(response)


def has_blob(
    client: RegistryClient, reference: Reference, descriptor: Descriptor, cancel: Cancellation
) -> bool:
    """Whether a repository has a blob, for somebody who only reads there.

    Raises PermissionDenied, Unavailable, Cancelled.
    """
    path = f"/{reference.path}/blobs/{descriptor.digest}"
    call = Call("HEAD", client.push_target(reference), reference, path)
    with client.exchange.ask(call, cancel) as response:
        if response.status not in (200, 404):
            raise refusal(response, f"blob {descriptor.digest} of {reference.familiar}")
        return response.status == 200


def _has(
    client: RegistryClient, reference: Reference, descriptor: Descriptor, cancel: Cancellation
) -> bool:
    path = f"/{reference.path}/blobs/{descriptor.digest}"
    call = Call("HEAD", client.push_target(reference), reference, path, (), _ACTIONS)
    with client.exchange.ask(call, cancel) as response:
        return response.status == 200


def _begin(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    mount_from: str,
    cancel: Cancellation,
) -> str:
    """Open an upload and return its URL; empty if the registry mounted the blob instead."""
    path = f"/{reference.path}/blobs/uploads/"
    if mount_from:
        path += f"?mount={descriptor.digest}&from={mount_from}"
    target = client.push_target(reference)
    call = Call("POST", target, reference, path, (), _ACTIONS, also=mount_from)
    with client.exchange.ask(call, cancel) as response:
        if response.status == 201:
            return ""
        location = response.header("Location")
        if response.status != 202 or not location:
            raise refusal(response, f"an upload to {reference.name}")
        _finish(response)
        return str(parse_url(location, response.url))


def _put(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    location: str,
    content: Callable[[], Iterable[bytes]],
    cancel: Cancellation,
) -> None:
    joint = "&" if "?" in location else "?"
    call = Call(
        "PUT",
        client.push_target(reference),
        reference,
        f"{location}{joint}digest={descriptor.digest}",
        (("Content-Type", "application/octet-stream"),),
        _ACTIONS,
        content,
        descriptor.size,
        once=True,
    )
    with client.exchange.ask(call, cancel) as response:
        if response.status not in (201, 204):
            raise refusal(response, f"blob {descriptor.digest} for {reference.name}")
        _finish(response)


def _finish(response: Response) -> None:
    response.read_all(1 << 16)
