"""Starts the router with the settings and variables of a rendered set, where namespaces cannot be had:
rewritten, by variables, are paths and addresses. `pod` does it without. What both ask is here."""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from rules import configuration, objects

UID = 65532
# Whom no policy lets leave: a read of a Chinese record from anywhere else, and from China a Russian's.
FOREIGN = {"CN": ("RU", "ru"), "IN": ("CN", "cn"), "RU": ("CN", "cn"), "DE": ("CN", "cn"), "SG": ("CN", "cn")}
PATIENCE = 60


class Pod:
    """The router of one set, laid out in a folder. `regions`: its stores, by name."""

    def __init__(self, manifests, folder, policies):
        self.found = objects.Set(manifests)
        self.workload, self.container = next(self.found.routers())
        self.folder = folder
        self.settings = configuration.settings(self.found, self.workload, self.container)
        files = configuration.mounted(self.found, self.workload, self.container)
        for path, text in files.items():
            write(self.at(path), text, 0o644)
        for section, key in (("admin", "token_file"), ("directory", "secret_file")):
            write(self.at(self.settings[section][key]), "5e5f" * 16, 0o440)
        state = self.at("/var/lib/domicile")
        state.mkdir(parents=True)
        # As the kubelet leaves a volume with an fsGroup.
        state.chmod(0o2775)
        self.environment = {
            **configuration.environment(self.found, self.container),
            "PATH": os.environ["PATH"],
            "DOMICILE__POLICIES": str(policies),
            "DOMICILE__ORGANISATION": str(self.at(self.settings["organisation"])),
            "DOMICILE__ADMIN__TOKEN_FILE": str(self.at(self.settings["admin"]["token_file"])),
            "DOMICILE__DIRECTORY__SECRET_FILE": str(self.at(self.settings["directory"]["secret_file"])),
            "DOMICILE__LEDGER__PATH": str(self.at(self.settings["ledger"]["path"])),
            "DOMICILE__DIRECTORY__PATH": str(self.at(self.settings["directory"]["path"])),
        }
        self.config = self.at(self.container["args"][-1])

    def at(self, path):
        return self.folder / path.lstrip("/")


def write(path, text, mode):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def as_the_pods_user(folder):
    """Arguments for subprocess: the pod's user where we may take it, with the volume's group."""
    if os.geteuid() != 0:
        return {}
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, 0, UID)
    return {"user": UID, "group": UID, "extra_groups": [UID]}


def check_faults(program, manifests, policies):
    """What `domicile check` says against the settings and policies of the ConfigMaps."""
    with tempfile.TemporaryDirectory() as name:
        pod = Pod(manifests, pathlib.Path(name), policies)
        done = subprocess.run([program, "check", "--json", "--config", pod.config], env=pod.environment, capture_output=True, text=True, check=False)
        if not done.stdout.startswith("{"):
            return [done.stderr]
        faults = json.loads(done.stdout)["faults"]
        told = [f"{f.get('place') or f.get('at')}: {f['message']}" for f in faults]
        return told if told or done.returncode == 0 else [done.stderr]


def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def ask(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def waited(what, condition, child):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if child.poll() is not None:
            raise RuntimeError(f"{what}: ended with {child.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            if condition():
                return
        time.sleep(0.05)
    raise RuntimeError(f"waited in vain: {what}")


@contextlib.contextmanager
def started(command, log, **arguments):
    """A child that is ended by its own id, whatever happens."""
    with open(log, "wb") as out:
        child = subprocess.Popen([str(c) for c in command], stdout=out, stderr=out, **arguments)
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()


def run_faults(program, manifests, policies):
    """What goes wrong when the router is started, asked, and ended as the kubelet does it."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        # Where the build lies, the pod's user may not be let in.
        binary = folder / "domicile"
        shutil.copy(program, binary)
        law = shutil.copytree(policies, folder / "image")
        pod = Pod(manifests, folder / "pod", law)
        (folder / "pod").chmod(0o755)
        stores = {}
        for region in pod.settings["regions"]:
            stores[region] = free()
            command = [binary, "store", "--listen", stores[region], "--data", folder / f"store-{region}", "--region", region]
            child = stack.enter_context(started(command, folder / f"{region}.log"))
            waited(f"store {region}", lambda at=stores[region]: ask(at, "GET", "/"), child)
            pod.environment[f"DOMICILE__REGIONS__{region.upper()}__ENDPOINTS"] = f"http://{stores[region]}"
        listen, admin, probes = free(), free(), free()
        for section, address in (("DATA_PLANE", listen), ("ADMIN", admin), ("PROBES", probes)):
            pod.environment[f"DOMICILE__{section}__LISTEN"] = address
        pod.environment["DOMICILE__DATA_PLANE__DRAIN_DELAY"] = "1s"
        user = as_the_pods_user(folder / "pod")
        args = [a if a != pod.container["args"][-1] else pod.config for a in pod.container["args"]]
        log = folder / "router.log"
        child = stack.enter_context(started([binary, *args], log, env=pod.environment, cwd="/", **user))
        try:
            ready = pod.container["readinessProbe"]["httpGet"]["path"]
            waited("the router is ready", lambda: ask(probes, "GET", ready)[0] == 200, child)
            yield from answers(pod.settings, listen, admin, probes)
            child.send_signal(signal.SIGTERM)
            waited("not ready while it drains", lambda: ask(probes, "GET", ready)[0] == 503, child)
            if child.wait(PATIENCE) != 0:
                yield f"ended with {child.returncode}"
            ledger = pod.environment["DOMICILE__LEDGER__PATH"]
            verified = subprocess.run([binary, "ledger", "verify", ledger], capture_output=True, text=True, check=False, **user)
            if verified.returncode != 0:
                yield f"the ledger does not verify: {verified.stdout}{verified.stderr}"
        except (RuntimeError, OSError) as error:
            yield f"{error}\n{log.read_text()[-3000:]}"


def answers(settings, listen, admin, probes):
    """A record goes home, another's may not be read, and both are told to Prometheus and nobody else."""
    country = settings["location"]["country"]
    home = next(n for n, r in settings["regions"].items() if r["country"] == country)
    status, headers, body = ask(listen, "PUT", "/people/anna", json.dumps({"id": "anna", "country": country}), {"content-type": "application/json"})
    if status // 100 != 2 or headers.get("domicile-region") != home:
        yield f"a record of {country} did not go home: {status} {headers} {body[:300]}"
    theirs, region = FOREIGN[country]
    foreign = {"id": "wei", "country": theirs}
    told = []
    status, headers, body = ask(listen, "PUT", "/people/wei", json.dumps(foreign), {"content-type": "application/json", "domicile-target": home})
    told.append(status)
    if status != 451 and not (status // 100 == 2 and headers.get("domicile-region") == region):
        yield f"a record of {theirs} went elsewhere: {status} {headers} {body[:300]}"
    status, _, body = ask(listen, "GET", "/people/wei")
    told.append(status)
    if status not in (451, 404):
        yield f"a record of {theirs} was read in {country}: {status} {body[:300]}"
    if 451 not in told:
        yield f"nothing was refused in {country}: {told}"
    token = {"authorization": "Bearer " + "5e5f" * 16}
    status, _, body = ask(admin, "GET", "/metrics", headers=token)
    if status != 200 or b"domicile_decisions_total" not in body:
        yield f"no metrics: {status}"
    if ask(admin, "GET", "/metrics")[0] != 401:
        yield "metrics are given without the token"
    if ask(probes, "GET", "/metrics")[0] != 404:
        yield "the probes listener gives metrics"
