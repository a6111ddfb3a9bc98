"""The least that a JSON route costs: Flask and nothing else."""

from __future__ import annotations

from flask import Flask, Response, jsonify

TARGET = "/bare"

app = Flask(__name__, static_folder=None)


@app.get(TARGET)
def answer() -> Response:
    return jsonify(ok=True)
