"""`lamina debug`: a shell, or a command, in the failed step of a recorded build.

It runs in a new container with the files that the command had left, and with the environment, user,
working directory and network of the step. Its changes are discarded.
"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.client.providers import EmbeddedSession
from lamina.engine.build import BuildOptions
from lamina.llb.op import NO_INPUT, MountType
from lamina.ops.debugging import EndedCommand
from lamina.ops.exec_sandbox import exec_sandbox
from lamina.ops.secret_env import secret_env
from lamina.records.evidence import EvidenceTable
from lamina.refs.ref import Ref
from lamina.runtime.contract import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.client.contract import SessionProviders
    from lamina.engine.build import Build
    from lamina.engine.engine import Engine
    from lamina.llb.op import Mount
    from lamina.records.evidence import Evidence
    from lamina.runtime.contract import Runtime
    from lamina.system.cancel import Cancellation

_AGAIN = "build again: the next failure keeps its files, until `lamina prune --all`"


def in_failed_step(
    engine: Engine,
    ref: str,
    providers: SessionProviders,
    inside: Callable[[EndedCommand, Runtime], int],
    cancel: Cancellation,
) -> int:
    """See `lamina.client.contract.LocalStore.in_failed_step`."""
    evidence = EvidenceTable(engine.store).of(ref)
    if evidence is None:
        raise NotFound(
            f"no step of build {ref} failed",
            hint="`lamina history ls --filter status=error` lists the builds that failed",
        )
    with (
        closing(EmbeddedSession({}, providers)) as session,
        engine.open_build(session, BuildOptions(), lambda _: None, cancel) as build,
        recorded_command(build, evidence) as command,
    ):
        return inside(command, build.runtime())


@contextmanager
def recorded_command(build: Build, evidence: Evidence) -> Iterator[EndedCommand]:
    """The failed command of a recorded build, with its mounts for the block.

    Secrets and SSH agents that the session does not provide are absent. Raises InvalidInput (the
    step was no command), NotFound (its files are not in the store any more).
    """
    op = evidence.op.exec
    meta = None if op is None else op.meta
    if op is None or meta is None:
        raise InvalidInput(
            f"the failed step is no command: {evidence.name}",
            hint="only commands (RUN) have an environment for a shell",
        )
    inputs: list[Ref] = []
    mounts = tuple(
        _mount(build, mount, evidence.snapshots.get(number), inputs)
        for number, mount in enumerate(op.mounts)
    )
    op = op._replace(mounts=mounts)
    with ExitStack() as stack:
        prepared = stack.enter_context(build.mount_table().prepare(op, inputs, build.cancel))
        for change in prepared.changes:
            stack.callback(build.refs.discard, change.staged)
        secrets = [secret._replace(optional=True) for secret in op.secret_env]
        env = (*meta.env, *secret_env(secrets, build.session, build.cancel))
        process = Process(meta.args, env, meta.cwd or "/", meta.user)
        sandbox = exec_sandbox(op, prepared, None, build)
        yield EndedCommand(evidence.name, process, sandbox, None)


def _mount(build: Build, mount: Mount, snapshot: int | None, inputs: list[Ref]) -> Mount:
    """A mount with the files that the command had left."""
    match mount.mount_type:
        case MountType.SECRET if mount.secret is not None:
            return mount._replace(secret=mount.secret._replace(optional=True))
        case MountType.SSH if mount.ssh is not None:
            return mount._replace(ssh=mount.ssh._replace(optional=True))
        case MountType.BIND:
            pass
        case _:
            return mount
    if snapshot is None and mount.input == NO_INPUT:
        return mount
    if snapshot is None or not build.refs.snapshots.hold(snapshot):
        raise NotFound(
            f"the files that the failed step had at {mount.dest} are not in the store any more",
            hint=_AGAIN,
        )
    inputs.append(Ref(snapshot))
    return mount._replace(input=len(inputs) - 1)
