"""A runtime with the settings of the machine."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.units import seconds_of
from lamina.runtime.contract import STOP_TIMEOUT, Network, RuntimeSettings
from lamina.system.semaphore import CancellableSemaphore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from lamina.base.resources import ResourceUsage
    from lamina.runtime.contract import Container, ExitStatus, Process, Runtime, Sandbox
    from lamina.system.cancel import Cancellation

_STOP_TIMEOUT = "LAMINA_STOP_TIMEOUT"
_NETWORK = "LAMINA_NETWORK"


def settings_from(environ: Mapping[str, str], folder: str) -> RuntimeSettings:
    """The settings of commands, which have no configuration file.

    Args:
        folder: an existing directory of this process, for network namespaces.

    Raises InvalidInput, NotFound.
    """
    settings = RuntimeSettings(stop_timeout=_stop_timeout(environ.get(_STOP_TIMEOUT, "")))
    mode = environ.get(_NETWORK, "")
    if mode in ("", "host"):
        return settings
    from lamina.runtime.user_networks import Forwarder, UserNetworks

    modes = [forwarder.value for forwarder in Forwarder]
    if mode not in modes:
        raise InvalidInput(
            f'invalid {_NETWORK} "{mode}"', hint=f"choose from host, {', '.join(modes)}"
        )
    return settings._replace(networks=UserNetworks(Forwarder(mode), folder))


def _stop_timeout(text: str) -> float:
    if not text:
        return STOP_TIMEOUT
    try:
        return float(text) if text.isdecimal() else seconds_of(text)
    except ValueError:
        raise InvalidInput(
            f'invalid {_STOP_TIMEOUT} "{text}": not a duration',
            hint="use a duration like 30s or 5m; 0 kills cancelled steps at once",
        ) from None


class ConfiguredRuntime:
    """Implements `Runtime` over another. Frontends (`connect`) and containers do not count as
    steps, because the steps that they wait for must be able to run."""

    def __init__(self, inner: Runtime, settings: RuntimeSettings) -> None:
        self._inner = inner
        self._settings = settings
        limit = settings.parallelism
        self._slots = CancellableSemaphore(limit) if limit else None

    def run(
        self,
        process: Process,
        sandbox: Sandbox,
        *,
        stdout: Callable[[bytes], None],
        stderr: Callable[[bytes], None],
        measured: Callable[[ResourceUsage], None],
        cancel: Cancellation,
    ) -> ExitStatus:
        with self._slot(cancel), self._within(sandbox) as inside:
            return self._inner.run(
                process, inside, stdout=stdout, stderr=stderr, measured=measured, cancel=cancel
            )

    def connect(
        self,
        process: Process,
        sandbox: Sandbox,
        *,
        stdin: int,
        stdout: int,
        stderr: Callable[[bytes], None],
        cancel: Cancellation,
    ) -> ExitStatus:
        with self._within(sandbox) as inside:
            return self._inner.connect(
                process, inside, stdin=stdin, stdout=stdout, stderr=stderr, cancel=cancel
            )

    def attach(
        self, process: Process, sandbox: Sandbox, *, terminal: bool, interactive: bool
    ) -> ExitStatus:
        with self._within(sandbox) as inside:
            return self._inner.attach(process, inside, terminal=terminal, interactive=interactive)

    @contextmanager
    def container(self, sandbox: Sandbox) -> Iterator[Container]:
        with self._within(sandbox) as inside, self._inner.container(inside) as container:
            yield container

    def hurry(self) -> None:
        self._inner.hurry()

    @contextmanager
    def _within(self, sandbox: Sandbox) -> Iterator[Sandbox]:
        settings = self._settings
        network = sandbox.network
        if network is Network.DEFAULT:
            network = settings.network
        inside = sandbox._replace(
            dns=settings.dns,
            cgroup_parent=sandbox.cgroup_parent or settings.cgroup_parent,
            apparmor_profile="" if sandbox.insecure else settings.apparmor_profile,
            network=network,
        )
        if network is not Network.DEFAULT or settings.networks is None:
            yield inside
            return
        with settings.networks.attached(sandbox.hostname, insecure=sandbox.insecure) as path:
            yield inside._replace(namespace=path)

    def _slot(self, cancel: Cancellation) -> AbstractContextManager[None]:
        return nullcontext() if self._slots is None else self._slots.slot(cancel)
