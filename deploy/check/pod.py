"""A rendered pod's router without a cluster: in a root of its own that cannot be written, with the
mounts, modes, user and variables of the manifests and no others, in a network of its own in which the
settings' names and ports mean what they say. Nothing is rewritten.

The root is laid out as deploy/Dockerfile does it, with the machine's own libraries. Wants root and
namespaces; `possible` says why not, and `serve.run_faults` is the lesser test then."""

import ctypes
import fcntl
import json
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

import serve
from rules import configuration, objects

UID = 65532
HOSTS = "127.0.0.1 localhost\n"


def possible():
    """None, or why it is not."""
    if os.geteuid() != 0:
        return "this is not root"
    tried = subprocess.run(["unshare", "--mount", "--net", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespaces: {tried.stderr.strip()}"


def faults(program, manifests, policies):
    """Runs `main` below in namespaces of its own; a line of its output is a fault."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "manifests.json").write_text(json.dumps(manifests))
        command = ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, __file__, program, policies, folder]
        try:
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=240)
        except subprocess.TimeoutExpired as late:
            return [f"did not end: {late.stdout} {late.stderr}"]
        told = done.stdout.splitlines()
        return told if done.returncode == 0 else [*told, done.stderr[-3000:]]


class Root:
    """The container's file system. `volumes`: where each mounted ConfigMap or Secret lies outside."""

    def __init__(self, folder, program, policies, found, workload, container):
        self.path, self.outside, self.exchanges = folder / "root", folder / "volumes", 0
        self.path.mkdir()
        mount("-t", "tmpfs", "-o", "mode=0755", "none", self.path)
        (self.path / "domicile").touch()
        bind(program, self.path / "domicile", "ro")
        bind(policies, self.path / "etc/domicile/policies", "ro")
        for library in ("/lib", "/lib64", "/usr/lib"):
            if pathlib.Path(library).is_dir():
                bind(library, self.path / library[1:], "ro")
        bind("/proc", self.path / "proc", "rw")
        hosts = {urlsplit(e).hostname: f"127.0.0.{11 + n}" for n, r in enumerate(regions(found)) for e in r["endpoints"]}
        (self.path / "etc/hosts").write_text(HOSTS + "".join(f"{a} {h}\n" for h, a in hosts.items()))
        (self.path / "etc/nsswitch.conf").write_text("hosts: files\n")
        self.volumes(found, workload, container)
        mount("-o", "remount,ro", self.path)

    def volumes(self, found, workload, container):
        volumes = {v["name"]: v for v in objects.pod_of(workload)["volumes"]}
        claims = {c["metadata"]["name"] for c in workload["spec"]["volumeClaimTemplates"]}
        for at in container["volumeMounts"]:
            outside = self.outside / at["name"]
            outside.mkdir(parents=True)
            if at["name"] in claims:
                # As the kubelet leaves a volume with an fsGroup.
                os.chown(outside, 0, UID)
                outside.chmod(0o2775)
            elif "configMap" in volumes[at["name"]]:
                config = found.named("ConfigMap", volumes[at["name"]]["configMap"]["name"])
                self.exchange(at["name"], config["data"], 0o644)
            else:
                secret = volumes[at["name"]]["secret"]
                files = {item["path"]: "5e5f" * 16 for item in secret["items"]}
                self.exchange(at["name"], files, secret["defaultMode"])
            bind(outside, self.path / at["mountPath"][1:], "ro" if at.get("readOnly") else "rw")

    def exchange(self, volume, files, mode):
        """The kubelet's steps: a new folder, a new link beside the old one, one rename."""
        self.exchanges += 1
        outside = self.outside / volume
        new = outside / f"..2026_11_22_05_00_{self.exchanges:02}.1"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
            (new / name).chmod(mode)
            os.chown(new / name, 0, UID)
        (outside / "..data_tmp").symlink_to(new.name)
        (outside / "..data_tmp").rename(outside / "..data")
        for name in files:
            if not (outside / name).is_symlink():
                (outside / name).symlink_to(f"..data/{name}")

    def command(self, *arguments, environment):
        """Arguments of subprocess for the program inside, as the pod's user without any privilege."""

        def enter():
            os.chroot(self.path)
            os.chdir("/")
            os.setgroups([UID])
            os.setgid(UID)
            os.setuid(UID)
            ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS

        return {"args": ["/domicile", *arguments], "env": environment, "preexec_fn": enter}


def mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def bind(source, target, mode):
    if not target.exists():
        target.mkdir(parents=True)
    mount("--bind", source, target)
    mount("-o", f"remount,bind,{mode}", target)


def regions(found):
    workload, container = next(found.routers())
    return configuration.settings(found, workload, container)["regions"].values()


def loopback_up():
    """The new network's only interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def told(program, policies, folder):
    found = objects.Set(json.loads((folder / "manifests.json").read_text()))
    workload, container = next(found.routers())
    root = Root(folder, program, policies, found, workload, container)
    environment = configuration.environment(found, container)
    settings = configuration.settings(found, workload, container)
    config = container["args"][-1]
    inside = lambda *arguments: subprocess.run(**root.command(*arguments, environment=environment), capture_output=True, text=True, check=False, timeout=serve.PATIENCE)
    children = []
    try:
        for number, name in enumerate(settings["regions"]):
            listen = f"127.0.0.{11 + number}:{urlsplit(settings['regions'][name]['endpoints'][0]).port}"
            command = [program, "store", "--listen", listen, "--data", folder / f"store-{name}", "--region", name]
            children.append(subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            serve.waited(f"store {name}", lambda at=listen: serve.ask(at, "GET", "/"), children[-1])
        log = (folder / "log").open("wb")
        router = subprocess.Popen(**root.command(*container["args"], environment=environment), stdout=log, stderr=log)
        children.append(router)
        listen, admin, probes = ("127.0.0.1:" + settings[s]["listen"].rpartition(":")[2] for s in ("data_plane", "admin", "probes"))
        probe = lambda kind: serve.ask(probes, "GET", container[kind]["httpGet"]["path"])[0]
        serve.waited("the startup probe passes", lambda: probe("startupProbe") == 200, router)
        serve.waited("the readiness probe passes", lambda: probe("readinessProbe") == 200, router)
        yield from serve.answers(settings, listen, admin, probes)
        yield from exchanged(root, found, workload, admin, router)
        checked = inside("check", "--config", config)
        if checked.returncode != 0:
            yield f"`check` in the pod: {checked.stderr}"
        tail = inside("ledger", "tail", "-n", "1", settings["ledger"]["path"])
        if tail.returncode != 0 or not tail.stdout.strip():
            yield f"`ledger tail` in the pod: {tail.stderr}"
        router.send_signal(signal.SIGTERM)
        if router.wait(serve.PATIENCE) != 0:
            yield f"ended with {router.returncode}"
        verified = inside("ledger", "verify", settings["ledger"]["path"])
        if verified.returncode != 0:
            yield f"the ledger does not verify: {verified.stdout}{verified.stderr}"
        for path in (root.outside / "state").iterdir():
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                yield f"others than the pod's user may look into {path.name}"
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        yield f"{error} {(folder / 'log').read_text()[-3000:]}".replace("\n", " ")
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait()


def exchanged(root, found, workload, admin, router):
    """A new organisation comes into force by the kubelet's rename alone, a broken one does not."""
    token = {"authorization": "Bearer " + "5e5f" * 16}
    version = lambda: json.loads(serve.ask(admin, "GET", "/version", headers=token)[2])["policy"]
    metrics = lambda: serve.ask(admin, "GET", "/metrics", headers=token)[2].decode()
    volume = next(v for v in objects.pod_of(workload)["volumes"] if v["name"] == "organisation")
    text = found.named("ConfigMap", volume["configMap"]["name"])["data"]["organisation.toml"]
    before = version()
    root.exchange("organisation", {"organisation.toml": text.partition("[[instruments]]")[0]}, 0o644)
    serve.waited("the exchanged organisation is in force", lambda: version() != before, router)
    after = version()
    root.exchange("organisation", {"organisation.toml": "nonsense"}, 0o644)
    serve.waited("the broken one is told", lambda: "domicile_reload_failing 1\n" in metrics(), router)
    if version() != after:
        yield "a broken organisation changed the policy"
    root.exchange("organisation", {"organisation.toml": text}, 0o644)
    serve.waited("the old organisation is in force again", lambda: version() == before, router)


def main():
    program, policies, folder = (pathlib.Path(a).resolve() for a in sys.argv[1:])
    loopback_up()
    for fault in told(program, policies, folder):
        print(fault)


if __name__ == "__main__":
    main()
