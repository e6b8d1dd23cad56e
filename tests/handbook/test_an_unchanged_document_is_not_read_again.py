"""The cache of a large folder: the same answer in every format, whatever changed, whatever happened to the files."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from watchbill.handbook import report, shelf
from watchbill.handbook.compile import compile_folder
from watchbill.handbook.files import load
from watchbill.handbook.shelf import check_folder

SEVERITIES = "## Severity\n\n| Severity | Response |\n|---|---|\n| SEV-1 | {} min |\n| SEV-2 | 1 h |\n"
MANY = 60


def write(folder: Path, number: int, minutes: int = 15, more: str = "") -> None:
    text = f"# Document {number}\n\n**Owner:** Team {number}\n\n{SEVERITIES.format(minutes)}\nSee [other](missing-{number}.md).\n\n## Contacts\n\n- **Night Watch:** night@ship.example\n\n{more}"
    (folder / f"{number:03}.md").write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "book"
    made.mkdir()
    for number in range(MANY):
        write(made, number)
    (made / "more.watchbill.yaml").write_text("- kind: duty\n  id: given\n  name: Wind the clock\n  every: 1 day\n")
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of documents that were really read."""
    found: list[str] = []
    real: Callable[..., shelf.Sheet] = shelf._read

    def noting(source: shelf.Source, *args: object) -> shelf.Sheet:
        found.append(source.path)
        return real(source, *args)

    monkeypatch.setattr(shelf, "_read", noting)
    return found


def everything(folder: Path, place: Path | None) -> list[str]:
    """All formats."""
    found = check_folder(load(folder), place) if place else compile_folder(load(folder))
    return [
        "".join(report.json_parts([found])),
        "\n".join(report.as_text([found])),
        report.as_sarif([found], "1"),
        "\n".join(report.as_github([found])),
    ]


def test_the_answer_is_the_same_in_every_format_and_only_what_changed_is_read(
    folder: Path, tmp_path: Path, read: list[str]
) -> None:
    place = tmp_path / "cache" / "x"
    assert everything(folder, place) == everything(folder, None)
    assert len(read) == MANY + 1
    read.clear()
    assert everything(folder, place) == everything(folder, None)
    assert read == []
    write(folder, 7, minutes=20, more="Escalate to the Captain after 10 min.\n")
    (folder / "008.md").unlink()
    write(folder, 900)
    assert everything(folder, place) == everything(folder, None)
    assert sorted(read) == ["007.md", "900.md"]
    read.clear()
    write(folder, 7, minutes=25)
    assert everything(folder, place) == everything(folder, None)
    assert read == ["007.md"], "what was written beside the many is found, too"
    read.clear()
    assert everything(folder, place) == everything(folder, None)
    assert read == []


def test_other_settings_or_another_compiler_read_everything_again(
    folder: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cache"
    everything(folder, place)
    for change in ("settings", "compiler"):
        read.clear()
        if change == "settings":
            (folder / "watchbill.yaml").write_text("immediate: 9 min\n")
        else:
            monkeypatch.setattr(shelf, "_code", lambda: "another")
        assert everything(folder, place) == everything(folder, None)
        assert len(read) == MANY + 1, change


@pytest.mark.parametrize("damage", [b"", b"\x93\x01", b"not at all", b"\xdf\xff\xff\xff\xff"])
def test_a_damaged_cache_is_read_anew(folder: Path, tmp_path: Path, read: list[str], damage: bytes) -> None:
    place = tmp_path / "cache"
    everything(folder, place)
    (place / "sheets").write_bytes(damage)
    (place / "beside").write_bytes(damage)
    read.clear()
    assert everything(folder, place) == everything(folder, None)
    assert len(read) == MANY + 1


def test_it_is_for_the_user_alone_and_no_place_to_write_is_no_error(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    everything(folder, place)
    assert stat.S_IMODE((place / "sheets").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    assert everything(folder, tmp_path / "file" / "below") == everything(folder, None)


def test_small_folders_and_locked_ones_keep_nothing(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    (folder / "watchbill.lock").write_text(json.dumps({"version": 1, "compiler": 1, "items": {}}))
    assert everything(folder, place) == everything(folder, None)
    (folder / "watchbill.lock").unlink()
    for number in range(MANY - 5):
        (folder / f"{number:03}.md").unlink()
    everything(folder, place)
    assert not place.exists()
