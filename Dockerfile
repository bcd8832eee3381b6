# docker build --target serve -t neurocity-serve .
# docker run --read-only -p 8000:8000 -v ./model_repository:/models:ro neurocity-serve
#
# docker build --target train-cuda -t neurocity-train .
# docker run --gpus all --user "$(id -u)" -v ./data:/data:ro -v ./runs:/runs neurocity-train \
#     train instant_ngp --data /data/lego --out /runs/lego --preset paper

# Two images with the same Python, 3.11 or 3.12, and its module venv. Where the first has no C++ compiler, the
# kernels are compiled by that of a wheel; the images that are made have neither.
ARG BUILD_BASE=python:3.11
ARG BASE=python:3.11-slim
ARG TRITON_BASE=nvcr.io/nvidia/tritonserver:26.07-py3

# The wheel of the package, and the tools that make environments. No image has them. Archives get one time, so that
# two builds are the same.
FROM ${BUILD_BASE} AS build
ENV VIRTUAL_ENV=/opt/neurocity PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800
WORKDIR /src
COPY constraints.txt ./
RUN python3 -m venv --without-pip "$VIRTUAL_ENV" \
    && python3 -m venv /opt/tools \
    && /opt/tools/bin/pip install --no-cache-dir --constraint constraints.txt cyclonedx-bom \
    && { command -v c++ || /opt/tools/bin/pip install --no-cache-dir --constraint constraints.txt ziglang; }
# Most of a build is to compile the kernels: that is done when they have changed, not whenever something has.
COPY neurocity/kernels neurocity/kernels
RUN /opt/tools/bin/python3 neurocity/kernels/build.py
COPY . .
RUN /opt/tools/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM build AS serve-build
ARG EXTRAS=exr,otel,s3,triton
RUN deploy/images/install.sh "$EXTRAS"

# PyTorch's wheels for CPUs alone have an index of their own: give it as the build argument PIP_EXTRA_INDEX_URL, or
# these take the one for GPUs.
FROM build AS torch-build
ARG PIP_EXTRA_INDEX_URL
RUN deploy/images/install.sh cpu,exr,otel,s3,triton,video

FROM build AS cuda-build
RUN deploy/images/install.sh gpu,exr,otel,s3,triton,video

# What all images have in common. Nothing is written but what is mounted, and /tmp where it is.
FROM ${BASE} AS runtime
ENV VIRTUAL_ENV=/opt/neurocity
ENV PATH="$VIRTUAL_ENV/bin:$PATH" \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="NeuroCity" \
    org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001

FROM runtime AS train
WORKDIR /runs
COPY --from=torch-build /opt/neurocity /opt/neurocity
ENTRYPOINT ["neurocity"]

FROM train AS export
ENTRYPOINT ["neurocity-export"]

FROM runtime AS train-cuda
WORKDIR /runs
COPY --from=cuda-build /opt/neurocity /opt/neurocity
ENTRYPOINT ["neurocity"]

FROM train-cuda AS export-cuda
ENTRYPOINT ["neurocity-export"]

# NVIDIA's server with the project's backend beside its own; it renders scenes of the format native.
FROM build AS triton-build
RUN /opt/tools/bin/pip install --no-cache-dir --no-deps --target /opt/package /wheels/*.whl

FROM ${TRITON_BASE} AS triton
COPY --from=triton-build /opt/package/serving/tritonserver/backends/neurocity /opt/tritonserver/backends/neurocity
COPY --from=triton-build /opt/package/serving/tritonserver/backends/python /opt/tritonserver/backends/python
COPY --from=triton-build /opt/package/neurocity /opt/tritonserver/backends/python/neurocity
USER 10001:10001
EXPOSE 8000 8001 8002
ENTRYPOINT ["tritonserver", "--model-repository=/models", "--disable-auto-complete-config", \
    "--model-load-thread-count=1"]

FROM runtime AS gateway
ENV NEUROCITY_HOST=0.0.0.0 \
    NEUROCITY_PORT=8000 \
    NEUROCITY_REPOSITORY=/models
WORKDIR /models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["neurocity-serve", "health"]
ENTRYPOINT ["neurocity-serve"]

FROM gateway AS serve-torch
COPY --from=torch-build /opt/neurocity /opt/neurocity

# The last stage is what a plain `docker build .` makes: a gateway without PyTorch.
FROM gateway AS serve
COPY --from=serve-build /opt/neurocity /opt/neurocity
