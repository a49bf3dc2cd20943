"""`dockerfile.v0`: the Dockerfile frontend for clients that lend their files.

Unlike a build in this process, nothing lies where it can simply be opened: the Dockerfile, the
ignore files and the contexts are sources of the build's own graph, and what is read of them is
read from their results.
"""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.events import WarningEvent
from lamina.base.git_url import is_git_url, parse_git_url
from lamina.base.reference import parse_reference
from lamina.dockerfile.attributes import read_attributes
from lamina.dockerfile.contract import (
    DockerfileText,
    MainContext,
    NamedContext,
    ResolvedImage,
)
from lamina.dockerfile.sources import git_source, http_source, local_source
from lamina.engine.graph import internal_digest
from lamina.engine.reading import read_file
from lamina.engine.result import BuildResult
from lamina.engine.steps import step
from lamina.llb.op import (
    DESCRIPTION_NAME,
    NO_INPUT,
    CopyAction,
    FileAction,
    FileOp,
    Op,
    OpMetadata,
)
from lamina.llb.state import Vertex, marshal
from lamina.sources.image import ResolveMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.digest import Digest
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.dockerfile.attributes import DockerfileOptions
    from lamina.dockerfile.contract import Warned
    from lamina.engine.build import Build
    from lamina.llb.op import Definition
    from lamina.refs.tree import Tree

_ARCHIVES = (b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
_HEAD = 1024
_CONFIG = "containerimage.config"


def run_dockerfile(
    build: Build, attrs: Mapping[str, str], inputs: Mapping[str, Definition]
) -> BuildResult:
    """Convert what the attributes describe, or answer the question that they ask.

    Raises InvalidInput and NotFound, located in the Dockerfile.
    """
    options = read_attributes(attrs)
    frontend = _Frontend(build, options, inputs)
    text = frontend.read_dockerfile()
    named = frontend.named_contexts()
    context = MainContext(frontend.context, frontend.session_of("context"))
    requests = [
        request._replace(named_contexts=named, context=context) for request in options.requests()
    ]
    if options.subrequest:
        from lamina.dockerfile.calls import answer

        answered = answer(options.subrequest, requests[0], frontend)
        return BuildResult((), metadata=answered.metadata())
    del text
    return build.dockerfile(requests, frontend)._replace(several=options.several)


class _Frontend:
    """Implements `lamina.dockerfile.contract.Bridge`, and finds the contexts."""

    def __init__(
        self, build: Build, options: DockerfileOptions, inputs: Mapping[str, Definition]
    ) -> None:
        self._build = build
        self._options = options
        self._inputs = inputs
        self._images = build.engine.resolver(ResolveMode(options.resolve_mode))
        self._sessions = dict(options.folder_sessions)
        self._filename = options.filename
        self._text: DockerfileText | None = None
        self._shown: Digest = internal_digest("load build definition")
        self.context, self._dockerfile = self._contexts()

    def session_of(self, folder: str) -> str:
        """Which session lends a folder."""
        return self._sessions.get(folder, self._build.session.id)

    def read_dockerfile(self) -> DockerfileText:
        if self._text is None:
            self._text = self._read()
        return self._text

    def resolve_image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        with step(f"[internal] load metadata for {reference}", self._build.events):
            found = self._images.resolve(reference, platform, self._build.cancel)
        return ResolvedImage(found.digest, found.config)

    def resolve_layout(self, name: str, location: str, platform: Platform) -> ResolvedImage:
        store, _, digest = location.partition("@")
        session = self._build.session.id
        attrs = (("oci.session", session), ("oci.store", store))
        shown = parse_reference(name)._replace(tag="")
        source = self._build.engine.sources.layout(
            f"{shown}@{digest}", dict(attrs), platform, self._build.session
        )
        with step(f"[context {name}] load metadata for {shown}@{digest}", self._build.events):
            found = source.resolve(self._build.cancel)
        return ResolvedImage(found.digest, found.config, str(shown), attrs)

    def warn(self, warning: Warned) -> None:
        self._build.events(
            WarningEvent(
                self._shown,
                warning.short,
                (warning.description,),
                warning.url,
                warning.location,
            )
        )

    def named_contexts(self) -> tuple[NamedContext, ...]:
        """Those of the attributes. Raises InvalidInput."""
        return tuple(self._named(name, text) for name, text in self._options.contexts)

    def _contexts(self) -> tuple[Definition | None, Definition | None]:
        """The build context, unless the client lends it, and what holds the Dockerfile then."""
        options = self._options
        context = dockerfile = None
        if options.context and is_git_url(options.context):
            keep = options.keep_git_dir or None
            op = git_source(parse_git_url(options.context), keep_git_dir=keep)
            context = _define(op, f"[internal] load git source {options.context}")
        elif options.context.startswith(("http://", "https://")):
            context = self._download(options.context)
        else:
            dockerfile = self._inputs.get("dockerfile")
            context = self._inputs.get("context")
        if dockerfile is None and options.context:
            dockerfile = context
        if context is not None and options.context_subdir:
            context = _copied(context, options.context_subdir, contents=True)
        return context, None if options.dockerfile_key else dockerfile

    def _download(self, url: str) -> Definition:
        """A URL as a context: an archive's files, or a Dockerfile alone."""
        fetched = _define(http_source(url, "context"), "[internal] load remote build context")
        head = read_file(self._tree(fetched), "context", 0, _HEAD)
        if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
            return _copied(fetched, "/context", unpack=True)
        self._filename = "context"
        return fetched

    def _read(self) -> DockerfileText:
        name = self._filename
        folder = posixpath.dirname(name)
        lower = posixpath.join(folder, "dockerfile")
        source = self._dockerfile
        if source is None:
            local = self._options.dockerfile_key or "dockerfile"
            wanted = [name, f"{name}.dockerignore"]
            if posixpath.basename(name) == "Dockerfile":
                wanted.append(lower)
            session = self.session_of(local)
            op = local_source(local, local, session=session, followed=wanted, differ="none")
            source = _define(op, f"[internal] load build definition from {name}")
            self._shown = Vertex(op).digest
        tree = self._tree(source)
        data = _read_if_there(tree, name)
        if data is None and posixpath.basename(name) == "Dockerfile":
            data = _read_if_there(tree, lower)
        if data is None:
            raise NotFound(
                f"failed to read dockerfile: open {name}: no such file or directory",
                hint="name it with -f, or build where it lies",
            )
        ignore = _read_if_there(tree, f"{name}.dockerignore")
        if ignore is None and self.context is None:
            ignore = self._ignore()
        return DockerfileText(name, data, ignore)

    def _ignore(self) -> bytes | None:
        op = local_source(
            "context",
            "context-.dockerignore",
            session=self.session_of("context"),
            followed=[".dockerignore"],
            differ="none",
        )
        name = "[internal] load .dockerignore"
        return _read_if_there(self._tree(_define(op, name)), ".dockerignore")

    def _named(self, name: str, text: str) -> NamedContext:
        kind, colon, rest = text.partition(":")
        if not colon:
            raise InvalidInput(f"invalid context specifier {text} for {name}")
        value = rest.removeprefix("//")
        if kind in ("docker-image", "oci-layout"):
            return NamedContext(name, kind, value)
        if kind == "local":
            session = self.session_of(value)
            op = local_source(
                value,
                f"context:{name}-.dockerignore",
                session=session,
                followed=[".dockerignore"],
                differ="none",
            )
            source = _define(op, f"[context {name}] load .dockerignore")
            shared = dict(self._options.shared_keys).get(name, "")
            return NamedContext(
                name,
                kind,
                value,
                _read_if_there(self._tree(source), ".dockerignore"),
                session=session,
                shared_key=shared,
            )
        if kind == "input":
            if value not in self._inputs:
                raise InvalidInput(f"invalid input {value} for {name}")
            config = self._input_config(value)
            return NamedContext(name, "definition", value, None, self._inputs[value], config)
        if is_git_url(text):
            op = git_source(parse_git_url(text))
            return NamedContext(name, "definition", text, None, _define(op, text))
        if kind in ("http", "https"):
            source = _define(http_source(text, "context"), f"[context {name}] {text}")
            return NamedContext(name, "definition", text, None, source)
        raise InvalidInput(f"unsupported context source {kind} for {name}")

    def _input_config(self, name: str) -> bytes:
        """The image configuration that came with an input."""
        text = dict(self._options.input_metadata).get(name, "")
        if not text:
            return b""
        from base64 import b64decode

        try:
            # Go writes bytes in JSON as base64.
            return b64decode(json.loads(text).get(_CONFIG) or "")
        except (ValueError, AttributeError) as error:
            raise InvalidInput(f"failed to parse input metadata {text}: {error}") from error

    def _tree(self, definition: Definition) -> Tree:
        ref = self._build.solvable(definition).ref()
        return self._build.engine.pool.tree(ref, self._build.cancel)


def _define(op: Op, name: str) -> Definition:
    metadata = OpMetadata(description=((DESCRIPTION_NAME, name),))
    return marshal(Vertex(op, metadata=metadata).output())


def _copied(
    definition: Definition, path: str, *, contents: bool = False, unpack: bool = False
) -> Definition:
    """A part of another definition's result: a folder's contents, or an archive's."""
    from lamina.llb.state import unmarshal

    edge = unmarshal(definition)
    if edge is None:
        return definition
    copy = CopyAction(
        src=posixpath.join("/", path),
        dest="/",
        mode=-1,
        timestamp=-1,
        dir_copy_contents=contents,
        attempt_unpack=unpack,
    )
    op = Op(file=FileOp((FileAction(NO_INPUT, 0, 0, copy=copy),)))
    return marshal(Vertex(op, (edge,)).output())


def _read_if_there(tree: Tree, path: str) -> bytes | None:
    try:
        return read_file(tree, path)
    except NotFound:
        return None
