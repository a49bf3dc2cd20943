from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.base.digest import digest_of
from lamina.base.errors import AlreadyExists, Corrupt, LaminaError, NotFound, Unsupported
from lamina.client.local_history import LocalHistory
from lamina.records import bundle
from lamina.records.bundle import export_bundle, import_bundle
from lamina.records.steps import read_steps
from lamina.records.table import RecordTable
from lamina.stores.contents import ContentTable
from lamina.stores.store import open_store
from tests.commands import Lamina

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle of two real builds."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    (folder / "a").write_text("a")
    lamina = Lamina(folder / "store")
    lamina.build(folder)
    lamina.build(folder, "--label=x=y")
    done = lamina("history", "export", "--all", "-o", str(folder / "bundle"))
    assert done.code == 0, done.err
    return (folder / "bundle").read_bytes()


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        found = {}
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
        return found


def archive_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def refused(tmp_path: Path, data: bytes) -> LaminaError:
    """The error of a bundle; the store stays without records."""
    with open_store(str(tmp_path / "other")) as store:
        table = RecordTable(store)
        with pytest.raises(LaminaError) as caught:
            import_bundle(store, table, io.BytesIO(data))
        assert table.rows() == []
    return caught.value


def test_on_another_store(tmp_path: Path, context: Callable[..., Path], lamina: Lamina) -> None:
    folder = context("FROM base\nCOPY src /src\nRUN cat /src/a\n", {"src/a": "text\n"})
    lamina.build(folder, "--provenance=true", "-o", f"type=oci,dest={tmp_path}/image.tar")
    path = tmp_path / "bundle.tgz"
    assert lamina("history", "export", "-o", str(path)).code == 0
    other = Lamina(tmp_path / "other")
    imported = other("history", "import", "-f", str(path))
    assert imported.code == 0, imported.err
    ref = imported.out.strip()
    for command in (
        ("history", "inspect"),
        ("history", "logs"),
        ("history", "trace"),
        ("explain",),
    ):
        outputs = [machine(*command, ref).out for machine in (lamina, other)]
        assert outputs[0] == outputs[1] != ""
    again = other("history", "import", "-f", str(path))
    assert again.code == 1 and "is recorded already" in again.err
    assert other("prune", "-af").code == 0  # the blobs of the record are kept
    with open_store(str(lamina.root)) as here, open_store(str(other.root)) as there:
        stores = (here, there)
        tables = [RecordTable(store) for store in stores]
        records = [table.get(ref) for table in tables]
        assert records[0] is not None and records[0] == records[1]
        first, second = (read_steps(store.blobs, records[0]) for store in stores)
        assert first == second and any(step.op is not None for step in second)
        contents = tables[0].contents(ref)
        assert contents and sorted(contents) == sorted(tables[1].contents(ref))
        for digest in contents:
            one, two = (list(ContentTable(store.database).entries(digest)) for store in stores)
            assert one == two != []
        assert tables[1].drop_orphans() == set()


def test_the_form_is_that_of_buildx(packed: bytes) -> None:
    files = members(packed)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}

    def blob(descriptor: dict[str, Any]) -> Any:
        data = files[f"blobs/sha256/{descriptor['digest'].partition(':')[2]}"]
        assert descriptor["size"] == len(data)
        return json.loads(data)

    [top] = json.loads(files["index.json"])["manifests"]
    for entry in blob(top)["manifests"]:
        manifest = blob(entry)
        assert manifest["config"]["mediaType"] == "application/vnd.buildkit.historyrecord.v0"
        record = blob(manifest["config"])
        assert record["Ref"] == entry["annotations"]["vnd.buildkit.history.reference"]
        assert record["CompletedAt"]["seconds"] >= record["CreatedAt"]["seconds"]
        layers = {layer["digest"]: layer["mediaType"] for layer in manifest["layers"]}
        assert layers[record["logs"]["digest"]] == record["logs"]["media_type"]


def test_nothing_to_export(tmp_path: Path, lamina: Lamina) -> None:
    for words in ((), ("--all",)):
        done = lamina("history", "export", "-o", str(tmp_path / "x"), *words)
        assert done.code == 1 and "no build is recorded" in done.err


@pytest.mark.parametrize(
    "data",
    [b"", b"text", gzip.compress(b"text"), archive_of({"a": b"b"})],
    ids=["empty", "text", "gzip of text", "no OCI layout"],
)
def test_no_bundle(tmp_path: Path, data: bytes) -> None:
    assert "not a bundle of build records" in str(refused(tmp_path, data))


def test_a_blob_with_a_wrong_digest(tmp_path: Path, packed: bytes) -> None:
    files = members(packed)
    name = next(name for name in files if name.startswith("blobs/"))
    error = refused(tmp_path, archive_of({**files, name: files[name] + b"x"}))
    assert isinstance(error, Corrupt) and "does not match its digest" in str(error)


def test_a_missing_blob(tmp_path: Path, packed: bytes) -> None:
    files = members(packed)
    for name in [name for name in files if name.startswith("blobs/")]:
        try:
            document = json.loads(files[name])
        except ValueError:
            document = {}
        if isinstance(document, dict) and "Ref" in document:
            continue  # buildx's form of the record is not read
        rest = {other: data for other, data in files.items() if other != name}
        assert isinstance(refused(tmp_path, archive_of(rest)), Corrupt)


def test_a_bundle_of_buildx(tmp_path: Path) -> None:
    manifest = json.dumps({"layers": []}).encode()
    digest = digest_of(manifest)
    index = json.dumps({"manifests": [{"digest": digest}]}).encode()
    data = archive_of({"index.json": index, f"blobs/sha256/{digest.hex}": manifest})
    assert isinstance(refused(tmp_path, data), Unsupported)


def test_sizes_are_bounded(tmp_path: Path, packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in (("_BLOB_LIMIT", 10), ("_TOTAL_LIMIT", 1000), ("_MEMBERS", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(bundle, name, limit)
            assert "too large" in str(refused(tmp_path, packed))
    # A header that claims a long name is not read whole.
    monkeypatch.setattr(bundle, "_TOTAL_LIMIT", 0)
    monkeypatch.setattr(bundle, "_HEADERS", 1 << 20)
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    bomb = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(2 << 20))
    assert isinstance(refused(tmp_path, bomb), Corrupt)


@settings(max_examples=40)
@given(data=st.data())
def test_mutations_give_errors_or_records(
    tmp_path_factory: pytest.TempPathFactory, packed: bytes, data: st.DataObject
) -> None:
    """Digests of changed blobs are corrected."""
    files = members(packed)
    names = sorted(name for name in files if name.startswith("blobs/"))
    name = data.draw(st.sampled_from(names))
    before = files.pop(name)
    at = data.draw(st.integers(0, len(before) - 1))
    after = before[:at] + data.draw(st.binary(max_size=3)) + before[at + 1 :]
    old, new = digest_of(before).hex.encode(), digest_of(after).hex.encode()
    changed = {name: value.replace(old, new) for name, value in files.items()}
    changed[f"blobs/sha256/{new.decode()}"] = after
    with open_store(str(tmp_path_factory.mktemp("m") / "store")) as store:
        table = RecordTable(store)
        try:
            refs = import_bundle(store, table, io.BytesIO(archive_of(changed)))
        except LaminaError:
            assert table.rows() == []
            return
        assert [row.ref for row in table.rows()] == refs


def test_a_record_that_is_here(packed: bytes, tmp_path: Path) -> None:
    with open_store(str(tmp_path / "s")) as store:
        table = RecordTable(store)
        first, second = import_bundle(store, table, io.BytesIO(packed))
        table.delete(first)
        with pytest.raises(AlreadyExists):
            import_bundle(store, table, io.BytesIO(packed))
        assert [row.ref for row in table.rows()] == [second]
        out = io.BytesIO()
        export_bundle(LocalHistory(store), [second], out)
        table.delete(second)
        assert import_bundle(store, table, io.BytesIO(out.getvalue())) == [second]
        record = table.get(second)
        assert record is not None
        with pytest.raises(NotFound):
            read_steps(store.blobs, record._replace(logs=None))
