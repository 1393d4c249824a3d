"use strict";
// System fonts: the page asks nobody but this server.
Redoc.init("/openapi.json", {
	theme: { typography: { fontFamily: "system-ui, sans-serif", headings: { fontFamily: "system-ui, sans-serif" } } },
}, document.getElementById("redoc"));
