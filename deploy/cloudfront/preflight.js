// Answers CORS preflights at the edge (viewer request, runtime cloudfront-js-2.0).
// CloudFormation replaces the two names below. After a change: python deploy/cloudfront/inline_preflight.py
var ALLOWED_ORIGINS = '${AllowedOrigins}'.toLowerCase().split(',');
var ALLOW_CREDENTIALS = '${AllowCredentials}' === 'true';
var DEFAULT_ALLOWED_HEADERS =
  'range, if-range, if-none-match, if-match, if-modified-since, if-unmodified-since, x-accept-encoding';
var MAX_REQUESTED_HEADERS = 4096;
var NAME_LIST = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+([ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/;

function handler(event) {
  var request = event.request;
  if (request.method !== 'OPTIONS') {
    return request;
  }
  return { statusCode: 204, statusDescription: 'No Content', headers: preflightHeaders(request.headers) };
}

function preflightHeaders(asked) {
  var headers = {
    vary: { value: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers' },
    'cache-control': { value: 'no-store' },
  };
  var origin = asked.origin ? asked.origin.value : '';
  var anyOrigin = ALLOWED_ORIGINS[0] === '*';
  if (!anyOrigin && ALLOWED_ORIGINS.indexOf(origin.toLowerCase()) < 0) {
    return headers;
  }
  headers['access-control-allow-origin'] = { value: anyOrigin ? '*' : origin };
  if (ALLOW_CREDENTIALS && !anyOrigin) {
    headers['access-control-allow-credentials'] = { value: 'true' };
  }
  headers['access-control-allow-methods'] = { value: 'GET, HEAD, OPTIONS' };
  headers['access-control-allow-headers'] = { value: allowedHeaders(asked['access-control-request-headers']) };
  headers['access-control-max-age'] = { value: '86400' };
  return headers;
}

// The names that the page asks for, if they are clean, else the fixed list.
function allowedHeaders(requested) {
  var names = requested ? requested.value.trim() : '';
  return names.length <= MAX_REQUESTED_HEADERS && NAME_LIST.test(names) ? names : DEFAULT_ALLOWED_HEADERS;
}
