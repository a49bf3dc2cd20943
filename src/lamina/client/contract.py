"""The Builder port: everything a command asks of an engine, as values.

The parts of a request are `ContextSpec` (where the files are), `FrontendOptions` of
`lamina.dockerfile.options`, `SessionProviders` (secrets, agents) and `OutputSpec` (where the result
goes). Paths in a request are absolute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple
from lamina.base.usage import CacheRecord, UsageFilter
from lamina.dockerfile.options import FrontendOptions, Pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from lamina.api.sourcepolicy import Policy
    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.imagediff.image import Image
    from lamina.imagediff.reproducibility import Verdict
    from lamina.system.cancel import Cancellation


class NamedContext(NamedTuple):
    """`--build-context name=value`. `kind` is `local`, `oci-layout`, `docker-image` or `url`.

    `value` is an absolute folder, `/folder[:tag][@digest]`, an image reference or a URL. Only URLs
    have a scheme.
    """

    name: str
    kind: str
    value: str

    @property
    def folder_name(self) -> str:
        """What a session calls its folder, as buildx does: never as it calls the main ones."""
        return f"_{self.name}" if self.name in ("context", "dockerfile") else self.name


class ContextSpec(NamedTuple):
    """Where a build's files are.

    `path` is an absolute folder, or "" for an empty context. The Dockerfile is
    `dockerfile_data` if that is not None (then `dockerfile` is only its name in messages), else
    the file `dockerfile`: an absolute path, or "" for the context's own `Dockerfile`.

    A remote engine also takes what it fetches itself: `url` is a git repository or what HTTP
    serves, `archive` are the bytes of a tar archive or a compressed one, to be read once. Then
    `dockerfile`, unless it is an absolute path, is a name in the context.

    `made_at` is when the files were made, in seconds since 1970, if a repository, a server or
    an archive says it.
    """

    path: str
    dockerfile: str = ""
    dockerfile_data: bytes | None = None
    named: tuple[NamedContext, ...] = ()
    url: str = ""
    archive: Iterable[bytes] | None = None
    made_at: int | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether it is no folder of this machine's."""
        return bool(self.url) or self.archive is not None


class SecretSpec(NamedTuple):
    """Exactly one of `path` (absolute) and `env` (a variable's name) is set."""

    id: str
    path: str = ""
    env: str = ""


class SshSpec(NamedTuple):
    """An agent to provide. `paths` are sockets or keys; none means `$SSH_AUTH_SOCK`."""

    id: str
    paths: tuple[str, ...] = ()


class SessionProviders(NamedTuple):
    """The secrets and SSH agents that the client provides to steps."""

    secrets: tuple[SecretSpec, ...] = ()
    ssh: tuple[SshSpec, ...] = ()


class OutputSpec(NamedTuple):
    """One `-o`: `type` is `image`, `registry`, `oci`, `docker`, `tar` or `local`.

    `attributes` are as written (`dest`, `name`, `compression`, …), in order; `dest` of `-` is
    standard output.
    """

    type: str
    attributes: Pairs = ()


class CacheSpec(NamedTuple):
    """One `--cache-from` or `--cache-to`: `type` is `registry`, `local` or `inline`.

    `attributes` are as written (`ref`, `dest`, `mode`, …); paths are absolute.
    """

    type: str
    attributes: Pairs = ()


class BuildRequest(NamedTuple):
    """One build. Without `outputs` the result goes into the local image store.

    `tags` are image names as written; each output that has no `name` of its own gets them.
    `attests` are (type, attributes) of what is to be attested: `provenance` or `sbom`, and
    `mode=max,…`. `allow` are entitlements (`security.insecure`, `network.host`,
    `device[=NAME[,alias=OTHER]]`). `policy` is the source policy.
    """

    context: ContextSpec
    frontend: FrontendOptions = FrontendOptions()
    tags: tuple[str, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    providers: SessionProviders = SessionProviders()
    cache_from: tuple[CacheSpec, ...] = ()
    cache_to: tuple[CacheSpec, ...] = ()
    attests: Pairs = ()
    allow: tuple[str, ...] = ()
    policy: Policy | None = None


class BuildOutcome(NamedTuple):
    """What a finished build made.

    `image_id` is the digest that `-q` and `--iidfile` give and that `run`, `inspect` and `rmi`
    take, "" when no output is an image. `metadata` is what `--metadata-file` gets
    (`containerimage.digest`, `image.name`, …).
    """

    image_id: str
    metadata: Mapping[str, Any]


class CallAnswer(NamedTuple):
    """The answer to a question about a Dockerfile.

    `json` is the document, `text` the same for people (None if there is nothing but the document),
    `error` what stopped the conversion (with its excerpt), `status` the exit status that a command
    should end with.
    """

    json: str
    text: str | None
    status: int = 0
    error: str = ""


class MountSummary(NamedTuple):
    """A cache mount: `size` in bytes on disk, times in seconds since the epoch.

    `came_from` is the cache that it was imported from, "" if it was made here.
    """

    name: str
    size: int
    created: float
    last_used: float
    usage_count: int
    came_from: str


class ImageSummary(NamedTuple):
    """One name of the local store. `name` is a full reference, "" for an image without one.

    `size` is the sum of its compressed blobs in bytes; `created` seconds since the epoch.
    """

    name: str
    digest: str
    size: int
    created: float
    platform: str = ""


class RunRequest(NamedTuple):
    """A container of an image. Empty fields leave the image's own configuration as it is.

    `env` are (name, value); `volumes` are (host path, container path, read-only);
    `entrypoint` of None keeps the image's, of () drops it. `interactive` passes standard input
    on; `tty` gives the command a terminal.
    """

    image: str
    args: tuple[str, ...] = ()
    env: Pairs = ()
    cwd: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    network: str = "default"
    hostname: str = ""
    volumes: tuple[tuple[str, str, bool], ...] = ()
    readonly: bool = False
    interactive: bool = False
    tty: bool = False


class PruneRequest(NamedTuple):
    """What to remove. `all` includes what images in the store are made of as cache (not the
    images); sizes are bytes, 0 for no condition.

    `keep` bytes of cache are always kept; `max_used` is what may remain afterwards; `min_free`
    is how much of the disk should be free.
    """

    filter: UsageFilter = UsageFilter()
    all: bool = False
    keep: int = 0
    max_used: int = 0
    min_free: int = 0


class PruneOutcome(NamedTuple):
    """What was removed, and how many bytes that gave back."""

    records: tuple[CacheRecord, ...]
    reclaimed: int


class Builder(Protocol):
    """What every builder does, in this process or in a daemon. Threads share it.

    All methods raise members of `lamina.base.errors`.
    """

    def hurry(self) -> None:
        """Kill steps that were cancelled and still go on, where that is in our power."""
        ...

    def build(self, request: BuildRequest, events: EventSink, cancel: Cancellation) -> BuildOutcome:
        """Build and export. Raises whatever stopped it, located in the Dockerfile if it can be.

        Every event has been delivered by the time this returns or raises.
        """
        ...

    def call(
        self, name: str, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> CallAnswer:
        """Ask about the Dockerfile instead of building: `frontend.lint`, `….outline`, `….targets`.

        The request's outputs do not matter. Raises Unsupported for other names.
        """
        ...

    def disk_usage(self, filters: UsageFilter) -> Sequence[CacheRecord]:
        """The records that match."""
        ...

    def prune(self, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
        """Remove what matches and nothing uses."""
        ...


class LocalStore(Builder, Protocol):
    """A builder in this process: it also has the images and cache mounts of a store on this
    machine, and runs containers on the process's own streams.
    """

    def push(
        self, name: str, *, insecure: bool, events: EventSink, cancel: Cancellation
    ) -> Mapping[str, Any]:
        """Push an image of the local store to the registry that its name says.

        Returns what `--metadata-file` gets of it. Raises NotFound, PermissionDenied, Unavailable.
        """
        ...

    def pull(
        self, name: str, *, platform: str, events: EventSink, cancel: Cancellation
    ) -> ImageSummary:
        """Bring an image from its registry into the local store, layers and all.

        `platform` is "" for this machine's. Raises NotFound, PermissionDenied, Unavailable,
        Unsupported (no such platform).
        """
        ...

    def images(self) -> Sequence[ImageSummary]:
        """What is in the local store, newest first."""
        ...

    def remove_image(self, name: str) -> ImageSummary:
        """Remove a name, or an image by (the start of) its digest. Returns which.

        Raises NotFound, or InvalidInput if several images match.
        """
        ...

    def inspect(self, name: str) -> Mapping[str, Any]:
        """An image as a JSON document: name, digests, manifest, config. Raises NotFound."""
        ...

    def open_image(
        self, name: str, platform: Platform | None, cancel: Cancellation
    ) -> AbstractContextManager[Image]:
        """An image to be compared. Its content can be read until the block ends.

        `platform` chooses an image of an index; None is this machine's. Raises NotFound.
        """
        ...

    def verify(
        self, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> Sequence[Verdict]:
        """Build again, in an empty store, what has just been built, and compare the images.

        One verdict for each platform. `events` are those of the second build. Raises as `build`.
        """
        ...

    def run(self, request: RunRequest, cancel: Cancellation) -> int:
        """Run a container on this process's own streams. Returns its exit status.

        Raises NotFound (no such image, command or runtime).
        """
        ...

    def cache_mounts(self) -> Sequence[MountSummary]:
        """The cache mounts of the store, the latest used first."""
        ...

    def export_cache_mounts(
        self, names: Sequence[str], cache: CacheSpec, events: EventSink, cancel: Cancellation
    ) -> Mapping[str, int]:
        """Send mounts to a cache, all of them without `names`; the bytes that were new, by name.

        Raises NotFound, PermissionDenied, Unavailable.
        """
        ...

    def import_cache_mounts(
        self, names: Sequence[str], cache: CacheSpec, events: EventSink, cancel: Cancellation
    ) -> None:
        """Put a cache's copies of mounts in the place of those here. Raises as the export does."""
        ...

    def remove_cache_mounts(self, names: Sequence[str], cancel: Cancellation) -> Sequence[str]:
        """Remove mounts, all of them without `names`; which ones. Raises NotFound."""
        ...
