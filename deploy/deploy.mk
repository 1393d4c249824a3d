# Installing and packing.  The tests here need root, debootstrap and a Debian mirror, and are no part of `make test`.

$(B)/muster.8: tools/man.sh $(B)/muster
	sh tools/man.sh $(B)/muster >$@.new && mv $@.new $@

# They keep their places below share/doc/muster, so that links between them lead somewhere there too.
DOC_FILES := README.md LICENSE CHANGELOG.md SECURITY.md .env.example $(wildcard docs/*.md) docs/openapi.json deploy/nginx.conf deploy/muster.service \
	deploy/prometheus/muster-alerts.yml deploy/grafana/muster.json
.PHONY: install uninstall deb deb-test image-test
install: all $(B)/muster.8
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(B)/muster $(B)/muster-face
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $(B)/muster.8 deploy/muster-face.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/muster deploy/muster.env
	for f in $(wildcard $(DOC_FILES)); do install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/doc/muster/$$f || exit 1; done

# What `install` put there, and nothing of configuration or data.
uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/muster bin/muster-face share/man/man8/muster.8 share/man/man8/muster-face.8)
	rm -rf $(DESTDIR)$(PREFIX)/share/muster $(DESTDIR)$(PREFIX)/share/doc/muster

# muster_*.deb and muster-face_*.deb in $(B)/deb, checked by lintian.
deb:
	@B='$(B)' sh tools/deb.sh '$(VERSION)'

# The packages in a clean chroot of Debian SUITE: installed, used by curl, upgraded, removed, purged.
SUITE ?= bookworm
deb-test:
	@B='$(B)' sh tools/deb-test.sh '$(SUITE)' '$(VERSION)'

# The steps of the Dockerfile in chroots, then what they made, where no Docker runs.
image-test:
	@B='$(B)' sh tools/image-test.sh
