from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError, NotFound, PermissionDenied, Unsupported
from lamina.cli import values
from lamina.cli.commands import COMMANDS
from lamina.cli.flags import parse
from lamina.client.contract import NamedContext, OutputSpec, SecretSpec, SshSpec
from lamina.llb.op import Ulimit

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_build_args_come_from_the_flag_or_the_environment() -> None:
    environ = {"B": "from env", "SOURCE_DATE_EPOCH": "7"}
    given_args = ["A=1", "B", "C", "D=", "A=2=3"]
    assert values.parse_build_args(given_args, environ) == {
        "A": "2=3",
        "B": "from env",
        "D": "",
        "SOURCE_DATE_EPOCH": "7",
    }
    explicit = values.parse_build_args(["SOURCE_DATE_EPOCH=1"], environ)
    assert explicit == {"SOURCE_DATE_EPOCH": "1"}
    with pytest.raises(InvalidInput):
        values.parse_build_args(["=x"], {})


def test_hosts() -> None:
    assert values.parse_host("db:10.0.0.7") == ("db", "10.0.0.7")
    assert values.parse_host("db=10.0.0.7") == ("db", "10.0.0.7")
    assert values.parse_host("db:::1") == ("db", "::1")
    assert values.parse_host("db=[2001:db8::7]") == ("db", "2001:db8::7")
    for bad in ("db", "db:", ":1.2.3.4", "db:somewhere", "db=1.2.3.400"):
        with pytest.raises(InvalidInput, match="add-host"):
            values.parse_host(bad)


def test_ulimits() -> None:
    assert values.parse_ulimit("nofile=1024:2048") == Ulimit("nofile", 1024, 2048)
    assert values.parse_ulimit("core=0") == Ulimit("core", 0, 0)
    assert values.parse_ulimit("stack=unlimited") == Ulimit("stack", -1, -1)
    assert values.parse_ulimit("stack=5:-1") == Ulimit("stack", 5, -1)
    for bad in ("nofile", "nofiles=1", "nofile=x", "nofile=2:1", "nofile=-1:5", "nofile=-2", ""):
        with pytest.raises(InvalidInput, match="ulimit"):
            values.parse_ulimit(bad)


def test_named_contexts(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert values.parse_context(f"src={folder}") == NamedContext("src", "local", folder)
    assert values.parse_context("base=docker-image://alpine") == NamedContext(
        "base", "docker-image", "docker.io/library/alpine:latest"
    )
    assert values.parse_context(f"x=oci-layout://{folder}:tag") == NamedContext(
        "x", "oci-layout", f"{folder}:tag"
    )
    with pytest.raises(NotFound, match="no such directory"):
        values.parse_context(f"src={folder}/missing")
    for bad in ("src", "=x", "src="):
        with pytest.raises(InvalidInput):
            values.parse_context(bad)
    for url in ("https://example.com/a.git", "git@example.com:a"):
        assert values.parse_context(f"x={url}") == NamedContext("x", "url", url)
    with pytest.raises(Unsupported):
        values.parse_context("x=target://y")


def test_secrets(tmp_path: Path) -> None:
    file = tmp_path / "token, with comma"
    file.write_text("s")
    path = str(file)
    environ = {"TOKEN": "s"}
    assert values.parse_secret(f'id=t,"src={path}"', environ) == SecretSpec("t", path=path)
    plain = tmp_path / "plain"
    plain.write_text("s")
    for text in (f"id=t,src={plain}", f"id=t,source={plain}", f"type=file,id=t,src={plain}"):
        assert values.parse_secret(text, environ) == SecretSpec("t", path=str(plain))
    for text in ("id=t,env=TOKEN", "id=t,type=env,src=TOKEN"):
        assert values.parse_secret(text, environ) == SecretSpec("t", env="TOKEN")
    assert values.parse_secret("id=TOKEN", environ) == SecretSpec("TOKEN", env="TOKEN")
    missing = ("id=t", "id=t,src=/no/such", "id=t,env=NONE")
    for text in missing:
        with pytest.raises(NotFound, match="--secret t"):
            values.parse_secret(text, environ)
    bad = ("", "src=x", "id=t,sorce=x", "id=t,type=x", f"id=t,src={plain},env=TOKEN", 'id=t,"src=x')
    for text in (*bad, f"id=t,src={tmp_path}"):
        with pytest.raises(InvalidInput):
            values.parse_secret(text, environ)
    big = tmp_path / "big"
    big.write_bytes(bytes(500 * 1024 + 1))
    with pytest.raises(InvalidInput, match="larger"):
        values.parse_secret(f"id=t,src={big}", environ)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Open files as the user `nobody` would, during a test."""
    os.setresuid(65534, 65534, 0)
    yield
    os.setresuid(0, 0, 0)


def test_a_secret_that_may_not_be_read(ordinary_user: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x"
        file.touch(0o000)
        with pytest.raises(PermissionDenied):
            values.parse_secret(f"id=x,src={file}", {})


def test_ssh(tmp_path: Path) -> None:
    socket = tmp_path / "agent"
    socket.touch()
    assert values.parse_ssh("default", {"SSH_AUTH_SOCK": "/x"}) == SshSpec("default")
    assert values.parse_ssh(f"git={socket}", {}) == SshSpec("git", (str(socket),))
    with pytest.raises(NotFound, match="SSH_AUTH_SOCK"):
        values.parse_ssh("default", {})
    with pytest.raises(NotFound, match="there is no"):
        values.parse_ssh("git=/no/such", {})
    with pytest.raises(InvalidInput):
        values.parse_ssh("=x", {})


def output(text: str, *, terminal: bool = False) -> OutputSpec:
    return values.parse_output(text, stdout_is_terminal=terminal)


def test_outputs() -> None:
    here = os.getcwd()
    assert output("out") == OutputSpec("local", (("dest", f"{here}/out"),))
    assert output("-") == OutputSpec("tar", (("dest", "-"),))
    assert output("type=oci,dest=a.tar,compression=zstd") == OutputSpec(
        "oci", (("dest", f"{here}/a.tar"), ("compression", "zstd"))
    )
    assert output("type=docker") == OutputSpec("docker")
    assert output('type=image,"name=a:1,b:2"') == OutputSpec("image", (("name", "a:1,b:2"),))
    for bad in ("dest=x", "type=local", "type=local,dest=-", "type=,dest=x"):
        with pytest.raises(InvalidInput):
            output(bad)
    for archive in ("-", "type=oci", "type=tar,dest=-", "type=docker,dest=-"):
        with pytest.raises(InvalidInput, match="terminal"):
            output(archive, terminal=True)
    assert output("type=oci,dest=/x", terminal=True) == OutputSpec("oci", (("dest", "/x"),))


def test_tags() -> None:
    assert values.parse_tag("me/app:1") == "me/app:1"
    with pytest.raises(InvalidInput, match="lowercase"):
        values.parse_tag("Me")
    with pytest.raises(InvalidInput, match="digest"):
        values.parse_tag("me@sha256:" + "0" * 64)


def test_platforms() -> None:
    assert values.parse_platforms([]) == ()
    assert values.parse_platforms(["linux/s390x", "arm64,linux/s390x"]) == (
        "linux/s390x",
        "linux/arm64",
    )
    with pytest.raises(InvalidInput, match="is an invalid component of"):
        values.parse_platforms(["linux//x"])


@given(st.text(max_size=30))
def test_any_text_raises_only_lamina_errors(text: str) -> None:
    for parser in (
        values.parse_host,
        values.parse_ulimit,
        values.parse_label,
        values.parse_tag,
        output,
        lambda value: values.parse_platforms([value]),
        lambda value: values.parse_context(f"a=docker-image://{value}"),
        lambda value: values.parse_secret(value, {}),
        lambda value: values.parse_build_args([value], {}),
    ):
        try:
            parser(text)
        except LaminaError as error:
            assert error.reason


def test_names_of_contexts_are_those_that_frontends_look_up(tmp_path: Path) -> None:
    for written, name in (
        ("Base", "base"),
        ("docker.io/library/alpine:latest", "alpine"),
        ("alpine:3.20", "alpine:3.20"),
        ("localhost:5000/a", "localhost:5000/a"),
        ("base::linux/arm64", "base::linux/arm64"),
    ):
        assert values.parse_context(f"{written}={tmp_path}").name == name
    with pytest.raises(InvalidInput, match="build-context"):
        values.parse_context(f"not a name={tmp_path}")


def test_entitlements() -> None:
    for text in ("security.insecure", "network.host", "device", "device=vendor.com/c=x,alias=d"):
        parsed = parse(COMMANDS["build"], ["--allow", text, "."])
        assert [values.parse_entitlement(given) for given in parsed.all("allow")] == [text]
    for text in ("security.secure", "network.host=x", "", "device=vendor.com/c=x,nonsense=1"):
        with pytest.raises(InvalidInput):
            values.parse_entitlement(text)


@pytest.mark.parametrize(
    ("text", "near"),
    [("linux/amd46", "amd64"), ("linus/amd64", "linux"), ("linux/arm65", "arm64"), ("a/b", "")],
)
def test_platforms_that_there_are_not(text: str, near: str) -> None:
    with pytest.raises(InvalidInput, match=f'"{text}" for --platform.*{near}') as caught:
        values.parse_platforms([f"linux/amd64,{text}"])
    assert "supported: " in caught.value.hint


def test_platforms_that_there_are() -> None:
    words = ["linux/amd64", "linux/arm/v7", "windows(10.0.20348)/amd64", "wasi/wasm", "linux/s390x"]
    assert values.parse_platforms([",".join(words), "x86_64"]) == tuple(words)
