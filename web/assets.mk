# Assets: made from the npm packages of package-lock.json and the pages of web/docs, embedded by tools/embed-assets.sh.
# WEB=0 leaves out the pages; the list of common passwords stays.

NPM_STAMP := web/node_modules/.muster-stamp
ASSETS := $(B)/gen/assets

ifeq ($(WEB),0)
DOCS_ASSETS :=
APP_LIST :=
else
APP_LIST := $(B)/web/app.list
DOCS_ASSETS := docs/swagger.html docs/swagger-init.js docs/swagger-ui-bundle.js docs/swagger-ui.css \
	docs/redoc.html docs/redoc-init.js docs/redoc.standalone.js docs/docs.css
endif
ASSET_NAMES := passwords.txt $(DOCS_ASSETS) $(DOCS_ASSETS:=.gz)

$(NPM_STAMP): web/package-lock.json
	sh tools/npm-ci.sh $@

$(ASSETS)/passwords.txt: tools/common-passwords.js $(NPM_STAMP)
	@mkdir -p $(@D)
	node $< ../web/node_modules/@zxcvbn-ts/language-common/src/passwords.json >$@.new && mv $@.new $@

$(ASSETS)/docs/swagger-ui-bundle.js $(ASSETS)/docs/swagger-ui.css: $(ASSETS)/docs/%: $(NPM_STAMP)
	@mkdir -p $(@D)
	sed '\,^/[/*]# sourceMappingURL=,d' web/node_modules/swagger-ui-dist/$* >$@.new && mv $@.new $@

# Redoc shows its maker's logo from a foreign host; a page of ours asks nobody outside.
$(ASSETS)/docs/redoc.standalone.js: $(NPM_STAMP) tools/strip-redoc.sh
	@mkdir -p $(@D)
	sh tools/strip-redoc.sh web/node_modules/redoc/bundles/redoc.standalone.js >$@.new && mv $@.new $@

$(ASSETS)/docs/%: web/docs/%
	@mkdir -p $(@D)
	cp $< $@

$(ASSETS)/%.gz: $(ASSETS)/%
	gzip -9nc $< >$@.new && mv $@.new $@

# Changes only when the list does, so that WEB=0 and WEB=1 can follow each other in one build directory.
$(B)/gen/assets.list: FORCE
	@mkdir -p $(@D)
	@echo '$(ASSET_NAMES) $(APP_LIST)' | cmp -s - $@ || echo '$(ASSET_NAMES) $(APP_LIST)' >$@
.PHONY: FORCE

# The web app: its files' names carry hashes, so their list is made together with them.
$(B)/web/app.list: $(NPM_STAMP) web/build.mjs $(shell find web/app -type f)
	node web/build.mjs $(B)/web/app
	find $(B)/web/app -type f ! -name '*.png' -exec gzip -9nk {} +
	cd $(B)/web && find app -type f | LC_ALL=C sort | sed 's|.*|&=$(B)/web/&|' >app.list.new && mv app.list.new app.list

$(B)/gen/assets.S: tools/embed-assets.sh $(B)/gen/assets.list $(APP_LIST) $(addprefix $(ASSETS)/,$(ASSET_NAMES))
	sh $< $(foreach a,$(ASSET_NAMES),$(a)=$(ASSETS)/$(a)) $$(cat /dev/null $(APP_LIST)) >$@.new && mv $@.new $@
