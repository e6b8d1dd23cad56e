"""Ids, masks, keys, settings."""

import base64
import time
from pathlib import Path
from uuid import RFC_4122

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.base.config import parse_database_url, read_config
from watchbill.base.errors import SettingError, TooMany
from watchbill.base.ids import slugify, uuid7
from watchbill.base.keys import Keys, load_keys
from watchbill.base.mask import mask_email, mask_name, mask_phone, mask_text
from watchbill.runtime.ratelimit import Buckets


def test_ids_are_version_7_and_in_order_of_time() -> None:
    first = uuid7()
    time.sleep(0.002)
    second = uuid7()
    assert first < second
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made), "of one process they rise, also within a millisecond"
    assert len(set(made)) == len(made)
    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}


@pytest.mark.parametrize(
    ("text", "slug"), [("Ledger API", "ledger-api"), ("  Çafé — № 5 ", "cafe-no-5"), ("!!!", ""), ("a" * 80, "a" * 60)]
)
def test_slugs(text: str, slug: str) -> None:
    assert slugify(text) == slug


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ada.l+x@mail.example.org now", "write to a•••@m•••.org now"),
        ("call +44 20 7946 0000", "call +44 •••• 00"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer •••"),
        ("token wbt_abcdefghijklmnop", "token wbt_•••"),
        ("2026-11-21T03:12:34 took +15 ms", "2026-11-21T03:12:34 took +15 ms"),
        ("no@tld", "no@tld"),
    ],
)
def test_logs_hold_no_personal_data(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_masks() -> None:
    assert mask_email("ada@example.org") == "a•••@e•••.org"
    assert mask_phone("+442079460000") == "+44 •••• 00"
    assert mask_name("Ada Lovelace") == "A. L."


@given(st.text(max_size=300))
def test_masking_never_fails_and_leaves_no_address(text: str) -> None:
    masked = mask_text(text + " ada@example.org")
    assert "ada@example.org" not in masked


def test_the_masking_of_long_text_takes_linear_time() -> None:
    begun = time.perf_counter()
    mask_text("a" * 200_000 + "@" + "b." * 50_000)
    mask_text("+1 " * 100_000)
    assert time.perf_counter() - begun < 20


def test_keys_come_from_where_they_are_named(tmp_path: Path) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    (tmp_path / "key").write_text(key)
    assert load_keys({"WATCHBILL_KEY": key}, tmp_path, create=False).master == b"k" * 32
    assert load_keys({"WATCHBILL_KEY_FILE": str(tmp_path / "key")}, tmp_path, create=False).master == b"k" * 32
    assert load_keys({"WATCHBILL_KEY_COMMAND": f"cat {tmp_path}/key"}, tmp_path, create=False).master == b"k" * 32
    with pytest.raises(SettingError, match="no master key"):
        load_keys({}, tmp_path, create=False)
    made = load_keys({}, tmp_path, create=True)
    assert load_keys({}, tmp_path, create=False) == made
    assert (tmp_path / "keys" / "master").stat().st_mode & 0o077 == 0
    assert made.master.hex() not in repr(made)


def test_purposes_do_not_stand_in_for_each_other() -> None:
    keys = Keys(b"k" * 32)
    assert len({keys.derive(purpose) for purpose in ("a", "b", "database-role/app", "django")}) == 4


def test_database_addresses() -> None:
    found = parse_database_url("postgresql://me:p%40ss@db.example:6000/hub?sslmode=require")
    assert (found.host, found.port, found.name, found.user, found.password, found.options) == (
        "db.example",
        6000,
        "hub",
        "me",
        "p@ss",
        (("sslmode", "require"),),
    )
    assert "p@ss" not in repr(found) + found.url
    assert parse_database_url("postgresql://localhost/hub?host=%2Frun%2Fpg").host == "/run/pg"


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "WATCHBILL_PORT",
                "WATCHBILL_URL",
                "WATCHBILL_RATE",
                "DATABASE_URL",
                "WATCHBILL_ROLE_PREFIX",
                "WATCHBILL_X",
            ]
        ),
        st.text(max_size=30),
    )
)
def test_any_settings_are_read_or_refused_with_a_sentence(env: dict[str, str]) -> None:
    try:
        read_config(env)
    except SettingError:
        return


def test_a_bucket_fills_up_again() -> None:
    buckets = Buckets(60, 2)
    buckets.take("a", now=0)
    buckets.take("a", now=0)
    with pytest.raises(TooMany) as caught:
        buckets.take("a", now=0)
    assert caught.value.retry_after >= 1
    buckets.take("b", now=0)
    buckets.take("a", now=1.5)
