{{- define "elasticsearch.uname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" (.Values.nameOverride | default .Values.clusterName) .Values.nodeGroup }}{{ end -}}
{{- end }}

{{- define "elasticsearch.masterService" -}}
{{ .Values.masterService | default .Values.fullnameOverride | default (printf "%s-master" (.Values.nameOverride | default .Values.clusterName)) }}
{{- end }}

{{- define "elasticsearch.endpoints" -}}
{{- $name := include "elasticsearch.uname" . }}
{{- $all := list }}{{ range until (int .Values.replicas) }}{{ $all = append $all (printf "%s-%d" $name .) }}{{ end -}}
{{ join "," $all }}
{{- end }}

{{- define "elasticsearch.roles" -}}
{{- if kindIs "map" .Values.roles }}
{{- $all := list }}{{ range $role, $on := .Values.roles }}{{ if eq (toString $on) "true" }}{{ $all = append $all $role }}{{ end }}{{ end -}}
{{ join "," $all }}
{{- else }}{{ join "," .Values.roles }}{{ end -}}
{{- end }}

{{- define "elasticsearch.serviceAccount" -}}
{{ .Values.rbac.serviceAccountName | default (include "elasticsearch.uname" .) }}
{{- end }}

{{- define "elasticsearch.labels" -}}
release: {{ .Release.Name | quote }}
chart: {{ .Chart.Name }}
app: {{ include "elasticsearch.uname" . }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}
