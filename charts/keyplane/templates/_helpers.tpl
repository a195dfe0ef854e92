{{- /* What the operator's objects are named after. */ -}}
{{- define "keyplane.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* The Deployment and all that belongs to it. */ -}}
{{- define "keyplane.operator" -}}
{{- printf "%s-operator" (include "keyplane.fullname" .) -}}
{{- end -}}

{{- define "keyplane.serviceAccount" -}}
{{- .Values.operator.serviceAccount.name | default (include "keyplane.operator" .) -}}
{{- end -}}

{{- /* Never changes in a release's life: a Deployment's selector cannot. */ -}}
{{- define "keyplane.selectorLabels" -}}
app.kubernetes.io/name: keyplane-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /* Ours win over commonLabels of the same name. */ -}}
{{- define "keyplane.labels" -}}
{{- $ours := include "keyplane.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "keyplane" -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- merge $ours .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "keyplane.podLabels" -}}
{{- $ours := include "keyplane.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "keyplane" -}}
{{- merge $ours .Values.operator.podLabels .Values.commonLabels | toYaml -}}
{{- end -}}

{{- /* An image from {repository, tag, digest}; a digest says more than a tag. */ -}}
{{- define "keyplane.image" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .context.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The namespaces that the operator works in, separated by commas; empty: all. The default pool must be in one of them. */ -}}
{{- define "keyplane.watched" -}}
{{- $names := .Values.operator.watchNamespaces -}}
{{- if and $names .Values.verifyPool.enabled -}}
{{- $names = append $names .Release.Namespace -}}
{{- end -}}
{{- $names | uniq | sortAlpha | join "," -}}
{{- end -}}
