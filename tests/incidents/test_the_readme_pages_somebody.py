"""What the README says under “Page yourself in five minutes” is carried out as it stands, on a real hub, by a shell."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.intake.test_what_is_answered_is_there import owner, write
from tests.peers.mail import Mail
from tests.server.hub import Hub, running, wait_for

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.process


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running("readme", WATCHBILL_OUTBOUND="127.0.0.1") as made:
        yield made


def test_five_minutes_of_the_readme_end_with_a_message(hub: Hub, tmp_path: Path) -> None:
    (block,) = re.findall(
        r"runs this block as it stands\. -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shim = tmp_path / ".venv" / "bin" / "watchbill"
    shim.write_text(f'#!/bin/sh\nexec "{ROOT}/.venv/bin/python" -m watchbill.cli.main "$@"\n')
    shim.chmod(0o755)
    with closing(hub.signed_in()) as browser, Mail() as mail:
        channel = {"kind": "email", "name": "Mail", "config": mail.config()}
        assert write(browser, "/api/v1/workspaces/main/channels", channel).status_code == 201
        me = browser.get("/api/v1/me").json()
        if not me.get("email"):
            told = {"kind": "email", "value": "me@readme.test"}
            assert write(browser, f"/api/v1/workspaces/main/people/{me['id']}/contacts", told).status_code == 201
        # The permissions that the README names.
        (named,) = re.findall(r"make one with (.*?)\. Set up", (ROOT / "README.md").read_text(), re.S)
        body = {"name": "readme", "scopes": [*re.findall(r"`([a-z.]+)`", named), "alert.read"], "days": 1}
        token = write(browser, "/api/v1/workspaces/main/tokens", body)
        assert token.status_code == 201, token.text
        env = {**os.environ, "HUB": hub.url, "WATCHBILL_TOKEN": token.json()["text"]}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Alertmanager sends to: " in done.stdout
        wait_for(lambda: mail.got, 20, "nobody was mailed")
        assert "Hello (INC-1)" in str(mail.got[0][1]["Subject"])
        link = re.search(r"Acknowledge: http://[^/]+(/reply/\S+)", mail.to(mail.got[0][0])[0])
        assert link is not None
        assert "Acknowledge" in browser.get(link[1]).text
        with owner(hub) as session:
            assert session.execute("SELECT state FROM paging_page WHERE subject_kind = 'incident'").fetchall() == [
                ("running",)
            ]
        # And what another route would have done to it: the alert is no note, so it would page nobody.
        folder = tmp_path / "my-handbook"
        route = (folder / "pages.watchbill.yaml").read_text()
        (folder / "pages.watchbill.yaml").write_text(route.replace("""'severity!="info"'""", """'severity="info"'"""))
        again = [str(shim), "plan", str(folder), "--hub", hub.url, "--workspace", "main"]
        told = subprocess.run(again, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert told.returncode == 1, told.stderr
        assert "it would have paged 1 time less: 0, not 1, for 1 group of alerts" in told.stdout
        assert "No longer: Hello" in told.stdout
        wrong = subprocess.run(
            again, cwd=tmp_path, env=env | {"WATCHBILL_TOKEN": "wbt_none"}, capture_output=True, text=True, timeout=60
        )
        assert (wrong.returncode, "the hub refused (401)" in wrong.stderr) == (1, True), wrong.stderr
