"""Links between stages."""

from __future__ import annotations

import pytest

from lamina.base.errors import InvalidInput
from lamina.dockerfile.lexer import parse_document
from lamina.dockerfile.stage import Stage, read_stages
from lamina.dockerfile.stage_table import StageTable


def linked(text: str) -> StageTable:
    table = StageTable()
    stages = read_stages(parse_document(text, "Dockerfile")).stages
    for number, (head, _) in enumerate(stages):
        table.add(
            Stage(
                head.image,
                head=head,
                location=head.node.location,
                label=head.name or f"stage-{number}",
                base=table.find(head.image),
            )
        )
    table.link_all([stage.body for stage in stages])
    return table


def test_links() -> None:
    table = linked(
        "FROM a AS one\nWORKDIR /x\nFROM one AS two\nCOPY --from=0 x y\nCOPY --from=image x y\n"
        "RUN --mount=type=bind,from=three,target=/t true\nFROM scratch AS three\nUSER me\n"
    )
    one, two, three, image = table.all
    assert (one.base, two.base, three.base) == (None, one, None)
    assert (image.image, image.head, image.has_instructions) == ("image", None, False)
    assert list(table.dependencies(two)) == [one, image, three]
    assert table.dependencies(image) == {}
    assert table.reachable(one) == {one}
    assert table.reachable(two) == set(table.all)
    # The base image counts as a step, another stage and scratch do not.
    assert [table.total(stage) for stage in table.all] == [2, 3, 0, 0]
    assert [table.label(stage) for stage in table.all] == ["one", "two", "three", ""]
    assert table.at(2) is three
    assert table.at(3) is None


def test_the_label_of_the_only_stage_is_left_out() -> None:
    table = linked("FROM a AS one\nWORKDIR /x\n")
    assert table.label(table.all[0]) == ""


def test_triggers_add_links() -> None:
    table = linked("FROM a AS one\nFROM b AS two\nWORKDIR /x\n")
    one, two = table.all
    (trigger,) = read_stages(parse_document("FROM x\nCOPY --from=one . .\n", "")).stages[0].body
    table.tasks[two] = (table.link(trigger)._replace(triggered=True), *table.tasks[two])
    assert table.reachable(two) == {one, two}
    assert table.total(two) == 3


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS one\nCOPY --from=one x y\n",
        "FROM a AS one\nCOPY --from=two x y\nFROM b AS two\nCOPY --from=one x y\n",
    ],
)
def test_a_stage_that_depends_on_itself(text: str) -> None:
    with pytest.raises(InvalidInput, match="circular dependency detected on stage: one") as raised:
        linked(text)
    assert raised.value.location is not None


def test_long_chains_of_stages() -> None:
    count = 3000
    lines = ["FROM a AS s0", *(f"FROM s{n} AS s{n + 1}" for n in range(count))]
    table = linked("\n".join(lines))
    assert len(table.reachable(table.all[-1])) == count + 1
