"""Tokens from a token source, for a registry that accepts only tokens."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import NotFound, PermissionDenied, Unavailable
from lamina.base.reference import parse_reference
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Anonymous, BearerRequest, BearerToken
from tests.token_registry import TokenService, running_token_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.registry.transport import RetryPolicy
    from lamina.system.cancel import Cancellation


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, TokenService]]:
    with running_token_registry(tmp_path_factory.mktemp("tokens") / "registry") as running:
        yield running


class Somebody:
    """Implements `TokenSource`. Fetches a token for each request."""

    def __init__(self, service: TokenService, error: Exception | None = None) -> None:
        self.service = service
        self.error = error
        self.asked: list[tuple[str, BearerRequest]] = []

    def token(self, domain: str, wanted: BearerRequest, cancel: Cancellation) -> BearerToken | None:
        self.asked.append((domain, wanted))
        if self.error is not None:
            raise self.error
        return BearerToken(self.service.token(tuple(wanted.scope.split())), 300)


def test_a_token_that_is_over_early_is_fetched_anew(
    registry: tuple[str, TokenService], retry_policy: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, service = registry
    somebody = Somebody(service)
    reference = parse_reference(f"{host}/team/none:1")
    with RegistryClient(
        credentials=Anonymous(), retry_policy=retry_policy, tokens=somebody
    ) as client:
        # The registry tolerates clocks that differ by a minute.
        monkeypatch.setattr(service, "valid", -57)
        for _ in range(2):
            with pytest.raises(NotFound):
                client.resolve(reference)
        assert [(domain, str(asked.realm)) for domain, asked in somebody.asked] == [
            (host, service.realm)
        ]
        assert somebody.asked[0][1][1:] == ("here", "repository:team/none:pull")
        time.sleep(4)
        monkeypatch.setattr(service, "valid", 300)
        with pytest.raises(NotFound):
            client.resolve(reference)
        assert len(somebody.asked) == 2
        # The client does not request tokens itself: the token source does.
        assert not service.asked


def test_a_token_that_the_registry_rejects_denies_access(
    registry: tuple[str, TokenService], retry_policy: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, service = registry
    monkeypatch.setattr(service, "valid", -3600)
    somebody = Somebody(service)
    with (
        RegistryClient(
            credentials=Anonymous(), retry_policy=retry_policy, tokens=somebody
        ) as client,
        pytest.raises(PermissionDenied, match=f"{host} denied access"),
    ):
        client.resolve(parse_reference(f"{host}/team/none:1"))
    assert len(somebody.asked) == 1


def test_a_failed_token_fetch_is_reported(
    registry: tuple[str, TokenService], retry_policy: RetryPolicy
) -> None:
    host, service = registry
    somebody = Somebody(service, Unavailable("the client has disconnected"))
    with (
        RegistryClient(
            credentials=Anonymous(), retry_policy=retry_policy, tokens=somebody
        ) as client,
        pytest.raises(Unavailable, match="the client has disconnected"),
    ):
        client.resolve(parse_reference(f"{host}/team/none:1"))


def test_a_token_that_several_threads_need_is_fetched_once(
    registry: tuple[str, TokenService], retry_policy: RetryPolicy
) -> None:
    host, service = registry
    somebody = Somebody(service)
    reference = parse_reference(f"{host}/team/none:1")
    together = threading.Barrier(8)
    with RegistryClient(
        credentials=Anonymous(), retry_policy=retry_policy, tokens=somebody
    ) as client:

        def ask(_: int) -> type[Exception]:
            together.wait()
            with pytest.raises(NotFound) as failed:
                client.resolve(reference)
            return failed.type

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(8))) == {NotFound}
    assert len(somebody.asked) == 1
