"""What `make serve` does on a fresh machine: five example handbooks, live, a workspace each; and only once."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.hub import Hub, wait_for

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "handbooks"
pytestmark = pytest.mark.process


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="watchbill-examples-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_the_examples_are_live_after_the_first_start_and_stay_as_they_were(folder: Path) -> None:
    copy = folder / "handbooks"
    shutil.copytree(EXAMPLES, copy)
    hub = Hub(folder / "data", WATCHBILL_HANDBOOKS=str(copy))
    try:
        hub.start()
        wait_for(hub.ready, 30)
        browser = hub.signed_in()
        for place in sorted(EXAMPLES.iterdir()):
            page = browser.get(f"/w/{place.name}/handbook")
            assert page.status_code == 200
            assert "revision 1, applied" in page.text
        hub.stop()
        shutil.rmtree(copy / "operations-hub")
        hub.start()
        wait_for(hub.ready, 30)
        assert "revision 1, applied" in hub.signed_in().get("/w/operations-hub/handbook").text
    finally:
        hub.clean_up()


def test_a_hub_that_has_its_own_workspaces_gets_no_examples(folder: Path) -> None:
    hub = Hub(folder / "data")
    try:
        hub.start()
        wait_for(hub.ready, 30)
        hub.stop()
        hub.env["WATCHBILL_HANDBOOKS"] = str(EXAMPLES)
        hub.start()
        wait_for(hub.ready, 30)
        assert hub.signed_in().get("/w/operations-hub/handbook").status_code == 404
    finally:
        hub.clean_up()


def test_a_wrong_folder_is_named(folder: Path) -> None:
    hub = Hub(folder / "data", WATCHBILL_HANDBOOKS=str(folder / "missing"))
    try:
        with pytest.raises(AssertionError, match="WATCHBILL_HANDBOOKS"):
            hub.start()
    finally:
        hub.clean_up()
