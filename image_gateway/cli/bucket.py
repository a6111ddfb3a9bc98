"""`image-gateway bucket`: bucket configuration."""

from __future__ import annotations

import sys

import click

from image_gateway.cli.remote import one_line
from image_gateway.components import store_address
from image_gateway.serving.environment import read_settings
from image_gateway.storage.bucket import BucketSetup, Outcome, Step
from image_gateway.storage.client import StoreClients


@click.group()
def bucket() -> None:
    """Configure the bucket named by S3_BUCKET."""


@bucket.command(epilog="Example: CORS_ALLOW_ORIGIN=https://app.example.com image-gateway bucket init")
def init() -> None:
    """Create the bucket if it is missing, set and verify CORS and the lifecycle rule.

    CORS lets pages of CORS_ALLOW_ORIGIN upload parts and read ETag. Steps that the store does not support are
    reported and skipped. The exit status is 1 if a step failed.
    """
    settings = read_settings()
    setup = BucketSetup(StoreClients(store_address(settings)), settings.cors_allow_origin)
    steps = list(map(print_step, setup.run()))
    if any(step.outcome is Outcome.FAILED for step in steps):
        sys.exit(1)


def print_step(step: Step) -> Step:
    """Print the result of a step and return the step."""
    mark = {Outcome.DONE: "ok  ", Outcome.UNSUPPORTED: "--  ", Outcome.FAILED: "FAIL"}[step.outcome]
    detail = step.detail if step.outcome is Outcome.DONE else f"{step.outcome}: {step.detail}"
    click.echo(one_line(f"{mark} {step.name}" + (f" ({detail})" if detail else "")))
    return step
