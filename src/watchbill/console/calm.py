"""The sentences that calm somebody. They stand here and nowhere else (tests/console/ looks), and each is said only where “Can this
hub page?” was asked and nothing was broken: who reads one at 03:00 goes back to sleep."""

from typing import Literal

from watchbill.paging.ability import Ability, count_of

Page = Literal["overview", "incidents", "oncall", "contacts", "mine", "alerts"]

#: What a page says when all is well, and what it may say of its own matter when the hub cannot page.
_SENTENCES: dict[Page, tuple[str, str]] = {
    "overview": ("Nothing needs you now.", ""),
    "incidents": ("Nothing is wrong.", "No incident is open."),
    "oncall": ("Somebody is on call in every schedule.", "No schedule has a gap at this moment."),
    "contacts": ("Everybody whom the handbook names can be reached.", "No name has a problem of its own."),
    "mine": ("An urgent page reaches you as below.", "An urgent page goes out as below."),
    "alerts": ("Nothing fires.", "No alert fires."),
}
#: What no template and no other module says, for the test that looks.
WORDS = (
    "nothing is wrong", "somebody is on call", "reaches you", "nothing needs you", "nothing else needs you", "all is well", "everything is fine", "everything is over",
    "everything works", "everybody whom the handbook names can be reached", "everybody can be reached", "is alive", "nothing fires.",
)  # fmt: skip


def verdict(found: Ability | None) -> str:
    """The answer to “Can this hub page?”."""
    if found is None:
        return "You may not see it: it needs the permission page.read."
    if found.demo:
        return "This is a demo workspace: it shows whom it would page, and nothing leaves it."
    if found.broken:
        return f"No: {count_of(len(found.broken), 'problem')}."
    if found.alarms:
        return f"Yes, but: {' '.join(one.text for one in found.alarms)}"
    told = f"Yes, as far as it looked: {_listed(found.looked)}."
    return f"{told[:-1]}; {count_of(len(found.warnings), 'warning')}." if found.warnings else told


def _listed(parts: tuple[str, ...]) -> str:
    names = [one.removeprefix("the ") for one in parts]
    return ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1] if names else "at nothing"


def sentence(page: Page, found: Ability | None, trouble: str = "") -> str:
    """What a page says first. ``trouble`` is what it has to say of its own; without it the page may calm, where the hub can page."""
    calm, plain = _SENTENCES[page]
    if found is None:
        return " ".join(part for part in (trouble or plain, "Whether this hub can page is not shown to you.") if part)
    if found.broken:
        problems = f"This hub cannot page: {count_of(len(found.broken), 'problem')}."
        return " ".join(part for part in (trouble or plain, problems) if part)
    if found.demo:
        return " ".join(part for part in (trouble or plain, "This is a demo workspace: it pages nobody.") if part)
    if found.alarms:
        return " ".join(part for part in (trouble or plain, *(one.text for one in found.alarms)) if part)
    return trouble or calm
