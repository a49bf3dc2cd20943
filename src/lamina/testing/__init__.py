"""Tests of images with pytest.

# conftest.py
pytest_plugins = ["lamina.testing"]

# test_image.py
def test_the_version(build_image):
    image = build_image(".", target="release")
    assert image.run(["app", "--version"]).stdout == b"1.4\\n"
"""

from lamina.testing.fixtures import BuildImage, build_image, lamina_builder
from lamina.testing.images import Service, TestedImage

__all__ = ["BuildImage", "Service", "TestedImage", "build_image", "lamina_builder"]
