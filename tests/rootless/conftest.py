"""Users of the machine, with and without subordinate IDs, and lamina as they run it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BASE
from tests.ordinary_user import UserLamina, ordinary_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.ordinary_user import OrdinaryUser

KINDS = ("ranges", "single")


@pytest.fixture(scope="session")
def users() -> Iterator[dict[str, OrdinaryUser]]:
    with ordinary_user(ranges=True) as one, ordinary_user(ranges=False) as other:
        yield dict(zip(KINDS, (one, other), strict=True))


@pytest.fixture
def ranged(users: dict[str, OrdinaryUser]) -> Iterator[OrdinaryUser]:
    """A user with ranges in /etc/subuid and /etc/subgid."""
    yield users["ranges"]
    _clear(users["ranges"])


@pytest.fixture
def single(users: dict[str, OrdinaryUser]) -> Iterator[OrdinaryUser]:
    """A user without ranges."""
    yield users["single"]
    _clear(users["single"])


@pytest.fixture(params=KINDS)
def user(request: pytest.FixtureRequest, users: dict[str, OrdinaryUser]) -> Iterator[OrdinaryUser]:
    """Each of the two users."""
    chosen = users[str(request.param)]
    yield chosen
    _clear(chosen)


@pytest.fixture
def user_lamina(user: OrdinaryUser) -> UserLamina:
    return UserLamina(user)


@pytest.fixture
def user_context(user: OrdinaryUser) -> Callable[..., Path]:
    """Writes a build context of the user: `user_context(dockerfile, {name: content})`."""
    return lambda dockerfile, files=None: write_context(user, dockerfile, files)


def write_context(user: OrdinaryUser, dockerfile: str, files: dict[str, str] | None = None) -> Path:
    folder = user.home / "context"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(BASE + dockerfile)
    shutil.copy("/bin/busybox", folder / "busybox")
    for name, content in (files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return user.own(folder)


def _clear(user: OrdinaryUser) -> None:
    """Remove what a test has left in the user's home."""
    for path in user.home.iterdir():
        if path.name != "run":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
