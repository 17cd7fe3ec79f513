"""The file of settings in a user's folder; the environment goes before it."""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, TomlConfigSettingsSource

from benchmark.parsing import unknown_name


class ConfigurationError(Exception):
    """The file of settings is not one; the message says what to do."""


def configuration_path() -> Path:
    """Return where the file of settings is looked for; it need not be there."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "rhobust" / "config.toml"


class ConfigurationFile(TomlConfigSettingsSource):
    """What the file of settings says, without secrets that the environment gives in another way.

    Only the file of the user is read, and none in the working directory: a key must not go to the address that a
    folder of somebody else names.

    Args:
        settings_cls: whose fields the file may name.
        secrets: names of fields that `NAME_file` gives too.

    Raises:
        ConfigurationError: if the file cannot be read, is not TOML, or names an unknown setting.
    """

    def __init__(self, settings_cls: type[BaseSettings], secrets: tuple[str, ...]) -> None:
        self._secrets = secrets
        path = configuration_path()
        try:
            super().__init__(settings_cls, path)
        except OSError as error:
            raise ConfigurationError(f"the file of settings {path} cannot be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the file of settings {path} must be TOML, but {error}.") from error
        known = settings_cls.model_fields
        for name in self.toml_data:
            if name not in known:
                raise ConfigurationError(f"{path}: {unknown_name('setting', name, known)}")

    def __call__(self) -> dict[str, Any]:
        """Return the settings of the file."""
        values = super().__call__()
        for secret in self._secrets:
            names = (secret, f"{secret}_file")
            if any(name in self.current_state for name in names):
                values = {name: value for name, value in values.items() if name not in names}
        return values
