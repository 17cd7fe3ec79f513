"""A real server, driven with keys in every place where one could put them: none of them is in its log."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from service.client import Client
from service.keys import Scope, new_key
from service.store import Store
from tests.service.filling import small_spec
from tests.service.processes import answers, environment, free_port, rhobust, running, until

pytestmark = pytest.mark.slow
JOBS = "/api/v1/jobs"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=rhobust", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


@pytest.fixture(params=["text", "json"])
def logged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str, Path, Path]]:
    """URL, admin key, data folder and log of a server of each form of log that tells all it can."""
    data_dir, log, port = tmp_path / "data", tmp_path / "log", free_port()
    variables = {"RHOBUST_LOG_LEVEL": "DEBUG", "RHOBUST_LOG_FORMAT": request.param}
    env = environment(data_dir, **variables)
    made = rhobust("keys", "create", "admin", "--scope", "admin", env=env)
    assert made.returncode == 0, made.stderr
    with running("serve", "--port", str(port), "--no-dispatcher", env=env, log=log):
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url), "the server is ready")
        yield url, made.stdout.strip(), data_dir, log


def test_no_key_is_in_the_log_wherever_it_was_sent(logged: tuple[str, str, Path, Path]) -> None:
    url, admin, data_dir, log = logged
    wrong, expired = new_key(), new_key()
    keys = (admin, wrong, expired)
    with Store.open(f"sqlite:///{data_dir / 'rhobust.db'}") as store:
        store.add_key(expired, "expired", Scope.READ, expires_in_s=1e-6)
    with Client(url, api_key=admin) as client:
        client.submit(small_spec())
    with httpx.Client(base_url=url) as http:
        bearer = {"Authorization": f"Bearer {admin}"}
        made = http.post("/api/v1/keys", json={"label": "x"}, headers=bearer).json()["key"]
        session = http.post("/session", json={"key": made}).headers["Set-Cookie"].split("=")[1].split(";")[0]
        for key in (*keys, made, session):
            http.get(JOBS, headers={"Authorization": f"Bearer {key}"})
            http.get(JOBS, headers={"Authorization": key, "Cookie": f"rhobust_session={key}"})
            http.get(JOBS, params={"api_key": key, "text": key}, headers=bearer)
            http.get(f"/{key}", headers={**bearer, "X-Request-ID": key, "User-Agent": key, "Referer": key})
            http.get(f"{JOBS}/{key}", headers=bearer)
            http.get(JOBS, headers={"Host": f"{key}.example"})
            http.post(JOBS, content=key, headers={**bearer, "Content-Type": "application/json"})
            http.post("/session", json={"key": key, key: key})
            http.post("/api/v1/keys", json={"label": key, key: key}, headers=bearer)
            http.request(f"GET{key[:5]}", JOBS, headers=bearer)
        until(lambda: http.get("/healthz").is_success and log.read_text().count("/keys") >= 4, "it is in the log", 20)
    text = log.read_text()
    for secret in (*keys, made, session):
        assert secret[15:] not in text
    assert admin[4:14] in text, "who it was is"
    for process in psutil.process_iter(["cmdline"]):
        assert not any(key[15:] in " ".join(process.info["cmdline"] or ()) for key in keys)
    for path in data_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(key[15:].encode() in content for key in (*keys, made, session)), path


def test_others_reach_a_server_with_a_key_alone_and_over_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    data_dir, log, port = tmp_path / "data", tmp_path / "log", free_port()
    env = environment(data_dir)
    arguments = ("serve", "--host", "0.0.0.0", "--port", str(port), "--no-dispatcher")  # noqa: S104  (with a key)
    refused = rhobust(*arguments, env=env)
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "rhobust keys create LABEL --scope admin" in refused.stderr
    path = tmp_path / "key"
    assert rhobust("db", "upgrade", "--admin-key-file", str(path), env=env).returncode == 0
    tls = ("--ssl-certfile", str(certificate[0]), "--ssl-keyfile", str(certificate[1]))
    url = f"https://127.0.0.1:{port}"
    trusted = ssl.create_default_context(cafile=certificate[0])
    with running(*arguments, *tls, env=env, log=log), httpx.Client(base_url=url, verify=trusted) as http:

        def is_ready() -> bool:
            try:
                return http.get("/readyz").is_success
            except httpx.TransportError:
                return False

        until(is_ready, "the server is ready")
        assert f"https://0.0.0.0:{port}" in log.read_text()
        assert http.get(JOBS).status_code == 401
        bearer = {"Authorization": f"Bearer {path.read_text().strip()}"}
        answer = http.get(JOBS, headers=bearer)
        assert answer.status_code == 200
        named = http.get(JOBS, headers={**bearer, "Host": "bench.example"})
        assert (named.status_code, "RHOBUST_ALLOWED_HOSTS" in named.json()["detail"]) == (421, True)
