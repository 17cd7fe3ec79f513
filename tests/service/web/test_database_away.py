"""A server whose PostgreSQL crashes under it: whoever asks meanwhile is told to come again, and never of a fault."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.filling import small_spec
from tests.service.postgres import OwnPostgres, own_postgres
from tests.service.processes import server, until

pytestmark = pytest.mark.slow
JOBS = "/api/v1/jobs"
AWAY_S = 20.0


@pytest.fixture
def postgres() -> Iterator[OwnPostgres]:
    """A server that the test may crash."""
    with own_postgres() as opened:
        yield opened


def test_a_crash_of_postgresql_is_503_until_it_is_back_and_never_500(postgres: OwnPostgres, tmp_path: Path) -> None:
    seen: dict[str, list[int]] = {}

    with (
        server(tmp_path / "data", "--no-dispatcher", RHOBUST_DATABASE_URL=postgres.url) as url,
        httpx.Client(base_url=url, timeout=AWAY_S) as client,
    ):

        def ask(path: str) -> httpx.Response:
            response = client.get(path)
            seen.setdefault(path, []).append(response.status_code)
            if response.status_code != 200:
                assert response.headers["Content-Type"] == "application/problem+json"
                assert response.headers["Retry-After"]
                assert response.json()["status"] == response.status_code
            return response

        job = client.post(JOBS, json=small_spec()).json()
        paths = ("/readyz", JOBS, f"{JOBS}/{job['id']}")
        assert [ask(path).status_code for path in paths] == [200] * 3
        postgres.crash()
        until(lambda: {ask(path).status_code for path in paths} == {503}, "every call is told to wait", AWAY_S)
        away = client.post(JOBS, json=small_spec())
        assert (away.status_code, away.headers["Content-Type"]) == (503, "application/problem+json")
        assert client.get("/healthz").status_code == 200
        until(lambda: "rhobust_database_up 0.0" in client.get("/metrics").text, "a scrape tells of it", AWAY_S)
        postgres.start()
        until(lambda: {ask(path).status_code for path in paths} == {200}, "every call is answered again", AWAY_S)
        until(lambda: "rhobust_database_up 1.0" in client.get("/metrics").text, "a scrape tells of that too", AWAY_S)
        assert [one["id"] for one in ask(JOBS).json()["items"]] == [job["id"]], "nothing is lost, nothing half made"
        assert client.post(JOBS, json=small_spec()).status_code == 202
    assert {status for statuses in seen.values() for status in statuses} == {200, 503}
