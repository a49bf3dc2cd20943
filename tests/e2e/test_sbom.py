"""SBOMs of real builds: the scanner of lamina, generator images, and `lamina sbom`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

STATUS = {"status": "Package: bash\nVersion: 5.2\nArchitecture: amd64\n\n"}
WITH_PACKAGE = "FROM base AS app\nCOPY status /var/lib/dpkg/status\n"
SPDX, CYCLONEDX = "https://spdx.dev/Document", "https://cyclonedx.org/bom"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


class Layout:
    """An OCI layout, and what its index says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (top,) = json.loads((folder / "index.json").read_text())["manifests"]
        self.index = self.document(top["digest"])
        image, *attestations = self.index["manifests"]
        self.layers = [layer["digest"] for layer in self.document(image["digest"])["layers"]]
        self.statements = [
            self.document(layer["digest"])
            for manifest in attestations
            for layer in self.document(manifest["digest"])["layers"]
        ]

    def document(self, digest: str) -> dict[str, Any]:
        path = self.folder / "blobs/sha256" / digest.partition(":")[2]
        document: dict[str, Any] = json.loads(path.read_text())
        return document


@pytest.fixture
def built(lamina: Lamina, tmp_path: Path) -> Callable[..., Layout]:
    """Builds a context with flags. Returns the image's layout."""

    def build(folder: Path, *flags: str) -> Layout:
        made = tmp_path / f"layout{len(list(tmp_path.iterdir()))}"
        lamina.build(folder, *flags, "-o", f"type=oci,tar=false,dest={made}")
        return Layout(made)

    return build


def names(predicate: dict[str, Any]) -> list[str]:
    return [package["name"] for package in predicate["packages"]]


def test_the_scanner_of_lamina(
    context: Callable[..., Path], built: Callable[..., Layout], lamina: Lamina
) -> None:
    folder = context(f"{WITH_PACKAGE}RUN echo x > /x\n", STATUS)
    layout = built(folder, "--sbom=true", "--provenance=true", "-t", "app:1")
    sbom, provenance = layout.statements
    assert (sbom["predicateType"], provenance["predicateType"][:24]) == (
        SPDX,
        "https://slsa.dev/provena",
    )
    assert sbom["subject"][0]["name"] == "pkg:docker/app@1?platform=linux%2Famd64"
    predicate = sbom["predicate"]
    assert "bash" in names(predicate)
    bash = next(package for package in predicate["packages"] if package["name"] == "bash")
    assert bash["comment"] == f"layerID: {layout.layers[2]}"
    assert bash["externalRefs"][0]["referenceLocator"] == "pkg:deb/debian/bash@5.2?arch=amd64"
    # Two builds with one time have the same document.
    flags = ("--attest=type=sbom,format=cyclonedx", "--build-arg=SOURCE_DATE_EPOCH=1700000000")
    first, second = (built(folder, *flags).statements for _ in range(2))
    assert first == second
    assert first[0]["predicateType"] == CYCLONEDX
    assert first[0]["predicate"]["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"


def test_stages_and_the_context(context: Callable[..., Path], built: Callable[..., Layout]) -> None:
    text = (
        "FROM base AS tools\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nCOPY status /var/lib/dpkg/status\n"
        "FROM base AS unscanned\nCOPY status /var/lib/dpkg/status\n"
        "FROM base\nARG BUILDKIT_SBOM_SCAN_CONTEXT=true\nCOPY node_modules /app/node_modules\n"
        "COPY --from=tools /var/lib/dpkg/status /a\nCOPY --from=unscanned /bin/busybox /b\n"
    )
    files = {**STATUS, "node_modules/left/package.json": '{"name":"left","version":"1"}'}
    statements = built(context(text, files), "--sbom=true").statements
    found = [names(statement["predicate"]) for statement in statements]
    assert ["left" in packages for packages in found] == [True, True, False]
    assert ["bash" in packages for packages in found] == [False, False, True]


def test_directories_get_a_file(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    lamina.build(context(WITH_PACKAGE, STATUS), "--sbom=true", "-o", f"type=local,dest={out}")
    statement = json.loads((out / "sbom.spdx.json").read_text())
    assert "bash" in names(statement["predicate"])


GENERATOR = r"""#!/bin/sh
cd $BUILDKIT_SCAN_DESTINATION
for folder in $BUILDKIT_SCAN_SOURCE $BUILDKIT_SCAN_SOURCE_EXTRAS/*; do
    [ -d $folder ] || continue
    cat > $(basename $folder).spdx.json <<EOF
{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document",
 "predicate": {"spdxVersion": "SPDX-2.3", "name": "$(ls $folder | tr '\n' ' ')",
  "comment": "$BUILDKIT_SCAN_DEPTH", "files": [{"fileName": "/x"}, {"fileName": "/no"}]}}
EOF
done
"""


@pytest.fixture
def generator(
    lamina: Lamina, context: Callable[..., Path], registry: str
) -> Callable[[str, str], str]:
    """Pushes an image with a script. Returns its name."""

    def push(name: str, script: str) -> str:
        folder = context('FROM base\nCOPY scan /scan\nENTRYPOINT ["/bin/sh", "/scan"]\n')
        (folder / "scan").write_text(script)
        lamina.build(folder, "--push", "-t", f"{registry}/{name}:1")
        return f"{registry}/{name}:1"

    return push


def test_a_generator_image(
    context: Callable[..., Path],
    built: Callable[..., Layout],
    generator: Callable[[str, str], str],
) -> None:
    image = generator("generator", GENERATOR)
    folder = context(
        "FROM base AS tools\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN echo > /tool\n"
        "FROM scratch\nCOPY --from=tools /tool /x\n"
    )
    layout = built(folder, f"--attest=type=sbom,generator={image},DEPTH=3")
    core, tools = (statement["predicate"] for statement in layout.statements)
    assert core["name"] == "x "
    assert "tool" in tools["name"]
    assert core["comment"] == "3"
    assert core["files"] == [
        {"fileName": "/x", "comment": f"layerID: {layout.layers[0]}"},
        {"fileName": "/no"},
    ]
    assert tools["files"][0] == {"fileName": "/x"}


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "did not complete successfully: exit code: 3"),
        ("echo no json > $BUILDKIT_SCAN_DESTINATION/a.json", "cannot decode in-toto statement"),
        ("mkdir $BUILDKIT_SCAN_DESTINATION/folder", "is not a regular file"),
    ],
)
def test_generators_that_fail(
    lamina: Lamina,
    context: Callable[..., Path],
    generator: Callable[[str, str], str],
    script: str,
    problem: str,
) -> None:
    image = generator("broken", script)
    folder = context(WITH_PACKAGE, STATUS)
    failed = lamina("build", f"--sbom=generator={image}", "-o", "type=oci,dest=-", str(folder))
    assert failed.code == 1
    assert problem in failed.err
    assert "Traceback" not in failed.err


def test_a_generator_without_a_command(
    lamina: Lamina, context: Callable[..., Path], registry: str
) -> None:
    name = f"{registry}/no-command:1"
    lamina.build(context("FROM base\n"), "--push", "-t", name)
    failed = lamina("build", f"--sbom=generator={name}", str(context("FROM base\n")))
    assert "does not have cmd" in failed.err


def test_the_command(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context(WITH_PACKAGE, STATUS)
    layout = tmp_path / "layout"
    lamina.build(folder, "-t", "app:1")
    lamina.build(folder, "-o", f"type=oci,tar=false,dest={layout}")
    for name in ("app:1", "^1", f"oci-layout://{layout}", f"oci:{layout}"):
        done = lamina("sbom", name)
        assert done.code == 0, done.err
        assert done.out.splitlines()[1].split() == ["deb", "bash", "5.2", "3"], name
    out = tmp_path / "bom.json"
    assert lamina("sbom", "--format=cyclonedx", "-o", str(out), "app:1").code == 0
    document = json.loads(out.read_text())
    assert document["metadata"]["component"]["version"].startswith("sha256:")
    rootfs = tmp_path / "rootfs"
    lamina.build(folder, "-o", f"type=local,dest={rootfs}")
    listed = lamina("sbom", f"{tmp_path}/rootfs")
    assert listed.out.splitlines()[1].split() == ["deb", "bash", "5.2"]
    (rootfs / "broken.jar").write_text("no archive")
    assert "WARNING: /broken.jar could not be read" in lamina("sbom", str(rootfs)).err


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("./nothing", "is not a directory"),
        ("^", "no build is recorded"),
        ("oci-layout:///nothing", "/nothing"),
        ("127.0.0.1:1/none", "cannot connect"),
        ("???", "invalid reference"),
    ],
)
def test_what_cannot_be_scanned(lamina: Lamina, name: str, problem: str) -> None:
    failed = lamina("sbom", "--progress=quiet", name)
    assert failed.code == 1
    assert problem in failed.err
    assert "Traceback" not in failed.err


def test_skopeo_reads_the_image(
    lamina: Lamina, context: Callable[..., Path], registry: str
) -> None:
    name = f"{registry}/sbom/app:1"
    lamina.build(context(WITH_PACKAGE, STATUS), "--sbom=true", "--push", "-t", name)
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"],
        capture_output=True,
        check=True,
    )
    assert len(json.loads(shown.stdout)["manifests"]) == 2
