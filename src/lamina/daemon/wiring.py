"""The composition root of a daemon: its engine, and its services as handlers by method.

`lamina.engine.engine` wires the parts of an engine. `lamina.client.embedded` is the builder without
a daemon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api.control import SESSION
from lamina.base.named_tuple import NamedTuple
from lamina.daemon.content import ContentService
from lamina.daemon.disk_usage_service import UsageService
from lamina.daemon.gateway import GatewayService
from lamina.daemon.gc import Collector, sized_policies
from lamina.daemon.history import History
from lamina.daemon.history_service import HistoryService
from lamina.daemon.info import InfoService
from lamina.daemon.networks import step_network
from lamina.daemon.planning import PlanService
from lamina.daemon.provenance_env import load_provenance_env
from lamina.daemon.records_service import RecordsService
from lamina.daemon.solve import SolveService
from lamina.daemon.span_exports import SpanExports
from lamina.daemon.worker import Worker, describe_worker
from lamina.engine.contract import EnginePolicy
from lamina.engine.engine import Engine
from lamina.engine.session_credentials import session_logins
from lamina.runtime.cdi import DeviceRegistry
from lamina.runtime.contract import Dns, RuntimeSettings
from lamina.session.mirrors import Mirrors
from lamina.session.table import SessionTable
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from contextlib import ExitStack

    from lamina.daemon.config import DaemonConfig
    from lamina.daemon.log import Log
    from lamina.daemon.networks import StepNetwork
    from lamina.engine.host_setup import Host
    from lamina.stores.store import Store
    from lamina.wire.contract import Handler


class DaemonServices(NamedTuple):
    """The services of a daemon. `ending` ends calls that last as long as the daemon."""

    engine: Engine
    worker: Worker
    collector: Collector
    ending: Cancellation
    handlers: dict[str, Handler]


def wired(
    config: DaemonConfig, store: Store, host: Host, log: Log, owned: ExitStack
) -> DaemonServices:
    """Make all services of a daemon. Raises LaminaError on failure.

    Args:
        host: what this process may do.
        owned: closes the services.
    """
    policies = sized_policies(config.worker.gc, store.root)
    devices = DeviceRegistry(
        () if config.cdi.disabled else config.cdi.spec_dirs, config.cdi.auto_allowed
    )
    steps = owned.enter_context(step_network(config.worker.network, store.path("networks"), log))
    worker = describe_worker(
        store.root,
        config.worker,
        policies,
        network=steps.mode,
        overlay=host.overlay,
        devices=devices,
    )
    sessions = SessionTable(Mirrors(store.path("mirrors")), store.scratch)
    engine = Engine(
        store,
        host,
        hosts=lambda: config.hosts,
        policy=EnginePolicy(
            (worker.record(),),
            config.frontends.gateway_repositories,
            _runtime(config, steps),
            sessions.get,
            session_logins,
            load_provenance_env(config.provenance_env_dir),
            devices,
            config.system.registry_connections,
        ),
    )
    owned.callback(engine.close)
    collector = owned.enter_context(Collector(store, policies, log))
    ending = Cancellation()
    history = History(store, config.history, log, collector.wake)
    gateway = GatewayService()
    # Clients grant each device, and CDI files may allow it, so the daemon allows the entitlement.
    allowed = frozenset((*config.entitlements, *(() if config.cdi.disabled else ("device",))))
    spans = owned.enter_context(SpanExports(store.blobs, history.records, log))
    solve = SolveService(engine, worker, sessions, gateway, history, allowed, collector, spans)
    handlers: dict[str, Handler] = {
        SESSION: sessions.serve,
        **solve.handlers(),
        **PlanService(engine, store, sessions, allowed).handlers(),
        **gateway.handlers(),
        **InfoService(worker, ending).handlers(),
        **UsageService(store).handlers(),
        **HistoryService(history, ending).handlers(),
        **RecordsService(store, history).handlers(),
        **ContentService(store.blobs).handlers(),
    }
    return DaemonServices(engine, worker, collector, ending, handlers)


def _runtime(config: DaemonConfig, steps: StepNetwork) -> RuntimeSettings:
    worker, dns = config.worker, config.dns
    return RuntimeSettings(
        worker.binary,
        Dns(dns.nameservers, dns.options, dns.search_domains),
        worker.cgroup_parent,
        worker.apparmor_profile,
        worker.max_parallelism,
        steps.network,
        steps.networks,
        config.life.stop_timeout,
    )
