"""What a fault means: for all clients, for one of them, and for pages whose origin nobody gave."""

from __future__ import annotations

import pytest

from image_gateway.domain.findings import Finding, Severity
from image_gateway.url_check.clients import CLIENTS, Client, UrlKind
from image_gateway.url_check.codes import CODES, NOBODY, Fault, Tried
from image_gateway.url_check.report import UrlReport, Verdict, make_report


def report_on(
    *faults: Fault,
    subject: str = "ranges",
    client: str | None = None,
    page_counts: bool = True,
    kind: UrlKind = UrlKind.FILE,
) -> UrlReport:
    tried = [Tried(subject, "a read", faults=faults), Tried("HEAD", "answer", "HTTP 200")]
    return make_report(
        kind,
        tried,
        client=client,
        page_counts=page_counts,
        facts={"Size": "9 bytes"},
        requests=2,
        bytes_read=9,
        hide=lambda text: text,
    )


def findings(report: UrlReport) -> list[Finding]:
    return [finding for check in report.checks for finding in check.findings]


def verdicts(report: UrlReport) -> dict[str, Verdict]:
    return {each.client: each.verdict for each in report.verdicts}


def test_a_finding_names_whom_it_breaks() -> None:
    report = report_on(Fault("head-refused", "HTTP 405"))
    (finding,) = findings(report)
    assert finding == Finding(
        "head-refused",
        Severity.BROKEN,
        "HTTP 405",
        CODES["head-refused"].why,
        CODES["head-refused"].remedy,
        ("sqljs", "qemu"),
    )
    found = verdicts(report)
    assert {name for name, verdict in found.items() if verdict is Verdict.BREAKS} == {"sqljs", "qemu"}
    assert found["tinyemu"] is found["infinite-mac"] is Verdict.NOT_FOR_IT
    assert found["v86"] is found["aria2"] is Verdict.WORKS


def test_one_client_hears_only_of_what_concerns_it() -> None:
    refused = Fault("head-refused", "HTTP 405")
    report = report_on(refused, client="v86")
    assert findings(report) == []
    assert report.checks[0].skipped == "head-refused does not concern v86"
    assert verdicts(report) == {"v86": Verdict.WORKS}
    assert [finding.severity for finding in findings(report_on(refused, client="qemu"))] == [Severity.BROKEN]


def test_a_fault_that_concerns_some_clients_only_does_not_harm_the_others() -> None:
    hidden = Fault("cors-not-exposed", "the page cannot see content-range", frozenset({"v86", "webvm"}))
    report = report_on(hidden, subject="CORS")
    assert findings(report)[0].breaks == ("v86", "webvm")
    assert verdicts(report)["sqljs"] is Verdict.WORKS
    (finding,) = findings(report_on(Fault("cors-not-exposed", "etag", NOBODY), subject="CORS"))
    assert (finding.severity, finding.breaks) == (Severity.WARNING, ())


def test_a_slow_client_works() -> None:
    report = report_on(Fault("redirect", "1 redirect"))
    assert [finding.severity for finding in findings(report)] == [Severity.WARNING]
    assert {verdicts(report)[name] for name in ("v86", "qemu", "browser")} == {Verdict.SLOW}
    assert report.verdicts[0].because == "sends two requests for each read [redirect]"


def test_pages_of_other_origins_count_if_somebody_asks_for_them() -> None:
    fault = Fault("cors-origin-missing", "Access-Control-Allow-Origin is absent")
    report = report_on(fault, subject="CORS", page_counts=False)
    assert findings(report) == []
    assert report.checks[0].skipped == "cors-origin-missing concerns pages of other origins, see --origin"
    found = verdicts(report)
    assert {found[name] for name in ("v86", "webvm", "sqljs", "browser")} == {Verdict.OWN_ORIGIN}
    assert found["qemu"] is found["aria2"] is Verdict.WORKS
    asked = report_on(fault, subject="CORS")
    assert findings(asked)[0].breaks == ("v86", "webvm", "sqljs", "browser")
    assert verdicts(asked)["qemu"] is Verdict.WORKS


def test_what_is_right_by_the_standards_is_a_finding_for_its_client_only() -> None:
    fault = Fault("content-encoding-identity", "Content-Encoding is 'identity'")
    assert findings(report_on(fault)) == []
    assert verdicts(report_on(fault))["webvm"] is Verdict.BREAKS
    assert [finding.code for finding in findings(report_on(fault, client="webvm"))] == [fault.code]


def test_a_code_is_told_once() -> None:
    tried = [Tried("ranges", f"read {at}", faults=(Fault("no-ranges", f"at {at}"),)) for at in (5, 9)]
    report = make_report(
        UrlKind.FILE, tried, client=None, page_counts=True, facts={}, requests=2, bytes_read=0, hide=str
    )
    assert [finding.what for finding in findings(report)] == ["at 5"]
    assert report.checks[1].skipped == "no-ranges as above"


def test_a_client_is_not_said_to_work_without_reserve_if_the_check_ended_early() -> None:
    tried = [Tried("ranges", "all", skipped="budget-exhausted", is_unfinished=True)]
    report = make_report(
        UrlKind.FILE, tried, client="qemu", page_counts=True, facts={}, requests=1, bytes_read=0, hide=str
    )
    assert report.verdicts[0].because == "as far as it was tried"


@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda client: client.name)
def test_clients_have_reasons_for_known_codes(client: Client) -> None:
    known = {**client.breaks, **client.slows}
    assert known.keys() | client.warns <= CODES.keys()
    assert all(known.values())
    assert not client.breaks.keys() & client.slows.keys()
    # What breaks a client is broken for everybody, unless only some of its instances break it.
    partly = {"etag-missing", "cors-credentials-wildcard", "content-encoding-identity"}
    assert {code for code in client.breaks if CODES[code].severity is Severity.WARNING} <= partly
