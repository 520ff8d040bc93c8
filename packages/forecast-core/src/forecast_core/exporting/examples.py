"""Programs that an exported folder brings along: a client of its server, and a user of its ONNX file."""

from __future__ import annotations

__all__ = ["client", "onnx_example"]

_CLIENT = '''\
"""Ask the served model: python client.py [REQUEST.json] [http://127.0.0.1:8080]"""

import json
import os
import sys
import urllib.error
import urllib.request

request = sys.argv[1] if len(sys.argv) > 1 else "request.json"
server = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8080"
headers = {"Content-Type": "application/json"}
if os.environ.get("FORECAST_API_KEY"):
    headers["X-API-Key"] = os.environ["FORECAST_API_KEY"]
with open(request, "rb") as file:
    question = urllib.request.Request(f"{server}/models/{NAME}/predict", file.read(), headers)
try:
    with urllib.request.urlopen(question, timeout=60) as answer:
        forecast = json.load(answer)
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code}: {error.read().decode()}")
print(json.dumps(forecast, indent=2))
'''

_ONNX = '''\
"""Forecast with numpy and onnxruntime alone: python predict.py, in this folder."""

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
example = np.load("example.npz")
inputs = {each.name: example[each.name] for each in session.get_inputs()}
names = [each.name for each in session.get_outputs()]
for name, value in zip(names, session.run(names, inputs)):
    wanted = example[f"expected_{name}"]
    print(name, value.shape, "differs by", np.abs(value - wanted).max(), "from", np.abs(wanted).max())
'''


def client(name: str) -> str:
    """A Python program of the standard library alone that asks for a forecast of the model `name`."""
    return _CLIENT.replace("{NAME}", name)


def onnx_example() -> str:
    """A Python program that runs the ONNX file on its examples and tells how far it is from torch."""
    return _ONNX
