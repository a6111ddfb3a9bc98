"""Uploads a file as an image, with resume after interruptions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_gateway.client.answers import NewUpload, StoredPart, UploadStatus
from image_gateway.client.api import GatewayClient
from image_gateway.client.errors import ApiError, ClientError, FileChanged, PatienceOver
from image_gateway.client.files import FileFacts, FileSlice, Journal, Remembered, sha256_of
from image_gateway.client.retry import Retrier
from image_gateway.client.transfer import Counter, NullProgress, OnBytes, Progress
from image_gateway.client.upload_parts import PartPlan, Parts

UPLOAD_FILE_PATIENCE = 30.0


class Unfinished(ClientError):
    """An earlier upload of this unchanged file is unfinished; the caller resumes it or starts over."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"an upload of this file is unfinished: image {image_id}")
        self.image_id = image_id


@dataclass(frozen=True)
class Uploaded:
    """A finished upload; `sent` and `kept` count uploaded and already stored parts.

    The image is `complete`, or `processing` while the gateway converts what was uploaded.
    """

    image_id: str
    size: int
    etag: str
    sent: int
    kept: int
    sha256: str | None
    state: str = "complete"


class Uploading:
    """Upload of one file to one gateway; `image_id` is set while there is an upload to resume."""

    def __init__(
        self,
        client: GatewayClient,
        file: Path,
        *,
        retrier: Retrier,
        parallel: int,
        progress: Progress | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.image_id: str | None = None
        self._client, self._file, self._retrier, self._parallel = client, file, retrier, parallel
        self._progress = progress or NullProgress()
        self._journal = journal
        self._facts = FileFacts.of(file)

    def hash(self) -> str:
        """Return the file's SHA-256."""
        with self._progress.bar("hashing the file", self._facts.size) as on_bytes:
            source = FileSlice(self._file, 0, self._facts.size, stop=self._retrier.stop, on_bytes=on_bytes)
            with source:
                return sha256_of(source)

    def refuse_unfinished(self) -> None:
        """Raise Unfinished when the journal has an upload of the unchanged file."""
        remembered = self._recall()
        if remembered and remembered.facts == self._facts:
            raise Unfinished(remembered.image_id)

    def begin(
        self,
        *,
        name: str | None = None,
        kind: str | None = None,
        sha256: str | None = None,
        image_format: str | None = None,
    ) -> Uploaded:
        """Upload the file as a new image; an earlier unfinished upload is aborted."""
        self._abandon_remembered()
        upload = self._retrier.call(
            lambda: self._client.create_image(
                name=name,
                kind=kind,
                format=image_format,
                sizeBytes=self._facts.size,
                sha256=sha256,
                filename=self._file.name,
            )
        )
        self._remember(upload)
        return self._finish(upload, (), sha256)

    def resume(self, image_id: str | None = None, *, sha256: str | None = None) -> Uploaded:
        """Resume the upload of `image_id`; by default the one in the journal.

        Raises:
            FileChanged: The file changed after the upload started.
            ClientError: There is no upload to resume.
        """
        remembered = self._recall(image_id)
        if remembered:
            image_id = remembered.image_id
        if image_id is None:
            raise ClientError(
                f"no unfinished upload of {self._file} is known here: give its id with --resume IMAGE_ID, "
                "or start one without --resume"
            )
        if remembered and remembered.facts != self._facts:
            raise FileChanged(
                f"{self._file} has changed since the upload of image {image_id} started: "
                "it cannot be resumed; start over with --new"
            )
        self.image_id = image_id
        try:
            status = self._retrier.call(lambda: self._client.upload_status(image_id))
        except ApiError as error:
            return self._finish_completed(image_id, error)
        self._check_declared(status, sha256)
        self._remember(status.upload)
        return self._finish(status.upload, status.parts, sha256 or status.sha256)

    def _finish(self, upload: NewUpload, stored: tuple[StoredPart, ...], sha256: str | None) -> Uploaded:
        plan = PartPlan(self._facts.size, upload.part_size)
        parts = Parts(self._client, upload, self._file, plan, retrier=self._retrier, parallel=self._parallel)
        self._keep(parts, stored)
        kept = len(parts.etags)
        with self._progress.bar("uploading parts", plan.size, parts.bytes_there()) as on_bytes:
            parts.send(on_bytes)
        self._refuse_a_changed_file()
        answer = self._complete(upload, parts.etags)
        return _uploaded(upload.image_id, answer, sent=plan.count - kept, kept=kept, sha256=sha256)

    def _complete(self, upload: NewUpload, etags: dict[int, str]) -> dict[str, Any]:
        try:
            answer = self._retrier.call(lambda: self._client.complete(upload, etags))
        except ApiError as error:
            # INVALID_STATE means that the upload was completed or aborted; a wrong part list is BAD_REQUEST.
            if error.code == "INVALID_STATE":
                self._forget()
            raise
        self._forget()
        return answer

    def _keep(self, parts: Parts, stored: tuple[StoredPart, ...]) -> None:
        fitting = parts.of_right_size(stored)
        if fitting:
            with self._progress.bar("checking stored parts", sum(part.size for part in fitting)) as on_bytes:
                parts.keep(fitting, on_bytes)
            self._progress.say(f"{len(parts.etags)} of {parts.plan.count} parts are already in the store")

    def _check_declared(self, status: UploadStatus, sha256: str | None) -> None:
        if status.size is not None and status.size != self._facts.size:
            raise FileChanged(
                f"the upload was declared to be of {status.size} bytes, {self._file} has {self._facts.size}: "
                "it cannot be resumed; start over with --new"
            )
        if status.sha256 and sha256 and status.sha256.lower() != sha256:
            raise FileChanged(
                f"SHA-256 mismatch: the upload was declared with another than that of {self._file}; "
                "start over with --new"
            )

    def _refuse_a_changed_file(self) -> None:
        if FileFacts.of(self._file) != self._facts:
            raise FileChanged(
                f"{self._file} was changed while it was uploaded: the image was not completed; "
                "start over with --new"
            )

    def _finish_completed(self, image_id: str, error: ApiError) -> Uploaded:
        """Return the result when an earlier run completed the upload but died before the response."""
        if error.code != "INVALID_STATE":
            if not isinstance(error, PatienceOver):
                self.image_id = None
            raise error
        record = self._retrier.call(lambda: self._client.image(image_id))
        self._forget()
        if record.get("state") != "complete" or record.get("size") != self._facts.size:
            raise ClientError(
                f"the upload of image {image_id} is over ({record.get('state')}): start over with --new"
            ) from error
        self._progress.say(f"image {image_id} is complete already")
        return _uploaded(image_id, record, sent=0, kept=0, sha256=record.get("sha256"))

    def _remember(self, upload: NewUpload) -> None:
        self.image_id = upload.image_id
        if self._journal:
            facts = self._facts
            self._journal.write(
                Remembered(
                    self._client.base_url, upload.image_id, upload.upload_id, facts.size, facts.mtime_ns
                )
            )

    def _recall(self, image_id: str | None = None) -> Remembered | None:
        """Return the file's upload from the journal, if it is that of `image_id` or `image_id` is None."""
        remembered = self._journal.read() if self._journal else None
        return remembered if remembered and image_id in (None, remembered.image_id) else None

    def _forget(self) -> None:
        """Delete the journal entry."""
        self.image_id = None
        if self._journal:
            self._journal.forget()

    def _abandon_remembered(self) -> None:
        remembered = self._recall()
        if remembered is None:
            return
        try:
            self._client.abort_upload(remembered.image_id)
        except ApiError as error:
            # The gateway's sweeper aborts idle uploads.
            self._progress.say(f"aborting the earlier upload of image {remembered.image_id} failed: {error}")


def upload_file(client: GatewayClient, file: Path, *, parallel: int, on_bytes: OnBytes) -> Uploaded:
    """Upload a file as a new image and complete it; `on_bytes` is called with each number of bytes sent."""
    uploading = Uploading(
        client, file, retrier=Retrier(UPLOAD_FILE_PATIENCE), parallel=parallel, progress=Counter(on_bytes)
    )
    return uploading.begin()


def _uploaded(image_id: str, answer: dict[str, Any], *, sent: int, kept: int, sha256: str | None) -> Uploaded:
    state = answer.get("state", "complete")
    return Uploaded(image_id, answer["size"], answer["etag"], sent, kept, sha256, state)
