"""Paths, owners and inline files, as the file ops of several instructions need them."""

from __future__ import annotations

import posixpath

from lamina.dockerfile.graph import Inputs, Step
from lamina.llb.op import NO_INPUT, ChownOpt, FileAction, FileOp, NamedUser, Op, UserOpt


def inline_path(name: str) -> str:
    """The path of a heredoc's file in its tree."""
    return posixpath.normpath("/" + name.lstrip("/"))


def inline_file(name: str, content: str, mode: int) -> Step:
    """A tree that contains one inline file."""
    from lamina.llb.op import MkFileAction

    file = MkFileAction(
        inline_path(name),
        mode,
        content.encode("utf-8", "surrogateescape"),
        timestamp=-1,
    )
    op = Op(file=FileOp((FileAction(NO_INPUT, NO_INPUT, 0, mkfile=file),)))

    def make(_: Inputs) -> Op:
        return op

    return Step(make, name="[internal] preparing inline document")


def owner(text: str, base: int) -> ChownOpt | None:
    """`user[:group]`. Names are looked up in the input `base`."""
    if not text:
        return None
    user, colon, group = text.partition(":")
    return ChownOpt(_user(user, base), _user(group, base) if colon else None)


def _user(text: str, base: int) -> UserOpt:
    if text in ("", "root"):
        return UserOpt(by_id=0)
    digits = text[1:] if text[0] in "+-" else text
    if digits.isascii() and digits.isdecimal() and len(digits) <= 10 and int(digits) < 1 << 31:
        return UserOpt(by_id=int(text) & 0xFFFFFFFF)
    return UserOpt(by_name=NamedUser(text, base))


def capital(text: str) -> str:
    keyword, blank, rest = text.partition(" ")
    return keyword.upper() + blank + rest


def clean_path(path: str) -> str:
    """An absolute path in its shortest spelling; a slash (or `/.`) at the end stays."""
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/") and cleaned != "/":
        return cleaned + "/"
    if path.endswith("/."):
        return cleaned.rstrip("/") + "/."
    return cleaned
