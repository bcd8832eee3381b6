{{/* What values.schema.json cannot say: values that do not go together. */}}
{{- define "neurocity.checks" -}}
{{- $scaled := ne .Values.autoscaling.kind "none" -}}
{{- $withTriton := ne .Values.triton.mode "none" -}}
{{- $repository := .Values.repository -}}
{{- if and $scaled (gt (int .Values.autoscaling.min) (int .Values.autoscaling.max)) -}}
{{- fail (printf "autoscaling: got min %d and max %d, expected min to be no more than max" (int .Values.autoscaling.min) (int .Values.autoscaling.max)) -}}
{{- end -}}
{{- if and .Values.videos.enabled (or $scaled (gt (int .Values.gateway.replicas) 1)) -}}
{{- fail "videos: films lie on the disk of one process; expected gateway.replicas 1 and autoscaling.kind none" -}}
{{- end -}}
{{- if and $withTriton (ne .Values.gateway.engine "auto") -}}
{{- fail (printf "gateway.engine: got %s beside triton.mode %s, expected auto: the Triton server renders" .Values.gateway.engine .Values.triton.mode) -}}
{{- end -}}
{{- if and $withTriton (eq $repository.type "url") -}}
{{- fail "repository.type: got url, expected pvc or image: a Triton server reads a folder" -}}
{{- end -}}
{{- if and (eq $repository.type "image") (semverCompare "<1.31.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "repository.type: got image, which Kubernetes has from 1.31; this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- $blocks := .Values.blocks -}}
{{- if and $blocks.enabled (not $blocks.plan.claim) (not $blocks.list) -}}
{{- fail "blocks: got neither a list nor plan.claim, expected one that says what is to be trained" -}}
{{- end -}}
{{- if and $blocks.enabled $blocks.plan.claim $blocks.list -}}
{{- fail "blocks: got a list beside plan.claim, expected one that says what is to be trained" -}}
{{- end -}}
{{- if and $blocks.enabled (not $blocks.plan.claim) (eq $repository.type "image") -}}
{{- fail "repository.type: got image, expected pvc or url: the job of blocks writes scenes into the repository" -}}
{{- end -}}
{{- if and $repository.path (eq $repository.type "url") -}}
{{- fail "repository.path: expected none beside a url, which names the folder itself" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.keys.secret (not .Values.metrics.serviceMonitor.key.secret) -}}
{{- fail "metrics.serviceMonitor.key.secret: expected the secret of an operator's key; /metrics wants one where keys.secret is set" -}}
{{- end -}}
{{- if and .Values.metrics.podMonitor.enabled (not $withTriton) -}}
{{- fail "metrics.podMonitor: expected triton.mode sidecar or deployment; there is no Triton server to ask" -}}
{{- end -}}
{{- if and .Values.ingress.enabled .Values.gateway.rootPath (not .Values.ingress.annotations) -}}
{{- fail "ingress.annotations: expected what has the controller take gateway.rootPath away from paths, which no Ingress can say by itself" -}}
{{- end -}}
{{- end -}}
