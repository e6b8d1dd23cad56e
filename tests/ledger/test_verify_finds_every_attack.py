"""Each attack is carried out on a real ledger: on its export, or in the database with the owner's rights."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from tests.cast import Cast, seal_all
from watchbill.ledger import merkle, notes
from watchbill.ledger.export import export_ledger
from watchbill.ledger.queries import hub_id
from watchbill.ledger.sealer import signer_name
from watchbill.ledger.verify import Report, read_notes, verify_export
from watchbill.people.commands import edit_person, erase_person, invite_person
from watchbill.people.teams import create_team


@pytest.fixture
def lines(cast: Cast) -> list[bytes]:
    """An export of a log of nine entries under three checkpoints."""
    for batch in range(3):
        for number in range(3):
            with cast.acts(cast.ada) as by:
                create_team(by=by, workspace_id=cast.main, name=f"Team {batch}{number}", purpose="x")
        seal_all()
    return export(cast)


def export(cast: Cast) -> list[bytes]:
    with cast.acts(cast.ada):
        return list(export_ledger(cast.main))


def check(lines: list[bytes], outside: list[str] | None = None) -> Report:
    return verify_export(
        lines, name=signer_name(hub_id()), key=settings.KEYS.signer().public_key(), outside=outside or []
    )


def edit(line: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    data = json.loads(line)
    change(data)
    return json.dumps(data).encode() + b"\n"


def edit_body(line: bytes, **fields: str) -> bytes:
    def change(data: dict[str, Any]) -> None:
        data["b"] = json.dumps(json.loads(data["b"]) | fields, sort_keys=True, separators=(",", ":"))

    return edit(line, change)


def entry_id(line: bytes) -> str:
    return str(json.loads(json.loads(line)["b"])["id"])


def split(lines: list[bytes]) -> tuple[bytes, list[bytes], list[bytes]]:
    entries = [line for line in lines[1:] if b'"b":' in line]
    return lines[0], entries, [line for line in lines[1:] if line.startswith(b'{"checkpoint"')]


def renumber(entries: list[bytes]) -> list[bytes]:
    return [edit(line, lambda data, i=i: data.update(i=i)) for i, line in enumerate(entries)]


def resize(header: bytes, size: int) -> bytes:
    return edit(header, lambda data: data.update(size=size))


def rebuild(entries: list[bytes], sizes: list[int], key: Ed25519PrivateKey, origin: str, name: str) -> list[bytes]:
    """What somebody with a signing key does: a tree over other entries, signed anew."""
    frontier, made = merkle.Frontier(), []
    for line in entries:
        frontier.append(merkle.leaf_hash(json.loads(line)["b"].encode()))
        if frontier.size in sizes:
            note = notes.sign(notes.Checkpoint(origin, frontier.size, frontier.root()), name, key)
            made.append(json.dumps({"checkpoint": note}, separators=(",", ":")).encode() + b"\n")
    return made


def test_an_untouched_export_verifies(lines: list[bytes]) -> None:
    report = check(lines)
    assert report.ok, report.problems
    assert (report.entries, report.checkpoints) == (9, 3)
    assert "cannot know" in report.remarks[0]


def test_a_changed_field_is_found(lines: list[bytes]) -> None:
    header, entries, checkpoints = split(lines)
    wanted = entry_id(entries[4])
    entries[4] = edit_body(entries[4], action="team.delete")
    report = check([header, *entries, *checkpoints])
    assert not report.ok
    assert "entries 3 to 5" in report.problems[0]
    assert entry_id(entries[3]) in report.problems[0] or wanted in report.problems[0]


def test_a_changed_payload_is_found_by_name(lines: list[bytes]) -> None:
    header, entries, checkpoints = split(lines)
    entries[5] = edit(entries[5], lambda data: data.update(p=data["p"].replace("Team", "Gang")))
    report = check([header, *entries, *checkpoints])
    assert [p for p in report.problems if entry_id(entries[5]) in p and "payload" in p]


def test_a_payload_under_an_erased_mask_cannot_be_invented(lines: list[bytes]) -> None:
    header, entries, checkpoints = split(lines)
    entries[0] = edit(
        entries[0], lambda data: data.update(s=base64.b64encode(b"x" * 32).decode(), p='{"detail":{"name":"invented"}}')
    )
    assert not check([header, *entries, *checkpoints]).ok


@pytest.mark.parametrize("place", [0, 4, 8])
def test_a_removed_entry_is_found_even_when_renumbered(lines: list[bytes], place: int) -> None:
    header, entries, checkpoints = split(lines)
    naive = check([header, *entries[:place], *entries[place + 1 :], *checkpoints])
    assert not naive.ok
    if place < 8:
        assert any(f"stands where {place} is expected" in problem for problem in naive.problems)
    entries.pop(place)
    careful = check([resize(header, 8), *renumber(entries), *checkpoints])
    assert not careful.ok
    named = {entry_id(line) for line in entries}
    assert any(identifier in problem for problem in careful.problems for identifier in named)


def test_swapped_entries_are_found(lines: list[bytes]) -> None:
    header, entries, checkpoints = split(lines)
    entries[3], entries[4] = entries[4], entries[3]
    assert any(
        "out of order" in problem or "missing before" in problem
        for problem in check([header, *entries, *checkpoints]).problems
    )
    report = check([header, *renumber(entries), *checkpoints])
    assert any("entries 3 to 5" in problem and entry_id(entries[3]) in problem for problem in report.problems)


def test_a_truncated_tail_is_found(lines: list[bytes]) -> None:
    header, entries, checkpoints = split(lines)
    report = check([resize(header, 7), *entries[:7], *checkpoints])
    assert any("the tail was cut off after entry 6" in p and entry_id(entries[6]) in p for p in report.problems)


def test_a_tail_cut_with_its_checkpoint_is_found_from_outside_only(lines: list[bytes]) -> None:
    header, entries, checkpoints = split(lines)
    cut = [resize(header, 6), *entries[:6], *checkpoints[:2]]
    alone = check(cut)
    assert alone.ok
    assert any("cannot know" in remark and "cut off" in remark for remark in alone.remarks)
    outside = check(cut, [json.loads(checkpoints[2])["checkpoint"]])
    assert any("knows 9 entries, the export has 6" in p and entry_id(entries[5]) in p for p in outside.problems)


def test_a_forked_history_is_found(lines: list[bytes], cast: Cast) -> None:
    """Two checkpoints of the real key that cannot both be true."""
    header, entries, checkpoints = split(lines)
    origin, name = json.loads(header)["origin"], signer_name(hub_id())
    fork = [*entries[:5], edit_body(entries[5], action="team.rename"), *entries[6:]]
    forged = rebuild(fork, [6], settings.KEYS.signer(), origin, name)
    report = check([header, *entries, *checkpoints, *forged])
    assert any("at size 6 has another root" in problem for problem in report.problems)


def test_a_forged_signature_is_found(lines: list[bytes]) -> None:
    header, entries, checkpoints = split(lines)
    name, origin = signer_name(hub_id()), json.loads(header)["origin"]
    forged = rebuild(entries, [3, 6, 9], Ed25519PrivateKey.generate(), origin, name)
    assert any("is not signed by" in problem for problem in check([header, *entries, *forged]).problems)
    damaged = edit(checkpoints[2], lambda data: data.update(checkpoint=_flip(data["checkpoint"])))
    assert any(
        "forged or damaged" in problem for problem in check([header, *entries, *checkpoints[:2], damaged]).problems
    )


def _flip(note: str) -> str:
    head, _, tail = note.rstrip("\n").rpartition(" ")
    raw = bytearray(base64.b64decode(tail))
    raw[40] ^= 1
    return f"{head} {base64.b64encode(raw).decode()}\n"


def test_a_log_rebuilt_with_the_stolen_key_is_found_from_outside_only(lines: list[bytes]) -> None:
    header, entries, checkpoints = split(lines)
    name, origin = signer_name(hub_id()), json.loads(header)["origin"]
    rewritten = [*entries[:2], edit_body(entries[2], action="nothing.happened"), *entries[3:]]
    stolen = rebuild(rewritten, [3, 6, 9], settings.KEYS.signer(), origin, name)
    alone = check([header, *rewritten, *stolen])
    assert alone.ok
    assert "signed anew with the real key" in alone.remarks[0]
    outside = check([header, *rewritten, *stolen], [json.loads(checkpoints[1])["checkpoint"]])
    assert not outside.ok
    assert any("checkpoint from outside at size 6 has another root" in problem for problem in outside.problems)
    assert any("not the history that was published" in problem for problem in outside.problems)


def test_an_attack_inside_of_the_database_is_found(lines: list[bytes], cast: Cast, db: Any) -> None:
    """The owner switches the triggers off and rewrites an entry; columns follow the body, and the body no longer fits."""
    victim = entry_id(split(lines)[1][1])
    db.run("UPDATE ledger_entry SET body = replace(body, 'team.create', 'team.delete') WHERE id = %s::uuid", victim)
    assert db.run("SELECT action FROM ledger_entry WHERE id = %s::uuid", victim) == [("team.delete",)]
    report = check(export(cast))
    assert any("entries 0 to 2" in problem for problem in report.problems)


def test_erasing_one_person_leaves_verify_green_and_the_data_gone(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        person = invite_person(by=by, workspace_id=cast.main, name="Zelda Quux", email="zelda@quux.example")
    with cast.acts(cast.ada) as by:
        edit_person(by=by, workspace_id=cast.main, person_id=person.id, name="Zelda Quux-Nine")
    seal_all()
    assert b"zelda@quux.example" in b"".join(export(cast))
    with cast.acts(cast.ada) as by:
        assert erase_person(by=by, workspace_id=cast.main, person_id=person.id) == 2
    seal_all()
    lines = export(cast)
    report = check(lines)
    assert report.ok, report.problems
    assert report.erased == 2
    assert b"quux" not in b"".join(lines).lower()
    for (table,) in db.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        found = db.run(f"SELECT count(*) FROM \"{table}\" t WHERE t::text ILIKE '%%quux%%'")
        assert found == [(0,)], f"{table} still holds the name"
    from watchbill.facts.subjects import search_all

    with cast.acts(cast.ada) as by:
        assert search_all(by, cast.main, "main", "Quux") == []


def test_the_anchor_outside_serves_as_checkpoint(lines: list[bytes], tmp_path: Path) -> None:
    from watchbill.ledger.sealer import Sealer

    sealer = Sealer(settings.KEYS)
    sealer.take()
    path = tmp_path / "far" / "checkpoints"
    assert sealer.anchor(path) == 1
    assert sealer.anchor(path) == 0
    sealer.drop()
    report = check(lines, read_notes(path.read_text()))
    assert report.ok
    assert report.outside == 1


def test_nonsense_is_a_sentence_not_a_traceback() -> None:
    key = Ed25519PrivateKey.generate().public_key()
    for text in (
        b"",
        b"\xff\xfe\x00",
        b"[]\n",
        b'{"b": 3}\n',
        b'{"watchbill":"ledger-export","version":9}\n',
        b'{"checkpoint":"x"}\n',
    ):
        assert not verify_export([text] if text else [], name="x", key=key).ok
