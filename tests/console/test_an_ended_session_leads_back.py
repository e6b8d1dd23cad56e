"""Whoever acknowledges with a session that is over is led to the sign-in page and back, and hears that nothing was changed."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from tests.cast import Cast


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("", "/w/main/incidents/1"),
        ("http://testserver/w/main/?show=all", "/w/main/?show=all"),
        ("http://evil.example/w/main/", "/w/main/incidents/1"),
        ("http://testserver//evil.example/", "/w/main/incidents/1"),
        ("nonsense", "/w/main/incidents/1"),
    ],
)
def test_it_leads_to_the_sign_in_page_and_back(cast: Cast, db: Any, referer: str, back: str) -> None:
    answer = Client().post(
        "/w/main/incidents/1", {"do": "acknowledge"}, headers={"Referer": referer} if referer else {}
    )
    text = answer.content.decode()
    assert answer.status_code == 401
    assert "nothing was changed" in text
    assert text.count("Sign in first") == 2, "in the title and once on the page"
    link = text.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    assert urlsplit(link).path == "/signin"
    assert parse_qs(urlsplit(link).query)["next"] == [back]
