# One image for every process: migrate, api, dispatcher (with the Ray head) and workers.
FROM python:3.12-slim

# The small build of torch by default; for GPUs build with --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY alignsweep alignsweep
COPY api api
COPY db db
COPY services services
COPY workers workers
COPY recipes recipes
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c constraints.txt '.[service]'

# The state of the source, as provenance has it: --build-arg COMMIT=$(git rev-parse HEAD)
ARG COMMIT=
RUN useradd --create-home alignsweep && mkdir -p /data/sets /data/store && chown -R alignsweep /data
USER alignsweep
ENV ALIGNSWEEP_HOME=/data ALIGNSWEEP_DATA_ROOT=/data/sets RAY_USAGE_STATS_ENABLED=0 PYTHONUNBUFFERED=1
ENV ALIGNSWEEP_COMMIT=$COMMIT
EXPOSE 8642
CMD ["alignsweep", "api"]
