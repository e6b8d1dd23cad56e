"""A list of alerts by labels says what Alertmanager's matchers say, and a storm is one line in a history."""

from typing import Any

import pytest

from tests.cast import Cast, api, signed_in
from tests.signals.test_alerts_are_taken_in_whole_and_in_order import alert, facts, groups, put, source, take
from watchbill.base.errors import Invalid
from watchbill.signals.matchers import holds, read_matchers, split_search
from watchbill.signals.models import Alert
from watchbill.signals.queries import access_groups

LABELS = [
    {"alertname": "A", "service": "checkout", "severity": "critical", "env": "prod"},
    {"alertname": "B", "service": "check out", "severity": "warning"},
    {"alertname": "C", "service": "search", "severity": "critical", "env": ""},
    {"alertname": "D", "severity": "page", "env": "test", "instance": "a" * 900 + "1"},
]
MATCHERS = [
    ['service="checkout"'], ['service="check out"'], ["service!=checkout"], ['service=""'], ['service!=""'], ['env=""'], ['env!=""'], ["env=~.*"], ["env!~.*"],
    ["env=~.+"], ['severity=~"crit.*|page"'], ['severity!~"crit.*"'], ["severity=critical", "env!=prod"], ['service=~"check.*"', 'severity!="warning"'],
    ["nothing=x"], ["nothing!=x"], ['nothing=""'], ["nothing=~x?"], ["alertname=~[A-C]", 'env=""'],
]  # fmt: skip


@pytest.fixture
def there(cast: Cast, db: Any) -> Cast:
    of = source(cast)
    for number, labels in enumerate(LABELS):
        put(db, of, alert(labels["alertname"]) | {"labels": labels, "fingerprint": str(number)})
    take()
    return cast


@pytest.mark.parametrize("texts", MATCHERS, ids=[" ".join(one) for one in MATCHERS])
def test_a_filter_finds_what_alertmanagers_matchers_find(there: Cast, texts: list[str]) -> None:
    match = read_matchers(texts)
    with there.acts(there.vera) as by:
        found = {one.title for one in access_groups(by, there.main, state="open", match=match)}
        wanted = {one.group.title for one in Alert.objects.select_related("group") if holds(match, one.labels)}
    assert found == wanted


def test_labels_that_change_are_found_by_what_they_are_now(cast: Cast, db: Any) -> None:
    of = source(cast)
    put(db, of, alert() | {"labels": {"alertname": "Slow", "owner": "ann"}, "fingerprint": "f"})
    take()
    put(db, of, alert() | {"labels": {"alertname": "Slow", "owner": "ben"}, "fingerprint": "f"})
    take()
    assert db.run("SELECT name, value FROM signals_label ORDER BY 1") == [("alertname", "Slow"), ("owner", "ben")]
    # What is only over says nothing else of it.
    put(db, of, alert(status="resolved") | {"labels": {"alertname": "Slow"}, "fingerprint": "f"})
    take()
    assert db.run("SELECT name, value FROM signals_label ORDER BY 1") == [("alertname", "Slow"), ("owner", "ben")]


def test_page_and_api_take_words_and_matchers(there: Cast) -> None:
    browser = signed_in(there.vera)
    page = browser.get("/w/main/alerts", {"q": 'a severity=~"crit.*"'}).content.decode()
    assert "A: checkout" in page
    assert "B: check out" not in page
    wrong = browser.get("/w/main/alerts", {"q": "service=~("})
    assert wrong.status_code == 422
    assert "no regular expression" in wrong.content.decode()
    client = api(there.token(there.ada))
    found = client.get("/api/v1/workspaces/main/alerts", {"filter": ["severity=critical", "env!=prod"]}).json()
    assert [one["title"] for one in found["items"]] == ["C: search"]
    assert client.get("/api/v1/workspaces/main/alerts", {"filter": "what"}).status_code == 422
    # Another workspace's labels are nobody's business.
    assert signed_in(there.sam).get("/w/main/alerts", {"q": "severity=critical"}).status_code == 404


@pytest.mark.parametrize(
    ("typed", "words", "matchers"),
    [
        ("", "", []),
        ("slow db", "slow db", []),
        ('slow service="check out" env!=test', "slow", ['service="check out"', 'env!="test"']),
        ('name=~"a|b" "quoted words"', '"quoted words"', ['name=~"a|b"']),
    ],
)
def test_what_is_typed_is_words_and_matchers(typed: str, words: str, matchers: list[str]) -> None:
    found = split_search(typed)
    assert (found[0], [str(one) for one in found[1]]) == (words, matchers)


def test_a_matcher_with_a_wrong_expression_is_said(cast: Cast) -> None:
    with pytest.raises(Invalid, match="no regular expression"):
        split_search("a=~[")


def test_a_storm_is_one_line_and_one_fact(cast: Cast, db: Any) -> None:
    of = source(cast)
    put(db, of, alert(instance="first"))
    take()
    for number in range(300):
        put(db, of, alert(instance=str(number)))
    take()
    assert groups(db) == [("Slow: checkout", "open", 301)]
    assert facts(db) == ["group.opened", "group.grew"]
    assert db.run("SELECT what, why FROM signals_group_event ORDER BY id") == [
        ("opened", "1 firing"),
        ("grew", "301 firing"),
    ]
    assert db.run("SELECT data FROM facts_fact WHERE kind = 'group.grew'") == [({"firing": 301},)]
