from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from lamina.base import oci
from lamina.base.digest import Digest, digest_of
from lamina.base.errors import InvalidInput
from lamina.base.platform import Platform, parse_platform
from lamina.exporters.annotations import (
    Level,
    check_platforms,
    of_index,
    of_manifest,
    parse_annotation,
)
from lamina.exporters.archive import write_archive
from lamina.exporters.attestation import (
    Named,
    Statement,
    Subject,
    SubjectKind,
    attestation_manifest,
)
from lamina.exporters.image import assemble
from lamina.exporters.image_index import make_index
from lamina.exporters.purl import image_purl
from lamina.system.cancel import Cancellation
from tests.archives import read_member

if TYPE_CHECKING:
    from lamina.exporters.contract import ExportedImage
    from tests.exporters.conftest import Packed

DIGEST = Digest("sha256:" + "1" * 64)


@pytest.fixture
def images(packed: Packed) -> list[ExportedImage]:
    arm = json.dumps({**json.loads(packed.config), "architecture": "arm64"}).encode()
    return [assemble(packed.config, packed.layers), assemble(arm, packed.layers[:1])]


def test_an_index(images: list[ExportedImage]) -> None:
    artifact = make_index(
        images,
        names=("docker.io/library/a:1",),
        annotations=(("k", "v"),),
        descriptor_annotations=(("d", "e"),),
    )
    assert make_index(images, annotations=(("k", "v"),)).target.digest == artifact.target.digest
    index = oci.parse_manifest(artifact.documents[-1].data)
    assert isinstance(index, oci.Index)
    assert index.media_type == artifact.target.media_type == oci.OCI_INDEX
    assert index.manifests == tuple(image.target for image in images)
    assert index.annotations == (("k", "v"),)
    assert artifact.target.annotations == (("d", "e"),)
    for document in artifact.documents:
        assert digest_of(document.data) == document.descriptor.digest
        assert len(document.data) == document.descriptor.size
    assert artifact.single is None
    assert artifact.layers() == images[0].layers
    assert artifact.metadata() == {
        "containerimage.descriptor": artifact.target.to_json(),
        "containerimage.digest": artifact.target.digest,
        "image.name": "docker.io/library/a:1",
    }


def test_a_manifest_list(packed: Packed) -> None:
    image = assemble(packed.config, packed.layers, docker_types=True)
    artifact = make_index([image], docker_types=True)
    assert artifact.target.media_type == oci.DOCKER_INDEX
    with pytest.raises(InvalidInput, match="annotations"):
        make_index([image], docker_types=True, annotations=(("a", "b"),))


def test_an_archive_of_an_index(images: list[ExportedImage], packed: Packed) -> None:
    artifact = make_index(images, names=("docker.io/library/a:1",))
    out = io.BytesIO()
    write_archive(artifact, packed.blobs, out, Cancellation(), docker=False)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        members = set(tar.getnames())
        (entry,) = json.loads(read_member(tar, "index.json"))["manifests"]
    assert entry["digest"] == artifact.target.digest
    blobs = [document.descriptor.digest for document in artifact.documents]
    blobs += [layer.digest for layer in artifact.layers()]
    assert {f"blobs/sha256/{digest.hex}" for digest in blobs} <= members


@pytest.mark.parametrize(
    ("attribute", "level", "platform"),
    [
        ("annotation.k", Level.MANIFEST, None),
        ("annotation-manifest[linux/arm/v7].k", Level.MANIFEST, "linux/arm/v7"),
        ("annotation-manifest-descriptor.k", Level.MANIFEST_DESCRIPTOR, None),
        ("annotation-index.k", Level.INDEX, None),
        ("annotation-index-descriptor.k", Level.INDEX_DESCRIPTOR, None),
    ],
)
def test_annotation_keys(attribute: str, level: Level, platform: str | None) -> None:
    annotation = parse_annotation(attribute, "v")
    assert annotation is not None
    assert (annotation.level, annotation.key, annotation.value) == (level, "k", "v")
    assert annotation.platform == (parse_platform(platform) if platform else None)


def test_which_annotations_go_where() -> None:
    arm, amd = Platform("linux", "arm64"), Platform("linux", "amd64")
    pairs = {
        "annotation.a": "all",
        "annotation[linux/arm64].a": "arm",
        "annotation.b": "b",
        "annotation-index.i": "1",
        "name": "x",
    }
    every = [a for key, value in pairs.items() if (a := parse_annotation(key, value))]
    assert of_manifest(every, Level.MANIFEST, arm) == (("a", "arm"), ("b", "b"))
    assert of_manifest(every, Level.MANIFEST, amd) == (("a", "all"), ("b", "b"))
    assert of_index(every, Level.INDEX) == (("i", "1"),)
    check_platforms(every, [arm, amd])
    with pytest.raises(InvalidInput, match="no platform linux/arm64"):
        check_platforms(every, [amd])
    with pytest.raises(InvalidInput, match="type"):
        parse_annotation("annotation-layer.a", "b")
    assert parse_annotation("annotation", "b") is None


def test_purls() -> None:
    assert image_purl("alpine", None) == "pkg:docker/alpine@latest"
    assert image_purl("localhost:5000/team/app:v1", Platform("linux", "arm", "v7")) == (
        "pkg:docker/localhost%3A5000/team/app@v1?platform=linux%2Farm%2Fv7"
    )
    assert image_purl(f"ghcr.io/a/b@{DIGEST}", Platform("linux", "amd64"), "oci") == (
        f"pkg:oci/ghcr.io/a/b?digest={DIGEST}&platform=linux%2Famd64"
    )


def test_statements() -> None:
    exported = [Named("one", DIGEST), Named("two", DIGEST)]
    plain = Statement("https://t", "p.json", b'{"b": 1, "a": "<"}').to_json(exported)
    assert plain == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://t",
        "subject": [{"name": n, "digest": {"sha256": "1" * 64}} for n in ("one", "two")],
        "predicate": {"b": 1, "a": "<"},
    }
    assert list(plain["predicate"]) == ["b", "a"]
    subjects = (Subject(name="also"), Subject(SubjectKind.RAW, "", (DIGEST,)))
    named = Statement("t", "p", b"", subjects).to_json(exported[:1])
    assert [subject["name"] for subject in named["subject"]] == ["one", "also", "_"]
    assert named["predicate"] is None
    with pytest.raises(InvalidInput, match="malformed JSON"):
        Statement("t", "p", b"{").to_json([])


@pytest.mark.parametrize("artifact", [True, False])
def test_attestation_manifests(images: list[ExportedImage], artifact: bool) -> None:
    target = images[0].target
    statement = Statement("https://t", "p", b"{}").to_json([Named("n", target.digest)])
    *parts, manifest = attestation_manifest(target, [statement], artifact=artifact)
    document = json.loads(manifest.data)
    assert manifest.descriptor.platform == Platform("unknown", "unknown")
    assert dict(manifest.descriptor.annotations) == {
        "vnd.docker.reference.digest": target.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    (layer,) = document["layers"]
    assert layer["mediaType"] == "application/vnd.in-toto+json"
    assert layer["annotations"] == {"in-toto.io/predicate-type": "https://t"}
    held = {str(part.descriptor.digest): part.data for part in parts}
    assert json.loads(held[layer["digest"]]) == statement
    config = held[document["config"]["digest"]]
    if artifact:
        assert document["artifactType"] == "application/vnd.docker.attestation.manifest.v1+json"
        assert document["subject"]["digest"] == target.digest
        assert set(document["subject"]) == {"mediaType", "digest", "size"}
        assert (config, document["config"]["data"]) == (b"{}", "e30=")
        assert document["config"]["mediaType"] == oci.OCI_EMPTY
    else:
        assert "subject" not in document
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
        assert diff_ids == [layer["digest"]]
    index = make_index(images, [(*parts, manifest)])
    parsed = oci.parse_manifest(index.documents[-1].data)
    assert isinstance(parsed, oci.Index)
    assert parsed.manifests[-1] == manifest.descriptor
    assert oci.select_platform(parsed, Platform("linux", "arm64")) == images[1].target
