"""Whoever asks whether the database is well gets an answer in time, however many ask and however long it hangs."""

import asyncio
import threading
import time

import pytest

from watchbill.server.sharing import Shared


class Look:
    """Looks at something that may hang."""

    def __init__(self) -> None:
        self.calls, self.go = 0, threading.Event()

    def __call__(self) -> str:
        self.calls += 1
        self.go.wait(20)
        return "well"


def shared(look: Look, **times: float) -> Shared[str]:
    made = Shared("test look", look, lambda: "silent")
    for name, value in times.items():
        setattr(made, name, value)
    return made


def test_many_who_ask_share_one_look() -> None:
    look = Look()

    async def ask() -> list[str]:
        asked = shared(look, patience=20.0)
        asyncio.get_running_loop().call_later(0.1, look.go.set)
        return await asyncio.gather(*(asked.ask() for _ in range(50)))

    assert asyncio.run(ask()) == ["well"] * 50
    assert look.calls == 1


def test_nobody_waits_for_one_that_hangs_and_only_a_few_threads_do() -> None:
    look = Look()

    async def ask() -> None:
        asked = shared(look, patience=0.2, while_silent=0.01, give_up=0.3, most=3)
        assert not asked.hangs()
        begun = time.monotonic()
        assert await asked.ask() == "silent"
        assert asked.hangs()
        while time.monotonic() - begun < 3:
            assert await asked.ask() == "silent"
        assert 1 < look.calls <= 3
        look.go.set()
        while asked.hangs() or asked.under_way:
            assert time.monotonic() - begun < 20
            await asyncio.sleep(0.01)
        asked.patience = 20.0
        assert await asked.ask() == "well"

    asyncio.run(ask())


def test_what_goes_wrong_in_a_look_is_raised_to_who_asks() -> None:
    def wrong() -> str:
        raise ValueError("no")

    async def ask() -> None:
        await Shared("test look", wrong, lambda: "silent").ask()

    with pytest.raises(ValueError, match="no"):
        asyncio.run(ask())
