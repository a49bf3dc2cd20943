"""Attestations of real builds, read by other tools."""

from __future__ import annotations

import json
import subprocess
import tarfile
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.archives import read_member
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

BOTH = "--platform=linux/amd64,linux/arm64"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def skopeo(*args: str) -> bytes:
    done = subprocess.run(["skopeo", *args], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def raw(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")
    )
    return document


def statement(layout: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    (layer,) = manifest["layers"]
    document: dict[str, Any] = json.loads(
        (layout / "blobs/sha256" / layer["digest"].partition(":")[2]).read_text()
    )
    return document


def test_provenance_of_a_pushed_image(
    lamina: Lamina,
    machine: Callable[[str], Lamina],
    registry: str,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    name = f"{registry}/attested/app"
    base = f"{registry}/attested/base:1"
    folder = context("")
    lamina.build(folder, "--push", "-t", base)
    digest = json.loads(
        machine("there")("imagetools", "inspect", "--format={{json .Manifest}}", base).out
    )
    (folder / "Dockerfile").write_text(
        f"FROM {base}\nARG A\nRUN --network=none --mount=type=secret,id=s echo $A > /a\n"
    )
    there = machine("there")
    for tag in ("1", "2"):  # the second time every step is cached
        there.build(
            *(folder, "--push", "-t", f"{name}:{tag}", "--build-arg=A=b"),
            *(
                "--provenance=mode=max,capture-usage=true,builder-id=https://ci.example/1",
                "-f",
                str(folder / "Dockerfile"),
            ),
        )
        index = raw(f"{name}:{tag}")
        image, attestation = index["manifests"]
        assert attestation["platform"] == {"architecture": "unknown", "os": "unknown"}
        assert attestation["annotations"]["vnd.docker.reference.digest"] == image["digest"]
        manifest = raw(f"{name}@{attestation['digest']}")
        assert manifest["subject"]["digest"] == image["digest"]
        layout = tmp_path / f"layout{tag}"
        skopeo(
            *("--insecure-policy", "copy", "-q", "--all", "--src-tls-verify=false"),
            *(f"docker://{name}:{tag}", f"oci:{layout}:x"),
        )
        told = statement(layout, manifest)
        assert told["predicateType"] == "https://slsa.dev/provenance/v1"
        (subject,) = told["subject"]
        assert subject["name"].startswith("pkg:docker/127.0.0.1%3A")
        assert subject["name"].endswith(f"/attested/app@{tag}?platform=linux%2Famd64")
        assert f"sha256:{subject['digest']['sha256']}" == image["digest"]
        built = told["predicate"]["buildDefinition"]
        request = built["externalParameters"]["request"]
        assert request["args"]["build-arg:A"] == "b"
        assert request["secrets"] == [{"id": "s", "optional": True}]
        assert request["locals"] == [{"name": "context"}, {"name": "dockerfile"}]
        (material,) = built["resolvedDependencies"]
        assert material["uri"].endswith("/attested/base@1?platform=linux%2Famd64")
        assert f"sha256:{material['digest']['sha256']}" == digest["digest"]
        steps = built["internalParameters"]["buildConfig"]["llbDefinition"]
        assert [next(iter(step["op"]["Op"]), None) for step in steps] == ["source", "exec", None]
        assert ["resourceUsage" in step for step in steps] == [False, tag == "1", False]
        run = told["predicate"]["runDetails"]
        assert run["builder"]["id"] == "https://ci.example/1"
        layers = run["metadata"]["buildkit_metadata"]["layers"]["step1:0"]
        wanted = [layer["digest"] for layer in raw(f"{name}@{image['digest']}")["layers"]]
        assert [layer["digest"] for layer in layers[0]] == wanted
    assert there("run", f"{name}:1", "cat", "/a").out == "b\n"
    pulled = machine("third")("pull", f"{name}:1")
    assert pulled.code == 0, pulled.err


def test_several_platforms_and_names(
    lamina: Lamina, registry: str, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    names = [f"{registry}/both/{name}:1" for name in ("a", "b")]
    lamina.build(
        *(folder, BOTH, "--push", "-t", names[0], "-t", names[1]),
        "--attest=type=provenance,mode=min,version=v0.2",
    )
    index = raw(names[1])
    images, attestations = index["manifests"][:2], index["manifests"][2:]
    layout = tmp_path / "layout"
    skopeo(
        *("--insecure-policy", "copy", "-q", "--all", "--src-tls-verify=false"),
        *(f"docker://{names[1]}", f"oci:{layout}:x"),
    )
    for image, attestation in zip(images, attestations, strict=True):
        repository = names[1].rpartition(":")[0]
        told = statement(layout, raw(f"{repository}@{attestation['digest']}"))
        assert told["predicateType"] == "https://slsa.dev/provenance/v0.2"
        assert len(told["subject"]) == 2
        assert {f"sha256:{s['digest']['sha256']}" for s in told["subject"]} == {image["digest"]}
        assert told["predicate"]["metadata"]["completeness"]["materials"] is False


def test_files(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    out = tmp_path / "out"
    lamina.build(folder, "--provenance=true", "-o", f"type=local,dest={out},attestation-prefix=a-")
    told = json.loads((out / "a-provenance.json").read_text())
    assert [subject["name"] for subject in told["subject"]] == ["Dockerfile"]
    assert (out / "a-provenance.json").stat().st_mode & 0o777 == 0o600
    lamina.build(folder, BOTH, "--provenance=filename=p.json", "-o", f"type=tar,dest={tmp_path}/t")
    with tarfile.open(tmp_path / "t") as tar:
        assert {"linux_amd64/p.json", "linux_arm64/p.json"} <= set(tar.getnames())
    lamina.build(folder, "--provenance=inline-only=true", "-o", str(tmp_path / "none"))
    assert not (tmp_path / "none/provenance.json").exists()
    (folder / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY <<x /$TARGETARCH\nx\n")
    together = tmp_path / "together"
    destination = f"type=local,dest={together},platform-split=false"
    lamina.build(folder, BOTH, "--provenance=true", "-o", destination)
    assert {path.name for path in together.iterdir()} == {
        *("amd64", "arm64", "provenance.linux_amd64.json", "provenance.linux_arm64.json")
    }


def test_a_file_of_the_same_name_gives_way(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = context(
        f"RUN mkdir /d && ln -s {outside} /d/provenance.json\nFROM scratch\nCOPY --from=base /d /\n"
    )
    out = tmp_path / "out"
    lamina.build(folder, "--provenance=true", "-o", str(out))
    assert outside.read_text() == "mine"
    assert not (out / "provenance.json").is_symlink()


def test_archives(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("COPY Dockerfile /\n")
    inline = "--provenance=mode=min,inline-only=true"
    lamina.build(folder, inline, "-o", f"type=oci,dest={tmp_path}/a.tar,name=a:1")
    shown = skopeo("inspect", "--raw", f"oci-archive:{tmp_path}/a.tar:1")
    assert "config" in json.loads(shown)  # an attestation for images only does not require an index
    forced = f"type=oci,dest={tmp_path}/b.tar,name=a:1,attestation-inline=true,oci-artifact=false"
    lamina.build(folder, inline, "-o", forced)
    index = json.loads(skopeo("inspect", "--raw", f"oci-archive:{tmp_path}/b.tar:1"))
    assert len(index["manifests"]) == 2
    with tarfile.open(tmp_path / "b.tar") as tar:
        digest = index["manifests"][1]["digest"].partition(":")[2]
        manifest = json.loads(read_member(tar, f"blobs/sha256/{digest}"))
    assert "subject" not in manifest
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    lamina.build(
        folder, "--provenance=true", "-o", f"type=oci,dest={tmp_path}/layout,tar=false,name=a:1"
    )
    bundle = tmp_path / "bundle"
    # umoci considers any index ambiguous, so it gets the image.
    image = f"oci:{tmp_path}/image:1"
    skopeo("--insecure-policy", "copy", "-q", f"oci:{tmp_path}/layout:1", image)
    subprocess.run(
        ["umoci", "unpack", "--image", f"{tmp_path}/image:1", str(bundle)],
        check=True,
        capture_output=True,
    )
    assert (bundle / "rootfs/Dockerfile").exists()
    lamina.build(folder, "--provenance=true", "-o", f"type=docker,dest={tmp_path}/d.tar,name=a:1")
    assert json.loads(skopeo("inspect", f"docker-archive:{tmp_path}/d.tar"))["Layers"]
    refused = lamina(
        *("build", "--provenance=true", "-o", f"type=oci,dest={tmp_path}/x,oci-mediatypes=false"),
        str(folder),
    )
    assert 'cannot export attestations with "oci-mediatypes=false"' in refused.err


def test_the_commit_of_the_context(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e", *words]
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()

    git("init", "-q")
    git("add", "Dockerfile")
    git("commit", "-qm", "one")
    git("remote", "add", "origin", "https://user:secret@host.example/app.git")
    lamina.build(folder, "--provenance=true", "-o", str(tmp_path / "out"))
    text = (tmp_path / "out/provenance.json").read_text()
    assert "secret" not in text.replace("secrets", "")
    assert json.loads(text)["predicate"]["runDetails"]["metadata"]["buildkit_metadata"]["vcs"] == {
        "localdir:context": ".",
        "localdir:dockerfile": ".",
        "revision": git("rev-parse", "HEAD"),
        "source": "https://xxxxx:xxxxx@host.example/app.git",
    }


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--sbom=format=xml", 'invalid SBOM format "xml"'),
        ("--attest=type=vibes", 'unknown type "vibes"'),
        ("--provenance=mode=most", 'invalid mode "most"'),
        ("--provenance=moed=min", "provenance does not support moed"),
        ("--provenance=complete-materials=true", "materials are incomplete"),
    ],
)
def test_refused(lamina: Lamina, context: Callable[..., Path], flag: str, said: str) -> None:
    failed = lamina("build", flag, str(context("FROM scratch\nCOPY Dockerfile /\n")))
    assert failed.code == 1
    assert said in failed.err


def test_switched_off(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    for flags in (
        ["--provenance=false", "-t", "one"],
        ["--attest=type=provenance", "--provenance=false", "--sbom=false", "-t", "two"],
    ):
        lamina.build(folder, *flags)
        (shown,) = json.loads(lamina("inspect", flags[-1]).out)
        assert "config" in shown


def test_materials_of_steps(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    lamina.build(context("FROM base\n"), "-o", f"type=oci,tar=false,dest={layout}")
    (tmp_path / "served").mkdir()
    (tmp_path / "served/file").write_text("some bytes")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/file"
        folder = context(f"FROM lent\nADD {url} /file\n")
        for out in ("made", "remembered"):
            lamina.build(
                folder,
                f"--build-context=lent=oci-layout://{layout}",
                "--provenance=true",
                "-o",
                str(tmp_path / out),
            )
        server.shutdown()
    for out in ("made", "remembered"):
        told = json.loads((tmp_path / out / "provenance.json").read_text())
        image, file = told["predicate"]["buildDefinition"]["resolvedDependencies"]
        assert image["uri"].startswith("pkg:oci/")
        assert image["digest"]["sha256"] in image["uri"]
        assert file == {"uri": url, "digest": {"sha256": sha256(b"some bytes").hexdigest()}}
