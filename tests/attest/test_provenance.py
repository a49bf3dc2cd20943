"""The content of provenance, from values. Whole builds are in `tests/e2e/test_attestations.py`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.attest.build_steps import build_steps, digest_mapping, source_texts
from lamina.attest.contract import Attestation, AttestationKind, FrontendCall
from lamina.attest.materials import Materials, materials_of, of_platform
from lamina.attest.options import (
    ProvenanceOptions,
    SbomFormat,
    SbomOptions,
    parse_provenance,
    wanted_attestations,
    wanted_sbom,
    without_own_sbom,
)
from lamina.attest.predicate import ProvenanceFacts, predicate
from lamina.attest.statements import Attested
from lamina.attest.step_usage import MeasuredUsage, usage_samples
from lamina.base.digest import Digest
from lamina.base.errors import InvalidInput, LaminaError, NotFound
from lamina.base.platform import Platform
from lamina.base.resources import ResourceUsage
from lamina.engine.build_result import Solvable
from lamina.exporters.attestation import Subject, SubjectKind
from lamina.llb.op import (
    CopyAction,
    Definition,
    ExecMeta,
    ExecOp,
    FileAction,
    FileOp,
    Locations,
    Mount,
    Op,
    Position,
    Range,
    SourceInfo,
    SourceLocation,
    SourceMap,
    SourceOp,
)
from lamina.llb.state import Vertex, marshal
from lamina.refs.tree import Tree
from lamina.sources.material import (
    BlobMaterial,
    GitMaterial,
    HttpMaterial,
    ImageMaterial,
    LocalMaterial,
)

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.sources.material import Material

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
COMMIT = "a" * 40


def test_wanted_attestations() -> None:
    assert wanted_attestations({"target": "x"}) == (None, None)
    assert wanted_attestations({"attest:provenance": ""}) == (ProvenanceOptions(), None)
    options = wanted_attestations(
        {
            "attest:provenance": "type=provenance,mode=min,inline-only=true,builder-id=me,"
            "version=v0.2,filename=p.json,reproducible=1,nobody=knows"
        }
    )
    assert options.provenance == ProvenanceOptions("v0.2", "min", True, "me", "p.json", True)
    asked = wanted_attestations({"build-arg:BUILDKIT_ATTEST_PROVENANCE": "mode=full"})
    assert asked.provenance == ProvenanceOptions()
    assert parse_provenance('"builder-id=a,b"').builder_id == "a,b"
    assert parse_provenance("capture-usage=true").capture_usage
    assert not parse_provenance("capture-usage=maybe").capture_usage  # as BuildKit
    with pytest.raises(InvalidInput, match="unknown attestation type"):
        wanted_attestations({"attest:vibes": ""})


def test_wanted_sboms() -> None:
    assert wanted_sbom({"attest:sbom": ""}) == SbomOptions()
    image = wanted_sbom({"build-arg:BUILDKIT_ATTEST_SBOM": "generator=reg.example/scan,depth=2"})
    assert image == SbomOptions("reg.example/scan:latest", (("depth", "2"),))
    other = wanted_sbom({"attest:sbom": "format=cyclonedx"})
    assert other == SbomOptions(format=SbomFormat.CYCLONEDX)
    for text, problem in (("format=xml", "invalid SBOM format"), ("generator=", "cannot be empty")):
        with pytest.raises(InvalidInput, match=problem):
            wanted_sbom({"attest:sbom": text})


def test_frontend_images_get_no_request_for_the_own_scanner() -> None:
    own = {"attest:sbom": "", "build-arg:BUILDKIT_ATTEST_SBOM": "", "attest:provenance": ""}
    assert without_own_sbom(own) == {"attest:provenance": ""}
    image = {"attest:sbom": "generator=x"}
    assert without_own_sbom(image) == image


@pytest.mark.parametrize("text", ["mode=most", "version=v2", "reproducible=maybe", '"mode'])
def test_bad_options(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_provenance(text)


@given(st.text())
def test_any_option_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_provenance(text), ProvenanceOptions)
    except LaminaError as error:
        assert error.reason


def test_materials() -> None:
    by_tag = ImageMaterial("docker.io/library/a:1", AMD, ONE)
    by_digest = ImageMaterial(f"docker.io/library/a:1@{ONE}", AMD, ONE)
    alone = ImageMaterial(f"docker.io/library/b@{TWO}", AMD, TWO)
    git = GitMaterial("https://u:p@h/x.git#main", COMMIT)
    http = HttpMaterial("https://u:p@h/file", ONE)
    found = materials_of([], [by_digest, by_tag, alone, git, git, http, LocalMaterial("context")])
    assert found == Materials(
        images=(by_tag, alone),
        git=(GitMaterial("https://xxxxx:xxxxx@h/x.git#main", COMMIT),),
        http=(HttpMaterial("https://xxxxx:xxxxx@h/file", ONE),),
        folders=("context",),
        complete=False,
    )
    assert materials_of([], [by_tag]).complete


def test_blobs_and_bundles() -> None:
    blob = BlobMaterial(f"localhost:5000/a/b@{ONE}", ONE)
    bundle = BlobMaterial(f"docker.io/not/real@{TWO}", TWO, local=True)
    git = GitMaterial("https://u:p@h/x.git#v1", COMMIT)
    bundled = git._replace(bundle=bundle)
    found = materials_of([], [blob, blob, bundled, git, bundled])
    document = predicate(told(materials=found), ProvenanceOptions())
    uri = "https://xxxxx:xxxxx@h/x.git#v1"
    vcs = "https:%2F%2Fxxxxx:xxxxx@h%2Fx.git%23v1"
    assert document["buildDefinition"]["resolvedDependencies"] == [
        {
            "uri": f"pkg:docker/localhost%3A5000/a/b?digest={ONE}&ref_type=blob",
            "digest": {"sha256": ONE.hex},
        },
        {"uri": uri, "digest": {"sha1": COMMIT}},
        {"uri": uri, "digest": {"sha1": COMMIT}},
        {
            "uri": f"pkg:oci/not/real@latest?ref_type=bundle&vcs_url={vcs}",
            "digest": {"sha256": TWO.hex},
        },
    ]


def test_images_of_other_platforms_are_left_out() -> None:
    everywhere = [ImageMaterial("a:1", platform, ONE) for platform in (AMD, ARM)]
    tools = ImageMaterial("tools:1", AMD, TWO)
    noted: list[Material] = [*everywhere, tools, LocalMaterial("context")]
    assert of_platform(noted, ARM, [AMD, ARM]) == [everywhere[1], tools, noted[-1]]


def told(**fields: Any) -> ProvenanceFacts:
    return ProvenanceFacts(None, Materials(), "id", 0.5, 2.0)._replace(**fields)


def test_both_versions_have_the_same_content() -> None:
    call = FrontendCall(
        "dockerfile.v0",
        {
            "context": "https://u:p@h/x.git#main:sub",
            "filename": "app.Dockerfile",
            "build-arg:A": "b",
            "platform": "linux/arm64",
            "cgroup-parent": "c",
            "attest:provenance": "x",
            "vcs:source": "https://u:p@h/x.git",
            "vcs:revision": "",
        },
    )
    materials = Materials(
        images=(ImageMaterial("a:1", ARM, ONE),),
        git=(GitMaterial("https://xxxxx:xxxxx@h/x.git#main", COMMIT),),
        secrets=(("s", True), ("t", False)),
        agents=(("default", False),),
        network=True,
    )
    known = told(call=call, materials=materials, build_config={"llbDefinition": []})
    new = predicate(known, ProvenanceOptions(builder_id="me", reproducible=True))
    external = new["buildDefinition"]["externalParameters"]
    assert external["configSource"] == {
        "uri": "https://xxxxx:xxxxx@h/x.git#main:sub",
        "digest": {"sha1": COMMIT},
        "path": "app.Dockerfile",
    }
    assert external["request"] == {
        "frontend": "dockerfile.v0",
        "args": {"build-arg:A": "b"},
        "secrets": [{"id": "s", "optional": True}, {"id": "t"}],
        "ssh": [{"id": "default"}],
        "compatibilityVersion": 30,
    }
    metadata = new["runDetails"]["metadata"]
    assert metadata["buildkit_metadata"] == {"vcs": {"source": "https://xxxxx:xxxxx@h/x.git"}}
    assert metadata["buildkit_completeness"] == {"request": True, "resolvedDependencies": True}
    assert metadata["startedOn"] == "1970-01-01T00:00:00.5Z"
    assert "buildkit_hermetic" not in metadata
    dependencies = new["buildDefinition"]["resolvedDependencies"]
    assert dependencies[0]["uri"] == "pkg:docker/a@1?platform=linux%2Farm64"
    old = predicate(known, ProvenanceOptions("v0.2", builder_id="me", reproducible=True))
    assert old["materials"] == dependencies
    assert old["invocation"]["parameters"] == external["request"]
    assert old["invocation"]["configSource"]["entryPoint"] == "app.Dockerfile"
    assert old["builder"] == new["runDetails"]["builder"] == {"id": "me"}
    assert old["metadata"]["reproducible"]
    assert old["buildConfig"] == {"llbDefinition": []}


def test_mode_min_has_no_arguments() -> None:
    call = FrontendCall("dockerfile.v0", {"build-arg:A": "b", "label:l": "m", "target": "t"})
    materials = Materials(secrets=(("s", False),))
    document = predicate(told(call=call, materials=materials), ProvenanceOptions(mode="min"))
    request = document["buildDefinition"]["externalParameters"]["request"]
    assert request["args"] == {"target": "t"}
    assert "secrets" not in request
    metadata = document["runDetails"]["metadata"]
    assert metadata["buildkit_completeness"]["request"] is False
    assert metadata["buildkit_hermetic"] is True


def test_a_definition_without_a_frontend_and_a_nested_call() -> None:
    document = predicate(told(), ProvenanceOptions())
    assert document["buildDefinition"]["externalParameters"]["configSource"] == {}
    assert document["runDetails"]["metadata"]["buildkit_completeness"]["request"] is False
    inner = FrontendCall("gateway.v0", {"source": "x"}, root=FrontendCall("", {"build-arg:A": "b"}))
    document = predicate(told(call=inner), ProvenanceOptions())
    request = document["buildDefinition"]["externalParameters"]["request"]
    assert request["root"] == {"configSource": {}, "request": {"args": {"build-arg:A": "b"}}}


def test_contexts_by_url() -> None:
    http = HttpMaterial("https://h/c.tar", TWO)
    call = FrontendCall("dockerfile.v0", {"contextkey": "here", "here": "https://h/c.tar"})
    document = predicate(told(call=call, materials=Materials(http=(http,))), ProvenanceOptions())
    source = document["buildDefinition"]["externalParameters"]["configSource"]
    assert source == {"uri": "https://h/c.tar", "digest": {"sha256": "2" * 64}}


def definition() -> Definition:
    local = Vertex(Op(source=SourceOp("local://c", (("local.session", "s"), ("local.x", "y")))))
    copy = FileAction(-1, 0, 0, copy=CopyAction("/a", "/b", mode=-1))
    copied = Vertex(Op(file=FileOp((copy,))), (local.output(),))
    meta = ExecMeta(("true",), cwd="/")
    ran = Vertex(Op(exec=ExecOp(meta, (Mount(dest="/"),))), (copied.output(),))
    marshalled = marshal(ran.output())
    place = Locations((SourceLocation(0, (Range(Position(3), Position(3)),)),))
    text = SourceInfo("Dockerfile", b"RUN true", language="Dockerfile")
    return marshalled._replace(source=SourceMap(((str(ran.digest), place),), (text,)))


def test_build_steps() -> None:
    made = definition()
    steps, places = build_steps(made)
    assert [step["id"] for step in steps] == ["step0", "step1", "step2", "step3"]
    assert [step.get("inputs") for step in steps] == [None, ["step0:0"], ["step1:0"], ["step2:0"]]
    source = steps[0]["op"]["Op"]["source"]
    assert source == {"identifier": "local://c", "attrs": {"local.x": "y"}}
    (action,) = steps[1]["op"]["Op"]["file"]["actions"]
    assert action == {
        "input": -1,
        "secondaryInput": 0,
        "output": 0,
        "Action": {"copy": {"src": "/a", "dest": "/b", "mode": -1}},
    }
    ran = steps[2]["op"]["Op"]["exec"]
    assert ran == {"meta": {"args": ["true"], "cwd": "/"}, "mounts": [{"dest": "/"}]}
    assert steps[3]["op"]["Op"] == {}
    assert sorted(digest_mapping(places).values()) == ["step0", "step1", "step2", "step3"]
    texts = source_texts(made, places)
    assert texts is not None
    (info,) = texts["infos"]
    assert info == {"filename": "Dockerfile", "language": "Dockerfile", "data": "UlVOIHRydWU="}
    place = {"ranges": [{"start": {"line": 3}, "end": {"line": 3}}]}
    assert texts["locations"] == {"step2": {"locations": [place]}}
    assert build_steps(None) == ([], {})


def test_the_usage_of_steps() -> None:
    usage = ResourceUsage(cpu_time=7, bytes_read=0, bytes_sent=0, bytes_received=3)
    document = usage_samples(MeasuredUsage(1.5, usage))
    assert document == {
        "samples": [
            {
                "timestamp": "1970-01-01T00:00:01.5Z",
                "cpuStat": {"usageNanos": 7},
                "ioStat": {"readBytes": 0},
                "netStat": {"rxBytes": 3},
            }
        ]
    }
    made = definition()
    _, places = build_steps(made)
    ran = next(digest for digest, place in places.items() if place == 2)
    steps, _ = build_steps(made, {ran: document})
    assert [step.get("resourceUsage") for step in steps] == [None, None, document, None]


def files(root: Path) -> tuple[Solvable, Attested]:
    def never(*_: object) -> Any:
        raise AssertionError

    solvable = Solvable(None, None, never)
    return solvable, Attested((), lambda _: Tree(str(root)))


def statements(root: Path, *attestations: Attestation) -> Any:
    return Attested(attestations, lambda _: Tree(str(root))).statements()


def test_files_of_frontends(tmp_path: Path) -> None:
    solvable, _ = files(tmp_path)
    (tmp_path / "sbom.spdx.json").write_text('{"a": 1}')
    (tmp_path / "link.json").symlink_to("/sbom.spdx.json")
    (tmp_path / "out.json").symlink_to("../../../etc/passwd")
    core = {"sbom-core": b"sbom"}
    (tmp_path / "b").mkdir()
    whole = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://spdx.dev/Document",
        "subject": [{"name": "x", "digest": {"sha256": "1" * 64}}],
        "predicate": {"p": [1, 2.5]},
    }
    (tmp_path / "b/extra.json").write_text(json.dumps(whole))
    bundle = Attestation("b", kind=AttestationKind.BUNDLE, files=solvable, metadata=core)
    one = Attestation("sbom.spdx.json", "https://spdx.dev/Document", files=solvable, metadata=core)
    first, second = statements(tmp_path, bundle, one)
    assert (first.path, first.predicate) == ("sbom.spdx.json", b'{"a": 1}')
    assert second.path == "b/extra.json"
    assert json.loads(second.predicate) == {"p": [1, 2.5]}
    assert second.subjects == (Subject(SubjectKind.RAW, "x", (ONE,)),)
    (linked,) = statements(tmp_path, one._replace(path="link.json"))
    assert linked.predicate == b'{"a": 1}'
    with pytest.raises(NotFound):  # the target of the link is looked up beneath the root
        statements(tmp_path, one._replace(path="out.json"))


def test_predicates_that_frontends_may_not_attest(tmp_path: Path) -> None:
    solvable, _ = files(tmp_path)
    (tmp_path / "p.json").write_text('{"predicateType": "https://slsa.dev/provenance/v1"}')
    (tmp_path / "dir").mkdir()
    slsa = "https://slsa.dev/provenance/v1"
    bad = [
        (Attestation("p.json", slsa, files=solvable), "may not set provenance"),
        (Attestation("", kind=AttestationKind.BUNDLE, files=solvable), "not a regular file|bundle"),
        (Attestation("p.json", "t"), "available content"),
        (Attestation("", "t", files=solvable), "set path"),
        (Attestation("dir", "t", files=solvable), "not a regular file"),
        (Attestation("p.json", kind=AttestationKind.BUNDLE, files=solvable), "not a directory"),
        (Attestation("b", kind=AttestationKind.BUNDLE), "no ref"),
    ]
    for attestation, words in bad:
        with pytest.raises(InvalidInput, match=words):
            statements(tmp_path, attestation)
    (tmp_path / "dir/x.json").write_text("[]")
    with pytest.raises(InvalidInput, match="cannot decode"):
        statements(tmp_path, Attestation("dir", kind=AttestationKind.BUNDLE, files=solvable))


def test_inline_only_attestations_are_for_images() -> None:
    inline = Attestation("p", "t", predicate=lambda: b"{}", metadata={"inline-only": b"true"})
    attested = Attested((inline,), lambda _: Tree("/nowhere"))
    assert attested.wanted(inline=True)
    assert not attested.wanted(inline=False)
    assert attested.statements(inline=False) == []
    assert len(attested.statements()) == 1
