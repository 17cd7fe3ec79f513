"""Entity tags and 304, over HTTP."""

import re
from typing import Any

import httpx
import pytest

from service.states import JobState
from service.store import Job, Store
from service.web import conditional
from tests.service.filling import run_made_up, submit

pytestmark = pytest.mark.slow
OF_RESULTS = (
    "/table",
    "/table?format=csv",
    "/table?format=md",
    "/table?format=tex",
    "/table?view=equal_gradient_evaluations",
    "/surface",
    "/surface?split=validation",
    "/slices",
    "/tuning",
    "/figures/heatmap?format=json",
    "/figures/heatmap?format=json&optimizer=sam",
)
OF_PAGES = ("/records", "/records?page_size=7", "/records?curves=true", "/records?optimizer=sam")
OF_FILES = (
    "/records?format=csv",
    "/records?format=parquet",
    "/records?format=parquet&status=completed",
)


@pytest.fixture
def job(store: Store) -> Job:
    """A completed job."""
    return run_made_up(store, submit(store))


def url_of(job: Job) -> str:
    return f"/api/v1/jobs/{job.id}"


def again(web: httpx.Client, url: str, tag: str) -> httpx.Response:
    return web.get(url, headers={"If-None-Match": tag})


def test_every_representation_of_what_is_finished_has_a_tag_of_its_own(web: httpx.Client, job: Job) -> None:
    tags = []
    for path in ("", *OF_RESULTS, *OF_PAGES, *OF_FILES):
        url = url_of(job) + path
        first = web.get(url)
        assert first.status_code == 200, first.text
        tag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "private, no-cache", path
        is_strong = path in OF_RESULTS + OF_PAGES
        assert re.fullmatch(r'"[0-9a-f]{32}(-gzip)?"' if is_strong else r'W/"[0-9a-f]+"', tag)
        second = again(web, url, tag)
        assert (second.status_code, second.content) == (304, b"")
        for name in ("ETag", "Cache-Control", "Vary"):
            assert second.headers.get(name) == first.headers.get(name), "304 has the headers that a cache needs"
        assert web.head(url).headers["ETag"] == tag
        assert again(web, url, '"another"').content == first.content
        tags.append(tag)
    assert len(set(tags)) == len(tags)
    assert web.get(url_of(job) + "/records", headers={"Accept": "text/csv"}).headers["ETag"] == tags[-3]


@pytest.mark.parametrize("accept", ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1"])
@pytest.mark.parametrize("path", ["/table", "/table?format=csv", "/surface", "/records"])
def test_who_takes_gzip_gets_it_under_a_tag_of_its_own(web: httpx.Client, job: Job, path: str, accept: str) -> None:
    url = url_of(job) + path
    plain = web.get(url, headers={"Accept-Encoding": "identity"})
    packed = web.get(url, headers={"Accept-Encoding": accept})

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) == len(plain.content)
    assert packed.content == plain.content, "what is unpacked"
    assert packed.headers["ETag"] == plain.headers["ETag"][:-1] + '-gzip"'
    assert all("Accept-Encoding" in one.headers["Vary"] for one in (plain, packed))
    same = web.get(url, headers={"Accept-Encoding": accept, "If-None-Match": packed.headers["ETag"]})
    assert same.status_code == 304
    assert "Content-Encoding" not in same.headers


@pytest.mark.parametrize("accept", ["", "identity", "br", "gzip;q=0", "gzip;q=0.0, *", "gzip;q=nonsense", "x-gzip"])
def test_who_does_not_say_that_it_takes_gzip_gets_none(web: httpx.Client, job: Job, accept: str) -> None:
    response = web.get(url_of(job) + "/table", headers={"Accept-Encoding": accept})
    assert response.status_code == 200
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ("*", 304),
        ("{tag}", 304),
        ('"x", {tag}', 304),
        ('W/"x",{tag}, "y"', 304),
        ("{weak}", 304),
        ('"x"', 200),
        ("", 200),
        ("nonsense", 200),
        ('W/"', 200),
        ("\x80", 200),
    ],
)
def test_which_tags_match(web: httpx.Client, job: Job, wanted: str, status: int) -> None:
    url = url_of(job) + "/table"
    tag = web.get(url).headers["ETag"]
    value = wanted.format(tag=tag, weak=f"W/{tag}").encode("latin-1")
    assert web.get(url, headers={b"If-None-Match": value}).status_code == status


def test_the_tag_of_a_job_is_its_revision_in_every_state(web: httpx.Client, store: Store) -> None:
    job = submit(store)

    def look() -> httpx.Response:
        response = web.get(url_of(job))
        assert response.headers["ETag"] == f'W/"{response.json()["revision"]}"'
        assert again(web, url_of(job), response.headers["ETag"]).status_code == 304
        return response

    queued = look()
    run_made_up(store, job, state=None)
    running = look()
    assert again(web, url_of(job), queued.headers["ETag"]).status_code == 200
    assert running.headers["Cache-Control"] == "no-store", "a browser would show an old heartbeat"
    store.finish(job.id, 1, JobState.COMPLETED)
    assert look().headers["Cache-Control"] == "private, no-cache"


def test_records_that_may_still_come_have_no_tag(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store), n=5, state=None)
    for path in ("/records", "/records?format=csv"):
        response = web.get(url_of(job) + path)
        assert "ETag" not in response.headers
        assert response.headers["Cache-Control"] == "no-store"


def test_a_job_that_goes_on_has_other_tags(web: httpx.Client, store: Store) -> None:
    job = run_made_up(store, submit(store), n=5, state=JobState.CANCELLED)
    before = {path: web.get(url_of(job) + path).headers["ETag"] for path in ("", "/table", "/records")}
    store.retry(job.id)
    run_made_up(store, job)
    for path, tag in before.items():
        assert again(web, url_of(job) + path, tag).status_code == 200


def test_a_tag_helps_nobody_to_what_is_gone(web: httpx.Client, store: Store, job: Job) -> None:
    tags = {path: web.get(url_of(job) + path).headers["ETag"] for path in ("", "/table", "/records?format=csv")}
    store.delete(job.id)
    for path, tag in tags.items():
        assert again(web, url_of(job) + path, tag).status_code == 404


def test_a_table_of_seconds_follows_what_is_measured(web: httpx.Client, store: Store, job: Job) -> None:
    """It needs measurements, which come without the job: a refusal is not kept, and neither is a table."""
    url = f"{url_of(job)}/table?view=equal_seconds"
    assert [web.get(url).status_code for _ in range(2)] == [422, 422]
    assert "ETag" not in web.get(url).headers


def test_after_an_upgrade_nothing_is_taken_for_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    before: Any = conditional.tag_of("job", 7)
    assert conditional.tag_of("job", 7) == before
    monkeypatch.setattr(conditional, "_source", lambda: "another")
    assert conditional.tag_of("job", 7) != before


def test_a_browser_asks_again_for_our_scripts_before_it_uses_them(web: httpx.Client) -> None:
    first = web.get("/static/page.js")
    again = web.get("/static/page.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert first.headers["Cache-Control"] == again.headers["Cache-Control"] == "no-cache"
