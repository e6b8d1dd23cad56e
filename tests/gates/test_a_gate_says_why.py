"""Rules of gates: every condition has a reason; an approval is bound to what was seen, by somebody else who may still give it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.base.errors import Broken
from watchbill.gates.rules import CONDITIONS, Context, Given, condition, decide

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ASKER, OTHER, THIRD = (UUID(int=number) for number in range(1, 4))
POLICY = [{"condition": "reason"}, {"condition": "approval", "count": 1}]


def context(*given: Given, digest: str = "d", reason: str = "because", hours: float = 1) -> Context:
    return Context(digest, ASKER, NOW + timedelta(hours=hours), given, reason)


YES = Given(OTHER, True, "d", True)
CASES = [
    ("approved by another", context(YES), True, "Approved by another person."),
    ("nobody yet", context(), False, "another person"),
    ("by the requester", context(Given(ASKER, True, "d", True)), False, "another person"),
    ("of something else", context(Given(OTHER, True, "e", True)), False, "not what would be done now"),
    ("by one who may not any more", context(Given(OTHER, True, "d", False)), False, "may no longer"),
    ("refused by a third", context(YES, Given(THIRD, False, "d", True)), False, "refused"),
    ("expired", context(YES, hours=0), False, "expired"),
    ("without a reason", context(YES, reason="  "), False, "needs a reason"),
]


@pytest.mark.parametrize(("said", "context", "allowed", "words"), CASES, ids=[case[0] for case in CASES])
def test_a_decision_has_a_reason_for_each_condition(said: str, context: Context, allowed: bool, words: str) -> None:
    found = decide("x", POLICY, context, NOW)
    assert found.allowed is allowed
    assert [reason.condition for reason in found.reasons] == ["reason", "approval"]
    assert words in " ".join(reason.text for reason in found.reasons)
    assert bool(found.missing) is not allowed


def test_two_approvals_are_of_two_persons() -> None:
    policy = [{"condition": "approval", "count": 2}]
    assert not decide("x", policy, context(YES, YES), NOW).allowed
    assert decide("x", policy, context(YES, Given(THIRD, True, "d", True)), NOW).allowed


def test_an_unknown_condition_is_never_met_and_a_name_is_registered_once() -> None:
    assert not decide("x", [{"condition": "moon"}], context(YES), NOW).allowed
    with pytest.raises(Broken, match="twice"):
        condition("approval")(CONDITIONS["approval"])


@given(
    st.lists(
        st.builds(Given, st.sampled_from([ASKER, OTHER, THIRD]), st.booleans(), st.sampled_from("de"), st.booleans())
    )
)
def test_whatever_was_answered_nothing_passes_without_a_fitting_yes_of_another(answers: list[Given]) -> None:
    found = decide("x", POLICY, context(*answers), NOW)
    fitting = any(a.approves and a.digest == "d" and a.holds and a.person_id != ASKER for a in answers)
    refused = any(not a.approves for a in answers)
    assert found.allowed == (fitting and not refused)
