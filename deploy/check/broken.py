"""The checker's own test: each manifest here is sound but for one thing, and must be refused by the
rule that is there for it. A rule without a manifest here fails the test too."""

import copy

import render
import rules
import same
from rules import network, objects

GONE = object()
POD = "spec.template.spec"
ROUTER = f"{POD}.containers.0"
SIDECAR = f"{POD}.initContainers.0"

# Rule, shape, object, path, what stands there instead. A path with `+` at its end appends.
CASES = [
    ("restricted", "gateway", "StatefulSet domicile", f"{POD}.securityContext.runAsNonRoot", GONE),
    ("restricted", "gateway", "StatefulSet domicile", f"{POD}.securityContext.seccompProfile", GONE),
    ("restricted", "gateway", "StatefulSet domicile", f"{POD}.securityContext.seccompProfile.type", "Unconfined"),
    ("restricted", "gateway", "StatefulSet domicile", f"{POD}.securityContext.appArmorProfile", {"type": "Unconfined"}),
    ("restricted", "gateway", "StatefulSet domicile", f"{POD}.securityContext.sysctls", [{"name": "kernel.sem", "value": "1"}]),
    ("restricted", "gateway", "StatefulSet domicile", f"{POD}.securityContext.seLinuxOptions", {"type": "spc_t"}),
    ("restricted", "gateway", "StatefulSet domicile", f"{POD}.hostNetwork", True),
    ("restricted", "gateway", "StatefulSet domicile", f"{POD}.volumes.+", {"name": "host", "hostPath": {"path": "/"}}),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.securityContext", GONE),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.securityContext.privileged", True),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.securityContext.runAsUser", 0),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.securityContext.allowPrivilegeEscalation", True),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.securityContext.capabilities.drop", ["KILL"]),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.securityContext.capabilities.add", ["NET_ADMIN"]),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.securityContext.procMount", "Unmasked"),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.ports.0.hostPort", 8080),
    ("restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.livenessProbe.httpGet.host", "10.0.0.1"),
    ("restricted", "sidecar", "StatefulSet app", f"{SIDECAR}.securityContext.allowPrivilegeEscalation", GONE),
    ("restricted", "sidecar", "StatefulSet app", f"{POD}.containers.0.securityContext.capabilities", GONE),
    ("beyond_restricted", "gateway", "StatefulSet domicile", f"{POD}.securityContext.runAsUser", 1000),
    ("beyond_restricted", "gateway", "StatefulSet domicile", f"{POD}.automountServiceAccountToken", True),
    ("beyond_restricted", "gateway", "StatefulSet domicile", f"{POD}.enableServiceLinks", GONE),
    ("beyond_restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.securityContext.readOnlyRootFilesystem", False),
    ("beyond_restricted", "gateway", "StatefulSet domicile", f"{ROUTER}.image", "domicile"),
    ("nobody_has_rights_in_the_api", "gateway", "ServiceAccount domicile", "automountServiceAccountToken", GONE),
    ("nobody_has_rights_in_the_api", "gateway", "ServiceAccount domicile", "kind", "ClusterRoleBinding"),
    ("namespaces_enforce_restricted", "gateway", "Namespace domicile-sg", "metadata.labels", {}),
    ("probes_ask_the_probes_listener", "gateway", "StatefulSet domicile", f"{ROUTER}.startupProbe", GONE),
    ("probes_ask_the_probes_listener", "gateway", "StatefulSet domicile", f"{ROUTER}.livenessProbe.httpGet.path", "/readyz"),
    ("probes_ask_the_probes_listener", "gateway", "StatefulSet domicile", f"{ROUTER}.readinessProbe.httpGet.port", "http"),
    ("resources_are_given", "gateway", "StatefulSet domicile", f"{ROUTER}.resources.limits.memory", GONE),
    ("resources_are_given", "gateway", "StatefulSet domicile", f"{ROUTER}.resources.requests.cpu", "2500m"),
    ("pods_stay_on_the_jurisdictions_nodes", "gateway", "StatefulSet domicile", f"{POD}.affinity", GONE),
    ("pods_stay_on_the_jurisdictions_nodes", "gateway", "StatefulSet domicile", f"{POD}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms.+", {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}),
    ("pods_stay_on_the_jurisdictions_nodes", "gateway", "StatefulSet domicile", f"{POD}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms.0.matchExpressions.0.values", ["jurisdiction"]),
    ("pods_stay_on_the_jurisdictions_nodes", "gateway", "StatefulSet domicile", f"{POD}.topologySpreadConstraints", GONE),
    ("state_outlives_the_pod", "gateway", "StatefulSet domicile", "spec.volumeClaimTemplates.0.spec.accessModes", ["ReadWriteMany"]),
    ("state_outlives_the_pod", "gateway", "StatefulSet domicile", "spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "Delete"),
    ("state_outlives_the_pod", "gateway", "StatefulSet domicile", f"{POD}.securityContext.fsGroup", GONE),
    ("state_outlives_the_pod", "gateway", "StatefulSet domicile", f"{ROUTER}.volumeMounts.3.name", "settings"),
    ("a_sidecar_is_up_before_and_down_after_its_app", "sidecar", "StatefulSet app", f"{SIDECAR}.restartPolicy", GONE),
    ("a_sidecar_is_up_before_and_down_after_its_app", "gateway", "StatefulSet domicile", f"{POD}.containers.+", {"name": "app", "image": "x:1"}),
    ("mounts_see_changes", "gateway", "StatefulSet domicile", f"{ROUTER}.volumeMounts.0.subPath", "domicile.toml"),
    ("mounts_see_changes", "gateway", "StatefulSet domicile", f"{ROUTER}.volumeMounts.2.readOnly", GONE),
    ("services_reach_ports_of_pods", "gateway", "Service domicile", "spec.ports.0.targetPort", "https"),
    ("services_reach_ports_of_pods", "gateway", "Service domicile", "spec.selector", {"app.kubernetes.io/name": "other"}),
    ("selectors_fit_their_own_pods", "gateway", "StatefulSet domicile", "spec.template.metadata.labels", {"domicile-role": "router"}),
    ("selectors_fit_their_own_pods", "gateway", "StatefulSet domicile", f"{POD}.topologySpreadConstraints.0.labelSelector.matchLabels", {"app": "x"}),
    ("selectors_fit_their_own_pods", "gateway", "StatefulSet domicile", "spec.serviceName", "domicile"),
    ("disruptions_are_bounded_and_possible", "gateway", "PodDisruptionBudget domicile", "spec.selector.matchLabels", {"app": "x"}),
    ("disruptions_are_bounded_and_possible", "gateway", "PodDisruptionBudget domicile", "spec.maxUnavailable", 0),
    ("references_lead_somewhere", "gateway", "ConfigMap domicile-organisation", "metadata.name", "organisation"),
    ("references_lead_somewhere", "gateway", "Secret domicile", "metadata.name", "other"),
    ("references_lead_somewhere", "gateway", "ServiceAccount domicile", "metadata.name", "other"),
    ("references_lead_somewhere", "gateway", "StatefulSet domicile", f"{ROUTER}.volumeMounts.0.name", "setings"),
    ("references_lead_somewhere", "gateway", "StatefulSet domicile", f"{ROUTER}.envFrom.0.configMapRef.name", "location"),
    ("secrets_are_not_in_the_manifests", "gateway", "Secret domicile", "stringData", {"admin-token": "x"}),
    ("settings_are_there", "gateway", "StatefulSet domicile", f"{ROUTER}.args.2", "/etc/domicile/domicile.toml"),
    ("files_that_settings_name_are_mounted", "gateway", "StatefulSet domicile", f"{ROUTER}.volumeMounts.1.mountPath", "/etc/organisation"),
    ("files_that_settings_name_are_mounted", "gateway", "StatefulSet domicile", f"{POD}.volumes.2.secret.items.0.path", "key"),
    ("files_that_settings_name_are_mounted", "gateway", "StatefulSet domicile", f"{POD}.volumes.2.secret.defaultMode", 0o444),
    ("files_that_settings_name_are_mounted", "gateway", "ConfigMap domicile-location", "data.DOMICILE__LEDGER__PATH", "/tmp/ledger"),
    ("listeners_are_the_ports", "gateway", "ConfigMap domicile-location", "data.DOMICILE__DATA_PLANE__LISTEN", "0.0.0.0:8081"),
    ("listeners_are_the_ports", "gateway", "ConfigMap domicile-location", "data.DOMICILE__PROBES__LISTEN", "127.0.0.1:9091"),
    ("termination_outlasts_the_drain", "gateway", "StatefulSet domicile", f"{POD}.terminationGracePeriodSeconds", 52),
    ("termination_outlasts_the_drain", "gateway", "StatefulSet domicile", f"{POD}.terminationGracePeriodSeconds", GONE),
    ("termination_outlasts_the_drain", "sidecar", "StatefulSet app", f"{POD}.terminationGracePeriodSeconds", 75),
    ("termination_outlasts_the_drain", "gateway", "ConfigMap domicile-location", "data.DOMICILE__DATA_PLANE__DRAIN", "1m"),
    ("termination_outlasts_the_drain", "gateway", "ConfigMap domicile-location", "data.DOMICILE__DATA_PLANE__DRAIN_DELAY", "0s"),
    ("termination_outlasts_the_drain", "gateway", "StatefulSet domicile", f"{ROUTER}.readinessProbe.periodSeconds", 10),
    ("memory_is_enough", "gateway", "StatefulSet domicile", f"{ROUTER}.resources.limits.memory", "512Mi"),
    ("memory_is_enough", "gateway", "ConfigMap domicile-location", "data.DOMICILE__LIMITS__MEMORY", "8MiB"),
    ("a_sidecars_app_stores_through_it", "sidecar", "StatefulSet app", f"{POD}.containers.0.env.0.value", "http://store-sg.stores:8000"),
    ("a_sidecars_app_stores_through_it", "sidecar", "StatefulSet app", f"{SIDECAR}.env.0.value", "0.0.0.0:8080"),
    ("a_sidecars_app_stores_through_it", "gateway", "ConfigMap domicile-location", "data.DOMICILE__DATA_PLANE__LISTEN", "127.0.0.1:8080"),
    ("a_sidecars_app_stores_through_it", "gateway", "ConfigMap domicile-location", "data.DOMICILE__DATA_PLANE__TRUSTED", "10.0.0.0/8"),
    ("replicas_that_forget_nothing_are_one", "gateway", "HorizontalPodAutoscaler domicile", "spec.maxReplicas", 2),
    ("replicas_that_forget_nothing_are_one", "gateway", "HorizontalPodAutoscaler domicile", "kind", "ConfigMap"),
    ("replicas_that_forget_nothing_are_one", "gateway", "HorizontalPodAutoscaler domicile", "spec.scaleTargetRef.kind", "Deployment"),
    ("replicas_that_forget_nothing_are_one", "gateway", "HorizontalPodAutoscaler domicile", "spec.metrics.0.containerResource.container", "router"),
    ("replicas_that_forget_nothing_are_one", "gateway", "StatefulSet domicile", "spec.replicas", 1),
    ("jurisdiction_is_told", "gateway", "ConfigMap domicile-location", "data.DOMICILE__LOCATION__COUNTRY", "US"),
    ("jurisdiction_is_told", "gateway", "ConfigMap domicile-location", "data.DOMICILE__LOCATION__ENTITY", GONE),
    ("callers_find_the_router", "gateway", "Service domicile", "spec.clusterIP", "None"),
    ("what_is_not_named_is_denied", "gateway", "NetworkPolicy domicile-deny-all", "spec.policyTypes", ["Ingress"]),
    ("what_is_not_named_is_denied", "gateway", "NetworkPolicy domicile-deny-all", "spec.podSelector", {"matchLabels": {"domicile-role": "router"}}),
    ("what_is_not_named_is_denied", "gateway", "NetworkPolicy domicile-deny-all", "spec.egress", [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}]),
    ("nothing_is_wide_open", "gateway", "NetworkPolicy domicile", "spec.egress.1.to", []),
    ("nothing_is_wide_open", "gateway", "NetworkPolicy domicile", "spec.egress.1.ports", GONE),
    ("nothing_is_wide_open", "gateway", "NetworkPolicy domicile", "spec.egress.1.to", [{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
    ("nothing_is_wide_open", "gateway", "NetworkPolicy domicile", "spec.egress.1.to", [{"namespaceSelector": {}}]),
    ("routers_reach_names_and_their_regions_alone", "gateway", "NetworkPolicy domicile", "spec.egress.0", GONE),
    ("routers_reach_names_and_their_regions_alone", "gateway", "NetworkPolicy domicile", "spec.egress.3", GONE),
    ("routers_reach_names_and_their_regions_alone", "gateway", "NetworkPolicy domicile", "spec.egress.3.ports.0.port", 8001),
    ("routers_reach_names_and_their_regions_alone", "gateway", "NetworkPolicy domicile", "spec.egress.+", {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}),
    ("routers_reach_names_and_their_regions_alone", "gateway", "NetworkPolicy domicile", "spec.egress.3.to.0.podSelector.matchLabels.domicile-region", "us"),
    ("routers_reach_names_and_their_regions_alone", "sidecar", "NetworkPolicy domicile", "spec.egress.3.to.0.namespaceSelector.matchLabels", {"kubernetes.io/metadata.name": "other"}),
    ("applications_reach_storage_through_the_router_alone", "gateway", "NetworkPolicy domicile-callers-out", "spec.egress.+", {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "stores"}}}], "ports": [{"port": 8000}]}),
    ("applications_reach_storage_through_the_router_alone", "gateway", "NetworkPolicy domicile-callers-out", "spec.egress.1.ports.0.port", "admin"),
    ("applications_reach_storage_through_the_router_alone", "gateway", "NetworkPolicy domicile-callers-out", "spec.egress.1", GONE),
    ("routers_are_reached_by_callers_and_prometheus_alone", "gateway", "NetworkPolicy domicile-callers-in", "spec.ingress.0.ports.+", {"port": "admin"}),
    ("routers_are_reached_by_callers_and_prometheus_alone", "gateway", "NetworkPolicy domicile-callers-in", "spec.ingress.0.from.0", {"namespaceSelector": {"matchLabels": {"team": "x"}}}),
    ("routers_are_reached_by_callers_and_prometheus_alone", "gateway", "NetworkPolicy domicile-callers-in", "spec.ingress", GONE),
    ("routers_are_reached_by_callers_and_prometheus_alone", "gateway", "NetworkPolicy domicile", "spec.ingress", GONE),
    ("routers_are_reached_by_callers_and_prometheus_alone", "sidecar", "NetworkPolicy domicile", "spec.ingress.0.ports.0.port", "http"),
]

# What the API's own schemas must refuse.
SCHEMA_CASES = [
    ("StatefulSet domicile", f"{ROUTER}.securityContext.readOnlyRootFileSystem", True),
    ("StatefulSet domicile", f"{ROUTER}.ports.0.containerPort", "8080"),
    ("StatefulSet domicile", "spec.selector", GONE),
    ("HorizontalPodAutoscaler domicile", "apiVersion", "autoscaling/v2beta2"),
    ("NetworkPolicy domicile", "spec.egress.0.too", []),
]

# What the rules about two sets must refuse: which set, object, path, instead.
BETWEEN_CASES = [
    ("stores", "Service store-eu", "metadata.name", "store-de"),
    ("stores", "Service store-eu", "spec.selector.domicile-region", "ru"),
    ("stores", "Deployment store-eu", "spec.template.metadata.labels.domicile-region", "sg"),
    ("stores", "Deployment store-eu", f"{ROUTER}.ports.0.containerPort", 8001),
    ("stores", "NetworkPolicy stores", "spec.ingress.0.from.0.podSelector.matchLabels", {"domicile-role": "caller"}),
    ("stores", "NetworkPolicy stores", "spec.podSelector", {"matchLabels": {"app": "x"}}),
    ("routers", "NetworkPolicy domicile", "spec.egress.3", GONE),
]

# What Kustomize and Helm must not differ in.
SAME_CASES = [
    ("StatefulSet domicile", f"{ROUTER}.readinessProbe.failureThreshold", 3),
    ("StatefulSet domicile", f"{POD}.priorityClassName", "high"),
    ("ConfigMap domicile-settings", "data", {"domicile.toml": ""}),
    ("NetworkPolicy domicile-callers-out", "kind", "ConfigMap"),
    ("Service domicile", "spec.selector", {}),
]


# What must not start, in a root like the container's; and a word of the reason.
POD_CASES = [
    ("ConfigMap domicile-location", "data.DOMICILE__LEDGER__PATH", "/ledger", "Read-only"),
    ("StatefulSet domicile", f"{ROUTER}.volumeMounts.1.mountPath", "/etc/organisation", "no organisation file"),
    ("StatefulSet domicile", f"{POD}.volumes.2.secret.items.0.path", "key", "subject-key"),
]


def edit(manifests, name, path, value):
    """A copy with one place changed; the place, or the one it hangs on, must be there."""
    manifests = copy.deepcopy(manifests)
    kind, _, name = name.partition(" ")
    # Of a name with a hash, the part before it.
    at = next(m for m in manifests if m["kind"] == kind and (m["metadata"]["name"] == name or m["metadata"]["name"].rpartition("-")[0] == name))
    steps = path.split(".")
    # Labels and keys of data have dots of their own only in ways that no case needs.
    for step in steps[:-1]:
        at = at[int(step)] if isinstance(at, list) else at[step]
    last = steps[-1]
    if last == "+":
        at.append(value)
    elif value is GONE:
        del at[int(last) if isinstance(at, list) else last]
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return manifests


def failures(sets, stores, helmed):
    """Sentences on what the checker let pass. `sets`: the sound ones by shape."""
    for rule, shape, name, path, value in CASES:
        found = rules.faults(edit(sets[shape], name, path, value))
        if not any(f.startswith(f"{rule}: ") and rules.UNREADABLE not in f for f in found):
            yield f"`{rule}` let pass: {name} {path} = {value}; told was {found}"
    for rule in {r.__name__ for r in rules.ALL} - {case[0] for case in CASES}:
        yield f"`{rule}` has no broken manifest"
    gateway = sets["gateway"]
    for name, path, value in SCHEMA_CASES:
        broken = edit(gateway, name, path, value)
        kind = name.split()[0]
        if not list(render.schema_faults([m for m in broken if m["kind"] == kind], ("1.35",))):
            yield f"the schemas let pass: {name} {path} = {value}"
    for which, name, path, value in BETWEEN_CASES:
        routers, shops = (gateway, edit(stores, name, path, value)) if which == "stores" else (edit(gateway, name, path, value), stores)
        if not list(network.between(objects.Set(routers), objects.Set(shops))):
            yield f"`between` let pass: {name} {path} = {value}"
    for name, path, value in SAME_CASES:
        if not list(same.differences(gateway, edit(helmed, name, path, value), "domicile")):
            yield f"`same` let pass: {name} {path} = {value}"


def started(gateway, start):
    """Sentences on what was started although it must not. `start`: gives the faults of a set."""
    for name, path, value, reason in POD_CASES:
        found = start(edit(gateway, name, path, value))
        if not any(reason in fault for fault in found):
            yield f"started with {name} {path} = {value}; told was {found}"


def count():
    return len(CASES) + len(SCHEMA_CASES) + len(BETWEEN_CASES) + len(SAME_CASES) + len(POD_CASES)
