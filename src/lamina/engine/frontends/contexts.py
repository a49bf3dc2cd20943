"""Build contexts of remote clients, as sources in the build's graph."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.base.git_url import is_git_context, is_git_url, parse_git_url
from lamina.base.redact import redacted
from lamina.base.reference import parse_reference
from lamina.dockerfile.args import SOURCE_DATE_EPOCH
from lamina.dockerfile.contract import NamedContext
from lamina.dockerfile.source_ops import git_source, http_source, local_source
from lamina.engine.frontends.result_files import read_file
from lamina.llb.op import (
    DESCRIPTION_NAME,
    NO_INPUT,
    CopyAction,
    FileAction,
    FileOp,
    Op,
    OpMetadata,
)
from lamina.llb.state import Vertex, marshal, unmarshal
from lamina.session.contract import FolderRequest
from lamina.system.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.dockerfile.attributes import DockerfileAttributes
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.llb.op import Definition
    from lamina.refs.tree import Tree

_ARCHIVES = (b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
_HEAD = 1024
_LIMIT = 16 << 20


class Contexts:
    """The contexts of a build.

    `main` is the build context, None if the client provides it. `dockerfile` is the source of the
    Dockerfile `filename`, None if the client provides it in a separate directory.
    """

    def __init__(
        self, build: FrontendBuild, options: DockerfileAttributes, inputs: Mapping[str, Definition]
    ) -> None:
        self._build = build
        self._options = options
        self._inputs = inputs
        self._sessions = dict(options.folder_sessions)
        self.filename = options.filename
        self.main, self.dockerfile = self._find()

    def session_of(self, folder: str) -> str:
        """The ID of the session that provides a directory."""
        return self._sessions.get(folder, self._build.session.id)

    def tree(self, definition: Definition) -> Tree:
        """The files of a definition's result. Raises the error that stopped the build."""
        return self._build.tree(self._build.solvable(definition))

    def named(self) -> tuple[NamedContext, ...]:
        """All named contexts. Raises InvalidInput."""
        return tuple(self._named(name, text) for name, text in self._options.contexts)

    def of_image(self, name: str) -> NamedContext | None:
        """The named context that replaces an image, if there is one. Raises InvalidInput."""
        wanted = parse_reference(name).familiar.removesuffix(":latest")
        for known, text in self._options.contexts:
            if known == wanted:
                return self._named(known, text)
        return None

    def _find(self) -> tuple[Definition | None, Definition | None]:
        """The build context, unless the client provides it, and the source of the Dockerfile."""
        options = self._options
        context = dockerfile = None
        if is_git_context(options.context):
            keep = options.keep_git_dir or None
            url = parse_git_url(options.context)
            if dict(options.request.options.build_args).get(SOURCE_DATE_EPOCH):
                url = url._replace(mtime="commit")
            op = git_source(url, keep_git_dir=keep)
            context = define(op, f"[internal] load git source {redacted(options.context)}")
        elif options.context.startswith(("http://", "https://")):
            context = self._download(options.context)
        else:
            dockerfile = self._inputs.get("dockerfile")
            context = self._inputs.get("context")
        for name in ("dockerfile", "context"):
            if name in self._inputs and not self._inputs[name].ops:
                raise InvalidInput("invalid nil input definition to definition op")
        if dockerfile is None and options.context:
            dockerfile = context
        if context is not None and options.context_subdir:
            context = copied(context, options.context_subdir, contents=True)
        return context, None if options.dockerfile_key else dockerfile

    def _download(self, url: str) -> Definition:
        """A URL as a context: the files of an archive, or a Dockerfile."""
        fetched = define(http_source(url, "context"), "[internal] load remote build context")
        head = read_file(self.tree(fetched), "context", 0, _HEAD)
        if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":
            return copied(fetched, "/context", unpack=True)
        self.filename = "context"
        return fetched

    def _named(self, name: str, text: str) -> NamedContext:
        kind, colon, rest = text.partition(":")
        if not colon:
            raise InvalidInput(f"invalid context specifier {text} for {name}")
        value = rest.removeprefix("//")
        if kind in ("docker-image", "oci-layout"):
            return NamedContext(name, kind, value)
        if kind == "local":
            shared = dict(self._options.shared_keys).get(name, "")
            session = self.session_of(value)
            own = self._build.session
            if own.in_process:
                folder = own.folder(value, FolderRequest(), self._build.cancel)
                path = posixpath.join(folder.path, ".dockerignore")
                ignore = read_in_place(path, f".dockerignore of {name}")
                return NamedContext(name, kind, value, ignore, session=session, shared_key=shared)
            op = local_source(
                value,
                f"context:{name}-.dockerignore",
                session=session,
                followed=[".dockerignore"],
                differ="none",
            )
            source = define(op, f"[context {name}] load .dockerignore")
            return NamedContext(
                name,
                kind,
                value,
                read_if_there(self.tree(source), ".dockerignore"),
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
            source = define(op, f"[internal] load git source {redacted(text)}")
            return NamedContext(name, "definition", text, None, source)
        if kind in ("http", "https"):
            source = define(http_source(text, "context"), f"[context {name}] {redacted(text)}")
            return NamedContext(name, "definition", text, None, source)
        raise InvalidInput(f"unsupported context source {kind} for {name}")

    def _input_config(self, name: str) -> bytes:
        """The image configuration that belongs to an input."""
        text = dict(self._options.input_metadata).get(name, "")
        if not text:
            return b""
        from lamina.dockerfile.input_metadata import read_input_metadata

        return read_input_metadata(text)


def define(op: Op, name: str) -> Definition:
    metadata = OpMetadata(description=((DESCRIPTION_NAME, name),))
    return marshal(Vertex(op, metadata=metadata).output())


def copied(
    definition: Definition, path: str, *, contents: bool = False, unpack: bool = False
) -> Definition:
    """Copy a part of another definition's result: the contents of a directory, or of an archive."""
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


def read_if_there(tree: Tree, path: str) -> bytes | None:
    try:
        return read_file(tree, path)
    except NotFound:
        return None


def read_in_place(path: str, what: str) -> bytes | None:
    """Read a file of a directory of this process. None if it does not exist."""
    try:
        return read_regular(path, _LIMIT, follow=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, f"read the {what}") from error
