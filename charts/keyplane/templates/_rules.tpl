{{- /*
The operator's rights: what operator/src/rbac.rs says that its code does, and nothing else; a test compares the two as sets.

What they amount to:
- Secrets. RBAC cannot speak of a Secret's type, so these are all Secrets of the watched namespaces. The code does less: it lists and watches
  metadata only, and only of the types keyplane.dev/api-key and keyplane.dev/root-key; it gets the one Secret that an ApiKey or RootKey
  names; it creates and never updates or deletes, so a key that is there cannot be replaced (the garbage collector deletes).
- Whoever can create StatefulSets can run a pod as any ServiceAccount of the namespace. Together with the first point the operator is
  as trustworthy as its namespace must be: give nobody else rights there. operator.watchNamespaces confines both.
- Who reads the operational pages is asked of the API server: templates/pages.yaml binds the operator to two roles of Kubernetes for that.
- Roles and bindings. The API server lets nobody grant what he does not have ("escalation"), so the operator can hand out no more than is
  written here, and it has `get`, `list`, `watch` on the kinds that verify pods read for no other reason than to hand it out.
*/ -}}

{{- /* What needs the whole cluster whatever is watched. */ -}}
{{- define "keyplane.clusterRules" -}}
# Also what verify pods read.
- apiGroups: [keyplane.dev]
  resources: [apikeys, identities, keyroles, ratelimitoverrides, ratelimits, rootkeys]
  verbs: [get, list, watch]
# A pool names or selects the namespaces that it serves.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
# The rights of the verify pods; delete, because no owner reference reaches into the cluster or another namespace.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterrolebindings, clusterroles, rolebindings, roles]
  verbs: [create, delete, get, list, patch, watch]
{{- end -}}

{{- /* What is enough in the watched namespaces. */ -}}
{{- define "keyplane.namespacedRules" -}}
- apiGroups: [keyplane.dev]
  resources: [keyspaces]
  verbs: [get, list, watch]
# patch: the finalizer.
- apiGroups: [keyplane.dev]
  resources: [verifypools]
  verbs: [get, list, patch, watch]
- apiGroups: [keyplane.dev]
  resources: [apikeys/status, rootkeys/status, verifypools/status]
  verbs: [patch]
- apiGroups: [keyplane.dev]
  resources: [keypermissions]
  verbs: [list, watch]
# Who has a name, and who refers to it.
- apiGroups: [keyplane.dev]
  resources:
    - identities/status
    - keypermissions/status
    - keyroles/status
    - keyspaces/status
    - ratelimitoverrides/status
    - ratelimits/status
  verbs: [patch]
# Clusters with OwnerReferencesPermissionEnforcement want it of whoever names an owner.
- apiGroups: [keyplane.dev]
  resources: [apikeys/finalizers, rootkeys/finalizers, verifypools/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, get, list, patch, watch]
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [create, get, list, patch, watch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [create, get, list, patch, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, get, list, patch, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- /* What is enough in the release's namespace: leader election. */ -}}
{{- define "keyplane.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, get, update]
{{- end -}}
