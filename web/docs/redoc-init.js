"use strict";
// System fonts and no search index worker: the page asks nobody but this server.
Redoc.init("/openapi.json", {
	disableSearch: true,
	hideDownloadButton: false,
	theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } } },
}, document.getElementById("redoc"));
