"""A file becomes an image, in one go or after any number of interruptions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_gateway.client.answers import NewUpload, StoredPart, UploadStatus
from image_gateway.client.api import GatewayClient
from image_gateway.client.errors import ApiError, ClientError, FileChanged, PatienceOver
from image_gateway.client.file_slices import FileFacts, FileSlice, PartPlan, sha256_of
from image_gateway.client.progress import NullProgress, Progress
from image_gateway.client.resume_files import Journal, Remembered
from image_gateway.client.retry import Retrier
from image_gateway.client.upload_parts import Parts


class Unfinished(ClientError):
    """An earlier upload of this very file is unfinished; the caller chooses between it and a new one."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"an upload of this file is unfinished: image {image_id}")
        self.image_id = image_id


@dataclass(frozen=True)
class Uploaded:
    """A complete image, and how many of its parts were sent and how many were there."""

    image_id: str
    size: int
    etag: str
    sent: int
    kept: int
    sha256: str | None


class Uploading:
    """Uploads one file through one gateway; `image_id` names what can be resumed, when there is something."""

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
        """Raise Unfinished when an upload of the unchanged file is remembered."""
        remembered = self._recall()
        if remembered and remembered.facts == self._facts:
            raise Unfinished(remembered.image_id)

    def begin(
        self, *, name: str | None = None, kind: str | None = None, sha256: str | None = None
    ) -> Uploaded:
        """Upload the file as a new image; one that was begun before is thrown away."""
        self._abandon_remembered()
        upload = self._retrier.call(
            lambda: self._client.create_image(
                name=name, kind=kind, sizeBytes=self._facts.size, sha256=sha256, filename=self._file.name
            )
        )
        self._remember(upload)
        return self._finish(upload, (), sha256)

    def resume(self, image_id: str | None = None, *, sha256: str | None = None) -> Uploaded:
        """Go on with the upload of `image_id`, or with the remembered one.

        Raises FileChanged when the file is not the one that the upload began with.
        """
        remembered = self._recall(image_id)
        if remembered:
            image_id = remembered.image_id
        if image_id is None:
            raise ClientError(
                f"no unfinished upload of {self._file} is remembered here: name it with --resume IMAGE_ID, "
                "or begin one without --resume"
            )
        if remembered and remembered.facts != self._facts:
            raise FileChanged(
                f"{self._file} has changed since the upload of image {image_id} began: "
                "it cannot go on; begin anew with --new"
            )
        self.image_id = image_id
        try:
            status = self._retrier.call(lambda: self._client.upload_status(image_id))
        except ApiError as error:
            return self._settle(image_id, error)
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
            # A list of parts that is wrong is BAD_REQUEST; this is the end of the upload.
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
            self._progress.say(f"{len(parts.etags)} of {parts.plan.count} parts are in the store already")

    def _check_declared(self, status: UploadStatus, sha256: str | None) -> None:
        if status.size is not None and status.size != self._facts.size:
            raise FileChanged(
                f"the upload was declared to be of {status.size} bytes, {self._file} has {self._facts.size}: "
                "it cannot go on; begin anew with --new"
            )
        if status.sha256 and sha256 and status.sha256.lower() != sha256:
            raise FileChanged(
                f"the upload was declared with another SHA-256 than {self._file} has: begin anew with --new"
            )

    def _refuse_a_changed_file(self) -> None:
        if FileFacts.of(self._file) != self._facts:
            raise FileChanged(
                f"{self._file} was changed while it was uploaded: the image was not completed; "
                "begin anew with --new"
            )

    def _settle(self, image_id: str, error: ApiError) -> Uploaded:
        """Answer as done when the upload was completed by a run that did not live to hear it."""
        if error.code != "INVALID_STATE":
            if not isinstance(error, PatienceOver):
                self.image_id = None
            raise error
        record = self._retrier.call(lambda: self._client.image(image_id))
        self._forget()
        if record.get("state") != "complete" or record.get("size") != self._facts.size:
            raise ClientError(
                f"the upload of image {image_id} is over ({record.get('state')}): begin anew with --new"
            ) from error
        self._progress.say(f"image {image_id} was complete already")
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
        """Return what is remembered of the file's upload, of that of `image_id` if one is named."""
        remembered = self._journal.read() if self._journal else None
        return remembered if remembered and image_id in (None, remembered.image_id) else None

    def _forget(self) -> None:
        """Nothing is left to resume."""
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
            # The gateway collects what is left alone.
            self._progress.say(f"image {remembered.image_id}, begun before, is left to the gateway: {error}")


def _uploaded(image_id: str, answer: dict[str, Any], *, sent: int, kept: int, sha256: str | None) -> Uploaded:
    return Uploaded(image_id, answer["size"], answer["etag"], sent, kept, sha256)
