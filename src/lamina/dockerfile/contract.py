"""The frontend's ports: what it is asked for, what it may ask of the engine, what it returns."""

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

    `origin` is the definition whose result it was read from, if it was.
    """

    filename: str
    data: bytes
    ignore: bytes | None = None
    origin: Definition | None = None


class ResolvedImage(NamedTuple):
    """What an image name stands for. `config` is the image configuration's JSON. `reference` is
    what the name has become by policies, None if it is a layout's. Without `digest` it is no
    image any more, but a folder, say.

    Of a layout, `store` is the name that its source op goes by ("": the context's), with `attrs`.
    """

    digest: Digest | None
    config: bytes
    reference: Reference | None = None
    store: str = ""
    attrs: Pairs = ()


class Warned(NamedTuple):
    """What a check found: which (for `# check=skip=`), what it is about, and what is wrong here.

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
    """What a frontend may ask of the build it is part of. Called from one thread."""

    def read_dockerfile(self) -> DockerfileText: ...

    def resolve_image(self, reference: Reference, platform: Platform, title: str) -> ResolvedImage:
        """`title` is what the step is called. Raises NotFound, Unavailable, Unsupported
        (platform)."""
        ...

    def resolve_layout(self, name: str, location: str, platform: Platform) -> ResolvedImage:
        """The image of an OCI layout given as a named context."""
        ...

    def made_at(self, source: Definition) -> int | None:
        """When what a source holds was made, in seconds since 1970; None if nothing says it.

        Raises what stopped the asking.
        """
        ...

    def warn(self, warning: Warned) -> None: ...


class NamedContext(NamedTuple):
    """`kind` is `local`, `docker-image`, `oci-layout` or `definition`.

    `value` is the folder's name in the session, an image reference, a layout
    (`/folder[:tag][@digest]`, or `store@digest` of a session). `ignore` is the `.dockerignore` of
    a local one, None if it has none. A `definition` may come with the image configuration
    `config`; without any it is an empty file system.
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
    """The build context: the folder that the session `session` ("": the build's own) provides as
    `context`, or in its place a definition. `made_at` is when a folder's files were made, in
    seconds since 1970, if that is known: those of a repository, or of an archive.
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
    SOURCE_DATE_EPOCH in seconds, if it is set.
    """

    definition: Definition | None
    config: bytes
    platform: Platform
    base_config: bytes = b""
    epoch: int | None = None
