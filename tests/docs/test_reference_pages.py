"""The reference covers the whole language, and its links are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lamina.base.platform import parse_platform
from lamina.dockerfile import args, mounts, parse
from lamina.dockerfile.checks.rules import RULES
from lamina.dockerfile.instruction import KEYWORDS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES = sorted(REFERENCE.rglob("*.md"))
FLAGS = {
    "ADD": parse.ADD_FLAGS,
    "COPY": parse.COPY_FLAGS,
    "RUN": parse.RUN_FLAGS,
    "FROM": ("platform",),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
}


def page(keyword: str) -> str:
    return (REFERENCE / "instructions" / f"{keyword.lower()}.md").read_text()


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_instruction_has_a_page(keyword: str) -> None:
    assert page(keyword).startswith(f"# {keyword}\n")
    assert (
        f"[{keyword}](instructions/{keyword.lower()}.md)" in (REFERENCE / "README.md").read_text()
    )


@pytest.mark.parametrize("keyword", FLAGS)
def test_every_flag_is_explained(keyword: str) -> None:
    for flag in FLAGS[keyword]:
        assert f"--{flag}" in page(keyword)


def test_every_mount_option_is_explained() -> None:
    text = (REFERENCE / "mounts.md").read_text()
    for kind in mounts.TYPES:
        assert f"\n## {kind}\n" in text
    for option in (*mounts.KEYS, *mounts.SHARING):
        assert f"`{option}`" in text or option == "type"


def test_every_argument_is_explained() -> None:
    text = (REFERENCE / "arguments.md").read_text()
    here = parse_platform("linux/amd64")
    known = set(args.platform_args(here, here, ""))
    known |= {args.SOURCE_DATE_EPOCH, args.DOCKERFILE_CHECK, args.SANDBOX_HOSTNAME}
    known |= {args.CACHE_NAMESPACE, *args.SILENT_ARGS}
    for name in known:
        assert f"`{name}`" in text


def test_every_check_has_its_section() -> None:
    text = (REFERENCE / "checks.md").read_text()
    for rule in RULES:
        assert rule.name.lower() in anchors(text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name) if name else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text()), target
