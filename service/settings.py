"""Settings: what the environment says, read when asked and not on import."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_PORT = 8321
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "rhobust"


def _names(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


PackageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=200)]


class Settings(BaseSettings):
    """Settings of every role, from variables with the prefix `RHOBUST_`.

    Attributes:
        url: of the server that clients talk to.
        database_url: of the results store; SQLite in the data folder when empty.
        data_dir: folder of the database and the logs.
        ray_address: of a Ray cluster; empty starts a local Ray for each job.
        log_level: of our own messages on stderr.
        plugins: names of the installed packages whose optimizers and tasks specs may name; in the variable, with
            commas between them.
        max_cells: most cells that a job may have.
        max_running: most jobs of one submitter that dispatchers run at once; any number when None.
    """

    model_config = SettingsConfigDict(env_prefix="RHOBUST_", env_ignore_empty=True, extra="ignore")

    url: str = DEFAULT_URL
    database_url: SecretStr | None = None
    data_dir: Path = Field(default_factory=_default_data_dir)
    ray_address: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    plugins: Annotated[tuple[PackageName, ...], NoDecode, BeforeValidator(_names)] = ()
    max_cells: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    max_running: Annotated[int, Field(ge=1)] | None = None

    @property
    def store_url(self) -> str:
        """URL of the store, as SQLAlchemy writes it; it may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.expanduser().absolute() / 'rhobust.db'}"

    @property
    def is_embedded(self) -> bool:
        """Whether the store is the embedded default, which is made when it is not there."""
        return self.database_url is None

    @property
    def log_dir(self) -> Path:
        """Folder of the logs of the drivers that ran on this host."""
        return self.data_dir.expanduser().absolute() / "logs"

    def log_path(self, job_id: str) -> Path:
        """Return the file that holds the log of a job's drivers."""
        return self.log_dir / f"{job_id}.log"
