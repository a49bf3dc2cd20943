"""COPY and ADD to file ops."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, Unsupported
from lamina.dockerfile.instruction import Copy, parse_copy
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    ChownOpt,
    CopyAction,
    FileAction,
    FileOp,
    MergeInput,
    MergeOp,
    MkFileAction,
    NamedUser,
    Op,
    SourceOp,
    UserOpt,
)
from lamina.llb.state import Edge, Vertex

if TYPE_CHECKING:
    from lamina.dockerfile.convert import StageConversion
    from lamina.dockerfile.lexer import Node

_URLS = ("http://", "https://")
_GIT = ("git://", "git@", "ssh://")


def convert_copy(stage: StageConversion, node: Node) -> None:
    copy = parse_copy(node, stage.build.document.escape)
    expander = stage.expander()
    sources = tuple(expander.word(source) for source in copy.sources)
    destination = _destination(stage, expander.word(copy.destination))
    if len(sources) + len(copy.heredocs) > 1 and not destination.endswith("/"):
        raise InvalidInput(
            f"when using {copy.keyword} with more than one source file, the destination must "
            "be a directory and end with a /"
        )
    inputs: list[Edge] = []
    link = copy.flags.enabled("link") or False
    base = NO_INPUT
    if stage.state is not None and not link:
        inputs.append(stage.state)
        base = 0
    actions = _Actions(stage, node, copy, destination, inputs, base, link=link)
    for source in sources:
        actions.add(source)
    for heredoc in copy.heredocs:
        content = heredoc.content
        if heredoc.expand:
            content = expander.keep_quotes(content)
        actions.add_inline(heredoc.name, content)
    words = " ".join((*node.flags, *copy.sources, *(f"<<{h.name}" for h in copy.heredocs)))
    text = f"{copy.keyword} {words} {copy.destination}"
    name = stage.name_step(("LINK " if link else "") + text)
    state = stage.vertex(Op(file=actions.op()), tuple(inputs), name, node).output()
    if link and stage.state is not None:
        merge = MergeOp((MergeInput(0), MergeInput(1)))
        state = stage.vertex(Op(merge=merge), (stage.state, state), name, node).output()
    stage.state = state
    shown = " ".join((*node.flags, *sources))
    stage.config.add_history(
        f"{copy.keyword} {shown} {destination} # buildkit".replace("  ", " "), layer=True
    )


class _Actions:
    """The actions of one op, each on the result of the one before."""

    def __init__(
        self,
        stage: StageConversion,
        node: Node,
        copy: Copy,
        destination: str,
        inputs: list[Edge],
        base: int,
        *,
        link: bool,
    ) -> None:
        self._stage = stage
        self._node = node
        self._copy = copy
        self._destination = destination
        self._inputs = inputs
        self._base = base
        self._link = link
        self._templates: list[tuple[Edge, CopyAction]] = []
        flags = copy.flags
        expander = stage.expander()
        self._owner = _owner(expander.word(flags.text("chown")), base)
        self._mode, self._mode_text = _mode(expander.word(flags.text("chmod")))
        self._excludes = tuple(expander.word(text) for text in flags.all("exclude"))
        self._parents = flags.enabled("parents") or False
        self._origin = expander.word(flags.text("from"))

    def add(self, source: str) -> None:
        if self._copy.keyword == "ADD":
            if source.startswith(_GIT) or (
                source.startswith(_URLS) and source.split("#")[0].endswith(".git")
            ):
                raise Unsupported(
                    f"ADD of a git repository ({source})",
                    hint="clone it beforehand, or in a RUN step",
                )
            if source.startswith(_URLS):
                self._add_url(source)
                return
        edge = self._stage.build.origin(self._stage.stage, self._origin, self._node)
        if edge is None:
            raise InvalidInput(
                "scratch has no files to copy", hint="name a stage or an image in --from"
            )
        unpack = self._copy.flags.enabled("unpack")
        if self._copy.keyword == "ADD":
            unpack = True if unpack is None else unpack
        path = posixpath.normpath("/" + source)
        action = self._template(path)._replace(
            follow_symlink=True,
            dir_copy_contents=True,
            attempt_unpack=bool(unpack),
            allow_wildcard=True,
            allow_empty_wildcard=False,
            exclude_patterns=self._excludes,
        )
        if self._parents:
            action = _with_parents(action, source)
        self._templates.append((edge, action))

    def add_inline(self, name: str, content: str) -> None:
        file = MkFileAction(
            f"/{name}", 0o644, content.encode("utf-8", "surrogateescape"), timestamp=-1
        )
        op = FileOp((FileAction(NO_INPUT, NO_INPUT, 0, mkfile=file),))
        edge = Vertex(Op(file=op)).output()
        self._templates.append((edge, self._template(f"/{name}")))

    def op(self) -> FileOp:
        for edge, _ in self._templates:
            if edge not in self._inputs:
                self._inputs.append(edge)
        count = len(self._inputs)
        actions = []
        for position, (edge, action) in enumerate(self._templates):
            last = position == len(self._templates) - 1
            actions.append(
                FileAction(
                    input=self._base if position == 0 else count + position - 1,
                    secondary_input=self._inputs.index(edge),
                    output=0 if last else NO_OUTPUT,
                    copy=action,
                )
            )
        return FileOp(tuple(actions))

    def _template(self, source: str) -> CopyAction:
        return CopyAction(
            src=source,
            dest=self._destination,
            owner=self._owner,
            mode=self._mode,
            mode_str=self._mode_text,
            create_dest_path=True,
            timestamp=-1,
            always_replace=self._link,
        )

    def _add_url(self, url: str) -> None:
        from urllib.parse import urlsplit

        name = posixpath.basename(urlsplit(url).path) or "__unnamed__"
        attrs = [("http.filename", name)]
        checksum = self._copy.flags.text("checksum")
        if checksum:
            attrs.append(("http.checksum", self._stage.expander().word(checksum)))
        source = self._stage.vertex(
            Op(source=SourceOp(url, tuple(sorted(attrs)))), (), f"{url}", self._node
        )
        action = self._template(f"/{name}")._replace(
            attempt_unpack=bool(self._copy.flags.enabled("unpack"))
        )
        if self._mode < 0 and not self._mode_text:
            action = action._replace(mode=0o600)
        self._templates.append((source.output(), action))


def _with_parents(action: CopyAction, source: str) -> CopyAction:
    """`--parents`: the whole path is kept from the pivot `/./`, or from the root."""
    before, pivot, after = source.partition("/./")
    root, kept = (before, after) if pivot else ("/", source)
    kept = kept.strip("/").removeprefix("./")
    return action._replace(
        src=posixpath.normpath("/" + root),
        include_patterns=(kept,),
        allow_wildcard=False,
        required_paths=() if any(c in kept for c in "*?[") else (kept,),
    )


def _destination(stage: StageConversion, text: str) -> str:
    path = posixpath.normpath(posixpath.join(stage.config.working_dir, text))
    if text.endswith(("/", "/.")) or text == ".":
        path = path.rstrip("/") + "/"
    return path


def _owner(text: str, base: int) -> ChownOpt | None:
    if not text:
        return None
    user, colon, group = text.partition(":")
    return ChownOpt(_user(user, base), _user(group, base) if colon and group else None)


def _user(text: str, base: int) -> UserOpt:
    if text.isdecimal():
        return UserOpt(by_id=int(text))
    return UserOpt(by_name=NamedUser(text, base))


def _mode(text: str) -> tuple[int, str]:
    """(octal mode or -1, symbolic text)."""
    if not text:
        return -1, ""
    if all(c in "01234567" for c in text):
        if int(text, 8) > 0o7777:
            raise InvalidInput(f"invalid chmod parameter: '{text}'. It should be octal")
        return int(text, 8), ""
    return -1, text
