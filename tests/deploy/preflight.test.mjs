// The function that answers preflights at the edge of CloudFront, as it is after the deployment.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';

const SOURCE = readFileSync(new URL('../../deploy/cloudfront/preflight.js', import.meta.url), 'utf8');
const APP = 'https://app.example.com';
const VARY = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers';

/** Deploy the function and return its handler. Its realm has nothing but the language, like CloudFront's. */
function deploy(origins, credentials) {
  const code = SOURCE.replace('${AllowedOrigins}', origins).replace('${AllowCredentials}', String(credentials));
  assert.ok(!code.includes('${'), 'CloudFormation would look for a name');
  const realm = vm.createContext({});
  vm.runInContext(code, realm);
  return (event) => JSON.parse(JSON.stringify(realm.handler(event)));
}

function ask(handler, headers = {}, method = 'OPTIONS') {
  const named = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, { value }]));
  return handler({ version: '1.0', request: { method, uri: '/images/a/disk.img', querystring: {}, headers: named } });
}

function preflight(handler, origin, requested) {
  const headers = { 'access-control-request-method': 'GET' };
  if (origin !== undefined) headers.origin = origin;
  if (requested !== undefined) headers['access-control-request-headers'] = requested;
  const answer = ask(handler, headers);
  assert.equal(answer.statusCode, 204);
  return Object.fromEntries(Object.entries(answer.headers).map(([name, { value }]) => [name, value]));
}

const cookies = deploy(`${APP},https://Admin.example.com`, true);
const anyone = deploy('*', false);

test('reads go on to the cache unchanged', () => {
  for (const method of ['GET', 'HEAD']) {
    const request = ask(cookies, { origin: APP, range: 'bytes=0-1' }, method);
    assert.equal(request.method, method);
    assert.deepEqual(request.headers.range, { value: 'bytes=0-1' });
    assert.equal(request.statusCode, undefined);
  }
});

test('a page of a named origin may send cookies', () => {
  assert.deepEqual(preflight(cookies, APP, 'range'), {
    vary: VARY,
    'cache-control': 'no-store',
    'access-control-allow-origin': APP,
    'access-control-allow-credentials': 'true',
    'access-control-allow-methods': 'GET, HEAD, OPTIONS',
    'access-control-allow-headers': 'range',
    'access-control-max-age': '86400',
  });
});

test('origins are compared without case and echoed as sent', () => {
  assert.equal(preflight(cookies, 'HTTPS://ADMIN.example.com')['access-control-allow-origin'], 'HTTPS://ADMIN.example.com');
});

test('any origin may read without cookies', () => {
  const headers = preflight(anyone, 'https://elsewhere.example', 'Range, If-Range');
  assert.equal(headers['access-control-allow-origin'], '*');
  assert.equal(headers['access-control-allow-credentials'], undefined);
  assert.equal(headers['access-control-allow-headers'], 'Range, If-Range');
});

test('other pages get no headers of CORS', () => {
  for (const origin of ['https://evil.example', `${APP}.evil.example`, 'null', '', undefined]) {
    assert.deepEqual(preflight(cookies, origin, 'range'), { vary: VARY, 'cache-control': 'no-store' });
  }
});

test('an unclean list of headers is answered with the fixed one', () => {
  const fixed = preflight(cookies, APP)['access-control-allow-headers'];
  assert.match(fixed, /^range, if-range, /);
  for (const requested of ['range,', 'range;x', 'a\r\nb: c', '', ' ', `x${'y'.repeat(4096)}`, 'range, , etag']) {
    assert.equal(preflight(cookies, APP, requested)['access-control-allow-headers'], fixed, requested);
  }
});

test('a long list of headers is judged quickly', () => {
  const began = performance.now();
  preflight(cookies, APP, `${'a, '.repeat(1300)}\u0001`);
  assert.ok(performance.now() - began < 100);
});
