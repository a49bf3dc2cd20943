"""Results of frontends: metadata, annotations and attestations, exported."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lamina.attest.contract import Attestation, AttestationKind
from lamina.base.digest import digest_of
from lamina.base.errors import LaminaError
from lamina.engine.frontends.wire_result import read_result, result_metadata
from lamina.exporters.attributes import wire_output
from lamina.exporters.destination import ArchiveOutput
from lamina.llb.op import NO_INPUT, FileAction, FileOp, MkFileAction, Op
from lamina.llb.state import Vertex, marshal
from lamina.refs.plan import FilePlan
from lamina.refs.ref import Ref
from tests.archives import read_member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.llb.op import Definition
    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]

SPDX = "https://spdx.dev/Document"


def file(path: str, data: bytes) -> Definition:
    action = FileAction(NO_INPUT, NO_INPUT, 0, mkfile=MkFileAction(path, 0o644, data, timestamp=1))
    return marshal(Vertex(Op(file=FileOp((action,)))).output())


class Taker:
    """A Receiver that keeps the only file that it gets."""

    def __init__(self) -> None:
        self.taken = io.BytesIO()

    @contextmanager
    def file(self, *_: Any) -> Iterator[io.BytesIO]:
        yield self.taken

    def layout(self, *_: Any) -> None:
        raise AssertionError

    def folder(self, *_: Any) -> None:
        raise AssertionError

    def blobs(self) -> dict[str, bytes]:
        self.taken.seek(0)
        with tarfile.open(fileobj=self.taken) as tar:
            return {m.name: read_member(tar, m) for m in tar if m.isfile()}


def export(
    bench: Bench,
    metadata: dict[str, bytes],
    attributes: dict[str, str],
    attested: Callable[[Any], dict[str, tuple[Attestation, ...]]] = lambda _: {},
    kind: str = "oci",
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The returned metadata, and the blobs of the archive."""
    with bench.build() as build:
        files = build.solvable(file("/a", b"a"))
        result = read_result(files, None, metadata, attested(build))
        output = wire_output(kind, attributes, "0")
        assert isinstance(output, ArchiveOutput)
        taker = Taker()
        returned = build.finish(result, [output], taker).metadata()
        return returned, taker.blobs()


def top(blobs: dict[str, bytes]) -> Any:
    (entry,) = json.loads(blobs["index.json"])["manifests"]
    return json.loads(blobs[f"blobs/sha256/{entry['digest'].partition(':')[2]}"])


CONFIG = json.dumps({"os": "linux", "architecture": "riscv64", "config": {}}).encode()


def test_image_metadata_of_a_frontend(with_engine: WithEngine) -> None:
    metadata = {
        "containerimage.config": CONFIG,
        "annotation.a": b"frontend",
        "annotation-manifest-descriptor.d": b"e",
        "image.name": b"chosen:1",
        "source.date.epoch": b"1000000000",
    }
    attributes = {"name": "*", "annotation.a": "output", "annotation.b": "output"}
    returned, blobs = with_engine(lambda bench: export(bench, metadata, attributes))
    manifest = top(blobs)
    assert manifest["annotations"] == {"a": "frontend", "b": "output"}
    assert returned["image.name"] == "docker.io/library/chosen:1"
    assert returned["containerimage.descriptor"]["annotations"] == {
        "d": "e",
        "org.opencontainers.image.created": "2001-09-09T01:46:40Z",
    }
    config = json.loads(blobs[f"blobs/sha256/{manifest['config']['digest'].partition(':')[2]}"])
    assert config["architecture"] == "riscv64"
    assert config["history"][0]["created"] == "2001-09-09T01:46:40Z"


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"name": "host:1/a"}, "host:1/a"),
        ({"name": "a:1, host:1/b"}, "a:1,host:1/b"),
        ({"name": "*"}, "chosen"),
        ({}, None),
    ],
)
def test_the_image_name_is_the_requested_one(
    with_engine: WithEngine, attributes: dict[str, str], told: str | None
) -> None:
    def make(bench: Bench, returned: dict[str, bytes]) -> Any:
        with bench.build() as build:
            result = read_result(build.solvable(file("/a", b"a")), None, returned, {})
            output = wire_output("image", attributes, "0")
            return build.finish(result, [output], Taker()).metadata().get("image.name")

    assert with_engine(lambda bench: make(bench, {"image.name": b"chosen"})) == told
    if attributes.get("name") == "*":
        assert with_engine(lambda bench: make(bench, {})) is None


def test_a_configuration_from_the_client(with_engine: WithEngine) -> None:
    attributes = {"containerimage.config": CONFIG.decode(), "source-date-epoch": "5"}
    _, blobs = with_engine(lambda bench: export(bench, {}, attributes))
    digest = top(blobs)["config"]["digest"].partition(":")[2]
    assert json.loads(blobs[f"blobs/sha256/{digest}"])["architecture"] == "riscv64"
    # Without one it is a default, for this machine.
    _, blobs = with_engine(lambda bench: export(bench, {}, {}, kind="docker"))
    digest = top(blobs)["config"]["digest"].partition(":")[2]
    assert json.loads(blobs[f"blobs/sha256/{digest}"])["config"]["WorkingDir"] == "/"


def test_a_frontend_attests(with_engine: WithEngine) -> None:
    data = json.dumps({"packages": ["a<b"]}).encode()
    statement = {"predicateType": "https://t", "subject": [], "predicate": {"n": 1}}

    def attested(build: Any) -> dict[str, tuple[Attestation, ...]]:
        sbom = Attestation("sbom.json", SPDX, files=build.solvable(file("/sbom.json", data)))
        bundled = build.solvable(file("/any.json", json.dumps(statement).encode()))
        bundle = Attestation("/", kind=AttestationKind.BUNDLE, files=bundled)
        return {"linux/riscv64": (sbom, bundle)}

    metadata = {"containerimage.config": CONFIG}
    _, blobs = with_engine(lambda bench: export(bench, metadata, {"name": "a:1"}, attested))
    image, attestation = top(blobs)["manifests"]
    manifest = json.loads(blobs[f"blobs/sha256/{attestation['digest'].partition(':')[2]}"])
    first, second = (
        json.loads(blobs[f"blobs/sha256/{layer['digest'].partition(':')[2]}"])
        for layer in manifest["layers"]
    )
    assert first["predicate"] == {"packages": ["a<b"]}
    assert first["subject"] == [
        {
            "name": "pkg:docker/a@1?platform=linux%2Friscv64",
            "digest": {"sha256": image["digest"].partition(":")[2]},
        }
    ]
    assert second["predicateType"] == "https://t"
    for name, blob in blobs.items():
        if name.startswith("blobs/"):
            assert digest_of(blob).hex == name.rpartition("/")[2]


def test_invalid_metadata(with_engine: WithEngine) -> None:
    bad: list[tuple[dict[str, bytes], dict[str, str], str]] = [
        ({}, {"annotation-index.a": "b"}, "index annotations not supported"),
        ({}, {"annotation[linux/s390x].a": "b"}, "no platform linux/s390x"),
        ({"containerimage.config": b"{"}, {}, "malformed image config"),
        ({"source.date.epoch": b"soon"}, {}, "invalid SOURCE_DATE_EPOCH"),
        ({"annotation-layer.a": b"b"}, {}, 'unknown annotation type "layer"'),
    ]
    for metadata, attributes, words in bad:
        with pytest.raises(LaminaError, match=words):
            with_engine(partial(export, metadata=metadata, attributes=attributes))


def test_result_metadata_round_trip(with_engine: WithEngine) -> None:
    def use(bench: Bench) -> bool:
        with bench.build() as build:
            several = {"x": build.solvable(None), "y": build.solvable(None)}
            platforms = {
                "Platforms": [
                    {"ID": "x", "Platform": {"os": "linux", "architecture": "arm64"}},
                    {"ID": "y", "Platform": {"os": "linux", "architecture": "amd64"}},
                ]
            }
            metadata = {
                "refs.platforms": json.dumps(platforms).encode(),
                "source.date.epoch/x": b"7",
                "containerimage.config/y": CONFIG,
            }
            made = read_result(None, several, metadata)
            again = read_result(None, several, result_metadata(made))
            assert [part.epoch for part in made.parts] == [7, None]
            return [part[:6] for part in made.parts] == [part[:6] for part in again.parts]

    assert with_engine(use)


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("refs.platforms", "null", "invalid empty platforms index"),
        ("refs.platforms", '{"Platforms": [{}]}', "invalid empty platform key"),
        ("refs.platforms", '{"Platforms": [{"ID": "x"}]}', "invalid platform value"),
        ("refs.platforms", '{"Platforms": [3]}', "malformed refs.platforms"),
        ("refs.platforms", "[", "malformed refs.platforms"),
        ("containerimage.config", "null", "invalid null image config"),
        ("containerimage.config", '{"os": "linux"}', "must be specified together"),
        ("containerimage.config", '{"architecture": "amd64"}', "must be specified together"),
        ("containerimage.config", "[]", "malformed image config"),
    ],
)
def test_metadata_without_usable_values(
    with_engine: WithEngine, key: str, text: str, reason: str
) -> None:
    def use(bench: Bench) -> None:
        with bench.build() as build:
            read_result(build.solvable(file("/a", b"")), None, {key: text.encode()})

    with pytest.raises(LaminaError, match=reason):
        with_engine(use)


def test_a_plan_that_is_gone_is_no_result_of_a_cache(
    with_engine: WithEngine,
) -> None:
    """A build that is killed, or fails at its end, leaves results without files."""

    def use(bench: Bench) -> list[bool]:
        refs = bench.engine.refs
        refs.enter(bench)
        made = refs.commit_plan(FilePlan(None), Ref(), "a copy")
        assert made.snapshot is not None
        above = refs.commit_plan(FilePlan(None), made, "another one")
        assert above.snapshot is not None
        before = refs.lost(above.snapshot)
        refs.leave(bench)
        return [before, refs.lost(made.snapshot), refs.lost(above.snapshot), refs.lost(1 << 40)]

    assert with_engine(use) == [False, True, True, True]
