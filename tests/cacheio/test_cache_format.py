"""BuildKit's cache format: exact bytes, and invalid input."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base import oci
from lamina.base.digest import Digest
from lamina.base.errors import Corrupt
from lamina.base.oci import INLINE_KEY, Descriptor
from lamina.cacheio.cache_config import (
    CREATED_AT,
    MEDIA_TYPE,
    UNCOMPRESSED,
    CacheConfig,
    Link,
    Record,
    Result,
    decode,
    decode_inline,
    encode,
    find_config,
    in_order,
    make_manifest,
)


def digest(byte: str) -> Digest:
    return Digest("sha256:" + byte * 32)


def layer(byte: str) -> Descriptor:
    notes = ((CREATED_AT, "2020-01-02T03:04:05Z"), (UNCOMPRESSED, digest("ff")))
    return Descriptor(oci.OCI_LAYER_GZIP, digest(byte), 10, notes)


CONFIG = CacheConfig(
    (layer("aa"), layer("bb"), layer("cc")),
    (-1, 0, -1),
    (
        Record(digest("01")),
        Record(digest("02"), ((Link(0, "s"),),), (Result((0,), "2020-01-02T03:04:05Z"),)),
        Record(
            digest("03"),
            ((Link(1), Link(0, "x")), (Link(0),)),
            (Result((0, 1), "2020-01-02T03:04:05Z"),),
        ),
        Record(digest("04"), ((Link(2),),), (Result((0, 1, 2), "2020-01-02T03:04:05Z"),)),
    ),
)
GOLDEN = {
    "layers": [
        {"blob": digest("aa"), "parent": -1},
        {"blob": digest("bb")},
        {"blob": digest("cc"), "parent": -1},
    ],
    "records": [
        {"digest": digest("01")},
        {
            "layers": [{"layer": 0, "createdAt": "2020-01-02T03:04:05Z"}],
            "digest": digest("02"),
            "inputs": [[{"selector": "s", "link": 0}]],
        },
        {
            "layers": [{"layer": 1, "createdAt": "2020-01-02T03:04:05Z"}],
            "digest": digest("03"),
            "inputs": [[{"link": 1}, {"selector": "x", "link": 0}], [{"link": 0}]],
        },
        {
            "chains": [{"layers": [0, 1, 2], "createdAt": "2020-01-02T03:04:05Z"}],
            "digest": digest("04"),
            "inputs": [[{"link": 2}]],
        },
    ],
}


def test_the_config_blob() -> None:
    assert json.loads(encode(CONFIG)) == GOLDEN
    assert decode(encode(CONFIG), CONFIG.layers) == CONFIG
    assert decode(json.dumps(GOLDEN).encode(), CONFIG.layers) == CONFIG


@pytest.mark.parametrize("image_manifest", [True, False])
@pytest.mark.parametrize("docker_types", [True, False])
def test_the_manifest(image_manifest: bool, docker_types: bool) -> None:
    blob = encode(CONFIG)
    target, data = make_manifest(
        CONFIG, blob, image_manifest=image_manifest, docker_types=docker_types
    )
    document = json.loads(data)
    assert target.size == len(data)
    assert document["mediaType"] == target.media_type
    if image_manifest:
        assert document["config"]["mediaType"] == MEDIA_TYPE
        listed = document["layers"]
    else:
        assert document["manifests"][-1]["mediaType"] == MEDIA_TYPE
        listed = document["manifests"][:-1]
    assert [entry["digest"] for entry in listed] == [digest("aa"), digest("bb"), digest("cc")]
    assert listed[0]["annotations"] == {
        "buildkit/createdat": "2020-01-02T03:04:05Z",
        "containerd.io/uncompressed": digest("ff"),
    }
    config, layers = find_config(data)
    assert config is not None
    assert decode(blob, layers) == CONFIG


def test_an_image_is_no_cache_but_may_carry_one() -> None:
    kinds = Descriptor(oci.OCI_CONFIG, digest("dd"), 5)
    manifest = oci.Manifest(oci.OCI_MANIFEST, kinds, CONFIG.layers)
    config, layers = find_config(json.dumps(manifest.to_json()).encode())
    assert config is None
    records = [{"digest": digest("01"), "layers": [{"layer": 1, "createdAt": "t"}]}]
    image = {
        INLINE_KEY: b64encode(json.dumps(records).encode()).decode(),
        "history": [{"created": "now", "created_by": "RUN x"}, {"empty_layer": True}, {}],
    }
    diff_ids = [digest("11"), digest("12"), digest("13")]
    found = decode_inline(image, layers, diff_ids)
    assert found is not None
    assert found.parents == (-1, 0, 1)
    assert found.layers[0].annotations == (
        ("containerd.io/uncompressed", diff_ids[0]),
        ("buildkit/createdat", "now"),
        ("buildkit/description", "RUN x"),
    )
    assert [len(layer.annotations) for layer in found.layers] == [3, 1, 1]
    assert found.records == (Record(digest("01"), (), (Result((0, 1), "t"),)),)
    assert dict(found.layers[1].annotations)[UNCOMPRESSED] == digest("12")
    assert decode_inline({}, layers, diff_ids) is None
    assert decode_inline(image, layers, diff_ids[1:]) is None


def changed(**fields: Any) -> bytes:
    return json.dumps({**GOLDEN, **fields}).encode()


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"[]",
        b"{",
        changed(records=[{}]),
        changed(records=[{"digest": "no"}]),
        changed(records=[{"digest": digest("01"), "inputs": [[{"link": 1}]]}]),
        changed(records=[{"digest": digest("01"), "inputs": [[{"link": -1}]]}]),
        changed(records=[{"digest": digest("01"), "inputs": [7]}]),
        changed(records=[{"digest": digest("01"), "layers": [{"layer": 9}]}]),
        changed(records=[{"digest": digest("01"), "layers": [{"layer": -7}]}]),
        changed(layers=[{"blob": digest("aa"), "parent": 0}]),
        changed(layers=[{"blob": digest("aa"), "parent": 1}, {"blob": digest("bb")}]),
        changed(layers=7),
    ],
)
def test_malformed_configurations_are_refused(blob: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(blob, CONFIG.layers)


def test_results_whose_layers_are_missing_are_left_out() -> None:
    found = decode(encode(CONFIG), CONFIG.layers[:1])
    assert [len(record.results) for record in found.records] == [0, 1, 0, 0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just(digest("aa")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("blob", "parent", "digest", "inputs", "link", "layers", "layer")),
            inner,
        )
    ),
    max_leaves=20,
)


@given(JSON, JSON)
def test_any_json_is_refused_or_read(layers: Any, records: Any) -> None:
    try:
        decode(json.dumps({"layers": layers, "records": records}).encode(), CONFIG.layers)
    except Corrupt:
        return


def test_records_have_one_order() -> None:
    ordered = in_order(CONFIG.records)
    assert {record.digest for record in ordered} == {digest(f"0{n}") for n in range(1, 5)}
    # The same records in another order, as another build may have found them.
    last = len(CONFIG.records) - 1
    turned = [
        record._replace(
            inputs=tuple(
                tuple(Link(last - at, by) for at, by in reversed(links)) for links in record.inputs
            )
        )
        for record in reversed(CONFIG.records)
    ]
    assert in_order(turned) == ordered
    users = {record.digest: record for record in ordered}
    (link,) = users[digest("04")].inputs[0]
    assert ordered[link.record].digest == digest("03")


def test_a_long_chain_of_records_is_ordered() -> None:
    chain = [Record(digest("01"))]
    chain += [Record(digest("02"), ((Link(number),),)) for number in range(5000)]
    assert len(in_order(chain)) == 5001
