"""Every kind the lab serves, a table row each: what a further kind needs is a further row. The rows are those of a server 1.36.2."""

from __future__ import annotations

from collections.abc import Iterable

from lab.kubernetes.kind import Kind as Kind  # noqa: PLC0414 - exported with its table
from lab.kubernetes.kind import version_order

# fmt: off
# v1
BINDING = Kind("", "v1", "Binding", "bindings", verbs=("create",))
COMPONENT_STATUS = Kind("", "v1", "ComponentStatus", "componentstatuses", namespaced=False, short_names=("cs",), verbs=("get", "list"))
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", short_names=("cm",), storage_version_hash="qFsyl6wFWjQ=")
ENDPOINTS = Kind("", "v1", "Endpoints", "endpoints", short_names=("ep",), storage_version_hash="fWeeMqaN/OA=")
EVENT = Kind(
    "", "v1", "Event", "events", short_names=("ev",),
    selectable=(
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
        "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"
    ),
    storage_version_hash="r2yiGXH7wu8=",
)
LIMIT_RANGE = Kind("", "v1", "LimitRange", "limitranges", short_names=("limits",), storage_version_hash="EBKMFVe6cwo=")
NAMESPACE = Kind(
    "", "v1", "Namespace", "namespaces", namespaced=False, short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"), status=True, subresources=("finalize",), delete_answers_object=True,
    selectable=("status.phase",), storage_version_hash="Q3oi5N2YM8M=",
)
NODE = Kind(
    "", "v1", "Node", "nodes", namespaced=False, short_names=("no",), status=True, subresources=("proxy",), selectable=("spec.unschedulable",),
    storage_version_hash="XwShjMxG9Fs=",
)
PVC = Kind(
    "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", short_names=("pvc",), status=True, delete_answers_object=True,
    storage_version_hash="QWTyNDq0dC4=",
)
PV = Kind(
    "", "v1", "PersistentVolume", "persistentvolumes", namespaced=False, short_names=("pv",), status=True, delete_answers_object=True,
    storage_version_hash="HN/zwEC+JgM=",
)
POD = Kind(
    "", "v1", "Pod", "pods", short_names=("po",), categories=("all",), status=True,
    subresources=("attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", "resize"), generation="spec",
    delete_answers_object=True,
    selectable=(
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase",
        "status.podIP", "status.nominatedNodeName"
    ),
    storage_version_hash="xPOwRZ+Yhw8=",
)
POD_TEMPLATE = Kind("", "v1", "PodTemplate", "podtemplates", storage_version_hash="LIXB2x4IFpk=")
REPLICATION_CONTROLLER = Kind(
    "", "v1", "ReplicationController", "replicationcontrollers", short_names=("rc",), categories=("all",), scale=True, status=True,
    generation="spec", selectable=("status.replicas",), storage_version_hash="Jond2If31h0=",
)
RESOURCE_QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas", short_names=("quota",), status=True, storage_version_hash="8uhSgffRX6w=")
SECRET = Kind("", "v1", "Secret", "secrets", selectable=("type",), storage_version_hash="S6u1pOWzb84=")
SERVICE_ACCOUNT = Kind(
    "", "v1", "ServiceAccount", "serviceaccounts", short_names=("sa",), subresources=("token",), delete_answers_object=True,
    storage_version_hash="pbx9ZvyFpBE=",
)
SERVICE = Kind(
    "", "v1", "Service", "services", short_names=("svc",), categories=("all",), status=True, subresources=("proxy",), delete_answers_object=True,
    selectable=("spec.clusterIP", "spec.type"), storage_version_hash="0/CO1lhkEBI=",
)
# apiregistration.k8s.io/v1
API_SERVICE = Kind(
    "apiregistration.k8s.io", "v1", "APIService", "apiservices", namespaced=False, categories=("api-extensions",), status=True,
    storage_version_hash="InPBPD7+PqM=",
)
# apps/v1
CONTROLLER_REVISION = Kind("apps", "v1", "ControllerRevision", "controllerrevisions", storage_version_hash="85nkx63pcBU=")
DAEMON_SET = Kind(
    "apps", "v1", "DaemonSet", "daemonsets", short_names=("ds",), categories=("all",), status=True, generation="spec",
    storage_version_hash="dd7pWHUlMKQ=",
)
DEPLOYMENT = Kind(
    "apps", "v1", "Deployment", "deployments", short_names=("deploy",), categories=("all",), scale=True, status=True,
    generation="spec+annotations", storage_version_hash="8aSe+NMegvE=",
)
REPLICA_SET = Kind(
    "apps", "v1", "ReplicaSet", "replicasets", short_names=("rs",), categories=("all",), scale=True, status=True, generation="spec",
    storage_version_hash="P1RzHs8/mWQ=",
)
STATEFUL_SET = Kind(
    "apps", "v1", "StatefulSet", "statefulsets", short_names=("sts",), categories=("all",), scale=True, status=True, generation="spec",
    storage_version_hash="H+vl74LkKdo=",
)
# events.k8s.io/v1
EVENTS_K8S_IO_EVENT = Kind("events.k8s.io", "v1", "Event", "events", short_names=("ev",), storage_version_hash="r2yiGXH7wu8=", stored_as="v1")
# authentication.k8s.io/v1
SELF_SUBJECT_REVIEW = Kind("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False, verbs=("create",))
TOKEN_REVIEW = Kind("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False, verbs=("create",))
# authorization.k8s.io/v1
LOCAL_SUBJECT_ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=("create",))
SELF_SUBJECT_ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False, verbs=("create",),
)
SELF_SUBJECT_RULES_REVIEW = Kind(
    "authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False, verbs=("create",),
)
SUBJECT_ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False, verbs=("create",))
# autoscaling/v2
HPA = Kind(
    "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", short_names=("hpa",), categories=("all",), status=True,
    storage_version_hash="qwQve8ut294=",
)
# autoscaling/v1
HPA_V1 = Kind(
    "autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", short_names=("hpa",), categories=("all",), status=True,
    storage_version_hash="qwQve8ut294=", stored_as="autoscaling/v2",
)
# batch/v1
CRON_JOB = Kind(
    "batch", "v1", "CronJob", "cronjobs", short_names=("cj",), categories=("all",), status=True, generation="spec",
    storage_version_hash="sd5LIXh4Fjs=",
)
JOB = Kind(
    "batch", "v1", "Job", "jobs", categories=("all",), status=True, generation="spec", selectable=("status.successful",),
    storage_version_hash="mudhfqk/qZY=",
)
# certificates.k8s.io/v1
CERTIFICATE_SIGNING_REQUEST = Kind(
    "certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", namespaced=False, short_names=("csr",), status=True,
    subresources=("approval",), selectable=("spec.signerName",), storage_version_hash="95fRKMXA+00=",
)
# networking.k8s.io/v1
INGRESS_CLASS = Kind(
    "networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False, generation="spec", storage_version_hash="l/iqIbDgFyQ=",
)
INGRESS = Kind(
    "networking.k8s.io", "v1", "Ingress", "ingresses", short_names=("ing",), status=True, generation="spec", storage_version_hash="39NQlfNR+bo=",
)
IP_ADDRESS = Kind("networking.k8s.io", "v1", "IPAddress", "ipaddresses", namespaced=False, short_names=("ip",), storage_version_hash="3f/plJFChNE=")
NETWORK_POLICY = Kind(
    "networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", short_names=("netpol",), generation="spec",
    storage_version_hash="YpfwF18m1G8=",
)
SERVICE_CIDR = Kind("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", namespaced=False, status=True, storage_version_hash="gNLvruQhW2g=")
# policy/v1
PDB = Kind(
    "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", short_names=("pdb",), status=True, generation="spec",
    storage_version_hash="EVWiDmWqyJw=",
)
# rbac.authorization.k8s.io/v1
CLUSTER_ROLE_BINDING = Kind(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False, storage_version_hash="48tpQ8gZHFc=",
)
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False, storage_version_hash="bYE5ZWDrJ44=")
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", storage_version_hash="eGsCzGH6b1g=")
ROLE = Kind("rbac.authorization.k8s.io", "v1", "Role", "roles", storage_version_hash="7FuwZcIIItM=")
# storage.k8s.io/v1
CSI_DRIVER = Kind("storage.k8s.io", "v1", "CSIDriver", "csidrivers", namespaced=False, storage_version_hash="hL6j/rwBV5w=")
CSI_NODE = Kind("storage.k8s.io", "v1", "CSINode", "csinodes", namespaced=False, storage_version_hash="Pe62DkZtjuo=")
CSI_STORAGE_CAPACITY = Kind("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", storage_version_hash="xeVl+2Ly1kE=")
STORAGE_CLASS = Kind(
    "storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False, short_names=("sc",), delete_answers_object=True,
    storage_version_hash="K+m6uJwbjGY=",
)
VOLUME_ATTACHMENT = Kind(
    "storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", namespaced=False, status=True, storage_version_hash="tJx/ezt6UDU=",
)
VOLUME_ATTRIBUTES_CLASS = Kind(
    "storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses", namespaced=False, short_names=("vac",),
    storage_version_hash="tIjydgKBC5w=",
)
# admissionregistration.k8s.io/v1
MUTATING_ADMISSION_POLICY = Kind(
    "admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", namespaced=False,
    categories=("api-extensions",), generation="spec", storage_version_hash="LYmCf+UMVdg=",
)
MUTATING_ADMISSION_POLICY_BINDING = Kind(
    "admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", namespaced=False,
    categories=("api-extensions",), generation="spec", storage_version_hash="90V5FRZZ3Zg=",
)
MUTATING_WEBHOOK_CONFIGURATION = Kind(
    "admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", namespaced=False,
    categories=("api-extensions",), generation="spec", storage_version_hash="Sqi0GUgDaX0=",
)
VALIDATING_ADMISSION_POLICY = Kind(
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False,
    categories=("api-extensions",), status=True, generation="spec", storage_version_hash="6OxvlMmQ6is=",
)
VALIDATING_ADMISSION_POLICY_BINDING = Kind(
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", namespaced=False,
    categories=("api-extensions",), generation="spec", storage_version_hash="v9715VZqakg=",
)
VALIDATING_WEBHOOK_CONFIGURATION = Kind(
    "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False,
    categories=("api-extensions",), generation="spec", storage_version_hash="B0wHjQmsGNk=",
)
# apiextensions.k8s.io/v1
CRD = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False, short_names=("crd", "crds"),
    categories=("api-extensions",), status=True, generation="spec", delete_answers_object=True, storage_version_hash="jfWCUB31mvA=",
)
# scheduling.k8s.io/v1
PRIORITY_CLASS = Kind(
    "scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False, short_names=("pc",), generation="spec",
    storage_version_hash="1QwjyaZjj3Y=",
)
# coordination.k8s.io/v1
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases", storage_version_hash="gqkMMb/YqFM=")
# node.k8s.io/v1
RUNTIME_CLASS = Kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", namespaced=False, storage_version_hash="WQTu1GL3T2Q=")
# discovery.k8s.io/v1
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", generation="spec", storage_version_hash="qgS0xkrxYAI=")
# resource.k8s.io/v1
DEVICE_CLASS = Kind("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", namespaced=False, storage_version_hash="Yk2PTc1Ybxk=")
RESOURCE_CLAIM = Kind("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", status=True, storage_version_hash="wgAZaHcZxUg=")
RESOURCE_CLAIM_TEMPLATE = Kind("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", storage_version_hash="TuzjC49aUfM=")
RESOURCE_SLICE = Kind(
    "resource.k8s.io", "v1", "ResourceSlice", "resourceslices", namespaced=False, selectable=("spec.driver", "spec.nodeName"),
    storage_version_hash="KsC072WgaEY=",
)
# flowcontrol.apiserver.k8s.io/v1
FLOW_SCHEMA = Kind(
    "flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", namespaced=False, status=True, generation="spec",
    storage_version_hash="GJVAJZSZBIw=",
)
PRIORITY_LEVEL_CONFIGURATION = Kind(
    "flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", namespaced=False, status=True,
    generation="spec", storage_version_hash="Kir5PVfvNeI=",
)
# fmt: on


class Kinds:
    """The table, by path and by kind. Kinds can come and go (custom resources)."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str], Kind] = {}
        self.changes = 0  # how often the table changed: what was computed from it is stale when this moved
        for kind in kinds:
            self.add(kind)

    @classmethod
    def default(cls) -> Kinds:
        """All built-in kinds, in the order in which the server lists their groups."""
        return cls(value for value in globals().values() if isinstance(value, Kind))

    def add(self, kind: Kind) -> None:
        """Serve a kind (in place of one with the same path)."""
        self._by_path[(kind.group, kind.version, kind.plural)] = kind
        self._by_kind[(kind.api_version, kind.kind)] = kind
        self.changes += 1

    def remove(self, kind: Kind) -> None:
        """Serve a kind no longer."""
        self._by_path.pop((kind.group, kind.version, kind.plural), None)
        self._by_kind.pop((kind.api_version, kind.kind), None)
        self.changes += 1

    def by_path(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind served under a path, or None."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        """The kind named in an object, or None."""
        return self._by_kind.get((api_version, kind))

    def is_custom(self, group: str) -> bool:
        """Whether there are custom kinds in a group."""
        return any(kind.custom for kind in self._by_path.values() if kind.group == group)

    def stored(self, kind: Kind) -> Kind:
        """The row under which the objects of a kind are kept: itself, unless two versions share their objects."""
        return self._by_kind[(kind.stored_as, kind.kind)] if kind.stored_as else kind

    def all(self) -> list[Kind]:
        """Every row."""
        return list(self._by_path.values())

    def group_versions(self) -> dict[str, list[str]]:
        """Versions by group, both in the order of the table; the core group is ""."""
        groups: dict[str, list[str]] = {}
        for kind in self._by_path.values():
            versions = groups.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
            if kind.custom:
                versions.sort(key=version_order)
        return groups
