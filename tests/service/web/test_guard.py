import httpx
import pytest

from service.web.guard import MAX_BODY_BYTES


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/jobs", "/nowhere", "/static/style.css"])
def test_every_answer_has_an_id_and_headers_that_browsers_heed(web: httpx.Client, path: str) -> None:
    response = web.get(path)
    assert response.headers["X-Request-ID"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy


def test_a_request_id_is_kept_if_it_is_one(web: httpx.Client) -> None:
    assert web.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    assert web.get("/healthz", headers={"X-Request-ID": "a b<script>"}).headers["X-Request-ID"] != "a b<script>"


@pytest.mark.parametrize(
    ("host", "status"), [("localhost", 200), ("127.0.0.1:9", 200), ("[::1]:80", 200), ("evil.example", 421)]
)
def test_only_known_hosts_are_answered(web: httpx.Client, host: str, status: int) -> None:
    assert web.get("/healthz", headers={"Host": host}).status_code == status


def test_another_sites_page_may_not_write(web: httpx.Client) -> None:
    url = "/api/v1/jobs/x/cancel"
    assert web.post(url, headers={"Origin": "http://evil.example"}).status_code == 403
    assert web.post(url, headers={"Origin": "null"}).status_code == 403
    own = str(web.base_url).rstrip("/")
    assert web.post(url, headers={"Origin": own}).status_code == 404, "the guard lets our own page through"


def test_nothing_of_the_api_is_cached_by_a_browser(web: httpx.Client) -> None:
    assert web.get("/api/v1/jobs").headers["Cache-Control"] == "no-store"
    assert "max-age" in web.get("/assets/plotly.min.js").headers["Cache-Control"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_large_body_is_a_problem_whatever_it_is_sent_with(web: httpx.Client, method: str) -> None:
    response = web.request(method, "/api/v1/jobs", content=b" " * (MAX_BODY_BYTES + 1))
    assert response.status_code == 413
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/jobs", "GET, HEAD, POST"),
        ("/api/v1/jobs/x", "DELETE, GET, HEAD"),
        ("/api/v1/webhooks/x", "DELETE, GET, HEAD, PATCH"),
        ("/api/v1/jobs/x/pause", "POST"),
    ],
)
def test_who_uses_another_method_is_told_all_that_there_are(web: httpx.Client, path: str, methods: str) -> None:
    response = web.put(path, json={})
    assert response.status_code == 405
    assert response.headers["Allow"] == methods
