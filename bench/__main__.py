"""`make bench`: JSON lines with figure, peer and target; exits 1 where a target is missed.

Ratios compare with a peer measured in the same run on the same machine; absolute figures depend on it. `python -m bench ledger` runs one part.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from bench import alerts, handbook, intake, ledger, oncall, pages, paging, start

PARTS = {
    "alerts": alerts.measure,
    "handbook": handbook.measure,
    "intake": intake.measure,
    "ledger": ledger.measure,
    "oncall": oncall.measure,
    "pages": pages.measure,
    "paging": paging.measure,
    "start": start.measure,
}


def run(names: list[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        yield from PARTS[name]()


def main() -> int:
    names = sys.argv[1:] or list(PARTS)
    missed = 0
    for line in run(names):
        line["ok"] = line["figure"] >= line["target"] if line["better"] == "more" else line["figure"] <= line["target"]
        missed += not line["ok"]
        print(json.dumps(line), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
