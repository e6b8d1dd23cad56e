"""Settings, commands, permissions, facts, metrics, principals: documented, or the build fails. Committed files name no registry."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def names(page: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, (ROOT / "docs" / page).read_text(), re.M))


def test_every_setting_is_documented() -> None:
    from watchbill.base.config import NAMES

    assert names("settings.md", r"^\| `([A-Z_]+)` \|") == NAMES


def test_every_command_permission_fact_and_principal_is_documented() -> None:
    import watchbill.server.urls  # noqa: F401 - everything is registered
    from watchbill.facts.publish import KINDS
    from watchbill.ledger.command import COMMANDS
    from watchbill.people.rules import PERMISSIONS, ROLES
    from watchbill.runtime.principals import PRINCIPALS

    found = names("access.md", r"^\| `([a-z_.]+)` \|")
    wanted = (
        set(PERMISSIONS)
        | set(ROLES)
        | set(COMMANDS)
        | {kind for kind in KINDS if not kind.startswith("test.")}
        | set(PRINCIPALS)
    )
    assert found == wanted


def test_the_tables_that_the_code_writes_are_written() -> None:
    """Run `python tools/access_tables.py` where this fails."""
    import tools.access_tables as tables

    for name, written in (
        ("access.md", tables.TABLES["command"]),
        ("security.md", next(iter(tables.QUIETER.values()))),
    ):
        text = (ROOT / "docs" / name).read_text()
        assert [one for one in written if f"{one}\n" not in text and "`test." not in one] == []


def test_every_permission_that_a_command_needs_exists_and_is_held_by_some_role() -> None:
    import watchbill.server.urls  # noqa: F401
    from watchbill.ledger.command import COMMANDS
    from watchbill.people.rules import PERMISSIONS, ROLES

    needed = {info.needs for info in COMMANDS.values() if info.needs}
    assert needed <= set(PERMISSIONS)
    assert needed <= set().union(*ROLES.values())


def test_every_metric_is_documented() -> None:
    source = (ROOT / "src/watchbill/runtime/metrics.py").read_text()
    assert names("operating.md", r"`(watchbill_[a-z_]+)`") == set(re.findall(r'"(watchbill_[a-z_]+)"', source))


def test_every_action_that_is_recorded_has_words() -> None:
    import watchbill.server.urls  # noqa: F401
    from watchbill.console.words import PHRASES
    from watchbill.ledger.command import COMMANDS

    assert set(COMMANDS) <= set(PHRASES)


def test_every_command_line_command_is_in_the_documentation() -> None:
    from watchbill.cli.main import cli

    text = "".join(
        path.read_text() for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    )
    for name in cli.commands:
        assert f"watchbill {name}" in text or f"`{name}" in text, name


def tracked() -> list[Path]:
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if out.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in out.stdout.split("\0") if name]


def test_no_committed_file_names_a_registry() -> None:
    hosts = re.compile(r"pypi\.org|pythonhosted|registry\.npm|deb\.debian|--index-url|--find-links")
    for path in tracked():
        if (
            path.suffix in {".txt", ".in", ".toml", ".yaml", ".json", ".md", ".py", ".sh"}
            and path.name != Path(__file__).name
        ):
            assert not hosts.search(path.read_text(errors="replace")), path


def test_every_requirement_is_pinned_with_hashes() -> None:
    for name in ("run", "dev", "idp"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        blocks = re.split(r"\n(?=\S)", text.strip())
        assert blocks
        assert all("==" in block and "--hash=sha256:" in block for block in blocks)


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), (page, target)


def test_each_decision_has_a_number_of_its_own() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]
    for name in names:
        title = (ROOT / "docs" / "decisions" / name).read_text().splitlines()[0]
        assert title.startswith(f"# {int(name[:4])}. "), f"{name} begins with “{title}”"


def test_merged_migrations_do_not_change() -> None:
    """The lock lists each merged file with its hash. A new one is added with `python tools/lock_migrations.py`."""
    from hashlib import sha256

    listed = dict(line.split("  ")[::-1] for line in (ROOT / "tests/base/migrations.lock").read_text().splitlines())
    there = {
        str(path.relative_to(ROOT)): sha256(path.read_bytes()).hexdigest()
        for path in sorted((ROOT / "src").rglob("migrations/0*.py"))
    }
    changed = {name for name in listed if there.get(name) != listed[name]}
    assert not changed, f"these merged migrations were changed or removed; write a new one instead: {sorted(changed)}"
    assert not set(there) - set(listed), "new migrations: run python tools/lock_migrations.py"


def test_models_and_migrations_agree() -> None:
    from django.apps import apps
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.state import ProjectState

    loader = MigrationLoader(None)
    found = MigrationAutodetector(loader.project_state(), ProjectState.from_apps(apps)).changes(graph=loader.graph)
    ours = {app: changes for app, changes in found.items() if apps.get_app_config(app).name.startswith("watchbill.")}
    assert ours == {}


def test_migrations_run_under_lock_and_statement_timeouts() -> None:
    assert "lock_timeout=" in (ROOT / "src/watchbill/server/settings.py").read_text()
    source = (ROOT / "src/watchbill/server/settings.py").read_text()
    assert re.search(r'if owner:\s+options\["options"\] = "-c lock_timeout=\d+s -c statement_timeout=\d+s', source)


def test_pages_and_apis_fetch_nothing_by_themselves() -> None:
    """Reads go through access_* queries. Signing in is before anybody is somebody, so its pages may look logins up."""
    for path in [*(ROOT / "src").rglob("pages.py"), *(ROOT / "src").rglob("api.py")]:
        if path.parent.name != "signin":
            assert ".objects" not in path.read_text(), f"{path}: use or write an access_* query in queries.py"
