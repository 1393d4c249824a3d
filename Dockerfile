# Muster in a container.
#
#   docker build -t muster .
#   docker run -p 8000:8000 --env-file .env -v muster:/var/lib/muster muster
#
# Database, uploads and backups are in the volume; nothing else is written, so --read-only works with it.  `make image-test` runs
# these very steps where there is no Docker.

FROM debian:bookworm-slim AS build
WORKDIR /src
COPY tools/packages.txt tools/
RUN apt-get update \
	&& apt-get install -y --no-install-recommends ca-certificates $(sed -n '/^\[build\]/,/^\[test\]/p; /^\[face\]/,/^\[image\]/p' tools/packages.txt | grep -v '^[[#]') \
	&& rm -rf /var/lib/apt/lists/*
COPY tools/npm-ci.sh tools/
COPY web/package.json web/package-lock.json web/
RUN sh tools/npm-ci.sh web/node_modules/.muster-stamp
COPY . .
RUN make -j"$(nproc)" all FACE=1 \
	&& make install FACE=1 DESTDIR=/out PREFIX=/usr \
	&& strip /out/usr/bin/*

FROM debian:bookworm-slim
COPY tools/packages.txt /tmp/
RUN apt-get update \
	&& apt-get install -y --no-install-recommends $(sed -n '/^\[image\]/,/^\[/p' /tmp/packages.txt | grep -v '^[[#]') \
	&& rm -rf /var/lib/apt/lists/* /tmp/packages.txt \
	&& useradd --system --uid 990 --user-group --no-create-home --home-dir /var/lib/muster --shell /usr/sbin/nologin muster \
	&& install -d -o muster -g muster -m 0700 /var/lib/muster
COPY --from=build /out/ /
ENV HOST=0.0.0.0 DATA_DIR=/var/lib/muster DATABASE_URL=sqlite:////var/lib/muster/muster.db
WORKDIR /var/lib/muster
VOLUME /var/lib/muster
USER muster
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["muster", "health"]
ENTRYPOINT ["muster"]
CMD ["serve"]
