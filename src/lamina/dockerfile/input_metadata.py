"""`input-metadata:NAME`: the attribute with the image configuration of a frontend's input
(BuildKit's `frontend/dockerui`)."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

from lamina.base.errors import InvalidInput
from lamina.base.oci import IMAGE_CONFIG_KEY


def write_input_metadata(config: bytes) -> str:
    """The attribute for an image configuration. Go writes bytes in JSON as base64."""
    return json.dumps({IMAGE_CONFIG_KEY: b64encode(config).decode()})


def read_input_metadata(text: str) -> bytes:
    """The image configuration in an attribute, b"" if there is none. Raises InvalidInput."""
    if not text:
        return b""
    try:
        return b64decode(json.loads(text).get(IMAGE_CONFIG_KEY) or "")
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"failed to parse input metadata {text}: {error}") from error
