"""The frontend's ports: its request, its bridge to the engine, and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.location import Location
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.dockerfile.options import FrontendOptions, Pairs
    from lamina.llb.op import Definition


class DockerfileText(NamedTuple):
    """A Dockerfile, and the `.dockerignore` that applies to it (None if there is none).

    `origin` is the definition whose result it was read from, if there is one.
    """

    filename: str
    data: bytes
    ignore: bytes | None = None
    origin: Definition | None = None


class ResolvedImage(NamedTuple):
    """A resolved image name. `config` is the image configuration's JSON. `reference` is the name
    after source policies, None for a layout. Without `digest` it is not an image any more: a
    policy converted it to another source, such as a directory.

    For a layout, `store` is the name in its source op ("": the context's), and `attrs` are its
    attributes.
    """

    digest: Digest | None
    config: bytes
    reference: Reference | None = None
    store: str = ""
    attrs: Pairs = ()


class Warned(NamedTuple):
    """A warning of a check: the check's name (for `# check=skip=`) and description, and the
    problem.

    `url` is a page in the project's documentation.
    """

    rule: str
    description: str
    url: str
    detail: str
    location: Location | None

    @property
    def short(self) -> str:
        """One line."""
        line = f" (line {self.location.start})" if self.location is not None else ""
        return f"{self.rule}: {self.detail}{line}"


class Bridge(Protocol):
    """The interface through which a frontend uses its build. Called from one thread."""

    def read_dockerfile(self) -> DockerfileText: ...

    def resolve_image(self, reference: Reference, platform: Platform, title: str) -> ResolvedImage:
        """`title` is the name of the step. Raises NotFound, Unavailable, Unsupported
        (platform)."""
        ...

    def resolve_layout(self, name: str, location: str, platform: Platform) -> ResolvedImage:
        """The image of an OCI layout given as a named context."""
        ...

    def made_at(self, source: Definition) -> int | None:
        """The creation time of a source's content, in seconds since 1970; None if it is unknown.

        Raises the error of the request.
        """
        ...

    def warn(self, warning: Warned) -> None: ...


class NamedContext(NamedTuple):
    """`kind` is `local`, `docker-image`, `oci-layout` or `definition`.

    `value` is the directory's name in the session, an image reference, a layout
    (`/folder[:tag][@digest]`, or `store@digest` of a session). `ignore` is the `.dockerignore` of a
    local one, None if it has none. A `definition` may come with the image configuration `config`;
    without any it is an empty file system.
    """

    name: str
    kind: str
    value: str
    ignore: bytes | None = None
    definition: Definition | None = None
    config: bytes = b""
    session: str = ""
    shared_key: str = ""


class MainContext(NamedTuple):
    """The build context: the directory that the session `session` ("": the build's own) provides
    as `context`, or a definition. `made_at` is the time of the files, in seconds since 1970, if it
    is known: that of a commit or an archive.
    """

    definition: Definition | None = None
    session: str = ""
    made_at: int | None = None


class FrontendRequest(NamedTuple):
    """A Dockerfile to convert for one platform.

    `platform` is one of `options.platforms`, or that of this machine. With `several`, step names
    have the platform.
    """

    options: FrontendOptions
    platform: Platform
    build_platform: Platform
    named_contexts: tuple[NamedContext, ...] = ()
    context: MainContext = MainContext()
    several: bool = False


class FrontendResult(NamedTuple):
    """`definition` is None for an empty file system.

    `config` is the image configuration without `rootfs`: the exporter knows the layers.
    `base_config` is that of the image which the target builds on, b"" for scratch; `epoch` is
    SOURCE_DATE_EPOCH in seconds, if it is set. `scanned` are the other file systems that an SBOM
    covers, by name: stages and the context. `ignore_cache` is whether the target or one of these
    stages is not cached.
    """

    definition: Definition | None
    config: bytes
    platform: Platform
    base_config: bytes = b""
    epoch: int | None = None
    scanned: tuple[tuple[str, Definition | None], ...] = ()
    ignore_cache: bool = False
