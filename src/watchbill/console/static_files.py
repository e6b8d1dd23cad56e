"""Static files with their content's hash in the address, so that browsers may keep them for ever."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage


@lru_cache(maxsize=256)
def _version(name: str) -> str:
    path = finders.find(name)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:10] if isinstance(path, str) else "0"


class VersionedStorage(StaticFilesStorage):
    """Serves from the packages (whitenoise finds them); the address carries ?v=<hash>."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(location="/nonexistent", base_url="/static/")

    def url(self, name: str | None) -> str:
        """The address of a file."""
        return f"{super().url(name)}?v={_version(name or '')}"
