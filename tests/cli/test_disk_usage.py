from __future__ import annotations

import json
import time

import pytest

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.usage import CacheRecord, UsageFilter
from lamina.cli import disk_usage
from lamina.cli.commands import COMMANDS
from lamina.cli.flags import parse
from lamina.cli.image_commands import show_images
from lamina.cli.run_command import parse_volume, run_request
from lamina.cli.tables import json_lines, table
from lamina.client.contract import ImageSummary

MB = 1_000_000


def test_tables_are_aligned() -> None:
    assert table(("A", "LONG"), [("wide cell", "x"), ("y", "")]) == (
        "A           LONG\nwide cell   x\ny"
    )
    assert table(("A", "B"), []) == "A   B"
    assert json_lines([{"a": 1}, {"a": "ü"}]) == '{"a": 1}\n{"a": "ü"}'


def test_images() -> None:
    digest = "sha256:6cc56539b319" + "0" * 52
    shown = show_images(
        [
            ImageSummary("docker.io/appleboy/demo:latest", digest, 12_345_678, 1000.0),
            ImageSummary("localhost:5000/x:1", digest, 999, 1000.0),
            ImageSummary("docker.io/library/alpine:3.20", digest, 0, 1000.0),
            ImageSummary(f"<none>@{digest}", digest, MB, 1000.0),
            ImageSummary("", digest, MB, 1000.0),
        ],
        now=1300.0,
    )
    assert shown == (
        "REPOSITORY         TAG      IMAGE ID       CREATED         SIZE\n"
        "appleboy/demo      latest   6cc56539b319   5 minutes ago   12.35MB\n"
        "localhost:5000/x   1        6cc56539b319   5 minutes ago   999B\n"
        "alpine             3.20     6cc56539b319   5 minutes ago   0B\n"
        "<none>             <none>   6cc56539b319   5 minutes ago   1.00MB\n"
        "<none>             <none>   6cc56539b319   5 minutes ago   1.00MB"
    )


def records() -> list[CacheRecord]:
    return [
        CacheRecord("aaa", "regular", 3 * MB, 0.0, time.time() - 300, 2, "RUN x", ("p", "q")),
        CacheRecord("bbb", "exec.cachemount", MB, 0.5, reclaimable=False, shared=True),
    ]


def test_disk_usage() -> None:
    assert disk_usage.show_records(records()) == (
        "ID    RECLAIMABLE   SIZE      LAST ACCESSED\n"
        "aaa   true          3.00MB    5 minutes ago\n"
        "bbb   false         1.00MB*"
    )
    assert disk_usage.show_sums(records()) == (
        "Shared:      1.00MB\nPrivate:     3.00MB\nReclaimable: 3.00MB\nTotal:       4.00MB"
    )
    assert disk_usage.show_sums([]) == "Reclaimable: 0B\nTotal:       0B"
    first, second = disk_usage.show_verbosely(records()).split("\n\n")
    assert first.startswith("ID:          aaa\nParents:     p;q\nCreated at:  1970-01-01T00:00:00Z")
    assert "Description: RUN x" in first
    assert second.endswith("Usage count: 0\nType:        exec.cachemount")


def test_filters() -> None:
    assert disk_usage.parse_filters([]) == UsageFilter()
    assert disk_usage.parse_filters(["until=24h,id=a", "id=b", "type=regular"]) == UsageFilter(
        ids=("a", "b"), types=("regular",), unused_for=86400.0
    )
    assert disk_usage.parse_filters(["description~=go mod", "inuse"]) == UsageFilter(
        description="go mod", reclaimable=False
    )
    assert disk_usage.parse_filters(["inuse=false", "private"]) == UsageFilter(
        reclaimable=True, shared=False
    )
    for bad in ("", "x=1", "until", "until=x", "id=", "id~=x", "shared=maybe", "unitl=1h"):
        with pytest.raises(InvalidInput, match="filter"):
            disk_usage.parse_filters([bad])


def test_prune_does_nothing_without_confirmation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io
    import sys

    for answer in ("", "n\n", "nope\n", "\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        assert disk_usage.prune(parse(COMMANDS["prune"], ["-a"])) == 0
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("WARNING! This will remove all build cache.")
    with pytest.raises(InvalidInput, match="cannot be combined"):
        disk_usage.prune(parse(COMMANDS["prune"], ["--keep-storage=1", "--reserved-space=1"]))


def test_a_record_as_json_can_be_read_back() -> None:
    text = json_lines(disk_usage._document(record) for record in records())
    first, second = map(json.loads, text.splitlines())
    assert first["Size"] == 3 * MB
    assert second["LastUsedAt"] is None


def test_run_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_ENV", "1")
    words = ["-e", "A=b=c", "-e", "FROM_ENV", "-e", "NOT_SET", "-w", "/x", "-u", "1:2", "--rm"]
    words += ["-v", "/tmp:/data:ro", "--entrypoint", "", "--read-only", "-i", "image", "sh", "-c"]
    request = run_request(parse(COMMANDS["run"], words))
    assert request.image == "image"
    assert request.args == ("sh", "-c")
    assert request.env == (("A", "b=c"), ("FROM_ENV", "1"))
    assert request.volumes == (("/tmp", "/data", True),)
    assert request.entrypoint == ()
    assert (request.cwd, request.user) == ("/x", "1:2")
    assert request.readonly
    assert request.interactive
    assert run_request(parse(COMMANDS["run"], ["image"])).entrypoint is None


def test_volumes() -> None:
    assert parse_volume("/tmp:/x") == ("/tmp", "/x", False)
    for bad in ("/tmp", "/tmp:x", "/tmp:/x:rx", ":/x", ""):
        with pytest.raises(InvalidInput):
            parse_volume(bad)
    with pytest.raises(NotFound):
        parse_volume("/no/such:/x")
