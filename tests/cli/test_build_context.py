from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import Corrupt, InvalidInput, LaminaError, NotFound, Unavailable
from lamina.cli.archive import is_archive
from lamina.cli.context import open_context
from lamina.client.contract import ContextSpec

if TYPE_CHECKING:
    from pathlib import Path


def spec(path: str, file: str = "", stdin: bytes = b"") -> ContextSpec:
    with open_context(path, file, (), io.BytesIO(stdin)) as context:
        return context


def archive(*names: str, mode: Literal["w", "w:gz", "w:bz2", "w:xz"] = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return data.getvalue()


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="no Dockerfile in"):
        spec(str(tmp_path))
    (tmp_path / "app.Dockerfile").write_text("FROM scratch")
    with pytest.raises(NotFound) as caught:
        spec(str(tmp_path))
    assert caught.value.hint == "there is app.Dockerfile: name it with -f"
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    monkeypatch.chdir(tmp_path)
    assert spec(".") == ContextSpec(str(tmp_path), str(tmp_path / "Dockerfile"))
    assert spec(".", "app.Dockerfile").dockerfile == str(tmp_path / "app.Dockerfile")
    piped = spec(".", "-", b"FROM scratch\n")
    assert piped == ContextSpec(str(tmp_path), "Dockerfile", b"FROM scratch\n")


def test_paths_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    file = tmp_path / "Dockerfile"
    file.write_text("FROM scratch")
    with pytest.raises(NotFound, match='did you mean "source"'):
        spec(str(tmp_path / "sourse"))
    with pytest.raises(InvalidInput, match="not a directory"):
        spec(str(file))
    with pytest.raises(NotFound, match='did you mean "Dockerfile"'):
        spec(str(tmp_path), str(tmp_path / "Dockerfil"))
    with pytest.raises(InvalidInput, match="is a directory"):
        spec(str(tmp_path), str(tmp_path / "source"))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        spec("http://127.0.0.1:1/context.tar")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        spec(str(tmp_path), "http://127.0.0.1:1/Dockerfile")
    with pytest.raises(Unavailable, match="git"):
        spec("git://127.0.0.1:1/x#main")


def test_a_dockerfile_on_standard_input() -> None:
    assert spec("-", stdin=b"FROM scratch\n") == ContextSpec("", "Dockerfile", b"FROM scratch\n")
    long = b"FROM scratch\n" + b"# \n" * 1000
    assert spec("-", stdin=long).dockerfile_data == long
    for stdin, file, message in (
        (b"", "", "is empty"),
        (b" \n\n", "", "is empty"),
        (b"FROM scratch", "Dockerfile", "both"),
        (b"FROM scratch", "-", "cannot be both"),
    ):
        with pytest.raises(InvalidInput, match=message):
            spec("-", file, stdin)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_on_standard_input(mode: Literal["w", "w:gz", "w:bz2", "w:xz"]) -> None:
    data = archive("Dockerfile", "sub/other", mode=mode)
    with open_context("-", "", (), io.BytesIO(data)) as context:
        assert context.dockerfile == os.path.join(context.path, "Dockerfile")
        assert sorted(os.listdir(context.path)) == ["Dockerfile", "sub"]
        with open(context.dockerfile) as file:
            assert file.read() == "Dockerfile"
    assert not os.path.exists(context.path)
    with open_context("-", "sub/other", (), io.BytesIO(data)) as context:
        assert context.dockerfile.endswith("/sub/other")


def test_an_archive_that_is_damaged() -> None:
    before = set(os.listdir("/tmp"))
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        data = archive("Dockerfile", *(f"file{n}" for n in range(50)), mode=mode)
        with pytest.raises(Corrupt):
            spec("-", stdin=data[: len(data) // 2 - 100])
    assert not {name for name in set(os.listdir("/tmp")) - before if "lamina-context" in name}


def test_an_archive_cannot_reach_outside(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        link = tarfile.TarInfo("Dockerfile")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(LaminaError):
        spec("-", "Dockerfile", data.getvalue())
    with pytest.raises(LaminaError):
        spec("-", "../../etc/passwd", archive("x"))


def test_the_default_dockerfile_of_an_archive_cannot_be_a_link_outside() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        link = tarfile.TarInfo("Dockerfile")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(LaminaError):
        spec("-", "", data.getvalue())


@given(st.binary(max_size=600))
def test_telling_archives_apart_never_fails(head: bytes) -> None:
    is_archive(head)


def test_old_archives_are_known_by_their_checksum() -> None:
    data = archive("Dockerfile")
    old = bytearray(data[:512])
    old[257:265] = bytes(8)
    old[148:156] = b"%06o\0 " % (sum(old[:148]) + 8 * 32 + sum(old[156:512]))
    assert is_archive(bytes(old))
    assert not is_archive(b"FROM scratch\n" * 100)


def test_contexts_that_a_daemon_fetches_are_not_fetched(tmp_path: Path) -> None:
    def left(path: str, file: str = "", stdin: bytes = b"") -> ContextSpec:
        with open_context(path, file, (), io.BytesIO(stdin), fetched=False) as found:
            return found

    assert left("https://host/a.git#v1", "x.Dockerfile") == ContextSpec(
        "", "x.Dockerfile", url="https://host/a.git#v1"
    )
    assert left("github.com/a/b#main:sub").url == "github.com/a/b#main:sub"
    assert left("http://host/context.tar", "-", b"FROM scratch").dockerfile_data == b"FROM scratch"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a" * 50))
    found = left("-", stdin=archive.getvalue())
    assert found.archive is not None
    assert b"".join(found.archive) == archive.getvalue()
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    assert left(str(tmp_path)) == ContextSpec(str(tmp_path), str(tmp_path / "Dockerfile"))
