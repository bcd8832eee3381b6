{{/*
A Triton server that reads /models. Its HTTP port is none of the gateway's, with which a sidecar shares the network.
A model that cannot be loaded is missing, and keeps no other one away. One is loaded after the other: where several
with backends in Python come at once, the server now and then ends or waits for ever (triton-inference-server#8882).
*/}}
{{- define "neurocity.triton.container" -}}
name: triton
{{ include "neurocity.image" (dict "root" . "image" .Values.triton.image) }}
command: [tritonserver]
args:
  - --model-repository={{ include "neurocity.repository" . }}
  - --disable-auto-complete-config
  - --model-load-thread-count=1
  - --exit-on-error=false
  - --strict-readiness=false
  - --model-control-mode=poll
  - --repository-poll-secs={{ int .Values.triton.pollSeconds }}
  - --grpc-port=8001
  - --metrics-port=8002
  - --http-port=8003
  - --exit-timeout-secs={{ int .Values.triton.exitSeconds }}
  {{- range .Values.triton.extraArgs }}
  - {{ . | quote }}
  {{- end }}
ports:
  - {name: triton-grpc, containerPort: 8001}
  - {name: triton-metrics, containerPort: 8002}
  - {name: triton-http, containerPort: 8003}
startupProbe:
  httpGet: {path: /v2/health/ready, port: triton-http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ div (add (int .Values.triton.startupSeconds) 4) 5 }}
readinessProbe:
  httpGet: {path: /v2/health/ready, port: triton-http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /v2/health/live, port: triton-http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
resources: {{- include "neurocity.resources" .Values.triton | nindent 2 }}
securityContext: {{- include "neurocity.security" . | nindent 2 }}
volumeMounts:
  - {name: models, mountPath: /models, readOnly: true}
  - {name: triton-tmp, mountPath: /tmp}
  - {name: shared-memory, mountPath: /dev/shm}
{{- end -}}

{{- define "neurocity.triton.volumes" -}}
- {name: triton-tmp, emptyDir: {}}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.triton.sharedMemory }}}
{{- end -}}
