"""The router's pods: probes, resources, place, volumes."""

import re

from .objects import containers, pod_of, port_number, where

UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text):
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()
    return float(number) * UNITS[unit]


def probes_ask_the_probes_listener(found):
    wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for workload, container in found.routers():
        for probe, path in wanted.items():
            ask = container.get(probe, {}).get("httpGet", {})
            if ask.get("path") != path:
                yield f"{where(workload)}: {probe} does not ask {path}"
            if port_number({"containers": [container]}, ask.get("port")) != 9091:
                yield f"{where(workload)}: {probe} does not ask the probes listener"


def resources_are_given(found):
    for workload in found.workloads():
        for container in containers(pod_of(workload)):
            at, given = f"{where(workload)}/{container['name']}", container.get("resources", {})
            for key in ("cpu", "memory"):
                request, limit = (given.get(k, {}).get(key) for k in ("requests", "limits"))
                if request is None or limit is None:
                    yield f"{at}: no request or no limit of {key}"
                elif quantity(request) > quantity(limit):
                    yield f"{at}: requests more {key} than its limit"


def pods_stay_on_the_jurisdictions_nodes(found):
    for workload, _ in found.routers():
        affinity = pod_of(workload).get("affinity", {}).get("nodeAffinity", {})
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
        # Terms are alternatives: each of them has to pin.
        terms = required.get("nodeSelectorTerms", [])
        pinned = [
            e for term in terms for e in term.get("matchExpressions", [])
            if e["key"] == "topology.kubernetes.io/region" and e["operator"] == "In" and e.get("values")
        ]
        if not terms or len(pinned) != len(terms):
            yield f"{where(workload)} may run on nodes of any region"
        if any("jurisdiction" in e["values"] for e in pinned):
            yield f"{where(workload)}: no jurisdiction has named its nodes"
        if not pod_of(workload).get("topologySpreadConstraints"):
            yield f"{where(workload)} is not spread over zones"


def state_outlives_the_pod(found):
    for workload, container in found.routers():
        claims = {c["metadata"]["name"]: c for c in workload["spec"].get("volumeClaimTemplates", [])}
        mounts = [m["name"] for m in container["volumeMounts"] if m["mountPath"] == "/var/lib/domicile"]
        if workload["kind"] != "StatefulSet" or not mounts or mounts[0] not in claims:
            yield f"{where(workload)}: ledger and directory are on no claim of the pod's own"
            continue
        modes = claims[mounts[0]]["spec"]["accessModes"]
        if modes not in (["ReadWriteOncePod"], ["ReadWriteOnce"]):
            yield f"{where(workload)}: {modes} lets several pods write one ledger"
        keep = workload["spec"].get("persistentVolumeClaimRetentionPolicy", {})
        if keep.get("whenDeleted", "Retain") != "Retain" or keep.get("whenScaled", "Retain") != "Retain":
            yield f"{where(workload)}: evidence goes with the set"
        if pod_of(workload)["securityContext"].get("fsGroup") != 65532:
            yield f"{where(workload)}: the router cannot write the volume"


def a_sidecar_is_up_before_and_down_after_its_app(found):
    for workload, container in found.routers():
        pod = pod_of(workload)
        if container in pod["containers"]:
            if len(pod["containers"]) > 1:
                yield f"{where(workload)}: the router starts and stops at any time beside the others"
            continue
        if container.get("restartPolicy") != "Always":
            yield f"{where(workload)}: the router would run to its end before the app starts"


def mounts_see_changes(found):
    for workload, container in found.routers():
        for mount in container["volumeMounts"]:
            if mount.get("subPath") or mount.get("subPathExpr"):
                yield f"{where(workload)}: {mount['mountPath']} is a subPath, which never changes"
            if mount["mountPath"] != "/var/lib/domicile" and not mount.get("readOnly"):
                yield f"{where(workload)}: {mount['mountPath']} can be written"


RULES = [
    probes_ask_the_probes_listener,
    resources_are_given,
    pods_stay_on_the_jurisdictions_nodes,
    state_outlives_the_pod,
    a_sidecar_is_up_before_and_down_after_its_app,
    mounts_see_changes,
]
