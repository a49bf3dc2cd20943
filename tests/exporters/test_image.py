from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base import oci
from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt, InvalidInput
from lamina.base.platform import Platform
from lamina.base.times import format_time, is_after
from lamina.exporters.contract import Artifact, LayerInfo
from lamina.exporters.image import assemble, load_exported

if TYPE_CHECKING:
    from tests.exporters.conftest import Packed


def config_of(history: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps({"os": "linux", "architecture": "arm64", "history": history, **more}).encode()


def layer(text: str, created: float | None = None) -> LayerInfo:
    digest = digest_of(text.encode())
    return LayerInfo(oci.Descriptor(oci.OCI_LAYER, digest, 1), digest, created, text)


def test_documents(packed: Packed) -> None:
    image = assemble(packed.config, packed.layers, names=("docker.io/library/a:1",))
    again = assemble(packed.config, packed.layers, names=("docker.io/library/a:1",))
    assert image == again
    assert image.config.startswith(b'{"architecture":"amd64","config":{"Env":["PATH=/bin"],"Cmd":')
    assert rb"true \u0026\u0026 false" in image.config
    assert rb"ENV A=\u003cb\u003e" in image.config
    config = json.loads(image.config)
    assert list(config) == ["architecture", "config", "created", "history", "os", "rootfs"]
    assert config["rootfs"] == {
        "type": "layers",
        "diff_ids": [info.diff_id for info in packed.layers],
    }
    times = [entry["created"] for entry in config["history"]]
    assert times == ["2023-11-14T22:13:21.25Z"] + ["2023-11-14T22:13:22.25Z"] * 2
    assert config["created"] == "2023-11-14T22:13:22.25Z"
    assert image.manifest.startswith(
        b'{\n  "schemaVersion": 2,\n  "mediaType": "application/vnd.oci.image.manifest.v1+json",\n'
        b'  "config": {\n    "mediaType": "application/vnd.oci.image.config.v1+json",\n'
    )
    parsed = oci.parse_manifest(image.manifest)
    assert isinstance(parsed, oci.Manifest)
    assert parsed.layers == tuple(info.descriptor for info in packed.layers)
    assert parsed.config.digest == digest_of(image.config)
    assert image.target.platform == Platform("linux", "amd64")
    assert Artifact.of(image).metadata() == {
        "containerimage.config.digest": digest_of(image.config),
        "containerimage.descriptor": {
            "mediaType": oci.OCI_MANIFEST,
            "digest": digest_of(image.manifest),
            "size": len(image.manifest),
            "platform": {"architecture": "amd64", "os": "linux"},
        },
        "containerimage.digest": digest_of(image.manifest),
        "image.name": "docker.io/library/a:1",
    }
    loaded = load_exported(image.target, image.manifest, image.config, image.names)
    assert loaded == image


def test_docker_types(packed: Packed) -> None:
    image = assemble(packed.config, packed.layers, docker_types=True)
    parsed = oci.parse_manifest(image.manifest)
    assert isinstance(parsed, oci.Manifest)
    assert parsed.media_type == oci.DOCKER_MANIFEST
    assert parsed.config.media_type == oci.DOCKER_CONFIG
    assert {d.media_type for d in parsed.layers} == {oci.DOCKER_LAYER_GZIP}
    with pytest.raises(InvalidInput, match="annotations"):
        assemble(packed.config, packed.layers, docker_types=True, annotations=(("a", "b"),))


def test_annotations(packed: Packed) -> None:
    private = packed.layers[0].descriptor._replace(
        annotations=(("buildkit/createdat", "x"), ("z", "1"), ("a", "2"))
    )
    layers = (packed.layers[0]._replace(descriptor=private), packed.layers[1])
    image = assemble(packed.config, layers, annotations=(("z", "1"), ("b", "<")))
    parsed = oci.parse_manifest(image.manifest)
    assert parsed.annotations == (("b", "<"), ("z", "1"))
    assert isinstance(parsed, oci.Manifest)
    assert parsed.layers[0].annotations == (("a", "2"), ("z", "1"))


def test_more_layers_than_history() -> None:
    image = assemble(config_of([{"created_by": "x"}]), (layer("one"), layer("two", 5.0)))
    history = json.loads(image.config)["history"]
    assert history == [
        {"created": "1970-01-01T00:00:05Z", "created_by": "x"},
        {
            "created": "1970-01-01T00:00:05Z",
            "created_by": "two",
            "comment": "buildkit.exporter.image.v0",
        },
    ]


def test_more_history_than_layers() -> None:
    image = assemble(config_of([{"created_by": "a"}, {"created_by": "b"}]), (layer("one"),))
    history = json.loads(image.config)["history"]
    assert history == [{"created_by": "a"}, {"created_by": "b", "empty_layer": True}]
    assert "created" not in json.loads(image.config)


def test_times_of_metadata_steps() -> None:
    old = "2020-01-01T00:00:00Z"
    history: list[dict[str, Any]] = [
        {"created": old, "created_by": "base"},
        {"created_by": "ENV", "empty_layer": True},
        {"created_by": "RUN"},
        {"created_by": "CMD", "empty_layer": True},
    ]
    image = assemble(config_of(history), (layer("base", 1.0), layer("run", 2e9)))
    new = "2033-05-18T03:33:20Z"
    assert [e["created"] for e in json.loads(image.config)["history"]] == [old, new, new, new]


def test_epoch() -> None:
    base_history = [{"created": "2024-01-01T00:00:00Z", "created_by": "base"}]
    history = [*base_history, {"created_by": "RUN"}, {"created": "1999-01-01T00:00:00Z"}]
    layers = (layer("base"), layer("run", 1.7e9), layer("old"))
    config = config_of(history, created="2030-01-01T00:00:00.5+02:00", variant="v8")
    image = assemble(config, layers, epoch=1_000_000_000, base=config_of(base_history))
    document = json.loads(image.config)
    assert [entry["created"] for entry in document["history"]] == [
        "2024-01-01T00:00:00Z",
        "2001-09-09T01:46:40Z",
        "1999-01-01T00:00:00Z",
    ]
    assert document["created"] == "2001-09-09T01:46:40Z"
    assert image.target.platform == Platform("linux", "arm64")


def test_scratch_has_no_layers() -> None:
    image = assemble(config_of([]), ())
    assert json.loads(image.manifest)["layers"] == []
    assert json.loads(image.config)["rootfs"]["diff_ids"] == []


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (b"[]", Corrupt),
        (b"{", Corrupt),
        (b"{}", InvalidInput),
        (b'{"os": "linux"}', InvalidInput),
        (config_of(["x"]), InvalidInput),  # type: ignore[list-item]  # not a configuration: that is the case
    ],
)
def test_bad_configs(config: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        assemble(config, ())


def test_times() -> None:
    assert format_time(0) == "1970-01-01T00:00:00Z"
    assert format_time(1.5) == "1970-01-01T00:00:01.5Z"
    assert is_after("1970-01-01T00:00:01Z", 0)
    assert is_after("1970-01-01T00:00:00.000000001Z", 0)
    assert not is_after("1970-01-01T00:00:00.000Z", 0)
    assert not is_after("1970-01-01T01:00:00+01:00", 0)
    for bad in ("yesterday", "1970-01-01T00:00:00", "", "1970-01-01T00:00:00.xZ"):
        with pytest.raises(InvalidInput):
            is_after(bad, 0)
