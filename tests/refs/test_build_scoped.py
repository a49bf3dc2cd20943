"""How long shared values are kept."""

from __future__ import annotations

from lamina.refs.build_scoped import BuildScoped, RunningBuilds


def test_values_are_kept_while_a_build_runs_that_was_there_at_their_last_use() -> None:
    builds = RunningBuilds()
    values: BuildScoped[int, str] = BuildScoped(builds)
    first, second = object(), object()
    builds.enter(first)
    values.add(1, "one")
    values.add(2, "two")
    builds.enter(second)
    assert values.use(2) == "two"
    assert values.get(1) == "one"
    builds.leave(first)
    assert values.expire() == ["one"], "getting a value is no use of it"
    assert values.get(1) is None
    builds.leave(second)
    assert values.expire() == ["two"]
    assert values.expire() == []


def test_a_value_that_was_removed_does_not_expire() -> None:
    builds = RunningBuilds()
    values: BuildScoped[str, str] = BuildScoped(builds)
    values.add("key", "value")
    values.remove("key")
    values.remove("key")
    assert values.use("key") is None
    assert values.expire() == []
