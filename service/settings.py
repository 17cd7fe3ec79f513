"""Settings: what the environment and the file of settings say, read when asked and not on import."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from benchmark.folders import data_home
from service.configuration import ConfigurationFile
from service.webhooks.targets import AllowList

DEFAULT_PORT = 8321
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"


def _allow_list(value: str | AllowList) -> AllowList:
    return AllowList.parse(value) if isinstance(value, str) else value


def _content(path: object) -> str:
    """Return the secret in a file, without the line end that editors put behind it."""
    try:
        secret = Path(str(path)).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ValueError(f"the file {path} cannot be read: {reason}.") from None
    if not secret:
        raise ValueError(f"the file {path} must hold a secret, but it is empty.")
    return secret


def _listed(names: object) -> object:
    """Return the names of a list with commas."""
    return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else names


def _origin(url: str) -> str:
    """Return the address of a server without a slash at its end, or raise ValueError."""
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise ValueError(f"it must be the address of a server such as https://rhobust.example.org, but got {url!r}.")
    return url.rstrip("/")


PublicUrl = Annotated[str, Field(max_length=500), AfterValidator(_origin)]
SecretFile = Annotated[SecretStr, BeforeValidator(_content)]
SECRETS = ("api_key", "database_url")
PackageName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=200)]


class Settings(BaseSettings):
    """Settings of every role, from variables with the prefix `RHOBUST_`, and below these from the file of settings.

    Attributes:
        url: of the server that clients talk to.
        api_key: that the client sends.
        insecure_http: whether it may send it unencrypted to another machine.
        database_url: of the results store; SQLite in the data folder when empty.
        data_dir: folder of the database and the logs.
        ray_address: of a Ray cluster; empty starts a local Ray for each job.
        log_level: of our own messages on stderr.
        log_format: of all messages on stderr: text for people, JSON lines for programs.
        plugins: names of the installed packages whose optimizers and tasks specs may name; in the variable, with
            commas between them.
        max_cells: most cells that a job may have.
        webhook_allow: where webhooks may lead, as `service.webhooks.targets` reads it; nowhere when empty.
        public_url: of the server as people reach it, to whose pages messages of webhooks link; none where unset.
        max_queued: most queued jobs of one API key.
        max_requests_per_s: most requests a second of one API key, or of one address without any, to one API process.
        allowed_hosts: names, besides those of loopback and of the address it listens on, under which a server answers.
        api_key_file, database_url_file: files that hold these secrets, which are then read from there.
        max_running: most jobs of one submitter that dispatchers run at once; any number when None.
    """

    model_config = SettingsConfigDict(env_prefix="RHOBUST_", env_ignore_empty=True, extra="ignore")

    url: str = DEFAULT_URL
    api_key: SecretStr | None = None
    api_key_file: SecretFile | None = None
    insecure_http: bool = False
    database_url: SecretStr | None = None
    database_url_file: SecretFile | None = None
    data_dir: Path = Field(default_factory=data_home)
    ray_address: str | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    plugins: Annotated[tuple[PackageName, ...], NoDecode, BeforeValidator(_listed)] = ()
    max_cells: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    webhook_allow: Annotated[AllowList, NoDecode, BeforeValidator(_allow_list)] = AllowList()
    public_url: PublicUrl | None = None
    max_running: Annotated[int, Field(ge=1)] | None = None
    max_queued: Annotated[int, Field(ge=1)] = 100
    max_requests_per_s: Annotated[float, Field(gt=0, le=1e6)] = 50.0
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()

    @classmethod
    def settings_customise_sources(  # noqa: D102  (the contract is pydantic's)
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, ConfigurationFile(settings_cls, SECRETS)

    @model_validator(mode="after")
    def _take_secrets_from_files(self) -> Self:
        for name in SECRETS:
            from_file = getattr(self, f"{name}_file")
            if from_file is None:
                continue
            if getattr(self, name) is not None:
                variable = f"RHOBUST_{name.upper()}"
                raise ValueError(f"only one of {variable} and {variable}_FILE may be set, but both are.")
            setattr(self, name, from_file)
        return self

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

    @property
    def rendered_dir(self) -> Path:
        """Folder of tables and figures that took long to compute; whatever is in it may be deleted."""
        return self.data_dir.expanduser().absolute() / "rendered"

    def log_path(self, job_id: str) -> Path:
        """Return the file that holds the log of a job's drivers."""
        return self.log_dir / f"{job_id}.log"
