"""All checks of deploy/kubernetes and deploy/helm; `run` brings the programs that it wants.

    check.py --kubectl PROGRAM --helm PROGRAM --domicile PROGRAM

Ends with 1 and every fault. Needs no cluster."""

import argparse
import json
import pathlib
import re
import shutil
import sys
import tempfile

import broken
import pod
import render
import rules
import same
import serve
import values
from rules import network, objects

REPOSITORY = render.ROOT.parent
POLICIES = REPOSITORY / "policies"
# The schemas take their time: all versions for what is applied as it stands, the newest for the rest.
NEWEST = render.VERSIONS[-1:]
SEEDS = range(8)


class Told:
    """Counts checks and prints faults as they are found."""

    def __init__(self):
        self.checks = self.faults = 0

    def __call__(self, what, faults):
        self.checks += 1
        for fault in faults:
            self.faults += 1
            print(f"!! {what}: {fault}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for program in ("kubectl", "helm", "domicile"):
        parser.add_argument(f"--{program}", required=True)
    args = parser.parse_args()
    told = Told()
    copies(told)
    guide(told)
    overlays = kustomize(told, args.kubectl)
    charts(told, args, overlays)
    stores = render.kustomize(args.kubectl, render.ROOT / "kubernetes" / "stores")
    told("stores", [*render.schema_faults(stores, NEWEST), *rules.faults(stores)])
    for name, manifests in overlays.items():
        told(f"{name} and the stores", network.between(objects.Set(manifests), objects.Set(stores)))
    tried(told, args)
    sets = {shape: overlays[f"sg/{shape}"] for shape in render.SHAPES}
    told("broken manifests", broken.failures(sets, stores, render.helm(args.helm, *of("sg", "gateway"))))
    why_not = pod.possible()
    if why_not:
        print(f"skipped: a root file system, user and network of the pod's own ({why_not}); paths and addresses are rewritten instead")
    start = serve.run_faults if why_not else pod.faults
    for name in ("sg/gateway", "eu/sidecar", "cn/gateway"):
        told(f"{name}, started", start(args.domicile, overlays[name], POLICIES))
    if not why_not:
        told("what must not start", broken.started(overlays["sg/gateway"], lambda m: start(args.domicile, m, POLICIES)))
    print(f"{broken.count()} broken sets were tried on the checks themselves")
    print(f"deploy: {told.checks} checks, {told.faults} faults")
    return 1 if told.faults else 0


def copies(told):
    """A chart and a Kustomize base can only read below themselves, so there are copies of some files."""
    base, chart = render.ROOT / "kubernetes" / "base", render.CHART / "files"
    demo = POLICIES / "examples" / "demo" / "organisation.toml"
    for one, other in ((base / "domicile.toml", chart / "domicile.toml"), (base / "organisation.toml", chart / "organisation.toml"), (demo, base / "organisation.toml")):
        told("copies", [] if one.read_bytes() == other.read_bytes() else [f"{other} is not {one}"])


def guide(told):
    """What the guide names is there."""
    for page in ("kubernetes.md", "scale.md"):
        text = (REPOSITORY / "docs" / page).read_text()
        named = set(re.findall(r"deploy/(?:[A-Z]|kubernetes|helm|check)[\w./-]*\w", text)) | {f"deploy/kubernetes/{c}" for c in re.findall(r"components/[a-z-]+", text)}
        told(page, [f"there is no {path}" for path in sorted(named) if not (REPOSITORY / path).exists()])


def kustomize(told, kubectl):
    """Every overlay with every rule, and what the ConfigMaps hold with the program itself."""
    overlays = {}
    for jurisdiction in render.JURISDICTIONS:
        for shape in render.SHAPES:
            name = f"{jurisdiction}/{shape}"
            manifests = render.kustomize(kubectl, render.ROOT / "kubernetes" / "overlays" / name)
            overlays[name] = manifests
            told(name, [*render.schema_faults(manifests), *rules.faults(manifests)])
    jobs = render.kustomize(kubectl, render.ROOT / "kubernetes" / "maintenance")
    told("maintenance", [*render.schema_faults(jobs), *rules.faults(jobs)])
    with tempfile.TemporaryDirectory() as folder:
        tree = shutil.copytree(render.ROOT / "kubernetes", pathlib.Path(folder) / "kubernetes")
        for shape in render.SHAPES:
            everything = tree / "everything" / shape
            everything.mkdir(parents=True)
            components = sorted(p.name for p in (tree / "components").iterdir())
            (everything / "kustomization.yaml").write_text(json.dumps({
                "resources": [f"../../overlays/in/{shape}"],
                "components": [f"../../components/{c}" for c in components],
            }))
            manifests = render.kustomize(kubectl, everything)
            told(f"{shape} with {', '.join(components)}", [*render.schema_faults(manifests, NEWEST), *rules.faults(manifests)])
    return overlays


def tried(told, args):
    """What the guide applies: each namespace by itself, then both together."""
    manifests = render.kustomize(args.kubectl, render.ROOT / "kubernetes" / "try")
    told("try", render.schema_faults(manifests, NEWEST))
    by_namespace = {}
    for manifest in manifests:
        metadata = manifest["metadata"]
        by_namespace.setdefault(metadata.get("namespace", metadata["name"]), []).append(manifest)
    for name, part in by_namespace.items():
        told(f"try, {name}", rules.faults(part))
    told("try, together", network.between(objects.Set(by_namespace["domicile-sg"]), objects.Set(by_namespace["stores"])))
    callers = [w for w in objects.Set(manifests).workloads() if objects.pod_labels(w).items() >= network.CALLER.items()]
    told("try, a caller", [] if callers else ["there is no pod to ask from"])


def of(jurisdiction, shape):
    return ["-f", render.CHART / "values" / f"{jurisdiction}.yaml", "--set", f"shape={shape}"]


def charts(told, args, overlays):
    """The chart against Kustomize, with values by chance, with bad ones, and inside another chart."""
    for name, kustomized in overlays.items():
        for release in ("domicile", "people"):
            manifests = render.helm(args.helm, *of(*name.split("/")), release=release)
            told(f"{name} by Helm as {release}", [*same.differences(kustomized, manifests, release), *rules.faults(manifests)])
        told(f"{name}, domicile check", serve.check_faults(args.domicile, manifests, POLICIES))
    told("the chart", render.schema_faults(manifests, render.VERSIONS))
    for seed in SEEDS:
        chosen = values.by_chance(seed)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(chosen, file)
            file.flush()
            jurisdiction = render.JURISDICTIONS[seed % len(render.JURISDICTIONS)]
            manifests = render.helm(args.helm, "-f", render.CHART / "values" / f"{jurisdiction}.yaml", "-f", file.name)
        what = f"values by chance {seed}"
        told(what, [*render.schema_faults(manifests, NEWEST), *rules.faults(manifests)])
        told(f"{what}, domicile check", serve.check_faults(args.domicile, manifests, POLICIES))
    for arguments, reason in values.REFUSED:
        told(" ".join(arguments), refused(args.helm, arguments, reason))
    told("helm lint", lint(args.helm))
    with tempfile.TemporaryDirectory() as folder:
        parent = shutil.copytree(pathlib.Path(__file__).parent / "parent", pathlib.Path(folder) / "orders")
        shutil.copytree(render.CHART, parent / "charts" / "domicile")
        manifests = render.load(render.run(args.helm, "template", "orders", parent, "--namespace", "orders"))
    told("a chart of one's own", [*render.schema_faults(manifests, NEWEST), *rules.faults(manifests)])


def refused(helm, arguments, reason):
    try:
        render.helm(helm, *arguments)
    except RuntimeError as error:
        return [] if reason in str(error) else [f"refused, but not for `{reason}`: {error}"]
    return ["was rendered"]


def lint(helm):
    try:
        render.run(helm, "lint", "--strict", render.CHART)
    except RuntimeError as error:
        return [str(error)]
    return []


if __name__ == "__main__":
    sys.exit(main())
