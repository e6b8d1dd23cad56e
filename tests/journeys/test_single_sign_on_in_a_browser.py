"""The whole way through a real provider, in a real browser, under the content-security policy."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.ports import free_port
from tests.server.hub import Hub, run, wait_for
from tests.signin.test_single_sign_on import PYTHON

pytestmark = [pytest.mark.browser, pytest.mark.process]


@pytest.fixture
def hub_with_provider() -> Iterator[Hub]:
    folder = Path(tempfile.mkdtemp(prefix="watchbill-sso-"))
    folder.chmod(0o711)
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    hub = Hub(
        folder / "data", WATCHBILL_OIDC_ISSUER=issuer, WATCHBILL_OIDC_CLIENT_ID="watchbill",
        WATCHBILL_OIDC_CLIENT_SECRET="provider-secret", WATCHBILL_OIDC_NAME="Sign in with Provider",
    )  # fmt: skip
    script = Path(__file__).parents[1] / "peers" / "oidc_provider.py"
    arguments = [str(PYTHON), str(script), str(port), f"{hub.url}/signin/oidc/oidc/callback"]
    provider = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: httpx.get(f"{issuer}/.well-known/openid-configuration").status_code == 200, 30)
        hub.start()
        yield hub
    finally:
        provider.kill()
        provider.wait()
        hub.clean_up()
        shutil.rmtree(folder, ignore_errors=True)


def test_somebody_comes_in_through_the_provider(hub_with_provider: Hub, chromium: Browser) -> None:
    hub = hub_with_provider
    invited = run(
        "invite", "edo@example.org", "--name", "Edo Editor", "--workspace", "main", "--role", "editor", env=hub.env
    )
    assert invited.returncode == 0, invited.stderr
    context = chromium.new_context(base_url=hub.url)
    page = context.new_page()
    page.goto("/w/main/audit")
    page.get_by_role("button", name="Sign in with Provider").click()
    page.locator("#login").fill("edo")
    page.get_by_role("button", name="Continue").click()
    page.locator("input[name=password]").fill("correct horse battery")
    page.locator("#loginform button[type=submit], form button[type=submit]").first.click()
    page.locator("button[name=answer][value=accept]").click()
    page.wait_for_url(f"{hub.url}/**")
    expect(page.get_by_role("heading", name="Main")).to_be_visible()
    page.get_by_role("navigation", name="Workspace").get_by_role("link", name="Audit").click()
    expect(page.locator("#feed")).to_be_visible()
    context.close()
