#!/usr/bin/env python3
"""Elasticsearch's and OpenSearch's own Python clients through the router, unchanged.

Usage: bulk.py PATH-TO-DOMICILE. Needs the packages `elasticsearch` (8 or 9) and `opensearch-py`;
without them it says so and ends well. Starts five small servers that speak as much of `_bulk` as
this needs, one a region, and a router with the demo's policy in front of them.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

try:
    from elasticsearch import ApiError, BadRequestError, Elasticsearch
    from elasticsearch import helpers as es_helpers
    from opensearchpy import OpenSearch
    from opensearchpy import helpers as os_helpers
    from opensearchpy.exceptions import RequestError
except ImportError as missing:
    print(f"skipped: {missing}; pip install elasticsearch opensearch-py")
    sys.exit(0)

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "policies" / "examples" / "demo"
REGIONS = ["cn", "in", "ru", "eu", "sg"]

ROUTES = """
[[routes]]
name = "people-bulk"
path = "/_bulk"
format = "bulk"
indices = ["people"]
subject = "bulk:id"
country = ["body:/country", "body:/address/country", "pinned"]
schema = "person"

[[routes]]
name = "people-bulk-by-path"
path = "/{index}/_bulk"
format = "bulk"
indices = ["people"]
subject = "bulk:id"
country = ["body:/country", "body:/address/country", "pinned"]
schema = "person"

# The server's word on itself: clients ask for it to see whom they talk to.
[[routes]]
name = "server"
path = "/"
methods = ["GET"]
format = "opaque"
unknown_home = "sg"
categories = ["user"]
"""


class Region:
    """One region's server."""

    def __init__(self, name):
        self.name = name
        self.documents = {}
        self.busy = 0
        self.lock = threading.Lock()
        region = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body):
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("x-elastic-product", "Elasticsearch")
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            def do_GET(self):
                version = {"number": "9.0.0", "build_flavor": "default"}
                self.answer(200, {"name": region.name, "version": version, "tagline": "You Know, for Search"})

            do_HEAD = do_GET

            def do_POST(self):
                if "chunked" in self.headers.get("transfer-encoding", ""):
                    raise AssertionError("a bulk has a length")
                body = self.rfile.read(int(self.headers["content-length"]))
                assert "content-encoding" not in self.headers
                with region.lock:
                    if region.busy:
                        region.busy -= 1
                        error = {"type": "es_rejected_execution_exception", "reason": "busy"}
                        self.answer(429, {"error": error, "status": 429})
                        return
                    self.answer(200, region.bulk(self.path, body))

            do_PUT = do_POST

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def bulk(self, path, body):
        lines = iter(body.decode().splitlines())
        items, errors = [], False
        default = path.split("/")[1]
        for line in lines:
            ((action, meta),) = json.loads(line).items()
            index, ident = meta.get("_index", default), str(meta.get("_id", "auto"))
            source = None if action == "delete" else json.loads(next(lines))
            item = {"_index": index, "_id": ident, "_version": 1}
            key = (index, ident)
            if action == "delete":
                found = self.documents.pop(key, None) is not None
                item |= {"result": "deleted" if found else "not_found", "status": 200 if found else 404}
            elif action == "update":
                self.documents.setdefault(key, {}).update(source["doc"])
                item |= {"result": "updated", "status": 200}
            elif action == "create" and key in self.documents:
                errors = True
                error = {"type": "version_conflict_engine_exception", "reason": "exists"}
                item = {"_index": index, "_id": ident, "status": 409, "error": error}
            else:
                self.documents[key] = source
                item |= {"result": "created", "status": 201, "_seq_no": 0, "_primary_term": 1}
            items.append({action: item})
        return {"took": 1, "errors": errors, "items": items}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings(folder, regions, port, admin):
    text = (DEMO / "domicile.toml").read_text()
    for region in regions:
        text = re.sub(
            rf'(\[regions\.{region.name}\][^\[]*endpoints = )\["[^"]*"\]',
            rf'\1["http://127.0.0.1:{region.port}"]',
            text,
        )
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("127.0.0.1:9090", f"127.0.0.1:{admin}")
    text = text.replace(
        'policies = "policies"',
        f'policies = "{ROOT}/policies"\norganisation = "{DEMO}/organisation.toml"',
    )
    file = folder / "domicile.toml"
    # Before `/people/{subject}`, which would take `/people/_bulk` for a person's record.
    head, routes = text.split("[[routes]]", 1)
    file.write_text(f"{head}{ROUTES}\n[[routes]]{routes}")
    return file


def wait_for(admin, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"the router ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=1)
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("the router is not ready")


COUNTRIES = {"CN": "cn", "IN": "in", "RU": "ru", "DE": "eu", "FR": "eu", "SG": "sg"}


def people(prefix, count):
    names = list(COUNTRIES)
    for number in range(count):
        country = names[number % len(names)]
        yield {"_index": "people", "_id": f"{prefix}-{number}", "country": country, "name": "Jo Example"}


def holds(regions, prefix):
    return {r.name: sorted(i for (_, i) in r.documents if i.startswith(prefix)) for r in regions}


def at_home(regions, prefix, count):
    """Everybody lies at home and nowhere else."""
    expected = {name: [] for name in REGIONS}
    for person in people(prefix, count):
        expected[COUNTRIES[person["country"]]].append(person["_id"])
    assert holds(regions, prefix) == {k: sorted(v) for k, v in expected.items()}, holds(regions, prefix)


FORBIDDEN = {"country": "DE", "address": {"country": "RU"}}


def drive(client, helpers, regions, name):
    """What both families of clients have in common."""
    assert client.ping() and client.info()["name"] == "sg"

    stored, errors = helpers.bulk(client, people(f"{name}-bulk", 60))
    assert (stored, errors) == (60, []), (stored, errors)
    at_home(regions, f"{name}-bulk", 60)

    results = list(helpers.streaming_bulk(client, people(f"{name}-stream", 50), chunk_size=7))
    assert len(results) == 50 and all(ok for ok, _ in results)
    assert [item["index"]["_id"] for _, item in results] == [p["_id"] for p in people(f"{name}-stream", 50)]
    at_home(regions, f"{name}-stream", 50)

    results = helpers.parallel_bulk(client, people(f"{name}-parallel", 48), thread_count=2, chunk_size=6, queue_size=2)
    assert sum(ok for ok, _ in results) == 48
    at_home(regions, f"{name}-parallel", 48)

    # One forbidden among the good: told in the helper's own errors, stored nowhere.
    mixed = [{"_index": "people", "_id": f"{name}-m1", "country": "IN"}]
    mixed.append({"_index": "people", "_id": f"{name}-m2", **FORBIDDEN})
    mixed.append({"_index": "people", "_id": f"{name}-m3", "country": "DE"})
    stored, errors = helpers.bulk(client, mixed, raise_on_error=False)
    assert stored == 2 and len(errors) == 1, (stored, errors)
    told = errors[0]["index"]
    assert told["status"] == 451 and told["_id"] == f"{name}-m2", told
    assert told["error"]["type"] == "domicile_transfer_forbidden" and told["error"]["citation"], told
    try:
        helpers.bulk(client, mixed)
        raise AssertionError("no BulkIndexError")
    except helpers.BulkIndexError as raised:
        assert [e["index"]["status"] for e in raised.errors] == [451], raised.errors
    held = holds(regions, f"{name}-m")
    assert held == {"cn": [], "in": [f"{name}-m1"], "ru": [], "eu": [f"{name}-m3"], "sg": []}, held

    # All refused: no region is asked, and the client still reads the answer.
    stored, errors = helpers.bulk(client, mixed[1:2], raise_on_error=False)
    assert stored == 0 and errors[0]["index"]["status"] == 451

    # Updates of a pinned person need no country; an unknown index is refused.
    actions = [
        {"_op_type": "update", "_index": "people", "_id": f"{name}-m3", "doc": {"name": "Jo"}},
        {"_op_type": "create", "_index": "people", "_id": f"{name}-m1", "country": "IN"},
        {"_op_type": "index", "_index": "elsewhere", "_id": "x", "country": "IN"},
        {"_op_type": "delete", "_index": "people", "_id": f"{name}-m1"},
    ]
    results = list(helpers.streaming_bulk(client, actions, raise_on_error=False))
    statuses = [next(iter(item.values()))["status"] for _, item in results]
    assert statuses == [200, 409, 404, 200], results
    assert holds(regions, f"{name}-m")["in"] == []

    # A region that is busy once: the helper tries those items again, and only those.
    eu = next(r for r in regions if r.name == "eu")
    eu.busy = 1
    again = {"max_retries": 3, "initial_backoff": 0.05, "raise_on_error": False}
    stored, errors = helpers.bulk(client, people(f"{name}-again", 12), **again)
    assert (stored, errors) == (12, []), (stored, errors)
    at_home(regions, f"{name}-again", 12)

    # The index of the path, and parameters.
    lines = [{"index": {"_id": f"{name}-p1"}}, {"country": "RU"}]
    answer = client.bulk(body=lines, index="people", refresh="wait_for")
    assert not answer["errors"] and answer["items"][0]["index"]["domicile"]["region"] == "ru"


def main():
    regions = [Region(name) for name in REGIONS]
    port, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = settings(Path(folder), regions, port, admin)
        process = subprocess.Popen([sys.argv[1], "run", "--config", str(file)], stderr=subprocess.DEVNULL)
        try:
            wait_for(admin, process)
            url = f"http://127.0.0.1:{port}"
            for compress in (False, True):
                elastic = Elasticsearch(url, http_compress=compress)
                drive(elastic, es_helpers, regions, f"es{compress:d}")
                try:
                    elastic.bulk(operations=[{"explode": {}}])
                    raise AssertionError("no exception")
                except BadRequestError as raised:
                    assert raised.status_code == 400, raised
                    assert raised.body["error"]["type"] == "illegal_argument_exception", raised.body
                try:
                    elastic.bulk(operations=[{"index": {}}, {}], routing="x")
                    raise AssertionError("no exception")
                except ApiError as raised:
                    assert "routing" in raised.body["error"]["reason"], raised.body
                opensearch = OpenSearch(url, http_compress=compress)
                drive(opensearch, os_helpers, regions, f"os{compress:d}")
                try:
                    opensearch.bulk(body=[{"explode": {}}])
                    raise AssertionError("no exception")
                except RequestError as raised:
                    assert raised.status_code == 400 and raised.error == "illegal_argument_exception", raised
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
    print("elasticsearch-py and opensearch-py work through the router")


if __name__ == "__main__":
    main()
