"""A build backend for a wheel without compiled code (PEP 517's `build_wheel`, in small)."""

import zipfile
from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build_wheel(directory: str) -> str:
    name = "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(directory, name), "w") as archive:
        for path in sorted(Path("greeting").glob("*.py")):
            archive.write(path, str(path))
        archive.writestr("greeting-1.0.dist-info/METADATA", METADATA)
        archive.writestr("greeting-1.0.dist-info/WHEEL", WHEEL)
        archive.writestr("greeting-1.0.dist-info/RECORD", "")
    return name
