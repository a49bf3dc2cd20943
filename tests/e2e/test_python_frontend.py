"""`lamina build -f build.py`: embedded, by a daemon, and as a frontend image."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.buildkit_process import BUILDKITD, running_buildkitd
from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess
from tests.python_image import EXECUTABLE, copy_python
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUILD = '''"""Builds for the tests."""

from typing import Literal

import lamina
from lamina.frontend import context, image_config, platform, read_directory, read_file, target
from names import NAME


@target
def base() -> lamina.State:
    """Busybox."""
    busybox = context(include=["busybox"])
    made = lamina.scratch().copy(busybox, "busybox", "/bin/")
    return made.run(["/bin/busybox", "--install", "-s", "/bin"])


@target(default=True)
def app(version: int = 1, mode: Literal["debug", "release"] = "debug") -> lamina.State:
    """The app."""
    print("this goes to no one")
    names = ",".join(read_directory("conf"))
    text = f"{NAME} {version} {mode} {read_file('conf/a').decode()} {names} {platform()}"
    return base().run(f"echo {text} > /out").cmd(["cat", "/out"])


@target
def sandbox() -> lamina.State:
    import os, socket
    found = sorted(os.listdir("/"))
    network = os.listdir("/sys/class/net") if os.path.exists("/sys/class/net") else ["lo"]
    return lamina.scratch().write("/found", f"{os.getuid()} {' '.join(network)} {found}")


@target
def on_dockerfile() -> lamina.State:
    text = "FROM base\\nENV A=1\\n"
    made = lamina.from_dockerfile(context(), text=text, contexts={"base": base()})
    return made.run("echo $A > /out").cmd(["cat", "/out"])


@target
def named() -> lamina.State:
    return base().copy(context("extra"), "file", "/out").cmd(["cat", "/out"])


@target
def on_context(version: int = 1) -> lamina.State:
    made = context("parent").run(f"echo {version} $MADE $(cat /made) > /out")
    return made.cmd(["cat", "/out"])


@target
def extended() -> lamina.State:
    return context("parent").write("/extended", platform())


@target
def of_an_image() -> lamina.State:
    config = image_config("known")["config"]
    return lamina.scratch().write("/out", f"{config['Env']} {sorted(read_directory('conf'))}")


@target
def leaves_a_thread() -> lamina.State:
    import threading

    threading.Thread(target=threading.Event().wait).start()
    return lamina.scratch().write("/out", "made")


@target
def prints() -> lamina.State:
    for _ in range(20_000):
        print("x" * 100)
    raise SystemExit(3)


@target
def exits() -> lamina.State:
    import os, sys
    print("the reason", file=sys.stderr, flush=True)
    os._exit(7)


@target
def closes() -> lamina.State:
    import os
    os.closerange(0, 100)
    return lamina.scratch()


@target
def reads_outside() -> lamina.State:
    return lamina.scratch().copy(context(), "../../../etc/passwd")


@target
def reads_the_machine() -> lamina.State:
    return lamina.scratch().copy(lamina.local("/etc"))


@target
def fails() -> lamina.State:
    return base().run("exit 9")
'''


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    shutil.copy("/bin/busybox", folder / "busybox")
    (folder / "build.py").write_text(BUILD)
    (folder / "names.py").write_text('NAME = "named"\n')
    (folder / "conf").mkdir()
    (folder / "conf/a").write_text("text-a")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Lamina:
    return Lamina(tmp_path_factory.mktemp("lamina") / "store")


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteLamina]:
    root = tmp_path_factory.mktemp("daemon") / "store"
    with DaemonProcess(root) as daemon:
        yield RemoteLamina(root, daemon.address)


@pytest.fixture(scope="module")
def buildkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteLamina]:
    folder = tmp_path_factory.mktemp("buildkit")
    with running_buildkitd(folder) as address:
        yield RemoteLamina(folder, address)


@pytest.fixture(params=["store", "remote"])
def command(request: pytest.FixtureRequest) -> Lamina:
    found: Lamina = request.getfixturevalue(request.param)
    return found


def output(command: Lamina, source: Path, to: Path, *flags: str) -> str:
    """What the file /out of a target holds."""
    command.build(source, "-f", str(source / "build.py"), "-o", str(to), *flags)
    return (to / "out").read_text()


def test_a_target_with_arguments(command: Lamina, source: Path, tmp_path: Path) -> None:
    flags = ("--build-arg=version=7", "--build-arg=mode=release", "--platform=linux/amd64")
    assert output(command, source, tmp_path, *flags) == ("named 7 release text-a a linux/amd64\n")


def test_a_dockerfile_with_a_target_as_its_base(
    command: Lamina, source: Path, tmp_path: Path
) -> None:
    assert output(command, source, tmp_path, "--target=on_dockerfile") == "1\n"


def test_a_named_context(command: Lamina, source: Path, tmp_path: Path) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra/file").write_text("of the context")
    flags = ("--target=named", f"--build-context=extra={tmp_path}/extra")
    assert output(command, source, tmp_path / "out", *flags) == "of the context"


def test_a_context_for_each_platform(store: Lamina, source: Path, tmp_path: Path) -> None:
    (tmp_path / "docker-bake.hcl").write_text(
        f"""target "base" {{
          context = "{source}"
          dockerfile-inline = "FROM scratch\\nARG TARGETARCH\\nCOPY build.py /$TARGETARCH\\n"
          platforms = ["linux/amd64", "linux/arm64"]
        }}
        target "default" {{
          context = "{source}"
          dockerfile = "build.py"
          target = "extended"
          contexts = {{ parent = "target:base" }}
          platforms = ["linux/amd64", "linux/arm64"]
          output = ["type=local,dest={tmp_path}/out"]
        }}"""
    )
    flags = ("-f", str(tmp_path / "docker-bake.hcl"), "--allow=fs=*")
    done = store("bake", *flags)
    assert done.code == 0, done.err
    assert (tmp_path / "out/linux_arm64/arm64").exists()
    assert (tmp_path / "out/linux_amd64/extended").read_text() == "linux/amd64"


def test_questions(command: Lamina, source: Path) -> None:
    flags = ("-f", str(source / "build.py"), str(source))
    listed = command("build", "--call=targets", *flags)
    assert "app (default)" in listed.out and "Busybox." in listed.out, listed.err
    outline = json.loads(command("build", "--call=outline,format=json", *flags).out)
    assert [(arg["name"], arg["value"]) for arg in outline["args"]] == [
        ("version", "1"),
        ("mode", "debug"),
    ]
    assert command("build", "--check", *flags).code == 0


def test_it_runs_in_a_sandbox(command: Lamina, source: Path, tmp_path: Path) -> None:
    command.build(source, "-f", str(source / "build.py"), "-o", str(tmp_path), "--target=sandbox")
    found = (tmp_path / "found").read_text()
    assert found.startswith("65534 lo ")
    assert "'home'" not in found and "'boot'" not in found


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--build-arg=version=x",), 'build argument version: "x" is not an integer'),
        (("--target=nope",), "target nope is not in build.py"),
        (("--target=named",), "there is no context extra"),
        (("--target=prints",), ">>>     raise SystemExit(3)"),
        (("--target=exits",), "exit code: 7: the reason"),
        (("--target=closes",), "did not complete successfully"),
        (("--target=reads_outside",), ">>>     return lamina.scratch().copy(context(),"),
        (("--target=reads_the_machine",), "lamina.frontend.context()"),
    ],
)
def test_errors(command: Lamina, source: Path, flags: tuple[str, ...], reason: str) -> None:
    done = command("build", "-f", str(source / "build.py"), *flags, str(source))
    assert done.code == 1 and reason in done.err
    assert "Traceback" not in done.err


def test_the_configuration_of_an_image(store: Lamina, source: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nENV KNOWN=1\n")
    store.build(tmp_path, "-t", "known")
    found = output(store, source, tmp_path / "out", "--target=of_an_image")
    assert "'KNOWN=1'" in found and found.endswith(" ['a']")


def test_a_thread_that_is_left(command: Lamina, source: Path, tmp_path: Path) -> None:
    assert output(command, source, tmp_path, "--target=leaves_a_thread") == "made"


def test_a_failing_step_names_the_line(command: Lamina, source: Path) -> None:
    done = command("build", "-f", str(source / "build.py"), "--target=fails", str(source))
    assert done.code == 1
    assert '>>>     return base().run("exit 9")' in done.err, done.err


_LABELS = """
LABEL moby.buildkit.frontend.network.none=true
LABEL moby.buildkit.frontend.caps=moby.buildkit.frontend.inputs,\\
moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts
"""


@pytest.fixture(scope="module")
def frontend_image(store: Lamina, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with Python and lamina, in a registry."""
    folder = tmp_path_factory.mktemp("frontend")
    image = folder / "image"
    image.mkdir()
    copy_python(image / "root")
    (image / "Dockerfile").write_text(
        "FROM scratch\nCOPY root /\nENV PYTHONPATH=/lamina\n"
        f'ENTRYPOINT ["{EXECUTABLE}", "-m", "lamina.frontend"]\n{_LABELS}'
    )
    (folder / "registry").mkdir()
    with running_registry(folder / "registry") as host:
        name = f"{host}/python-frontend:1"
        store.build(image, "--push", "-t", name)
        yield name


@pytest.mark.parametrize(
    "command",
    ["store", "remote", *(["buildkit"] if BUILDKITD in os.environ else [])],
    indirect=True,
)
def test_a_frontend_image(
    command: Lamina, source: Path, frontend_image: str, tmp_path: Path
) -> None:
    """It is a frontend by `# syntax=`, for builds with and without a daemon."""
    folder = tmp_path / "context"
    shutil.copytree(source, folder)
    (folder / "build.py").write_text(f"# syntax={frontend_image}\n{BUILD}")
    built = output(command, folder, tmp_path / "out", "--build-arg=version=3")
    assert built.startswith("named 3 debug text-a a linux/")
    flags = ("-f", str(folder / "build.py"), str(folder))
    listed = command("build", "--call=targets", *flags)
    assert "app (default)" in listed.out, listed.err
    failed = command("build", "--target=fails", *flags)
    assert failed.code == 1
    assert '>>>     return base().run("exit 9")' in failed.err, failed.err


BAKE = """
target "files" {
  dockerfile = "build.py"
  target = "base"
}
target "python" {
  dockerfile = "build.py"
  target = "on_context"
  contexts = { parent = "target:dockerfile" }
  args = { version = "8" }
  output = ["type=local,dest=python"]
}
target "dockerfile" {
  dockerfile-inline = <<EOT
FROM base AS made
RUN echo made by a Dockerfile > /made
ENV MADE=yes
EOT
  contexts = { base = "target:files" }
  output = ["type=local,dest=dockerfile"]
}
"""


def test_targets_of_bake_files(
    store: Lamina, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build file's target is a context of a Dockerfile, whose result is one of a build file."""
    monkeypatch.chdir(source)
    (source / "docker-bake.hcl").write_text(BAKE)
    done = store("bake", "--progress=plain", "dockerfile", "python")
    assert done.code == 0, done.err
    assert (source / "dockerfile/made").read_text() == "made by a Dockerfile\n"
    assert (source / "dockerfile/bin/sh").exists()
    assert (source / "python/out").read_text() == "8 yes made by a Dockerfile\n"
    listed = store("bake", "--call=outline", "python")
    assert "version" in listed.out, listed.err
