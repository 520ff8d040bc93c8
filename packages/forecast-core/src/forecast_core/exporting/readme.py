"""The README of an exported folder: commands that work as they stand."""

from __future__ import annotations

import platform
from typing import Any

from forecast_core.exporting.describing import Subject, described_graph
from forecast_core.exporting.onnx_file import TOLERANCE
from forecast_core.exporting.tables import table

__all__ = ["readme"]

_CUDA = """\
On Linux the plain torch of PyPI brings CUDA libraries; point pip at a CPU build (`PIP_EXTRA_INDEX_URL` or
`PIP_FIND_LINKS`) where disk matters.
"""
_EXAMPLE = "`request.json` is an example whose numbers are made up."
_NO_EXAMPLE = "Put what `http://127.0.0.1:8080/openapi.json` describes into `request.json` first."


def readme(subject: Subject) -> str:
    """README.md: install, serve, ask, and the forecast without this SDK where there is an ONNX file."""
    name, ours = subject.name, " and ".join(f"`{each}`" for each in subject.ours)
    python = ".".join(platform.python_version_tuple()[:2])
    if subject.has_wheels:
        links, origin = " --find-links wheels", f"The wheels of {ours} are in `wheels/`."
    else:
        links = ""
        origin = (
            f"Where no index of pip's has {ours}, add `--find-links FOLDER` with a folder of their wheels."
        )
    return f"""\
# {name}

The model `{subject.manifest.spec_id}`, ready to be used. [MODEL_CARD.md](MODEL_CARD.md) says what it is;
`metadata.json` says it to programs.

## Install

With Python {python}, on Linux or macOS. {origin}
{_CUDA if "torch" in subject.packages else ""}
```sh
python3 -m venv .venv
.venv/bin/python -m pip install -r requirements.txt{links}
```

{_about_serving(subject)}## Without this SDK

{_about_onnx(subject)}"""


def _about_serving(subject: Subject) -> str:
    if not subject.is_served:
        return """\
## Use

Its task describes no request, so that it is not served. In Python, in that environment:
`forecast_core.load_model("model").predict(data)`.

"""
    return f"""\
## Serve

```sh
.venv/bin/forecast serve {subject.name}=model --port 8080
```

It listens on loopback only; beyond that it wants an API key (`FORECAST_API_KEY`). `--device` names another
place for networks to compute than they were saved for, such as `cpu` or `cuda`.

## Ask

{_EXAMPLE if subject.has_request else _NO_EXAMPLE} `client.py` needs the standard library alone.

```sh
python3 client.py request.json http://127.0.0.1:8080
```

In Python, in the environment of the server: `forecast_core.load_model("model").predict(data)`.

"""


def _about_onnx(subject: Subject) -> str:
    if subject.graph is None:
        return f"There is no ONNX file: {subject.without_graph}.\n"
    graph = described_graph(subject.graph)
    pins = " ".join(f"{name}=={version}" for name, version in subject.onnx_packages.items())
    titles = ("type", "axes", "holds")
    return f"""\
`onnx/model.onnx` takes numbers in the data's units and gives the forecast in them: scaling, missing values
and the calendar are inside. It was compared with torch, to {TOLERANCE:g} of the largest number. What
stands at which position (items, columns, levels) is in `metadata.json` under `graph.facts`; the numbers of
the scaling inside are in `onnx/arrays.npz`, for the reader.

```sh
python3 -m venv .venv-onnx
.venv-onnx/bin/python -m pip install {pins}
cd onnx
../.venv-onnx/bin/python predict.py
```

n, the number of windows, is free.

{table(("input", *titles), [_row(each) for each in graph["inputs"]])}
{table(("output", *titles), [_row(each) for each in graph["outputs"]])}"""


def _row(described: dict[str, Any]) -> tuple[str, ...]:
    sizes = ", ".join("n" if size is None else str(size) for size in described["shape"])
    axes = ", ".join(described["axes"])
    return f"`{described['name']}`", f"{described['dtype']} [{sizes}]", axes, str(described["meaning"])
