"""Source ops in the form of BuildKit's clients: directories, git repositories, URLs."""

from __future__ import annotations

import json
import posixpath
import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.git_url import is_ssh
from lamina.base.redact import redacted
from lamina.llb.op import Op, SourceOp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.base.git_url import GitUrl


def local_source(
    name: str,
    shared: str,
    *,
    session: str = "",
    excluded: Iterable[str] = (),
    followed: Iterable[str] = (),
    differ: str = "",
) -> Op:
    """A directory that a client provides.

    Args:
        shared: distinguishes this use of the directory from others, so that each has a separate
            copy.
        session: the session that provides it, "" for the build's own.
        excluded: patterns of files that are not sent.
        followed: paths to send, with the targets of links among them; none means all.
        differ: `none`: send all files each time.
    """
    attrs = [("local.sharedkeyhint", shared)]
    if session:
        attrs.append(("local.session", session))
    if differ:
        attrs.append(("local.differ", differ))
    for key, words in (("local.excludepatterns", excluded), ("local.followpaths", followed)):
        listed = list(words)
        if listed:
            text = json.dumps(listed, ensure_ascii=False, separators=(",", ":"))
            attrs.append((key, text))
    return Op(source=SourceOp(f"local://{name}", tuple(sorted(attrs))))


def git_source(url: GitUrl, *, keep_git_dir: bool | None = None, checksum: str = "") -> Op:
    """A commit of a repository. Arguments take precedence over the URL."""
    keep = keep_git_dir if keep_git_dir is not None else url.keep_git_dir
    attrs = {
        "git.fullurl": url.remote,
        "git.authheadersecret": "GIT_AUTH_HEADER",
        "git.authtokensecret": "GIT_AUTH_TOKEN",
        "git.checksum": checksum or url.commit,
        "git.mtime": url.mtime,
        "git.keepgitdir": "true" if keep else "",
        "git.skipsubmodules": "" if url.submodules else "true",
        "git.fetchbycommit": "true" if url.by_commit else "",
        "git.mountsshsock": "default" if is_ssh(url.remote) else "",
    }
    place = re.sub(r"^(?:[a-z]+://)?(?:[^@/]*@)?", "", url.remote)
    if "://" not in url.remote:
        place = place.replace(":", "/", 1)
    fragment = f"#{url.ref}{':' + url.folder if url.folder else ''}"
    identifier = f"git://{place}{fragment if len(fragment) > 1 else ''}"
    said = ((key, value) for key, value in sorted(attrs.items()) if value)
    return Op(source=SourceOp(identifier, tuple(said)))


def url_source(url: str, checksum: str = "") -> Op:
    """The source of an ADD with an address: a file named by the last component of its path.

    Raises InvalidInput.
    """
    return http_source(url, name_of_url(url), checksum=checksum)


def name_of_url(url: str) -> str:
    """The file name of a URL. Raises InvalidInput."""
    from urllib.parse import unquote, urlsplit

    try:
        base = posixpath.basename(unquote(urlsplit(url).path).rstrip("/"))
    except ValueError as error:
        raise InvalidInput(f"{redacted(url)}: not a valid URL: {error}") from None
    return base if base not in ("", ".", "..") else "__unnamed__"


def http_source(url: str, name: str, *, checksum: str = "") -> Op:
    """One URL as a file called `name`."""
    attrs = [("http.filename", name)]
    if checksum:
        attrs.append(("http.checksum", checksum))
    return Op(source=SourceOp(url, tuple(sorted(attrs))))
