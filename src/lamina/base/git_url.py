"""Git repositories as Dockerfiles and command lines name them.

`https://host/path.git#ref:folder`, `git@host:path#ref`, or the same said with a query:
`?branch=…&tag=…&commit=…&subdir=…&keep-git-dir=1&submodules=0` (BuildKit's git URL forms).
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from lamina.base.errors import InvalidInput

_HOSTED = re.compile(r"(?:[A-Za-z0-9_.-]+@)[A-Za-z0-9_.-]+:")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TRUE, _FALSE = ("1", "true", ""), ("0", "false")


class GitUrl(NamedTuple):
    """`remote` is what git itself takes; `ref` of "" is the remote's default branch.

    `commit` is what the ref must be (the start of a commit's name), "" for anything.
    """

    remote: str
    ref: str = ""
    folder: str = ""
    commit: str = ""
    keep_git_dir: bool | None = None
    submodules: bool = True


def is_git_url(text: str) -> bool:
    """Whether an address names a git repository rather than a file or a page."""
    if text.startswith(("git://", "ssh://")) or _HOSTED.match(text):
        return True
    if not text.startswith(("http://", "https://")):
        return False
    return re.split(r"[?#]", text, maxsplit=1)[0].endswith(".git")


def is_commit(ref: str) -> bool:
    """Whether a ref is a whole commit name, SHA-1 or SHA-256."""
    return _COMMIT.fullmatch(ref) is not None


def parse_git_url(text: str) -> GitUrl:
    """Raises InvalidInput."""
    address, _, fragment = text.partition("#")
    remote, _, query = address.partition("?")
    ref, _, folder = fragment.partition(":")
    url = GitUrl(remote, ref, folder)
    for pair in filter(None, query.split("&")):
        url = _with_option(text, url, *pair.partition("=")[::2])
    if url.ref.startswith("-") or any(c in url.ref for c in " \n\\^~?*["):
        raise InvalidInput(f'{text}: "{url.ref}" is not a ref')
    folder = posixpath.normpath("/" + url.folder)[1:]
    return url._replace(folder="" if folder == "." else folder)


def _with_option(text: str, url: GitUrl, key: str, value: str) -> GitUrl:
    from urllib.parse import unquote_plus

    value = unquote_plus(value)
    match key:
        case "ref" | "branch" | "tag":
            prefix = {"ref": "", "branch": "refs/heads/", "tag": "refs/tags/"}[key]
            if url.ref:
                raise InvalidInput(f"{text} names more than one ref")
            return url._replace(ref=value if value.startswith(prefix) else prefix + value)
        case "subdir":
            return url._replace(folder=value)
        case "commit" | "checksum":
            return url._replace(commit=value)
        case "keep-git-dir":
            return url._replace(keep_git_dir=_switch(text, key, value))
        case "submodules":
            return url._replace(submodules=_switch(text, key, value))
    raise InvalidInput(
        f'{text}: unknown option "{key}"',
        hint="known are ref, branch, tag, commit, subdir, keep-git-dir and submodules",
    )


def _switch(text: str, key: str, value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise InvalidInput(f'{text}: {key} is true or false, not "{value}"')
    return value.lower() in _TRUE
