"""The compose file: what is reached from where, and commands that there are."""

from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from service.cli.main import app

DOCKER = Path(__file__).parents[1] / "docker"
ROLES = ("migrate", "api", "worker")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return dict(document["services"])


def test_only_the_api_is_published_and_that_on_loopback(services: dict[str, Any]) -> None:
    assert all("network_mode" not in service for service in services.values())
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "api": ["127.0.0.1:8321:8321"]
    }


def test_the_key_is_where_it_is_made_and_nowhere_else(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "keys:/keys" in service["volumes"]] == ["migrate"]
    assert "/data /keys" in (DOCKER / "Dockerfile").read_text(), "a new volume takes its owner from the image"
    assert services["api"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("role", ROLES)
def test_every_command_of_a_service_is_one_of_ours(services: dict[str, Any], role: str) -> None:
    command: Any = typer.main.get_command(app)
    arguments = list(services[role]["command"])
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    with command.make_context(role, arguments) as context:
        given = {name: value for name, value in context.params.items() if value not in (None, False)}
    if role == "api":
        assert (given["host"], given["port"], context.params["dispatcher"]) == ("0.0.0.0", 8321, False)  # noqa: S104
    if role == "migrate":
        assert given["admin_key_file"] == Path("/keys/admin")
