"""The Pod Security Standard `restricted` (Kubernetes documentation, "Pod Security Standards"), and what
this project asks beyond it."""

from .objects import containers, pod_of, where

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
UID = 65532


def restricted(found):
    for workload in found.workloads():
        pod, at = pod_of(workload), where(workload)
        security = pod.get("securityContext", {})
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(key):
                yield f"{at}: {key}"
        for volume in pod.get("volumes", []):
            for kind in set(volume) - {"name"} - VOLUMES:
                yield f"{at}: volume {volume['name']} is a {kind}"
        for sysctl in security.get("sysctls", []):
            if sysctl["name"] not in SYSCTLS:
                yield f"{at}: sysctl {sysctl['name']}"
        yield from both(at, security)
        for container in [*containers(pod), *pod.get("ephemeralContainers", [])]:
            yield from of_container(f"{at}/{container['name']}", container, security)


def of_container(at, container, pod):
    own = container.get("securityContext", {})
    yield from both(at, own)
    if own.get("privileged"):
        yield f"{at}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{at}: allowPrivilegeEscalation is not false"
    capabilities = own.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"]:
        yield f"{at}: capabilities are not all dropped"
    for added in capabilities.get("add", []):
        if added != "NET_BIND_SERVICE":
            yield f"{at}: capability {added} is added"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{at}: runAsNonRoot is not true"
    if own.get("runAsUser", pod.get("runAsUser")) == 0:
        yield f"{at}: runs as root"
    seccomp = own.get("seccompProfile", pod.get("seccompProfile", {})).get("type")
    if seccomp not in ("RuntimeDefault", "Localhost"):
        yield f"{at}: seccomp profile {seccomp}"
    if own.get("procMount", "Default") != "Default":
        yield f"{at}: procMount"
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"{at}: hostPort {port['hostPort']}"
    handlers = [container.get(p, {}) for p in ("startupProbe", "readinessProbe", "livenessProbe")]
    handlers += container.get("lifecycle", {}).values()
    for handler in handlers:
        if handler.get("httpGet", {}).get("host") or handler.get("tcpSocket", {}).get("host"):
            yield f"{at}: a probe or hook names a host"


def both(at, security):
    """What is alike for pods and containers."""
    profile = security.get("appArmorProfile", {}).get("type", "RuntimeDefault")
    if profile not in ("RuntimeDefault", "Localhost"):
        yield f"{at}: AppArmor profile {profile}"
    selinux = security.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX or selinux.get("user") or selinux.get("role"):
        yield f"{at}: SELinux options"
    if security.get("windowsOptions", {}).get("hostProcess"):
        yield f"{at}: hostProcess"


def beyond_restricted(found):
    for workload in found.workloads():
        pod, at = pod_of(workload), where(workload)
        if pod.get("securityContext", {}).get("runAsUser") != UID:
            yield f"{at}: does not run as {UID}"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{at}: mounts a token of the API"
        if pod.get("enableServiceLinks") is not False:
            yield f"{at}: variables of Services could be taken for settings"
        for container in containers(pod):
            own = container.get("securityContext", {})
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{at}/{container['name']}: its root file system can be written"
            tag = container["image"].rpartition(":")[2]
            if "/" in tag or tag in ("", "latest") or ":" not in container["image"]:
                yield f"{at}/{container['name']}: image {container['image']} has no tag of its own"


def nobody_has_rights_in_the_api(found):
    for right in found.of("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        yield f"{right['kind']} {right['metadata']['name']}"
    for account in found.of("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount {account['metadata']['name']} hands out its token"


def namespaces_enforce_restricted(found):
    for namespace in found.of("Namespace"):
        labels = namespace["metadata"].get("labels", {})
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace {namespace['metadata']['name']} does not enforce it"


RULES = [restricted, beyond_restricted, nobody_has_rights_in_the_api, namespaces_enforce_restricted]
