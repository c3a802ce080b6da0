"""Kustomize and Helm render the same, but for names."""

import copy
import json

# What only one of the two has, and why.
ONLY_KUSTOMIZE = {"Namespace"}  # Helm is told its namespace (--create-namespace)
HELM_LABELS = {"helm.sh/chart", "app.kubernetes.io/managed-by"}
HELM_ANNOTATIONS = {"helm.sh/resource-policy"}


def differences(kustomized, helmed, release):
    """Sentences on what differs once names are taken away."""
    left = {key(m): m for m in map(plain, kustomized) if m["kind"] not in ONLY_KUSTOMIZE}
    right = {key(m): m for m in (plain(rename(m, release)) for m in helmed)}
    for missing in sorted(set(left) - set(right)):
        yield f"Helm renders no {missing}"
    for extra in sorted(set(right) - set(left)):
        yield f"Kustomize renders no {extra}"
    for name in sorted(set(left) & set(right)):
        yield from (f"{name}: {d}" for d in differ(left[name], right[name], ""))


def key(manifest):
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def rename(manifest, release):
    """Every name that begins with the release's begins with `domicile` instead."""

    def walk(value, parent):
        if isinstance(value, dict):
            return {k: walk(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v, parent) for v in value]
        named = parent in ("name", "secretName", "serviceName", "serviceAccountName", "app.kubernetes.io/instance")
        if named and (value == release or str(value).startswith(f"{release}-")):
            return "domicile" + value[len(release):]
        return value

    return walk(copy.deepcopy(manifest), "")


def plain(manifest):
    """Without hashes in names, the namespace, and what Helm writes on everything."""
    text = json.dumps(manifest)
    for config in ([manifest["metadata"]["name"]] if manifest["kind"] == "ConfigMap" else names_of_configs(manifest)):
        if config.startswith("domicile-location-"):
            text = text.replace(config, "domicile-location")
    manifest = json.loads(text)
    metadata = manifest["metadata"]
    metadata.pop("namespace", None)
    for gone, where in ((HELM_LABELS, "labels"), (HELM_ANNOTATIONS, "annotations")):
        metadata[where] = {k: v for k, v in metadata.get(where, {}).items() if k not in gone}
    # Which objects bear which of our own labels is form; what selects is compared in full.
    metadata["labels"] = {k: v for k, v in metadata["labels"].items() if k == "domicile-jurisdiction"}
    return manifest


def names_of_configs(manifest):
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
        for source in container.get("envFrom", []):
            yield source["configMapRef"]["name"]


def differ(left, right, path):
    if isinstance(left, dict) and isinstance(right, dict):
        for name in sorted(set(left) | set(right)):
            if name not in left or name not in right:
                yield f"{path}.{name} stands only in {'Helm' if name in right else 'Kustomize'}"
            else:
                yield from differ(left[name], right[name], f"{path}.{name}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right)):
            yield from differ(one, other, f"{path}[{number}]")
    elif left != right:
        yield f"{path}: {left!r} in Kustomize, {right!r} in Helm"
