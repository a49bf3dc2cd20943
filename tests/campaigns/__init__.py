"""Campaigns: builds by chance, for as long as anybody likes, held against what must be true.

`scripts/campaign NAME` runs one. The modules use what the other tests have, which lies beside.
"""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
for _folder in ("", "corpus", "daemon", "dockerfile", "e2e", "fuzz", "registry", "wire"):
    if str(TESTS / _folder) not in sys.path:
        sys.path.append(str(TESTS / _folder))
