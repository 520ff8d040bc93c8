"""`forecast serve`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import typer

from forecast_core.cli.options import DEVICE
from forecast_core.cli.output import JSON
from forecast_core.errors import ConfigError

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add `serve`."""
    app.command("serve")(serve)


def serve(
    artifacts: list[str] = typer.Argument(
        help="Folders of saved models, or MODEL@ALIAS of the registry; NAME=... to serve as NAME.",
        metavar="ARTIFACT...",
    ),
    host: str = typer.Option("127.0.0.1", help="Interface to listen on; any but loopback needs an API key."),
    port: int = typer.Option(8080, min=0, max=65535, help="Port to listen on; 0 takes a free one."),
    api_key_file: Path = typer.Option(
        None, help="File of accepted API keys, one a line; default: the key in FORECAST_API_KEY, if any."
    ),
    uri: str = typer.Option(
        "sqlite:///mlflow.db", envvar="FORECAST_MLFLOW_URI", help="MLflow's server or database, for aliases."
    ),
    device: str = DEVICE,
    insecure: bool = typer.Option(False, "--insecure", help="Listen beyond loopback without an API key."),
    reload_seconds: float = typer.Option(
        2.0, min=0.0, help="How often folders are looked at for a new model; 0: never."
    ),
    max_body: int = typer.Option(8 * 2**20, min=1, help="Bytes a request's body may have."),
    max_wait: float = typer.Option(
        0.2, min=0.001, help="Seconds a request may be expected to wait before it is refused."
    ),
    max_streams: int = typer.Option(10_000, min=0, help="Streams that are kept at a time."),
    as_json: bool = JSON,
) -> None:
    """Serve saved models over REST until interrupted; what is served where is said once it listens."""
    import forecast_core.serving as serving
    from forecast_core.serving.sources import Registry, source_of

    @cache
    def registry() -> Registry:
        from forecast_core.tracking import ModelRegistry

        return ModelRegistry(uri)

    run, sources = serving.serve, {}
    for text in artifacts:
        name, source = source_of(text, registry, device=device)
        if name in sources:
            raise ConfigError("ARTIFACT", "have distinct names", got=repr(name), hint="give NAME=FOLDER")
        sources[name] = source

    def announce(address: str) -> None:
        if as_json:
            typer.echo(json.dumps({"address": address, "models": list(sources)}))
        else:
            typer.echo(f"serving {', '.join(sources)} on {address}")

    run(
        sources,
        host=host,
        port=port,
        keys=serving.ApiKeys.find(api_key_file),
        insecure=insecure,
        limits=serving.Limits(max_body=max_body, max_wait=max_wait, max_streams=max_streams),
        reload_seconds=reload_seconds,
        announce=announce,
    )
