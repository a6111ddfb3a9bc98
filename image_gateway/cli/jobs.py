"""`image-gateway jobs`, and the commands `images import` and `images empty` that queue jobs."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from image_gateway.cli.progress import Terminal
from image_gateway.cli.remote import (
    EX_FAILED,
    EXIT_STATUSES,
    Gateway,
    gateway_options,
    one_line,
    print_json,
    print_table,
    with_retries,
)
from image_gateway.client.jobs import ACTIVE, JobsClient

WATCH_SECONDS = 1.0


@click.group(epilog=EXIT_STATUSES)
def jobs() -> None:
    """List, show, watch and cancel background jobs through a gateway."""


@jobs.command("list", epilog="Example: image-gateway jobs list 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10")
@click.argument("image_id")
@gateway_options
def list_jobs(image_id: str, gateway: Gateway, as_json: bool) -> None:
    """List the newest jobs of an image."""
    client = JobsClient(gateway.client())
    found = with_retries(lambda: client.list(image_id))
    if as_json:
        print_json({"jobs": found})
    else:
        print_table(("JOB", "KIND", "STATE", "DONE", "CREATED"), map(_row, found))


@jobs.command(epilog="Example: image-gateway jobs show 0a1b2c3d-0f6c-4f9f-9d0a-1f4b1c6f2f10")
@click.argument("job_id")
@gateway_options
def show(job_id: str, gateway: Gateway, as_json: bool) -> None:
    """Show a job."""
    client = JobsClient(gateway.client())
    _print_job(with_retries(lambda: client.job(job_id)), as_json)


@jobs.command(epilog="Example: image-gateway jobs cancel 0a1b2c3d-0f6c-4f9f-9d0a-1f4b1c6f2f10")
@click.argument("job_id")
@gateway_options
def cancel(job_id: str, gateway: Gateway, as_json: bool) -> None:
    """Cancel a job. If it was to make an image's disk, the image has failed."""
    client = JobsClient(gateway.client())
    _print_job(with_retries(lambda: client.cancel(job_id)), as_json)


@jobs.command(epilog="Example: image-gateway jobs watch 0a1b2c3d-0f6c-4f9f-9d0a-1f4b1c6f2f10")
@click.argument("job_id")
@gateway_options
def watch(job_id: str, gateway: Gateway, as_json: bool) -> None:
    """Show the progress of a job until it ends. The exit status is 1 unless the job was done."""
    job = follow(JobsClient(gateway.client()), job_id)
    _print_job(job, as_json)
    if job["state"] != "done":
        sys.exit(EX_FAILED)


@click.command("import", epilog="Example: image-gateway images import https://example.org/disk.qcow2.xz")
@click.argument("url")
@click.option("--name", help="Name of the image.  [default: the file name in the URL]")
@click.option("--format", "image_format", help="Format of the file, or auto.  [default: raw]")
@click.option("--sha256", help="SHA-256 of the file at the URL, in hex; the import fails if it differs.")
@click.option("--wait", is_flag=True, help="Show the progress until the image is complete.")
@gateway_options
def import_image(
    url: str,
    name: str | None,
    image_format: str | None,
    sha256: str | None,
    wait: bool,
    gateway: Gateway,
    as_json: bool,
) -> None:
    """Import an image from a URL. A worker of the gateway fetches it."""
    client = JobsClient(gateway.client())
    made = with_retries(lambda: client.import_url(url, name=name, format=image_format, sha256=sha256))
    finish(client, made, wait, as_json)


@click.command("empty", epilog="Example: image-gateway images empty 10737418240 --name data")
@click.argument("size", type=click.IntRange(512))
@click.option("--name", help="Name of the image.")
@click.option("--wait", is_flag=True, help="Show the progress until the image is complete.")
@gateway_options
def empty_image(size: int, name: str | None, wait: bool, gateway: Gateway, as_json: bool) -> None:
    """Create an all-zero disk of SIZE bytes, a multiple of 512."""
    client = JobsClient(gateway.client())
    finish(client, with_retries(lambda: client.make_empty(size, name)), wait, as_json)


def follow(client: JobsClient, job_id: str) -> dict[str, Any]:
    """Show progress on stderr until the job has ended, and return it."""
    job = with_retries(lambda: client.job(job_id))
    terminal = Terminal()
    while job["state"] in ACTIVE and job["bytesTotal"] is None:
        time.sleep(WATCH_SECONDS)
        job = with_retries(lambda: client.job(job_id))
    if job["state"] not in ACTIVE:
        return job
    done = job["bytesDone"]
    with terminal.bar(f"{job['kind']} {job_id[:8]}", job["bytesTotal"], done) as advance:
        while job["state"] in ACTIVE:
            time.sleep(WATCH_SECONDS)
            job = with_retries(lambda: client.job(job_id))
            advance(job["bytesDone"] - done)
            done = job["bytesDone"]
    return job


def follow_image(client: JobsClient, image_id: str) -> dict[str, Any]:
    """Show progress until an image has no active job, and return the last one."""
    while True:
        job: dict[str, Any] = with_retries(lambda: client.list(image_id))[0]
        if job["state"] not in ACTIVE:
            return job
        follow(client, job["jobId"])


def finish(client: JobsClient, made: dict[str, Any], wait: bool, as_json: bool) -> None:
    """Print a new image, or wait for its jobs: an import may be followed by a conversion."""
    image_id: str = made["imageId"]
    job = follow_image(client, image_id) if wait else made["job"]
    if as_json:
        print_json({"imageId": image_id, "job": job})
    else:
        click.echo(f"image {one_line(image_id)}\njob {one_line(job['jobId'])} {one_line(job['state'])}")
    if wait and job["state"] != "done":
        error = job.get("error", {})
        click.echo(f"image-gateway: {one_line(error.get('message'))}", err=True)
        sys.exit(EX_FAILED)


def _row(job: dict[str, Any]) -> list[object]:
    done = "-" if not job["bytesTotal"] else f"{100 * job['bytesDone'] // job['bytesTotal']} %"
    return [job["jobId"], job["kind"], job["state"], done, job["created"]]


def _print_job(job: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    for name, value in job.items():
        click.echo(f"{one_line(name) + ':':<12} {one_line(value)}")
