"""The frontend calls that made definitions which other calls take as inputs.

A client may solve with one frontend and give the result to another: provenance then records both
calls. A definition does not name its frontend, so calls are kept while their builds last.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.llb.codec import decode_op

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.attest.contract import FrontendCall
    from lamina.llb.op import Definition


class DefinitionOrigins:
    """Those of all builds that run. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, list[FrontendCall]] = {}

    def add(self, definition: Definition | None, call: FrontendCall) -> str:
        """Remember what a definition came of, until it is dropped by the key that this returns;
        that is "" if there is nothing to remember."""
        key = _result_of(definition)
        if key:
            with self._lock:
                self._calls.setdefault(key, []).append(call._replace(root=None))
        return key

    def drop(self, added: Iterable[tuple[str, FrontendCall]]) -> None:
        """Forget what was added."""
        with self._lock:
            for key, call in added:
                calls = self._calls[key]
                calls.remove(call._replace(root=None))
                if not calls:
                    del self._calls[key]

    def of(self, inputs: Mapping[str, Definition]) -> dict[str, FrontendCall]:
        """The calls that inputs came of, by name: of those that are known, and came of one."""
        found = {}
        for name, definition in inputs.items():
            with self._lock:
                calls = list(self._calls.get(_result_of(definition), ()))
            if calls and all(_same(calls[0], call) for call in calls[1:]):
                found[name] = calls[0]
        return found


def _same(one: FrontendCall, other: FrontendCall) -> bool:
    from lamina.attest.invocation import recorded

    return (one.frontend, recorded(one.attrs), one.origins) == (
        other.frontend,
        recorded(other.attrs),
        other.origins,
    )


def _result_of(definition: Definition | None) -> str:
    """The step whose output a definition is: clients may write the last op anew."""
    if definition is None or not definition.ops:
        return ""
    last = decode_op(definition.ops[-1])
    return str(last.inputs[0].digest) if last.inputs else str(digest_of(definition.ops[-1]))
