"""Rate limits: token buckets in this process's memory. With n web processes a caller gets up to n times as much."""

import threading
import time
from collections import OrderedDict

from watchbill.base.errors import TooMany

_MOST = 20_000


class Buckets:
    """One bucket per key: ``rate`` units a minute, filled up to ``burst``."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate / 60, burst
        self._lock = threading.Lock()
        self._state: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def take(self, key: object, cost: float = 1.0, *, now: float | None = None) -> None:
        """Takes ``cost`` units. Raises TooMany with the seconds to wait."""
        at = time.monotonic() if now is None else now
        with self._lock:
            level, last = self._state.get(key, (self.burst, at))
            level = min(self.burst, level + (at - last) * self.rate)
            if level < cost:
                self._state[key] = (level, at)
                raise TooMany(
                    "You are asking faster than this hub allows.",
                    retry_after=max(1, round((cost - level) / self.rate + 0.5)),
                )
            self._state[key] = (level - cost, at)
            self._state.move_to_end(key)
            while len(self._state) > _MOST:
                self._state.popitem(last=False)
