"""Tests of an image: its files, its configuration, a command, and the service."""

from pathlib import Path
from urllib.request import urlopen

import pytest

from lamina.testing import BuildImage, TestedImage

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def image(build_image: BuildImage) -> TestedImage:
    return build_image(HERE)


def test_the_page_is_there(image: TestedImage) -> None:
    assert image.read("/www/index.html") == b"served\n"


def test_the_command(image: TestedImage) -> None:
    assert image.config["Cmd"][0] == "httpd"
    assert image.run(["echo", "hi"]).stdout == b"hi\n"


def test_the_service(image: TestedImage) -> None:
    with image.serve(port=18471):
        assert urlopen("http://127.0.0.1:18471/index.html").read() == b"served\n"
