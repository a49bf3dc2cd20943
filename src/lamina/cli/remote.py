"""Contexts that lie elsewhere: git repositories and URLs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from lamina.base.errors import NotFound, Unavailable
from lamina.base.git_url import parse_git_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.client.contract import Lent

_TIMEOUT = 60


@contextmanager
def cloned(address: str, lent: Lent) -> Iterator[tuple[str, int]]:
    """A git URL's folder, checked out for the length of the block, and when the commit was made.

    The files' times are those of the commit, so that the same commit gives the same image.

    Raises InvalidInput, NotFound, Unavailable.
    """
    import tempfile

    from lamina.client.providers import EmbeddedSession
    from lamina.sources.git_remote import GitRemote
    from lamina.system.cancel import Cancellation

    url = parse_git_url(address)._replace(mtime="commit")
    cancel = Cancellation()
    with tempfile.TemporaryDirectory(prefix="lamina-context-", ignore_cleanup_errors=True) as to:
        session = EmbeddedSession({}, lent)
        try:
            remote = GitRemote(url, to, to, session)
            remote.resolve(cancel)
            folder = remote.check_out(os.path.join(to, "work"), cancel)
            made_at = remote.commit_time(cancel)
        finally:
            session.close()
        yield folder, made_at


@contextmanager
def open_url(url: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """Download; the bytes, and the Last-Modified in seconds since 1970, if there is one.

    Raises NotFound, Unavailable.
    """
    import email.utils
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "lamina"})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        kind = NotFound if error.code == 404 else Unavailable
        raise kind(f"{url}: HTTP status {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unavailable(f"{url}: {getattr(error, 'reason', error)}") from None
    with response:
        try:
            stamp = response.headers.get("Last-Modified", "")
            modified = int(email.utils.parsedate_to_datetime(stamp).timestamp()) if stamp else None
        except ValueError:
            modified = None
        yield response, modified
