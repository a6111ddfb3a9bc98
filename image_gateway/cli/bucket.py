"""`image-gateway bucket`: the bucket's set-up."""

from __future__ import annotations

import sys

import click

from image_gateway.app import store_address
from image_gateway.cli.remote import one_line
from image_gateway.serving.environment import read_settings
from image_gateway.storage.bucket import BucketSetup, Outcome, Step
from image_gateway.storage.client import StoreClients


@click.group()
def bucket() -> None:
    """Look after the bucket that S3_BUCKET names."""


@bucket.command(epilog="Example: CORS_ALLOW_ORIGIN=https://app.example.com image-gateway bucket init")
def init() -> None:
    """Create the bucket if it is missing, set CORS and the clean-up rule, and verify both for real.

    CORS lets pages of CORS_ALLOW_ORIGIN PUT parts and read ETag. What the store does not support is
    said and passed over; the exit status is 1 when a step failed.
    """
    settings = read_settings()
    setup = BucketSetup(StoreClients(store_address(settings)), settings.cors_allow_origin)
    steps = list(map(print_step, setup.run()))
    if any(step.outcome is Outcome.FAILED for step in steps):
        sys.exit(1)


def print_step(step: Step) -> Step:
    """Print a step that has ended, and hand it back."""
    mark = {Outcome.DONE: "ok  ", Outcome.UNSUPPORTED: "--  ", Outcome.FAILED: "FAIL"}[step.outcome]
    detail = step.detail if step.outcome is Outcome.DONE else f"{step.outcome}: {step.detail}"
    click.echo(one_line(f"{mark} {step.name}" + (f" ({detail})" if detail else "")))
    return step
