"""Where the UI gets its data from: a local store, or a daemon."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

from lamina.client.embedded import EmbeddedBuilder
from lamina.client.local_history import LocalHistory
from lamina.client.remote import RemoteBuilder, open_channel
from lamina.client.remote_history import RemoteHistory
from lamina.stores.store import open_store

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from lamina.base.platform import Platform
    from lamina.client.build_history import BuildHistory
    from lamina.client.contract import BuildRunner, ImageSummary
    from lamina.imagediff.image import Image
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel


class ImageSource(Protocol):
    """The images of a store. Methods as those of `lamina.client.contract.LocalStore`."""

    def images(self) -> Sequence[ImageSummary]: ...

    def open_image(
        self, name: str, platform: Platform | None, cancel: Cancellation
    ) -> AbstractContextManager[Image]: ...


class UiSource(Protocol):
    """The data of the UI. Methods raise errors of `lamina.base.errors`."""

    @property
    def name(self) -> str:
        """The directory of the store, or the address of the daemon."""
        ...

    @property
    def scratch(self) -> str:
        """A directory for temporary files."""
        ...

    @property
    def builder(self) -> BuildRunner:
        """Reports and prunes the cache."""
        ...

    @property
    def images(self) -> ImageSource | None:
        """The images; None: they are in a daemon, whose API does not show them."""
        ...

    def history(self) -> BuildHistory:
        """The records as they are now."""
        ...


class LocalSource:
    """Implements `UiSource` for an open store. Runs no build."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.name = store.root
        self.scratch = store.scratch
        self.builder = EmbeddedBuilder(store)
        self.images = self.builder

    def history(self) -> BuildHistory:
        history = LocalHistory(self._store)
        history.recover()
        return history


class RemoteSource:
    """Implements `UiSource` for a daemon."""

    images = None

    def __init__(self, channel: Channel, address: str, scratch: str) -> None:
        self._channel = channel
        self.name = address
        self.scratch = scratch
        self.builder = RemoteBuilder(channel, address)

    def history(self) -> BuildHistory:
        return RemoteHistory(self._channel)


@contextmanager
def open_local_source(root: str) -> Iterator[LocalSource]:
    """Open the store at `root`. Raises as `open_store`."""
    with open_store(root) as store:
        yield LocalSource(store)


@contextmanager
def open_remote_source(
    address: str, tls: ssl.SSLContext | None, *, server_name: str = ""
) -> Iterator[RemoteSource]:
    """Connect to a daemon. Raises InvalidInput, NotFound, PermissionDenied, Unavailable."""
    with ExitStack() as stack:
        channel = stack.enter_context(open_channel(address, tls, server_name=server_name))
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="lamina-ui-"))
        yield RemoteSource(channel, address, scratch)
