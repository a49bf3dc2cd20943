"""Remote contexts: git repositories and URLs."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import IO, TYPE_CHECKING

from lamina.base.errors import Unavailable
from lamina.base.git_url import parse_git_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.client.contract import SessionProviders


@contextmanager
def cloned(address: str, providers: SessionProviders) -> Iterator[tuple[str, int]]:
    """Check out a git URL for the block. Yields its directory and the time of the commit.

    The files have the time of the commit, so that the same commit gives the same image.

    Raises InvalidInput, NotFound, Unavailable.
    """
    from lamina.client.providers import EmbeddedSession
    from lamina.sources.git_remote import GitRemote
    from lamina.system.cancel import Cancellation
    from lamina.system.removal import temporary_folder

    url = parse_git_url(address)._replace(mtime="commit")
    cancel = Cancellation()
    with temporary_folder("lamina-context-") as to:
        session = EmbeddedSession({}, providers)
        try:
            remote = GitRemote(url, to, to, session)
            remote.resolve(cancel)
            folder = remote.check_out(os.path.join(to, "work"), cancel)
            made_at = remote.commit_time(cancel)
        finally:
            session.close()
        yield folder, made_at


@contextmanager
def open_url(url: str, providers: SessionProviders) -> Iterator[tuple[IO[bytes], int | None]]:
    """Download a URL. Returns its content, and the Last-Modified in seconds since 1970, if known.

    Uses the name and the password in the URL, and the secrets of `HttpRequest`.

    Raises InvalidInput, NotFound, Unavailable.
    """
    from lamina.client.providers import EmbeddedSession
    from lamina.sources.http_request import HttpRequest, answered
    from lamina.system.cancel import Cancellation
    from lamina.system.network import SocketGuard

    with closing(EmbeddedSession({}, providers)) as session:
        # Signals are not handled yet: an interrupt ends the download at once.
        unpacked = (("Accept-Encoding", "identity"),)
        request = HttpRequest(url, session, Cancellation(), guard=SocketGuard(), headers=unpacked)
        response = request.send()
    if response is None:
        raise Unavailable(f"{url}: no answer")
    with response:
        said = answered(response.headers)
        yield response, said.modified_ns // 10**9 if said.modified_ns else None
