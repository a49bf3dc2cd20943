"""Fetches directories of a client into mirrors."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from lamina.api import filesync
from lamina.session.contract import ProvidedFolder
from lamina.session.failure import asking
from lamina.session.folder_receiver import Policy, receive
from lamina.session.listing import Listing
from lamina.session.mirrors import MirrorKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.session.contract import FolderRequest
    from lamina.session.mirrors import Mirror, Mirrors
    from lamina.session.remote_session import Identity
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel, Metadata


def filters_of(wanted: FolderRequest) -> str:
    """A key that distinguishes the selections of files from one directory."""
    parts = [wanted.include_patterns, wanted.exclude_patterns, wanted.follow_paths]
    if wanted.listing is not None:
        parts.append(wanted.listing)
    return sha256(json.dumps(parts).encode()).hexdigest()


def fetch_folder(
    channel: Channel,
    name: str,
    wanted: FolderRequest,
    mirrors: Mirrors,
    client: Identity,
    cancel: Cancellation,
    *,
    owner: tuple[int, int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Mirror, ProvidedFolder]:
    """Update a mirror and claim it; the caller releases it.

    Args:
        client: identifies the client, if it sends an identity. The request's own key is added.
        owner: the owner of all files, None for the owners that the client sends.

    Raises NotFound (the client provides no such directory), Unavailable, Corrupt, Cancelled.
    """
    # Clients without a shared key may send the name of their directory.
    whose = client.shared_key or f"name={client.name}"
    key = MirrorKey(f"{whose}:{wanted.shared_key}", name, filters_of(wanted))
    mirror = mirrors.claim(key)
    try:
        stats, plain = mirror.change()
        policy = Policy(trust_metadata=wanted.differ != "none", owner=owner, plain=plain)
        metadata = _metadata(name, wanted)
        if wanted.listing is None:
            metadata = (*metadata, (filesync.KEY_VALIDATORS, "1"))
        listing = None if wanted.listing is None else Listing(wanted.listing)
        with (
            asking(f"transfer the directory {name}", cancel),
            channel.open(filesync.DIFF_COPY, metadata, cancel) as call,
        ):
            received = receive(
                call,
                mirror.tree,
                policy,
                listing=listing,
                known=stats,
                progress=progress,
            )
            call.finish_sending()
            while call.receive() is not None:  # the status comes after it
                continue
        if received.stats is None:
            mirror.keep()
        else:
            mirror.record(received.size, received.stats, plain=received.plain)
    except BaseException:
        mirror.release()
        raise
    # If the daemon is not root and all files get one owner, they count as root's.
    shown = None if owner is None else (0, 0)
    return mirror, ProvidedFolder(mirror.tree, filtered=True, owner=shown, revision=mirror.revision)


def _metadata(name: str, wanted: FolderRequest) -> Metadata:
    metadata: list[tuple[str, str | bytes]] = []
    for key, values in (
        (filesync.KEY_INCLUDE_PATTERNS, wanted.include_patterns),
        (filesync.KEY_EXCLUDE_PATTERNS, wanted.exclude_patterns),
        (filesync.KEY_FOLLOW_PATHS, wanted.follow_paths),
        (filesync.KEY_DIR_NAME, (name,)),
    ):
        metadata += encoded_values(key, values)
    return tuple(metadata)


def encoded_values(key: str, values: Iterable[str]) -> list[tuple[str, str | bytes]]:
    """Metadata values. They are escaped, and marked as such, if one cannot be sent unchanged."""
    texts = list(values)
    if all(text.isascii() and text.isprintable() and text == text.strip() for text in texts):
        return [(key, text) for text in texts]
    escaped = [quote_plus(text, errors="surrogateescape") for text in texts]
    return [*((key, text) for text in escaped), (f"{key}-encoded", "1")]
