"""Sources in a real registry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lamina.api.sourcemeta import ResolveSourceImageRequest, ResolveSourceMetaRequest
from lamina.base.digest import digest_of
from lamina.base.errors import LaminaError
from lamina.base.oci import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    platform_to_json,
)
from lamina.base.platform import Platform, host_platform
from lamina.engine.frontends.source_meta import resolve_source_meta
from lamina.llb.op import SourceOp
from lamina.sources.contract import source_digest
from tests.engine.source_bench import Repository, ServedRequest, entries, source
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.engine.conftest import Bench

    WithEngine = Callable[[Callable[[Bench], Any]], Any]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def repository(registry: str, tmp_path: Path) -> Repository:
    return Repository(registry, f"test/{digest_of(str(tmp_path).encode()).hex[:12]}")


def test_a_tag_has_to_match_the_checksum(with_engine: WithEngine, repository: Repository) -> None:
    one, two = repository.image("one", "v1"), repository.image("two", "v2")
    named = f"docker-image://{repository.name}"
    assert with_engine(lambda b: b.tree(source(f"{named}:v2", image_checksum=two))) == {"f": "two"}
    # The digest in a name goes before its tag.
    assert with_engine(lambda b: b.tree(source(f"{named}:v2@{one}"))) == {"f": "one"}
    with pytest.raises(LaminaError) as caught:
        with_engine(lambda bench: bench.tree(source(f"{named}:v2", image_checksum=one)))
    assert caught.value.reason == (
        f"image digest {two} for {repository.name}:v2 does not match expected checksum {one}"
    )


def test_a_blob_is_a_file(with_engine: WithEngine, repository: Repository) -> None:
    digest = repository.blob(b"some bytes").digest
    blob = f"docker-image+blob://{repository.name}@{digest}"
    looks = {"http_filename": "../x/name", "http_perm": "0741", "http_uid": "12", "http_gid": "13"}
    for attrs, expected in (
        ({}, {digest.hex: ("some bytes", 0o600, 0, 0, 0)}),
        (looks, {"name": ("some bytes", 0o741, 12, 13, 0)}),
        ({"http_filename": ".."}, {"download": ("some bytes", 0o600, 0, 0, 0)}),
    ):
        definition = source(blob, **attrs)
        assert (
            with_engine(partial(entries, session=ServedRequest(), definition=definition))
            == expected
        )
    manifest = repository.image("text")
    blob = f"docker-image+blob://{repository.name}@{manifest}"
    found = with_engine(lambda b: entries(b, ServedRequest(), source(blob, http_filename="m")))
    assert digest_of(found["m"][0].encode()) == manifest


def test_a_blob_of_a_clients_store(with_engine: WithEngine) -> None:
    blob = f"oci-layout+blob://not/real@{digest_of(b'lent')}"
    definition = source(blob, http_filename="f", oci_store="shop")
    found = with_engine(lambda b: entries(b, ServedRequest(b"lent"), definition))
    assert found == {"f": ("lent", 0o600, 0, 0, 0)}


@pytest.mark.parametrize(
    ("blob", "attrs", "said"),
    [
        ("docker-image+blob://{name}:tag", {}, "named by its digest"),
        ("docker-image+blob://{name}@{none}", {}, "does not exist"),
        ("docker-image+blob://{name}@sha256:1", {}, "sha256:1"),
        ("oci-layout+blob://{name}@{none}", {}, "attribute oci.store is missing"),
        ("oci-layout+blob://{name}@{none}", {"oci_store": "shop"}, "no sha256:"),
        ("oci-layout+blob://{name}@{false}", {"oci_store": "shop"}, "does not match its digest"),
    ],
)
def test_blobs_that_are_not(
    with_engine: WithEngine, repository: Repository, blob: str, attrs: dict[str, str], said: str
) -> None:
    false = digest_of(b"what it should be")
    session = ServedRequest()
    session.blobs[false] = b"what it is"
    named = blob.format(name=repository.name, none=digest_of(b"none"), false=false)
    with pytest.raises(LaminaError, match=said):
        with_engine(lambda bench: entries(bench, session, source(named, **attrs)))


def test_the_key_of_a_blob_is_buildkits(with_engine: WithEngine) -> None:
    digest = digest_of(b"lent")
    wanted = f'{{"Digest":"{digest}","Filename":"f","Perm":384,"UID":1,"GID":2}}'.encode()
    attrs = {"http.filename": "f", "http.perm": "0600", "http.uid": "1", "http.gid": "2"}

    def key(bench: Bench) -> Any:
        made = bench.engine.sources.blob(
            "oci-layout+blob", f"a/b@{digest}", {**attrs, "oci.store": "shop"}, ServedRequest()
        )
        context: Any = None
        return made.cache_map(context).digest

    assert with_engine(key) == source_digest(digest_of(wanted))


def attested(repository: Repository) -> dict[str, Any]:
    """Upload an index `:it` of an image with two attestations, signed twice; its parts."""
    image = repository.image("attested")
    platform = {"platform": platform_to_json(host_platform())}
    layers = [
        repository.blob(text, "application/vnd.in-toto+json")._replace(
            annotations=(("in-toto.io/predicate-type", kind),)
        )
        for kind, text in (("slsa", b"how it was made"), ("spdx", b"what is in it"))
    ]
    config = repository.blob(b"{}", OCI_CONFIG)
    attestations = repository.manifest(Manifest(OCI_MANIFEST, config, tuple(layers)).to_json())
    signatures = {}
    for kind in ("dev.cosign.artifact.sig.v1", "dev.sigstore.bundle.v0.3", "unknown"):
        kind = f"application/vnd.{kind}+json"
        layer = repository.blob(kind.encode(), kind)
        signed = Manifest(OCI_MANIFEST, config, (layer,)).to_json()
        signatures[kind] = (repository.manifest(signed), layer)
    referring = [
        {**found.to_json(), "artifactType": kind} for kind, (found, _) in signatures.items()
    ]
    tag = f"sha256-{attestations.digest.hex}"
    repository.manifest({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": referring}, tag)
    about = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image,
    }
    other = {**about, "vnd.docker.reference.digest": digest_of(b"another")}
    nowhere = {"platform": {"architecture": "unknown", "os": "unknown"}}
    size = len(repository.fetched(image))
    index = repository.manifest(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {**Descriptor(OCI_MANIFEST, image, size).to_json(), **platform},
                {**config.to_json(), "annotations": other, **nowhere},
                {**attestations.to_json(), "annotations": about, **nowhere},
            ],
        },
        "it",
    )
    best = signatures["application/vnd.dev.sigstore.bundle.v0.3+json"]
    return {
        "index": index.digest,
        "image": image,
        "attestations": attestations.digest,
        "slsa": layers[0].digest,
        "signature": best[0].digest,
        "signed": best[1].digest,
    }


def chain_of(bench: Bench, name: str, **wanted: Any) -> Any:
    asked = ResolveSourceMetaRequest(
        SourceOp(f"docker-image://{name}"), image=ResolveSourceImageRequest(True, **wanted)
    )
    with bench.build() as build:
        found = resolve_source_meta(build, asked).image
    assert found is not None
    assert not found.config
    return found.digest, found.attestation_chain


def test_chains_of_attestations(with_engine: WithEngine, repository: Repository) -> None:
    parts = attested(repository)

    def use(bench: Bench) -> Any:
        name = f"{repository.name}:it"
        return (
            chain_of(bench, name),
            chain_of(bench, name, attestation_chain=True),
            chain_of(bench, name, resolve_attestations=("slsa",)),
            chain_of(bench, f"{repository.name}@{parts['image']}", attestation_chain=True),
        )

    bare, plain, resolved, alone = with_engine(use)
    assert bare == (parts["index"], None)
    assert alone == (parts["image"], None)
    digest, chain = plain
    assert digest == chain.root == parts["index"]
    assert chain.image_manifest == parts["image"]
    assert chain.attestation_manifest == parts["attestations"]
    assert chain.signature_manifests == (parts["signature"],)
    expected = {parts[name] for name in ("index", "attestations", "signature", "signed")}
    assert {key for key, _ in chain.blobs} == expected
    for key, blob in (*chain.blobs, *resolved[1].blobs):
        assert key == blob.descriptor.digest == digest_of(blob.data)
        assert blob.descriptor.size == len(blob.data)
    assert {key for key, _ in resolved[1].blobs} == {*expected, parts["slsa"]}
    told = dict(resolved[1].blobs)
    assert told[parts["slsa"]].data == b"how it was made"
    assert dict(told[parts["slsa"]].descriptor.annotations) == {"in-toto.io/predicate-type": "slsa"}
    assert told[parts["index"]].descriptor.media_type == OCI_INDEX


@pytest.mark.parametrize(
    ("layer_size", "manifest_size", "said"),
    [
        (9 << 20, None, "larger than"),
        (5, None, "only 3 of 5 bytes"),
        (3, 5, "bytes, not 5"),
    ],
)
def test_attestations_that_are_not_as_described(
    with_engine: WithEngine,
    repository: Repository,
    layer_size: int,
    manifest_size: int | None,
    said: str,
) -> None:
    image = repository.image("plain")
    listed = Descriptor(OCI_MANIFEST, image, len(repository.fetched(image)))
    layer = repository.blob(b"abc")._replace(
        size=layer_size, annotations=(("in-toto.io/predicate-type", "slsa"),)
    )
    config = repository.blob(b"{}", OCI_CONFIG)
    about = (
        ("vnd.docker.reference.type", "attestation-manifest"),
        ("vnd.docker.reference.digest", image),
    )
    manifest = repository.manifest(Manifest(OCI_MANIFEST, config, (layer,)).to_json())
    attested = manifest._replace(annotations=about, platform=Platform("unknown", "unknown"))
    if manifest_size is not None:
        attested = attested._replace(size=manifest_size)
    parts = (listed._replace(platform=host_platform()), attested)
    repository.manifest(Index(OCI_INDEX, parts).to_json(), "bad")
    name = f"{repository.name}:bad"
    with pytest.raises(LaminaError, match=said):
        with_engine(lambda bench: chain_of(bench, name, resolve_attestations=("slsa",)))


def test_an_index_without_attestations(with_engine: WithEngine, repository: Repository) -> None:
    image = repository.image("plain")
    size = len(repository.fetched(image))
    listed = Descriptor(OCI_MANIFEST, image, size, platform=host_platform())
    index = repository.manifest(Index(OCI_INDEX, (listed,)).to_json(), "plain")
    name = f"{repository.name}:plain"
    _, chain = with_engine(lambda bench: chain_of(bench, name, attestation_chain=True))
    assert (chain.root, chain.image_manifest) == (index.digest, image)
    assert (chain.attestation_manifest, chain.signature_manifests) == ("", ())
    assert [key for key, _ in chain.blobs] == [index.digest]
