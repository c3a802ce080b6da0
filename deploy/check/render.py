"""Renders what stands under deploy/, and checks it against the API's own schemas."""

import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHART = ROOT / "helm" / "domicile"
JURISDICTIONS = ("cn", "in", "ru", "eu", "sg")
SHAPES = ("gateway", "sidecar")
# The oldest that knows native sidecars, and the newest that the schemas have.
VERSIONS = ("1.29", "1.33", "1.35", "1.37")


class Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: the API server would take the last one without a word."""


def mapping(loader, node):
    keys = [loader.construct_object(k) for k, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.YAMLError(f"key `{key}` stands twice {node.start_mark}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


Loader.add_constructor("tag:yaml.org,2002:map", mapping)


def load(text):
    return [m for m in yaml.load_all(text, Loader) if m]


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stderr}")
    return done.stdout


def kustomize(kubectl, folder):
    return load(run(kubectl, "kustomize", folder))


def helm(helm_program, *arguments, release="domicile", namespace="domicile-x"):
    return load(run(helm_program, "template", release, CHART, "--namespace", namespace, *arguments))


def schema_faults(manifests, versions=VERSIONS):
    import kubernetes_validate

    for version in versions:
        for manifest in manifests:
            name = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(step) for step in error.path)
                yield f"{name}, API {version}: {path}: {error.message}"
            except kubernetes_validate.utils.SchemaNotFoundError:
                yield f"{name}, API {version}: there is no {manifest['kind']} of {manifest.get('apiVersion')}"
