"""The manifests in deploy/kubernetes, as their schemas, the code and the Dockerfile want them."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from image_gateway.cli.main import cli
from image_gateway.serving.lifecycle import DRAIN_SECONDS
from image_gateway.settings import Settings
from tests.support.kustomize import Document, containers_of
from tests.support.manifests import (
    EXAMPLE,
    OBJECTS,
    ROOT,
    WORKLOADS,
    find,
    labels_of,
    name_of,
    number_of_bytes,
    pod_of,
    selects,
)

# The oldest version with all fields that are used, and the newest with a schema.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]


@pytest.mark.parametrize("document", OBJECTS, ids=name_of)
def test_the_schemas_of_kubernetes_accept(document: Document) -> None:
    if document["kind"] == "ServiceMonitor":
        assert document["apiVersion"] == "monitoring.coreos.com/v1"
        return
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_a_field_that_is_misspelt() -> None:
    misspelt = {**find("Deployment"), "spec": {**find("Deployment")["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(misspelt, VERSIONS[-1], strict=True)


def test_kubectl_builds_what_the_tests_check() -> None:
    """The other tests need no kubectl: they check what tests/support/kustomize.py builds."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed, and neither Debian nor PyPI have a current one")
    built = subprocess.run(
        [kubectl, "kustomize", str(EXAMPLE)], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    [suffix, other] = {
        suffix
        for suffix in re.findall(r"name: image-gateway(-[a-z0-9]{10})$", built, re.MULTILINE)
        if any(character.isdigit() for character in suffix)
    }
    documents = yaml.safe_load_all(built.replace(suffix, "").replace(other, ""))
    assert {name_of(document): document for document in documents} == {
        name_of(document): document for document in OBJECTS
    }


@pytest.mark.parametrize("document", WORKLOADS, ids=name_of)
def test_pods_have_no_rights(document: Document) -> None:
    pod = pod_of(document)
    user, group = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.M)[-1]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(group),
        "fsGroup": int(group),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["automountServiceAccountToken"] is False
    assert find("ServiceAccount", pod["serviceAccountName"])["automountServiceAccountToken"] is False
    # Variables of services, such as EDGE_PORT of a service `edge`, would be taken for settings.
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all("emptyDir" in volume for volume in pod.get("volumes", []))
    for container in containers_of(document):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


@pytest.mark.parametrize("document", WORKLOADS, ids=name_of)
def test_containers_run_commands_that_exist_with_all_settings(document: Document) -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    version = setup["metadata"]["version"]
    for container in containers_of(document):
        kind = "image-gateway-worker" if container["name"] == "worker" else "image-gateway"
        assert container["image"] == f"registry.example.com/{kind}:{version}"
        assert container["envFrom"] == [
            {"configMapRef": {"name": "image-gateway"}}, {"secretRef": {"name": "image-gateway"}},
        ]  # fmt: skip
        program, *arguments = container["command"]
        assert program == "image-gateway"
        parse(cli, arguments)


def parse(group: click.Command, arguments: list[str]) -> None:
    """Parse a command line without running it; UsageError for what does not exist."""
    context = group.make_context("image-gateway", list(arguments))
    if isinstance(group, click.Group):
        _, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        parse(command, rest)


def test_the_worker_has_qemu_and_memory_for_its_jobs(settings: Settings) -> None:
    assert re.search(r" AS worker\n[^$]*qemu-utils", (ROOT / "Dockerfile").read_text())
    [container] = pod_of(find("Deployment", "image-gateway-worker"))["containers"]
    job = number_of_bytes("160Mi")
    assert number_of_bytes(container["resources"]["limits"]["memory"]) > settings.worker_concurrency * job * 2


def test_probes_ask_routes_that_exist_at_the_port_that_is_served(
    gateway: Document, settings: Settings
) -> None:
    routes = yaml.safe_load((ROOT / "openapi.yaml").read_text())["paths"]
    ports = {port["name"]: port["containerPort"] for port in gateway["ports"]}
    assert ports == {"http": settings.port, "metrics": settings.metrics_port}
    asked = {name: gateway[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {get["port"] for get in asked.values()} == {"http"}
    assert {get["path"] for get in asked.values()} <= routes.keys()
    # A pod is not restarted because the database is away.
    assert [get["path"] for get in asked.values()] == ["/healthz", "/healthz", "/readyz"]


def test_a_pod_is_given_time_to_finish_its_answers(gateway: Document, settings: Settings) -> None:
    pause = gateway["lifecycle"]["preStop"]["sleep"]["seconds"]
    readiness = gateway["readinessProbe"]
    assert pause >= readiness["periodSeconds"] * readiness["failureThreshold"]
    least = pause + DRAIN_SECONDS + settings.graceful_timeout_seconds
    assert pod_of(find("Deployment"))["terminationGracePeriodSeconds"] > least


def test_no_pod_ends_before_its_successor_is_ready(gateway: Document) -> None:
    assert find("Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "replicas" not in find("Deployment")["spec"]
    scaler = find("HorizontalPodAutoscaler")["spec"]
    assert scaler["minReplicas"] >= 2
    assert scaler["scaleTargetRef"]["name"] == find("Deployment")["metadata"]["name"]
    assert scaler["metrics"][0]["containerResource"]["container"] == gateway["name"]
    for pod in (find("Deployment"), find("Deployment", "image-gateway-worker")):
        [wait] = pod_of(pod)["initContainers"]
        assert wait["command"][:3] == ["image-gateway", "db", "wait"]


def test_selectors_select_the_gateway_and_nothing_else() -> None:
    service, deployment = find("Service"), find("Deployment")
    spread = [rule["labelSelector"] for rule in pod_of(deployment)["topologySpreadConstraints"]]
    selectors = [
        {"matchLabels": service["spec"]["selector"]},
        find("PodDisruptionBudget")["spec"]["selector"],
        *spread,
    ]
    for selector in selectors:
        selected = [name_of(document) for document in WORKLOADS if selects(selector, labels_of(document))]
        assert selected == ["Deployment/image-gateway"]
    for document in WORKLOADS:
        if document["kind"] == "Deployment":
            assert selects(document["spec"]["selector"], labels_of(document))
    ports = {port["name"] for container in containers_of(deployment) for port in container.get("ports", [])}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == ports
    [rule] = find("Ingress")["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {
        "name": "image-gateway",
        "port": {"name": "http"},
    }


def test_prometheus_scrapes_the_port_of_the_metrics() -> None:
    monitor, service = find("ServiceMonitor"), find("Service")
    assert monitor.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert monitor["spec"].keys() == {"selector", "endpoints"}
    assert selects(monitor["spec"]["selector"], service["metadata"]["labels"])
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout"}
    assert (endpoint["port"], endpoint["path"]) == ("metrics", "/metrics")
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert int(endpoint["scrapeTimeout"].removesuffix("s")) < int(endpoint["interval"].removesuffix("s"))


EXPECTED_EGRESS = {
    "gateway": {53, 80, 443, 5432, 6379},
    "worker": {53, 80, 443, 5432},
    "sweeper": {53, 80, 443, 5432},
    "migration": {53, 5432},
}


@pytest.mark.parametrize("document", WORKLOADS, ids=name_of)
def test_pods_reach_what_they_use_and_are_reached_at_their_ports(document: Document) -> None:
    labels = labels_of(document)
    component = labels["app.kubernetes.io/component"]
    policies = [
        policy["spec"]
        for policy in OBJECTS
        if policy["kind"] == "NetworkPolicy" and selects(policy["spec"]["podSelector"], labels)
    ]
    assert {kind for policy in policies for kind in policy["policyTypes"]} == {"Ingress", "Egress"}
    reached = {port for policy in policies for port in ports_in(policy, "egress")}
    assert reached == EXPECTED_EGRESS[component]
    served = {port["name"] for container in containers_of(document) for port in container.get("ports", [])}
    assert {port for policy in policies for port in ports_in(policy, "ingress")} == served


def test_names_are_resolved_by_pods_and_by_the_caches_of_nodes() -> None:
    """NodeLocal DNSCache and Cloud DNS of GKE have link-local addresses, which no selector matches."""
    [rule] = find("NetworkPolicy", "image-gateway-default")["spec"]["egress"]
    pods, *addresses = rule["to"]
    assert pods["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert [peer["ipBlock"]["cidr"] for peer in addresses] == ["169.254.20.10/32", "169.254.169.254/32"]
    # At port 80 the second one is the metadata service, which hands out the node's credentials.
    assert {port["port"] for port in rule["ports"]} == {53}


def ports_in(policy: Document, direction: str) -> set[Any]:
    """The ports of a policy's rules, each of which names peers and ports."""
    rules = policy.get(direction, [])
    assert all(rule["ports"] and rule["to" if direction == "egress" else "from"] for rule in rules)
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_the_cache_fits_its_volume_and_other_pods_have_none(gateway: Document, settings: Settings) -> None:
    pod = pod_of(find("Deployment"))
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in gateway["volumeMounts"]}
    assert set(mounts) == {"/tmp", settings.range_cache_dir}
    limit = number_of_bytes(volumes[mounts["/cache"]]["sizeLimit"])
    assert limit > settings.range_cache_max_bytes
    assert number_of_bytes(gateway["resources"]["limits"]["ephemeral-storage"]) > limit
    requested = number_of_bytes(gateway["resources"]["requests"]["ephemeral-storage"])
    assert requested > settings.range_cache_max_bytes
    [sweeper] = pod_of(find("CronJob", "image-gateway-sweeper"))["containers"]
    assert sweeper["env"] == [{"name": "RANGE_CACHE_DIR", "value": ""}]


def test_sweeps_do_not_overlap() -> None:
    assert find("CronJob", "image-gateway-sweeper")["spec"]["concurrencyPolicy"] == "Forbid"
