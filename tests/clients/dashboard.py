"""Asks every query of the dashboard, and every rule, of a real Prometheus that watches a real router.

    dashboard.py DOMICILE PROMETHEUS

The router serves TLS, tries a rule out, has a region that is down, and was told to reload, so that
every panel has something to show: one that shows nothing is a mistake in its query. Exit 0 when all
do, 1 with the panels that do not. Standard library alone; `openssl` makes the certificate.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 90  # seconds for what should take ten


def main(domicile, prometheus):
    children = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            return look(pathlib.Path(folder), children, domicile, prometheus)
        finally:
            for child in reversed(children):
                child.send_signal(signal.SIGTERM)
            for child in children:
                try:
                    child.wait(20)
                except subprocess.TimeoutExpired:
                    child.kill()


def look(folder, children, domicile, prometheus):
    demo = folder / "demo"
    log = open(folder / "log", "wb")
    start = lambda *command: children.append(subprocess.Popen(command, stdout=log, stderr=log))
    start(domicile, "demo", "--data", demo, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store-ports", "0")
    # The last line of the settings is written when the stores listen.
    settings = until("the demo has written its settings", lambda: (demo / "domicile.toml").read_text() or None)
    data, admin, watch, closed = free_ports(4)
    own = folder / "own"
    shutil.copytree(demo / "policies", own / "policies")
    law = own / "policies" / "law" / "eu.toml"
    law.write_text(law.read_text() + TRIED_OUT)
    certificate(own)
    (own / "domicile.toml").write_text(changed(settings, data, admin, closed))
    start(domicile, "run", "--config", own / "domicile.toml")
    until("the router lives", lambda: get(admin, "/livez"))
    (folder / "prometheus.yml").write_text(
        f"""
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: ["{HERE}/deploy/prometheus/rules.yaml"]
scrape_configs:
  - job_name: domicile
    static_configs: [{{ targets: ["127.0.0.1:{admin}"] }}]
"""
    )
    start(
        prometheus,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{watch}",
    )
    until("Prometheus is ready", lambda: get(watch, "/-/ready"))
    request(admin, "POST", "/-/reload")
    caller = ssl.create_default_context(cafile=own / "api.pem")
    queries = panels()
    empty = list(queries)
    deadline = time.monotonic() + PATIENCE
    number = 0
    while empty and time.monotonic() < deadline:
        for _ in range(5):
            number += 1
            traffic(data, caller, number)
        request(admin, "POST", "/-/reload")
        empty = [(title, query) for title, query in empty if not has_data(watch, query)]
        time.sleep(0.5)
    for title, query in empty:
        print(f"no data: {title}: {query}", file=sys.stderr)
    sick = [r for g in api(watch, "rules")["groups"] for r in g["rules"] if r["health"] == "err"]
    for rule in sick:
        print(f"rule {rule['name']}: {rule['lastError']}", file=sys.stderr)
    firing = sorted(a["labels"]["alertname"] for a in api(watch, "alerts")["alerts"])
    print(f"{len(queries)} queries of the dashboard, {len(queries) - len(empty)} with data; active: {', '.join(firing)}")
    return 1 if empty or sick else 0


TRIED_OUT = """
[[forbid]]
id = "eu-tried-out"
citation = "a rule under observation, for its panel"
operations = ["read"]
observe = true
"""


def changed(settings, data, admin, closed):
    """The demo's settings for a second router beside it: other ports, TLS, and India down."""
    lines, section = [], ""
    for line in settings.splitlines():
        section = line if line.startswith("[") else section
        key = line.split("=")[0].strip()
        if key == "listen":
            line = f'listen = "127.0.0.1:{data if section == "[data_plane]" else admin}"'
        if key == "endpoints" and section == "[regions.in]":
            line = f'endpoints = ["http://127.0.0.1:{closed}"]'
        lines.append(line)
    tls = '\n[[data_plane.tls.certificates]]\nchain = "api.pem"\nkey = "api.key"\n'
    return "\n".join(lines) + tls


def certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90"]
        + ["-subj", "/CN=api.test", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", folder / "api.key", "-out", folder / "api.pem"],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    os.chmod(folder / "api.key", 0o600)


def traffic(port, context, number):
    """One of everything; invented people."""
    person = lambda name, **more: json.dumps({"id": f"{name}{number}", "name": "Invented", **more})
    requests = [
        ("PUT", f"/people/erika{number}", person("erika", address={"country": "DE"}), None),
        ("GET", f"/people/erika{number}", None, None),
        ("PUT", f"/people/wei{number}", person("wei", phone="+8613100000001"), None),
        ("GET", f"/people/wei{number}", None, None),
        ("PUT", f"/people/ivan{number}", person("ivan", country="RU"), "eu"),
        ("PUT", f"/people/mei{number}", person("mei", country="SG"), None),
        ("PUT", f"/people/asha{number}", person("asha", country="IN"), None),
        ("PUT", f"/people/nobody{number}", person("nobody"), None),
        ("GET", "/nothing", None, None),
    ]
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
    for method, path, body, target in requests:
        headers = {"content-type": "application/json"} if body else {}
        if target:
            headers["domicile-target"] = target
        connection.request(method, path, body=body, headers=headers)
        connection.getresponse().read()
    connection.close()
    # A head that no reader could be sure of: it is refused, and its connection ended.
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            secure.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while secure.recv(4096):
                pass


def panels():
    dashboard = json.loads((HERE / "deploy/grafana/domicile.json").read_text())
    found = [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    assert len(found) > 50, found
    return found


def has_data(port, query):
    for variable, value in [("$__rate_interval", "10s"), ("$__range", "1m"), ("$job", ".*"), ("$instance", ".*")]:
        query = query.replace(variable, value)
    assert "$" not in query, query
    result = api(port, "query", query=query)["result"]
    return any(sample["value"][1] != "NaN" for sample in result)


def api(port, what, **parameters):
    url = f"http://127.0.0.1:{port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{parameters}: {error.read().decode()}")


def request(port, method, path):
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return answer.read() or b"ok"


def get(port, path):
    return request(port, "GET", path)


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            value = condition()
        except (OSError, http.client.HTTPException):
            value = None
        if value:
            return value
        time.sleep(0.1)
    sys.exit(f"waited in vain: {what}")


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
