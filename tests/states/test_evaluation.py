"""States to definitions, without a builder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import lamina
from lamina.base.platform import Platform
from lamina.llb.codec import decode_op
from lamina.llb.op import CacheSharing, MountType, NetMode, SecurityMode
from lamina.states.node import Evaluation, nodes_below

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.llb.op import Definition, Op

HERE = Platform("linux", "amd64")


def evaluation(**addresses: str) -> Evaluation:
    """An evaluation that asks no gateway."""
    attributes = {f"context:{name}": address for name, address in addresses.items()}
    return Evaluation(None, HERE, attributes)  # type: ignore[arg-type] # no image is resolved


def definition(state: lamina.State) -> Definition:
    names = {
        node.directory.name: f"local:{node.directory.name}"
        for node in nodes_below([state.node])
        if node.directory is not None
    }
    return evaluation(**names).definition(state.node)


def ops(state: lamina.State) -> list[Op]:
    """The ops of a state, without the one that ends the definition."""
    return [decode_op(data) for data in definition(state).ops][:-1]


def test_nothing_is_an_empty_definition() -> None:
    assert definition(lamina.scratch().env(A="1").workdir("/w")).ops == ()


def test_a_command() -> None:
    state = (
        lamina.scratch()
        .write("/file", "x")
        .env(B="state")
        .workdir("/w")
        .user("u")
        .run(
            ["make", "all"],
            mounts=[
                lamina.cache("/c", sharing="locked"),
                lamina.cache("/d", id="named", readonly=True),
                lamina.secret("token", env="TOKEN"),
                lamina.ssh(required=False),
            ],
            env={"C": "run"},
            cwd="sub",
            network="host",
            security="insecure",
            exit_codes=[0, 2],
            no_cache=True,
        )
    )
    made = definition(state)
    exec_op = ops(state)[-1].exec
    assert exec_op is not None and exec_op.meta is not None
    meta = exec_op.meta
    assert (meta.args, meta.cwd, meta.user) == (("make", "all"), "/w/sub", "u")
    assert meta.env[1:] == ("B=state", "C=run", "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0")
    assert meta.valid_exit_codes == (0, 2)
    assert (exec_op.network, exec_op.security) == (NetMode.HOST, SecurityMode.INSECURE)
    assert [secret.name for secret in exec_op.secret_env] == ["TOKEN"]
    kinds = [(m.dest, m.mount_type, m.readonly) for m in exec_op.mounts]
    assert kinds == [
        ("/", MountType.BIND, False),
        ("/c", MountType.CACHE, False),
        ("/d", MountType.CACHE, True),
        ("/run/buildkit/ssh_agent.0", MountType.SSH, False),
    ]
    caches = [m.cache for m in exec_op.mounts if m.cache is not None]
    assert [(c.id, c.sharing) for c in caches] == [
        ("//c", CacheSharing.LOCKED),
        ("/named", CacheSharing.SHARED),
    ]
    [metadata] = [m for digest, m in made.metadata if m.ignore_cache]
    assert dict(metadata.description)["llb.customname"] == "RUN make all"


def test_the_same_state_has_the_same_definition(tmp_path: Path) -> None:
    def make() -> lamina.State:
        source = lamina.local(tmp_path, include=["a"], exclude=["b"])
        return lamina.scratch().copy(source, "a", "/x").run("true")

    assert definition(make()).ops == definition(make()).ops


def test_equal_steps_are_one_step() -> None:
    def base() -> lamina.State:
        return lamina.scratch().write("/file", "x")

    merged = lamina.merge(base().run("1"), base().run("2"))
    assert len(ops(merged)) == 4


def test_a_deep_state_is_no_recursion() -> None:
    state = lamina.scratch()
    for number in range(2 * sys.getrecursionlimit()):
        state = state.run(f"echo {number}")
    assert len(ops(state)) == 2 * sys.getrecursionlimit()


def test_a_wide_state_is_linear() -> None:
    """Each state is evaluated once, however often it is used."""
    state = lamina.scratch().write("/file", "x")
    for _ in range(60):
        state = state.copy(state, "/file", "/copy")
    assert len(ops(state)) == 61


def test_steps_have_the_lines_of_the_caller() -> None:
    made = definition(lamina.scratch().write("/file", "x"))
    assert made.source is not None
    assert [info.filename for info in made.source.infos] == [__file__]
    assert made.source.infos[0].language == "Python"


def test_copies_read_their_paths_from_the_root() -> None:
    state = lamina.scratch().workdir("/w").copy(lamina.scratch().write("/a", ""), "a", "b/")
    file = ops(state)[-1].file
    assert file is not None
    [action] = file.actions
    assert action.copy is not None
    assert (action.copy.src, action.copy.dest) == ("/a", "/w/b/")
