"""Content-addressed files in a folder and in S3 (a real server speaking its protocol), scanned through clamd's protocol."""

import io
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.test import override_settings

from tests.cast import Cast, acting
from watchbill.base.errors import Denied, Invalid, TooLarge, Unavailable
from watchbill.blobs import jobs
from watchbill.blobs.commands import add_file, clean_file_name
from watchbill.blobs.models import Blob
from watchbill.blobs.queries import access_file
from watchbill.blobs.scan import scan_stream
from watchbill.blobs.store import FolderStore, S3Store, key, store, take_in


def test_a_file_comes_back_as_it_went_in_and_the_same_content_is_kept_once(cast: Cast) -> None:
    with cast.acts(cast.ada) as by:
        one = add_file(by=by, workspace_id=cast.main, name="a.txt", content=iter([b"hel", b"lo"]))
        two = add_file(by=by, workspace_id=cast.main, name="b.txt", content=iter([b"hello"]))
    assert one.sha256 == two.sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    with store().open(key(cast.main, one.sha256)) as file:
        assert file.read() == b"hello"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\\b\\c.exe", "c.exe"),
        ('x";y\r\n.txt', "x__y__.txt"),
        ("naïve ünïcode.pdf", "naïve ünïcode.pdf"),
    ],
)
def test_names_lose_what_could_mean_something(given: str, kept: str) -> None:
    assert clean_file_name(given) == kept


@pytest.mark.parametrize("name", ["", "/", "..", "...", "   "])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(Invalid):
        clean_file_name(name)


def test_a_file_that_is_too_large_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        take_in(iter([b"x" * 600, b"x" * 600]), limit=1000)


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    target = tmp_path / "not-a-folder"
    target.write_text("")
    with pytest.raises(Unavailable, match="could not be stored"):
        FolderStore(target).put("a/b", io.BytesIO(b"x"))


def test_missing_bytes_are_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not where they should be"):
        FolderStore(tmp_path).open("a/b")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="files")
    yield f"s3://files/hub?endpoint={endpoint}"
    server.stop()
    patch.undo()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_files_live_in_object_storage_where_that_is_set(cast: Cast, bucket: str) -> None:
    with override_settings(BLOBS_URL=bucket):
        with cast.acts(cast.ada) as by:
            blob = add_file(by=by, workspace_id=cast.main, name="a.txt", content=iter([b"in the bucket"]))
        assert isinstance(store(), S3Store)
        with store().open(key(cast.main, blob.sha256)) as file:
            assert file.read() == b"in the bucket"
        with pytest.raises(Unavailable):
            store().open(key(cast.main, "0" * 64)).read()
    with (
        override_settings(BLOBS_URL="s3://no-such-bucket?endpoint=" + bucket.partition("endpoint=")[2]),
        pytest.raises(Unavailable, match="object store"),
    ):
        with cast.acts(cast.ada) as by:
            add_file(by=by, workspace_id=cast.main, name="a.txt", content=iter([b"x"]))


EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.fixture
def scanner() -> Iterator[str]:
    """A peer that speaks clamd's INSTREAM and knows one signature."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def read(connection: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = connection.recv(size - len(data))
            if not piece:
                raise ConnectionError
            data += piece
        return data

    def serve() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                assert read(connection, 10) == b"zINSTREAM\0"
                content = b""
                while size := struct.unpack(">I", read(connection, 4))[0]:
                    content += read(connection, size)
                connection.sendall(b"stream: Eicar-Test-Signature FOUND\0" if EICAR in content else b"stream: OK\0")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    stopping.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def run_scan(cast: Cast, blob: Blob) -> None:
    """As the worker runs it, as its own principal."""
    from django.db import connections

    from tests.cast import ensure_alias

    ensure_alias("worker")
    default = connections["default"]
    connections["default"] = connections["worker"]  # type: ignore[assignment]
    try:
        jobs.scan(str(blob.id))
    finally:
        connections["worker"].close()
        connections["default"] = default


def test_an_infected_file_is_kept_and_not_given_out(cast: Cast, scanner: str) -> None:
    with cast.acts(cast.ada) as by:
        bad = add_file(by=by, workspace_id=cast.main, name="bad", content=iter([EICAR]))
        good = add_file(by=by, workspace_id=cast.main, name="good", content=iter([b"fine"]))
        with pytest.raises(Denied, match="waits"):
            access_file(by, cast.main, good.id)
    with override_settings(CLAMD=scanner):
        run_scan(cast, bad)
        run_scan(cast, good)
    with cast.acts(cast.ada) as by:
        assert access_file(by, cast.main, good.id).scan == "clean"
        with pytest.raises(Denied, match="Eicar"):
            access_file(by, cast.main, bad.id)


def test_without_a_scanner_that_is_said_too(cast: Cast) -> None:
    with cast.acts(cast.ada) as by:
        blob = add_file(by=by, workspace_id=cast.main, name="a", content=iter([b"x"]))
    run_scan(cast, blob)
    with acting(cast.ada):
        assert Blob.objects.get(id=UUID(str(blob.id))).scan == "unscanned"


def test_a_scanner_that_is_gone_makes_the_job_fail_and_come_again() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        scan_stream("127.0.0.1:1", io.BytesIO(b"x"))
    with pytest.raises(Unavailable):
        scan_stream("/nonexistent.sock", io.BytesIO(b"x"))


def test_the_job_is_in_the_queue_with_ids_only(cast: Cast, db: Any) -> None:
    with cast.acts(cast.ada) as by:
        blob = add_file(by=by, workspace_id=cast.main, name="secret name.txt", content=iter([b"x"]))
    assert db.run("SELECT task_name, args FROM procrastinate_jobs") == [("blobs.scan", {"blob_id": str(blob.id)})]
