"""The hand-written packet codec, compared with the table and with protobuf's encoding."""

import stat as unix

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.api import filemode
from lamina.api.filesync import (
    SCHEMA,
    Packet,
    PacketType,
    Stat,
    decode_packet,
    encode_data,
    encode_error,
    encode_fin,
    encode_last_stat,
    encode_request,
    encode_stat,
)
from lamina.base.errors import Corrupt
from lamina.wire.protobuf import encode

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
_STATS = st.builds(
    Stat,
    path=_TEXT,
    mode=st.integers(0, (1 << 32) - 1),
    uid=st.integers(0, (1 << 32) - 1),
    gid=st.integers(0, (1 << 32) - 1),
    size=st.integers(-1, (1 << 63) - 1),
    mod_time=st.integers(-(1 << 63), (1 << 63) - 1),
    linkname=_TEXT,
    devmajor=st.integers(0, 3),
    devminor=st.integers(0, 3),
    xattrs=st.dictionaries(st.sampled_from(["user.a", "user.b"]), st.binary(max_size=9)).map(
        lambda pairs: tuple(sorted(pairs.items()))
    ),
)
_NUMBERS = st.integers(0, (1 << 32) - 1)


@given(_STATS)
def test_the_encoder_of_stat_follows_its_schema(stat: Stat) -> None:
    packet = Packet(stat=stat)
    encoded = encode_stat(stat)
    assert encoded == encode(packet, SCHEMA)
    assert decode_packet(encoded) == packet


@given(_NUMBERS, st.binary(max_size=400))
def test_other_packets_too(number: int, content: bytes) -> None:
    for encoded, packet in (
        (encode_request(number), Packet(PacketType.REQ, id=number)),
        (encode_data(number, content), Packet(PacketType.DATA, id=number, data=content)),
        (encode_fin(), Packet(PacketType.FIN)),
        (encode_last_stat(), Packet()),
        (encode_error("no"), Packet(PacketType.ERR, data=b"no")),
    ):
        assert encoded == encode(packet, SCHEMA)
        assert decode_packet(encoded) == packet


def test_the_bytes_are_protobufs() -> None:
    stat = Stat(
        "a/\u00c3\u00a9",
        filemode.DIRECTORY | 0o755 | 1 << 7,
        1,
        2,
        300,
        1700000000123456789,
        "l",
        1,
        0,
        (("user.x", b""),),
    )
    stat = stat._replace(mode=2147484141)
    assert encode_stat(stat).hex() == (
        "12300a06612fc383c2a910ed838080081801200228ac0230959a97ece39fe7cb173a016c4001520a0a067573"
        "65722e781200"
    )
    assert encode_data(300, b"abc").hex() == "080218ac022203616263"
    assert decode_packet(bytes.fromhex("1200")) == Packet(stat=Stat())


@given(_STATS, st.data())
def test_truncated_packets(stat: Stat, draw: st.DataObject) -> None:
    encoded = encode_stat(stat)
    cut = encoded[: draw.draw(st.integers(1, max(1, len(encoded) - 1)))]
    if cut == encoded:
        return
    with pytest.raises(Corrupt):
        decode_packet(cut)


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_read(data: bytes) -> None:
    try:
        packet = decode_packet(data)
    except Corrupt:
        return
    assert isinstance(packet, Packet)


def test_a_name_that_is_not_utf8_round_trips() -> None:
    stat = Stat("a\udcff")
    assert decode_packet(encode_stat(stat)) == Packet(stat=stat)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (unix.S_IFREG | 0o644, 0o644),
        (unix.S_IFDIR | unix.S_ISVTX | 0o777, filemode.DIRECTORY | filemode.STICKY | 0o777),
        (unix.S_IFLNK | 0o777, filemode.SYMLINK | 0o777),
        (unix.S_IFCHR | 0o600, filemode.DEVICE | filemode.CHAR_DEVICE | 0o600),
        (unix.S_IFBLK | 0o600, filemode.DEVICE | 0o600),
        (unix.S_IFIFO | 0o600, filemode.NAMED_PIPE | 0o600),
        (unix.S_IFREG | unix.S_ISUID | unix.S_ISGID, filemode.SETUID | filemode.SETGID),
    ],
)
def test_modes_are_gos(mode: int, expected: int) -> None:
    assert filemode.from_unix(mode) == expected
    assert filemode.to_unix(expected) == mode
