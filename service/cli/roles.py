"""Commands that start a role: server, dispatcher, a run without a server, the demonstration."""

import ipaddress
import logging
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from service.cli.output import Output, OutputOption, ViewOption
from service.environment import bind, check_certificate, check_ray, open_store
from service.settings import DEFAULT_PORT, Settings
from service.telemetry import set_up_logging

logger = logging.getLogger("rhobust.serve")
Cpus = Annotated[int | None, typer.Option("--cpus", min=1, help="CPUs that a local Ray offers; all by default.")]
SharedCpus = Annotated[
    int | None, typer.Option("--cpus", min=1, help="CPUs that the jobs share; all of this machine by default.")
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Jobs to run at once; they split the CPUs.")]
Parent = Annotated[int | None, typer.Option("--parent", hidden=True, help="Process with which to end.")]
SpecPath = Annotated[Path, typer.Argument(help="A spec, as YAML or JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (serve, worker, run, demo):
        app.command(rich_help_panel="Servers and runs")(command)


def _root_path(path: str) -> str:
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise typer.BadParameter(f"it must be like /rhobust, but got {path!r}.")
    return path


def _proxies(addresses: str | None) -> str | None:
    for address in addresses.split(",") if addresses is not None else ():
        try:
            ipaddress.ip_network(address.strip(), strict=False)
        except ValueError:
            raise typer.BadParameter(f"a proxy is named by its IP address or network, but got {address!r}.") from None
    return addresses


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than of loopback needs an API key to exist.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    dispatcher: Annotated[bool, typer.Option(help="Whether to run jobs as well as to accept them.")] = True,
    jobs: Jobs = 1,
    cpus: SharedCpus = None,
    ssl_certfile: Annotated[Path | None, typer.Option(help="Certificate of TLS, as PEM.")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Its key, where that is another file.")] = None,
    root_path: Annotated[str, typer.Option(callback=_root_path, help="Path under which a proxy serves us.")] = "",
    proxy: Annotated[
        str | None, typer.Option(callback=_proxies, help="Addresses of proxies whose forwarded headers are believed.")
    ] = None,
    parent: Parent = None,
) -> None:
    """Start the server: API, dashboard, and a dispatcher that runs the jobs, or several."""
    _end_with(parent)
    from benchmark import load_plugins  # what only this command needs takes seconds to load
    from service.serve import Front, require_key
    from service.serve import serve as serve_until_stopped

    settings = Settings()
    shares = _shares(jobs, cpus, settings) if dispatcher else []
    set_up_logging(settings)
    load_plugins(settings.plugins)
    if dispatcher:
        check_ray(settings)
    if ssl_certfile is not None:
        check_certificate(ssl_certfile, ssl_keyfile)
    elif ssl_keyfile is not None:
        raise typer.BadParameter("--ssl-keyfile needs --ssl-certfile.")
    front = Front(host=host, certificate=ssl_certfile, certificate_key=ssl_keyfile, root_path=root_path, proxies=proxy)
    with open_store(settings) as store:
        require_key(store, settings, front)
        with bind(host, port) as listener:
            name, number = listener.getsockname()[:2]
            url = f"{'https' if ssl_certfile else 'http'}://{f'[{name}]' if ':' in name else name}:{number}"
            _announce(f"Rhobust serves {url} from {settings.data_dir}; Ctrl-C stops it.", settings)
            serve_until_stopped(store, settings, listener, front=front, shares=shares)


def _announce(message: str, settings: Settings) -> None:
    """Tell people something as it is, and programs in the form of all messages."""
    if settings.log_format == "json":
        logger.info(message)
    else:
        typer.echo(message, err=True)


def worker(jobs: Jobs = 1, cpus: SharedCpus = None, parent: Parent = None) -> None:
    """Start a dispatcher alone, or several: they claim queued jobs and run them."""
    _end_with(parent)
    from benchmark import load_plugins
    from service.cli.foreground import stop_on_signals
    from service.jobs import Dispatcher
    from service.keeping import keep_until_stopped

    settings = Settings()
    shares = _shares(jobs, cpus, settings)
    set_up_logging(settings)
    load_plugins(settings.plugins)
    check_ray(settings)
    with open_store(settings) as store:
        if jobs > 1:  # a driver is started from the main thread of its dispatcher, so each has a process of its own
            keep_until_stopped(shares)
            return
        dispatcher = Dispatcher(store, settings, n_cpus=cpus)
        stop_on_signals(dispatcher)
        dispatcher.run()


def run(spec: SpecPath, output: OutputOption = Output.TABLE, cpus: Cpus = None, view: ViewOption = None) -> None:
    """Run a spec without a server, and print its robustness table. What is recorded already is not trained again."""
    from service.cli.foreground import run_here

    run_here(spec, output=output, n_cpus=cpus, view=view)


def demo(
    spec: Annotated[Path, typer.Argument(help="A spec, as YAML or JSON.")] = Path("examples/quickstart.yaml"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the server.")] = DEFAULT_PORT,
) -> None:
    """Start a server, submit a spec, show its progress and its table; at a terminal the server goes on until Ctrl-C."""
    from service.cli.demo import demonstrate

    raise typer.Exit(demonstrate(spec, port))


def _shares(jobs: int, cpus: int | None, settings: Settings) -> list[int | None]:
    """Return the CPUs of each dispatcher's local Ray, None for all of them; those of a cluster are Ray's to split."""
    if jobs == 1 or settings.ray_address:
        return [cpus] * jobs
    from service.keeping import cpu_shares

    n_cpus = cpus or os.cpu_count() or 1
    if jobs > n_cpus:
        raise typer.BadParameter(
            f"each of the jobs must have a CPU, but got --jobs {jobs} for {n_cpus}: ask for fewer jobs, or for more "
            "CPUs with --cpus."
        )
    return [*cpu_shares(jobs, n_cpus)]


def _end_with(parent: int | None) -> None:
    if parent is not None:
        from service.jobs.child import end_with_parent

        end_with_parent(parent)
