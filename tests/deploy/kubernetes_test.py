"""deploy/kubernetes: valid for the Kubernetes API's own schemas, whole, locked down, and with flags that the programs have.

python3 kubernetes_test.py BUILD_FOLDER     exit code 77: skipped, with the reason

Needs tests/deploy/requirements.txt, in .deps/deploy (tools/setup.sh --full) or in the interpreter that runs this.
"""

import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FOLDER = SOURCE / "deploy" / "kubernetes"
OURS = SOURCE / ".deps" / "deploy" / "bin" / "python"
VERSIONS = ["1.28", "1.31", "1.37"]

try:
    import kubernetes_validate
    import yaml
except ImportError:
    if OURS.exists() and pathlib.Path(sys.prefix) != OURS.parent.parent:
        sys.exit(subprocess.run([str(OURS), *sys.argv], check=False).returncode)
    print("SKIPPED: no kubernetes-validate; tools/setup.sh --full installs it (tests/deploy/requirements.txt)")
    sys.exit(77)


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def documents(name):
    return [document for document in yaml.safe_load_all((FOLDER / name).read_text()) if document]


def kustomization():
    return yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def resources():
    return [document for name in kustomization()["resources"] for document in documents(name)]


def workloads():
    return [document for document in resources() if document["kind"] in ("Deployment", "StatefulSet")]


def containers():
    return [(workload, container) for workload in workloads() for container in workload["spec"]["template"]["spec"]["containers"]]


def test_every_file_is_valid_and_listed(build):
    listed = set(kustomization()["resources"]) | {"kustomization.yaml", "secrets.example.yaml"}
    check(listed == {path.name for path in FOLDER.glob("*.yaml")}, f"listed: {sorted(listed)}")
    count = 0
    for document in resources() + documents("secrets.example.yaml"):
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
        count += 1
    print(f"      {count} objects against the schemas of {', '.join(VERSIONS)}", flush=True)


def test_a_mistake_would_be_found(build):
    wrong = [dict(workload, spec=dict(workload["spec"], replicaCount=2)) for workload in workloads()]
    for document in wrong:
        try:
            kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
        except kubernetes_validate.ValidationError:
            continue
        raise AssertionError("an unknown field passed")


def test_pods_are_nobody_special(build):
    for workload in workloads():
        pod, name = workload["spec"]["template"]["spec"], workload["metadata"]["name"]
        security = pod["securityContext"]
        check(security["runAsNonRoot"] is True and security["runAsUser"] > 0, f"{name} may run as root")
        check(security["seccompProfile"]["type"] == "RuntimeDefault", f"{name} has no seccomp profile")
        check(pod["automountServiceAccountToken"] is False, f"{name} holds a token of the API")
        check(not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), f"{name} shares the host")
        check(not any("hostPath" in volume for volume in pod["volumes"]), f"{name} mounts the host")
    for workload, container in containers():
        name = f"{workload['metadata']['name']}/{container['name']}"
        security = container["securityContext"]
        check(security["readOnlyRootFilesystem"] is True and security["allowPrivilegeEscalation"] is False, name)
        check(security["capabilities"] == {"drop": ["ALL"]}, f"{name} keeps capabilities")
        check("memory" in container["resources"]["limits"] and {"cpu", "memory"} <= set(container["resources"]["requests"]), f"{name} has no limits")
        check(not re.search(r"(?i)password|secret", " ".join(container.get("args", []))), f"{name}: a secret in an argument")


def test_what_is_named_is_there(build):
    labels = [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads()]

    def selects(selector):
        return any(selector.items() <= pod.items() for pod in labels)

    accounts = {document["metadata"]["name"] for document in resources() if document["kind"] == "ServiceAccount"}
    claims = {document["metadata"]["name"] for document in resources() if document["kind"] == "PersistentVolumeClaim"}
    secrets = {document["metadata"]["name"]: document["stringData"] for document in documents("secrets.example.yaml")}
    services = {document["metadata"]["name"]: document for document in resources() if document["kind"] == "Service"}
    for document in resources():
        kind, spec = document["kind"], document.get("spec", {})
        if kind == "Service":
            check(selects(spec["selector"]), f"service {document['metadata']['name']} selects nothing")
        if kind == "PodDisruptionBudget":
            check(selects(spec["selector"]["matchLabels"]), f"budget {document['metadata']['name']} selects nothing")
        if kind == "NetworkPolicy" and spec["podSelector"]:
            check(selects(spec["podSelector"]["matchLabels"]), f"policy {document['metadata']['name']} selects nothing")
    for workload in workloads():
        pod = workload["spec"]["template"]["spec"]
        check(workload["spec"]["selector"]["matchLabels"].items() <= workload["spec"]["template"]["metadata"]["labels"].items(), "selector")
        check(pod["serviceAccountName"] in accounts, pod["serviceAccountName"])
        check(workload["kind"] != "StatefulSet" or workload["spec"]["serviceName"] in services, "serviceName")
        volumes = {volume["name"] for volume in pod["volumes"]} | {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        for volume in pod["volumes"]:
            check("persistentVolumeClaim" not in volume or volume["persistentVolumeClaim"]["claimName"] in claims, volume)
            check("secret" not in volume or volume["secret"]["secretName"] in secrets, volume)
        for container in pod["containers"]:
            check({mount["name"] for mount in container["volumeMounts"]} == volumes, f"{container['name']}: mounts and volumes differ")
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                get = container.get(probe, {}).get("httpGet")
                check(get is None or (get["port"] in ports and get["path"] in ("/healthz", "/readyz")), f"{container['name']}: {probe}")


def test_only_listed_ports_are_open(build):
    """Every port of a container is opened by exactly the policy of its pods, and no policy opens another."""
    for workload in workloads():
        pod = workload["spec"]["template"]
        open_ports = {port["containerPort"] for container in pod["spec"]["containers"] for port in container.get("ports", [])}
        allowed = set()
        for policy in (document for document in resources() if document["kind"] == "NetworkPolicy"):
            selector = policy["spec"]["podSelector"].get("matchLabels", {})
            if selector and selector.items() <= pod["metadata"]["labels"].items():
                allowed |= {port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]}
        check(allowed == open_ports, f"{workload['metadata']['name']}: {allowed} allowed, {open_ports} listened on")
    closed = [document for document in resources() if document["kind"] == "NetworkPolicy" and not document["spec"]["podSelector"]
              and set(document["spec"]["policyTypes"]) == {"Ingress", "Egress"} and "ingress" not in document["spec"] and "egress" not in document["spec"]]
    check(len(closed) == 1, "nothing closes what is not opened")


def test_the_programs_have_these_flags(build):
    for workload, container in containers():
        program = pathlib.Path(build) / "bin" / container["image"]
        if not container["image"].startswith("espalier-"):
            continue
        if not program.exists():
            print(f"      not built: {program.name}", flush=True)
            continue
        text = subprocess.run([str(program), "--help"], capture_output=True, text=True, check=False).stdout
        for argument in container["args"]:
            flag = argument.partition("=")[0]
            check(re.search(rf"{flag}\b", text), f"{program.name} has no {flag}")


TESTS = [test_every_file_is_valid_and_listed, test_a_mistake_would_be_found, test_pods_are_nobody_special, test_what_is_named_is_there,
         test_only_listed_ports_are_open, test_the_programs_have_these_flags]

if __name__ == "__main__":
    failed = 0
    for test in TESTS:
        try:
            test(sys.argv[1])
            print(f"ok    {test.__name__}", flush=True)
        except Exception as error:  # the next test may still tell something
            failed += 1
            print(f"FAIL  {test.__name__}: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)
