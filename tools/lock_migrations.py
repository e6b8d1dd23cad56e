"""Adds new migrations to tests/base/migrations.lock; refuses when a listed one has changed."""

import sys
from hashlib import sha256
from pathlib import Path

root = Path(__file__).parents[1]
lock = root / "tests" / "base" / "migrations.lock"
listed = dict(line.split("  ")[::-1] for line in lock.read_text().splitlines()) if lock.exists() else {}
there = {
    str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
    for path in sorted((root / "src").rglob("migrations/0*.py"))
}
changed = [name for name in listed if there.get(name) != listed[name]]
if changed:
    sys.exit(f"merged migrations were changed or removed: {changed}")
lock.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(there.items())))
