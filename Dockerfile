# docker build --target serve -t neurocity-serve .
# docker run -p 8000:8000 -v ./model_repository:/models:ro neurocity-serve
#
# docker build --target train -t neurocity-train .
# docker run --gpus all --user "$(id -u)" -v ./data:/data:ro -v ./runs:/runs neurocity-train \
#     train instant_ngp --data /data/lego --out /runs/lego --preset paper

# It has a C++ compiler, which the kernels are built with; the images that are made have none.
FROM python:3.11 AS source
WORKDIR /src
COPY . .

FROM source AS serve-build
ENV VIRTUAL_ENV=/opt/neurocity
ENV PATH="$VIRTUAL_ENV/bin:$PATH"
RUN python -m venv "$VIRTUAL_ENV" \
    && pip install --no-cache-dir --constraint constraints.txt '.[triton]'

FROM source AS train-build
ENV VIRTUAL_ENV=/opt/neurocity
ENV PATH="$VIRTUAL_ENV/bin:$PATH"
RUN python -m venv "$VIRTUAL_ENV" \
    && pip install --no-cache-dir --constraint constraints.txt '.[gpu]'

FROM python:3.11-slim AS train
ENV VIRTUAL_ENV=/opt/neurocity
ENV PATH="$VIRTUAL_ENV/bin:$PATH" HOME=/tmp
COPY --from=train-build $VIRTUAL_ENV $VIRTUAL_ENV
WORKDIR /runs
USER 10001:10001
ENTRYPOINT ["neurocity"]

# The last stage is what a plain `docker build .` makes: a gateway without PyTorch.
FROM python:3.11-slim AS serve
ENV VIRTUAL_ENV=/opt/neurocity
ENV PATH="$VIRTUAL_ENV/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    NEUROCITY_HOST=0.0.0.0 \
    NEUROCITY_PORT=8000 \
    NEUROCITY_REPOSITORY=/models
COPY --from=serve-build $VIRTUAL_ENV $VIRTUAL_ENV
WORKDIR /models
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['NEUROCITY_PORT']}/livez\", timeout=4)"]
ENTRYPOINT ["neurocity-serve"]
