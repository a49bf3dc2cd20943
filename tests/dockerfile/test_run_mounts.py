from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError
from lamina.dockerfile.mounts import RunMount, mount_origin, parse_device, parse_mount


def parse(text: str) -> RunMount:
    return parse_mount(text, lambda word: word.replace("$x", "X"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/a", RunMount("bind", target="/a", readonly=True)),
        ("type=bind,dst=/a,rw", RunMount("bind", target="/a")),
        ("type=bind,destination=/a,ro=false", RunMount("bind", target="/a")),
        ("dst=/a,ro,rw", RunMount("bind", target="/a")),
        (
            "type=cache,target=/$x,id=i,sharing=LOCKED,mode=0750,uid=1,gid=2",
            RunMount("cache", target="/X", id="i", sharing="locked", mode=0o750, uid=1, gid=2),
        ),
        ("type=cache,target=/a,readonly", RunMount("cache", target="/a", readonly=True)),
        ("type=tmpfs,target=/a,size=1.5k", RunMount("tmpfs", target="/a", size=1536)),
        ("type=tmpfs,target=/a,size=64MiB", RunMount("tmpfs", target="/a", size=64 << 20)),
        ("type=secret,id=s,env=S", RunMount("secret", id="s", env="S", readonly=True)),
        (
            "type=secret,src=s,required",
            RunMount("secret", source="s", required=True, readonly=True),
        ),
        ("type=ssh", RunMount("ssh", readonly=True)),
        ('"target=/a,b",source=c', RunMount("bind", source="c", target="/a,b", readonly=True)),
        ("from=b,source=/s,target=/a", RunMount("bind", "b", "/s", "/a", readonly=True)),
    ],
)
def test_mounts(text: str, expected: RunMount) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "part", "hint"),
    [
        ("type=cash,target=/a", 'unsupported mount type "cash"', "cache"),
        ("type=cache,taget=/a", "unexpected key 'taget'", "target"),
        ("type=cache,target", "must be a key=value pair", "target="),
        ("type=cache,target=/a,sharing=lock", "unsupported sharing value", "locked"),
        ("target=/a,sharing=locked", "unexpected key 'sharing'", "cache"),
        ("target=/a,uid=1", "unexpected key 'uid'", ""),
        ("target=/a,required", "unexpected key 'required'", "secret"),
        ("type=cache,target=/a,size=1", "unexpected key 'size'", "tmpfs"),
        ("type=cache,target=/a,mode=9", "invalid value 9 for mode", ""),
        ("type=cache,target=/a,uid=-1", "invalid value -1 for uid", ""),
        ("type=cache,target=/a,uid=4294967296", "for uid", ""),
        ("type=tmpfs,target=/a,size=big", "invalid value for size", "64m"),
        ("target=/a,ro=maybe", "invalid value for readonly", "true"),
        ("type=secret", "one of source, target required", "id="),
        ("type=secret,id=a,source=b", "both source and id", ""),
        ("type=secret,id=a,from=b", "should not have a from", ""),
        ("type=ssh,source=a", "does not support source", ""),
        ('"target=/a', "csv", ""),
    ],
)
def test_errors(text: str, part: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert part in caught.value.reason
    assert hint in caught.value.hint


def test_origins() -> None:
    assert mount_origin("type=bind,from=a,target=/$b") == "a"
    assert mount_origin("target=/b") == ""
    with pytest.raises(InvalidInput, match="variable expansion"):
        mount_origin("from=$a,target=/b")


def test_devices() -> None:
    assert parse_device("vendor.com/gpu=all") == ("vendor.com/gpu=all", False)
    assert parse_device("name=x,required") == ("x", True)
    assert parse_device("x,required=false") == ("x", False)
    with pytest.raises(InvalidInput):
        parse_device("x,y")


@given(st.text(alphabet='type=cahsrdi,"/1$', max_size=40))
def test_anything_is_parsed_or_refused(text: str) -> None:
    for read in (parse, mount_origin, parse_device):
        with contextlib.suppress(LaminaError):
            read(text)
