#!/bin/sh
# install.sh EXTRAS: fills the environment of an image with the package and the extras, and lists what is in it.
# Compiled files are known by their sources' contents, not by a time, so that two builds are the same. Packages' own
# tests are left as they are: nobody runs them there, and some of PyTorch's are for a later Python.
set -eu
/opt/tools/bin/pip --python "$VIRTUAL_ENV/bin/python3" install --no-cache-dir --no-compile \
    --constraint constraints.txt "neurocity[$1] @ file://$(echo /wheels/*.whl)"
"$VIRTUAL_ENV/bin/python3" -m compileall -q -j 0 --invalidation-mode unchecked-hash \
    -x '/(tests|torch/testing/_internal)/' "$VIRTUAL_ENV/lib"
/opt/tools/bin/cyclonedx-py environment --output-reproducible --output-file "$VIRTUAL_ENV/sbom.cdx.json" \
    "$VIRTUAL_ENV/bin/python3"
