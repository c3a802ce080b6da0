"""Who may talk to whom, by reading the NetworkPolicies as the API defines them: a pod that a policy
selects may do what the union of its policies allows, and nothing else."""

import ipaddress
from urllib.parse import urlsplit

from .configuration import readable
from .objects import pod_labels, pod_of, port_number, selects, where

CALLER = {"domicile-role": "caller"}
NAMESPACE = "kubernetes.io/metadata.name"


def rules_of(found, labels, direction):
    """The rules of a direction for a pod with these labels; None where nothing restricts it."""
    kind = {"ingress": "Ingress", "egress": "Egress"}[direction]
    policies = [
        p["spec"] for p in found.of("NetworkPolicy")
        if selects(p["spec"]["podSelector"], labels) and kind in p["spec"]["policyTypes"]
    ]
    if not policies:
        return None
    return [rule for spec in policies for rule in spec.get(direction) or []]


def ports(rule, pod):
    """Port and protocol of a rule, names resolved in the pod that is asked."""
    for port in rule.get("ports") or []:
        number = port.get("port")
        number = port_number(pod, number) if isinstance(number, str) else number
        yield number, port.get("protocol", "TCP")


def peers(rule):
    return rule.get("to") or rule.get("from") or []


def is_dns(rule):
    return set(ports(rule, {})) == {(53, "UDP"), (53, "TCP")} and all(
        p.get("namespaceSelector", {}).get("matchLabels", {}).get(NAMESPACE) == "kube-system" and p.get("podSelector", {}).get("matchLabels")
        for p in peers(rule)
    )


def what_is_not_named_is_denied(found):
    # Stores have policies of their own; `between` looks at those.
    if not list(found.routers()):
        return
    rules = {d: rules_of(found, {"some": "pod"}, d) for d in ("ingress", "egress")}
    for direction, allowed in rules.items():
        if allowed is None:
            yield f"{direction} of a pod without labels is not restricted"
        elif allowed:
            yield f"{direction} of a pod without labels is open to something"


def nothing_is_wide_open(found):
    for policy in found.of("NetworkPolicy"):
        for direction in ("ingress", "egress"):
            for rule in policy["spec"].get(direction) or []:
                at = f"NetworkPolicy {policy['metadata']['name']}, {direction}"
                if not peers(rule):
                    yield f"{at}: a rule without peers is everybody"
                if not rule.get("ports"):
                    yield f"{at}: a rule without ports is all of them"
                for peer in peers(rule):
                    block = peer.get("ipBlock", {}).get("cidr")
                    if block and ipaddress.ip_network(block).prefixlen == 0:
                        yield f"{at}: {block} is everywhere"
                    namespaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
                    if not block and not (namespaces or {}).get("matchLabels") and not (pods or {}).get("matchLabels"):
                        yield f"{at}: a peer without labels is everybody"


def routers_reach_names_and_their_regions_alone(found):
    for workload, _, read in readable(found):
        rules = rules_of(found, pod_labels(workload), "egress")
        if rules is None:
            yield f"{where(workload)} may reach anything"
            continue
        if not any(is_dns(r) for r in rules):
            yield f"{where(workload)} cannot resolve names"
        regional = [r for r in rules if not is_dns(r)]
        used = []
        for name, region in read["regions"].items():
            for endpoint in region["endpoints"]:
                serving = [r for r in regional if serves(r, name, endpoint)]
                used += [id(r) for r in serving]
                if not serving:
                    yield f"{where(workload)} cannot reach {endpoint} of region {name}"
        for rule in regional:
            if id(rule) not in used:
                yield f"{where(workload)} may reach what is no region: {peers(rule)} {list(ports(rule, {}))}"


def serves(rule, region, endpoint):
    """Whether an egress rule leads to an endpoint of the settings. Of a name outside the cluster only
    the port can be known."""
    url = urlsplit(endpoint)
    port = url.port or (443 if url.scheme == "https" else 80)
    if (port, "TCP") not in set(ports(rule, {})):
        return False
    labels = url.hostname.split(".")
    for peer in peers(rule):
        block = peer.get("ipBlock")
        if block:
            try:
                return ipaddress.ip_address(url.hostname) in ipaddress.ip_network(block["cidr"])
            except ValueError:
                return True
        namespace = peer.get("namespaceSelector", {}).get("matchLabels", {}).get(NAMESPACE)
        pods = peer.get("podSelector", {}).get("matchLabels", {})
        if len(labels) > 1 and labels[1] == namespace and pods.get("domicile-region") == region:
            return True
    return False


def applications_reach_storage_through_the_router_alone(found):
    for workload, container, _ in readable(found):
        if container not in pod_of(workload)["containers"]:
            continue
        rules = rules_of(found, CALLER, "egress")
        if rules is None:
            yield "a caller may reach anything"
            continue
        through = [r for r in rules if leads_to(r, workload, 8080)]
        if not through:
            yield f"a caller cannot reach {where(workload)}"
        for rule in rules:
            if not is_dns(rule) and rule not in through:
                yield f"a caller may reach more than the router: {peers(rule)}"


def leads_to(rule, workload, port):
    """Whether the rule leads to this workload's pods on this port, and to nothing else."""
    only = list(ports(rule, pod_of(workload))) == [(port, "TCP")]
    return only and all(
        set(p) == {"podSelector"} and p["podSelector"].get("matchLabels", {}).get("domicile-role") == "router" and selects(p["podSelector"], pod_labels(workload))
        for p in peers(rule)
    )


def routers_are_reached_by_callers_and_prometheus_alone(found):
    for workload, container, _ in readable(found):
        rules = rules_of(found, pod_labels(workload), "ingress")
        if rules is None:
            yield f"{where(workload)} is reached by anybody"
            continue
        gateway = container in pod_of(workload)["containers"]
        called = scraped = False
        for rule in rules:
            for number, protocol in ports(rule, pod_of(workload)):
                for peer in peers(rule):
                    is_caller = set(peer) == {"podSelector"} and peer["podSelector"].get("matchLabels") == CALLER
                    is_prometheus = peer.get("namespaceSelector", {}).get("matchLabels", {}).get(NAMESPACE)
                    if gateway and (number, protocol) == (8080, "TCP") and is_caller:
                        called = True
                    elif (number, protocol) == (9090, "TCP") and is_prometheus:
                        scraped = True
                    else:
                        yield f"{where(workload)}: {peer} may reach {number}/{protocol}"
        if gateway and not called:
            yield f"{where(workload)}: no caller is let in"
        if not scraped:
            yield f"{where(workload)}: its metrics cannot be scraped"


def between(found, stores):
    """Routers of one set against the stores of another, in the same cluster."""
    for workload, _, read in readable(found):
        rules = rules_of(found, pod_labels(workload), "egress") or []
        for name, region in read["regions"].items():
            for endpoint in region["endpoints"]:
                url = urlsplit(endpoint)
                service = stores.named("Service", url.hostname.split(".")[0])
                if service is None:
                    yield f"no Service for {endpoint}"
                    continue
                picked = [w for w in stores.workloads() if selects({"matchLabels": service["spec"]["selector"]}, pod_labels(w))]
                if [pod_labels(w).get("domicile-region") for w in picked] != [name]:
                    yield f"{endpoint} is not the store of {name} alone"
                for store in picked:
                    port = next(p for p in service["spec"]["ports"] if p["port"] == url.port)
                    # Policies speak of the pod's port and not of the Service's.
                    number = port_number(pod_of(store), port["targetPort"])
                    out = [r for r in rules if (number, "TCP") in set(ports(r, pod_of(store))) and any(selects(p.get("podSelector"), pod_labels(store)) for p in peers(r))]
                    if not out:
                        yield f"{where(workload)} is not let out to {where(store)}"
                    into = rules_of(stores, pod_labels(store), "ingress")
                    admits = lambda labels: into is None or any(
                        (number, "TCP") in set(ports(r, pod_of(store))) and any(selects(p.get("podSelector"), labels) for p in peers(r)) for r in into
                    )
                    if not admits(pod_labels(workload)):
                        yield f"{where(workload)} is not let into {where(store)}"
                    if admits(CALLER) or admits({}):
                        yield f"{where(store)} lets in more than routers"


RULES = [
    what_is_not_named_is_denied,
    nothing_is_wide_open,
    routers_reach_names_and_their_regions_alone,
    applications_reach_storage_through_the_router_alone,
    routers_are_reached_by_callers_and_prometheus_alone,
]
