// Swagger UI on this instance's OpenAPI document; "Try it out" uses the console's session.
const { openapi, csrfToken } = document.body.dataset;
window.SwaggerUIBundle({
  url: openapi,
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [window.SwaggerUIBundle.presets.apis],
  requestInterceptor: (request) => {
    if (new URL(request.url, location.href).origin === location.origin) request.headers["X-CSRFToken"] = csrfToken;
    return request;
  },
});
