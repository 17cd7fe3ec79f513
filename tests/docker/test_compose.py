"""The compose file: what is reached from where, who knows which secret, and commands that there are."""

from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from service.cli.commands import app

DOCKER = Path(__file__).parents[2] / "docker"
OF_RHOBUST = ("migrate", "api", "worker")
OF_RAY = ("ray-head", "ray-node", "ray-gpu-node")
Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def services(document: dict[str, Any]) -> Services:
    return dict(document["services"])


def users(services: Services, key: str, value: str) -> set[str]:
    """Return the services that list a value under a key."""
    return {name for name, service in services.items() if value in service.get(key, ())}


def test_only_the_api_is_published_and_that_on_loopback(document: dict[str, Any], services: Services) -> None:
    assert set(services) == {"postgres", *OF_RHOBUST, *OF_RAY}
    assert all("network_mode" not in service and "expose" not in service for service in services.values())
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "api": ["127.0.0.1:8321:8321"]
    }
    assert users(services, "networks", "front") == {"api"}
    assert document["networks"] == {"front": None, "database": {"internal": True}, "ray": {"internal": True}}


def test_ray_and_the_database_are_reached_by_whom_they_serve(services: Services) -> None:
    assert users(services, "networks", "ray") == users(services, "secrets", "ray_token") == {"worker", *OF_RAY}
    assert users(services, "networks", "database") == {"postgres", *OF_RHOBUST}
    assert users(services, "secrets", "database_url") == set(OF_RHOBUST)
    assert users(services, "secrets", "postgres_password") == {"postgres"}
    for name in ("worker", *OF_RAY):
        environment = services[name]["environment"]
        assert environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"  # noqa: S105  (where it is)
        assert environment["RHOBUST_RAY_ADDRESS"] == "ray-head:6379"


def test_the_key_is_where_it_is_made_and_nowhere_else(services: Services) -> None:
    assert users(services, "volumes", "keys:/keys") == {"migrate"}
    assert "/data /keys" in (DOCKER / "Dockerfile").read_text(), "a new volume takes its owner from the image"


def test_no_container_of_ours_can_change_itself_or_gain_a_right(services: Services) -> None:
    for name in (*OF_RHOBUST, *OF_RAY):
        service = services[name]
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108  (of the container)
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
    assert "\nUSER rhobust\n" in (DOCKER / "Dockerfile").read_text()


def test_each_service_starts_when_what_it_needs_is_there(services: Services) -> None:
    def needs(name: str) -> dict[str, str]:
        return {on: how["condition"].removeprefix("service_") for on, how in services[name]["depends_on"].items()}

    assert needs("migrate") == {"postgres": "healthy"}
    assert needs("api") == {"migrate": "completed_successfully"}
    assert needs("worker") == {"migrate": "completed_successfully", "ray-head": "healthy"}
    assert needs("ray-node") == needs("ray-gpu-node") == {"ray-head": "healthy"}
    assert services["ray-gpu-node"]["profiles"] == ["gpu"]
    assert services["ray-gpu-node"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", OF_RHOBUST)
def test_every_command_of_a_service_is_one_of_ours(services: Services, name: str) -> None:
    command: Any = typer.main.get_command(app)
    arguments = list(services[name]["command"])
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    with command.make_context(name, arguments) as context:
        given = {key: value for key, value in context.params.items() if value not in (None, False)}
    if name == "api":
        assert (given["host"], given["port"], context.params["dispatcher"]) == ("0.0.0.0", 8321, False)  # noqa: S104
    if name == "migrate":
        assert given["admin_key_file"] == Path("/keys/admin")
