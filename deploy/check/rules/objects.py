"""Names, labels and ports: whether objects that name each other fit."""

ROUTER = "domicile"
# Brought by the operator; the components and values that ask for them say so.
BROUGHT = {"domicile-law", "domicile-tls", "domicile-keys"}


class Set:
    """One rendered set of objects."""

    def __init__(self, manifests):
        self.all = [m for m in manifests if m]

    def of(self, *kinds):
        return [m for m in self.all if m["kind"] in kinds]

    def named(self, kind, name):
        return next((m for m in self.of(kind) if m["metadata"]["name"] == name), None)

    def workloads(self):
        return self.of("StatefulSet", "Deployment", "DaemonSet", "Job")

    def routers(self):
        """Workloads with a router in their pods, and its container."""
        for workload in self.workloads():
            container = router_container(pod_of(workload))
            if container:
                yield workload, container


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def pod_labels(workload):
    return workload["spec"]["template"]["metadata"].get("labels", {})


def containers(pod):
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def router_container(pod):
    """The container that runs the router; a store of the same image is none."""
    ours = [c for c in containers(pod) if c.get("args", [])[:1] == ["run"]]
    return ours[0] if ours else None


def selects(selector, labels):
    """Whether a label selector picks these labels; an absent one picks nothing, an empty one all."""
    if selector is None:
        return False
    if selector.get("matchExpressions"):
        raise ValueError("matchExpressions are not read here: write matchLabels")
    return all(labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items())


def port_number(pod, port):
    """The number of a container port, given by name or number; None if no container has it."""
    for container in containers(pod):
        for known in container.get("ports", []):
            if port in (known.get("name"), known["containerPort"]):
                return known["containerPort"]
    return None


def where(workload):
    return f"{workload['kind']} {workload['metadata']['name']}"


def services_reach_ports_of_pods(found):
    for service in found.of("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        picked = [w for w in found.workloads() if selects({"matchLabels": spec["selector"]}, pod_labels(w))]
        if not picked:
            yield f"Service {name} selects no pod"
        for workload in picked:
            for port in spec["ports"]:
                if port_number(pod_of(workload), port["targetPort"]) is None:
                    yield f"Service {name}: {where(workload)} has no port {port['targetPort']}"


def selectors_fit_their_own_pods(found):
    for workload in found.workloads():
        # A Job is given its selector by the API.
        if workload["kind"] != "Job" and not selects(workload["spec"]["selector"], pod_labels(workload)):
            yield f"{where(workload)} does not select its own pods"
        for spread in pod_of(workload).get("topologySpreadConstraints", []):
            if not selects(spread.get("labelSelector"), pod_labels(workload)):
                yield f"{where(workload)} is spread against other pods than its own"
        if workload["kind"] == "StatefulSet":
            service = found.named("Service", workload["spec"].get("serviceName"))
            if service is None or service["spec"].get("clusterIP") != "None":
                yield f"{where(workload)} has no headless Service"


def disruptions_are_bounded_and_possible(found):
    for workload, _ in found.routers():
        budgets = [b for b in found.of("PodDisruptionBudget") if selects(b["spec"]["selector"], pod_labels(workload))]
        if len(budgets) != 1:
            yield f"{where(workload)} has {len(budgets)} PodDisruptionBudgets"
        for budget in budgets:
            if budget["spec"].get("maxUnavailable") != 1:
                yield f"the budget of {where(workload)} is not one pod at a time"


def references_lead_somewhere(found):
    for workload in found.workloads():
        pod = pod_of(workload)
        account = pod.get("serviceAccountName")
        if account and not found.named("ServiceAccount", account):
            yield f"{where(workload)}: no ServiceAccount {account}"
        for volume in pod.get("volumes", []):
            for kind, key in (("configMap", "name"), ("secret", "secretName")):
                if kind in volume and not known(found, kind, volume[kind][key]):
                    yield f"{where(workload)}: volume {volume['name']} has no {kind} {volume[kind][key]}"
        claims = [c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])]
        volumes = {v["name"] for v in pod.get("volumes", [])} | set(claims)
        for container in containers(pod):
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{where(workload)}: mount of an unknown volume {mount['name']}"
            for source in container.get("envFrom", []):
                if not known(found, "configMap", source["configMapRef"]["name"]):
                    yield f"{where(workload)}: no ConfigMap {source['configMapRef']['name']}"


def known(found, kind, name):
    return name in BROUGHT or found.named({"configMap": "ConfigMap", "secret": "Secret"}[kind], name) is not None


def secrets_are_not_in_the_manifests(found):
    for secret in found.of("Secret"):
        if secret.get("data") or secret.get("stringData"):
            yield f"Secret {secret['metadata']['name']} has its content in the manifest"


RULES = [
    services_reach_ports_of_pods,
    selectors_fit_their_own_pods,
    disruptions_are_bounded_and_possible,
    references_lead_somewhere,
    secrets_are_not_in_the_manifests,
]
