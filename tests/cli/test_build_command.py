from __future__ import annotations

import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.platform import host_platform
from lamina.cli.build_command import progress_mode, request_without_context
from lamina.cli.commands import COMMANDS
from lamina.cli.flags import parse
from lamina.cli.result_files import check_folder, write_file
from lamina.client.contract import BuildRequest, OutputSpec
from lamina.llb.op import LinuxResources, Ulimit

if TYPE_CHECKING:
    from pathlib import Path


def request(*words: str) -> BuildRequest:
    return request_without_context(parse(COMMANDS["build"], [*words, "."]))


def test_a_plain_build_requests_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    built = request()
    assert built == BuildRequest(built.context)


def test_every_flag_reaches_the_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("TOKEN", "s")
    built = request(
        *("-t", "a", "--tag=b:1", "-t", "a", "--target", "test"),
        *("--build-arg", "X=1", "--label", "l=v", "--label", "empty", "--label", "l=w"),
        *("--no-cache", "--no-cache-filter", "one,two", "--no-cache-filter=three", "--pull"),
        *("--network", "none", "--add-host", "db:10.0.0.7", "--shm-size", "64m"),
        *("--cgroup-parent", "mine"),
        *("--ulimit", "nofile=5", "--secret", "id=TOKEN", "--allow", "security.insecure"),
        *("-o", f"type=oci,dest={tmp_path}/x.tar"),
    )
    assert built.tags == ("a", "b:1")
    frontend = built.frontend
    assert frontend.target == "test"
    assert frontend.build_args == (("X", "1"),)
    assert frontend.labels == (("l", "w"), ("empty", ""))
    assert frontend.no_cache
    assert frontend.no_cache_filter == ("one", "two", "three")
    assert frontend.resolve_mode == "pull"
    assert frontend.network == "none"
    assert frontend.extra_hosts == (("db", "10.0.0.7"),)
    assert frontend.shm_size == 64 << 20
    assert frontend.cgroup_parent == "mine"
    assert frontend.ulimits == (Ulimit("nofile", 5, 5),)
    assert built.allow == ("security.insecure",)
    assert built.providers.secrets[0].env == "TOKEN"
    assert built.outputs == (OutputSpec("oci", (("dest", f"{tmp_path}/x.tar"),)),)


def test_limits_of_resources() -> None:
    built = request("--resource", "memory=2g", "-c", "512", "--resource=cpuset-cpus=0-1")
    assert built.frontend.resources == LinuxResources(
        memory=2 << 30, cpu_shares=512, cpuset_cpus="0-1"
    )
    assert request().frontend.resources is None
    for wrong in ("memory", "speed=1", "cpu-quota=fast", "memory=much"):
        with pytest.raises(InvalidInput):
            request("--resource", wrong)


def test_platforms_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64")
    assert request().frontend.platforms == ("linux/arm64",)
    assert request("--platform", "local").frontend.platforms == (str(host_platform()),)


def test_images_are_loaded_by_default_if_docker_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def outputs(*words: str) -> list[str]:
        return [output.type for output in request(*words).outputs]

    engine = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine}")
    monkeypatch.setenv("LAMINA_LOAD", "auto")
    assert outputs() == []
    assert capsys.readouterr().err == ""
    assert outputs("--load") == ["image"]
    assert "only in lamina's store" in capsys.readouterr().err
    engine.touch()
    assert outputs() == ["docker"]
    assert outputs("--load") == ["docker"]
    assert outputs("-o", "out") == ["local"]
    assert outputs("--platform", "linux/amd64,linux/arm64") == []
    monkeypatch.delenv("LAMINA_LOAD")
    assert outputs() == []


def test_load_is_docker_unless_that_is_an_output_already(tmp_path: Path) -> None:
    def types(*words: str) -> list[str]:
        return [output.type for output in request(*words).outputs]

    assert types("--load") == ["docker"]
    assert types("--load", "-o", str(tmp_path)) == ["local", "docker"]
    assert types("--load", "-o", "type=docker") == ["docker"]
    assert types("--load", "-o", f"type=docker,dest={tmp_path}/x") == ["docker", "docker"]


def test_only_one_output_goes_to_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda descriptor: False)
    assert len(request("-o", "-").outputs) == 1
    with pytest.raises(InvalidInput, match="only one"):
        request("-o", "-", "-o", "type=oci")


def test_progress_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    def mode(*words: str) -> str:
        return progress_mode(parse(COMMANDS["build"], [*words, "."]))

    monkeypatch.delenv("BUILDKIT_PROGRESS", raising=False)
    assert mode() == "auto"
    assert mode("-q") == "quiet"
    assert mode("--progress=rawjson") == "rawjson"
    with pytest.raises(InvalidInput, match="cannot be combined"):
        mode("-q", "--progress=plain")
    monkeypatch.setenv("BUILDKIT_PROGRESS", "plain")
    assert mode() == "plain"
    assert mode("-q") == "quiet"
    assert mode("--progress=tty") == "tty"
    monkeypatch.setenv("BUILDKIT_PROGRESS", "loud")
    with pytest.raises(InvalidInput, match="BUILDKIT_PROGRESS"):
        mode()


def test_files_are_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "iid"
    target.write_text("old")
    write_file(str(target), "new")
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["iid"]
    with pytest.raises(NotFound):
        write_file(str(tmp_path / "none" / "x"), "text")
    with pytest.raises(NotFound, match="--iidfile"):
        check_folder(str(tmp_path / "none" / "x"), "iidfile")
    check_folder("iid", "iidfile")


def test_a_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    write_file(str(pipe), json.dumps({"a": 1}))
    assert reader.communicate()[0] == b'{"a": 1}'
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
