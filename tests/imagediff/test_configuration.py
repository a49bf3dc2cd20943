"""Differences between the configurations of two images."""

from __future__ import annotations

from typing import Any

import pytest

from lamina.imagediff.configuration import configuration_changes
from lamina.imagediff.result import Options
from tests.imagediff.memory_image import image

Found = list[tuple[str, str, object, object]]


def changes(before: dict[str, Any], after: dict[str, Any]) -> Found:
    found = configuration_changes(image(config=before), image(config=after), Options())
    return [tuple(change) for change in found]


def test_members_with_names_are_compared_one_by_one() -> None:
    before = {
        "Env": ["PATH=/bin", "A=1", "GONE=", "EQ=a=b"],
        "Labels": {"x": "1", "y": "2"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "Healthcheck": {"Test": ["CMD", "a"], "Interval": 5},
    }
    after = {
        "Env": ["EQ=a=c", "A=1", "PATH=/bin", "NEW=2"],
        "Labels": {"y": "3", "x": "1"},
        "ExposedPorts": {"80/tcp": None, "81/tcp": {}},
        "Volumes": {},
        "Healthcheck": {"Test": ["CMD", "b"], "Interval": 5},
    }
    assert changes(before, after) == [
        ("Env", "EQ", "a=b", "a=c"),
        ("Env", "GONE", "", None),
        ("Env", "NEW", None, "2"),
        ("ExposedPorts", "81/tcp", None, {}),
        ("Healthcheck", "Test", ["CMD", "a"], ["CMD", "b"]),
        ("Labels", "y", "2", "3"),
        ("Volumes", "/data", {}, None),
    ]


def test_lists_and_texts_are_compared_as_a_whole() -> None:
    before = {"Cmd": ["a", "b"], "Entrypoint": ["x"], "User": "root", "WorkingDir": "/a"}
    after = {"Cmd": ["b", "a"], "Entrypoint": ["x"], "User": "0", "StopSignal": "SIGINT"}
    assert changes(before, after) == [
        ("Cmd", "", ["a", "b"], ["b", "a"]),
        ("StopSignal", "", None, "SIGINT"),
        ("User", "", "root", "0"),
        ("WorkingDir", "", "/a", None),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"Cmd": None, "Labels": {}, "User": ""}, {"Entrypoint": [], "Env": None}),
        ({"WorkingDir": "/"}, {"WorkingDir": ""}),
        ({"ArgsEscaped": False}, {}),
        ({"OnBuild": None, "Volumes": None}, {}),
    ],
)
def test_what_means_the_same_is_the_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert changes(before, after) == []


def test_times_and_history_are_compared_only_if_wanted() -> None:
    old = image(created="2020", history=[{"created_by": "a", "created": "1"}])
    new = image(created="2021", history=[{"created_by": "b", "created": "1"}])
    newer = image(created="2021", history=[{"created_by": "b", "created": "2"}])
    assert configuration_changes(old, new, Options()) == ()
    (times,) = configuration_changes(old, new, Options(times=True))
    assert tuple(times) == ("created", "", "2020", "2021")
    (history,) = configuration_changes(old, new, Options(history=True))
    assert tuple(history) == ("history", "001", {"created_by": "a"}, {"created_by": "b"})
    assert configuration_changes(new, newer, Options(history=True)) == ()
    assert len(configuration_changes(new, newer, Options(history=True, times=True))) == 1


def test_other_members_of_the_document() -> None:
    old = image(author="me", variant="v7", docker_version="20", container="abc")
    new = image(architecture="arm64", docker_version="23")
    found = [tuple(change) for change in configuration_changes(old, new, Options())]
    assert found == [
        ("architecture", "", "amd64", "arm64"),
        ("author", "", "me", None),
        ("variant", "", "v7", None),
    ]


def test_annotations_are_compared_if_both_images_have_a_manifest() -> None:
    created = "org.opencontainers.image.created"
    old = image()._replace(annotations=(("a", "1"), (created, "2020")))
    new = image()._replace(annotations=(("a", "2"), (created, "2021")))
    found = [tuple(change) for change in configuration_changes(old, new, Options())]
    assert found == [("annotations", "a", "1", "2")]
    assert len(configuration_changes(old, new, Options(times=True))) == 2
    assert configuration_changes(old, new._replace(digest=None), Options()) == ()


@pytest.mark.parametrize("config", [["a"], "text", 5])
def test_odd_configurations_are_compared_as_they_are(config: object) -> None:
    odd = image(config=config)  # type: ignore[arg-type]  # what an image may hold
    (change,) = configuration_changes(image(), odd, Options())
    assert tuple(change) == ("config", "", None, config)
    for members in ({"Env": "A=1"}, {"Env": [1]}, {"Labels": ["a"]}, {"Healthcheck": "x"}):
        assert len(changes({}, members)) == 1
