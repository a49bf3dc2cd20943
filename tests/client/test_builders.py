"""The Builder's contract: one suite for builds in this process and in a daemon."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


def failed(builder: Lamina, *args: str, stdin: bytes = b"") -> str:
    done = builder("build", "--progress=quiet", *args, stdin=stdin)
    assert done.code == 1
    return done.err


def names(path: Path) -> set[str]:
    with tarfile.open(path) as tar:
        return {member.name.removeprefix("./") for member in tar}


def test_every_output_at_once_and_its_metadata(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN mkdir /made; echo 1 > /made/file\n", {"unused": "x"})
    log = builder.build(
        folder,
        *("-t", "app:1", "-t", "other/app", f"--metadata-file={tmp_path}/metadata"),
        *("-o", f"type=oci,dest={tmp_path}/oci.tar", "-o", f"type=docker,dest={tmp_path}/d.tar"),
        *("-o", f"type=tar,dest={tmp_path}/files.tar", "-o", str(tmp_path / "out")),
        *("-o", f"type=oci,tar=false,dest={tmp_path}/layout", f"--iidfile={tmp_path}/id"),
    )
    assert (tmp_path / "out/made/file").read_text() == "1\n"
    assert "made/file" in names(tmp_path / "files.tar")
    assert {"oci-layout", "index.json"} <= names(tmp_path / "oci.tar")
    assert "manifest.json" in names(tmp_path / "d.tar")
    metadata = json.loads((tmp_path / "metadata").read_text())
    assert metadata["image.name"] == "docker.io/library/app:1,docker.io/other/app:latest"
    digest = metadata["containerimage.digest"]
    assert metadata["containerimage.descriptor"]["digest"] == digest
    assert (tmp_path / "id").read_text() == metadata["containerimage.config.digest"]
    index = json.loads((tmp_path / "layout/index.json").read_text())
    assert {entry["digest"] for entry in index["manifests"]} == {digest}
    for entry in index["manifests"]:
        reference = entry["annotations"]["org.opencontainers.image.ref.name"]
        subprocess.run(
            ["skopeo", "inspect", f"oci:{tmp_path}/layout:{reference}"],
            check=True,
            capture_output=True,
        )
    assert "exporting to oci image format" in log


def test_the_default_output_is_an_image_in_the_store(
    builder: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("RUN true\n")
    first = builder("build", "-q", "-t", "app", str(folder))
    assert (first.code, first.err) == (0, "")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", first.out)
    assert builder("build", "-q", str(folder)).out == first.out
    assert "CACHED" in builder.build(folder).partition("RUN true")[2]


def test_a_tar_archive_on_standard_output(builder: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM scratch\nCOPY a /a\n", {"a": "text"})
    done = subprocess.run(
        builder.command("build", "--progress=quiet", "-o", "-", str(folder)),
        env=builder.environment(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert [member.name for member in tar if member.isfile()] == ["a"]


def test_a_folder_as_a_mirror(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nCOPY a /a\n", {"a": "text"})
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("")
    builder.build(folder, "-o", str(out))
    assert sorted(os.listdir(out)) == ["a", "old"]
    builder.build(folder, "-o", f"type=local,dest={out},mode=delete")
    assert os.listdir(out) == ["a"]


def test_arguments_labels_targets_and_hosts(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    text = "FROM base AS wanted\nARG WHO=nobody\nRUN echo $WHO > /who; cp /etc/hosts /hosts\n"
    folder = context(text + "RUN ulimit -n > /files; df -k /dev/shm | tail -1 > /shm\nFROM base\n")
    builder.build(
        folder,
        *("--target=wanted", "--build-arg=WHO=a, b", "--label=x=y,z", "--ulimit=nofile=77:88"),
        *("--add-host=db:10.0.0.7", "--shm-size=3m", "-o", str(tmp_path / "out")),
        *("-o", f"type=oci,dest={tmp_path}/oci.tar"),
    )
    assert (tmp_path / "out/who").read_text() == "a, b\n"
    assert "10.0.0.7\tdb" in (tmp_path / "out/hosts").read_text()
    assert (tmp_path / "out/files").read_text() == "77\n"
    assert " 3072 " in (tmp_path / "out/shm").read_text()
    config = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci-archive:{tmp_path}/oci.tar"],
        check=True,
        capture_output=True,
    )
    assert json.loads(config.stdout)["config"]["Labels"] == {"x": "y,z"}


def test_no_cache_and_no_cache_filter(builder: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base AS one\nRUN echo 1 > /a\nFROM one AS two\nRUN echo 2 > /b\n")

    def cached(*args: str) -> list[bool]:
        log = builder.build(folder, *args)
        steps = re.findall(r"^#(\d+) \[.*RUN echo", log, re.M)
        return [f"#{number} CACHED" in log for number in steps]

    assert cached() == [False, False]
    assert cached() == [True, True]
    assert cached("--no-cache-filter=two") == [True, False]
    assert cached("--no-cache") == [False, False]


def test_secrets_and_agents(builder: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    text = "RUN --mount=type=secret,id=file cat /run/secrets/file > /file\n"
    text += "RUN --mount=type=secret,id=name,env=NAME echo $NAME > /name\n"
    text += "RUN --mount=type=ssh test -S $SSH_AUTH_SOCK\n"
    text += "RUN --mount=type=secret,id=missing,required echo never\n"
    (tmp_path / "token").write_text("from a file")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(key)], check=True)
    folder = context(text)
    done = builder(
        *("build", "--progress=plain", f"--secret=id=file,src={tmp_path}/token"),
        *("--secret=id=name,env=TOKEN", f"--ssh=default={key}", str(folder)),
        env={"TOKEN": "from the environment"},
    )
    assert done.code == 1
    assert "--secret id=missing,src=FILE" in done.err
    assert ">>> RUN --mount=type=secret,id=missing" in done.err


def test_contexts_by_name(builder: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("other")
    (other / "ignored").write_text("")
    (other / ".dockerignore").write_text("ignored\n")
    (tmp_path / "base").mkdir()
    (tmp_path / "base/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /layout\n")
    builder.build(
        tmp_path / "base", "-o", f"type=oci,tar=false,dest={tmp_path}/layout", "-t", "b:1"
    )
    folder = context("FROM image\nCOPY --from=src . /\nCOPY --from=more Dockerfile /main\n")
    builder.build(
        folder,
        *(
            f"--build-context=src={other}",
            f"--build-context=image=oci-layout://{tmp_path}/layout:1",
        ),
        *(f"--build-context=more={tmp_path}/base", "-o", str(tmp_path / "out")),
    )
    assert sorted(os.listdir(tmp_path / "out")) == [".dockerignore", "file", "layout", "main"]


def test_contexts_on_standard_input(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nCOPY sub/file /\n", {"sub/file": "1"})
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(folder, ".")
    out = tmp_path / "out"
    done = builder("build", "-q", "-o", str(out), "-", stdin=archive.getvalue())
    assert done.code == 0, done.err
    assert (out / "file").read_text() == "1"
    (folder / "other.Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /second\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, ".")
    options = ("build", "-q", "-o", str(out), "-f", "other.Dockerfile", "-")
    done = builder(*options, stdin=archive.getvalue())
    assert done.code == 0, done.err
    assert (out / "second").exists()
    done = builder(
        *("build", "-q", "-o", str(out), "-f", "-", str(folder)),
        stdin=b"FROM scratch\nCOPY sub/file /third\n",
    )
    assert done.code == 0, done.err
    assert (out / "third").exists()
    assert "COPY missing" in failed(builder, "-", stdin=b"FROM scratch\nCOPY missing /\n")


def test_a_dockerfile_elsewhere_and_its_ignore_file(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\n", {"a": "", "b": ""})
    other = tmp_path / "my.Dockerfile"
    other.write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "my.Dockerfile.dockerignore").write_text("*\n!a\n")
    builder.build(folder, "-f", str(other), "-o", str(tmp_path / "out"))
    assert os.listdir(tmp_path / "out") == ["a"]


def test_a_git_repository_as_context(builder: Lamina, tmp_path: Path) -> None:
    folder = tmp_path / "repository.git"

    def git(*args: str) -> None:
        subprocess.run(["git", "-C", str(folder), *args], check=True, capture_output=True)

    (folder / "sub").mkdir(parents=True)
    (folder / "sub/Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m")
    git("update-server-info")
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        # Served as plain files: the repository is in `.git`.
        os.symlink(folder / ".git", tmp_path / "plain.git")
        url = f"http://127.0.0.1:{server.server_port}/plain.git#main:sub"
        done = builder("build", "-q", "-o", str(tmp_path / "out"), url)
        server.shutdown()
        thread.join()
    assert done.code == 0, done.err
    assert os.listdir(tmp_path / "out") == ["Dockerfile"]


def test_folders_as_caches(
    builder: Lamina,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    folder = context("RUN echo 1 > /file\n")
    cache = tmp_path / "cache"
    builder.build(folder, f"--cache-to=type=local,dest={cache},mode=max,tag=t")
    index = json.loads((cache / "index.json").read_text())
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "t"
    assert builder("prune", "-af").code == 0
    log = builder.build(folder, f"--cache-from=type=local,src={cache},tag=t")
    number = re.findall(r"^#(\d+) \[.*RUN echo", log, re.M)[0]
    assert f"#{number} CACHED" in log
    before = set(os.listdir(cache / "blobs/sha256"))
    again = context("FROM scratch\nCOPY Dockerfile /\n")
    builder.build(again, f"--cache-to=type=local,dest={cache},mode=max,tag=t,reset=true")
    assert not before & set(os.listdir(cache / "blobs/sha256"))
    again = context("FROM scratch\nCOPY Dockerfile /again\n")
    log = builder.build(again, f"--cache-from=type=local,src={cache}-missing")
    assert f"there is no cache in {cache}-missing" in log


def test_entitlements_have_to_be_granted(builder: Lamina, context: Callable[..., Path]) -> None:
    folder = context("RUN --network=host true\n")
    assert "network.host is not allowed" in failed(builder, str(folder))
    builder.build(folder, "--allow=network.host")
    builder.build(context("RUN true\n"), "--network=host")


def test_several_platforms(builder: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context(
        "FROM scratch\nARG TARGETARCH\nCOPY a-$TARGETARCH /\n", {"a-amd64": "1", "a-arm64": "2"}
    )
    builder.build(
        folder,
        "--platform=linux/amd64,linux/arm64",
        "-o",
        str(tmp_path / "out"),
        f"--metadata-file={tmp_path}/metadata",
        "-o",
        f"type=oci,dest={tmp_path}/oci.tar",
    )
    found = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "out").rglob("a-*"))
    assert found == ["out/linux_amd64/a-amd64", "out/linux_arm64/a-arm64"]
    metadata = json.loads((tmp_path / "metadata").read_text())
    assert metadata["containerimage.descriptor"]["mediaType"].endswith("index.v1+json")


def test_provenance(builder: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    builder.build(folder, "--provenance=mode=max", "-o", str(tmp_path / "out"))
    statement = json.loads((tmp_path / "out/provenance.json").read_text())
    assert statement["predicateType"].startswith("https://slsa.dev/provenance/")


def test_errors_show_the_line(builder: Lamina, context: Callable[..., Path]) -> None:
    shown = failed(builder, str(context("RUN exit 7\n")))
    assert "Dockerfile:4" in shown
    assert "   4 | >>> RUN exit 7" in shown
    assert shown.endswith(
        'ERROR: process "/bin/sh -c exit 7" did not complete successfully: exit code: 7\n'
    )
    shown = failed(builder, str(context("FORM x\n")))
    assert "unknown instruction: FORM" in shown
    assert "   4 | >>> FORM x" in shown
    assert 'target stage "x" could not be found' in failed(builder, "--target=x", str(context("")))
    assert "hint: " in failed(builder, "-o", "type=nothing", str(context("")))


def test_questions(builder: Lamina, context: Callable[..., Path]) -> None:
    folder = str(context("MAINTAINER me\nARG A=1\nFROM base AS last\n"))
    checked = builder("build", "--progress=quiet", "--check", folder)
    assert checked.code == 1
    assert "1 warning has been found" in checked.out
    assert "   4 | >>> MAINTAINER me" in checked.out
    outline = builder("build", "--progress=quiet", "--call=outline,format=json", folder)
    assert json.loads(outline.out)["name"] == "last"
    targets = json.loads(builder("build", "-q", "--call=targets,format=json", folder).out)
    assert [target["name"] for target in targets["targets"]] == ["base", "last"]
    broken = builder("build", "--progress=quiet", "--check", str(context("COPY --from=x a\n")))
    assert broken.code == 1
    assert "ERROR: " in broken.err
    assert "   4 | >>> COPY --from=x a" in broken.err
    described = builder("build", "-q", "--call=subrequests.describe", folder)
    assert "outline" in described.out


def test_usage_and_pruning(builder: Lamina, context: Callable[..., Path]) -> None:
    builder.build(context("RUN --mount=type=cache,target=/c echo 1 > /c/a\n"))
    records = [json.loads(line) for line in builder("du", "--format=json").out.splitlines()]
    assert {"regular", "exec.cachemount"} <= {record["Type"] for record in records}
    mounts = [record["ID"] for record in records if record["Type"] == "exec.cachemount"]
    listed = builder("du", "--format=json", "--filter=type=exec.cachemount").out
    assert [json.loads(line)["ID"] for line in listed.splitlines()] == mounts
    assert mounts[0] in builder("prune", "-f", "--filter=type=exec.cachemount").out
    assert builder("prune", "-f", "--filter=until=1h").out == "Total: 0B\n"
    assert builder("prune", "-af").code == 0
    assert builder("du", "--format=json").out == ""


def test_an_interrupt_ends_the_build(builder: Lamina, context: Callable[..., Path]) -> None:
    folder = context("RUN echo begun; sleep 1000\n")
    with subprocess.Popen(
        builder.command("build", "--progress=plain", str(folder)),
        env=builder.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rstrip().endswith("begun"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(30) == 130
    assert rest.endswith("ERROR: interrupted\n")
    # Its leftovers are no obstacle.
    builder.build(context("RUN echo over\n"))


def test_a_layout_beside_other_images_is_whole(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /file\n")
    builder.build(
        folder,
        *("-o", f"type=oci,tar=false,dest={tmp_path}/layout,compression=zstd"),
        *("-o", f"type=docker,dest={tmp_path}/d.tar", "-o", f"type=oci,dest={tmp_path}/o.tar"),
    )
    inspected = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path}/layout"], check=True, capture_output=True
    )
    assert "tar+zstd" in inspected.stdout.decode()


def test_images_are_listed_once_with_their_platforms(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    lamina.build(folder, "--platform=linux/arm/v6")
    lamina.build(folder, "--platform=linux/arm/v6", "-t", "demo")
    lines = lamina("images", "--format=json").out.splitlines()
    assert [json.loads(line)["Platform"] for line in lines] == ["linux/arm/v6"]
    assert json.loads(lines[0])["Repository"] == "demo"
