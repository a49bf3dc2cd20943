from __future__ import annotations

import pytest

from tests.dockerfile.memory_bridge import Convert, run_conversion


@pytest.fixture
def convert() -> Convert:
    """`convert(dockerfile, images=…, ignore=…, **fields of the request)`."""
    return run_conversion
