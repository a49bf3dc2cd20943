"""Creates the sources that keep data in the store between builds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import InvalidInput
from lamina.session.contract import UPLOAD_HOST, FolderRequest
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.platform import Platform
    from lamina.refs.manager import RefManager
    from lamina.registry.client import RegistryClient
    from lamina.session.contract import Session
    from lamina.sources.blob import BlobName, BlobOrigin, BlobSource
    from lamina.sources.contract import Requester
    from lamina.sources.git import GitSource
    from lamina.sources.git_bundle import GitBundle
    from lamina.sources.http import HttpSource
    from lamina.sources.layout import LayoutSource
    from lamina.stores.store import Store


class EngineSources:
    """Implements `lamina.ops.contract.SourceFactory`.

    `registry` returns the client of the current requester.
    """

    def __init__(
        self, store: Store, refs: RefManager, registry: Callable[[], RegistryClient]
    ) -> None:
        self._store = store
        self._refs = refs
        self._registry = registry

    def layout(
        self, location: str, attrs: dict[str, str], platform: Platform, session: Session
    ) -> LayoutSource:
        """The source of an OCI layout.

        `location` is `/directory[:tag][@digest]`, or a name in the session and a digest. With the
        attribute `oci.store` it is a content store of the session, else a directory.
        """
        from lamina.sources.layout import (
            ClientLayout,
            FolderLayout,
            Layout,
            LayoutLocation,
            LayoutSource,
            layout_folder,
            parse_location,
        )

        name, _, digest = location.partition("@")
        layout: Layout
        if store := attrs.get("oci.store"):
            served = f"oci:{store}"
            layout = ClientLayout(session.content(served), served, parse_digest(digest), location)
        elif location.startswith("/"):
            place = parse_location(location)
            layout = FolderLayout(place)
            name = os.path.basename(place.folder)
        else:
            folder = session.folder(layout_folder(name), FolderRequest(), Cancellation())
            pinned = parse_digest(digest) if digest else None
            layout = FolderLayout(LayoutLocation(folder.path, digest=pinned))
        layers = attrs.get("oci.layerlimit", "")
        return LayoutSource(layout, name, platform, self._store.blobs, self._refs, layers)

    def blob(self, scheme: str, place: str, attrs: dict[str, str], session: Session) -> BlobSource:
        from lamina.sources.blob import BlobSource, parse_blob_name
        from lamina.sources.http import http_file

        name = parse_blob_name(scheme, place)
        origin = self._blob_origin(name, attrs, session)
        return BlobSource(name, http_file(attrs), origin, self._store.blobs, self._refs)

    def _blob_origin(self, name: BlobName, attrs: dict[str, str], session: Session) -> BlobOrigin:
        from lamina.sources.blob import ClientBlobs, RegistryBlob

        if not name.local:
            return RegistryBlob(name.reference, self._registry)
        store = attrs.get("oci.store")
        if not store:
            raise InvalidInput(f"{name}: the attribute oci.store is missing")
        return ClientBlobs(session.content(f"oci:{store}"))

    def http(self, url: str, attrs: dict[str, str], requester: Requester) -> HttpSource:
        from lamina.sources.http import HttpSource, UploadSource, http_file

        uploaded = url.startswith(f"http://{UPLOAD_HOST}/")
        kind = UploadSource if uploaded else HttpSource
        scratch = self._store.scratch
        return kind(url, http_file(attrs), self._folder("http"), scratch, self._refs, requester)

    def git(self, place: str, attrs: dict[str, str], requester: Requester) -> GitSource:
        from lamina.sources.git import GitSource, git_access_of, git_url_of, is_bundle_wanted
        from lamina.sources.git_remote import GitRemote

        scratch = self._store.scratch
        url = git_url_of(place, attrs)
        remote = GitRemote(
            url,
            self._folder("git"),
            scratch,
            requester.session,
            git_access_of(attrs),
            requester.pins,
            self._bundle(attrs, requester.session) if attrs.get("git.bundle") else None,
        )
        as_bundle = is_bundle_wanted(attrs)
        return GitSource(url, remote, scratch, self._refs, as_bundle=as_bundle)

    def _bundle(self, attrs: dict[str, str], session: Session) -> GitBundle:
        """A bundle in a layout. By default it is in the client's content store with the layout's
        name."""
        from lamina.sources.git_bundle import GitBundle, parse_bundle_name

        locator = attrs["git.bundle"]
        name = parse_bundle_name(locator)
        layout = locator.partition("://")[2].rpartition("@")[0]
        place = self._blob_origin(name, {"oci.store": layout, **attrs}, session)
        return GitBundle(name, place, self._store.blobs)

    def _folder(self, name: str) -> str:
        path = self._store.path(name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path
