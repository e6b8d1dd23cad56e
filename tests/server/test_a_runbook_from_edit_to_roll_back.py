"""The whole way on a real hub: edit a runbook, plan, another's approval, apply, go back; a heading renamed, items still themselves.

What was typed and printed is docs/transcript-handbook.md: `python -m tests.server.test_a_runbook_from_edit_to_roll_back` writes it anew.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.hub import Hub, run, wait_for

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "transcript-handbook.md"
pytestmark = pytest.mark.process
BOOK = "operations-and-maintenance"


class Session:
    """Commands as a person types them, with what they printed; addresses and ids made the same every time."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.folder, self.lines = hub, folder, []  # type: ignore[var-annotated]

    def say(self, text: str) -> None:
        self.lines += ["", text, ""]

    def type(self, command: str, token: str = "", code: int = 0) -> str:
        args = command.split(" ")
        if "--reason" in args:
            at = args.index("--reason") + 1
            args = [*args[:at], " ".join(args[at:]).strip('"')]
        real = [str(self.folder / one) if one.startswith("handbooks/") else one for one in args]
        extra = ["--hub", self.hub.url] if args[0] == "apply" else []
        done = run(*real, *extra, env={**self.hub.env, "WATCHBILL_TOKEN": token})
        assert done.returncode == code, done.stdout + done.stderr
        printed = (done.stdout + done.stderr).rstrip()
        self.lines += ["```console", f"$ watchbill {command}", *self._same(printed).splitlines(), "```"]
        return printed

    def _same(self, text: str) -> str:
        text = text.replace(f"{self.folder}/", "").replace(self.hub.url, "https://ops.example.org")
        return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "01a2…", text)


def browser_of(hub: Hub, email: str) -> httpx.Client:
    """A member of the example's cast, come in by a one-time link."""
    link = run("link", email, "--workspace", BOOK, env=hub.env).stdout.strip()
    browser = httpx.Client(base_url=hub.url, follow_redirects=True)
    token = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', browser.get(link).text)[0]
    assert browser.post(link, data={"csrfmiddlewaretoken": token}).status_code == 200
    return browser


def token_of(browser: httpx.Client) -> str:
    made = browser.post(
        f"/api/v1/workspaces/{BOOK}/tokens", json={"name": "deploy", "scopes": ["handbook.read", "handbook.apply", "due.read"]},
        headers={"X-CSRFToken": browser.cookies["watchbill_csrf"]},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    return str(made.json()["text"])


def tell(hub: Hub, folder: Path) -> list[str]:
    """The story."""
    session = Session(hub, folder)
    place = folder / "handbooks" / BOOK
    (document,) = place.glob("*.md")
    begun = document.read_text()
    ines, mira = browser_of(hub, "ines@demo.example"), browser_of(hub, "mira@demo.example")
    token = token_of(ines)
    session.say(
        "Ines keeps the handbook of *Operations and maintenance*, Mira holds `handbook.approve`. Ines changes one cell of the severity table: SEV-1 is answered within 45 minutes, not 15."
    )
    document.write_text(begun.replace("| 15 minutes |\n| **SEV-2**", "| 45 minutes |\n| **SEV-2**"))
    assert document.read_text() != begun
    assert "weaker: it takes longer" in session.type(f"plan handbooks/{BOOK}", code=1)
    session.say(
        "The folder is followed by the hub: the change stands under *Review* and in *Due*, and nothing of it is live. Ines accepts it and applies it."
    )
    wait_for(lambda: "SEV-1" in ines.get(f"/w/{BOOK}/handbook/review").text)
    session.type(f"accept handbooks/{BOOK} --key severity/sev-1")
    session.type(f"apply handbooks/{BOOK}", token, code=1)
    waits = session.type(f'apply handbooks/{BOOK} --reason "nobody can be there in 15 minutes at night"', token, code=3)
    request = re.findall(r"/requests/([0-9a-f-]{36})", waits)[0]
    session.say(
        "Ines cannot approve it herself, and a token of hers cannot either. Mira finds it under *Due*, reads every change, and approves it."
    )
    page = ines.get(f"/w/{BOOK}/requests/{request}").text
    assert "Approve 1 change" not in page
    assert f"/requests/{request}" in mira.get(f"/w/{BOOK}/due").text
    page = mira.get(f"/w/{BOOK}/requests/{request}").text
    assert "45 min" in page
    assert "nobody can be there" in page
    digest = re.findall(r'name="digest" value="([0-9a-f]+)"', page)[0]
    assert "approved" in hub.post(mira, f"/w/{BOOK}/requests/{request}", do="approve", digest=digest).text
    assert "Revision 2" in session.type(f"apply handbooks/{BOOK}", token)
    session.say("Next week they go back. That makes the policy stronger, so it needs nobody else.")
    hub.post(ines, f"/w/{BOOK}/handbook/revisions", number="1", reason="")
    revision = ines.get(f"/w/{BOOK}/handbook/revisions/3").text
    assert "Back to" in revision
    assert "15 min" in revision
    answer = httpx.get(
        f"{hub.url}/api/v1/workspaces/{BOOK}/handbook/revisions", headers={"Authorization": f"Bearer {token}"}
    ).json()
    shown = [{key: one[key] for key in ("number", "weakens", "reason", "rolled_back_to")} for one in answer["items"]]
    session.lines += ["```console", "$ curl -H \"Authorization: Bearer $WATCHBILL_TOKEN\" https://ops.example.org/api/v1/workspaces/operations-and-maintenance/handbook/revisions | jq -c '.items[] | {number, weakens, reason, rolled_back_to}'"]  # fmt: skip
    session.lines += [json.dumps(one, separators=(",", ":")) for one in shown] + ["```"]
    assert [one["number"] for one in shown] == [3, 2, 1]
    document.write_text(begun)
    assert run("accept", str(place), "--all", env=hub.env).returncode == 0
    session.say("A heading gets another name. What is below it is still itself: the same keys, nothing to accept.")
    document.write_text(renamed(begun))
    assert document.read_text() != begun
    assert "0 changed, 0 removed, 0 to be answered" in session.type(f"plan handbooks/{BOOK}")
    return session.lines


def renamed(text: str) -> str:
    """The heading above the severity table under another name."""
    lines = text.split("\n")
    at = next(number for number, line in enumerate(lines) if line.startswith("| Severity"))
    while not lines[at].startswith("#"):
        at -= 1
    lines[at] = f"{lines[at]} and severities"
    return "\n".join(lines)


def page(lines: list[str]) -> str:
    """The page of docs/."""
    head = "# From an edited runbook to a live handbook, and back\n\nWhat was typed and printed, by people of the examples' cast on a hub that `make serve` began. A test plays it again and compares."
    return head + "\n" + "\n".join(lines).rstrip() + "\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="watchbill-transcript-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def play(folder: Path) -> str:
    """Plays it on a hub of its own."""
    shutil.copytree(ROOT / "examples" / "handbooks", folder / "handbooks")
    hub = Hub(folder / "data", WATCHBILL_HANDBOOKS=str(folder / "handbooks"))
    try:
        hub.start()
        wait_for(hub.ready, 30)
        return page(tell(hub, folder))
    finally:
        hub.clean_up()


def test_the_way_of_a_runbook_is_as_the_transcript_says(folder: Path) -> None:
    assert play(folder) == PAGE.read_text()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o711)
        PAGE.write_text(play(Path(made)))
    sys.exit(0)
