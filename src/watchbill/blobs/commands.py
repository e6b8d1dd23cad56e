"""Storing files."""

import mimetypes
import re
from collections.abc import Iterator
from uuid import UUID

from watchbill.base.actor import Actor
from watchbill.base.errors import Invalid
from watchbill.blobs.models import Blob
from watchbill.blobs.store import key, store, take_in
from watchbill.ledger.command import command, record
from watchbill.ledger.quieter import harmless
from watchbill.runtime.jobs import defer
from watchbill.runtime.now import now


def clean_file_name(name: str) -> str:
    """The last part of a path, without characters that mean something to a shell, a header or a file system."""
    name = re.sub(r"[^\w.() +-]", "_", name.replace("\\", "/").rpartition("/")[2]).strip(" .")[:120]
    if not name:
        raise Invalid("The file needs a name.", field="name")
    return name


@command("file.add", needs="file.add", quieter=harmless("a file"))
def add_file(
    *, by: Actor, workspace_id: UUID, name: str, content: Iterator[bytes], subject: tuple[str, str] = ("", "")
) -> Blob:
    """Stores a file and has it scanned. The bytes are durable before the row is."""
    name = clean_file_name(name)
    file, digest, size = take_in(content)
    with file:
        store().put(key(workspace_id, digest), file)
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    blob = Blob(
        workspace_id=workspace_id, sha256=digest, size=size, name=name, media_type=media_type, subject_kind=subject[0],
        subject_id=subject[1], added_by=by.id, added_at=now(),
    )  # fmt: skip
    blob.save(force_insert=True)
    defer("blobs.scan", blob_id=blob.id)
    record(
        ("file", blob.id),
        detail={"sha256": digest, "size": size, "subject": ":".join(subject).strip(":")},
        personal={"name": name},
    )
    return blob
