import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.build import build
from service.store import Store, UnavailableError
from service.web.metrics import Metrics, StoreCollector
from tests.service.conftest import BACKENDS
from tests.service.filling import mixed, run_made_up, small_spec, submit
from tests.service.processes import until

ROOT = Path(__file__).parents[3]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Return the values of a scrape by name and labels; a malformed one does not parse."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def scrape(web: httpx.Client) -> Samples:
    response = web.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(response.text)


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scrape_has_what_the_store_holds(web: httpx.Client, store: Store) -> None:
    run_made_up(store, submit(store), mixed)
    submit(store, small_spec(name="waiting"))
    store.report_dispatcher("d1", "host", 42, "0.1.0", {"cpus": 2})
    found = scrape(web)
    assert found["rhobust_database_up", labels()] == 1
    assert {state: found["rhobust_jobs", labels(state=state)] for state in ("queued", "running", "completed")} == {
        "queued": 1,
        "running": 0,
        "completed": 1,
    }
    assert found["rhobust_cells", labels(status="completed", reused="false")] == 8
    assert found["rhobust_cells", labels(status="diverged", reused="false")] == 4
    assert found["rhobust_cells", labels(status="completed", reused="true")] == 0
    assert found["rhobust_oldest_queued_job_age_seconds", labels()] >= 0
    assert found["rhobust_cells_per_second", labels()] == 0
    assert found["rhobust_dispatchers_alive", labels()] == 1
    assert found["rhobust_webhook_deliveries_pending", labels(tried="false")] == 0
    assert found["rhobust_webhook_deliveries_pending", labels(tried="true")] == 0
    assert found["rhobust_oldest_due_webhook_delivery_age_seconds", labels()] == 0
    assert found["rhobust_webhook_deliveries_given_up", labels()] == 0


def test_requests_are_counted_by_method_route_and_status(web: httpx.Client) -> None:
    for number in range(3):
        web.get(f"/api/v1/jobs/none{number}")
        web.get(f"/nowhere/{number}")
    counted = labels(method="GET", route="/api/v1/jobs/{job_id}", status="404")

    def is_counted() -> bool:  # a request is counted once its answer has been sent
        return scrape(web).get(("rhobust_http_requests_total", counted)) == 3

    until(is_counted, "three requests are counted", 10.0)
    found = scrape(web)
    assert found["rhobust_http_requests_total", labels(method="GET", route="other", status="404")] == 3
    assert found["rhobust_http_answer_seconds_count", labels(method="GET", route="/api/v1/jobs/{job_id}")] == 3
    assert found["rhobust_http_requests_in_flight", labels()] == 1, "the scrape itself"
    assert not [name for name, told in found if any("none" in value or "nowhere" in value for _, value in told)]


def test_a_scrape_has_the_process_and_the_build(web: httpx.Client) -> None:
    found = scrape(web)
    assert found["process_resident_memory_bytes", labels()] > 1e6
    facts = {name: value or "" for name, value in build().to_dict().items()}
    assert found["rhobust_build_info", labels(**facts)] == 1


def test_two_apps_count_apart(store: Store) -> None:
    one, other = Metrics(store), Metrics(store)
    one.count_request("GET", "/x", 200, 0.1)
    counted = ("rhobust_http_requests_total", labels(method="GET", route="/x", status="200"))
    assert samples(one.text().decode())[counted] == 1
    assert counted not in samples(other.text().decode())


class Counted:
    """A store that counts how often it is asked, and may be slow or away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.n_asked = 0
        self.is_away = False
        self.may_answer = threading.Event()
        self.may_answer.set()

    def census(self, alive_within_s: float) -> object:
        self.n_asked += 1
        assert self.may_answer.wait(30.0)
        if self.is_away:
            raise UnavailableError("away")
        return self._store.census(alive_within_s)


@pytest.fixture
def counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    counted = Counted(store)
    yield counted
    counted.may_answer.set()


def up(collector: StoreCollector) -> float:
    return next(collector.collect()).samples[0].value


def test_a_storm_of_scrapes_reads_the_database_once(counted: Counted) -> None:
    collector = StoreCollector(counted)  # type: ignore[arg-type]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: up(collector), range(200))) == [1.0] * 200
    assert counted.n_asked == 1


def test_a_slow_database_is_waited_for_by_one(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.web.metrics.KEPT_S", 0.0)
    collector = StoreCollector(counted)  # type: ignore[arg-type]
    assert up(collector) == 1.0
    counted.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(up, collector)
        until(lambda: counted.n_asked == 2, "one reads", 10.0)
        assert up(collector) == 1.0, "another takes what is known"
        assert not slow.done()
        counted.is_away = True
        counted.may_answer.set()
        assert slow.result() == 0.0


def test_a_database_that_comes_back_is_up_again(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.web.metrics.KEPT_S", 0.0)
    collector = StoreCollector(counted)  # type: ignore[arg-type]
    seen = []
    for counted.is_away in (False, True, False):
        seen.append(up(collector))
    assert seen == [1.0, 0.0, 1.0]


def test_without_its_database_a_server_still_tells_of_itself(
    web: httpx.Client, store: Store, database_url: str
) -> None:
    Path(database_url.removeprefix("sqlite:///")).unlink()
    store.close()  # its pool would keep the deleted file open
    found = scrape(web)
    assert found["rhobust_database_up", labels()] == 0
    assert found["process_resident_memory_bytes", labels()] > 0
    assert not [name for name, _ in found if name in ("rhobust_jobs", "rhobust_cells")]


def test_the_documentation_and_the_alerts_name_the_metrics_that_there_are(store: Store) -> None:
    metrics = Metrics(store)
    metrics.count_request("GET", "/x", 200, 0.1)
    families = list(text_string_to_metric_families(metrics.text().decode()))
    exposed = {sample.name for family in families for sample in family.samples}
    told = set(re.findall(r"`(rhobust_\w+)`", (ROOT / "docs/operating.md").read_text(encoding="utf-8")))
    of_histograms = {f"{name}{end}" for name in told for end in ("", "_bucket", "_count", "_sum")}
    ours = {name for name in exposed if name.startswith("rhobust_") and not name.endswith("_created")}
    assert ours <= of_histograms
    assert told <= {name.removesuffix("_count") for name in exposed}
    rules = yaml.safe_load((ROOT / "examples/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    used = {name for rule in rules for name in re.findall(r"rhobust_\w+", rule["expr"])}
    assert used
    assert used <= exposed
    labels_of = {sample.name: sample.labels for family in families for sample in family.samples}
    for rule in rules:
        for name, matchers in re.findall(r"(rhobust_\w+)\{(.*?)\}", rule["expr"]):
            assert set(re.findall(r"(\w+)=", matchers)) <= labels_of[name].keys()
        assert rule["annotations"]["summary"]
