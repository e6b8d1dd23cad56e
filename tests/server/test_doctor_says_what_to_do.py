"""Each thing that doctor looks at: when it is wrong, it says so and what to do."""

from pathlib import Path

import pytest

from watchbill.base.config import read_config
from watchbill.server import doctor


@pytest.mark.parametrize(("seconds", "level"), [(0.0, "ok"), (-1.9, "ok"), (2.1, "wrong"), (-3600.0, "wrong")])
def test_a_skewed_clock(seconds: float, level: str) -> None:
    finding = doctor._skew(seconds)
    assert finding.level == level
    assert ("time synchronisation" in finding.remedy) == (level == "wrong")


@pytest.mark.parametrize(("age", "level"), [(None, "wrong"), (3.0, "ok"), (31.0, "wrong")])
def test_a_worker_that_is_gone(age: float | None, level: str) -> None:
    finding = doctor._worker(age)
    assert finding.level == level
    assert ("watchbill worker" in finding.remedy) == (level == "wrong")


def test_migrations_missing_and_too_many() -> None:
    from watchbill.server.health import code_migrations

    count = len(code_migrations())
    assert [doctor._migrations(number).level for number in (count, count - 1, count + 1)] == ["ok", "wrong", "warning"]


def test_little_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from types import SimpleNamespace

    config = read_config({"WATCHBILL_DATA": str(tmp_path / "not" / "yet")})
    assert doctor._disk(config).level == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10_000_000))
    finding = doctor._disk(config)
    assert finding.level == "wrong"
    assert "Free some space" in finding.remedy


def test_keys_that_others_can_read_and_an_anchor_inside_of_the_data_folder(tmp_path: Path) -> None:
    config = read_config({"WATCHBILL_DATA": str(tmp_path), "WATCHBILL_ANCHOR": str(tmp_path / "anchor")})
    assert doctor._keys(config).level == "wrong"
    config.keys(create=True)
    assert doctor._keys(config).level == "ok"
    (tmp_path / "keys" / "master").chmod(0o644)
    assert "chmod 600" in doctor._keys(config).remedy
    assert "witness" in doctor._anchor(config).remedy


def test_without_a_database_the_rest_is_still_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchbill.base.errors import NotFound

    def gone(config: object) -> list[doctor.Finding]:
        raise NotFound("no hub runs here", hint="start it")

    monkeypatch.setattr(doctor, "_database", gone)
    findings = {finding.part: finding for finding in doctor.examine(read_config({"WATCHBILL_DATA": str(tmp_path)}))}
    assert findings["database"].level == "wrong"
    assert findings["data folder"].level == "ok"


@pytest.mark.parametrize(("files", "level"), [(1_024, "warning"), (4_096, "ok"), (65_536, "ok")])
def test_few_open_files(files: int, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "raise_open_files", lambda: files)
    finding = doctor._files()
    assert finding.level == level
    assert ("LimitNOFILE" in finding.remedy) == (level == "warning")
