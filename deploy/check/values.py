"""Values for the chart: by chance, but the same at each run; and such as must be refused."""

import random

import render

# Arguments of `helm template` that must fail, and a word of the reason.
REFUSED = [
    (["--set", "shape=proxy"], "shape"),
    (["--set", "shpae=sidecar"], "shpae"),
    (["--set", "jurisdiction.nodeRegions=null"], "nodeRegions"),
    (["--set-json", "jurisdiction.nodeRegions=[]"], "nodeRegions"),
    (["--set", "jurisdiction.country=Singapore"], "country"),
    (["--set-json", "regions=[]"], "regions"),
    (["--set-json", 'regions=[{"port":443,"to":[]}]'], "to"),
    (["--set-json", 'regions=[{"port":443,"to":[{"ipBlock":{"cidr":"0.0.0.0/0"}}]}]'], "cidr"),
    (["--set-json", 'regions=[{"port":443,"to":[{"namespaceSelector":{}}]}]'], "namespaceSelector"),
    (["--set", "autoscaling.maxReplicas=3"], "independentReplicas"),
    (["--set", "autoscaling.minReplicas=2"], "autoscaling"),
    (["--set", "state.accessMode=ReadWriteMany"], "accessMode"),
    (["--set", "environment.LOG=debug"], "environment"),
    (["--set", "resources.requests.cpu=1"], "resources"),
    (["--set", "terminationGracePeriodSeconds=5"], "terminationGracePeriodSeconds"),
    (["--set", "secret.subjectKey=abc"], "subjectKey"),
]


def by_chance(seed):
    """Sound values; of what a rule of ours forbids together (several replicas that pin), nothing."""
    chance = random.Random(seed)
    pick = chance.choice
    shape = pick(render.SHAPES)
    values = {
        "shape": shape,
        "fullnameOverride": pick(["", "people", "res-1"]),
        "image": {"repository": pick(["domicile", "registry.example.com/platform/domicile"]), "tag": pick(["", "0.1.0", "sha-1f063c3"])},
        "prometheus": {"namespace": pick(["monitoring", "observability"])},
        "lawConfigMap": pick(["", "domicile-law"]),
        "tlsSecret": pick(["", "domicile-tls"]),
        "state": {"size": pick(["", "5Gi", "2Ti"]), "storageClass": pick(["", "fast"]), "accessMode": pick(["ReadWriteOncePod", "ReadWriteOnce"])},
        "podAnnotations": pick([{}, {"example.com/team": "records"}]),
        "tolerations": pick([[], [{"key": "records", "operator": "Exists", "effect": "NoSchedule"}]]),
        "priorityClassName": pick(["", "system-cluster-critical"]),
        "imagePullSecrets": pick([[], [{"name": "pull"}]]),
        "terminationGracePeriodSeconds": pick([None, 90, 300]),
        "resources": pick([None, {"requests": {"cpu": "500m", "memory": "320Mi"}, "limits": {"cpu": 4, "memory": "1Gi"}}]),
        "environment": pick([{}, {"DOMICILE__LOG__LEVEL": "warn", "DOMICILE__DATA_PLANE__CONNECTIONS": "2000"}]),
        "app": {"name": pick(["app", "orders"]), "image": "registry.example.com/orders:2.4"},
    }
    if pick([True, False]):
        values["independentReplicas"] = True
        values["autoscaling"] = {"minReplicas": 2, "maxReplicas": 6}
        values["environment"] = {**values["environment"], "DOMICILE__ROUTES__0__PIN": "never", "DOMICILE__ROUTES__1__PIN": "never"}
    if pick([True, False]):
        values["secret"] = {"create": False, "name": "domicile-keys"}
    return values
