"""Settings of a pod, read as the router reads them, against the pod around it."""

import ipaddress
import re

try:
    import tomllib
except ImportError:  # Python 3.10 and older
    import tomli as tomllib

from .objects import containers, pod_labels, pod_of, selects, where
from .pods import quantity

DEFAULTS = {
    "data_plane": {"listen": "127.0.0.1:8080", "drain": "25s", "drain_delay": "0s", "trusted": []},
    "limits": {"batch_bytes": "64MiB", "memory": "a third of the pod's"},
    "ledger": {"path": "/var/lib/domicile/ledger"},
    "directory": {"path": "/var/lib/domicile/directory"},
}


def environment(found, container):
    """The variables of the container, those of ConfigMaps included."""
    variables = {}
    for source in container.get("envFrom", []):
        config = found.named("ConfigMap", source["configMapRef"]["name"])
        variables.update((config or {}).get("data", {}))
    variables.update({e["name"]: e["value"] for e in container.get("env", []) if "value" in e})
    return variables


def mounted(found, workload, container):
    """Path in the container → content, of each file that a ConfigMap of the set gives it."""
    volumes = {v["name"]: v for v in pod_of(workload).get("volumes", [])}
    files = {}
    for mount in container.get("volumeMounts", []):
        config = volumes.get(mount["name"], {}).get("configMap")
        config = config and found.named("ConfigMap", config["name"])
        for name, text in (config or {}).get("data", {}).items():
            files[f"{mount['mountPath']}/{name}"] = text
    return files


def settings(found, workload, container):
    """The settings of a pod: the file, then the environment; defaults where this check needs them."""
    path = container["args"][container["args"].index("--config") + 1]
    read = tomllib.loads(mounted(found, workload, container)[path])
    for section, defaults in DEFAULTS.items():
        read[section] = {**defaults, **read.get(section, {})}
    for name, value in environment(found, container).items():
        steps = name.lower().split("__")[1:]
        at = read
        for step in steps[:-1]:
            at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
        at[steps[-1]] = value.split(",") if steps[-1] in ("trusted", "endpoints") else value
    return read


def seconds(text):
    return sum(float(n) * {"ms": 1e-3, "s": 1, "m": 60, "h": 3600}[u] for n, u in re.findall(r"([0-9.]+)\s*(ms|s|m|h)", text))


def settings_are_there(found):
    for workload, container in found.routers():
        path = container["args"][-1]
        if path not in mounted(found, workload, container):
            yield f"{where(workload)}: nothing is mounted at {path}"


def readable(found):
    """Routers whose settings can be read; the others have their fault already."""
    for workload, container in found.routers():
        if container["args"][-1] in mounted(found, workload, container):
            yield workload, container, settings(found, workload, container)


def files_that_settings_name_are_mounted(found):
    for workload, container, read in readable(found):
        files = mounted(found, workload, container)
        if read["organisation"] not in files:
            yield f"{where(workload)}: no ConfigMap gives {read['organisation']}"
        secrets = {}
        volumes = {v["name"]: v for v in pod_of(workload).get("volumes", [])}
        for mount in container["volumeMounts"]:
            secret = volumes.get(mount["name"], {}).get("secret", {})
            for item in secret.get("items", []):
                secrets[f"{mount['mountPath']}/{item['path']}"] = secret
        for section, key in (("admin", "token_file"), ("directory", "secret_file")):
            path = read[section].get(key)
            if path not in secrets:
                yield f"{where(workload)}: no Secret gives {section}.{key} = {path}"
            elif secrets[path].get("defaultMode", 0o644) & 0o007:
                yield f"{where(workload)}: everybody in the pod can read {path}"
        for section in ("ledger", "directory"):
            if not read[section]["path"].startswith("/var/lib/domicile/"):
                yield f"{where(workload)}: {section}.path is not on the claim"


def listeners_are_the_ports(found):
    for workload, container, read in readable(found):
        ports = {p["name"]: p["containerPort"] for p in container["ports"]}
        for port, section in (("http", "data_plane"), ("admin", "admin"), ("probes", "probes")):
            if int(read[section]["listen"].rpartition(":")[2]) != ports.get(port):
                yield f"{where(workload)}: {section}.listen is not the port {port}"
        for section in ("admin", "probes"):
            if is_loopback(read[section]["listen"]):
                yield f"{where(workload)}: {section} listens to its own pod alone"


def is_loopback(address):
    return ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback


def termination_outlasts_the_drain(found):
    for workload, container, read in readable(found):
        pod = pod_of(workload)
        plane = read["data_plane"]
        # The last spans, and a disk that hangs: docs/failure.md.
        needed = seconds(plane["drain"]) + seconds(plane["drain_delay"]) + 23
        grace = pod.get("terminationGracePeriodSeconds", 30)
        if grace < needed:
            yield f"{where(workload)}: {grace} s are less than drain_delay, drain and 23 s: {needed:g} s"
        if container not in pod["containers"] and grace < needed + 30:
            yield f"{where(workload)}: the app before the router has less than 30 s of {grace} s"
        if container in pod["containers"] and seconds(plane["drain_delay"]) < 3:
            yield f"{where(workload)}: no drain_delay in which Services notice"
        ready = container["readinessProbe"]
        noticed = ready.get("periodSeconds", 10) * ready.get("failureThreshold", 3)
        if container in pod["containers"] and noticed > seconds(plane["drain_delay"]):
            yield f"{where(workload)}: readiness is noticed after {noticed} s, the router drains earlier"


# Measured: docs/failure.md, "Memory".
TIMES, REST = 3, 64 << 20


def memory_is_enough(found):
    for workload, container, read in readable(found):
        limit = quantity(container["resources"]["limits"]["memory"])
        size = lambda key: quantity(read["limits"][key].removesuffix("B"))
        if size("memory") < size("batch_bytes"):
            yield f"{where(workload)}: the largest batch never passes"
        if size("memory") * TIMES + REST > limit:
            yield f"{where(workload)}: bodies may take more than the pod's limit of {limit / 2**20:g} MiB"


def a_sidecars_app_stores_through_it(found):
    for workload, container, read in readable(found):
        pod = pod_of(workload)
        loopback = is_loopback(read["data_plane"]["listen"])
        if container in pod["containers"]:
            if loopback:
                yield f"{where(workload)}: nobody reaches the gateway"
            if read["data_plane"]["trusted"]:
                yield f"{where(workload)}: {read['data_plane']['trusted']} could be any pod's address"
            continue
        if not loopback:
            yield f"{where(workload)}: other pods could store through the sidecar"
        address = f"http://{read['data_plane']['listen']}"
        values = [e.get("value") for c in pod["containers"] for e in c.get("env", [])]
        if address not in values:
            yield f"{where(workload)}: no app is told to store at {address}"


def replicas_that_forget_nothing_are_one(found):
    """Each replica has a directory, counts and consents of its own."""
    for workload, container, read in readable(found):
        scalers = [h for h in found.of("HorizontalPodAutoscaler") if h["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]]
        if len(scalers) != 1:
            yield f"{where(workload)} has {len(scalers)} autoscalers"
            continue
        spec = scalers[0]["spec"]
        if spec["scaleTargetRef"]["kind"] != workload["kind"]:
            yield f"{where(workload)}: its autoscaler scales a {spec['scaleTargetRef']['kind']}"
        if "replicas" in workload["spec"]:
            yield f"{where(workload)}: `replicas` fights the autoscaler"
        for metric in spec["metrics"]:
            name = metric.get("containerResource", {}).get("container")
            if name not in [c["name"] for c in containers(pod_of(workload))]:
                yield f"{where(workload)}: its autoscaler measures no container of it"
        pins = {route.get("pin", "always") for route in read["routes"]}
        if spec["maxReplicas"] > 1 and pins != {"never"}:
            yield f"{where(workload)}: several replicas, and each pins people on its own"


def jurisdiction_is_told(found):
    for workload, _, read in readable(found):
        regions = read.get("regions", {})
        location = read.get("location", {})
        if not any((r["country"], r["entity"]) == (location.get("country"), location.get("entity")) for r in regions.values()):
            yield f"{where(workload)}: no region of the settings is at home in its location {location}"


def callers_find_the_router(found):
    for workload, container, _ in readable(found):
        if container not in pod_of(workload)["containers"]:
            continue
        services = [s for s in found.of("Service") if s["spec"].get("clusterIP") != "None"]
        if not any(selects({"matchLabels": s["spec"]["selector"]}, pod_labels(workload)) for s in services):
            yield f"{where(workload)}: no Service leads to it"


RULES = [
    settings_are_there,
    files_that_settings_name_are_mounted,
    listeners_are_the_ports,
    termination_outlasts_the_drain,
    memory_is_enough,
    a_sidecars_app_stores_through_it,
    replicas_that_forget_nothing_are_one,
    jurisdiction_is_told,
    callers_find_the_router,
]
