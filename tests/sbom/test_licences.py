"""Declared licences become SPDX expressions."""

from __future__ import annotations

import pytest

from lamina.sbom.licences import declared


@pytest.mark.parametrize(
    ("names", "expression"),
    [
        (["MIT"], "MIT"),
        (["mit"], "MIT"),
        (["Expat"], "MIT"),
        (["GPL-2+"], "GPL-2.0-or-later"),
        (["LGPLv2.1+"], "LGPL-2.1-or-later"),
        (["LGPL v3"], "LGPL-3.0-only"),
        (["GPL-2.0-only WITH Classpath-exception-2.0"], None),
        (["MIT or apache-2.0"], "MIT OR Apache-2.0"),
        (["MIT and GPLv2+"], "MIT AND GPL-2.0-or-later"),
        (["MIT OR (ISC AND BSD)"], "MIT OR (ISC AND BSD-3-Clause)"),
        (["MIT OR ISC", "Zlib"], "(MIT OR ISC) AND Zlib"),
        (["MIT and ISC", "ISC and Zlib"], "MIT AND ISC AND Zlib"),
        (["Apache License, Version 2.0"], "Apache-2.0"),
        (["My own"], "LicenseRef-My-own-69ba742a"),
        (["custom"], "LicenseRef-custom"),
        (["MIT AND custom"], "MIT AND LicenseRef-custom"),
        (["", " "], ""),
        ([], ""),
    ],
)
def test_expressions(names: list[str], expression: str | None) -> None:
    assert declared(names).expression == (names[0] if expression is None else expression)


@pytest.mark.parametrize(
    "text", ["MIT AND", "(MIT", "MIT OR OR ISC", "(" * 50 + "MIT OR a", "é" * 9]
)
def test_texts_that_are_no_expressions_are_kept(text: str) -> None:
    licence = declared([text])
    ((name, original),) = licence.references
    assert licence.expression == name
    assert name.startswith("LicenseRef-")
    assert original == text
