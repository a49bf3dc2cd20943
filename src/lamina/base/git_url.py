"""Parses the addresses of git repositories in Dockerfiles and on command lines.

`https://host/path.git#ref:folder`, `git@host:path#ref`, or with a query:
`?branch=…&tag=…&commit=…&subdir=…&keep-git-dir=1&submodules=0` (as BuildKit does).
"""

from __future__ import annotations

import posixpath
import re

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted

_HOSTED = re.compile(r"[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:")
_COMMIT = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
_SHORT = "github.com/"
_SWITCHES = ("keep-git-dir", "submodules", "fetch-by-commit")
_HEADS, _TAGS = "refs/heads/", "refs/tags/"


class GitUrl(NamedTuple):
    """`remote` is the address for git; `ref` of "" is the remote's default branch.

    `commit` is the start of the ID of the commit that the ref must be, "" for any. With
    `by_commit` it is fetched instead of the ref. `mtime` says what the times of
    the files are: "commit" for the commit's, "" and "checkout" for the time of the checkout.
    """

    remote: str
    ref: str = ""
    folder: str = ""
    commit: str = ""
    keep_git_dir: bool | None = None
    submodules: bool = True
    mtime: str = ""
    by_commit: bool = False


def is_git_url(text: str) -> bool:
    """Whether a URL is that of a git repository rather than a file or a page."""
    if text.startswith(("git://", "ssh://")) or _HOSTED.match(text):
        return True
    if not text.startswith(("http://", "https://")):
        return False
    return re.split(r"[?#]", text, maxsplit=1)[0].endswith(".git")


def is_git_context(text: str) -> bool:
    """As `is_git_url`, for build contexts: `github.com/owner/name` is one, too."""
    return text.startswith(_SHORT) or is_git_url(text)


def is_ssh(remote: str) -> bool:
    """Whether a remote is reached through ssh."""
    return remote.startswith("ssh://") or "://" not in remote


def is_commit(ref: str) -> bool:
    """Whether a ref is a whole commit name, SHA-1 or SHA-256."""
    return re.fullmatch(_COMMIT, ref) is not None


def parse_git_url(text: str) -> GitUrl:
    """Parse a git URL. Raises InvalidInput."""
    if text.startswith(_SHORT):
        text = f"https://{text}"
    address, _, fragment = text.partition("#")
    remote, _, query = address.partition("?")
    ref, _, folder = fragment.partition(":")
    folder = posixpath.normpath("/" + folder).lstrip("/")
    shown = redacted(text)
    url = _with_query(shown, GitUrl(remote, ref, folder), query)
    if url.ref.startswith("-") or any(c in url.ref for c in " \n\\^~?*["):
        raise InvalidInput(f'{shown}: "{url.ref}" is not a ref')
    return url._replace(folder=posixpath.normpath("/" + url.folder).lstrip("/"))


def _with_query(shown: str, url: GitUrl, query: str) -> GitUrl:
    from urllib.parse import parse_qsl

    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in options:
            raise InvalidInput(f'{shown}: query "{key}" has multiple values')
        if not value and key not in _SWITCHES:
            raise InvalidInput(f'{shown}: query "{key}" has no value')
        options[key] = value
    for key, value in options.items():
        url = _with_option(shown, url, key, value)
    for key, prefix in (("tag", _TAGS), ("branch", _HEADS)):
        if key in options:
            name = prefix + options[key].removeprefix(prefix)
            if key == "branch" and "tag" in options:
                raise InvalidInput(f"{shown}: branch conflicts with tag")
            url = url._replace(ref=_single_value(shown, "ref", url.ref, name))
    return url


def _with_option(shown: str, url: GitUrl, key: str, value: str) -> GitUrl:
    match key:
        case "ref":
            return url._replace(ref=_single_value(shown, key, url.ref, value))
        case "tag" | "branch":
            return url
        case "subdir":
            return url._replace(folder=_single_value(shown, key, url.folder, value))
        case "commit" | "checksum":
            return url._replace(commit=value)
        case "keep-git-dir":
            return url._replace(keep_git_dir=_switch(shown, key, value))
        case "submodules":
            return url._replace(submodules=_switch(shown, key, value))
        case "fetch-by-commit":
            return url._replace(by_commit=_switch(shown, key, value))
        case "mtime" if value in ("checkout", "commit"):
            return url._replace(mtime=value)
        case "mtime":
            raise InvalidInput(
                f'{shown}: invalid mtime value: "{value}" (must be "checkout" or "commit")'
            )
    raise InvalidInput(
        f'{shown}: unexpected query "{key}"',
        hint="known are ref, branch, tag, commit, checksum, subdir, keep-git-dir, submodules, "
        "mtime and fetch-by-commit",
    )


def _single_value(shown: str, key: str, known: str, value: str) -> str:
    """The single value of parameters that may be repeated only with equal values."""
    if known and known != value:
        raise InvalidInput(f'{shown}: {key} conflicts: "{known}" vs "{value}"')
    return value


def _switch(shown: str, key: str, value: str) -> bool:
    chosen = parse_bool(value or "true")
    if chosen is None:
        raise InvalidInput(f'{shown}: invalid {key} value: "{value}"', hint="use true or false")
    return chosen
