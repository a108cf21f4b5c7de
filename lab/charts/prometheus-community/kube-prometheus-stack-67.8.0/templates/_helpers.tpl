{{- define "fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- .Values.fullnameOverride | default (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 26 | trimSuffix "-" }}
{{- end }}

{{- define "namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.Version | quote }}
app.kubernetes.io/part-of: {{ .Values.nameOverride | default .Chart.Name }}
chart: {{ .Chart.Name }}-{{ .Chart.Version }}
release: {{ .Release.Name | quote }}
heritage: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "account" -}}
{{- $of := index . 1 }}{{ $of.serviceAccount.create | ternary ($of.serviceAccount.name | default (printf "%s-%s" (include "fullname" (index . 0)) (index . 2))) ($of.serviceAccount.name | default "default") }}
{{- end }}

{{- /* Root, an image's values, the tag that it has without one */}}
{{- define "image" -}}
{{- $of := index . 0 }}{{ $of.registry }}/{{ $of.repository }}:{{ $of.tag | default (index . 1) }}{{ with $of.sha }}@sha256:{{ . }}{{ end }}
{{- end }}

{{- /* Root, ingress values, name, service, port, paths */}}
{{- define "ingress" -}}
{{- $in := index . 1 }}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ index . 2 }}
  namespace: {{ include "namespace" (index . 0) }}
  labels:
    {{- include "labels" (index . 0) | nindent 4 }}
    {{- with $in.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $in.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with $in.ingressClassName }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with $in.tls }}
  tls: {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- $service := index . 3 }}
    {{- $port := index . 4 }}
    {{- $paths := index . 5 }}
    {{- range $in.hosts }}
    - host: {{ . }}
      http:
        paths:
          {{- range $paths }}
          - path: {{ . }}
            pathType: {{ $in.pathType }}
            backend:
              service:
                name: {{ $service }}
                port:
                  number: {{ $port }}
          {{- end }}
    {{- end }}
{{- end }}
