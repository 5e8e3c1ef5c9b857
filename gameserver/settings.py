"""What a server is started with: command-line options, each with an environment variable."""

from dataclasses import dataclass
from pathlib import Path

from gameserver.storage.private_files import keep_others_out, private_file, private_folder

PREFIX = "GAMESERVER_"
DATABASE_NAME = "gameserver.db"  # of the embedded database, in the data folder


@dataclass(frozen=True, slots=True)
class Settings:
    """One server. Worker processes get the same settings from the process that starts them."""

    host: str = "127.0.0.1"
    port: int = 8080
    admin_host: str = "127.0.0.1"  # where operators and their tools ask
    admin_port: int | None = None  # None: the one after `port`
    apps: Path = Path("apps")
    data: Path = Path("data")
    redis: str = ""  # empty: sessions are kept by this process
    database: str = ""  # empty: SQLite in the data folder
    workers: int = 1
    script_processes: int = 0  # that run scripts, at most, for each server process; 0: by the number of CPUs
    tls_cert: str = ""
    tls_key: str = ""
    proxies: str = (
        ""  # networks whose X-Forwarded-For and X-Forwarded-Proto are believed, with commas between
    )
    public_url: str = ""  # empty: where the server listens
    realtime_url: str = ""  # empty: where `public_url` leads, or where the client has reached the server
    ephemeral: bool = False
    seed: int = 0
    environment: str = ""  # what people call this installation, such as production
    sign_on: Path | None = None  # the file that names the studio's own provider of logins
    edit_apps: bool = False  # the console may change the files of apps
    traces: bool = False  # are sent, as the variables of OpenTelemetry say
    seed_file: Path | None = None  # of an ephemeral server: what it begins with
    log_level: str = "info"

    @property
    def database_url(self) -> str:
        """Where the tables are; `sqlite://` is a database that nobody keeps."""
        if self.database:
            return self.database
        return "sqlite://" if self.ephemeral else f"sqlite:///{self.data.absolute() / DATABASE_NAME}"

    @property
    def listening_url(self) -> str:
        """What clients on the listening address connect to."""
        if self.tls_cert and self.host in ("127.0.0.1", "::1"):
            return f"https://localhost:{self.port}"  # some clients compare names alone with a certificate
        return f"{'https' if self.tls_cert else 'http'}://{_in_url(self.host)}:{self.port}"

    @property
    def admin_url(self) -> str:
        """Where operators and their tools ask. Without TLS: it is not for other machines' eyes."""
        return f"http://{_in_url(self.admin_host)}:{self.admin_port}"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def prepare_data(settings: Settings) -> None:
    """Make what the data folder needs, readable by its owner alone. Raises `OSError`."""
    private_folder(settings.data)
    if not settings.database and not settings.ephemeral:
        database = settings.data / DATABASE_NAME
        private_file(database)
        for suffix in ("-wal", "-shm"):  # SQLite gives them the database's permissions, when it makes them
            keep_others_out(database.with_name(database.name + suffix))
