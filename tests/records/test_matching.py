"""Pairing the steps of two builds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.llb.op import Op, SourceOp
from lamina.records.matching import label_of, match_steps
from lamina.records.steps import Step


def build(*names: str, mark: str = "") -> list[Step]:
    """Steps with these names; a step's digest depends on its name and those before it."""
    steps: list[Step] = []
    for name in names:
        below = steps[-1].digest if steps else mark
        steps.append(Step(f"{below}\n{name}", name, op=Op()))
    return steps


def stage(*texts: str, name: str = "s") -> list[str]:
    return [f"[{name} {n}/{len(texts)}] {text}" for n, text in enumerate(texts, 1)]


def pairs(before: list[Step], after: list[Step]) -> dict[str, str]:
    names = {step.digest: step.name for step in after}
    found = match_steps(before, after)
    return {
        label_of(names[digest]).text: label_of(step.name).text for digest, step in found.items()
    }


def test_the_parts_of_a_name() -> None:
    assert label_of("[linux/arm64 build 2/3] RUN [a] b")[:4] == (
        "linux/arm64",
        "build",
        "2/3",
        "RUN [a] b",
    )
    assert label_of("[internal] load build context").stage == "internal"
    assert label_of("exporting to image").text == "exporting to image"
    assert label_of("[stage-0 1/1] RUN x").stage == "stage-0"


def test_a_changed_instruction_between_equal_ones() -> None:
    before = build(*stage("RUN a", "RUN b", "COPY . ."))
    after = build(*stage("RUN a", "RUN c", "COPY . ."))
    assert pairs(before, after) == {"RUN a": "RUN a", "RUN c": "RUN b", "COPY . .": "COPY . ."}


def test_new_and_removed_instructions() -> None:
    before = build(*stage("RUN a", "RUN b"))
    assert pairs(before, build(*stage("RUN x", "RUN a", "RUN b"))) == {
        "RUN a": "RUN a",
        "RUN b": "RUN b",
    }
    assert pairs(before, build(*stage("RUN b"))) == {"RUN b": "RUN b"}
    assert pairs(before, build(*stage("RUN b", "RUN a"))) == {"RUN a": "RUN a", "RUN b": "RUN b"}


def test_a_stage_with_another_name() -> None:
    before = build(*stage("RUN a", "RUN b", name="stage-0"))
    after = build(*stage("RUN a", "RUN c", name="app"), mark="x")
    assert pairs(before, after) == {"RUN a": "RUN a", "RUN c": "RUN b"}


def test_images_with_other_digests() -> None:
    def image(digest: str) -> Step:
        name = f"docker.io/library/a:1@sha256:{digest * 64}"
        return Step(
            digest, f"[s 1/1] FROM {name}", op=Op(source=SourceOp(f"docker-image://{name}"))
        )

    assert match_steps([image("a")], [image("b")]) == {"b": image("a")}


@given(
    st.lists(st.sampled_from(["RUN a", "RUN b", "RUN c", "COPY x y", "WORKDIR /w"]), max_size=7),
    st.lists(st.sampled_from(["RUN a", "RUN b", "RUN c", "COPY x y", "WORKDIR /w"]), max_size=7),
)
def test_pairs_are_one_to_one(old: list[str], new: list[str]) -> None:
    before, after = build(*stage(*old), mark="old"), build(*stage(*new), mark="new")
    found = match_steps(before, after)
    partners = [step.digest for step in found.values()]
    assert len(set(partners)) == len(partners)
    assert set(found) <= {step.digest for step in after}
    if old == new:
        assert len(found) == len(new)
