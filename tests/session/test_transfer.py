"""Transfers of directories: both ends against each other, and each against a hostile peer."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamina.api import filemode
from lamina.api.filesync import (
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
from lamina.base.errors import Corrupt, LaminaError, PermissionDenied, Unavailable
from lamina.session.folder_receiver import MIRROR, Policy, Received, receive
from lamina.session.folder_sender import opener_of, send
from lamina.session.listing import LISTING, Listing
from lamina.session.path_selection import Selection
from lamina.session.validators import Validators
from lamina.session.walk import walk
from lamina.wire.contract import Code, StatusError
from tests.session.trees import look, trees, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.wire.contract import Channel, ServerCall

    Connect = Callable[[dict[str, Callable[[ServerCall], None]]], Channel]

METHOD = "/test/DiffCopy"


def sync(
    connect: Connect,
    source: Path,
    target: Path,
    policy: Policy = MIRROR,
    *,
    known: Sequence[bytes] = (),
    validators: Validators | None = None,
    **selection: Any,
) -> Received:
    def handler(call: ServerCall) -> None:
        chosen = Selection(**selection, root=str(source))
        stats = walk(str(source), chosen, validators=validators)
        send(call, stats, opener_of(str(source)))

    with connect({METHOD: handler}).open(METHOD) as call:
        received = receive(call, str(target), policy, known=known)
        call.finish_sending()
        assert call.receive() is None
        return received


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    return source, target


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(trees(), min_size=1, max_size=3), st.booleans())
def test_a_mirror_follows_any_change_of_its_directory(
    connect: Connect, versions: list[dict[str, Any]], trust: bool
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, "target")
        target.mkdir()
        for number, version in enumerate(versions):
            source = Path(scratch, f"source{number}")
            source.mkdir()
            write(source, version)
            first = sync(connect, source, target, Policy(trust_metadata=trust))
            if not trust:  # otherwise files with equal metadata may be assumed to be equal
                assert look(target) == look(source)
            assert first.files == len(look(source))
            again = sync(connect, source, target)
            assert again.fetched == 0
            assert again.size == first.size


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(trees(), min_size=2, max_size=4), st.booleans())
def test_a_mirror_follows_any_change_if_packets_are_kept(
    connect: Connect, versions: list[dict[str, Any]], has_validators: bool
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "source"), Path(scratch, "target")
        target.mkdir()
        known: Sequence[bytes] = ()
        for version in versions:
            shutil.rmtree(source, ignore_errors=True)
            source.mkdir()
            write(source, version)
            for again in (False, True):
                validators = Validators(str(source)) if has_validators else None
                received = sync(connect, source, target, known=known, validators=validators)
                assert received.files == len(look(source))
                if has_validators:  # otherwise files with equal metadata are assumed to be equal
                    assert look(target) == look(source)
                elif again:
                    assert received.stats is None
                known = known if received.stats is None else received.stats


def test_a_removed_file_is_noticed_behind_one_that_is_always_fetched(
    connect: Connect, folders: tuple[Path, Path]
) -> None:
    source, target = folders
    for name in ("a", "b"):
        (source / name).write_text(name)
    os.utime(source / "b", (1_700_000_000, 1_700_000_000))  # whole seconds prove nothing
    known = sync(connect, source, target).stats
    assert known is not None
    (source / "b").unlink()
    assert sync(connect, source, target, known=known).stats is not None
    assert look(target) == look(source)


def test_links_that_become_separate_files(connect: Connect, folders: tuple[Path, Path]) -> None:
    source, target = folders
    (source / "a").write_text("one")
    os.link(source / "a", source / "b")
    known = sync(connect, source, target).stats
    assert known is not None
    times = (source / "a").stat()
    (source / "b").unlink()
    (source / "b").write_text("two")
    os.utime(source / "b", ns=(times.st_atime_ns, times.st_mtime_ns))
    sync(connect, source, target, known=known)
    assert look(target) == look(source)


def test_only_changed_files_are_fetched(connect: Connect, folders: tuple[Path, Path]) -> None:
    source, target = folders
    (source / "d").mkdir()
    for name in ("a", "d/b", "d/c"):
        (source / name).write_text(name)
    assert sync(connect, source, target).fetched == 3
    (source / "d/b").write_text("changed")
    (source / "a").chmod(0o600)
    (source / "d/c").unlink()
    (source / "d/e").mkdir()
    assert sync(connect, source, target).fetched == 2
    assert look(target) == look(source)


def test_files_alike_in_all_but_their_content(connect: Connect, folders: tuple[Path, Path]) -> None:
    source, target = folders
    for content in ("one", "two"):
        (source / "a").write_text(content)
        os.utime(source / "a", (1_700_000_000, 1_700_000_000))
        sync(connect, source, target)
        assert (target / "a").read_text() == content


def test_kinds_change_places(connect: Connect, folders: tuple[Path, Path]) -> None:
    source, target = folders
    (source / "a").mkdir()
    (source / "a/x").write_text("x")
    (source / "b").write_text("b")
    os.symlink("a", source / "c")
    sync(connect, source, target)
    shutil.rmtree(source / "a")
    os.symlink("b", source / "a")
    (source / "b").unlink()
    (source / "b").mkdir()
    (source / "b/y").write_text("y")
    (source / "c").unlink()
    (source / "c").write_text("c")
    sync(connect, source, target)
    assert look(target) == look(source)


def test_links_and_extended_attributes(connect: Connect, folders: tuple[Path, Path]) -> None:
    source, target = folders
    (source / "a").write_text("a")
    os.link(source / "a", source / "b")
    try:
        os.setxattr(source / "a", "user.one", b"1")
    except OSError:
        pytest.skip("no extended attributes here")
    sync(connect, source, target)
    assert look(target) == look(source)
    assert os.getxattr(target / "b", "user.one") == b"1"
    os.setxattr(source / "a", "user.two", b"2")
    os.removexattr(source / "a", "user.one")
    (source / "b").unlink()
    sync(connect, source, target)
    assert look(target) == look(source)
    shutil.copy2(source / "a", source / "b")
    os.link(source / "b", source / "c")
    sync(connect, source, target)
    assert look(target) == look(source)


def test_devices_and_owners(connect: Connect, folders: tuple[Path, Path]) -> None:
    source, target = folders
    try:
        os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (source / "f").write_text("f")
        os.chown(source / "f", 12, 34)
    except PermissionError:
        pytest.skip("not root")
    sync(connect, source, target)
    assert os.lstat(target / "null").st_rdev == os.makedev(1, 3)
    assert os.lstat(target / "f").st_uid == 12
    sync(connect, source, target, Policy(owner=(0, 0)))
    assert (os.lstat(target / "f").st_uid, os.lstat(target / "f").st_gid) == (0, 0)


def test_merged_files_stay(connect: Connect, folders: tuple[Path, Path]) -> None:
    source, target = folders
    (source / "d").mkdir()
    (source / "d/new").write_text("new")
    (source / "same").write_text("from the sender")
    (target / "d").mkdir()
    (target / "d/old").write_text("old")
    (target / "same").write_text("before")
    os.symlink("/etc", target / "zz")
    sync(connect, source, target, Policy(delete=False, trust_metadata=False))
    assert (target / "d/old").read_text() == "old"
    assert (target / "d/new").read_text() == "new"
    assert (target / "same").read_text() == "from the sender"
    assert (target / "zz").is_symlink()
    assert not [name for name in os.listdir(target) if name.startswith(".tmp")]


def test_a_link_in_the_way_is_replaced_not_followed(
    connect: Connect, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = folders
    outside = tmp_path / "outside"
    outside.mkdir()
    (source / "d").mkdir()
    (source / "d/f").write_text("f")
    (source / "g").write_text("g")
    os.symlink(outside, target / "d")
    os.symlink(outside / "g", target / "g")
    sync(connect, source, target, Policy(delete=False))
    assert not os.listdir(outside)
    assert look(target) == look(source)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"exclude": ["b"]}, ["a", "a/x", "a/y.md", "c.md", "l"]),
        ({"exclude": ["**/*.md", "!a/*.md"]}, ["a", "a/x", "a/y.md", "b", "b/z", "l"]),
        ({"include": ["a/x"]}, ["a", "a/x"]),
        ({"include": ["*.md", "b/**"]}, ["b", "b/z", "c.md"]),
        ({"include": ["**/*.md"], "exclude": ["a"]}, ["c.md"]),
        ({"follow": ["l"]}, ["b", "b/z", "l"]),
        ({"follow": ["l/z"]}, ["b", "b/z", "l"]),
        ({"follow": ["l*"]}, ["b", "b/z", "l"]),
        ({"follow": ["nothing"]}, []),
        ({"follow": ["."]}, ["a", "a/x", "a/y.md", "b", "b/z", "c.md", "l"]),
        ({"exclude": ["*", "!l"]}, ["l"]),
    ],
)
def test_only_what_is_selected_is_sent(
    connect: Connect,
    folders: tuple[Path, Path],
    selection: dict[str, Any],
    expected: list[str],
) -> None:
    source, target = folders
    for folder in ("a", "b"):
        (source / folder).mkdir()
    for name in ("a/x", "a/y.md", "b/z", "c.md"):
        (source / name).write_text(name)
    os.symlink("b", source / "l")
    sync(connect, source, target, MIRROR, **selection)
    assert sorted(look(target)) == expected


def test_a_listing_with_the_few_files_that_are_wanted(
    connect: Connect, folders: tuple[Path, Path]
) -> None:
    source, target = folders
    for path, text in (("a/b/c", "deep"), ("a/b/d", "no"), ("a/e/f", "no"), ("z", "last")):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    (source / LISTING).write_text("the client's own")
    (target / LISTING).symlink_to("/etc/passwd")
    for wanted, present in (((), []), (("**/c", "z"), ["a", "a/b", "a/b/c", "z"])):

        def handler(call: ServerCall) -> None:
            send(call, walk(str(source), Selection()), opener_of(str(source)))

        with connect({METHOD: handler}).open(METHOD) as call:
            receive(call, str(target), listing=Listing(wanted))
            call.finish_sending()
            assert call.receive() is None
        listed = (target / LISTING).read_bytes()
        told = []
        while listed:
            size = int.from_bytes(listed[:4], "little")
            packet = decode_packet(b"\x12" + bytes((size,)) + listed[4 : 4 + size])
            assert packet.stat is not None
            told.append((packet.stat.path, packet.stat.size))
            listed = listed[4 + size :]
        files = [("a/b/c", 4), ("a/b/d", 2), ("a/e/f", 2), ("z", 4)]
        assert [
            entry for entry in told if entry[1] and entry[0] not in ("a", "a/b", "a/e")
        ] == files
        assert {path for path, _ in told} == {"a", "a/b", "a/e"} | {path for path, _ in files}
        assert sorted(look(target)) == sorted([*present, LISTING])


def test_a_hard_link_whose_first_name_is_not_sent(
    connect: Connect, folders: tuple[Path, Path]
) -> None:
    source, target = folders
    (source / "a").write_text("x")
    for name in ("b", "c"):
        os.link(source / "a", source / name)
    sync(connect, source, target, exclude=["a"])
    assert sorted(look(target)) == ["b", "c"]
    assert os.path.samefile(target / "b", target / "c")


def test_links_that_go_round_are_kept(tmp_path: Path) -> None:
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    os.symlink("loop/x", tmp_path / "loop")
    chosen = Selection(follow=["a/x", "loop"], root=str(tmp_path))
    assert {stat.path for stat in walk(str(tmp_path), chosen)} == {"a", "b", "loop"}


def test_a_file_that_cannot_be_read_ends_the_transfer_at_both_ends(
    connect: Connect, folders: tuple[Path, Path]
) -> None:
    source, target = folders
    (source / "a").write_text("a")

    def refuse(path: str) -> int:
        raise PermissionError(13, "Permission denied", path)

    ended: SimpleQueue[BaseException] = SimpleQueue()

    def handler(call: ServerCall) -> None:
        try:
            send(call, walk(str(source)), refuse)
        except BaseException as error:
            ended.put(error)
            raise

    channel = connect({METHOD: handler})
    with channel.open(METHOD) as call, pytest.raises(Unavailable, match="Permission denied"):
        receive(call, str(target))
    assert isinstance(ended.get(timeout=5), PermissionDenied)


# A sender that violates the protocol.

_FOLDER = filemode.DIRECTORY | 0o755
_LINK = filemode.SYMLINK | 0o777


def hostile(connect: Connect, target: Path, packets: list[bytes]) -> None:
    def handler(call: ServerCall) -> None:
        for packet in packets:
            call.send(packet)
        while call.receive() is not None:
            continue

    with connect({METHOD: handler}).open(METHOD) as call:
        receive(call, str(target))


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "..",
        ".",
        "",
        "/etc/x",
        "//x",
        "a/../../x",
        "./x",
        "a//b",
        "a/",
        "nowhere/x",
        "x\0y",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize("mode", [0o644, _FOLDER, _LINK])
def test_paths_that_lead_elsewhere_are_refused(
    connect: Connect, folders: tuple[Path, Path], path: str, mode: int
) -> None:
    _, target = folders
    with pytest.raises(Corrupt):
        hostile(connect, target, [encode_stat(Stat("a", _FOLDER)), encode_stat(Stat(path, mode))])
    assert os.listdir(target) == ["a"]
    assert sorted(os.listdir(target.parent)) == ["source", "target"]


@pytest.mark.parametrize(
    "stats",
    [
        [Stat("l", _LINK, linkname="/etc"), Stat("l/x", 0o644)],
        [Stat("l", _LINK, linkname="/etc"), Stat("l/x", _FOLDER)],
        [Stat("f", 0o644), Stat("f/x", 0o644)],
        [Stat("b", 0o644), Stat("a", 0o644)],
        [Stat("a", 0o644), Stat("a", 0o644)],
        [Stat("a", _FOLDER), Stat("b", _FOLDER), Stat("a/x", 0o644)],
        [Stat("a", _FOLDER), Stat("a/b", 0o644), Stat("a/b", 0o644)],
        [Stat("a", 0o644, linkname="/etc/passwd")],
        [Stat("a", 0o644, linkname="../source")],
        [Stat("a", _LINK, linkname="/etc/passwd"), Stat("b", 0o644, linkname="a")],
        [Stat("a", _FOLDER), Stat("b", 0o644, linkname="a")],
        [Stat("a", 0o644, linkname="a")],
    ],
)
def test_orders_and_links_that_cannot_be_are_refused(
    connect: Connect, folders: tuple[Path, Path], stats: list[Stat]
) -> None:
    _, target = folders
    with pytest.raises(Corrupt):
        hostile(connect, target, [encode_stat(stat) for stat in stats])
    assert sorted(os.listdir(target.parent)) == ["source", "target"]


@pytest.mark.parametrize(
    "packets",
    [
        [encode_data(0, b"x")],
        [encode_stat(Stat("a", 0o644)), encode_data(7, b"x")],
        [encode_stat(Stat("a", _FOLDER)), encode_data(0, b"x")],
        [encode_stat(Stat("a", 0o644)), encode_data(0, b""), encode_data(0, b"x")],
        [encode_last_stat(), encode_stat(Stat("a", 0o644))],
        [b"\x12\x05\x0a"],
        [b"\xff" * 12],
    ],
)
def test_packets_that_make_no_sense_are_refused(
    connect: Connect, folders: tuple[Path, Path], packets: list[bytes]
) -> None:
    with pytest.raises((Corrupt, StatusError)):
        hostile(connect, folders[1], packets)


@pytest.mark.parametrize("packet", [encode_fin(), encode_error("no more")])
def test_an_early_end_is_no_success(
    connect: Connect, folders: tuple[Path, Path], packet: bytes
) -> None:
    with pytest.raises(Unavailable):
        hostile(connect, folders[1], [encode_stat(Stat("a", 0o644)), packet])


def test_a_file_that_is_cut_off_leaves_the_old_one(
    connect: Connect, folders: tuple[Path, Path]
) -> None:
    _, target = folders
    (target / "a").write_text("old")
    stats = [encode_stat(Stat("a", 0o644, size=9, mod_time=5)), encode_last_stat()]

    def handler(call: ServerCall) -> None:
        for packet in (*stats, encode_data(0, b"x" * 200_000)):
            call.send(packet)
        raise StatusError(Code.ABORTED, "gone")

    with connect({METHOD: handler}).open(METHOD) as call, pytest.raises(StatusError):
        receive(call, str(target))
    assert os.listdir(target) == ["a"]
    assert (target / "a").read_text() == "old"


def test_a_small_file_that_cannot_be_made(connect: Connect, folders: tuple[Path, Path]) -> None:
    told: SimpleQueue[bytes] = SimpleQueue()

    def handler(call: ServerCall) -> None:
        for packet in (
            encode_stat(Stat("x" * 300, 0o644)),
            encode_last_stat(),
            encode_data(0, b""),
        ):
            call.send(packet)
        while (message := call.receive()) is not None:
            if decode_packet(message).type == PacketType.ERR:
                told.put(decode_packet(message).data)

    with connect({METHOD: handler}).open(METHOD) as call:
        with pytest.raises(LaminaError, match="name too long"):
            receive(call, str(folders[1]))
        assert b"name too long" in told.get(timeout=5)


def test_many_files_at_once_do_not_use_up_descriptors(
    connect: Connect, folders: tuple[Path, Path]
) -> None:
    _, target = folders
    count, piece = 300, b"z" * 70_000

    def handler(call: ServerCall) -> None:
        for number in range(count):
            call.send(encode_stat(Stat(f"{number:04}", 0o644, size=2 * len(piece))))
        call.send(encode_last_stat())
        for _ in range(2):
            for number in range(count):
                call.send(encode_data(number, piece))
        for number in range(count):
            call.send(encode_data(number, b""))
        while (message := call.receive()) is not None:
            if decode_packet(message).type == 3:
                call.send(encode_fin())

    with connect({METHOD: handler}).open(METHOD) as call:
        received = receive(call, str(target))
    assert received.fetched == count
    assert all((target / f"{number:04}").stat().st_size == 140_000 for number in range(count))


def test_a_request_for_an_unknown_file_ends_the_sender(
    connect: Connect, folders: tuple[Path, Path]
) -> None:
    source, _ = folders
    (source / "a").write_text("a")

    def handler(call: ServerCall) -> None:
        send(call, walk(str(source)), opener_of(str(source)))

    with connect({METHOD: handler}).open(METHOD) as call:
        call.send(encode_request(9))
        with pytest.raises(StatusError):
            while call.receive() is not None:
                continue


@given(st.lists(st.binary(max_size=12), max_size=6))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_garbage_never_hangs_a_receiver(connect: Connect, packets: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as target:

        def handler(call: ServerCall) -> None:
            for packet in packets:
                call.send(packet)

        try:
            with connect({METHOD: handler}).open(METHOD) as call:
                receive(call, target)
        except (Corrupt, StatusError, Unavailable):
            return


def test_content_with_another_digest(connect: Connect, folders: tuple[Path, Path]) -> None:
    """The file changed after its stat was sent: the content is not recorded under that digest."""
    digests = [f"sha256:{hashlib.sha256(text).hexdigest()}" for text in (b"one", b"two")]
    stats = [
        encode_stat(Stat(name, 0o644, size=3, mod_time=5, validator=digest))
        for name, digest in zip("ab", digests, strict=True)
    ]

    def handler(call: ServerCall) -> None:
        for packet in stats:
            call.send(packet)
        call.send(encode_last_stat())
        for number in range(2):
            call.send(encode_data(number, b"two"))
            call.send(encode_data(number, b""))
        while (message := call.receive()) is not None:
            if decode_packet(message).type == PacketType.FIN:
                call.send(encode_fin())

    with connect({METHOD: handler}).open(METHOD) as call:
        received = receive(call, str(folders[1]))
    assert received.stats == (stats[1],)
