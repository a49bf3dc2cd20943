"""Causes of differences between two builds of the same inputs."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from lamina.imagediff.causes import content_cause, presence_cause
from lamina.imagediff.files import File
from lamina.imagediff.reproducibility import verdict_on
from lamina.system.cancel import Cancellation
from tests.imagediff.memory_image import file, folder, image, packed

if TYPE_CHECKING:
    from lamina.imagediff.reproducibility import Finding


@pytest.mark.parametrize(
    ("before", "after", "step", "kind"),
    [
        (b"b\na\n", b"a\nb\n", "RUN make", "ordering"),
        (b"x y z", b"z y x", "RUN make", "ordering"),
        (b"Mon Nov 30 18:00:01 UTC 2026", b"Tue Dec  1 9:00:01 UTC 2026", "RUN make", "timestamp"),
        (
            b"at 2026-11-30T18:00:01.25Z by",
            b"at 2026-12-01T00:00:00Z by",
            "",
            "timestamp",
        ),
        (b"a\nt=1796064741\n", b"a\nt=1796064742\n", "", "timestamp"),
        (b"a\nt=1796064741123\n", b"a\nt=1796064742124\n", "", "timestamp"),
        (gzip.compress(b"x", mtime=1), gzip.compress(b"x", mtime=2), "", "timestamp"),
        (b"abc", b"abd", "RUN date +%s | md5sum > /f", "timestamp"),
        (b"abc", b"abd", "RUN head -c3 /dev/urandom > /f", "randomness"),
        (b"abc", b"abd", "RUN ssh-keygen -t ed25519", "randomness"),
        (b"abc", b"abd", "RUN apt-get update && apt-get install -y x", "network"),
        (b"abc", b"abd", "RUN curl -O https://example.com/x", "network"),
        (b"abc", b"abd", "RUN make", "unknown"),
        (b"version 1.2 at 2026-11-30", b"edition 1.2 at 2026-12-01", "RUN make", "unknown"),
        (b"id 123456", b"id 123457", "RUN make", "unknown"),
        (b"update candidate", b"validate dates", "RUN update-database", "unknown"),
    ],
)
def test_causes_of_different_contents(before: bytes, after: bytes, step: str, kind: str) -> None:
    assert content_cause(before, after, step).kind == kind


def test_causes_of_other_names() -> None:
    one = File(0o100644, digest=b"1" * 32, size=1)
    other = one._replace(digest=b"2" * 32)
    assert presence_cause("log-20261130", [one], one, "RUN make").kind == "timestamp"
    assert presence_cause("tmp.Xy3", [None, one], one, "RUN make").kind == "randomness"
    assert presence_cause("a", [other], one, "RUN make").kind == "unknown"
    assert presence_cause("a", [], one, "RUN wget x").kind == "network"


def findings(before: object, after: object) -> tuple[Finding, ...]:
    verdict = verdict_on(before, after, Cancellation())  # type: ignore[arg-type]  # images
    assert not verdict.reproducible
    return verdict.findings


def test_the_same_images_are_reproducible() -> None:
    verdict = verdict_on(image([file("a")]), image([file("a")]), Cancellation())
    assert verdict.reproducible
    assert verdict.findings == ()


def test_a_difference_of_content_says_more_than_times() -> None:
    steps = ["COPY a", "RUN b"]
    before = image([file("a")], [folder("a", mtime_ns=1), file("b", "1 2")], steps=steps)
    after = image([file("a")], [folder("a", mtime_ns=2), file("b", "2 1")], steps=steps)
    (found,) = findings(before, after)
    assert (found.layer, found.step, found.path, found.differs) == (2, "RUN b", "b", ("content",))
    assert (found.cause.kind, found.more) == ("ordering", 1)


def test_every_layer_that_differs_has_a_finding() -> None:
    steps = ["RUN a", "RUN b", "RUN c"]
    before = image([file("a", mtime_ns=1)], [file("b")], [file("c", "1")], steps=steps)
    after = image([file("a", mtime_ns=2)], [file("b")], [file("d", "1")], steps=steps)
    first, second = findings(before, after)
    assert (first.layer, first.differs, first.cause.kind) == (1, ("time",), "timestamp")
    assert "SOURCE_DATE_EPOCH" in first.cause.hint
    assert (second.layer, second.path, second.differs) == (3, "c", ("removed",))
    assert second.cause.kind == "randomness"


def test_layers_and_configurations_that_differ_without_files() -> None:
    entries = [file("a"), file("b")]
    (order,) = findings(image(entries), image(entries[::-1]))
    assert (order.layer, order.path, order.cause.kind) == (1, "", "ordering")
    (created,) = findings(image(entries, created="1"), image(entries, created="2"))
    assert (created.layer, created.differs, created.cause.kind) == (0, ("created",), "timestamp")
    old, new = ([{"created_by": "x", "created": time}] for time in "12")
    (history,) = findings(image(entries, history=old), image(entries, history=new))
    assert (history.differs, history.cause.kind) == (("history",), "timestamp")
    (user,) = findings(image(entries, config={"User": "a"}), image(entries, config={"User": "b"}))
    assert user.cause.evidence == 'User is "a" and "b"'
    (shorter,) = findings(image(entries), image(entries, packed([])))
    assert (shorter.layer, shorter.cause.evidence) == (2, "only the second build has this layer")
