"""Images in a real registry. The expected texts are those of `docker buildx imagetools`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import Lamina
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCKERFILE = """FROM scratch
COPY Dockerfile /
ENV A=1
LABEL x=y
"""


class Tools:
    """Images in a registry, and the commands for them."""

    def __init__(self, host: str, lamina: Lamina, folder: Path) -> None:
        self.host = host
        self._lamina = lamina
        self.folder = folder

    def build(self, name: str, *words: str) -> None:
        done = self._lamina(
            *("build", "--push", "-t", f"{self.host}/{name}", "--provenance=false"),
            *("--build-arg", "SOURCE_DATE_EPOCH=1000", *words, str(self.folder)),
        )
        assert done.code == 0, done.err

    def __call__(self, *words: str) -> str:
        done = self._lamina("imagetools", *words)
        assert done.code == 0, done.err
        return done.out

    def refused(self, *words: str) -> str:
        done = self._lamina("imagetools", *words)
        assert done.code == 1
        return done.err

    def created(self, *words: str) -> Any:
        return json.loads(self("create", "--dry-run", *words))


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    folder = tmp_path_factory.mktemp("tools")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        made = Tools(host, Lamina(tmp_path_factory.mktemp("lamina") / "store"), folder)
        made.build("one", "--platform", "linux/amd64")
        made.build("arm", "--platform", "linux/arm64")
        made.build(
            "both", "--platform", "linux/amd64,linux/arm64", "--provenance=mode=max,version=v1"
        )
        yield made


def test_the_text_of_an_image_and_an_index(tools: Tools) -> None:
    name = f"{tools.host}/one:latest"
    digest = tools("inspect", "--format", "{{.Manifest.Digest}}", name).strip()
    one = (
        f"Name:      {name}\n"
        "MediaType: application/vnd.oci.image.manifest.v1+json\n"
        f"Digest:    {digest}\n"
    )
    assert tools("inspect", f"{tools.host}/one") == one
    assert tools("inspect", "--format", "{{ .Manifest }}", f"{tools.host}/one") == one
    text = tools("inspect", f"{tools.host}/both")
    assert "\n           \nManifests: \n  Name:      " in text
    assert "\n  Platform:    linux/arm64\n" in text
    assert "\n  Annotations: \n    vnd.docker.reference.digest: sha256:" in text


@pytest.mark.parametrize(
    ("image", "template", "expected"),
    [
        ("one", "{{.Image.OS}}/{{.Image.Architecture}}", "linux/amd64\n"),
        ("one", "{{json .Image.Config.Env}}", '[\n  "PATH=/usr/local/sbin:'),
        ("one", "{{json .Image.Config.Labels}}", '{\n  "x": "y"\n}\n'),
        ("one", "{{.Image.Created}}", "1970-01-01 00:16:40 +0000 UTC\n"),
        ("one", "{{json .Image}}", '{\n  "created": "1970-01-01T00:16:40Z",\n  "architecture"'),
        ("one", "{{json .Provenance}}", "{}\n"),
        ("one", "{{json .SBOM.SPDX}}", "null\n"),
        ("one", "{{json .}}", '{\n  "name": "HOST/one",\n  "manifest": {\n    "mediaType"'),
        ("both", "{{len .Image}}", "2\n"),
        ("both", '{{(index .Image "linux/arm64").Architecture}}', "arm64\n"),
        ("both", "{{range $p, $i := .Image}}{{$p}} {{end}}", "linux/amd64 linux/arm64 \n"),
        ("both", "{{json .Manifest}}", '{\n  "schemaVersion": 2,\n  "mediaType": "application'),
        (
            "both",
            '{{json (index .Provenance "linux/amd64").SLSA.buildDefinition.buildType}}',
            '"https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"\n',
        ),
    ],
)
def test_templates(tools: Tools, image: str, template: str, expected: str) -> None:
    shown = tools("inspect", "--format", template, f"{tools.host}/{image}")
    assert shown.startswith(expected.replace("HOST", tools.host))


def test_indexes(tools: Tools, tmp_path: Path) -> None:
    one, arm, both = (f"{tools.host}/{name}" for name in ("one", "arm", "both"))
    alone = tools.created(one)
    assert [m["platform"]["architecture"] for m in alone["manifests"]] == ["amd64"]
    copied = tools.created("--prefer-index=false", one)
    assert "config" in copied
    assert tools("create", "--dry-run", both).strip() == tools("inspect", "--raw", both).strip()
    pair = tools.created(one, arm, one)
    assert [m["platform"]["architecture"] for m in pair["manifests"]] == ["amd64", "arm64"]
    annotated = tools.created(
        *("--annotation", "index:a=1", "--annotation", "manifest-descriptor[linux/arm64]:b=2"),
        *(one, arm),
    )
    assert annotated["annotations"] == {"a": "1"}
    assert [m.get("annotations") for m in annotated["manifests"]] == [None, {"b": "2"}]
    filtered = tools.created("--platform", "linux/arm64", both)
    kinds = [m["platform"]["architecture"] for m in filtered["manifests"]]
    assert kinds == ["arm64", "unknown"]  # with its attestation
    digest = alone["manifests"][0]["digest"]
    assert tools.created("-t", f"{tools.host}/one:2", digest) == alone
    descriptor = {"digest": digest, "platform": {"os": "linux", "architecture": "riscv64"}}
    (tmp_path / "source").write_text(json.dumps(descriptor))
    described = tools.created("-f", str(tmp_path / "source"), "-t", one)
    assert described["manifests"][0]["platform"]["architecture"] == "riscv64"


def test_pushes(tools: Tools, tmp_path: Path) -> None:
    one, arm, made = (f"{tools.host}/{name}" for name in ("one", "arm", "made"))
    metadata = tmp_path / "metadata.json"
    tools("create", "-t", f"{made}:1", "-t", f"{made}:2", "--metadata-file", str(metadata), one)
    document = json.loads(metadata.read_text())
    assert document["image.name"] == made
    digest = tools("inspect", "--format", "{{.Manifest.Digest}}", f"{made}:2").strip()
    assert document["containerimage.descriptor"]["digest"] == digest
    tools("create", "--append", "-t", f"{made}:1", arm)
    both = json.loads(tools("inspect", "--raw", f"{made}:1"))
    assert [m["platform"]["architecture"] for m in both["manifests"]] == ["amd64", "arm64"]


def test_wrong_uses(tools: Tools, tmp_path: Path) -> None:
    one = f"{tools.host}/one"
    assert "no images to combine" in tools.refused("create", "-t", one)
    assert "add -t NAME" in tools.refused("create", one)
    assert "cannot be combined" in tools.refused("inspect", "--raw", "--format", "{{.Name}}", one)
    assert "none of the manifests" in tools.refused(
        "create", "--dry-run", "-p", "linux/s390x", f"{tools.host}/both"
    )
    assert "use index:" in tools.refused("create", "--dry-run", "--annotation", "manifest:a=b", one)
    digest = "sha256:" + "0" * 64
    assert "names no repository" in tools.refused("create", "--dry-run", digest)
    (tmp_path / "manifest").write_text('{"schemaVersion": 2}')
    assert "not its descriptor" in tools.refused(
        "create", "--dry-run", "-f", str(tmp_path / "manifest")
    )
