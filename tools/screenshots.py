"""Takes the screenshots of docs/ from the pictures that the browser tests leave in artefacts/."""

import shutil
import subprocess
import sys
from pathlib import Path

root = Path(__file__).parents[1]
wanted = [
    "overview-desk-light",
    "overview-phone-light",
    "overview-bad-day-desk-light",
    "overview-bad-day-phone-light",
    "audit-desk-dark",
    "audit-phone-light",
    "services-desk-light",
    "access-desk-light",
    "people-phone-dark",
    "review-desk-light",
    "review-phone-light",
    "request-desk-light",
    "request-phone-dark",
    "handbook-desk-dark",
    "runbook-phone-light",
    "guide-phone-light",
    "incident-desk-light",
    "incident-phone-dark",
    "oncall-filled-desk-light",
]
if "--keep" not in sys.argv:
    subprocess.run(
        [sys.executable, "-m", "pytest", "tests/journeys", "-k", "bad_day or (accessible and (phone or desk))"],
        cwd=root,
        check=True,
    )
for name in wanted:
    shutil.copy(root / "artefacts" / f"{name}.png", root / "docs" / "screenshots" / f"{name}.png")
