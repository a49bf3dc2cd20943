"""`lamina bake` builds targets at the same time, in one engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.commands import RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Done, Lamina


@pytest.fixture
def bake(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """`bake(definition, arguments…)` in a directory with the base image's files."""
    monkeypatch.chdir(context("FROM base\n", {"a": "text"}))

    def run(definition: str, *arguments: str) -> Done:
        (tmp_path / "context" / "docker-bake.hcl").write_text(definition)
        return lamina("bake", "--progress=plain", *arguments)

    return run


LINKED = """
group "default" { targets = ["one", "two"] }
target "base" {
  target = "base"
  dockerfile-inline = <<EOT
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo in-base; echo made > /made"]
ENV FROM_BASE=yes
EOT
}
target "one" {
  contexts = { parent = "target:base" }
  dockerfile-inline = <<EOT
FROM parent
COPY a /one
RUN ["/bin/busybox", "sh", "-c", "echo $FROM_BASE > /env"]
EOT
  output = ["type=local,dest=out/one"]
}
target "two" {
  contexts = { files = "target:base" }
  dockerfile-inline = <<EOT
FROM scratch
COPY --from=files /made /two
COPY a /a
EOT
  output = ["type=tar,dest=two.tar"]
}
"""


def test_targets_are_contexts_of_others(bake: Callable[..., Done], tmp_path: Path) -> None:
    done = bake(LINKED, "--metadata-file", "metadata.json")
    assert done.code == 0, done.err
    out = tmp_path / "context" / "out"
    assert (out / "one/env").read_text() == "yes\n"
    assert (out / "one/made").read_text() == "made\n"
    assert (out / "one/one").read_text() == "text"
    with tarfile.open(tmp_path / "context" / "two.tar") as archive:
        assert {"two", "a"} <= set(archive.getnames())
    assert len(re.findall(r"^#\d+ [\d.]+ in-base$", done.err, re.MULTILINE)) == 1
    # One reads busybox, the others read the same file: these are the same step.
    assert len(re.findall(r"load build context$", done.err, re.MULTILINE)) == 2
    assert "[base 2/2] RUN" in done.err
    assert "[one" in done.err
    metadata = json.loads((tmp_path / "context" / "metadata.json").read_text())
    assert sorted(metadata) == ["base", "one", "two"]
    again = bake(LINKED)
    assert again.code == 0, again.err
    assert not re.search(r"^#\d+ [\d.]+ in-base$", again.err, re.MULTILINE)


def test_secrets_of_a_linked_target(bake: Callable[..., Done], tmp_path: Path) -> None:
    definition = """
    target "base" {
      secret = ["id=token,src=a"]
      dockerfile-inline = <<-EOT
    FROM scratch
    COPY busybox /bin/busybox
    RUN --mount=type=secret,id=token ["/bin/busybox", "cp", "/run/secrets/token", "/token"]
    EOT
    }
    target "default" {
      contexts = { base = "target:base" }
      dockerfile-inline = "FROM base"
      output = ["out"]
    }
    """
    done = bake(definition)
    assert done.code == 0, done.err
    assert (tmp_path / "context/out/token").read_text() == "text"


def test_images_are_stored_and_listed(bake: Callable[..., Done], lamina: Lamina) -> None:
    done = bake('target "default" {\n  tags = ["app:1"]\n  target = "base"\n}')
    assert done.code == 0, done.err
    assert "app" in lamina("images").out


def test_a_failing_target_stops_the_others(bake: Callable[..., Done]) -> None:
    definition = """
    group "default" { targets = ["bad", "slow"] }
    target "slow" {
      dockerfile-inline = <<-EOT
    FROM scratch
    COPY busybox /bin/busybox
    RUN ["/bin/busybox", "sleep", "100"]
    EOT
    }
    target "bad" {
      dockerfile-inline = "FROM scratch\\nCOPY missing /"
    }
    """
    done = bake(definition)
    assert done.code == 1
    assert 'ERROR: target bad: "/missing": not found' in done.err


def test_an_interrupt_ends_all_targets(
    bake: Callable[..., Done], lamina: Lamina, tmp_path: Path
) -> None:
    target = """
    target "%s" {
      dockerfile-inline = <<-EOT
    FROM scratch
    COPY busybox /bin/busybox
    RUN ["/bin/busybox", "sh", "-c", "trap 'exit 1' TERM; echo started %s; %s"]
    EOT
    }
    """
    loop = "while true; do /bin/busybox sleep 0.1; done"
    folder = tmp_path / "context"
    (folder / "docker-bake.hcl").write_text(target % ("a", "a", loop) + target % ("b", "b", loop))
    with subprocess.Popen(
        lamina.command("bake", "--progress=plain", "a", "b"),
        cwd=folder,
        env={**os.environ, "LAMINA_STOP_TIMEOUT": "1s"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        waiting = {"a", "b"}
        for line in process.stderr:
            if (found := re.search(r"[\d.]+ started (\w)", line)) is not None:
                waiting.discard(found[1])
            if not waiting:
                break
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "ERROR: interrupted" in rest


def test_platforms_of_a_linked_target(bake: Callable[..., Done], tmp_path: Path) -> None:
    definition = """
    target "base" {
      platforms = ["linux/amd64", "linux/arm64"]
      dockerfile-inline = <<-EOT
    FROM scratch
    ARG TARGETARCH
    COPY <<E /arch
    ${"$"}{TARGETARCH}
    E
    EOT
    }
    target "default" {
      platforms = ["linux/amd64", "linux/arm64"]
      contexts = { base = "target:base" }
      dockerfile-inline = "FROM base"
      output = ["out"]
    }
    """
    done = bake(definition)
    assert done.code == 0, done.err
    out = tmp_path / "context/out"
    assert (out / "linux_arm64/arch").read_text() == "arm64\n"
    assert (out / "linux_amd64/arch").read_text() == "amd64\n"


def test_checks_and_outlines(bake: Callable[..., Done]) -> None:
    definition = """
    target "default" {
      description = "With a warning"
      contexts = { base = "target:other" }
      dockerfile-inline = "FROM base as x"
    }
    target "other" {
      dockerfile-inline = "FROM scratch"
    }
    """
    done = bake(definition, "--check")
    assert done.code == 1
    assert done.out.startswith("default\nWith a warning\n\nCheck complete, 1 warning has been")
    assert "\nother\n\nCheck complete, no warnings found." in done.out
    done = bake(definition, "--call=check,format=json")
    document = json.loads(done.out)
    assert document["target"]["default"]["build"]["call"] == "lint"
    (warning,) = document["target"]["default"]["check"]["warnings"]
    assert warning["ruleName"] == "FromAsCasing"


def test_what_a_bake_file_may_read_and_write(bake: Callable[..., Done], tmp_path: Path) -> None:
    definition = f"""
    target "default" {{
      target = "base"
      contexts = {{ other = "{tmp_path}/other" }}
      output = ["type=local,dest={tmp_path}/written"]
    }}
    """
    (tmp_path / "other").mkdir()
    done = bake(definition)
    assert done.code == 1
    assert f"--allow=fs.read={tmp_path}/other --allow=fs.write={tmp_path}" in done.err
    assert not (tmp_path / "written").exists()
    done = bake(definition, f"--allow=fs={tmp_path}")
    assert done.code == 0, done.err
    assert (tmp_path / "written/bin/busybox").exists()
    done = bake('target "default" {\n  network = "host"\n}')
    assert done.code == 1
    assert "--allow=network.host" in done.err


def test_targets_in_a_daemon(
    context: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = context("FROM base\n", {"a": "text"})
    monkeypatch.chdir(folder)
    (folder / "docker-bake.hcl").write_text(
        'group "default" { targets = ["one", "two"] }\n'
        'target "one" {\n  output = ["out/one"]\n}\n'
        'target "two" {\n  output = ["out/two"]\n}\n'
    )
    with DaemonProcess(tmp_path / "daemon") as process:
        daemon = RemoteLamina(tmp_path, process.address)
        done = daemon("bake", "--progress=plain")
        assert done.code == 0, done.err
        (folder / "docker-bake.hcl").write_text(LINKED)
        linked = daemon("bake", "--progress=plain")
    assert linked.code == 0, linked.err
    assert (folder / "out/one/env").read_text() == "yes\n"
    assert (folder / "out/one/one").read_text() == "text"
    with tarfile.open(folder / "two.tar") as archive:
        assert {"two", "a"} <= set(archive.getnames())
    assert len(re.findall(r"^#\d+ [\d.]+ in-base$", linked.err, re.MULTILINE)) == 1
