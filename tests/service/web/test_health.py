from pathlib import Path

import httpx
import pytest

from service.store import Store
from tests.service.conftest import BACKENDS
from tests.service.serving import serving


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
