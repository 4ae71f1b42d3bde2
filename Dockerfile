# The locked environment of `make setup`, for CPUs; docs/practical.md has the commands, and what a GPU takes.
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /mlp_backbones
COPY . .
RUN bash requirements/install.sh /opt/venv && rm -rf /root/.cache

ENV PATH=/opt/venv/bin:$PATH
CMD ["python", "-m", "mlp_backbones", "--help"]
