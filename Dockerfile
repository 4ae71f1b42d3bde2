# The locked environment of `make setup`, for CPUs; docs/practical.md has the commands, and what a GPU takes.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /mlp_backbones
COPY . .
# Neither pip nor uv keeps what it downloaded.
RUN PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 bash requirements/install.sh .venv

ENV PATH=/mlp_backbones/.venv/bin:$PATH
CMD ["python", "-m", "mlp_backbones", "--help"]
