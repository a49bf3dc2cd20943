"""JSON in Go's format: facts of `encoding/json` and of BuildKit's structs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.gojson import encode, encode_indented
from lamina.llb import op
from lamina.llb.gojson import message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", b'"plain"'),
        ("a<b>&c", b'"a\\u003cb\\u003e\\u0026c"'),
        ("\u2028\u2029", b'"\\u2028\\u2029"'),
        ("é\x7f", '"é\x7f"'.encode()),
        ('"\\\n\r\t', b'"\\"\\\\\\n\\r\\t"'),
        ("\x01\x1f", b'"\\u0001\\u001f"'),
        (b"x\xff\xfey".decode("utf-8", "surrogateescape"), b'"x\\ufffd\\ufffdy"'),
    ],
)
def test_strings(text: str, expected: bytes) -> None:
    assert encode(text) == expected


@given(st.text())
def test_any_text_is_read_back(text: str) -> None:
    assert json.loads(encode([text]))[0] == text


_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_DOCUMENTS)
def test_indentation_is_that_of_json(document: object) -> None:
    plain = json.dumps(document, ensure_ascii=False, indent=2)
    for character in "<>&\u2028\u2029":
        plain = plain.replace(character, f"\\u{ord(character):04x}")
    assert encode_indented(document) == plain.encode("utf-8")


def test_zero_is_left_out_and_empty_messages_are_not() -> None:
    assert message(op.Mount(dest="/")) == {"dest": "/"}
    assert message(op.Mount(cache=op.CacheOpt())) == {"cacheOpt": {}}
    mount = op.Mount(output=-1, readonly=True, mount_type=op.MountType.SECRET)
    assert encode(message(mount)) == b'{"output":-1,"readonly":true,"mountType":1}'
    merge = op.MergeOp((op.MergeInput(0), op.MergeInput(1)))
    assert encode(message(merge)) == b'{"inputs":[{},{"input":1}]}'


def test_users_and_bytes() -> None:
    owner = op.ChownOpt(op.UserOpt(by_name=op.NamedUser("bob", 0)), op.UserOpt(by_id=0))
    action = op.MkFileAction("/x", 0o644, b"\0\xff", owner, -1)
    assert encode(message(action)) == (
        b'{"path":"/x","mode":420,"data":"AP8=","owner":'
        b'{"user":{"User":{"byName":{"name":"bob"}}},"group":{"User":{}}},"timestamp":-1}'
    )
