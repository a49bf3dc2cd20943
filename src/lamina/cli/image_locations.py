"""Finds the images on a command line.

| name | image |
|---|---|
| `NAME[:TAG]`, `NAME@DIGEST`, a digest or its start | in the local store, else in a registry |
| `docker://NAME[:TAG]` | in a registry |
| `oci-layout://FOLDER[:TAG][@DIGEST]`, `oci:FOLDER[:TAG]` | in an OCI layout |
| `docker-archive:FILE[:NAME]`, `oci-archive:FILE[:NAME]` | in an archive |
| a path that begins with `/` or `.`, or `FILE.tar…` | an archive or an OCI layout |
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, PermissionDenied, Unavailable
from lamina.base.reference import parse_reference
from lamina.cli.opening import builder_address, open_local_store

if TYPE_CHECKING:
    from contextlib import ExitStack

    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.cli.flags import Parsed
    from lamina.client.contract import LocalStore
    from lamina.imagediff.image import Image
    from lamina.system.cancel import Cancellation

_LAYOUTS = ("oci-layout://", "oci:")
_ARCHIVES = ("docker-archive:", "oci-archive:")
_REGISTRY = "docker://"
_ARCHIVE_NAME = re.compile(r"\.(?:tar(?:\.\w+)?|tgz|tzst|txz)(?::[^/]|\Z)")
_INSTEAD = "name an image in a registry, a layout or an archive"


class ImageFinder:
    """Opens images, which `stack` closes.

    Args:
        parsed: a command line with the flags `root` and `insecure`.
        platform: selects an image of an index; None for that of this machine.
    """

    def __init__(self, parsed: Parsed, platform: Platform | None, stack: ExitStack) -> None:
        self._parsed = parsed
        self._platform = platform
        self._stack = stack
        self._store: LocalStore | None = None

    def prepare(self, names: list[str]) -> None:
        """Open the local store, if one of these images may be in it. Call it before any thread
        starts."""
        if builder_address(self._parsed) or not any(map(_may_be_local, names)):
            return
        opened = open_local_store(self._parsed, "compare images", _INSTEAD)
        self._store = self._stack.enter_context(opened)

    def find(self, name: str, cancel: Cancellation) -> Image:
        """Open an image.

        Raises NotFound, PermissionDenied, InvalidInput, Unavailable, Unsupported, Corrupt,
        Cancelled.
        """
        for scheme in _LAYOUTS:
            if name.startswith(scheme):
                return self._in_layout(name, name.removeprefix(scheme), cancel)
        for scheme in _ARCHIVES:
            if name.startswith(scheme):
                return self._in_archive(name.removeprefix(scheme), cancel)
        if name.startswith(_REGISTRY):
            return self._in_registry(name, parse_reference(name[len(_REGISTRY) :]), cancel)
        if _is_path(name):
            if os.path.isdir(name) or os.path.isdir(name.rpartition(":")[0]):
                return self._in_layout(name, name, cancel)
            return self._in_archive(name, cancel)
        return self._by_name(name, cancel)

    def _by_name(self, name: str, cancel: Cancellation) -> Image:
        missing: NotFound | None = None
        if self._store is not None:
            try:
                opened = self._store.open_image(name, self._platform, cancel)
            except NotFound as error:
                missing = error
            else:
                return self._stack.enter_context(opened)
        try:
            reference = parse_reference(name)
        except InvalidInput as error:
            raise missing or error from error
        try:
            return self._in_registry(name, reference, cancel)
        except (NotFound, PermissionDenied, Unavailable) as error:
            if missing is None:
                raise
            raise error.with_context(
                reason=f"{name} is not in the local store, nor in a registry: {error.reason}",
                hint="`lamina images` lists the local images; begin the path of a file with ./",
            ) from error

    def _in_registry(self, name: str, reference: Reference, cancel: Cancellation) -> Image:
        from lamina.imagediff.image import load_image
        from lamina.registry.client import RegistryClient
        from lamina.registry.copy import RemoteContent
        from lamina.registry.hosts import configured_hosts

        hosts = configured_hosts()
        if self._parsed.switch("insecure"):
            hosts = hosts.trusting(reference.domain)
        client = self._stack.enter_context(RegistryClient(hosts))
        target = client.resolve(reference, cancel)
        content = RemoteContent(client, {target.digest: reference}, {})
        return load_image(name, target, content, self._platform, cancel)

    def _in_layout(self, name: str, place: str, cancel: Cancellation) -> Image:
        from lamina.imagediff.image import load_image
        from lamina.imagediff.layout import FolderContent
        from lamina.sources.layout import FolderLayout, parse_location

        location = parse_location(place)
        if os.path.isdir(place):
            location = location._replace(folder=place, tag="", digest=None)
        folder = os.path.abspath(location.folder)
        target = FolderLayout(location._replace(folder=folder)).target(cancel)
        return load_image(name, target, FolderContent(folder), self._platform, cancel)

    def _in_archive(self, place: str, cancel: Cancellation) -> Image:
        from lamina.imagediff.archive import open_archive

        path, wanted = place, ""
        while not os.path.exists(path) and ":" in path:
            path = path.rpartition(":")[0]
            wanted = place[len(path) + 1 :]
        if not os.path.exists(path):
            path, wanted = place, ""
        return open_archive(path, wanted, self._platform, cancel)


def _may_be_local(name: str) -> bool:
    return not name.startswith((*_LAYOUTS, *_ARCHIVES, _REGISTRY)) and not _is_path(name)


def _is_path(name: str) -> bool:
    return name.startswith(("/", "./", "../")) or bool(_ARCHIVE_NAME.search(name))
