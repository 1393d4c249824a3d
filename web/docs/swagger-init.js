"use strict";
// validatorUrl null: nothing is sent to the maker's validator.
SwaggerUIBundle({
	url: "/openapi.json",
	dom_id: "#swagger-ui",
	deepLinking: true,
	validatorUrl: null,
	docExpansion: "list",
	defaultModelsExpandDepth: 0,
	tryItOutEnabled: true,
});
