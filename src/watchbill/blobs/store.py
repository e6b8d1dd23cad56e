"""Where the bytes are: files in the data folder, or S3. Addressed by workspace and SHA-256."""

import os
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from django.conf import settings
from django.core.files.base import File

from watchbill.base.errors import SettingError, TooLarge, Unavailable

MAX_BYTES = 50_000_000


class Store(Protocol):
    """A place for bytes."""

    def put(self, key: str, file: IO[bytes]) -> None:
        """Keeps a file durably under a key; putting the same key again changes nothing."""

    def open(self, key: str) -> IO[bytes]:
        """The file's bytes. Raises Unavailable."""


class FolderStore:
    """Files below a folder, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, file: IO[bytes]) -> None:
        """See Store."""
        target = self.folder / key
        if target.exists():
            return
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as fresh:
                for piece in iter(lambda: file.read(1 << 16), b""):
                    fresh.write(piece)
                fresh.flush()
                os.fsync(fresh.fileno())
            os.replace(fresh.name, target)
            handle = os.open(target.parent, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        except OSError as error:
            raise Unavailable(
                f"The file could not be stored: {error.strerror}.", hint="Free some space; nothing was kept."
            ) from None

    def open(self, key: str) -> IO[bytes]:
        """See Store."""
        try:
            return (self.folder / key).open("rb")
        except OSError:
            raise Unavailable(
                "The file's bytes are not where they should be.", hint="Restore the data folder's blobs from backup."
            ) from None


class S3Store:
    """Objects in a bucket, through django-storages."""

    def __init__(self, url: str) -> None:
        try:
            from storages.backends.s3 import S3Storage
        except ImportError:
            raise SettingError(
                "WATCHBILL_BLOBS names S3, and django-storages is not installed.",
                hint="pip install 'django-storages[s3]'",
                field="WATCHBILL_BLOBS",
            ) from None
        parts = urlsplit(url)
        endpoint = parse_qs(parts.query).get("endpoint", [None])[0]
        self.storage = S3Storage(
            bucket_name=parts.netloc,
            location=parts.path.strip("/"),
            endpoint_url=endpoint,
            file_overwrite=True,
            default_acl=None,
        )

    def put(self, key: str, file: IO[bytes]) -> None:
        """See Store."""
        try:
            if not self.storage.exists(key):
                self.storage.save(key, File(file))
        except Exception as error:
            raise Unavailable(
                f"The object store did not take the file ({type(error).__name__}).", hint="Nothing was kept; try again."
            ) from None

    def open(self, key: str) -> IO[bytes]:
        """See Store."""
        try:
            found: IO[bytes] = self.storage.open(key).file
            return found
        except Exception as error:
            raise Unavailable(f"The object store does not give the file ({type(error).__name__}).") from None


def store() -> Store:
    """The store that the settings name."""
    url: str = settings.BLOBS_URL
    return S3Store(url) if url.startswith("s3://") else FolderStore(settings.DATA / "blobs")


def key(workspace_id: UUID, digest: str) -> str:
    """Where a file lies. Per workspace, so that nobody learns what another one holds."""
    return f"{workspace_id}/{digest[:2]}/{digest}"


def take_in(chunks: Iterator[bytes], *, limit: int = MAX_BYTES) -> tuple[IO[bytes], str, int]:
    """Spools a body to a temporary file while hashing it. Returns (file, SHA-256, size). Raises TooLarge."""
    file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115 - the caller closes it
    digest, size = sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            file.close()
            raise TooLarge(f"A file may have at most {limit:,} bytes.")
        digest.update(chunk)
        file.write(chunk)
    file.seek(0)
    return file, digest.hexdigest(), size
