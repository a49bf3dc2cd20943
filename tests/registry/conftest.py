from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamina.registry.transport import RetryPolicy
from tests.real_registry import HTPASSWD, running_registry
from tests.registry.registry_server import FaultProxy, Image, fill, make_layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def retry_policy() -> RetryPolicy:
    return RetryPolicy(connect=5, read=1, attempts=4, pause=0.01, longest=0.05, retry_after=2)


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Image]:
    folder = tmp_path_factory.mktemp("layout") / "image"
    manifest, layer = make_layout(folder)
    return folder, Image("team/app:v1", manifest, layer)


@pytest.fixture(scope="session")
def registry(
    tmp_path_factory: pytest.TempPathFactory, layout: tuple[Path, Image]
) -> Iterator[tuple[str, Image]]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        fill(host, layout[0], layout[1].path)
        yield host, layout[1]


@pytest.fixture(scope="session")
def private_registry(
    tmp_path_factory: pytest.TempPathFactory, layout: tuple[Path, Image]
) -> Iterator[tuple[str, Image]]:
    folder = tmp_path_factory.mktemp("private")
    (folder / "htpasswd").write_text(HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: here, path: {folder}/htpasswd}}}}\n"
    with running_registry(folder, auth) as host:
        fill(host, layout[0], layout[1].path, "--dest-creds", "user:secret")
        yield host, layout[1]


@pytest.fixture
def proxy(registry: tuple[str, Image]) -> Iterator[FaultProxy]:
    with FaultProxy(registry[0]) as running:
        yield running
