"""`lamina check`: checks a store for damage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.cli.interrupt import interruptible
from lamina.cli.opening import builder_address, builder_root

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.engine.maintenance.store_check import Damage


def check(parsed: Parsed) -> int:
    """Print each damage and a summary. Returns 1 if some damage was not repaired."""
    from lamina.engine.host_setup import enter_user_namespace
    from lamina.engine.maintenance.store_check import check_store
    from lamina.stores.store import open_store

    if builder_address(parsed):
        raise InvalidInput(
            "the store of a daemon can only be checked on the daemon's machine",
            hint="run `lamina check --root DIR` there",
        )
    repair = parsed.switch("repair")

    def show(damage: Damage) -> None:
        print(f"{damage.subject}: {damage.problem}{_outcome(damage, repair=repair)}", flush=True)

    with open_store(builder_root(parsed)) as store:
        metadata = enter_user_namespace(store.root).metadata
        with interruptible() as interruption:
            report = check_store(store, metadata, interruption.cancel, repair=repair, found=show)
    states = f"{report.states} snapshots"
    if report.unverified:
        states += f" ({report.unverified} of them have no layer to compare with)"
    print(f"Checked {report.blobs} blobs and {states}: {len(report.damages)} damaged")
    if not report.sound and not repair and any(damage.remedy for damage in report.damages):
        print("`lamina check --repair` removes damaged data; builds create it again")
    return 0 if report.sound else 1


def _outcome(damage: Damage, *, repair: bool) -> str:
    if not damage.remedy:
        return " (cannot be repaired)"
    return f" ({damage.remedy})" if repair else ""
