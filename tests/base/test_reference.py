import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.reference import full_name, parse_reference


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("appleboy/demo:1", "docker.io/appleboy/demo:1", "appleboy/demo:1"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest", "localhost:5000/a/b:latest"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("ghcr.io/x/y:v1.2", "ghcr.io/x/y:v1.2", "ghcr.io/x/y:v1.2"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        (
            "busybox@sha256:" + "a" * 64,
            "docker.io/library/busybox@sha256:" + "a" * 64,
            "busybox@sha256:" + "a" * 64,
        ),
    ],
)
def test_names_are_normalised(text: str, full: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == full
    assert reference.familiar == familiar


@pytest.mark.parametrize(
    "text", ["", ":", "UPPER", "a//b", "a:b:c", "a@sha256:12", "-a", "a:" + "t" * 129]
)
def test_bad_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_reference(text)


@given(st.text(max_size=40))
def test_any_text_parses_to_a_fixed_point_or_is_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except LaminaError:
        return
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("a", "docker.io/library/a"),
        ("a:1", "docker.io/library/a:1"),
        ("localhost:5000/a", "localhost:5000/a"),
        ("localhost:5000/a:latest", "localhost:5000/a:latest"),
    ],
)
def test_a_full_name_has_no_tag_that_was_not_written(text: str, full: str) -> None:
    assert full_name(text) == full
