from pathlib import Path

import httpx
import pytest

from service.build import build
from service.doctor.findings import warning
from service.store import Store, downgrade
from tests.service.conftest import BACKENDS
from tests.service.serving import serving

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_dispatcher_is_a_warning_and_one_is_told(web: httpx.Client, store: Store) -> None:
    assert "rhobust worker" in web.get("/readyz").json()["warnings"][0]
    store.report_dispatcher("d1", "host", 42, "0.1.0", {"cpus": 2})
    ready = web.get("/readyz").json()
    assert ready["warnings"] == []
    assert [one["id"] for one in ready["dispatchers"]] == ["d1"]


def test_a_database_that_is_away_is_503_everywhere_and_never_500(database_url: str) -> None:
    with Store.open(database_url) as store, serving(store) as url:
        Path(database_url.removeprefix("sqlite:///")).unlink()
        store.close()  # its pool would keep the deleted file open
        for path in ("/readyz", "/api/v1/jobs", "/api/v1/jobs/x"):
            response = httpx.get(url + path)
            assert response.status_code == 503, response.text
            assert response.headers["Retry-After"]
        assert httpx.get(url + "/healthz").status_code == 200


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_schema_is_503_with_what_is_wrong(own_database_url: str) -> None:
    with Store.open(own_database_url) as store, serving(store) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200
        downgrade(own_database_url, "0001")
        response = httpx.get(f"{url}/readyz")
    assert (response.status_code, response.headers["Content-Type"]) == (503, "application/problem+json")
    assert "is at revision 0001" in response.json()["detail"]
    assert "rhobust db upgrade" in response.json()["detail"]


def test_a_disk_that_is_nearly_full_is_a_warning(web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.web.health.disk", lambda settings: warning("disk", "0.5 GiB are free.", "Free some."))
    ready = web.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["warnings"][-1] == "0.5 GiB are free. Free some."


def test_the_version_says_what_is_running(web: httpx.Client) -> None:
    assert web.get("/version").json() == build().to_dict()
