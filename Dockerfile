# One image for every service and for the `hookline` command; compose chooses what it runs.

ARG PYTHON_IMAGE=python:3.13-slim

FROM $PYTHON_IMAGE AS build
WORKDIR /build
RUN python -m venv /tools && python -m venv --without-pip /venv
COPY requirements/tools.txt requirements/run.txt requirements/
RUN /tools/bin/pip install --no-cache-dir --require-hashes -r requirements/tools.txt \
 && /tools/bin/pip --python /venv install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY ingress ingress
COPY consumers consumers
COPY ops ops
COPY docs/runbook.md docs/contract.md docs/
# The charts of the statistics page; without them it shows tables.
RUN /tools/bin/python -m ops.npm_files consumers/stats/page/vendor.txt consumers/stats/page/vendor \
 || echo "no uPlot: the statistics page shows tables in place of charts"
RUN PATH=/tools/bin:$PATH pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /tools/bin/pip --python /venv install --no-cache-dir --no-deps /wheels/*.whl

FROM $PYTHON_IMAGE
# A new named volume takes its owner from these folders.
RUN useradd --uid 10001 --no-create-home hookline \
 && install -d -o hookline -g hookline \
    /var/lib/hookline/spool /var/lib/hookline/archive /var/lib/hookline/work \
 && install -d -m 750 -o hookline -g hookline /var/lib/hookline/passwords/postgres \
    /var/lib/hookline/passwords/valkey /var/lib/hookline/certificates \
 && for user in broker topics ingress archive sync counters webhook-crm webhook-bi statistics operator reader; do \
      install -d -m 750 -o hookline -g hookline "/var/lib/hookline/passwords/kafka/$user"; done
COPY --from=build /venv /venv
COPY deploy/healthy /usr/local/bin/
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /var/lib/hookline/work
USER hookline
CMD ["hookline", "--help"]
