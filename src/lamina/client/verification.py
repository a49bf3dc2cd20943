"""`lamina build --verify`: repeats a build in an empty store, and compares the images."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from lamina.base.platform import parse_platform
from lamina.client.contract import OutputSpec
from lamina.imagediff.image import load_image
from lamina.imagediff.layout import FolderContent
from lamina.imagediff.reproducibility import verdict_on
from lamina.sources.layout import FolderLayout, LayoutLocation
from lamina.stores.store import open_store
from lamina.system.mount import unmount
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from lamina.base.events import Event, EventSink
    from lamina.client.contract import BuildRequest, LocalStore
    from lamina.dockerfile.options import Pairs
    from lamina.imagediff.image import Image
    from lamina.imagediff.reproducibility import Verdict
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

_IMAGES = ("image", "registry", "oci", "docker")
_KEPT = (
    *("compression", "compression-level", "force-compression"),
    *("oci-mediatypes", "rewrite-timestamp"),
)


def verify_build(
    repeat: Callable[[BuildRequest, EventSink, Cancellation], None],
    store: Store,
    make: Callable[[Store], AbstractContextManager[LocalStore]],
    request: BuildRequest,
    events: EventSink,
    cancel: Cancellation,
) -> Sequence[Verdict]:
    """Implements `LocalStore.verify`.

    Args:
        repeat: builds from the cache of the first build, and leaves no record.
        make: creates the builder of the empty store.
    """
    folder = os.path.join(store.scratch, "verify")
    os.mkdir(folder, 0o700)
    try:
        first, second = (os.path.join(folder, name) for name in ("first", "second"))
        repeat(_comparable(request, first), _ignore, cancel)
        root = os.path.join(folder, "store")
        with open_store(root) as empty:
            with store.shared():  # nothing is pruned while blobs are linked
                _copy_inputs(store, empty)
            try:
                with make(empty) as other:
                    other.build(_comparable(request, second), events, cancel)
            finally:
                _unmount(os.path.join(root, "private"))
        return [
            verdict_on(_built(first, platform, cancel), _built(second, platform, cancel), cancel)
            for platform in request.frontend.platforms or ("",)
        ]
    finally:
        discard_tree(folder)


def _ignore(event: Event, /) -> None:
    """Discard events: the first image comes from the cache."""


def _comparable(request: BuildRequest, layout: str) -> BuildRequest:
    """The request with one output: its image in a layout, without attestations, which contain the
    time of the build."""
    attributes: Pairs = ()
    for output in request.outputs:
        if output.type in _IMAGES:
            attributes = tuple(
                (key, value)
                for key, value in output.attributes
                if key in _KEPT or key.startswith("annotation")
            )
            break
    frontend = request.frontend._replace(no_cache=False, no_cache_filter=(), resolve_mode="local")
    return request._replace(
        frontend=frontend,
        tags=(),
        outputs=(OutputSpec("oci", (*attributes, ("dest", layout), ("tar", "false"))),),
        cache_from=(),
        cache_to=(),
        attests=(),
    )


def _copy_inputs(store: Store, empty: Store) -> None:
    """Copy base images and their resolved names from the first build.

    No result is copied, so every step runs.
    """
    now = time.time()
    for table, columns in (
        ("images", ("name", "media_type", "digest", "size", "created", "boot")),
        ("pulls", ("name", "platform", "digest", "manifest")),
        ("layer_origins", ("digest", "origin", "resolved")),
    ):
        rows = store.database.rows(f"SELECT {', '.join(columns)} FROM {table}")
        extra = {"images": ("settled", 1), "pulls": ("checked", now)}.get(table)
        names = columns if extra is None else (*columns, extra[0])
        values = rows if extra is None else [(*row, extra[1]) for row in rows]
        marks = ", ".join("?" * len(names))
        with empty.database.write() as connection:
            connection.executemany(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values
            )
    for digest in store.blobs.digests():
        target = empty.blobs.path(digest)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.link(store.blobs.path(digest), target)


def _built(layout: str, platform: str, cancel: Cancellation) -> Image:
    target = FolderLayout(LayoutLocation(layout)).target(cancel)
    wanted = parse_platform(platform) if platform else None
    return load_image(os.path.basename(layout), target, FolderContent(layout), wanted, cancel)


def _unmount(path: str) -> None:
    if os.path.ismount(path):
        unmount(path)
