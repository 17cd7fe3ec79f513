"""Many clients at once with the same keys, against a server as a process: one job a key, and no fault."""

import random
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from service.store import JobQuery, Store
from tests.service.filling import landscape_spec
from tests.service.processes import server

pytestmark = pytest.mark.slow
JOBS = "/api/v1/jobs"
N_KEYS, N_POSTS, N_CLIENTS = 100, 10, 100
N_TORN = 20  # keys under which two bodies are sent


class Answer(NamedTuple):
    """What a client was told."""

    key: str
    name: str
    status: int
    document: Mapping[str, Any]


@pytest.mark.parametrize("backend", [pytest.param("sqlite", marks=pytest.mark.long), "postgresql"])
def test_each_of_many_keys_makes_one_job_however_often_and_with_whatever_it_is_sent(
    store: Store, own_database_url: str, tmp_path: Path
) -> None:
    posts = [
        (f"key-{number}", "other" if number < N_TORN and repetition % 2 else "one")
        for number in range(N_KEYS)
        for repetition in range(N_POSTS)
    ]
    random.Random(6).shuffle(posts)  # noqa: S311  (an order, not a secret)
    with (
        server(tmp_path / "data", "--no-dispatcher", RHOBUST_DATABASE_URL=own_database_url) as url,
        httpx.Client(base_url=url, timeout=60.0, limits=httpx.Limits(max_connections=N_CLIENTS)) as client,
        ThreadPoolExecutor(N_CLIENTS) as clients,
    ):

        def post(pair: tuple[str, str]) -> Answer:
            key, name = pair
            response = client.post(JOBS, json={**landscape_spec(), "name": name}, headers={"Idempotency-Key": key})
            return Answer(key, name, response.status_code, response.json())

        answers = list(clients.map(post, posts))
    assert {answer.status for answer in answers} == {200, 202, 422}
    made = {answer.key: answer for answer in answers if answer.status == 202}
    assert Counter(answer.status for answer in answers)[202] == len(made) == N_KEYS, "one of them makes the job"
    for answer in answers:
        mine = made[answer.key]
        assert (answer.status == 422) == (answer.name != mine.name), "another body is refused, the same is not"
        if answer.status == 422:
            assert answer.document["detail"] == f"the idempotency key '{answer.key}' was used before with another body."
        else:
            assert answer.document["id"] == mine.document["id"]
    with Store.open(own_database_url) as store:
        jobs = store.jobs(JobQuery(limit=N_KEYS + 1))
    assert {job.id: job.name for job in jobs} == {one.document["id"]: one.name for one in made.values()}
    assert len(jobs) == N_KEYS
