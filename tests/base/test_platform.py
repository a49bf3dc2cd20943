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
        ("Windows(10.0.17763)/AMD64", "windows(10.0.17763)/amd64"),
        ("windows(10.0.1+b%2Bc+a)/amd64", "windows(10.0.1+b%2Bc+a)/amd64"),
        ("windows(+a)/amd64", "windows(+a)/amd64"),
    ],
)
def test_platforms_are_normalised(text: str, normal: str) -> None:
    assert str(parse_platform(text)) == normal


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "linux/", "a/b/c/d", "plan10", "linux/am d64", "linux(/amd64", "l(1)x/amd64"),
        *("linux(1", "linux((1))/amd64", "linux(1+)/amd64", "linux(%zz)/amd64", "(1)/amd64"),
    ],
)
def test_bad_platforms_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_platform(text)


def test_an_older_arm_variant_runs_on_a_newer_machine() -> None:
    assert Platform("linux", "arm", "v7").accepts(Platform("linux", "arm", "v6"))
    assert not Platform("linux", "arm", "v6").accepts(Platform("linux", "arm", "v7"))
    assert not Platform("linux", "amd64").accepts(Platform("linux", "arm64"))


@pytest.mark.parametrize(
    ("host", "image", "runs"),
    [
        ("", "10.0.17763.1", True),
        ("10.0.17763.5", "", True),
        ("10.0.17763.5", "10.0.17763.1", True),
        ("10.0.17763", "10.0.20348", False),
        ("10.0.20348", "10.0.17763", False),
        ("10.0.26100", "10.0.20348", True),
        ("10.0.26101", "10.0.20348", False),
        ("10.0.22621", "10.0.20348", True),
        ("11.0.22621", "10.0.20348", False),
        ("10.0.22621", "ten", False),
    ],
)
def test_which_windows_runs_which(host: str, image: str, runs: bool) -> None:
    wanted = Platform("windows", "amd64", os_version=host)
    assert wanted.accepts(Platform("windows", "amd64", os_version=image)) == runs


def test_features_have_to_be_there() -> None:
    plain, featured = Platform("linux", "amd64"), Platform("linux", "amd64", os_features=("a",))
    assert featured.accepts(plain)
    assert not plain.accepts(featured)
    assert plain._replace(os_features=("a", "b")).accepts(featured)
