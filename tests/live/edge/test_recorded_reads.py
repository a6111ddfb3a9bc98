"""A recorded boot through nginx: each read is in the gateway's log, also of what nginx has in its cache."""

from __future__ import annotations

import json
import uuid

import urllib3

from tests.live.edge.conftest import DATA, Pair

READS = [(0, 100), (0, 100), (500, 700), (0, 100)]


def ranges_in_log(pair: Pair, lease_id: str) -> list[tuple[int, int]]:
    lines = [json.loads(line) for line in pair.gateway.process.log.read_text().splitlines() if line[0] == "{"]
    own = [line for line in lines if line.get("lease") == lease_id and "range_start" in line]
    return [(line["range_start"], line["range_stop"]) for line in own]


def test_reads_that_nginx_could_answer_are_recorded(pair: Pair) -> None:
    owner = f"user-{uuid.uuid4()}"
    image_id = pair.make_image(owner)
    plain = pair.post("/v1/leases", owner, imageId=image_id)
    recorded = pair.post("/v1/leases", owner, imageId=image_id, record=True)
    for lease in (plain, recorded):
        for start, stop in READS:
            url = f"{pair.edge.url}/v1/l/{lease['token']}/disk.img"
            answer = urllib3.request("GET", url, headers={"Range": f"bytes={start}-{stop - 1}"})
            assert (answer.status, answer.data) == (206, DATA[start:stop])
    pair.gateway.process.wait_until(
        lambda: len(ranges_in_log(pair, recorded["leaseId"])) == len(READS), seconds=10
    )
    assert sorted(ranges_in_log(pair, recorded["leaseId"])) == sorted(READS)
    assert ranges_in_log(pair, plain["leaseId"]) == []
