# syntax=docker/dockerfile:1
# The server, with nothing that it does not need: `docker build -t gameserver .`
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /usr/local/lib/gameserver \
 && /usr/local/lib/gameserver/bin/pip install --no-cache-dir --quiet -c constraints.txt . \
 && /usr/local/lib/gameserver/bin/python -m compileall -q /usr/local/lib/gameserver/lib

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="gameserver" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /usr/local/lib/gameserver /usr/local/lib/gameserver
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gameserver \
 && install -d -o gameserver -m 0700 /data \
 && install -d -o gameserver /apps
ENV PATH=/usr/local/lib/gameserver/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GAMESERVER_HOST=0.0.0.0 \
    GAMESERVER_APPS=/apps \
    GAMESERVER_DATA=/data
# By number, so that a cluster can see that it is not root.
USER 10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
# What is in flight is answered first; see docs/operate.md.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["gameserver"]
CMD ["serve"]
