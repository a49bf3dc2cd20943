"""The Builder port: the requests of commands to an engine, as values.

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
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from lamina.api.gateway import Result
    from lamina.api.sourcepolicy import Policy
    from lamina.base.events import EventSink
    from lamina.base.platform import Platform
    from lamina.client.scanning import ScannedImage
    from lamina.exporters.file_sink import ByteSink
    from lamina.gateway.client import GatewayClient
    from lamina.imagediff.image import Image
    from lamina.imagediff.reproducibility import Verdict
    from lamina.ops.debugging import EndedCommand, StepDebugger
    from lamina.records.plan import BuildPlan
    from lamina.runtime.contract import Runtime
    from lamina.system.cancel import Cancellation


class NamedContext(NamedTuple):
    """`--build-context name=value`. `kind` is `local`, `oci-layout`, `docker-image`, `url` or
    `target`.

    `value` is an absolute directory, `/directory[:tag][@digest]`, an image reference or a URL. Only
    URLs have a scheme. That of a `target` is the name of another build in `build_all`.
    """

    name: str
    kind: str
    value: str

    @property
    def folder_name(self) -> str:
        """The name of its directory in a session (buildx). It differs from those of the main
        directories."""
        return f"_{self.name}" if self.name in ("context", "dockerfile") else self.name


class ContextSpec(NamedTuple):
    """The files of a build.

    `path` is an absolute directory, or "" for an empty context. The Dockerfile is `dockerfile_data`
    if that is not None (then `dockerfile` is only its name in messages), else the file
    `dockerfile`: an absolute path, or "" for `Dockerfile` in the context.

    An engine can also fetch the context: `url` is a git repository or an HTTP address, and
    `archive` is a stream of a tar archive, possibly compressed, which is read once. Then
    `dockerfile`, unless it is an absolute path, is a name in the context.

    `made_at` is when the files were made, in seconds since 1970, if a repository, a server or an
    archive says so.
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
        """Whether it is not a directory of this machine."""
        return bool(self.url) or self.archive is not None


class SecretSpec(NamedTuple):
    """A secret. Exactly one of `path` (absolute), `env` (a variable's name), `data` is set."""

    id: str
    path: str = ""
    env: str = ""
    data: bytes | None = None


class SshSpec(NamedTuple):
    """An SSH agent. `paths` are sockets or keys; empty: `$SSH_AUTH_SOCK`."""

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
    """A build. Without `outputs` the result is stored in the local image store.

    `tags` are image names as written; each output without a `name` gets them. `attests` are the
    (type, attributes) of attestations: `provenance` or `sbom`, and `mode=max,…`. `allow` are
    entitlements (`security.insecure`, `network.host`, `device[=NAME[,alias=OTHER]]`). `policy` is
    the source policy. `failure_outputs` are written if a step fails; their attribute `path` selects
    files. `debugger` is told of commands that have ended. `ref` is the ID of the build's record,
    32 hexadecimal digits; "" for a new one.
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
    failure_outputs: tuple[OutputSpec, ...] = ()
    debugger: StepDebugger | None = None
    ref: str = ""


class BuildOutcome(NamedTuple):
    """The outcome of a build.

    `image_id` is the digest that `-q` and `--iidfile` write and that `run`, `inspect` and `rmi`
    accept, "" if no output is an image. `metadata` is the content of `--metadata-file`
    (`containerimage.digest`, `image.name`, …).
    """

    image_id: str
    metadata: Mapping[str, Any]


class CallAnswer(NamedTuple):
    """The answer to a subrequest about a Dockerfile.

    `json` is the document, `text` its readable form (None if there is none), `error` the error of
    the conversion (with its excerpt), `status` the exit status for a command.
    """

    json: str
    text: str | None
    status: int = 0
    error: str = ""


class MountSummary(NamedTuple):
    """A cache mount: `size` in bytes on disk, times in seconds since the epoch.

    `came_from` is the cache that it was imported from, "" if it was created here.
    """

    name: str
    size: int
    created: float
    last_used: float
    usage_count: int
    came_from: str


class ImageSummary(NamedTuple):
    """A name in the local image store. `name` is a full reference, "" for an image without one.

    `size` is the sum of its compressed blobs in bytes; `created` is in seconds since the epoch.
    """

    name: str
    digest: str
    size: int
    created: float
    platform: str = ""


class RunRequest(NamedTuple):
    """A container of an image. Empty fields keep the image's configuration.

    `env` are (name, value); `volumes` are (host path, container path, read-only). `entrypoint` None
    keeps the image's, () removes it. `interactive` forwards standard input; `tty` gives the command
    a terminal.
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
    """What to remove. Sizes are in bytes, 0 for no condition.

    `all` includes the snapshots of images in the store (not the images). `keep` bytes of cache are
    always kept; `max_used` may remain afterwards; `min_free` should be free on the disk.
    """

    filter: UsageFilter = UsageFilter()
    all: bool = False
    keep: int = 0
    max_used: int = 0
    min_free: int = 0


class PruneOutcome(NamedTuple):
    """The removed records, and the bytes that were freed."""

    records: tuple[CacheRecord, ...]
    reclaimed: int


class ClientFrontend(Protocol):
    """A frontend that runs in the client.

    `attributes` are those of the Dockerfile frontend for the request, with the names under which
    the session provides the request's files. Returns the result, whose refs are of `gateway`.
    """

    def __call__(self, gateway: GatewayClient, attributes: Mapping[str, str], /) -> Result: ...


class BuildRunner(Protocol):
    """Builds single requests, in whatever process. Thread-safe.

    All methods raise errors of `lamina.base.errors`.
    """

    def hurry(self) -> None:
        """Kill cancelled steps that still run, if the builder can."""
        ...

    def build(self, request: BuildRequest, events: EventSink, cancel: Cancellation) -> BuildOutcome:
        """Build and export. Raises the error that stopped the build, located in the Dockerfile if
        possible.

        All events have been delivered when this returns or raises.
        """
        ...

    def build_in_client(
        self,
        request: BuildRequest,
        frontend: ClientFrontend,
        events: EventSink,
        cancel: Cancellation,
    ) -> BuildOutcome:
        """Build the result of a frontend that runs in this thread. Raises what it raises too."""
        ...

    def call(
        self, name: str, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> CallAnswer:
        """Send a subrequest about the Dockerfile: `frontend.lint`, `….outline`, `….targets`.

        The request's outputs are ignored. Raises Unsupported for other names.
        """
        ...

    def plan(self, request: BuildRequest, cancel: Cancellation) -> BuildPlan:
        """Plan a build. Runs no step and leaves no record.

        Raises the errors that would stop a build before its first step, and Unsupported in a
        buildkitd.
        """
        ...

    def disk_usage(self, filters: UsageFilter) -> Sequence[CacheRecord]:
        """The matching records."""
        ...

    def prune(self, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
        """Remove matching records that are not in use."""
        ...


class Builder(BuildRunner, Protocol):
    """A builder in this process or in a daemon."""

    def build_all(
        self,
        requests: Mapping[str, BuildRequest],
        events: Callable[[str], EventSink],
        cancel: Cancellation,
    ) -> Mapping[str, BuildOutcome]:
        """Build several requests at the same time, by name. Results can be contexts of others.

        `events` returns the sink of a build, by its name. The first build that fails stops the
        others. Raises its error, and Unsupported for contexts that the builder cannot provide.
        """
        ...


class LocalStore(Builder, Protocol):
    """A builder in this process. It also manages the images and cache mounts of the local store,
    and runs containers on the process's standard streams."""

    def push(
        self, name: str, *, insecure: bool, events: EventSink, cancel: Cancellation
    ) -> Mapping[str, Any]:
        """Push an image of the local store to the registry in its name.

        Returns its metadata for `--metadata-file`. Raises NotFound, PermissionDenied, Unavailable.
        """
        ...

    def pull(
        self, name: str, *, platform: str, events: EventSink, cancel: Cancellation
    ) -> ImageSummary:
        """Pull an image with all layers into the local store.

        `platform` "" is that of this machine. Raises NotFound, PermissionDenied, Unavailable,
        Unsupported (no such platform).
        """
        ...

    def images(self) -> Sequence[ImageSummary]:
        """The images of the local store, the newest first."""
        ...

    def remove_image(self, name: str) -> ImageSummary:
        """Remove a name, or an image by its digest or a prefix of it. Returns the removed name.

        Raises NotFound, or InvalidInput if several images match.
        """
        ...

    def tag_image(self, name: str, new: str) -> None:
        """Give an image another name. Raises NotFound, InvalidInput."""
        ...

    def save_images(self, names: Sequence[str], sink: ByteSink, cancel: Cancellation) -> None:
        """Write images to one tar archive, which Docker and OCI tools read.

        Raises NotFound, Unavailable, and the errors of the sink.
        """
        ...

    def load_images(self, path: str, cancel: Cancellation) -> Sequence[str]:
        """Store the images of a tar archive. Returns their names, or digests.

        Raises NotFound, PermissionDenied, Corrupt, Unsupported.
        """
        ...

    def inspect(self, name: str) -> Mapping[str, Any]:
        """An image as a JSON document: name, digests, manifest, config. Raises NotFound."""
        ...

    def open_image(
        self, name: str, platform: Platform | None, cancel: Cancellation
    ) -> AbstractContextManager[Image]:
        """Open an image for a comparison. Its content is readable for the block.

        `platform` chooses an image of an index; None is that of this machine. Raises NotFound.
        """
        ...

    def scan(self, name: str, platform: Platform, cancel: Cancellation) -> ScannedImage:
        """Find the packages of an image in the local store. Raises NotFound."""
        ...

    def scan_base(
        self, request: BuildRequest, name: str, events: EventSink, cancel: Cancellation
    ) -> ScannedImage:
        """Find the packages of the image that a Dockerfile names, which is called `name`.

        Nothing is recorded. Raises the errors of resolving and pulling.
        """
        ...

    def verify(
        self, request: BuildRequest, events: EventSink, cancel: Cancellation
    ) -> Sequence[Verdict]:
        """Repeat a build in an empty store, and compare the images.

        Returns one verdict per platform. `events` are those of the second build. Raises as `build`.
        """
        ...

    def in_failed_step(
        self,
        ref: str,
        providers: SessionProviders,
        inside: Callable[[EndedCommand, Runtime], int],
        cancel: Cancellation,
    ) -> int:
        """Call `inside` with the failed command of a recorded build, and return its result.

        The command's mounts exist meanwhile, with the files that it had left. Raises NotFound (no
        step failed, or its files were pruned), InvalidInput (the step was no command).
        """
        ...

    def run(self, request: RunRequest, cancel: Cancellation) -> int:
        """Run a container on this process's standard streams. Returns its exit status.

        Raises NotFound (no such image, command or runtime).
        """
        ...

    def cache_mounts(self) -> Sequence[MountSummary]:
        """The cache mounts of the store, the most recently used first."""
        ...

    def export_cache_mounts(
        self, names: Sequence[str], cache: CacheSpec, events: EventSink, cancel: Cancellation
    ) -> Mapping[str, int]:
        """Export mounts to a cache, all of them if `names` is empty. Returns the new bytes by name.

        Raises NotFound, PermissionDenied, Unavailable.
        """
        ...

    def import_cache_mounts(
        self, names: Sequence[str], cache: CacheSpec, events: EventSink, cancel: Cancellation
    ) -> None:
        """Replace local mounts by a cache's copies. Raises as the export does."""
        ...

    def remove_cache_mounts(self, names: Sequence[str], cancel: Cancellation) -> Sequence[str]:
        """Remove mounts, all of them if `names` is empty. Returns their names. Raises NotFound."""
        ...
