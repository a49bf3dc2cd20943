"""The command line of `scripts/campaign`."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.runner import Limits, State, new_seed, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.campaigns.runner import Campaign

NAMES = {
    "cache": "random Dockerfiles and edits: warm stores, daemons and caches against an empty store",
    "kill": "SIGKILL of builds, daemons, pushes and prunes: nothing is lost or left behind",
    "pairs": "every pair of ways to build, each result read by skopeo and umoci",
    "hostile": "layers, archives, packs, layouts, registries and clients that mean harm",
    "growth": "1,000 builds in one daemon: descriptors, threads, memory and files stay as they are",
    "full-disk": "file systems that fill up at any moment",
}
_MINUTES = 20.0
_KEPT = "/var/tmp/lamina-campaigns"


def load(name: str) -> Campaign:
    module = importlib.import_module(f"tests.campaigns.{name.replace('-', '_')}")
    campaign: Campaign = module.campaign()
    return campaign


def main(words: Sequence[str]) -> int:
    options = _parser().parse_args(words)
    campaign = load(options.name)
    kept = Path(options.keep, options.name)
    if options.resume:
        state = State.load(kept / "state.json")
        if options.seed not in (None, state.seed):
            raise SystemExit(f"the campaign to resume has the seed {state.seed}")
    else:
        state = State(new_seed() if options.seed is None else options.seed)
    minutes, rounds = options.minutes, options.rounds
    if minutes is None and rounds is None and options.round is None:
        rounds = campaign.rounds
        minutes = None if rounds else _MINUTES
    limits = Limits(None if minutes is None else minutes * 60, rounds, options.round)
    print(f"{options.name}: seed {state.seed}, from round {state.next}", flush=True)
    return run(options.name, campaign, state, limits, kept)


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {name:<10} {about}" for name, about in NAMES.items()]
    parser = argparse.ArgumentParser(
        prog="scripts/campaign",
        description="Runs random builds and holds them against what must be true.",
        epilog="campaigns:\n" + "\n".join(lines) + "\n\nExits with 1 if there is a finding.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=list(NAMES), metavar="NAME")
    parser.add_argument(
        "--minutes", type=float, help=f"how long (default: {_MINUTES:g}, or the whole of it)"
    )
    parser.add_argument("--rounds", type=int, help="how many rounds, instead of a time")
    parser.add_argument("--seed", type=int, help="where chance begins (default: anywhere)")
    parser.add_argument("--resume", action="store_true", help="go on where the last run stopped")
    parser.add_argument("--round", type=int, help="run this round alone, to see a finding again")
    parser.add_argument(
        "--keep", default=_KEPT, metavar="DIR", help=f"for state and findings (default: {_KEPT})"
    )
    return parser
