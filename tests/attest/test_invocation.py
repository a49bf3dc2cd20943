"""Frontend calls as provenance records them, and the calls that made their inputs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.attest.contract import FrontendCall
from lamina.attest.definition_origins import DefinitionOrigins
from lamina.attest.invocation import recorded, request_of
from lamina.attest.materials import Materials
from lamina.attest.options import ProvenanceOptions
from lamina.attest.predicate import ProvenanceFacts, predicate
from lamina.llb.op import Definition, Op, OpMetadata, SourceOp
from lamina.llb.state import Vertex, marshal
from lamina.sources.material import GitMaterial

SEED = FrontendCall("dockerfile.v0", {"target": "seed", "build-arg:A": "secret"})
BASE = FrontendCall("dockerfile.v0", {"target": "base"}, {"seed": SEED})


def definition(name: str, description: str = "") -> Definition:
    metadata = OpMetadata(description=(("llb.customname", description),))
    return marshal(Vertex(Op(source=SourceOp(f"local://{name}")), metadata=metadata).output())


def told(call: FrontendCall, mode: str) -> tuple[object, bool]:
    known = ProvenanceFacts(call, Materials(), "id", 0.5, 2.0)
    document = predicate(known, ProvenanceOptions(mode=mode))
    complete = document["runDetails"]["metadata"]["buildkit_completeness"]["request"]
    return document["buildDefinition"]["externalParameters"]["request"], complete


def test_calls_are_found_by_their_definitions() -> None:
    origins = DefinitionOrigins()
    key = origins.add(definition("a", "as it was solved"), BASE)
    inputs = {"x": definition("a", "as a client wrote it anew"), "y": definition("b")}
    assert origins.of(inputs) == {"x": BASE}
    origins.drop([(key, BASE)])
    assert origins.of(inputs) == {}


def test_a_definition_of_two_calls_belongs_to_neither() -> None:
    origins = DefinitionOrigins()
    made = definition("a")
    elsewhere = FrontendCall("", {"z": "1"})
    other = BASE._replace(attrs={**BASE.attrs, "platform": "linux/arm64"}, root=elsewhere)
    first = origins.add(made, BASE)
    second = origins.add(made, other)
    assert origins.of({"x": made}) == {"x": BASE}, "they differ only in what is not recorded"
    third = origins.add(made, SEED)
    assert origins.of({"x": made}) == {}
    origins.drop([(third, SEED), (second, other)])
    assert origins.of({"x": made}) == {"x": BASE}
    origins.drop([(first, BASE)])


def test_an_empty_definition_has_no_origin() -> None:
    origins = DefinitionOrigins()
    assert origins.add(Definition(()), BASE) == ""
    assert origins.add(None, BASE) == ""
    assert origins.of({"x": Definition(())}) == {}


def test_inputs_are_recorded_with_their_calls() -> None:
    call = FrontendCall("dockerfile.v0", {"context:b": "input:b"}, {"b": BASE})
    request, complete = told(call, "max")
    seed = {
        "configSource": {},
        "request": {
            "frontend": "dockerfile.v0",
            "args": {"build-arg:A": "secret", "target": "seed"},
        },
    }
    base = {
        "configSource": {},
        "request": {
            "frontend": "dockerfile.v0",
            "args": {"target": "base"},
            "inputs": {"seed": seed},
        },
    }
    assert request == {
        "frontend": "dockerfile.v0",
        "args": {"context:b": "input:b"},
        "inputs": {"b": base},
        "compatibilityVersion": 30,
    }
    assert complete


def test_mode_min_has_no_arguments_of_inputs() -> None:
    call = FrontendCall("dockerfile.v0", {}, {"b": BASE})
    request, complete = told(call, "min")
    assert "secret" not in str(request)
    assert not complete
    root = FrontendCall("", {"label:l": "secret", "x": "y"})
    request, complete = told(FrontendCall("dockerfile.v0", root=root), "min")
    assert "secret" not in str(request)
    assert "'x': 'y'" in str(request)
    assert not complete


def test_the_root_call_is_recorded_if_it_has_more() -> None:
    call = FrontendCall("gateway.v0", {"source": "x"})
    same = call._replace(attrs={**call.attrs, "platform": "linux/arm64"})
    for root in (same, FrontendCall(""), FrontendCall("", {"platform": "linux/arm64"})):
        assert request_of(call._replace(root=root), Materials()).root is None
    within = call._replace(root=SEED)
    found = request_of(within, Materials()).root
    assert found is not None
    assert found.args["target"] == "seed"
    assert within.first == SEED
    assert SEED.first == SEED
    assert FrontendCall("").first is None


def test_no_password_in_any_attribute() -> None:
    attrs = dict.fromkeys(("context", "context:a", "vcs:source"), "https://u:hidden@h/x")
    assert "hidden" not in str(recorded(attrs))
    inner = FrontendCall("dockerfile.v0", {"target": "t"}, {"i": FrontendCall("f", attrs)})
    request, _ = told(inner._replace(root=FrontendCall("g", attrs)), "max")
    assert "hidden" not in str(request)


@given(st.text(alphabet="htps:/@[]#?&=.git1x", max_size=24))
def test_any_context_is_recorded(text: str) -> None:
    for context in (text, f"https://{text}", f"https://h/x.git{text}", f"git@{text}"):
        call = FrontendCall("", {"context": context, "input:context": text, "filename": text})
        assert isinstance(request_of(call, Materials()).source.uri, str)


def test_contexts_by_query() -> None:
    git = GitMaterial("https://h/x.git#refs/heads/main", "a" * 64)
    materials = Materials(git=(git,))
    call = FrontendCall("", {"context": "https://h/x.git?branch=main&subdir=src"})
    source = request_of(call, materials).source
    assert source.uri == "https://h/x.git#refs/heads/main:src"
    assert source.digest == {"sha256": "a" * 64}
