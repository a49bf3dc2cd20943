"""One step of several clients: an error of one does not matter if another one has the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

from lamina.base.errors import NotFound
from lamina.client.contract import SecretSpec, SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.engine.shared_session import OpRequester, SharedSession
from lamina.session.absent import AbsentSession
from lamina.session.contract import FolderRequest
from lamina.session.mirrors import Mirrors
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lamina.session.contract import Session


class Waiting(NamedTuple):
    session: Session


def of(*sessions: Session) -> SharedSession:
    waiting = [cast("OpRequester", Waiting(session)) for session in sessions]
    return SharedSession(lambda: waiting)


@pytest.fixture
def absent(tmp_path: Path) -> AbsentSession:
    mirrors = Mirrors(str(tmp_path / "mirrors"))
    return AbsentSession("a", NotFound("no active session for a"), mirrors, str(tmp_path))


def test_absent_sessions_are_skipped(absent: AbsentSession, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"value")
    lent = SessionProviders(secrets=(SecretSpec("s", path=str(tmp_path / "secret")),))
    present = EmbeddedSession({"context": str(tmp_path)}, lent)
    for both in (of(absent, present), of(present, absent)):
        assert both.secret("s", Cancellation()) == b"value"
        assert both.folder("context", FolderRequest(), Cancellation()).path == str(tmp_path)


ASKS: dict[str, Callable[[SharedSession], object]] = {
    "secret": lambda lenders: lenders.secret("s", Cancellation()),
    "agent": lambda lenders: lenders.ssh_socket("default", Cancellation()),
    "folder": lambda lenders: lenders.folder("context", FolderRequest(), Cancellation()),
    "upload": lambda lenders: list(lenders.upload("h", "/p", Cancellation())),
}


@pytest.mark.parametrize("what", list(ASKS))
def test_only_absent_sessions_are_an_error(absent: AbsentSession, what: str) -> None:
    with pytest.raises(NotFound, match="no active session for a"):
        ASKS[what](of(absent, absent))
