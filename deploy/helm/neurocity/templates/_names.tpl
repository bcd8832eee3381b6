{{/* The name of everything of a release; 40 characters, so that more can be put behind it. */}}
{{- define "neurocity.fullname" -}}
{{- $own := ternary .Release.Name (printf "%s-neurocity" .Release.Name) (contains "neurocity" .Release.Name) -}}
{{- .Values.fullnameOverride | default $own | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What pods of a part are found by. Takes root and component. */}}
{{- define "neurocity.selector" -}}
app.kubernetes.io/name: neurocity
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "neurocity.labels" -}}
{{ include "neurocity.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "neurocity.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "neurocity.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* A container's image and when it is pulled. Takes root and image. */}}
{{- define "neurocity.image" -}}
{{- if .image.digest -}}
image: {{ printf "%s@%s" .image.repository .image.digest | quote }}
{{- else -}}
image: {{ printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) | quote }}
{{- end }}
imagePullPolicy: {{ .image.pullPolicy }}
{{- end -}}

{{/* A value as text. Helm reads whole numbers as floating-point ones, and would write 10737418240 as 1.07e+10. */}}
{{- define "neurocity.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}
