{{/* The gateway's settings as environment variables: those of the chart's own values, then those that were given. */}}
{{- define "neurocity.environment" -}}
- name: NEUROCITY_PORT
  value: "8000"
- name: NEUROCITY_DRAIN_SECONDS
  value: {{ include "neurocity.text" .Values.drainSeconds | quote }}
{{- if eq .Values.triton.mode "none" }}
- name: NEUROCITY_ENGINE
  value: {{ .Values.gateway.engine }}
- name: NEUROCITY_REPOSITORY
  value: {{ include "neurocity.repository" . | quote }}
{{- if eq .Values.repository.type "url" }}
- name: NEUROCITY_REPOSITORY_CACHE
  value: /cache
- name: NEUROCITY_REPOSITORY_CACHE_BYTES
  value: {{ include "neurocity.text" .Values.repository.cacheBytes | quote }}
{{- end }}
{{- else }}
- name: NEUROCITY_ENGINE
  value: triton
- name: NEUROCITY_TRITON_URL
  value: {{ ternary "127.0.0.1" (printf "%s-triton" (include "neurocity.fullname" .)) (eq .Values.triton.mode "sidecar") }}:8001
{{- end }}
{{- with .Values.gateway.rootPath }}
- name: NEUROCITY_ROOT_PATH
  value: {{ . | quote }}
{{- end }}
{{- if .Values.keys.secret }}
- name: NEUROCITY_API_KEY_FILE
  value: /etc/neurocity/{{ .Values.keys.apiKeys }}
{{- with .Values.keys.signingKeys }}
- name: NEUROCITY_SIGNING_KEY_FILE
  value: /etc/neurocity/{{ . }}
{{- end }}
{{- end }}
{{- if .Values.videos.enabled }}
- name: NEUROCITY_VIDEOS
  value: /videos
{{- end }}
{{- range $name, $value := .Values.gateway.settings }}
- name: NEUROCITY_{{ upper $name }}
  value: {{ include "neurocity.text" $value | quote }}
{{- end }}
{{- with .Values.gateway.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "neurocity.gateway.container" -}}
name: gateway
{{ include "neurocity.image" (dict "root" . "image" .Values.gateway.image) }}
ports:
  - {name: http, containerPort: 8000}
env: {{- include "neurocity.environment" . | nindent 2 }}
{{- with include "neurocity.credentials" . }}
{{ . }}
{{- end }}
# Ready is who has rendered a ray. Until then nobody asks whether the process turns.
startupProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ div (add (int .Values.gateway.startupSeconds) 4) 5 }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
# Until proxies know that this pod ends, it goes on serving.
lifecycle:
  preStop:
    sleep: {seconds: {{ int .Values.preStopSeconds }}}
resources: {{- toYaml .Values.gateway.resources | nindent 2 }}
securityContext: {{- include "neurocity.security" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if eq .Values.repository.type "url" }}
  - {name: cache, mountPath: /cache}
  {{- else if eq .Values.triton.mode "none" }}
  - {name: models, mountPath: /models, readOnly: true}
  {{- end }}
  {{- if .Values.keys.secret }}
  - {name: keys, mountPath: /etc/neurocity, readOnly: true}
  {{- end }}
  {{- if .Values.videos.enabled }}
  - {name: videos, mountPath: /videos}
  {{- end }}
{{- end -}}

{{- define "neurocity.gateway.volumes" -}}
- {name: tmp, emptyDir: {}}
{{- if eq .Values.repository.type "url" }}
# A new version comes before an old one goes.
- {name: cache, emptyDir: {sizeLimit: {{ mul 2 (int64 .Values.repository.cacheBytes) }}}}
{{- else if ne .Values.triton.mode "deployment" }}
- {{- include "neurocity.models" (dict "root" . "readOnly" true) | nindent 2 }}
{{- end }}
{{- if eq .Values.triton.mode "sidecar" }}
{{ include "neurocity.triton.volumes" . }}
{{- end }}
{{- if .Values.keys.secret }}
- name: keys
  secret:
    secretName: {{ .Values.keys.secret }}
    defaultMode: 0440
{{- end }}
{{- if .Values.videos.enabled }}
- name: videos
  {{- if .Values.videos.claimName }}
  persistentVolumeClaim: {claimName: {{ .Values.videos.claimName }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .Values.videos.size }}}
  {{- end }}
{{- end }}
{{- end -}}
