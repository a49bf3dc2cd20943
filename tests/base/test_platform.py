import pytest

from lamina.base.errors import InvalidInput
from lamina.base.platform import Platform, parse_platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("macos/aarch64", "darwin/arm64"),
    ],
)
def test_platforms_are_normalised(text: str, normal: str) -> None:
    assert str(parse_platform(text)) == normal


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "plan10", "linux/am d64"])
def test_bad_platforms_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_platform(text)


def test_an_older_arm_variant_runs_on_a_newer_machine() -> None:
    assert Platform("linux", "arm", "v7").accepts(Platform("linux", "arm", "v6"))
    assert not Platform("linux", "arm", "v6").accepts(Platform("linux", "arm", "v7"))
    assert not Platform("linux", "amd64").accepts(Platform("linux", "arm64"))
